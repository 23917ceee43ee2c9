"""Contractions that are fitted as one: several models, read as one, store what they share once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from ..analysis import Analysis
from ..calibration.points import AnyPoint
from ..ir import Graph
from ..ir.core import Array

Team: TypeAlias = tuple[AnyPoint, ...]
"""Points whose weights are one: a fit rests on the samples of all, and all get its values."""


def teams(analysis: Analysis, points: Sequence[AnyPoint]) -> list[Team]:
    """The points in their order, each once, with those that share its weight.

    Left out are weights that other nodes read as well, and twins that cannot be fitted as one: they stay equal.
    """
    import networkx as nx

    graph = analysis.graph
    equal: nx.Graph[str] = nx.Graph(graph.twins)
    single = [point for point in points if len(point.weights) == 1]
    by_weight = {point.weights[0]: point for point in single}
    readers = Counter(point.weights[0] for point in single)
    found: list[Team] = []
    seen: set[str] = set()
    for point in points:
        name = point.weights[0]
        if len(point.weights) > 1:
            alone = all(w not in equal and len(graph.consumers.get(w, ())) == 1 for w in point.weights)
            found += [(point,)] if alone else []
            continue
        names = sorted(nx.node_connected_component(equal, name)) if name in equal else [name]
        if name in seen:
            continue
        seen.update(names)
        if all(readers[other] == len(graph.consumers.get(other, ())) == 1 for other in names):
            team = (point, *(by_weight[other] for other in names if other != name))
            found += [team] if _are_alike(graph, team) else []
    return found


def _are_alike(graph: Graph, team: Team) -> bool:
    """Whether the same least squares belong to all points: they differ in their samples alone."""
    first = [*_facts(graph, team[0])]
    return all(
        len(first) == len(facts) and all(map(np.array_equal, first, facts))
        for facts in ([*_facts(graph, point)] for point in team[1:])
    )


def _facts(graph: Graph, point: AnyPoint) -> Iterator[Array]:
    yield np.array([point.rectified, *point.shape])
    yield from point.affine(graph)
    bias = point.bias_rows(graph)
    if bias is not None:
        yield bias
