"""The last float values before a decision (arg-max, threshold, top-k), which outputs may hide.

Logits may be wrong by several times their scale and still give the same arg-max, a softmax of ones and zeros, or the
same boxes after suppression. So verification also compares the operands of every decision, and of every saturating
step between an output (or a decision) and the contraction before it. Steps before a contraction need no comparison:
the result of a contraction shows differences of its operands.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..analysis import Analysis
from ..ir.core import Node
from ..ir.dtypes import is_float
from ..signatures import traits_of


def values_before_decisions(analysis: Analysis) -> tuple[str, ...]:
    """The float operands of decisions and saturating steps, in the order of the graph."""
    graph = analysis.graph
    waiting = [name for node in graph.nodes if _decides(node, analysis) for name in node.inputs]
    waiting += graph.outputs
    seen, found = set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        node = graph.producers.get(name)
        if name in seen or node is None or name in graph.constants:
            continue
        seen.add(name)
        if _is_step(node, analysis):
            found |= {operand for operand in node.inputs if _counts(operand, analysis)}
        if not _is_contraction(node, analysis):
            waiting += [operand for operand in node.inputs if operand]
    found |= {
        name for node in graph.nodes if _decides(node, analysis) for name in node.inputs if _counts(name, analysis)
    }
    return tuple(name for node in graph.nodes for name in node.outputs if name in found)


def values_before_outputs(analysis: Analysis) -> frozenset[str]:
    """All computed float values that lead to an output, also those inside bodies."""
    graph = analysis.graph
    return frozenset(name for name in _leading_to(graph.outputs, analysis, frozenset()) if _is_float(name, analysis))


def values_shown_by(compared: Iterable[str], analysis: Analysis) -> frozenset[str]:
    """The compared values, and the float values whose differences show in them.

    No decision or saturation lies between, and no control flow, whose body need not run.
    """
    steps = frozenset(node.name for node in analysis.graph.nodes if _may_hide(node, analysis))
    return frozenset(name for name in _leading_to(compared, analysis, steps) if _is_float(name, analysis))


def _leading_to(names: Iterable[str], analysis: Analysis, barriers: frozenset[str]) -> set[str]:
    """Computed values from which ``names`` are computed, these included, without passing a node of ``barriers``."""
    graph = analysis.graph
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        node = graph.producers.get(name)
        if node is None or name in seen or name in graph.constants:
            continue
        seen.add(name)
        if node.name not in barriers:
            waiting += [operand for operand in (*node.inputs, *node.captures) if operand]
    return seen


def _decides(node: Node, analysis: Analysis) -> bool:
    traits = traits_of(node.qualified_op)
    if traits.hides == "decision":
        return True
    return (
        traits.copies
        and not traits.quantization
        and _is_whole(node.outputs[0], analysis)
        and _is_float(node.inputs[0], analysis)
    )


def _is_step(node: Node, analysis: Analysis) -> bool:
    return bool(traits_of(node.qualified_op).hides) or _decides(node, analysis)


def _may_hide(node: Node, analysis: Analysis) -> bool:
    return _is_step(node, analysis) or bool(traits_of(node.qualified_op).control)


def _is_contraction(node: Node, analysis: Analysis) -> bool:
    matched = analysis.coupling.matched.get(node.name)
    return matched is not None and bool(matched.signature.notation.macs)


def _counts(name: str, analysis: Analysis) -> bool:
    """Whether a value is a computed float, and not the result of another saturating step."""
    producer = analysis.graph.producers.get(name)
    return producer is not None and traits_of(producer.qualified_op).hides != "saturation" and _is_float(name, analysis)


def is_computed_float(name: str, analysis: Analysis) -> bool:
    """Whether a value is a float that a node computes."""
    return name in analysis.graph.producers and _is_float(name, analysis)


def _is_float(name: str, analysis: Analysis) -> bool:
    value = analysis.graph.values.get(name)
    return value is not None and value.dtype is not None and is_float(value.dtype)


def _is_whole(name: str, analysis: Analysis) -> bool:
    value = analysis.graph.values.get(name)
    return value is not None and value.dtype is not None and not is_float(value.dtype)
