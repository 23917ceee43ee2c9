"""How often the nodes of a body run: the iterations of the loops and scans around them.

A Scan runs once for each element of the scanned axis. A Loop runs as often as its first operand says, if that follows
from constants and sizes, and if nothing stops it before: the condition that its body yields is always true (ONNX
operator specification, Loop).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..axes import Axis, Leaf
from ..ir import Graph, Node, Size
from ..ir.core import Array
from ..signatures import traits_of
from .matching import Dims

_FOREVER = 1 << 31
"""Exporters write a while loop as one of so many iterations and more."""

_NO_DIMENSION = -1
"""The number of a leaf that no value has as a dimension: nothing of it is ever removed."""


@dataclass(frozen=True)
class Iterations:
    """``axes`` lists, for each node inside bodies, axes whose sizes multiply to the number of its runs.

    ``unknown`` are the control nodes whose number of iterations only a run tells: their bodies count once.
    """

    axes: Mapping[str, Dims] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def find_iterations(
    graph: Graph,
    operand: Callable[[Node, int], Dims | None],
    read: Callable[[str], Array | None],
) -> Iterations:
    """The iterations of all bodies.

    ``operand`` gives the axes of an operand, and ``read`` the entries of a value as sizes, ``None`` where unknown.
    """
    if not graph.entries:
        return Iterations()
    axes: dict[str, Dims] = {}
    unknown: list[str] = []
    position = {node.name: k for k, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        entry = graph.entries.get(node.name)
        if entry is None:
            continue
        found = _scanned(node, operand) if traits_of(node.qualified_op).control == "scan" else None
        size = _trips(graph, node, read) if traits_of(node.qualified_op).control == "loop" else None
        times = Leaf(size, f"{node.name}/iterations", _NO_DIMENSION) if size is not None else found
        if times is None:
            unknown.append(node.name)
            continue
        for inner in graph.nodes[position[entry] : position[node.name]]:
            axes[inner.name] = (*axes.get(inner.name, ()), times)
    return Iterations(axes, tuple(unknown))


def _scanned(node: Node, operand: Callable[[Node, int], Dims | None]) -> Axis | None:
    """The axis along which a Scan runs: that of its first sequence."""
    scanned = node.int("num_scan_inputs")
    first = len(node.inputs) - node.yields - scanned
    dims = operand(node, first)
    axis = (node.ints("scan_input_axes", [0]) or (0,))[0]
    return None if not dims or not scanned else dims[axis]


def _trips(graph: Graph, node: Node, read: Callable[[str], Array | None]) -> Size | None:
    """How often a Loop runs, if its count is known and it stops at nothing else."""
    entries = read(node.inputs[0]) if node.inputs[0] else None
    if entries is None or entries.size != 1 or not _goes_on(graph, node):
        return None
    size = entries.ravel()[0]
    return size if isinstance(size, Size) and 0 <= size.coefficient < _FOREVER else None


def _goes_on(graph: Graph, node: Node) -> bool:
    """Whether the condition of a Loop is true at first, and after each iteration."""
    entry = next(other for other in graph.nodes if other.name == graph.entries[node.name])
    first, after = node.inputs[1], _source(graph, node.inputs[len(node.inputs) - node.yields])
    handed_in = after == entry.outputs[1]
    return (not first or _is_true(graph, _source(graph, first))) and (handed_in or _is_true(graph, after))


def _source(graph: Graph, name: str) -> str:
    while (maker := graph.producers.get(name)) is not None and traits_of(maker.qualified_op).identity:
        name = maker.inputs[0]
    return name


def _is_true(graph: Graph, name: str) -> bool:
    constant = graph.constants.get(name)
    return constant is not None and constant.size == 1 and constant.read is not None and bool(constant.numpy().all())
