"""Where a network is cut into blocks: values that every path from an input to the outputs passes through.

A residual sum is such a value, and so is every value of a plain chain; the branches between two sums are not. They are
found by dominators (Cooper, Harvey, Kennedy 2001), so no names are read.
"""

from __future__ import annotations

from collections.abc import Collection

import networkx as nx

from ...ir import Graph
from ...signatures import traits_of
from .ends import is_float, is_layer

_SINK = ""
"""The node behind all ends; no value is called that."""


def cuts(graph: Graph, ends: Collection[str]) -> tuple[str, ...]:
    """The values between blocks, in the order of the graph; weights lie between any two, and behind the last one."""
    flow: nx.DiGraph[str] = nx.DiGraph()
    flow.add_edges_from((_SINK, end) for end in ends)
    layers: dict[str, int] = {}
    for number, node in enumerate(graph.nodes):
        if traits_of(node.qualified_op).reads_sizes:
            continue
        operands = [name for name in node.inputs if name and name not in graph.constants and is_float(graph, name)]
        for output in filter(None, node.outputs):
            flow.add_edges_from((output, operand) for operand in operands)
            if is_layer(graph, node):
                layers[output] = number
    order = {output: number for number, node in enumerate(graph.nodes) for output in node.outputs}
    above = nx.immediate_dominators(flow, _SINK)
    sources = [name for name in above if name != _SINK and not any(flow.successors(name))]
    chains = [_chain(above, source) for source in sources]
    places = sorted(layers.values())
    return max((_between_layers(chain, order, places, set(ends)) for chain in chains), key=len, default=())


def _chain(above: dict[str, str], name: str) -> list[str]:
    """What every path from a value to the ends passes through, from the value on."""
    found = []
    while name != _SINK:
        found.append(name)
        name = above[name]
    return found


def _between_layers(
    chain: list[str], order: dict[str, int], places: list[int], ends: Collection[str]
) -> tuple[str, ...]:
    """Of values in a row those right before the next layer."""
    found: list[str] = []
    last = -1
    computed = [name for name in chain if name in order and name not in ends]
    for name, following in zip(computed, [*(order[name] for name in computed[1:]), len(order)], strict=True):
        here = order[name]
        if any(last < place <= here for place in places) and any(here < place <= following for place in places):
            found.append(name)
            last = here
    return tuple(found)
