"""The structural checker: what must hold of any graph, after any pass."""

from __future__ import annotations

from ..errors import IRError
from .core import Graph


def check(graph: Graph) -> None:
    """Raise :class:`IRError` naming the first violation: undefined or twice defined values, order, node names."""
    defined = set(graph.inputs) | set(graph.constants)
    if len(set(graph.inputs)) != len(graph.inputs):
        raise IRError(f"graph '{graph.name}': an input is listed twice: {list(graph.inputs)}")
    for name, constant in graph.constants.items():
        declared = graph.shape(name)
        if declared is not None and tuple(declared) != constant.shape:
            raise IRError(f"constant '{name}': value says shape {list(declared)}, data has {list(constant.shape)}")
    names: set[str] = set()
    for node in graph.nodes:
        if node.name in names:
            raise IRError(f"node '{node.name}': two nodes have this name")
        names.add(node.name)
        for name in (*node.inputs, *node.captures):
            if name and name not in defined:
                raise IRError(_undefined(graph, node.name, name))
        for name in node.outputs:
            if name in defined:
                raise IRError(f"node '{node.name}': output '{name}' is already defined")
            if name:
                defined.add(name)
    for name in graph.outputs:
        if name not in defined:
            raise IRError(f"graph '{graph.name}': output '{name}' is produced by no node")
    for name in defined:
        if name not in graph.values:
            raise IRError(f"value '{name}' has no entry in the value table")


def _undefined(graph: Graph, node: str, name: str) -> str:
    later = graph.producers.get(name)
    if later is None:
        return f"node '{node}': input '{name}' is defined nowhere"
    return f"node '{node}': input '{name}' is produced later, by '{later.name}': the nodes are not in topological order"
