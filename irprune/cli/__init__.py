"""The command line. Only what ``--help`` needs is imported here; each command imports its own work."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main", "run"]


def run(arguments: Sequence[str]) -> int:
    """What :func:`main` does, with the exit code as its result."""
    from .app import run

    return run(arguments)


def main() -> None:
    """The command ``irprune``. It listens to signals before anything that takes long is imported."""
    from .exits import interrupted, prepare, was_stopped

    prepare()
    try:
        code = run(sys.argv[1:])
    except (Exception, KeyboardInterrupt):  # of the imports; the rest is guarded
        if not was_stopped():
            raise
        code = interrupted()
    sys.exit(code)
