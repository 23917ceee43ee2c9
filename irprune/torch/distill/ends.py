"""Where a graph ends: the values that a smaller model should share with the original, and how to compare them.

From each output the walk goes back through operators that only move elements, and through decisions, to the last value
that a gradient can reach:

============================  ========================================================
the output comes from         what is compared
============================  ========================================================
Softmax, LogSoftmax           its operand, by the divergence of the distributions
Sigmoid                       its operand, by the cross-entropy of each element
ArgMax, TopK, a suppression   the float values that it decides by
a concatenation (detectors)   each of its parts
anything else                 the value itself, by its squared error
============================  ========================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...errors import InputError
from ...ir import Graph, Node, dtypes
from ...signatures import traits_of

Comparison: TypeAlias = Literal["categorical", "independent", "squared"]

_JOINT_SOFTMAX = 13
"""Before this opset a softmax runs over all axes from its own on."""


@dataclass(frozen=True)
class End:
    """A value that both models compute, and how it is compared.

    ``axis`` is the one that a softmax runs over; with ``joint`` (opset 12 and earlier) all from it on are.
    """

    value: str
    comparison: Comparison
    axis: int = -1
    joint: bool = False


def ends(graph: Graph) -> tuple[End, ...]:
    """The ends of a graph, in the order of its outputs.

    Raises :class:`InputError` where no output depends on a float value that the graph computes.
    """
    waiting, seen = list(graph.outputs), set[str]()
    found: dict[str, End] = {}
    while waiting:
        name = waiting.pop(0)
        node = graph.producers.get(name)
        if name in seen or node is None or name in graph.constants:
            continue
        seen.add(name)
        traits = traits_of(node.qualified_op)
        if traits.reads_sizes:
            continue
        if traits.probability and is_float(graph, node.inputs[0]):
            found.setdefault(node.inputs[0], _of_logits(graph, node))
        elif traits.copies or traits.moves or not is_float(graph, name) or traits.hides == "decision":
            waiting += [operand for operand in node.inputs if operand]
        else:
            found.setdefault(name, End(name, "squared"))
    if not found:
        raise InputError("no output of the model depends on numbers that could be trained")
    return tuple(found.values())


def _of_logits(graph: Graph, node: Node) -> End:
    if traits_of(node.qualified_op).probability == "independent":
        return End(node.inputs[0], "independent")
    joint = not node.domain and graph.opsets.get("", 1) < _JOINT_SOFTMAX
    return End(node.inputs[0], "categorical", node.int("axis", 1 if joint else -1), joint)


def last_features(graph: Graph, values: Iterable[str]) -> tuple[str, ...]:
    """The operands of the last weighted nodes before these values."""
    waiting, seen = list(values), set[str]()
    found: dict[str, None] = {}
    while waiting:
        name = waiting.pop(0)
        node = graph.producers.get(name)
        if name in seen or node is None or traits_of(node.qualified_op).reads_sizes:
            continue
        seen.add(name)
        operands = [operand for operand in node.inputs if operand and operand not in graph.constants]
        if is_layer(graph, node):
            found.update(dict.fromkeys(o for o in operands[:1] if o in graph.producers and is_float(graph, o)))
        else:
            waiting += operands
    return tuple(found)


def is_layer(graph: Graph, node: Node) -> bool:
    """Whether the node multiplies by a matrix of weights."""
    traits = traits_of(node.qualified_op)
    if not (traits.weights or traits.combines == "product"):
        return False
    return any(name in graph.constants and len(graph.constants[name].shape) > 1 for name in node.inputs)


def is_float(graph: Graph, name: str) -> bool:
    """Whether a value is a tensor of floats."""
    value = graph.values.get(name)
    return value is not None and value.dtype is not None and dtypes.is_float(value.dtype)
