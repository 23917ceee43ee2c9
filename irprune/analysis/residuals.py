"""Residual branches: what is added to a value that it is computed from, ``y = x + F(x)``.

The nodes of a branch are those whose every way to the outputs passes through its end, which the tree of dominators of
the reversed graph tells (Cooper, Harvey, Kennedy 2001); one of them reads ``x``. No names are read: blocks of a network
are branches that follow each other in one stream, and that repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass

import networkx as nx

from ..axes import leaves_of, size_of
from ..ir import Graph, Node
from ..signatures import traits_of
from .groups import Analysis

_SINK = ""


@dataclass(frozen=True)
class Residual:
    """``result = skip + branch``, made by ``node``; ``nodes`` are those that the branch alone needs."""

    node: str
    result: str
    skip: str
    branch: str
    nodes: frozenset[str]


def find_residuals(analysis: Analysis) -> tuple[Residual, ...]:
    """The innermost residual branches with weights, in the order of the graph."""
    graph = analysis.graph
    flow = _flow(graph)
    above = nx.immediate_dominators(flow, _SINK)
    below: nx.DiGraph[str] = nx.DiGraph((parent, name) for name, parent in above.items() if name != _SINK)
    found: list[Residual] = []
    for node in graph.nodes:
        for skip, branch in _ways(analysis, node):
            if branch not in above:
                continue
            inside = {branch, *(nx.descendants(below, branch) if branch in below else ())}
            nodes = [graph.producers[name] for name in inside if name in graph.producers]
            start = _origin(graph, skip)
            reads = any(_origin(graph, name) == start for each in nodes for name in each.inputs)
            if reads and any(_has_weight(analysis, each) for each in nodes):
                found.append(Residual(node.name, node.outputs[0], skip, branch, frozenset(each.name for each in nodes)))
    sums = {each.node for each in found}
    return tuple(each for each in found if not (each.nodes & sums))


def _origin(graph: Graph, name: str) -> str:
    """The value that one is a copy of in its own shape: a stream may be cast before something is added."""
    node = graph.producers.get(name)
    while node is not None and traits_of(node.qualified_op).copies and traits_of(node.qualified_op).keeps_shape:
        name = node.inputs[0]
        node = graph.producers.get(name)
    return name


def _flow(graph: Graph) -> nx.DiGraph[str]:
    """From results to operands, from one node behind all outputs on. Who reads a size alone depends on no branch."""
    flow: nx.DiGraph[str] = nx.DiGraph()
    flow.add_node(_SINK)
    flow.add_edges_from((_SINK, name) for name in (*graph.outputs, *graph.yielded))
    for node in graph.nodes:
        if traits_of(node.qualified_op).reads_sizes:
            continue
        operands = [name for name in (*node.inputs, *node.captures) if name and name not in graph.constants]
        for output in filter(None, node.outputs):
            flow.add_edges_from((output, operand) for operand in operands)
    return flow


def _ways(analysis: Analysis, node: Node) -> Iterator[tuple[str, str]]:
    """The summands of a sum of two values of one shape, either of them first."""
    if not traits_of(node.qualified_op).sums or len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return
    shapes = [analysis.coupling.dims.get(name) for name in (*node.inputs, node.outputs[0])]
    if any(name in analysis.coupling.weights for name in node.inputs) or any(shape is None for shape in shapes):
        return
    sizes = [[size_of(axis) for axis in shape or ()] for shape in shapes]
    if sizes[0] == sizes[1] == sizes[2]:
        yield node.inputs[0], node.inputs[1]
        yield node.inputs[1], node.inputs[0]


def _has_weight(analysis: Analysis, node: Node) -> bool:
    matched = analysis.coupling.matched.get(node.name)
    is_contraction = matched is not None and bool(matched.signature.notation.macs)
    return is_contraction and any(name in analysis.coupling.weights for name in node.inputs)


# -- blocks ------------------------------------------------------------------------------------------------------------


def find_blocks(analysis: Analysis, residuals: Sequence[Residual]) -> tuple[tuple[Residual, ...], ...]:
    """Branches that form blocks: in a stream of branches that repeats every p of them, p in a row.

    A stream are branches that are added to the same axes one after the other. Without a repetition each branch is a
    block of its own.
    """
    axes = {each.result: _axes(analysis, each.result) for each in residuals}
    links: nx.Graph[str] = nx.Graph()
    links.add_nodes_from(axes)
    flow = _flow(analysis.graph)
    for each in residuals:
        alike = {name for name, own in axes.items() if own == axes[each.result]}
        links.add_edges_from((each.result, name) for name in _reached(flow, each.skip, alike))
    found: list[tuple[Residual, ...]] = []
    for names in nx.connected_components(links):
        stream = [each for each in residuals if each.result in names]
        period = _period([_fingerprint(analysis, each) for each in stream])
        found += [tuple(stream[k : k + period]) for k in range(0, len(stream), period)]
    order = {node.name: k for k, node in enumerate(analysis.graph.nodes)}
    return tuple(sorted(found, key=lambda block: order[block[0].node]))


def _axes(analysis: Analysis, name: str) -> Hashable:
    """Which axes a value has."""
    return tuple(tuple(leaf.number for leaf in leaves_of(axis)) for axis in analysis.coupling.dims[name] or ())


def _reached(flow: nx.DiGraph[str], start: str, ends: Collection[str]) -> set[str]:
    """The first of some values on all ways back from one."""
    waiting, seen, found = [start], {start}, set[str]()
    while waiting:
        name = waiting.pop()
        if name in ends:
            found.add(name)
            continue
        following = [each for each in flow.successors(name) if each not in seen] if name in flow else []
        seen.update(following)
        waiting += following
    return found


def _fingerprint(analysis: Analysis, residual: Residual) -> Hashable:
    """The contractions of a branch, with the shapes of their weights; exporters write all else in many ways."""
    graph, kinds = analysis.graph, Counter[Hashable]()
    for node in graph.nodes:
        matched = analysis.coupling.matched.get(node.name) if node.name in residual.nodes else None
        if matched is not None and matched.signature.notation.macs:
            shapes = [graph.shape(name) or () for name in node.inputs if name in analysis.coupling.weights]
            kinds[tuple(tuple(dim for dim in shape if isinstance(dim, int)) for shape in shapes)] += 1
    return frozenset(kinds.items())


def _period(prints: Sequence[Hashable]) -> int:
    count = len(prints)
    for period in range(1, count // 2 + 1):
        if count % period == 0 and all(prints[k] == prints[k - period] for k in range(period, count)):
            return period
    return 1
