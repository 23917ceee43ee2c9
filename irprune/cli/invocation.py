"""The command line as it was given, for pages that say how they were made."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

_words: tuple[str, ...] = ()


def set_command(words: Sequence[str]) -> None:
    global _words
    _words = tuple(words)


def command() -> str:
    """The command that runs, as a shell takes it."""
    return shlex.join(["irprune", *_words])
