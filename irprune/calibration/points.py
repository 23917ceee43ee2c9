"""Points at which a contraction is compared with the original: behind its bias, and behind a residual sum.

    t = scale * (W u + b) + shift + skip        then perhaps a ReLU
    t = transposed(scale * (W u + b)) + skip    layer scale, in front of a sum with the channels elsewhere

``b`` is an operand of the node, a vector that is added to its result, or the mean of a batch normalization behind it
(``b = -mean``, ``scale = gamma / deviation``, ``shift = beta``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis
from ..axes import Axis
from ..ir import Constant, Graph, Node
from ..ir.core import Array
from ..signatures import traits_of
from .cells import CellPoint, cell_points
from .contractions import Contraction, Letter, Positions, Rows, atoms_along, contractions
from .integers import IntegerContraction, integer_contractions
from .weights import Weight, computed_weight

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """A contraction and what follows it.

    ``bias`` names the vector that is added (``negated``: subtracted), ``norm`` the batch normalization, ``target`` the
    value that is compared, ``skip`` the other summand of a residual addition, ``rectified`` whether a ReLU follows.
    """

    contraction: Contraction
    bias: str | None
    norm: Node | None
    target: str
    skip: str | None
    rectified: bool
    stored_bias: Weight | None = None
    """The way from the bias to the tensor that holds it, where it is quantized."""
    has_fixed_bias: bool = False
    """Whether something is added that a refit may not change."""
    gain: str | None = None
    """The vector that the sum of product and bias is multiplied with (layer scale)."""
    order: tuple[int, ...] | None = None
    """The dimensions of the target in the order in which the contraction has them."""

    def read_bias(self, constants: Mapping[str, Constant]) -> Array:
        """The vector that is added, dequantized. There has to be one."""
        assert self.bias is not None
        return constants[self.bias].numpy() if self.stored_bias is None else self.stored_bias.read(constants)

    def write_bias(self, bias: Array, constants: Mapping[str, Constant]) -> dict[str, Array]:
        """The tensor that the model stores, for another bias."""
        assert self.bias is not None
        if self.stored_bias is None:
            return {self.bias: bias}
        return self.stored_bias.write(bias.astype(np.float64), constants)

    @property
    def node(self) -> Node:
        return self.contraction.node

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def weights(self) -> tuple[str, ...]:
        """The operands of the node that are multiplied with."""
        return (self.contraction.constant,)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The sizes of g, o and c."""
        return self.contraction.shape

    # -- values ------------------------------------------------------------------------------------------------

    @property
    def operands(self) -> tuple[str, ...]:
        """The values that the product reads."""
        return (self.contraction.data,)

    @property
    def targets(self) -> tuple[str, ...]:
        """The values that :meth:`result` reads."""
        return (self.target,)

    @property
    def reads(self) -> tuple[str, ...]:
        """The values of the smaller model that a refit needs."""
        return (self.contraction.data, *((self.skip,) if self.skip else ()))

    @property
    def fed_back(self) -> Mapping[str, tuple[Axis, ...]]:
        """Operands that other weights of this node change, with their axes."""
        return {}

    @property
    def renewed(self) -> tuple[str, ...]:
        """The values to compute once more for other weights, those of :attr:`fed_back` among them."""
        return ()

    def result(self, values: Mapping[str, Array], graph: Graph) -> Array:
        """What is compared, among the values of a model with the weights of ``graph``."""
        del graph
        found, code = values[self.target], self.contraction.codes[1]
        return self._ordered(found if code is None else code.read(found))

    def summand(self, values: Mapping[str, Array], shape: Sequence[int]) -> Array:
        """The other summand, as large as a result of this shape. There has to be one."""
        assert self.skip is not None
        return np.broadcast_to(self._ordered(values[self.skip]), shape)

    def _ordered(self, value: Array) -> Array:
        return value if self.order is None else value.transpose(self.order)

    def axes(self, analysis: Analysis) -> tuple[Axis, ...] | None:
        """Those of :meth:`result`, where they are known."""
        axes = analysis.coupling.dims[self.target]
        return axes if axes is None or self.order is None else tuple(axes[k] for k in self.order)

    def positions(self, shape: Sequence[int]) -> int:
        """How many positions a result of this shape has."""
        return self.contraction.positions(shape)

    def at(self, result: Array, chosen: Positions) -> Rows:
        """``[p, g, o]``: a result at chosen positions."""
        return self.contraction.at(result, chosen)

    def rows(self, values: Mapping[str, Array], graph: Graph, shape: Sequence[int], chosen: Positions) -> Rows:
        """``[p, g, c]``: the operand at chosen positions of a result of this shape."""
        del graph
        return self.contraction.summands(values[self.contraction.data], shape, chosen)

    @property
    def is_bare(self) -> bool:
        """Whether the result is in units of its own: :meth:`product` then tells its size."""
        return self.contraction.is_bare

    def product(self, rows: Rows, graph: Graph) -> Rows:
        """``[p, g, o]``: the operand's rows times the weight."""
        return np.asarray(np.einsum("pgc,goc->pgo", rows, self.matrix(graph).astype(np.float32), optimize=True))

    # -- weights -------------------------------------------------------------------------------------------------

    def matrix(self, graph: Graph) -> Floats:
        """``[g, o, c]``."""
        return self.contraction.matrix(self.contraction.read(graph.constants))

    @property
    def _sign(self) -> float:
        """A batch normalization subtracts its mean."""
        return -1.0 if self.norm is not None else 1.0

    def bias_rows(self, graph: Graph) -> Floats | None:
        """``[g, o]``: what is added to the product; ``None`` without a bias."""
        if self.bias is None:
            return None
        g, o, _ = self.shape
        return self._sign * self.read_bias(graph.constants).astype(np.float64).reshape(g, o)

    def affine(self, graph: Graph) -> tuple[Floats, Floats]:
        """Scale and shift per channel of the batch normalization behind the contraction; 1 and 0 without one."""
        return affine(graph, self)

    def write(self, matrix: Floats, bias: Floats | None, graph: Graph) -> dict[str, Array]:
        """The stored tensors for other values of ``[g, o, c]`` and ``[g, o]``."""
        item, constants = self.contraction, graph.constants
        found = item.write(item.tensor(matrix, item.read(constants)), constants)
        if bias is None or self.bias is None:
            return found
        old = self.read_bias(constants)
        return found | self.write_bias((self._sign * bias).reshape(old.shape).astype(old.dtype), constants)

    def is_private(self, graph: Graph) -> bool:
        """Whether no other node reads weight and bias: what is shared stays unchanged."""
        return not self.has_fixed_bias and not self.contraction.is_bare and self.contraction.is_alone(graph)

    # -- atoms -------------------------------------------------------------------------------------------------------

    @property
    def row_letters(self) -> list[Letter]:
        return self.contraction.rows

    def column_atoms(self, analysis: Analysis) -> list[NDArray[np.intp]]:
        """One array per factor of the columns, with the atom of each column (-1: no atom)."""
        return atoms_along(analysis, self.contraction.columns)


AnyPoint: TypeAlias = Point | CellPoint


def find_points(analysis: Analysis) -> tuple[AnyPoint, ...]:
    """The points of a graph, in its order."""
    integers = integer_contractions(analysis)
    found = contractions(analysis)
    points: list[AnyPoint] = []
    for node in analysis.graph.nodes:
        if node.name in found:
            points.append(_point(analysis.graph, found[node.name]))
        elif node.name in integers:
            points.append(_integer_point(analysis.graph, integers[node.name]))
        points += cell_points(analysis, node)
    return tuple(points)


def _point(graph: Graph, item: Contraction) -> Point:
    bias, norm, target = _bias(graph, item)
    skip, gain, order = None, None, None
    if (found := _residual(graph, target)) is not None:
        skip, target = found
    elif norm is None and (scaled := _scaled_residual(graph, item, target)) is not None:
        skip, target, gain, order = scaled
    stored = None if bias is None else computed_weight(graph, bias)
    fixed = bias is None and len(item.node.inputs) > 2 and item.node.inputs[2] != ""
    if bias is not None and not _is_alone(graph, bias, stored, item.node.name):
        bias, stored, fixed = None, None, True
    readers = [traits_of(reader.qualified_op) for reader, _ in graph.consumers.get(target, ())]
    rectified = bool(readers) and target not in graph.outputs and all(traits.rectifies for traits in readers)
    return Point(item, bias, norm, target, skip, rectified, stored, fixed, gain, order)


def _integer_point(graph: Graph, item: IntegerContraction) -> Point:
    """Nothing follows that belongs to it: a ReLU has become the lowest integer of the result."""
    bias, stored = item.bias, item.stored_bias
    is_free = bias is None or (bias in graph.constants and _is_alone(graph, bias, stored, item.product.node.name))
    return Point(
        item.product,
        bias if is_free else None,
        None,
        item.product.output,
        None,
        item.rectified,
        stored if is_free else None,
        not is_free,
    )


def _is_alone(graph: Graph, bias: str, stored: Weight | None, node: str) -> bool:
    return len(graph.consumers[bias]) == 1 if stored is None else stored.is_alone(graph, node)


def _bias(graph: Graph, item: Contraction) -> tuple[str | None, Node | None, str]:
    """The vector added to the product, the batch normalization it belongs to, and the value after both."""
    operands = item.node.inputs
    following = _only_reader(graph, item.output)
    if len(operands) > 2 and operands[2]:
        is_known = operands[2] in graph.constants or computed_weight(graph, operands[2]) is not None
        return operands[2] if is_known else None, None, item.output
    if following is None:
        return None, None, item.output
    reader, position = following
    if _sums(reader) and _is_vector(graph, reader.inputs[1 - position]):
        return reader.inputs[1 - position], None, reader.outputs[0]
    statistics = traits_of(reader.qualified_op).running_statistics
    if statistics and position == 0 and all(name in graph.constants for name in reader.inputs[1:]):
        return reader.inputs[statistics[0]], reader, reader.outputs[0]
    return None, None, item.output


def _residual(graph: Graph, target: str) -> tuple[str, str] | None:
    """If the value is an operand of a residual addition: the other operand and the sum."""
    following = _only_reader(graph, target)
    if following is None or not _sums(following[0]):
        return None
    reader, position = following
    other = reader.inputs[1 - position]
    if other in graph.constants or other == target or graph.shape(other) is None:
        return None
    return other, reader.outputs[0]


def _scaled_residual(
    graph: Graph, item: Contraction, target: str
) -> tuple[str, str, str | None, tuple[int, ...] | None] | None:
    """A residual addition behind a layer scale, a transposition or both: summand, sum, scale and order of dimensions.

    ConvNeXt and CaiT have ``x + gamma * f(x)``; f works on the last dimension, and the sum has the channels second.
    """
    rank = len(item.result)
    gain, order, wide = None, None, _wide(item)
    while (following := _only_reader(graph, target)) is not None:
        node, position = following
        traits = traits_of(node.qualified_op)
        if order is None and traits.permutation:
            moved = node.ints(traits.permutation) or tuple(reversed(range(rank)))
            order = tuple(int(k) for k in np.argsort(moved))
            wide = None if wide is None else moved.index(wide)
        elif gain is None and traits.annihilates and traits.combines == "arithmetic":
            gain = node.inputs[1 - position]
            if not _lies_along(graph, gain, wide, rank, item.shape[0] * item.shape[1]):
                return None
        else:
            break
        target = node.outputs[0]
    found = _residual(graph, target)
    if found is None or len(graph.shape(found[0]) or ()) != rank:
        return None
    return (*found, gain, order)


def _wide(item: Contraction) -> int | None:
    """The dimension of the result with groups and rows, if it is one."""
    own = {letter.name for letter in (*item.groups, *item.rows)}
    places = [k for k, letters in enumerate(item.result) if any(letter.name in own for letter in letters)]
    return places[0] if len(places) == 1 else None


def _lies_along(graph: Graph, name: str, dimension: int | None, rank: int, size: int) -> bool:
    """Whether a value is a stored vector of one number for each element of this dimension."""
    if dimension is None or not _is_vector(graph, name):
        return False
    shape = graph.constants[name].shape
    return rank - dimension <= len(shape) <= rank and shape[dimension - rank] == size


def _sums(node: Node) -> bool:
    return traits_of(node.qualified_op).sums


def _only_reader(graph: Graph, name: str) -> tuple[Node, int] | None:
    readers = graph.consumers.get(name, ())
    return readers[0] if len(readers) == 1 and name not in graph.outputs else None


def _is_vector(graph: Graph, name: str) -> bool:
    constant = graph.constants.get(name)
    return constant is not None and not constant.computed and sum(size > 1 for size in constant.shape) == 1


def affine(graph: Graph, point: Point) -> tuple[Floats, Floats]:
    """Scale and shift per channel of the batch normalization or layer scale behind the contraction; else 1 and 0."""
    if point.gain is not None:
        gain = graph.constants[point.gain].numpy().astype(np.float64).ravel()
        return gain, np.zeros_like(gain)
    if point.norm is None:
        return np.ones(1), np.zeros(1)
    gamma, beta, _, variance = (graph.constants[name].numpy().astype(np.float64) for name in point.norm.inputs[1:5])
    epsilon = float(point.norm.attributes.get("epsilon", 1e-5))  # type: ignore[arg-type]
    return gamma / np.sqrt(variance + epsilon), beta
