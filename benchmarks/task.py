"""One thing to do in a process of its own, and what came of it, as the two processes pass it to each other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

THREADS = 2
STARTED = "IRPRUNE_BENCH_STARTED"
"""The environment variable that says when a process was started, in seconds since the epoch."""
SEED = 0
RATIO = 0.5


@dataclass(frozen=True)
class Task:
    """``kind`` is ``export``, ``check`` or the name of a tool; ``source`` and ``output`` are ONNX files."""

    kind: str
    model: str
    source: str = ""
    output: str = ""

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def loads(text: str) -> Task:
        return Task(**json.loads(text))


@dataclass(frozen=True)
class Sample:
    """What one run of a tool cost: seconds, and the peak of the process in bytes; ``None`` is what the tool has not.

    ``module`` is the job from a module in memory to a smaller module, ``file`` the job that ends in an ONNX file,
    ``process`` the same in a process that does nothing else, from its start, imports included.
    """

    analysis: float | None
    module: float | None
    file: float
    module_bytes: int | None
    file_bytes: int
    process: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a process found: ``values`` where it went well, ``error`` in words where it did not."""

    values: dict[str, Any]
    error: str = ""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Answer:
        return Answer(**json.loads(path.read_text(encoding="utf-8")))
