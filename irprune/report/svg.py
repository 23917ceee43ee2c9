"""Static SVG: shapes whose colors are classes of the page's style sheet, and texts whose room is known.

Texts are set in a font of one width, so that without a browser it is known how long they become.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

FONT = "ui-monospace, 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"
SIZE = 12.0
"""Pixels of a text."""

STYLE = """
.picture { --ink: #1b1f24; --muted: #57606a; --accent: #0b62c4; --faint: #d0d7de; --paper: #ffffff; --mark: #b3261e;
  font: 12px/1 FONT; fill: var(--ink); }
.picture .muted { fill: var(--muted); }
.picture .old { fill: var(--faint); }
.picture .new { fill: var(--accent); }
.picture .line { fill: none; stroke: var(--accent); stroke-width: 2; }
.picture .edge { fill: none; stroke: var(--muted); stroke-width: 1; opacity: .7; }
.picture .axis { fill: none; stroke: var(--faint); stroke-width: 1; }
.picture .cut { stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 4 3; fill: none; }
.picture .dot { fill: var(--mark); }
.picture .box { fill: var(--paper); stroke: var(--muted); stroke-width: 1; }
.picture .middle { text-anchor: middle; }
.picture .end { text-anchor: end; }
@media (prefers-color-scheme: dark) { .picture { --ink: #e6edf3; --muted: #9da7b3; --accent: #58a6ff;
  --faint: #3d444d; --paper: #0d1117; --mark: #ff7b72; } }
@media print { .picture { --ink: #1b1f24; --muted: #57606a; --accent: #0b62c4; --faint: #d0d7de; --paper: #ffffff;
  --mark: #b3261e; } }
""".replace("FONT", FONT)
"""The colors of pictures: contrast of texts is at least 4.5 on light and on dark paper."""


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """A line of text; ``kind`` are classes."""
    return f'<text x="{x:.1f}" y="{y:.1f}"{_class(kind)}>{escape(words)}</text>'


def rect(x: float, y: float, w: float, h: float, kind: str, *, round: float = 0) -> str:
    corners = f' rx="{round:g}"' if round else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{h:.1f}"{corners}{_class(kind)}/>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{_class(kind)}/>'


def dot(x: float, y: float, r: float = 4) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:g}" class="dot"/>'


def path(commands: str, kind: str) -> str:
    return f"<path d={quoteattr(commands)}{_class(kind)}/>"


def polyline(points: Iterable[tuple[float, float]], kind: str) -> str:
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"{_class(kind)}/>'


def titled(name: str, *parts: str) -> str:
    """Parts that belong together, with a name that a reader hears and a pointer shows."""
    return f"<g><title>{escape(name)}</title>{''.join(parts)}</g>"


def picture(key: str, w: float, h: float, title: str, described: str, parts: Iterable[str], *, alone: bool) -> str:
    """A picture of a page; one that stands ``alone`` in a file brings its style sheet and its paper along.

    ``key`` is unique on the page: the title and the description are found by it.
    """
    sheet = f'<style>{STYLE}</style><rect width="100%" height="100%" fill="var(--paper)"/>' if alone else ""
    size = f'width="{w:.0f}" height="{h:.0f}" ' if alone else f'style="max-width: {w:.0f}px" '
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" {size}viewBox="0 0 {w:.0f} {h:.0f}" role="img" '
        f'aria-labelledby="{key}-t {key}-d"><title id="{key}-t">{escape(title)}</title>'
        f'<desc id="{key}-d">{escape(described)}</desc>{sheet}{"".join(parts)}</svg>'
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
