"""Dead code elimination."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir import Graph
from ..rewriting.liveness import live_values
from .base import Pass, State, register


@register
@dataclass(frozen=True)
class Dce(Pass):
    """Remove nodes and constants that no graph output depends on; graph inputs stay.

    ::

        a = F(x); b = G(x, w); output a   ->   a = F(x); output a
    """

    name: ClassVar[str] = "dce"

    def run(self, state: State) -> State:
        return state.rewritten(without_dead(state.graph))


def without_dead(graph: Graph) -> Graph:
    """The part of a graph that its outputs depend on, with all of its inputs."""
    live = live_values(graph)
    nodes = tuple(node for node in graph.nodes if any(name in live for name in node.outputs))
    constants = {name: constant for name, constant in graph.constants.items() if name in live}
    kept = {name for node in nodes for name in node.outputs} | set(graph.inputs) | constants.keys()
    values = {name: value for name, value in graph.values.items() if name in kept}
    parts = ((nodes, graph.nodes), (constants, graph.constants), (values, graph.values))
    if all(len(kept_part) == len(part) for kept_part, part in parts):
        return graph
    return replace(graph, nodes=nodes, constants=constants, values=values)
