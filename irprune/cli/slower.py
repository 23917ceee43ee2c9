"""After ``irprune prune``: whether the smaller model is slower than the original on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..backends.staging import is_stream
from ..errors import InputError
from .exits import warn
from .progress import step

if TYPE_CHECKING:
    from ..bench.bench import Bench
    from ..request import Request
    from .work import Outcome, Read

_CHEAP_MACS, _CHEAP_BYTES = 1_000_000_000, 64_000_000
"""Models of at most this size are measured without being asked."""

_SECONDS = 0.4
_NOTICED, _LEAST_MS = 0.95, 0.05
"""Below these a difference is not worth a warning."""


def compare_latency(given: Read, request: Request, output: Path, outcome: Outcome, asked: bool | None) -> Bench | None:
    """Measure both models if asked, or if that is cheap, and warn of a smaller one that is slower."""
    is_cheap = outcome.plan.cost_before.macs <= _CHEAP_MACS and outcome.size <= _CHEAP_BYTES
    is_verified = outcome.report is not None and request.target == "ort-cpu"
    if not outcome.written or asked is False or (asked is None and not (is_cheap and is_verified)):
        return None
    if is_stream(output):  # it gives nothing back
        if asked:
            raise InputError(f"--bench measures the file that was written, and {output} is none")
        return None
    from ..bench.bench import Settings, bench

    settings = Settings(seconds=None if asked else _SECONDS, memory=bool(asked))
    try:
        found = bench([given.path, output], settings, shapes=dict(outcome.plan.at), step=step)
    except InputError:
        if asked:
            raise
        return None  # a model that does not run on random inputs has no latency
    _warn_of(found, request)
    return found if asked else None


def _warn_of(found: Bench, request: Request) -> None:
    before, after = found.models
    old, new = before.latency.median, after.latency.median
    if old > _NOTICED * new or new - old < _LEAST_MS or after.ratio is None or not after.ratio.is_slower:
        return
    advice = "--align auto keeps widths that it computes fast" if request.align != "auto" else ""
    where = f"'irprune bench {before.path} {after.path} --profile' shows where"
    warn(f"the smaller model is slower on ONNX Runtime: {new:.2f} ms, the original {old:.2f}; {advice or where}")
