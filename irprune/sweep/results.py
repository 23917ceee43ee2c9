"""The results of a sweep as a table, as CSV, and as the points of a trade-off."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ..report.pictures import Point

COLUMNS = ("by", "target", "params", "macs", "bytes", "file_bytes", "ms", "agreement", "snr_db", "accuracy", "error")
"""Costs are those of the smaller model; ``ms`` is measured where a latency is the target."""

_WORTH = (
    ("accuracy", "accuracy"),
    ("agreement", "share of equal decisions"),
    ("snr_db", "signal-to-noise ratio in dB"),
)


def row_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table, by the names of its columns; ``None`` for what is not known."""
    costs = {name: both[1] for name, both in found.get("cost", {}).items()}
    known = {"ms": (found.get("latency") or {}).get("measured"), "accuracy": (found.get("accuracy") or [None, None])[1]}
    every = {**found, **costs, **known}
    return {name: every.get(name) for name in COLUMNS}


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table, with a line of names."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return out.getvalue()


def tradeoff_of(found: Sequence[Mapping[str, Any]], by: str) -> tuple[list[Point], tuple[str, str]]:
    """The models that were made as points, and the names of the axes: cost, and the best known measure of worth."""
    made = [item for item in found if item["ok"]]
    rows = [row_of(item) for item in made]
    key, worth = next(((key, name) for key, name in _WORTH if rows and all(r[key] is not None for r in rows)), ("", ""))
    across = "milliseconds" if by == "latency" else f"share of the {_COSTS[by]}"
    if not key:
        return [], (across, worth)
    points = [
        Point(_cost(item, by), float(row[key]), f"{row['target']:g}") for item, row in zip(made, rows, strict=True)
    ]
    return points, (across, worth)


_COSTS = {"macs": "multiply-accumulates", "params": "parameters", "bytes": "bytes of weights"}


def _cost(found: Mapping[str, Any], by: str) -> float:
    if by == "latency":
        return float(found["latency"]["measured"])
    before, after = found["cost"][by]
    return float(after / max(before, 1))
