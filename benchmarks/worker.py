"""The process that does one task: ``python -m benchmarks.worker TASK ANSWER``.

A tool does its job twice. The first time warms caches and lazy imports up and gives the peak of memory and the seconds
of a whole process; the second gives the seconds of the job alone.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .prepare import check, export
from .task import STARTED, Answer, Sample, Task
from .tools import TOOLS


def measure(task: Task) -> Sample:
    """Seconds of the second run; peaks, and the time since the process was started, of the first."""
    tool = TOOLS[task.kind]
    first = tool(task)
    process = time.time() - float(os.environ[STARTED])
    return replace(tool(task), module_bytes=first.module_bytes, file_bytes=first.file_bytes, process=process)


def perform(task: Task) -> dict[str, Any]:
    """Do a task of any kind."""
    if task.kind == "export":
        return export(task)
    if task.kind == "check":
        return check(task)
    return asdict(measure(task))


def main(text: str, answer: Path) -> None:
    try:
        found = Answer(perform(Task.loads(text)))
    except Exception as error:  # whatever a tool raises is the finding
        words = " ".join(str(error).split())
        found = Answer({}, f"{type(error).__name__}: {words}"[:200])
    found.write(answer)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
