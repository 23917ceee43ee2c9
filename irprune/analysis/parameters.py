"""Which constants are trainable parameters, which are running statistics, and which are tables of fixed numbers.

A floating-point constant is a **parameter** where

1. an operator with weights reads it: a contraction, a normalization, a lookup by computed indices, or a stage of
   control flow or an operator without a signature, about which nothing better is known. Operators over constants
   alone (transposes, dequantization, weight normalization, slices) hand a constant on;
2. it meets an activation element by element and lies along channels alone: each of its dimensions is an axis of some
   weight (biases, scales, slopes, layer scale);
3. it meets an activation element by element and lies along positions too, and what it meets goes on to an operator
   with weights: position embeddings, relative position biases, affine weights over all of ``[c, h, w]``.

Everything else is a **table**: anchors, priors and grids that decode the outputs (no operator with weights
reads their values), masks over positions, windows, initial states (an operand of a recurrent cell whose axes are all
axes of the result, and whose elements are equal or differ between samples, or equal elements on the data side of a
contraction), frequencies of which the sine and the cosine are
taken behind a contraction with positions, and, wherever they stand, positional values that follow a formula: grids (few
distinct values, in few distinct steps) and sinusoids of the position, also where positions look them up.

Running statistics of normalization and plain numbers (the scales of a resize) are neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..axes import Axis, AxisSystem, leaves_of
from ..ir import Constant, Node
from ..ir.core import Array
from ..ir.dtypes import is_float
from ..signatures import names_of, traits_of
from .coupling import Coupling, MatchedNode
from .transforms import are_sinusoids, is_sinusoid_table

Use = tuple[str, int]
"""A node by name, and the position of an operand."""


@dataclass(frozen=True)
class Parameter:
    """A constant as one operand sees it: ``use`` is ``None``, or the node and position it is analyzed for alone.

    ``trainable`` is false for running statistics (the mean and variance of batch normalization), plain numbers and
    tables; ``is_table`` says that it is a table.
    """

    tensor: str
    use: Use | None
    dims: tuple[Axis, ...]
    constant: Constant
    trainable: bool = True
    is_table: bool = False


_SMALLEST_GRID = 64
"""Positional values below this many are too few to call them a grid."""

_DISTINCT = 4
"""In a grid each distinct value stands at this many places at least, and each step between this many values."""


class Classifier:
    """Tells tables from parameters among the constants of one coupling, lazily."""

    def __init__(self, coupling: Coupling) -> None:
        self._coupling = coupling
        self._graph = coupling.graph

    def is_table(self, name: str) -> bool:
        """Whether a constant is a table (see the module)."""
        constant = self._graph.constants[name]
        if not is_float(constant.dtype):
            return False
        direct, met = self._reach.get(name, (False, ()))
        return not direct and bool(met) and not any(self._is_parameter(name, *use) for use in met)

    # -- how constants are read ------------------------------------------------------------------------------------

    @cached_property
    def _reach(self) -> dict[str, tuple[bool, tuple[tuple[Node, int], ...]]]:
        """Per value computed from constants: whether it is an operator's weight, and where it meets an activation."""
        graph, weights = self._graph, self._coupling.weights
        found: dict[str, tuple[bool, tuple[tuple[Node, int], ...]]] = {}
        named = {*graph.outputs, *graph.yielded}

        def read(name: str) -> None:
            direct, met = name in named, dict[Use, tuple[Node, int]]()
            for node, position in graph.consumers.get(name, ()):
                if direct := direct or self._is_weight_of(node, position):
                    break
                if not self._has_axes(node, position):
                    continue
                if self._is_constant(node.outputs) and not self._starts_from(node, position):
                    parts = [found.get(output, (False, ())) for output in node.outputs if output]
                    direct = direct or any(part[0] for part in parts)
                    met.update({(node.name, k): (node, k) for part in parts for node, k in part[1]})
                else:
                    met[node.name, position] = (node, position)
            found[name] = (direct, () if direct else tuple(met.values()))

        for node in reversed(graph.canonical):
            for output in node.outputs:
                if output in weights:
                    read(output)
        for name in graph.constants:
            read(name)
        return found

    def _is_weight_of(self, node: Node, position: int) -> bool:
        """Whether an operand is a weight of a node, or is read in an unknown way."""
        matched = self._coupling.matched.get(node.name)
        if matched is None or position < 0:
            return True
        if not matched.has_axes(position):
            return False
        found = matched.signature
        if found.stateful or node.yields:
            return True
        if traits_of(node.qualified_op).picks_from(position) and not self._is_constant(node.inputs[1:]):
            return not self._is_table_of_positions(node.inputs[position])
        if matched.is_untrained(position) or self._is_state(node, position):
            return False
        if self._starts_from(node, position) or self._makes_angles(node):
            return False
        return _has_weights(matched)

    def _is_constant(self, names: Iterable[str]) -> bool:
        return all(name in self._coupling.weights for name in names if name)

    def _is_state(self, node: Node, position: int) -> bool:
        """Whether a recurrent cell starts from an operand, and it is not learned: its axes are axes of the result."""
        matched = self._coupling.matched.get(node.name)
        if matched is None or "hidden_size" not in matched.signature.attributes or not matched.has_axes(position):
            return False
        notation = matched.signature.notation
        own = {name for item in notation.inputs[position] or () for name in names_of(item)}
        is_start = bool(own) and own <= {name for item in notation.outputs[0] or () for name in names_of(item)}
        weights = {name for item in notation.inputs[1] or () for name in names_of(item)}
        samples = [k for k, item in enumerate(notation.inputs[position] or ()) if weights.isdisjoint(names_of(item))]
        return is_start and not self._is_learned_state(node.inputs[position], samples)

    def _is_learned_state(self, name: str, samples: Sequence[int]) -> bool:
        """Whether elements differ, but not between samples: states that are not learned are zeros, or drawn."""
        while (maker := self._graph.producers.get(name)) is not None and maker.inputs:
            name = maker.inputs[0]
        constant = self._graph.constants.get(name)
        if constant is None or constant.read is None or constant.size < 2 or self._is_fill(name):
            return False
        array = constant.numpy()
        return all((array == array.take([0], axis=k)).all() for k in samples if k < array.ndim)

    def _is_table_of_positions(self, name: str) -> bool:
        """Whether a table that is looked up by computed indices holds sinusoids, as no trained embedding does."""
        constant = self._graph.constants.get(name)
        readable = constant is not None and constant.read is not None and is_float(constant.dtype)
        return constant is not None and readable and is_sinusoid_table(constant.numpy())

    def _makes_angles(self, node: Node) -> bool:
        """Whether the sine and the cosine of a result are all that is asked of it: frequencies meet positions there."""
        waiting, seen, found = list(node.outputs), set(node.outputs), set[str]()
        while waiting:
            name = waiting.pop()
            if name in self._graph.outputs or name in self._graph.yielded:
                return False
            for reader, position in self._graph.consumers.get(name, ()):
                traits = traits_of(reader.qualified_op)
                if traits.of_angle:
                    found.add(traits.of_angle)
                elif not traits.hands_on(position):
                    return False
                else:
                    waiting += [output for output in reader.outputs if output not in seen]
                    seen.update(reader.outputs)
        return len(found) > 1

    def _starts_from(self, node: Node, position: int) -> bool:
        """Whether equal elements stand on the data side of a contraction."""
        macs = self._coupling.matched[node.name].signature.notation.macs
        return bool(macs) and position == 0 and self._is_fill(node.inputs[0])

    def _has_axes(self, node: Node, position: int) -> bool:
        matched = self._coupling.matched.get(node.name)
        return matched is not None and matched.has_axes(position)

    def _is_fill(self, name: str) -> bool:
        constant = self._graph.constants.get(name)
        if constant is None or constant.read is None or constant.size < 2:
            return False
        array = constant.numpy().reshape(-1)
        return bool(array[0] == array[-1] and (array == array[0]).all())

    # -- what meets an activation ----------------------------------------------------------------------------------

    def _is_parameter(self, name: str, node: Node, position: int) -> bool:
        dims = self._coupling.operand(node, position)
        if self._is_state(node, position) or self._starts_from(node, position) or self._makes_angles(node):
            return False
        if dims is None:
            return True
        positional = [axis for axis in dims if not self._is_along_weights(axis)]
        if not positional:
            return True
        if not any(output in self._feeding for output in node.outputs):
            return False
        return len(positional) < sum(bool(leaves_of(axis)) for axis in dims) and not self._follows_a_formula(name)

    def _is_along_weights(self, axis: Axis) -> bool:
        return all(leaf.number in self._weight_leaves for leaf in leaves_of(axis))

    @cached_property
    def _feeding(self) -> set[str]:
        """Values that some operator with parameters depends on."""
        found: set[str] = set()
        for node in reversed(self._graph.canonical):
            matched = self._coupling.matched.get(node.name)
            goes_on = not found.isdisjoint(node.outputs)
            for position, name in enumerate(node.inputs):
                if matched is None or (matched.has_axes(position) and (goes_on or _has_weights(matched))):
                    found.add(name)
        return found

    @cached_property
    def _weight_leaves(self) -> set[int]:
        """Leaves of weights, of results of operators without a signature, and what relations tie to them."""
        coupling = self._coupling
        dims = [coupling.dims.get(name) or () for name in self._graph.constants if self._reach[name][0]]
        for matched in coupling.matched.values():
            positions = [k for k, name in enumerate(matched.node.inputs) if name in coupling.weights]
            dims += [coupling.operand(matched.node, k) or () for k in positions if self._is_weight_of(matched.node, k)]
        refused = [node for node in self._graph.nodes if node.name in coupling.refused]
        dims += [coupling.dims.get(name) or () for node in refused for name in node.outputs]
        return _closure({leaf.number for each in dims for axis in each for leaf in leaves_of(axis)}, coupling.system)

    def _follows_a_formula(self, name: str) -> bool:
        """Whether values along positions are a grid of few numbers, or sinusoids."""
        constant = self._graph.constants[name]
        if constant.read is None or constant.dtype not in ("float32", "float64") or constant.size < _SMALLEST_GRID:
            return False
        array = constant.numpy()
        return _is_grid(array) or are_sinusoids(array) or is_sinusoid_table(array)


def _is_grid(array: Array) -> bool:
    """Few distinct values with few distinct differences. Relative position biases repeat values, but irregularly."""
    distinct = np.unique(array)
    if not 1 < len(distinct) <= array.size // _DISTINCT or not np.isfinite(distinct).all():
        return False
    steps = np.diff(distinct.astype(np.float64))
    return len(np.unique(np.round(steps / steps.max(), 3))) <= max(2, len(distinct) // _DISTINCT)


def _has_weights(matched: MatchedNode) -> bool:
    """Whether an operator contracts or normalizes."""
    notation = matched.signature.notation
    normalizes = notation.normalized or traits_of(matched.node.qualified_op).running_statistics
    return bool(notation.macs or normalizes)


def _closure(leaves: set[int], system: AxisSystem) -> set[int]:
    """The leaves, and all that relations tie to them."""
    import networkx as nx

    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(leaves)
    for relation in system.relations:
        tied = [leaf.number for side in (relation.left, relation.right) for leaf in leaves_of(side)]
        nx.add_path(graph, tied)
    return {number for part in nx.connected_components(graph) if part & leaves for number in part}
