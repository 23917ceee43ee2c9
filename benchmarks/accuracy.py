"""What is kept of a trained model's decisions: by norm, from data, with and without refitting.

    python -m benchmarks.accuracy model.onnx inputs.npz --macs 0.5 0.33

``inputs.npz`` holds unlabeled samples by input name. The first ``--fit`` of them are handed to irprune, the last
``--judge`` to both models: the table has the share of equal decisions (the largest element of the last axis) on those,
and the CPU seconds of pruning without verification.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as oir
from numpy.typing import NDArray

import irprune
from irprune.backends.onnx import to_proto
from irprune.errors import TargetError
from irprune.runtime.executable import Executable

Feeds = dict[str, NDArray[Any]]

WAYS: dict[str, dict[str, str]] = {
    "l2, as it is": {"criterion": "l2", "repair": "none"},
    "l2, refitted": {"criterion": "l2", "repair": "reconstruct"},
    "wanda, refitted": {"criterion": "wanda", "repair": "reconstruct"},
    "flap, refitted": {"criterion": "flap", "repair": "reconstruct"},
    "obs, as it is": {"criterion": "obs", "repair": "none"},
    "obs, refitted": {"criterion": "obs", "repair": "reconstruct"},
}


@dataclass(frozen=True)
class Row:
    """One way at one target; ``agreement`` is ``None`` where the target is out of reach."""

    way: str
    target: float
    macs: float
    agreement: float | None
    seconds: float


def rows(model: Path, fit: Feeds, judge: Feeds, targets: Sequence[float]) -> Iterator[Row]:
    """Prune in every way, and compare decisions."""
    wanted = decisions(Executable(model), judge)
    for target in targets:
        for way, options in WAYS.items():
            began = time.process_time()
            try:
                result = irprune.prune(model, macs=target, data=fit, verify=False, **options)  # type: ignore[arg-type]
            except TargetError:
                yield Row(way, target, 1.0, None, time.process_time() - began)
                continue
            seconds = time.process_time() - began
            assert isinstance(result.model, oir.Model)
            same = decisions(Executable(to_proto(result.model)), judge) == wanted
            before, after = result.plan.cost_before.macs, result.plan.cost_after.macs
            yield Row(way, target, after / before, float(same.mean()), seconds)


def decisions(model: Executable, feeds: Feeds) -> NDArray[np.intp]:
    """The largest element of the last axis of the first output."""
    first = next(iter(model.run(feeds, optimize=True).values()))
    return np.asarray(first.argmax(axis=-1), dtype=np.intp).ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("--macs", type=float, nargs="+", default=[0.5])
    parser.add_argument("--fit", type=int, default=512)
    parser.add_argument("--judge", type=int, default=1000)
    given = parser.parse_args()
    with np.load(given.inputs) as stored:
        arrays = {name: stored[name] for name in stored.files}
    fit = {name: array[: given.fit] for name, array in arrays.items()}
    judge = {name: array[-given.judge :] for name, array in arrays.items()}
    print("| way | target | multiply-accumulates | equal decisions | CPU s |\n|---|---:|---:|---:|---:|")
    for row in rows(given.model, fit, judge, given.macs):
        agreement = "out of reach" if row.agreement is None else f"{row.agreement:.1%}"
        print(f"| {row.way} | {row.target:g} | {row.macs:.1%} | {agreement} | {row.seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
