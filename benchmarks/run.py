"""Processes, repetitions and medians.

Nothing here imports a library: on Linux the peak of a process starts at what its parent held when it was started, so
the parent has to stay small.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from .task import STARTED, THREADS, Answer, Sample, Task

TIMEOUT = 900
_SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS)),
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Threads that spin while they wait made torch ten times slower on a machine that had other work to do."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """What one tool did to one model. ``samples`` are all of its runs; ``error`` is what went wrong, if anything."""

    model: str
    tool: str
    before: int
    samples: tuple[Sample, ...] = ()
    after: int | None = None
    error: str = ""

    def median(self) -> dict[str, Any]:
        """The median of each figure over the runs, ``None`` where there is none."""
        found: dict[str, Any] = {}
        for field in fields(Sample):
            values = [getattr(sample, field.name) for sample in self.samples]
            known = [value for value in values if value is not None]
            found[field.name] = median(known) if known else None
        return found


def perform(task: Task, folder: Path) -> Answer:
    """Do a task in a process of its own."""
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.worker", task.dumps(), str(answer)]
    environment = {**os.environ, **_SETTINGS, STARTED: str(time.time())}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return Answer({}, f"not done after {TIMEOUT} s")
    if not answer.exists():
        return Answer({}, f"the process died with exit status {done.returncode}")
    return Answer.read(answer)


def compare(models: Sequence[str], tools: Sequence[str], runs: int, say: Say) -> Iterator[Row]:
    """Every tool on every model. The tools take turns, so that a busy moment does not fall on one of them alone."""
    with tempfile.TemporaryDirectory(prefix="irprune-bench-") as name:
        folder = Path(name)
        for model in models:
            source = folder / f"{model}.onnx"
            say(f"{model}: export")
            require(perform(Task("export", model, output=str(source)), folder), f"export of {model}")
            counted = perform(Task("check", model, source=str(source)), folder)
            require(counted, f"{model} on ONNX Runtime")
            samples: dict[str, list[Sample]] = {tool: [] for tool in tools}
            errors: dict[str, str] = {}
            for number in range(runs):
                for tool in tools:
                    if tool in errors:
                        continue
                    say(f"{model}: {tool}, run {number + 1} of {runs}")
                    done = perform(Task(tool, model, str(source), str(folder / f"{tool}.onnx")), folder)
                    if done.error:
                        errors[tool] = done.error
                    else:
                        samples[tool].append(Sample(**done.values))
            for tool in tools:
                before = counted.values["parameters"]
                output = folder / f"{tool}.onnx"
                yield finish(Row(model, tool, before, tuple(samples[tool]), error=errors.get(tool, "")), output)
                output.unlink(missing_ok=True)
            source.unlink()


def finish(row: Row, output: Path) -> Row:
    """The row with what ONNX Runtime says about the file that the tool wrote."""
    if row.error:
        return row
    checked = perform(Task("check", row.model, source=str(output)), output.parent)
    return Row(row.model, row.tool, row.before, row.samples, checked.values.get("parameters"), checked.error)


def require(answer: Answer, what: str) -> None:
    """Stop where there is nothing to compare."""
    if answer.error:
        raise SystemExit(f"{what}: {answer.error}")
