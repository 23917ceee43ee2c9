"""The peak memory of a process that does nothing but load a model and run it.

``python -m irprune.bench.memory MODEL FEEDS.npz RUNTIME THREADS PROVIDER`` prints it in bytes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from ..runtime.feeds import Feeds
from .runners import runner_of

_TIMEOUT = 600
_RUNS = 2


def peak_memory(path: Path, feeds: Feeds, settings: tuple[str, int, str], scratch: Path) -> int | None:
    """The bytes that a process of its own took at most, interpreter and libraries included; ``None`` if it failed."""
    data = scratch / "feeds.npz"
    np.savez(data, **feeds)  # type: ignore[arg-type]
    runtime, threads, provider = settings
    command = [sys.executable, "-m", "irprune.bench.memory", str(path), str(data), runtime, str(threads), provider]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
        return int(done.stdout.split()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        return None


def own_peak() -> int:
    """The most that this process has held so far, as Linux counts it: without what its parent held."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _main(path: str, data: str, runtime: str, threads: str, provider: str) -> None:
    with np.load(data) as stored:
        feeds = {name: stored[name] for name in stored.files}
    run = runner_of(runtime, int(threads), provider).open(Path(path), feeds)
    for _ in range(_RUNS):
        run()
    print(own_peak())


if __name__ == "__main__":
    _main(*sys.argv[1:])
