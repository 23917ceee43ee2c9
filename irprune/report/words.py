"""Numbers and names as a page spells them."""

from __future__ import annotations

import unicodedata

_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_ADVANCE = 0.62
"""The widest advance of a character of the fonts in :data:`.svg.FONT`, as a share of their size."""


def spell(value: float, unit: str = "") -> str:
    """``3.31 M``, ``359.7 kB``, ``12.40 ms``."""
    if unit == "ms":
        return f"{value:.2f} ms"
    for size, prefix in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.2f} {prefix}{unit}"
    return f"{value:,.0f} {unit}".rstrip()


def share(part: float, whole: float) -> str:
    """``49.8 %``; a dash where there is no whole."""
    return f"{part / whole:.1%}".replace("%", " %") if whole else "–"


def cells(text: str) -> int:
    """How many columns of a terminal, or advances of a font of one width, a text takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)


def width(text: str, size: float) -> float:
    """The most pixels that a text takes in a font of one width and of a size in pixels."""
    return cells(text) * size * _ADVANCE


def shortened(text: str, room: float, size: float) -> str:
    """The text, or its start and its end, such that it fits a room in pixels; the end tells more than the start."""
    text = "".join(c if c.isprintable() else "·" for c in text)
    if width(text, size) <= room:
        return text
    most = max(int(room / (size * _ADVANCE)) - 1, 1)
    head = most // 3
    found = f"{text[:head]}…{text[len(text) - (most - head) :]}"
    return found if width(found, size) <= room else found[: most // 2]
