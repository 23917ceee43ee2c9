"""The diagram of groups: boxes in layers, an edge where two groups meet in a weight, and how much of each stays.

Groups come in the order of the model's graph, so that every edge leads forward. The layer of a group is the longest way
to it; within a layer, groups stand near the groups they follow (barycenters). A long and thin diagram is folded into
columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import svg
from .facts import GroupFact, links
from .words import shortened

_W, _H = 164.0, 44.0
_ACROSS, _DOWN = 30.0, 26.0
_SIDE = 44.0
_MOST_ACROSS = 6
_FOLDED_FROM = 12
"""Layers from which on a thin diagram is folded."""

_CROWDED = 1.5
"""Edges for each group from which on those that follow from others are left out."""


@dataclass(frozen=True)
class Layout:
    """The upper left corner of each box, the edges between boxes, and the size of the whole; in pixels."""

    places: tuple[tuple[float, float], ...]
    edges: tuple[tuple[int, int], ...]
    width: float
    height: float
    is_thinned: bool


def layout(count: int, edges: Sequence[tuple[int, int]]) -> Layout:
    """Where ``count`` boxes stand; each edge leads from a lower number to a higher one."""
    kept = _thinned(count, edges) if len(edges) > _CROWDED * count else list(edges)
    rows = _rows(_layers(count, kept), kept)
    widest = max(map(len, rows), default=1)
    columns = max(1, _MOST_ACROSS // (widest + 1)) if len(rows) >= _FOLDED_FROM else 1
    length = -(-len(rows) // columns)
    column = widest * (_W + _ACROSS) + 2 * _SIDE
    places = [(0.0, 0.0)] * count
    for number, row in enumerate(rows):
        left = (number // length) * column + (column - len(row) * (_W + _ACROSS) + _ACROSS) / 2
        for k, box in enumerate(row):
            places[box] = (left + k * (_W + _ACROSS), 8 + (number % length) * (_H + _DOWN))
    return Layout(tuple(places), tuple(kept), columns * column, length * (_H + _DOWN), len(kept) < len(edges))


def _thinned(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges without those that a longer way replaces."""
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(edges)
    return sorted(nx.transitive_reduction(graph).edges)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The boxes by the length of the longest way to them; boxes without edges come last."""
    before: list[list[int]] = [[] for _ in range(count)]
    for left, right in edges:
        before[right].append(left)
    linked = {box for edge in edges for box in edge}
    depth = [0] * count
    for box in range(count):
        depth[box] = 1 + max((depth[other] for other in before[box]), default=-1)
    found: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for box in range(count):
        if box in linked:
            found[depth[box]].append(box)
    alone = [box for box in range(count) if box not in linked]
    return [layer for layer in [*found, alone] if layer]


def _rows(layers: Sequence[list[int]], edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The layers in an order with few crossings, those that are too wide in several rows."""
    before: dict[int, list[int]] = {}
    for left, right in edges:
        before.setdefault(right, []).append(left)
    place: dict[int, float] = {}
    rows = []
    for layer in layers:
        middle = {box: [place[other] for other in before.get(box, ()) if other in place] for box in layer}
        ordered = sorted(layer, key=lambda box: (sum(middle[box]) / len(middle[box]) if middle[box] else 0.0, box))
        for k, box in enumerate(ordered):
            place[box] = (k + 0.5) / len(ordered)
        rows += [ordered[k : k + _MOST_ACROSS] for k in range(0, len(ordered), _MOST_ACROSS)]
    return rows


def diagram(groups: Sequence[GroupFact]) -> str:
    """The picture."""
    found = layout(len(groups), links(groups))
    parts = [svg.path(_way(found.places[a], found.places[b]), "edge") for a, b in found.edges]
    parts += [_box(group, *place) for group, place in zip(groups, found.places, strict=True)]
    thinned = " Edges that follow from others are left out." if found.is_thinned else ""
    described = (
        f"{len(groups)} groups and {len(found.edges)} edges; an edge joins groups that meet in a weight.{thinned}"
    )
    return svg.picture("graph", found.width, found.height, "Groups", described, parts, alone=False)


def _box(group: GroupFact, x: float, y: float) -> str:
    said = f"{group.kept} of {group.size}"
    room = _W - 16
    return svg.titled(
        f"{group.name} ({group.kind}): keeps {said}, in {len(group.members)} dimensions of tensors",
        svg.rect(x, y, _W, _H, "box", round=4),
        svg.text(x + 8, y + 16, shortened(group.name, room, svg.SIZE)),
        svg.text(x + 8, y + 32, said, "muted"),
        svg.rect(x + 8, y + 37, room, 4, "old"),
        svg.rect(x + 8, y + 37, room * group.kept / max(group.size, 1), 4, "new"),
    )


def _way(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Straight down to the next row; else around the boxes between, or over to the next column."""
    (x1, y1), (x2, y2) = start, end
    if 0 < y2 - y1 < 1.5 * (_H + _DOWN):
        over, under = (x1 + _W / 2, y1 + _H), (x2 + _W / 2, y2)
        return _bent(over, (over[0], over[1] + _DOWN / 2), (under[0], under[1] - _DOWN / 2), under)
    a, b = y1 + _H / 2, y2 + _H / 2
    if abs(x2 - x1) < 1.5 * _W:
        bow = min(16 + 0.05 * abs(y2 - y1), 1.3 * _SIDE)
        far = max(x1, x2) + _W + bow
        return _bent((x1 + _W, a), (far, a), (far, b), (x2 + _W, b))
    left_x, right_x = (x1 + _W, x2) if x2 > x1 else (x1, x2 + _W)
    middle = (left_x + right_x) / 2
    return _bent((left_x, a), (middle, a), (middle, b), (right_x, b))


def _bent(start: tuple[float, float], *others: tuple[float, float]) -> str:
    """A cubic curve from start to end, with the two points that bend it between them."""
    rest = " ".join(f"{x:.1f} {y:.1f}" for x, y in others)
    return f"M{start[0]:.1f} {start[1]:.1f}C{rest}"
