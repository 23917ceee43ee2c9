"""Whether the user trusts the files that a command reads: ``irprune --trust COMMAND``."""

from __future__ import annotations

_trusted = False


def trusted() -> bool:
    return _trusted


def set_trust(wanted: bool) -> None:
    global _trusted
    _trusted = wanted
