"""Pages: one HTML file each, with everything inside it, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..versions import IRPRUNE
from . import svg
from .facts import Facts
from .graph import diagram
from .pictures import Point, curve, times, tradeoff, widths
from .words import share, spell

_BARS, _CURVES, _BOXES, _ROWS = 120, 60, 80, 300
"""The most that a page shows of each; a line says how many more there are. Any page stays below a megabyte."""

_MEMBERS = 8


def require_pages() -> None:
    """Raise :class:`InputError` where the library that fills in pages is missing."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise InputError("pages need jinja2: pip install 'irprune[report]'") from None


def page(facts: Facts) -> str:
    """The page of one pruned model."""
    by_loss = sorted(range(len(facts.groups)), key=lambda k: (facts.groups[k].kept == facts.groups[k].size, k))
    listed = [facts.groups[k] for k in sorted(by_loss[:_ROWS])]
    drawn = [facts.groups[k] for k in sorted(by_loss[:_BOXES])]
    bars = [facts.groups[k] for k in sorted(by_loss[:_BARS])]
    return _filled(
        "model.html",
        facts=facts,
        groups=listed,
        members=_MEMBERS,
        costs=[
            (c.name, spell(c.before, c.unit), spell(c.after, c.unit), share(c.after, c.before)) for c in facts.costs
        ],
        widths=_safe(widths(bars)) if bars else "",
        graph=_safe(diagram(drawn)) if drawn else "",
        curves=[_safe(curve(fact, k)) for k, fact in enumerate(facts.curves[:_CURVES])],
        times=_safe(times(facts.operators)) if facts.operators else "",
        more={
            "bars": len(facts.groups) - len(bars),
            "boxes": len(facts.groups) - len(drawn),
            "rows": len(facts.groups) - len(listed),
            "curves": max(len(facts.curves) - _CURVES, 0),
        },
    )


def sweep_page(
    title: str,
    command: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    points: Sequence[Point],
    axes: tuple[str, str],
) -> str:
    """The page of a sweep: a table of models, and their trade-off; ``axes`` names cost and worth."""
    drawn = _safe(tradeoff(points, *axes, alone=False)) if points else ""
    return _filled("sweep.html", title=title, command=command, columns=columns, rows=rows, tradeoff=drawn)


def _filled(name: str, **values: Any) -> str:
    require_pages()
    import jinja2

    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    pages = jinja2.Environment(
        loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return pages.get_template(name).render(style=_safe(svg.STYLE), version=IRPRUNE, **values)


def _safe(text: str) -> Any:
    """Text that is markup already: pictures escape the names that they hold."""
    from markupsafe import Markup

    return Markup(text)
