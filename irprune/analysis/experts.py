"""Mixtures of experts: where the largest of some scores pick the matrices that are used.

::

    logits = MatMul(x, router)          n h, h e -> n e
    scores = Softmax(logits)            n e -> n e
    top, which = TopK(scores, k)        n e -> n k, n k
    w = Gather(stack, which)            e i o, n k -> n k i o

``which`` holds positions of the axis ``e``. If all that reads it picks from stacks along that axis, or from the scores
themselves, then an expert can go: it is left out of the softmax, it ranks below all others, the stacks lose its
matrices, and the numbers of the others move up in the TopK and in the stacks alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..ir import Graph, Node
from ..signatures import traits_of

_MATRICES = 3
"""A stack of matrices has this many dimensions at least."""


@dataclass(frozen=True)
class Routing:
    """``nodes`` take part in a choice of experts; ``lookups`` gives the ranking whose positions a node looks up."""

    nodes: frozenset[str] = frozenset()
    lookups: Mapping[str, str] = field(default_factory=dict)


def find_routing(graph: Graph) -> Routing:
    """The choices of experts in a graph, from its structure alone."""
    nodes: set[str] = set()
    lookups: dict[str, str] = {}
    for node in graph.nodes:
        result = traits_of(node.qualified_op).positions
        if result is None or result >= len(node.outputs) or not node.outputs[result]:
            continue
        before = list(_scored_by(graph, node))
        found = _lookups(graph, node.outputs[result], {name for other in before for name in other.outputs})
        if found is None or any(name in lookups for name in found):
            continue
        softmaxes = [n.name for n in before if traits_of(n.qualified_op).probability == "categorical"]
        nodes.update((node.name, *softmaxes, *found))
        lookups.update(dict.fromkeys(found, node.name))
    return Routing(frozenset(nodes), lookups)


def _scored_by(graph: Graph, node: Node) -> Iterator[Node]:
    """The nodes that make the scores, back to the product with the router."""
    waiting, seen = [node.inputs[0]], {node.inputs[0]}
    while waiting:
        producer = graph.producers.get(waiting.pop())
        if producer is None or traits_of(producer.qualified_op).combines == "product":
            continue
        yield producer
        new = [name for name in producer.inputs if name and name not in seen]
        seen.update(new)
        waiting += new


def _lookups(graph: Graph, positions: str, scores: set[str]) -> list[str] | None:
    """The nodes that look these positions up in stacks; ``None`` if the positions serve for anything else."""
    found: list[str] = []
    waiting, seen, has_stack = [positions], {positions}, False
    while waiting:
        name = waiting.pop()
        if name in graph.outputs or name in graph.yielded:
            return None
        for node, operand in graph.consumers.get(name, ()):
            traits = traits_of(node.qualified_op)
            if traits.reads_sizes:
                continue
            tables = [node.inputs[k] for k in traits.lookups.get(operand, ())]
            if tables:
                stacks = [table for table in tables if _is_stored(graph, table)]
                if len(stacks) < len(tables) and not scores.issuperset(set(tables) - set(stacks)):
                    return None
                has_stack |= any(len(graph.shape(table) or ()) >= _MATRICES for table in stacks)
                found.append(node.name)
            elif traits.hands_on(operand) and not traits.control and not node.captures:
                waiting += [output for output in node.outputs if output and output not in seen]
                seen.update(node.outputs)
            else:
                return None
    return found if has_stack else None


def _is_stored(graph: Graph, name: str) -> bool:
    """Whether a value is a constant, or one in another order or type."""
    while name not in graph.constants:
        node = graph.producers.get(name)
        if node is None or not traits_of(node.qualified_op).copies:
            return False
        name = node.inputs[0]
    return True
