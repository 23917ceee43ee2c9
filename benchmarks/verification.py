"""What verification costs: whole processes of ``irprune prune``, against ``--no-verify`` in the same run.

``python -m benchmarks.verification`` exports ResNet-50, MobileNetV2 and ViT-B/16 (224 x 224, a batch of one) and writes
two synthetic models: a perceptron of three layers, 166 MB of weights, and an image network at full resolution whose
activations dwarf its weights. Each is pruned by half, with and without verification, in turns; CPU seconds (user and
system) and peak resident memory of the process are medians. ``--against FOLDER`` measures the irprune of another
checkout beside it, with the same interpreter. The exit code is 1 where this checkout misses a target.

The targets are ratios: CPU time and peak memory to those without verification; for the perceptron peak memory to the
bytes of its weights, for the image network to the peak of one plain run of the original on ONNX Runtime.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """CPU seconds and peak resident MiB of a process."""

    seconds: float
    mib: float


@dataclass(frozen=True)
class Subject:
    """A model to prune: how to write it, and what verification may cost, as ratios (``None``: not limited)."""

    name: str
    write: Callable[[Path], object]
    cpu: float | None = None
    memory: float | None = None
    per_weights: float | None = None
    per_run: float | None = None


# -- models ------------------------------------------------------------------------------------------------------------


def _zoo(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        from irprune.models.export import export, randomize
        from irprune.models.zoo import ZOO

        module = ZOO[name].build()
        randomize(module, 0)
        export(module, (1, 3, 224, 224), path, exporter="dynamo", dynamic_batch=False)

    return write


def _vit(path: Path) -> None:
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    from irprune.models.export import export, randomize

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vit = ViTForImageClassification(ViTConfig())

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.vit(image).logits
            return logits

    module = Logits()
    randomize(module, 0)
    export(module, (1, 3, 224, 224), path, exporter="dynamo", dynamic_batch=False)


def _save(path: Path, nodes: list[onnx.NodeProto], shapes: dict[str, list[int | str]], weights: _Weights) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in ("x", "y"))
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, path.stem, [x], [y], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


_Weights = dict[str, np.ndarray]


def _perceptron(path: Path, width: int = 6400) -> None:
    random = np.random.default_rng(0)
    shapes = {"a": (64, width), "b": (width, width), "c": (width, 4)}
    weights = {name: random.standard_normal(shape, dtype=np.float32) / 50 for name, shape in shapes.items()}
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "a"], ["h"]),
        node("Relu", ["h"], ["k"]),
        node("MatMul", ["k", "b"], ["l"]),
        node("Relu", ["l"], ["m"]),
        node("MatMul", ["m", "c"], ["y"]),
    ]
    _save(path, nodes, {"x": ["N", 64], "y": ["N", 4]}, weights)


def _enhancer(path: Path, channels: int = 64, blocks: int = 2, side: int = 1024) -> None:
    """Residual blocks at full resolution, each with a gate over its channels."""
    random = np.random.default_rng(0)
    weights: _Weights = {}
    nodes: list[onnx.NodeProto] = []

    def conv(source: str, name: str, outputs: int, inputs: int, kernel: int = 3) -> str:
        array = random.standard_normal((outputs, inputs, kernel, kernel), dtype=np.float32)
        weights[f"{name}.w"] = array * np.float32((2 / (inputs * kernel * kernel)) ** 0.5)
        nodes.append(helper.make_node("Conv", [source, f"{name}.w"], [name], pads=[kernel // 2] * 4))
        return name

    def simple(op: str, inputs: list[str], name: str) -> str:
        nodes.append(helper.make_node(op, inputs, [name]))
        return name

    value = conv("x", "head", channels, 3)
    for k in range(blocks):
        inner = simple("Relu", [conv(value, f"b{k}.first", channels, channels, 1)], f"b{k}.relu")
        inner = conv(inner, f"b{k}.second", channels, channels, 1)
        pooled = simple("GlobalAveragePool", [inner], f"b{k}.pool")
        gate = simple("Sigmoid", [conv(pooled, f"b{k}.gate", channels, channels, 1)], f"b{k}.sigmoid")
        value = simple("Add", [simple("Mul", [inner, gate], f"b{k}.scaled"), value], f"b{k}.sum")
    simple("Add", ["x", conv(value, "tail", 3, channels)], "y")
    _save(path, nodes, {"x": [1, 3, side, side], "y": [1, 3, side, side]}, weights)


SUBJECTS = (
    Subject("resnet50", _zoo("resnet50"), cpu=3, memory=2),
    Subject("mobilenet_v2", _zoo("mobilenet_v2"), cpu=1.8, memory=1.5),
    Subject("vit_b_16", _vit, cpu=5, memory=2),
    Subject("perceptron", _perceptron, per_weights=4),
    Subject("enhancer", _enhancer, per_run=1.3),
)


# -- measuring ---------------------------------------------------------------------------------------------------------

_PLAIN_RUN = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(given,) = session.get_inputs()
shape = [dim if isinstance(dim, int) else 1 for dim in given.shape]
session.run(None, {given.name: numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)})
"""


def _measure(arguments: list[str], checkout: Path) -> Cost:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=output, stderr=output, env=environment, cwd=checkout
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(arguments)}: {output.read().decode(errors='replace')[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _prune(model: Path, checkout: Path, *options: str) -> Cost:
    target = model.with_name("small.onnx")
    cost = _measure(["-m", "irprune", "prune", str(model), "-o", str(target), "--ratio", "0.5", *options], checkout)
    for made in model.parent.glob("small.onnx*"):
        made.unlink()
    return cost


def _median(costs: list[Cost]) -> Cost:
    return Cost(statistics.median(c.seconds for c in costs), statistics.median(c.mib for c in costs))


@dataclass(frozen=True)
class Row:
    """What was measured of one model with one checkout."""

    subject: Subject
    weights: float
    plain: Cost
    verified: Cost
    run: Cost

    def ratios(self) -> dict[str, tuple[float, float]]:
        """Each ratio that has a target, with the target."""
        found = {
            "CPU time / --no-verify": (self.verified.seconds / self.plain.seconds, self.subject.cpu),
            "peak / --no-verify": (self.verified.mib / self.plain.mib, self.subject.memory),
            "peak / weights": (self.verified.mib / self.weights, self.subject.per_weights),
            "peak / plain run": (self.verified.mib / self.run.mib, self.subject.per_run),
        }
        return {name: (ratio, limit) for name, (ratio, limit) in found.items() if limit is not None}

    @property
    def ok(self) -> bool:
        return all(ratio <= limit for ratio, limit in self.ratios().values())

    def cells(self) -> list[str]:
        numbers = [
            f"{self.plain.seconds:.1f}",
            f"{self.verified.seconds:.1f}",
            f"{self.plain.mib:.0f}",
            f"{self.verified.mib:.0f}",
        ]
        return [*numbers, "; ".join(f"{name} {r:.2f} (at most {limit})" for name, (r, limit) in self.ratios().items())]


def _rows(subject: Subject, folder: Path, checkouts: list[Path], runs: int) -> list[Row]:
    """One row a checkout. Processes take turns, since the load of a machine changes."""
    path = folder / f"{subject.name}.onnx"
    # In a process of its own: Linux counts what a process held when it forked to the peak of its children.
    subprocess.run([sys.executable, "-m", "benchmarks.verification", "--write", str(path)], check=True, cwd=ROOT)
    weights = path.stat().st_size / MIB
    plain: dict[Path, list[Cost]] = {checkout: [] for checkout in checkouts}
    verified: dict[Path, list[Cost]] = {checkout: [] for checkout in checkouts}
    alone: list[Cost] = []
    for _ in range(runs):
        alone.append(_measure(["-c", _PLAIN_RUN, str(path)], ROOT))
        for checkout in checkouts:
            plain[checkout].append(_prune(path, checkout, "--no-verify"))
            verified[checkout].append(_prune(path, checkout))
    path.unlink()
    return [
        Row(subject, weights, _median(plain[checkout]), _median(verified[checkout]), _median(alone))
        for checkout in checkouts
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help=f"which of {', '.join(s.name for s in SUBJECTS)}; default: all")
    parser.add_argument("--against", type=Path, help="the root of another checkout, measured beside this one")
    parser.add_argument("--runs", type=int, default=3, help="processes of each kind; medians are printed")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        next(subject for subject in SUBJECTS if subject.name == options.write.stem).write(options.write)
        return
    unknown = set(options.models) - {subject.name for subject in SUBJECTS}
    if unknown:
        parser.error(f"unknown models: {', '.join(sorted(unknown))}")
    checkouts = [ROOT, *([options.against.resolve()] if options.against else [])]
    print("| model | irprune | s, no check | s, verified | MiB, no check | MiB, verified | ratios |")
    print("|---|---|---|---|---|---|---|")
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        for subject in SUBJECTS:
            if options.models and subject.name not in options.models:
                continue
            for checkout, row in zip(checkouts, _rows(subject, Path(folder), checkouts, options.runs), strict=True):
                name = "this" if checkout == ROOT else checkout.name
                print(f"| {subject.name} | {name} | {' | '.join(row.cells())} |", flush=True)
                ok &= row.ok or checkout != ROOT
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
