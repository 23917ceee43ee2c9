"""The rows as a markdown table and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .run import Row
from .task import RATIO, SEED, THREADS

LIBRARIES = ("torch", "torch-pruning", "onnxsim", "onnx", "onnx-ir", "onnxruntime", "numpy")
_HEAD = (
    "model",
    "tool",
    "analysis s",
    "to module s",
    "to file s",
    "process s",
    "to module MiB",
    "to file MiB",
    "parameters left",
    "on ONNX Runtime",
)


def installed(name: str) -> str | None:
    """The version of a distribution, if there is one."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "threads": THREADS,
        "versions": {name: installed(name) for name in LIBRARIES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(rows: Sequence[Row]) -> str:
    """A markdown table, a row for each tool on each model."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|---|---|" + "---:|" * 7 + "---|"]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(row: Row) -> str:
    middle = row.median()
    cells = [row.model, row.tool]
    cells += [_seconds(middle[name]) for name in ("analysis", "module", "file", "process")]
    cells += [_mebibytes(middle[name]) for name in ("module_bytes", "file_bytes")]
    cells += [_share(row), "runs" if not row.error else f"no: {row.error}".replace("|", "\\|")]
    return "| " + " | ".join(cells) + " |"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _mebibytes(value: float | None) -> str:
    return "–" if value is None else f"{value / 2**20:,.0f}"


def _share(row: Row) -> str:
    return "–" if row.after is None else f"{row.after / 1e6:.2f} M ({row.after / row.before:.0%})"


def footnote(described: dict[str, Any], runs: int) -> str:
    """A line on where the figures come from."""
    versions = ", ".join(f"{name} {found}" for name, found in described["versions"].items() if found)
    machine = f"{described['cpus']} CPUs ({described['processor']}), load {described['load']:.1f} at the start"
    return f"Median of {runs} runs, {THREADS} threads. {machine}. Python {described['python']}, {versions}."


def document(rows: Sequence[Row], runs: int, described: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured, each run included."""
    return {
        "environment": described,
        "request": {"ratio": RATIO, "seed": SEED, "runs": runs},
        "rows": [{**asdict(row), "median": row.median()} for row in rows],
    }
