"""Latency on ONNX Runtime at half of the multiply-accumulates: ``python -m benchmarks.latency [--peers P,...]``.

Every tool is asked for the same share of multiply-accumulates, irprune with no other option. Tools that take a share of
channels instead are searched for the one that comes nearest. All files of a model are then measured in turns, in one
process (:mod:`irprune.bench`). Models have random weights; ``--threads 1,2`` gives a column for each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import environment
from .task import SEED

MODELS = ("resnet50", "mobilenet_v2", "densenet121", "efficientnet_b0", "vit_b_16")
_TOLERANCE = 0.01
_HALVINGS = 8


@dataclass(frozen=True)
class Row:
    """One file: its share of multiply-accumulates, and per number of threads the latency and the ratio."""

    model: str
    tool: str
    macs: float
    measured: dict[int, dict[str, Any]]


def macs_of(path: Path) -> int:
    """The multiply-accumulates of a model, as irprune counts them for every tool alike."""
    from irprune.api import analyze_model, open_model

    return analyze_model(open_model(path)).cost_model({}).macs


def nearest(write: Callable[[float, Path], None], path: Path, target: float) -> None:
    """Write the model whose share of removed channels leaves about so many multiply-accumulates."""
    low, high = 0.0, 0.95
    best: tuple[float, float] = (float("inf"), 0.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        write(middle, path)
        missed = macs_of(path) / target - 1
        best = min(best, (abs(missed), middle))
        if best[0] < _TOLERANCE:
            break
        low, high = (middle, high) if missed > 0 else (low, middle)
    if middle != best[1]:
        write(best[1], path)


def irprune(source: Path, output: Path, share: float, **options: Any) -> None:
    """One command, from the ONNX file."""
    from irprune.api import prune

    prune(source, output, macs=share, verify=False, **options)


def torch_pruning(model: str, output: Path, target: float, round_to: int | None = None) -> None:
    """As the tool's README does it, from the module; ``round_to`` is its own option for widths."""
    import torch
    import torch_pruning as tp

    from irprune.models.export import example_inputs, export, randomize
    from irprune.models.zoo import ZOO

    entry = ZOO[model]

    def write(ratio: float, path: Path) -> None:
        module = entry.build().eval()
        randomize(module, SEED)
        classifier = [m for m in module.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 1000]
        tp.pruner.BasePruner(
            module,
            example_inputs(entry.input_shape),
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            ignored_layers=classifier,
            round_to=round_to,
        ).step()
        export(module, entry.input_shape, path, exporter="torchscript", dynamic_batch=False)

    nearest(write, output, target)


def onnxsim(source: Path, output: Path, target: float) -> None:
    """From the ONNX file."""
    import onnx
    import onnxsim as tool

    def write(ratio: float, path: Path) -> None:
        onnx.save(tool.apply_structured_pruning(str(source), sparsity=ratio, importance_norm="l2"), path)

    nearest(write, output, target)


def prepare(model: str, source: Path) -> None:
    """Export a model with random weights."""
    if model == "vit_b_16":
        from .verification import _vit

        _vit(source)
        return
    from irprune.models.export import export, randomize
    from irprune.models.zoo import ZOO

    module = ZOO[model].build()
    randomize(module, SEED)
    export(module, ZOO[model].input_shape, source, exporter="torchscript", dynamic_batch=False)


def files(model: str, peers: list[str], share: float, folder: Path) -> dict[str, Path]:
    """The original and what each tool makes of it, by name."""
    source = folder / "original.onnx"
    prepare(model, source)
    target = share * macs_of(source)
    made: dict[str, Callable[[Path], None]] = {
        "irprune": lambda path: irprune(source, path, share),
        "irprune --align 1": lambda path: irprune(source, path, share, align=1),
    }
    if "torch-pruning" in peers and model != "vit_b_16":
        made["torch-pruning"] = lambda path: torch_pruning(model, path, target)
        made["torch-pruning, round_to=16"] = lambda path: torch_pruning(model, path, target, 16)
    if "onnxsim" in peers:
        made["onnxsim"] = lambda path: onnxsim(source, path, target)
    found = {"original": source}
    for number, (tool, make) in enumerate(made.items()):
        path = folder / f"{number}.onnx"
        say(f"{model}: {tool}")
        try:
            make(path)
        except Exception as error:  # whatever a tool raises is the finding
            say(f"{model}: {tool}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            continue
        found[tool] = path
    return found


def measure(model: str, made: dict[str, Path], threads: list[int], runs: int) -> list[Row]:
    """The rows of one model: all files take turns."""
    from irprune.bench.bench import Settings, bench

    whole = macs_of(made["original"])
    measured: dict[str, dict[int, dict[str, Any]]] = {tool: {} for tool in made}
    for count in threads:
        say(f"{model}: measuring on {count} threads")
        found = bench(list(made.values()), Settings(threads=count, runs=runs, memory=False))
        for tool, item in zip(made, found.models, strict=True):
            measured[tool][count] = item.as_json(found.models[0])
    return [Row(model, tool, macs_of(path) / whole, measured[tool]) for tool, path in made.items()]


def table(rows: list[Row], threads: list[int]) -> str:
    """A markdown table: milliseconds, and how many times as fast as the original, with its interval."""
    head = ["model", "tool", "MACs", *(part for n in threads for part in (f"ms, {n} thread{'s' * (n > 1)}", "faster"))]
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in rows:
        cells = [row.model, row.tool, f"{row.macs:.2f}"]
        for count in threads:
            item = row.measured[count]
            against = item["times_as_fast"]
            ratio = f"{against['value']:.2f} ({against['low']:.2f}–{against['high']:.2f})" if against else ""
            cells += [f"{item['ms']['median']:.1f}", ratio]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=names, default=list(MODELS), help=f"default: {','.join(MODELS)}")
    parser.add_argument("--peers", type=names, default=[], help="torch-pruning, onnxsim: what `make bench` installs")
    parser.add_argument("--macs", type=float, default=0.5, help="the share that is kept")
    parser.add_argument("--threads", type=lambda text: [int(n) for n in names(text)], default=[1, 2])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file as well")
    options = parser.parse_args()
    rows: list[Row] = []
    for model in options.models:
        with tempfile.TemporaryDirectory(prefix="irprune-") as folder:
            made = files(model, options.peers, options.macs, Path(folder))
            rows += measure(model, made, options.threads, options.runs)
    print(table(rows, options.threads))
    if options.json:
        body = {"environment": environment(), "rows": [vars(row) for row in rows]}
        options.json.write_text(f"{json.dumps(body, indent=1)}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
