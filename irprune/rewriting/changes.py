"""Which nodes a rewriting changed: what the plan lists, so that any other change of a node is found."""

from __future__ import annotations

from dataclasses import replace

from ..ir import Graph, Node


def rewritten_nodes(before: Graph, after: Graph) -> tuple[str, ...]:
    """The nodes that are changed, added or gone, by their first results, sorted.

    A node is another one if its operator, attributes, operands or results differ. Its name does not count, nor do the
    values of constants.
    """
    old, new = _by_result(before), _by_result(after)
    return tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))


def _by_result(graph: Graph) -> dict[str, tuple[Node, ...]]:
    """Nodes without their names; a node of control flow goes with the one that hands in the inputs of its bodies."""
    named = {node.name: node for node in graph.nodes}
    found: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        if not node.entry_of:
            entry = named.get(graph.entries.get(node.name, ""))
            parts = (node,) if entry is None else (node, entry)
            found[_result(node)] = tuple(replace(part, name="") for part in parts)
    return found


def _result(node: Node) -> str:
    return next((name for name in node.outputs if name), node.name)
