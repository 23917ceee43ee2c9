"""Meet a latency: the share of multiply-accumulates whose model, measured as a whole, takes the time asked for.

Time follows multiply-accumulates closely where widths are those that the runtime computes fast, but neither starts at
zero nor is a line. Each candidate is written and measured in turns with the original; the next share is where a line
between the two measurements that enclose the target meets it (regula falsi).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, TargetError
from .bench import Settings, bench

Write = Callable[[float, Path], None]
"""Writes the model that keeps a share of the multiply-accumulates. Raises :class:`TargetError` where none can."""

_CLOSE = 0.02
_TRIES = 8
_SECONDS = 4.0
_RUNS = 60


@dataclass(frozen=True)
class Reached:
    """Milliseconds of the original, of the smaller model as predicted and as measured; and its share of MACs."""

    original: float
    wanted: float
    predicted: float
    measured: float
    macs: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"latency: {self.measured:.2f} ms, {self.measured / self.original:.1%} of the original's "
            f"{self.original:.2f} ({self.wanted:.2f} asked for, {self.predicted:.2f} predicted)"
        )


@dataclass(frozen=True)
class _Point:
    """A share of multiply-accumulates, and the share of the original's time that it takes."""

    macs: float
    time: float


def meet_latency(
    original: Path, write: Write, latency: float | str, *, threads: int, at: Mapping[str, Sequence[int]]
) -> Reached:
    """The share of multiply-accumulates that meets a latency: a share of the original's, or ``12ms``.

    Raises :class:`InputError` for a model that does not run, or that is as fast already, and :class:`TargetError` where
    no width is fast enough: it names the floor.
    """
    settings = Settings(threads=threads, runs=_RUNS, seconds=_SECONDS, memory=False)
    before = bench([original], settings, shapes=at).models[0].latency.median
    wanted = milliseconds_of(latency) / before if isinstance(latency, str) else latency
    if wanted >= 1:
        raise InputError(f"--latency {latency}: the model takes {before:.2f} ms as it is")
    with tempfile.TemporaryDirectory(prefix="irprune-") as folder:
        spare = Path(folder) / "smaller.onnx"

        def measure(share: float) -> tuple[float, float]:
            write(share, spare)
            first, second = bench([original, spare], settings, shapes=at).models
            return first.latency.median, second.latency.median

        return Search(measure, before).run(latency)


def milliseconds_of(text: str) -> float:
    """The number of a latency such as ``12ms``."""
    return float(text.removesuffix("ms"))


class Search:
    """Tries shares of multiply-accumulates; ``measure`` gives the milliseconds of the original and of a candidate."""

    def __init__(self, measure: Callable[[float], tuple[float, float]], before: float) -> None:
        self.measure, self.before = measure, before
        self.points = [_Point(1.0, 1.0)]
        self.impossible = 0.0

    def run(self, asked: float | str) -> Reached:
        """What comes nearest to a share of the original's time, or to milliseconds (``12ms``).

        The load of a machine changes: milliseconds are another share of the original's time each time it is measured.
        Raises :class:`TargetError` where nothing is fast enough.
        """
        best: tuple[float, Reached] | None = None
        wanted = self._share_of(asked)
        for _ in range(_TRIES):
            share = self._next(wanted)
            predicted = self._predicted(share)
            try:
                point = self._measure(share)
            except TargetError:
                self.impossible = max(self.impossible, share)
                continue
            wanted = self._share_of(asked)
            missed = abs(point.time / wanted - 1)
            if best is None or missed < best[0]:
                ms = self.before
                best = missed, Reached(ms, wanted * ms, predicted * ms, point.time * ms, share)
            if missed <= _CLOSE:
                break
        fastest = min(point.time for point in self.points)
        if best is None or fastest > wanted * (1 + 2 * _CLOSE):
            raise TargetError(
                f"latency cannot go below {fastest:.1%} of the original ({fastest * self.before:.2f} ms; "
                f"{asked} was asked for)"
            )
        return best[1]

    def _share_of(self, asked: float | str) -> float:
        """The share of the original's time, as it was measured last."""
        return milliseconds_of(asked) / self.before if isinstance(asked, str) else asked

    def _next(self, wanted: float) -> float:
        """The share on the line between the two points around the target; below all of them, half the way down."""
        slower = min((p for p in self.points if p.time >= wanted), key=lambda p: p.time)
        faster = [p for p in self.points if p.time < wanted]
        if not faster:
            guess = slower.macs * wanted / slower.time
            return max(guess, (self.impossible + slower.macs) / 2) if self.impossible else guess
        under = max(faster, key=lambda p: p.time)
        part = (wanted - under.time) / (slower.time - under.time)
        share = under.macs + part * (slower.macs - under.macs)
        low, high = sorted((under.macs, slower.macs))
        margin = 0.05 * (high - low)  # measurements are noisy: never the same share again
        return float(np.clip(share, low + margin, high - margin))

    def _predicted(self, share: float) -> float:
        """The time on the lines between the points; they all pass through zero and one."""
        known = sorted([*((p.macs, p.time) for p in self.points), (0.0, 0.0)])
        return float(np.interp(share, [macs for macs, _ in known], [time for _, time in known]))

    def _measure(self, share: float) -> _Point:
        self.before, after = self.measure(share)
        point = _Point(share, after / self.before)
        self.points.append(point)
        return point
