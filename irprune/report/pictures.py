"""Bars and curves of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

from . import svg
from .facts import CurveFact, GroupFact, Operator
from .words import shortened, spell, width

_ROW, _NAME, _BAR = 20.0, 230.0, 150.0
_GAP = 10.0
_FEWEST_TICKS = 3


def widths(groups: Sequence[GroupFact]) -> str:
    """A bar for each group: as long as it was wide, filled as far as it stays; the widest takes the whole room."""
    most = max((group.size for group in groups), default=1)
    parts = []
    for k, group in enumerate(groups):
        y, full = k * _ROW, _BAR * group.size / most
        said = f"{group.kept} of {group.size}"
        parts.append(
            svg.titled(
                f"{group.name}: keeps {said}; {', '.join(group.members[:6])}{' …' if len(group.members) > 6 else ''}",
                svg.text(0, y + 14, shortened(group.name, _NAME - _GAP, svg.SIZE)),
                svg.rect(_NAME, y + 4, full, 12, "old"),
                svg.rect(_NAME, y + 4, full * group.kept / max(group.size, 1), 12, "new"),
                svg.text(_NAME + _BAR + _GAP, y + 14, said, "muted"),
            )
        )
    longest = max((width(f"{group.size} of {group.size}", svg.SIZE) for group in groups), default=0.0)
    whole = _NAME + _BAR + 2 * _GAP + longest
    described = f"{len(groups)} groups; the filled part of each bar is what stays of its channels."
    return svg.picture("widths", whole, len(groups) * _ROW + 4, "Widths kept", described, parts, alone=False)


def curve(fact: CurveFact, number: int) -> str:
    """The error of one group by the share that goes, and its cut."""
    w, h, left, top, bottom = 250.0, 140.0, 8.0, 38.0, 118.0
    right, most = w - 8.0, max(*fact.error, 1e-30)

    def place(removed: float, error: float) -> tuple[float, float]:
        return left + (right - left) * removed / max(fact.size, 1), bottom - (bottom - top) * error / most

    at = _between(fact, fact.cut)
    x, y = place(fact.cut, at)
    parts = [
        svg.text(left, 13, shortened(fact.name, w - 2 * left, svg.SIZE)),
        svg.text(left, 30, f"error up to {most:.2g}", "muted"),
        svg.text(right, 30, f"cut {fact.cut / max(fact.size, 1):.0%}", "muted end"),
        svg.line(left, bottom, right, bottom, "axis"),
        svg.line(left, top, left, bottom, "axis"),
        svg.polyline([place(r, e) for r, e in zip(fact.removed, fact.error, strict=True)], "line"),
        svg.line(x, top, x, bottom, "cut"),
        svg.dot(x, y),
        svg.text(left, h - 6, "none goes", "muted"),
        svg.text(right, h - 6, "all go", "muted end"),
    ]
    described = f"{fact.cut} of {fact.size} removed, at an error of {at:.3g}; up to {most:.3g} at {fact.removed[-1]}."
    return svg.picture(f"curve{number}", w, h, f"Error of {fact.name}", described, parts, alone=False)


def _between(fact: CurveFact, removed: int) -> float:
    """The error at a number of removed atoms, on the lines between the known ones."""
    points = list(zip(fact.removed, fact.error, strict=True))
    for (r0, e0), (r1, e1) in pairwise(points):
        if r0 <= removed <= r1:
            return e0 + (e1 - e0) * (removed - r0) / max(r1 - r0, 1)
    return points[-1][1] if removed >= points[-1][0] else points[0][1]


def times(operators: Sequence[Operator]) -> str:
    """Two bars for each type of operator: before, and after below it."""
    most = max((max(op.before, op.after) for op in operators), default=1.0) or 1.0
    row, name, bar = 34.0, 200.0, 170.0
    parts = []
    for k, op in enumerate(operators):
        y = k * row
        both = ((op.before, "old", y + 3), (op.after, "new", y + 17))
        parts.append(
            svg.titled(
                f"{op.name}: {op.before:.3f} ms before, {op.after:.3f} ms after",
                svg.text(0, y + 20, shortened(op.name, name - _GAP, svg.SIZE)),
                *(svg.rect(name, top, bar * ms / most, 11, kind) for ms, kind, top in both),
                *(svg.text(name + bar * ms / most + 6, top + 10, spell(ms, "ms"), "muted") for ms, _, top in both),
            )
        )
    longest = max((width(spell(max(op.before, op.after), "ms"), svg.SIZE) for op in operators), default=0.0)
    described = "The pale bar is the original, the dark one the smaller model; milliseconds a run."
    whole = name + bar + 6 + longest + 4
    return svg.picture("times", whole, len(operators) * row + 4, "Time by operator", described, parts, alone=False)


@dataclass(frozen=True)
class Point:
    """A model of a trade-off: what it costs, what it is worth, and what it is called."""

    cost: float
    worth: float
    name: str


def tradeoff(points: Sequence[Point], across: str, up: str, *, alone: bool) -> str:
    """What models are worth by what they cost, the cheapest on the left; both are shares, or numbers from zero on.

    ``across`` and ``up`` name the axes.
    """
    w, h, left, right, top, bottom = 680.0, 400.0, 74.0, 650.0, 40.0, 344.0
    worth = [point.worth for point in points]
    up_ticks, across_ticks = _ticks(*_range(worth)), _ticks(0.0, max((point.cost for point in points), default=1.0))
    low, high, far = up_ticks[0], up_ticks[-1], across_ticks[-1]

    def place(cost: float, value: float) -> tuple[float, float]:
        return left + (right - left) * cost / far, bottom - (bottom - top) * (value - low) / (high - low)

    ordered = sorted(points, key=lambda point: point.cost)
    parts = [
        svg.text(left, 18, shortened(up, w - left - 8, svg.SIZE), "muted"),
        svg.text(right, h - 10, shortened(across, right - left, svg.SIZE), "muted end"),
    ]
    for value in up_ticks:
        _, y = place(0, value)
        parts += [svg.line(left, y, right, y, "axis"), svg.text(left - 8, y + 4, f"{value:.6g}", "muted end")]
    parts += [svg.text(place(cost, low)[0], bottom + 20, f"{cost:.6g}", "muted middle") for cost in across_ticks]
    parts.append(svg.polyline([place(point.cost, point.worth) for point in ordered], "line"))
    taken: list[tuple[float, float]] = []
    for point in ordered:
        x, y = place(point.cost, point.worth)
        label = shortened(point.name, 120, svg.SIZE)
        room = width(label, svg.SIZE) / 2
        middle = min(max(x, left + room), w - room - 2)
        height = next((t for t in (y + 20, y - 12, y + 36, y - 28) if _free(middle, t, taken, top, bottom)), None)
        words = [] if height is None else [svg.text(middle, height, label, "middle")]
        taken += [] if height is None else [(middle, height)]
        parts.append(svg.titled(f"{point.name}: {point.cost:.4g}, {point.worth:.4g}", svg.dot(x, y), *words))
    described = "; ".join(f"{point.name} at {point.cost:.4g}: {point.worth:.4g}" for point in ordered)
    return svg.picture("tradeoff", w, h, f"{up} by {across}", described, parts, alone=alone)


def _free(x: float, y: float, taken: Sequence[tuple[float, float]], top: float, bottom: float) -> bool:
    return top - 4 < y < bottom - 2 and all(abs(x - u) > 124 or abs(y - v) > 15 for u, v in taken)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, equally far from each other, of which the first and the last enclose a range."""
    span = (high - low) or 1.0
    unit = 10 ** floor(log10(span / _FEWEST_TICKS))
    step = next(unit * k for k in (10, 5, 2.5, 2, 1) if span / (unit * k) >= _FEWEST_TICKS or k == 1)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Limits around the values with some air."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    air = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    return low - air, high + air
