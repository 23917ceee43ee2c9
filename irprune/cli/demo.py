"""``irprune demo``: everything at once, on a small model that ships with irprune."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..request import COSTS, Request
from . import options as o
from .checks import Checks
from .exits import FAILED, complain
from .outputs import require_writable

if TYPE_CHECKING:
    from rich.table import Table

    from ..ir.core import Array

_MACS = 0.35
"""Keeps the accuracy within about a point, without any retraining."""

_PIXEL_MAX = 16
_BATCH = 64
_WARM_UP, _RUNS = 10, 100


@o.takes(Request, "ratio", *COSTS, "criterion", "scope", "align", "target")
def demo(
    request: Request,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="Keep the smaller model there.")
    ] = None,
) -> None:
    """Prune a small embedded classifier, verify it, and measure it before and after. Needs no torch."""
    if not request.targets:
        request = request.model_copy(update={"macs": _MACS})
    request.require_target()
    from .work import carry_out, decide, read

    if output is not None:
        require_writable(output)
    from . import report
    from .summary import tables

    out = report.console()
    with _embedded() as (model, images, labels), _room(output) as small:
        given = read(model)
        outcome = carry_out(given, decide(given, request), small, Checks())
        out.print(f"A classifier of 8x8 digits, {len(given.analysis.graph.nodes)} operators; {_asked(request)}.")
        tables(out, given, outcome)
        if not outcome.ok:
            complain(outcome.refusal())
            raise typer.Exit(FAILED)
        out.print(_measured(model, small, images, labels))
    out.print("Equivalent says that the model computes what removing these channels means, no more and no less.")
    out.print("Accuracy says what removing them costs: it was not retrained.")
    if output is not None:
        out.print(f"wrote {output} (verified)", markup=False)


def _asked(request: Request) -> str:
    if request.ratio is not None:
        return f"a share of {request.ratio:g} of its channels is removed"
    assert request.cost is not None
    name, share = request.cost
    return f"a share of {share:g} of its {_CALLED[name]} is kept"


_CALLED = {"params": "parameters", "macs": "multiply-accumulates", "bytes": "bytes"}


@contextmanager
def _embedded() -> Iterator[tuple[Path, Array, Array]]:
    """The embedded model as a file, its held-out inputs, and their labels."""
    import numpy as np

    folder = files("irprune.models")
    with as_file(folder / "digits.onnx") as model, as_file(folder / "digits_heldout.npz") as data:
        with np.load(data) as heldout:
            images = heldout["images"].astype(np.float32) / np.float32(_PIXEL_MAX)
            labels = heldout["labels"]
        yield model, images, labels


@contextmanager
def _room(output: Path | None) -> Iterator[Path]:
    """Where the smaller model goes: the output, or a file that is gone afterwards."""
    if output is not None:
        yield output
        return
    with tempfile.TemporaryDirectory(prefix="irprune-") as folder:
        yield Path(folder) / "digits-small.onnx"


def _measured(before: Path, after: Path, images: Array, labels: Array) -> Table:
    """Accuracy and latency of both models on ONNX Runtime, on one thread."""
    from . import report

    old, new = (_Model(path) for path in (before, after))
    accuracies = [model.accuracy(images, labels) for model in (old, new)]
    latencies = _latencies([old, new], images)
    rows = [
        (f"accuracy on {len(labels)} held-out images", *(f"{value:.2%}" for value in accuracies), ""),
        (
            f"milliseconds for {_BATCH} images, one thread",
            *(f"{value * 1e3:.2f}" for value in latencies),
            f"{latencies[0] / latencies[1]:.2f} times as fast",
        ),
    ]
    return report.table("Measured", ("", "before", "after", ""), rows, right=(1, 2))


class _Model:
    def __init__(self, path: Path) -> None:
        from ..runtime.session import open_session

        self.session = open_session(path, optimize=True, threads=1, thrifty=False)
        self.input = self.session.get_inputs()[0].name

    def run(self, images: Array) -> Array:
        import numpy as np

        return np.asarray(self.session.run(None, {self.input: images})[0])

    def accuracy(self, images: Array, labels: Array) -> float:
        return float((self.run(images).argmax(axis=1) == labels).mean())


def _latencies(models: list[_Model], images: Array) -> list[float]:
    """The median time of a batch for each model, taken in turns so that both see the same machine."""
    from statistics import median

    seconds: list[list[float]] = [[] for _ in models]
    batch = images[:_BATCH]
    for _ in range(_WARM_UP + _RUNS):
        for model, times in zip(models, seconds, strict=True):
            start = time.perf_counter()
            model.run(batch)
            times.append(time.perf_counter() - start)
    return [median(times[_WARM_UP:]) for times in seconds]
