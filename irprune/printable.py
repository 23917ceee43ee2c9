"""Names that come from files, made fit for a terminal and for XML."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Controls (but for tabs and ends of lines), marks that turn the direction of text, halves of surrogate pairs."""


def printable(text: str) -> str:
    r"""The text with ``\x1b`` in place of what a terminal would obey or XML does not allow."""
    return _UNPRINTABLE.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
