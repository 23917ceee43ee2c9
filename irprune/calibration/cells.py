"""Recurrent cells as matrix products: what the gates sum, before activations and peepholes.

    a[t, b, d, (q h)] = W[d] x[t, b] + R[d] h[t - 1, b, d] + Wb[d] + Rb[d]        one step on for the reverse direction

Gates and hidden units are rows; input channels (of W) and hidden units (of R) are columns. An LSTM or an RNN is one
product. In a GRU with ``linear_before_reset`` the reset gate stands between the two products, so each is compared by
itself. Without it R multiplies ``r * h``, which the model does not hand out: there W alone is one.

https://onnx.ai/onnx/operators/onnx__LSTM.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, MatchedNode
from ..axes import Axis
from ..ir import Graph, Node
from ..ir.core import Array
from ..signatures import traits_of
from .contractions import Contraction, Letter, Positions, Rows, atoms_along, letters_of, readable
from .flat import hidden_sequence
from .weights import Weight, computed_weight

Floats = NDArray[np.float64]
Values = Mapping[str, Array]

_STATE, _CELL_STATE = 5, 6
"""The operands with the state before the first step."""


@dataclass(frozen=True)
class CellPoint:
    """One product of a recurrent cell, or the sum of both: the interface of :class:`~.points.Point`.

    ``halves`` are the parts of the bias, 0 for W and 1 for R; ``bias`` names it. ``parts`` multiply the operands
    ``[t, b, d, c]`` of the same numbers.
    """

    node: Node
    halves: tuple[int, ...]
    parts: tuple[Contraction, ...]
    bias: str | None
    stored_bias: Weight | None = None
    has_fixed_bias: bool = False
    constants: frozenset[str] = frozenset()
    """Operands of the node that are stored, or computed from stored tensors alone."""
    skip: None = None
    rectified: bool = False

    @property
    def name(self) -> str:
        """The node, and which of its products where they are compared one by one."""
        return self.node.name + ("" if len(self.halves) > 1 else ("/input", "/state")[self.halves[0]])

    @property
    def weights(self) -> tuple[str, ...]:
        return tuple(part.constant for part in self.parts)

    @property
    def shape(self) -> tuple[int, int, int]:
        g, o, _ = self.parts[0].shape
        return g, o, sum(part.shape[2] for part in self.parts)

    # -- values ------------------------------------------------------------------------------------------------

    @property
    def sequence(self) -> str:
        """The hidden states of all steps."""
        return self.node.outputs[0] or hidden_sequence(self.node.name)

    @property
    def operands(self) -> tuple[str, ...]:
        """The values that the products read; among them the cell's own result, the hidden states."""
        if 1 not in self.halves:
            return (self.node.inputs[0],)
        state = [name for name in self._optional(_STATE) if name not in self.constants]
        return tuple(dict.fromkeys([*([self.node.inputs[0]] if 0 in self.halves else []), self.sequence, *state]))

    @property
    def targets(self) -> tuple[str, ...]:
        """The values that :meth:`result` reads."""
        return self.operands

    @property
    def reads(self) -> tuple[str, ...]:
        """The values of the smaller model that a refit needs: all that the cell needs to run once more as well."""
        inner = [name for name in self.node.inputs if name and name not in self.constants]
        return tuple(dict.fromkeys([*inner, *self.operands]))

    @property
    def fed_back(self) -> Mapping[str, tuple[Axis, ...]]:
        """Operands that other weights of this node change, with their axes.

        The node has to run again to tell what a change does.
        """
        if 1 not in self.halves:
            return {}
        steps, batch, directions, *_, units = (letters[0].axis for letters in self.parts[0].result)
        return {self.sequence: (steps, directions, batch, units)}

    @property
    def renewed(self) -> tuple[str, ...]:
        """The values to compute once more for other weights: the results, and weights that nodes compute."""
        return (self.sequence, *(name for name in self.node.inputs if name in self.constants))

    def _optional(self, position: int) -> Iterator[str]:
        if len(self.node.inputs) > position and self.node.inputs[position]:
            yield self.node.inputs[position]

    def _multiplied(self, values: Values, graph: Graph) -> list[Array]:
        """``[t, b, d, c]`` for each part."""
        directions = self.parts[0].shape[0]
        found: list[Array] = []
        if 0 in self.halves:
            x = values[self.node.inputs[0]]
            found.append(np.broadcast_to(x[:, :, None], (*x.shape[:2], directions, x.shape[2])))
        if 1 in self.halves:
            first = None
            for name in self._optional(_STATE):
                first = graph.constants[name].numpy() if name in graph.constants else values[name]
            found.append(_states_before(values[self.sequence], first, self.node.str("direction", "forward")))
        return found

    def result(self, values: Values, graph: Graph) -> Array:
        """``[t, b, d, q, h]``: what the weights of a graph make of values of its model."""
        matrix = self.matrix(graph).astype(np.float32)
        rows = np.concatenate(self._multiplied(values, graph), axis=3).astype(np.float32, copy=False)
        total: Array = np.einsum("tbdc,doc->tbdo", rows, matrix, optimize=True)
        bias = self.bias_rows(graph)
        if bias is not None:
            total = total + bias.astype(np.float32)
        spread: Array = total.reshape(*total.shape[:3], *(letter.size for letter in self.parts[0].rows))
        return spread

    def axes(self, analysis: Analysis) -> tuple[Axis, ...]:
        """Those of :meth:`result`."""
        del analysis
        return tuple(letters[0].axis for letters in self.parts[0].result)

    def positions(self, shape: Sequence[int]) -> int:
        return self.parts[0].positions(shape)

    def at(self, result: Array, chosen: Positions) -> Rows:
        return self.parts[0].at(result, chosen)

    def rows(self, values: Values, graph: Graph, shape: Sequence[int], chosen: Positions) -> Rows:
        """``[p, g, c]``: the operands at chosen positions of a result of this shape."""
        multiplied = zip(self.parts, self._multiplied(values, graph), strict=True)
        return np.concatenate([part.summands(array, shape, chosen) for part, array in multiplied], axis=2)

    is_bare = False

    def summand(self, values: Values, shape: Sequence[int]) -> Array:
        """Nothing is added that a point covers."""
        del values
        return np.zeros(shape, np.float32)

    def product(self, rows: Rows, graph: Graph) -> Rows:
        """``[p, g, o]``: the operands' rows times the weights."""
        return np.asarray(np.einsum("pgc,goc->pgo", rows, self.matrix(graph).astype(np.float32), optimize=True))

    # -- weights -------------------------------------------------------------------------------------------------

    def matrix(self, graph: Graph) -> Floats:
        """``[g, o, c]``."""
        return np.concatenate([part.matrix(part.read(graph.constants)) for part in self.parts], axis=2)

    def bias_rows(self, graph: Graph) -> Floats | None:
        """``[g, o]``, the sum of the halves; ``None`` without a bias."""
        if self.bias is None:
            return None
        return np.asarray(self._bias(graph)[:, list(self.halves)].sum(axis=1), dtype=np.float64)

    def _bias(self, graph: Graph) -> Floats:
        """``[g, 2, o]``."""
        assert self.bias is not None
        constants = graph.constants
        bias = constants[self.bias].numpy() if self.stored_bias is None else self.stored_bias.read(constants)
        g, o, _ = self.shape
        return bias.astype(np.float64).reshape(g, 2, o)

    def affine(self, graph: Graph) -> tuple[Floats, Floats]:
        """Nothing follows that a point covers."""
        del graph
        return np.ones(1), np.zeros(1)

    def write(self, matrix: Floats, bias: Floats | None, graph: Graph) -> dict[str, Array]:
        """The stored tensors for other values; of two halves of a bias the first takes the difference."""
        found: dict[str, Array] = {}
        ends = np.cumsum([part.shape[2] for part in self.parts])[:-1]
        for part, own in zip(self.parts, np.split(matrix, ends, axis=2), strict=True):
            found |= part.write(part.tensor(own, part.read(graph.constants)), graph.constants)
        if bias is None or self.bias is None:
            return found
        halves = self._bias(graph).copy()
        halves[:, self.halves[0]] = bias - halves[:, list(self.halves[1:])].sum(axis=1)
        if self.stored_bias is not None:
            shape = self.stored_bias.index.shape
            return found | self.stored_bias.write(halves.reshape(shape), graph.constants)
        old = graph.constants[self.bias].numpy()
        return found | {self.bias: halves.reshape(old.shape).astype(old.dtype)}

    def is_private(self, graph: Graph) -> bool:
        """Whether no other node reads weights and bias."""
        if self.has_fixed_bias or not all(part.is_alone(graph) for part in self.parts):
            return False
        if self.bias is None:
            return True
        if self.stored_bias is not None:
            return self.stored_bias.is_alone(graph, self.node.name)
        return len(graph.consumers[self.bias]) == 1

    # -- atoms -------------------------------------------------------------------------------------------------------

    @property
    def row_letters(self) -> list[Letter]:
        return self.parts[0].rows

    def column_atoms(self, analysis: Analysis) -> list[NDArray[np.intp]]:
        """One array per factor of the columns, with the atom of each column (-1: no atom)."""
        each = [atoms_along(analysis, part.columns) for part in self.parts]
        sizes = [part.shape[2] for part in self.parts]
        most = max(map(len, each))
        return [
            np.concatenate(
                [own[k] if k < len(own) else np.full(size, -1, np.intp) for own, size in zip(each, sizes, strict=True)]
            )
            for k in range(most)
        ]


def _states_before(states: Array, first: Array | None, direction: str) -> Array:
    """``[t, b, d, h]``: the state that each step starts from, of the states ``[t, d, b, h]`` after each."""
    found = np.empty_like(states)
    start = np.zeros(states.shape[1:], states.dtype) if first is None else first
    for d in range(states.shape[1]):
        if direction == "reverse" or d == 1:
            found[:-1, d], found[-1, d] = states[1:, d], start[d]
        else:
            found[1:, d], found[0, d] = states[:-1, d], start[d]
    return found.transpose(0, 2, 1, 3)


def cell_points(analysis: Analysis, node: Node) -> tuple[CellPoint, ...]:
    """The products of a node; none where it is no recurrent cell, or not one that is covered (:func:`uncovered`)."""
    if not traits_of(node.qualified_op).cell or _why_not(analysis, node):
        return ()
    matched = analysis.coupling.matched[node.name]
    both = tuple(_part(analysis, matched, k) for k in (1, 2))
    bias = node.inputs[3] if len(node.inputs) > 3 and node.inputs[3] else None
    stored = None if bias is None else computed_weight(analysis.graph, bias)
    constants = frozenset(name for name in node.inputs if _is_constant(analysis.graph, name))
    whole = CellPoint(node, (0, 1), both, bias, stored, constants=constants)
    reset = traits_of(node.qualified_op).reset
    if not reset:
        return (whole,)
    split = [replace(whole, halves=(k,), parts=(both[k],)) for k in (0, 1)]
    return tuple(split if node.int(reset) else split[:1])


def uncovered(analysis: Analysis) -> dict[str, str]:
    """Recurrent cells, or parts of them, that data say nothing about: node name and reason."""
    found = {}
    for node in analysis.graph.nodes:
        traits = traits_of(node.qualified_op)
        if not traits.cell:
            continue
        reason = _why_not(analysis, node)
        if reason is None and traits.reset and not node.int(traits.reset):
            reason = f"its recurrent weights multiply the reset state, which no node hands out ({traits.reset} = 0)"
        if reason is not None:
            found[node.name] = reason
    return found


def _why_not(analysis: Analysis, node: Node) -> str | None:
    traits = traits_of(node.qualified_op)
    matched = analysis.coupling.matched.get(node.name)
    if matched is None or any(analysis.coupling.operand(node, k) is None for k in (0, 1, 2)):
        return "its signature does not hold here"
    if traits.lengths is not None and len(node.inputs) > traits.lengths and node.inputs[traits.lengths]:
        return "its sequences have lengths of their own"
    if "clip" in node.attributes:
        return "it clips what the gates sum"
    if node.int("layout"):
        return "it puts the batch first"
    if node.inputs[0] in analysis.graph.constants:
        return "its input is a constant"
    for k in (1, 2, 3):
        name = node.inputs[k] if len(node.inputs) > k else ""
        if name and not readable(analysis, name):
            return f"its operand '{name}' is computed"
    return None


def _is_constant(graph: Graph, name: str) -> bool:
    return name in graph.constants or (bool(name) and computed_weight(graph, name) is not None)


def _part(analysis: Analysis, matched: MatchedNode, position: int) -> Contraction:
    """The product with operand 1 or 2; its columns are ``i`` or the hidden units, as letter ``k`` there."""
    node = matched.node
    inputs = matched.signature.notation.inputs
    groups, rows, (column,) = letters_of(
        matched, inputs[position] or (), analysis.coupling.operand(node, position) or ()
    )
    steps, batch, _ = letters_of(matched, inputs[0] or (), analysis.coupling.operand(node, 0) or ())
    summed = (replace(column, name="k"),)
    result = (steps, batch, groups, *((letter,) for letter in rows))
    constant = node.inputs[position]
    stored = None if constant in analysis.graph.constants else computed_weight(analysis.graph, constant)
    return Contraction(
        node,
        node.inputs[0],
        constant,
        node.outputs[0],
        (steps, batch, groups, summed),
        result,
        (groups, rows, summed),
        stored=stored,
    )
