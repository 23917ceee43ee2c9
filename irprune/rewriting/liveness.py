"""Removes nodes and constants that nothing reads any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..ir import Graph


def without_orphans(before: Graph, after: Graph) -> Graph:
    """Drop nodes and constants of ``after`` that nothing reads, except those that nothing read in ``before`` either."""
    spared = set(before.values) - live_values(before)
    live = live_values(after, spared)
    nodes = tuple(n for n in after.nodes if any(o in live for o in n.outputs))
    read = {name for node in nodes for name in (*node.inputs, *node.captures)} | set(after.outputs)
    constants = {name: c for name, c in after.constants.items() if name in read or name in spared}
    kept = {name for node in nodes for name in node.outputs} | set(after.inputs) | set(constants)
    values = {name: value for name, value in after.values.items() if name in kept}
    return replace(after, nodes=nodes, constants=constants, values=values)


def live_values(graph: Graph, spared: Collection[str] = ()) -> set[str]:
    """Values that a graph output, or a spared value, depends on."""
    live = {*graph.outputs, *spared}
    for node in reversed(graph.nodes):
        if any(output in live for output in node.outputs):
            live.update(name for name in (*node.inputs, *node.captures) if name)
    return live
