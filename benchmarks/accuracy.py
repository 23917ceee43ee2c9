"""What is kept of trained networks at 1.5 to 4 times fewer multiply-accumulates, beside other tools.

    python -m benchmarks.accuracy DATA --cache FOLDER --networks resnet mobilenet densenet vit bert --peers
    python -m benchmarks.accuracy DATA --cache FOLDER --networks resnet20 --fixture resnet20.onnx --cuts 2 3

``DATA`` holds ``fashion_mnist`` and ``cifar_unlabeled``. Networks are trained once and stay in the cache. The first 512
training samples, without labels, are handed to every tool; all test samples judge (for the fixture, which has no
labels, the last 1,000 images). ``--minutes`` adds distillation on the first 5,000 training samples. ``--json``
collects the rows of several runs; ``benchmarks.accuracy_page`` draws them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as oir
from numpy.typing import NDArray

import irprune
from irprune.backends.onnx import to_proto
from irprune.errors import TargetError
from irprune.runtime.executable import Executable

from . import peers
from .peers import Subject, macs_of

Arrays = NDArray[Any]
FIXTURE = "resnet20"
CIFAR_MEAN, CIFAR_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

WAYS: dict[str, dict[str, str]] = {  # the other tools choose any width, and so does irprune in all rows but one
    "l2": {"criterion": "l2", "repair": "none"},
    "wanda": {"criterion": "wanda", "repair": "none"},
    "flap": {"criterion": "flap", "repair": "none"},
    "obs": {"criterion": "obs", "repair": "none"},
    "l2, refitted": {"criterion": "l2", "repair": "reconstruct"},
    "wanda, refitted": {"criterion": "wanda", "repair": "reconstruct"},
    "flap, refitted": {"criterion": "flap", "repair": "reconstruct"},
    "obs, refitted": {"criterion": "obs", "repair": "reconstruct"},
    "obs, refitted, aligned": {"criterion": "obs", "repair": "reconstruct", "align": "auto"},
}
DEFAULT, DISTILLED = "obs, refitted", "distilled"
PEERS = {
    "Torch-Pruning, l2": lambda s, o, m: peers.torch_pruning(s, o, m, "l2"),
    "Torch-Pruning, Taylor": lambda s, o, m: peers.torch_pruning(s, o, m, "taylor"),
    "Torch-Pruning, Hessian": lambda s, o, m: peers.torch_pruning(s, o, m, "hessian"),
    "onnxsim, Wanda": lambda s, o, m: peers.onnxsim(s, o, m, False),
    "onnxsim, Wanda, fine-tuned": lambda s, o, m: peers.onnxsim(s, o, m, True),
}


@dataclass(frozen=True)
class Row:
    """One way at one cut. ``accuracy`` is ``None`` without labels; ``failure`` says why there is no result."""

    network: str
    way: str
    cut: float
    macs: float | None = None
    accuracy: float | None = None
    agreement: float | None = None
    seconds: float | None = None
    failure: str = ""


@dataclass(frozen=True)
class Case:
    """A network with what it is pruned on, distilled on and judged by."""

    name: str
    subject: Subject
    tuning: Arrays
    judge: Arrays
    labels: Arrays | None

    def decide(self, model: Path | onnx.ModelProto) -> Arrays:
        executable = Executable(model)
        parts = [
            next(iter(executable.run({self.subject.input: self.judge[k : k + 500]}, optimize=True).values()))
            for k in range(0, len(self.judge), 500)
        ]
        return np.asarray(np.concatenate(parts).argmax(axis=-1))


def case_of(name: str, given: argparse.Namespace) -> Case:
    if name == FIXTURE:
        with np.load(given.data / "cifar_unlabeled" / "images.npz") as stored:
            images = stored["X"].astype(np.float32) / 255
        images = (
            ((images - np.array(CIFAR_MEAN, np.float32)) / np.array(CIFAR_DEVIATION, np.float32))
            .transpose(0, 3, 1, 2)
            .copy()
        )
        entry = onnx.load(given.fixture, load_external_data=False).graph.input[0].name
        subject = Subject(given.fixture, None, entry, images[: given.fit])
        return Case(name, subject, images[: given.tune], images[-1000:], None)
    from .training import task_of, trained

    task = task_of(name, given.data, given.cache)
    module, file = trained(name, task, given.cache)
    subject = Subject(file, module, task.input, task.fit[0][: given.fit])
    title = f"{name}, {given.ratio:.0%} of each group" if given.ratio else name
    return Case(title, subject, task.fit[0][: given.tune], task.judge[0][: given.judge], task.judge[1][: given.judge])


def rows(case: Case, given: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Every way at every cut."""
    wanted, full = case.decide(case.subject.file), macs_of(case.subject.file)

    def judged(way: str, cut: float, path: Path, seconds: float) -> Row:
        found = case.decide(path)
        right = None if case.labels is None else float((found == case.labels).mean())
        return Row(case.name, way, cut, macs_of(path) / full, right, float((found == wanted).mean()), seconds)

    yield judged("original", 1.0, case.subject.file, 0.0)
    for options in _targets(given):
        share = options.get("macs", 1.0)
        cut = round(1 / share, 2)
        for way in given.ways:
            output = folder / "small.onnx"
            try:
                seconds = _irprune(case, output, options, way)
                if "ratio" in options:
                    share = macs_of(output) / full
                    cut = round(1 / share, 1)
                yield judged(way, cut, output, seconds)
                if way == DEFAULT and given.minutes:
                    tuned = folder / "tuned.onnx"
                    seconds = _distilled(case, output, tuned, given.minutes, folder)
                    yield judged(DISTILLED, cut, tuned, seconds)
            except (TargetError, subprocess.CalledProcessError) as error:
                yield Row(case.name, way, cut, failure=_short(error))
        for way in PEERS if given.peers == [] else given.peers or ():
            if case.subject.module is None and way.startswith("Torch"):
                continue
            output = folder / "peer.onnx"
            try:
                yield judged(way, cut, output, PEERS[way](case.subject, output, share))
            except Exception as error:  # another tool may fail in any way
                yield Row(case.name, way, cut, failure=_short(error))


def _targets(given: argparse.Namespace) -> Sequence[dict[str, float]]:
    return [{"ratio": given.ratio}] if given.ratio else [{"macs": 1 / cut} for cut in given.cuts]


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:80]


def _irprune(case: Case, output: Path, target: Mapping[str, float], way: str) -> float:
    began = time.process_time()
    data = {case.subject.input: case.subject.samples}
    options: Any = {"align": 1, **target, **WAYS[way]}
    result = irprune.prune(case.subject.file, data=data, verify=False, **options)
    seconds = time.process_time() - began
    assert isinstance(result.model, oir.Model)
    onnx.save(to_proto(result.model), output)
    return seconds


def _distilled(case: Case, small: Path, tuned: Path, minutes: float, folder: Path) -> float:
    arrays: dict[str, Any] = {case.subject.input: case.tuning}
    np.savez(folder / "tuning.npz", **arrays)
    command = [sys.executable, "-m", "irprune", "finetune", str(case.subject.file), str(small)]
    command += ["--data", str(folder / "tuning.npz"), "-o", str(tuned), "--minutes", str(minutes)]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def line(row: Row) -> str:
    """A line of the markdown table."""
    if row.failure:
        return f"| {row.network} | {row.cut:g} | {row.way} | – | {row.failure.replace('|', '/')} | – | – |"
    share = "–" if row.accuracy is None else f"{row.accuracy:.1%}"
    return (
        f"| {row.network} | {row.cut:g} | {row.way} | {row.macs:.1%} | {share} | {row.agreement:.1%} "
        f"| {row.seconds:.0f} |"
    )


HEAD = (
    "| network | fewer MACs | way | MACs left | accuracy | equal decisions | CPU s |\n"
    "|---|---:|---|---:|---:|---:|---:|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--fixture", type=Path, help="the ONNX file of a CIFAR-10 ResNet-20, for --networks resnet20")
    parser.add_argument("--networks", nargs="+", default=["resnet", "mobilenet", "densenet", "vit", "bert"])
    parser.add_argument("--cuts", type=float, nargs="+", default=[1.5, 2.0, 3.0, 4.0])
    parser.add_argument(
        "--ratio", type=float, help="instead of --cuts: remove this share of every group (hidden, MLP, heads)"
    )
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--fit", type=int, default=512)
    parser.add_argument("--tune", type=int, default=5000)
    parser.add_argument("--judge", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=0.0, help="of distillation; 0: none")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), help="also these other tools; alone: all of them")
    parser.add_argument("--json", type=Path, help="rows of earlier runs are kept, unless measured anew")
    given = parser.parse_args()
    if FIXTURE in given.networks and given.fixture is None:
        parser.error("--networks resnet20 needs --fixture FILE")
    print(HEAD)
    for name in given.networks:
        with tempfile.TemporaryDirectory() as folder:
            for row in rows(case_of(name, given), given, Path(folder)):
                print(line(row), flush=True)
                if given.json:
                    _record(given.json, row)


def _record(path: Path, row: Row) -> None:
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    same = (row.network, row.way, row.cut)
    found = [entry for entry in found if (entry["network"], entry["way"], entry["cut"]) != same]
    path.write_text(json.dumps([*found, asdict(row)], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
