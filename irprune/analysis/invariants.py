"""Weights inside the bodies of loops.

Exporters of programs (TensorFlow, JAX) hand weights to a body as state that every iteration passes on unchanged, or
scan over a stack of them, a layer at a time. Inside the body they are weights all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..ir import Graph, Node
from ..signatures import traits_of


def weights_handed_in(graph: Graph, entry: Node, weights: Collection[str]) -> Iterator[str]:
    """Values of a body, the results of its ``entry``, that are weights in every iteration."""
    if not entry.entry_of:
        return
    for position, (operand, value) in enumerate(zip(entry.inputs, entry.outputs, strict=True)):
        if operand in weights and _is_same_in_every_iteration(graph, entry, position, value):
            yield value


def _is_same_in_every_iteration(graph: Graph, entry: Node, position: int, value: str) -> bool:
    """Whether the body yields a state unchanged. Scanned inputs are slices of a weight, so they count as well."""
    node = next((node for node, _ in graph.consumers[entry.inputs[position]] if node.name == entry.entry_of), None)
    if node is None:
        return False
    own = len(node.inputs) - node.yields
    if traits_of(node.qualified_op).control == "scan":
        scanned = position >= own - node.int("num_scan_inputs")
        return scanned or _origin(graph, node.inputs[own + position]) == value
    is_state = position >= 2  # after trip count and condition; the body yields only the condition of the two
    return is_state and _origin(graph, node.inputs[own + position - 1]) == value


def _origin(graph: Graph, name: str) -> str:
    """The value that a chain of Identity nodes copies."""
    while (producer := graph.producers.get(name)) is not None and traits_of(producer.qualified_op).identity:
        name = producer.inputs[0]
    return name
