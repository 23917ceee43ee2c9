"""Contractions that nodes compute in integers (``QLinearConv``, ``MatMulInteger``), as those of what these stand for.

    result = round((data - zero) * scale . (weight - zero') * scale' / scale'') + zero''

The operand is decoded, or read in front of the node that quantizes it where its scale is found at run time. A weight is
written back in integers with the scales it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, MatchedNode
from ..axes import size_of
from ..ir import Graph, Node
from ..ir.dtypes import is_float
from ..signatures import Integers, traits_of
from .contractions import Code, Contraction, Letter, has_channels_first, is_product, letters_of, window_of
from .weights import Weight

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class IntegerContraction:
    """A contraction of integers, its bias and whether the result ends at what stands for zero, as behind a ReLU."""

    product: Contraction
    bias: str | None
    stored_bias: Weight | None
    rectified: bool


def integer_contractions(analysis: Analysis) -> dict[str, IntegerContraction]:
    """The contractions of integers of a graph by node name, in its order."""
    found = {}
    for node in analysis.graph.nodes:
        where = traits_of(node.qualified_op).integers
        matched = analysis.coupling.matched.get(node.name)
        item = None if where is None or matched is None else _contraction(analysis, node, matched, where)
        if item is not None:
            found[node.name] = item
    return found


def in_units_of_their_own(analysis: Analysis) -> tuple[str, ...]:
    """The nodes whose results are in units that other nodes know: measured, but not refitted."""
    return tuple(name for name, item in integer_contractions(analysis).items() if item.product.is_bare)


def _contraction(analysis: Analysis, node: Node, matched: MatchedNode, where: Integers) -> IntegerContraction | None:
    graph = analysis.graph
    weight = node.inputs[where.weight[0]]
    source = _source(graph, node, where)
    result = _result(graph, node, where)
    if source is None or result is None or not _is_stored(graph, weight):
        return None
    ends = [(matched.signature.notation.inputs[k], analysis.coupling.operand(node, k)) for k in _tensors(where)]
    ends.append((matched.signature.notation.outputs[0], analysis.coupling.dims.get(node.outputs[0])))
    if any(terms is None or dims is None for terms, dims in ends):
        return None
    operand, letters, outcome = (letters_of(matched, terms or (), dims or ()) for terms, dims in ends)
    names = [letter.name for dim in letters for letter in dim]
    window = window_of(node, [size_of(axis).coefficient for axis in (ends[1][1] or ())[2:]]) if where.slides else None
    fits = has_channels_first(operand, names) if where.slides else is_product(operand, set(names), outcome)
    if len(names) != len(set(names)) or not fits:
        return None
    rows = {letter.name for dim in outcome for letter in dim} - {letter.name for dim in operand for letter in dim}
    stored = _stored(graph, node, weight, where.weight[1:], letters, rows)
    if stored is None:
        return None
    data, code = source
    is_bare = where.result is None and not where.makes_floats
    product = Contraction(
        node, data, weight, node.outputs[0], operand, outcome, letters, window, stored, (code, result.code), is_bare
    )
    bias, stored_bias = _bias(graph, node, where, code, stored, product)
    return IntegerContraction(product, bias, stored_bias, result.rectified)


def _tensors(where: Integers) -> tuple[int, int]:
    return where.data[0], where.weight[0]


def _source(graph: Graph, node: Node, where: Integers) -> tuple[str, Code | None] | None:
    """The value to read, and what its numbers stand for; ``None`` where nothing tells."""
    position, scale, zero = where.data
    name = node.inputs[position]
    value = graph.values.get(name)
    if value is not None and value.dtype is not None and is_float(value.dtype):
        return name, None
    if scale is not None:
        code = _code(graph, node, scale, zero)
        if code is not None:
            return name, code
    producer = graph.producers.get(name)
    traits = None if producer is None else traits_of(producer.qualified_op)
    if producer is None or traits is None or not traits.quantization or traits.dequantizes:
        return None
    return producer.inputs[0], None  # floats, which that node rounds


@dataclass(frozen=True)
class _Result:
    code: Code | None
    rectified: bool


def _result(graph: Graph, node: Node, where: Integers) -> _Result | None:
    if where.result is None or not _given(node, where.result[0]):
        return _Result(None, False)
    scale, zero = where.result
    code = _code(graph, node, scale, zero)
    if code is None:
        return None
    dtype: np.dtype[Any] = np.dtype(np.uint8)
    if _given(node, zero):
        dtype = graph.constants[node.inputs[zero]].numpy().dtype
    lowest = np.iinfo(dtype).min
    return _Result(code, code.zero == lowest)


def _given(node: Node, position: int | None) -> bool:
    return position is not None and position < len(node.inputs) and node.inputs[position] != ""


def _code(graph: Graph, node: Node, scale: int, zero: int | None) -> Code | None:
    """One scale for a whole tensor; ``None`` where there are several, or none that is stored."""
    parts = [_numbers(graph, node, position) for position in (scale, zero)]
    if parts[0] is None or parts[0].size != 1 or (_given(node, zero) and (parts[1] is None or parts[1].size != 1)):
        return None
    return Code(float(parts[0].reshape(-1)[0]), 0 if parts[1] is None else int(parts[1].reshape(-1)[0]))


def _numbers(graph: Graph, node: Node, position: int | None) -> Floats | None:
    if position is None or not _given(node, position) or not _is_stored(graph, node.inputs[position]):
        return None
    return graph.constants[node.inputs[position]].numpy().astype(np.float64)


def _is_stored(graph: Graph, name: str) -> bool:
    constant = graph.constants.get(name)
    return constant is not None and not constant.computed and constant.numpy().dtype.kind in "iuf"


def _stored(
    graph: Graph,
    node: Node,
    name: str,
    where: tuple[int | None, int | None],
    letters: Sequence[Sequence[Letter]],
    rows: set[str],
) -> Weight | None:
    """The weight; its scales and zero points are one a tensor, or one a row."""
    shape = graph.constants[name].shape
    along = [k for k, dim in enumerate(letters) if any(letter.name in rows for letter in dim)]
    found: list[Floats] = []
    for position, default in zip(where, (1.0, 0.0), strict=True):
        numbers = _numbers(graph, node, position)
        if numbers is None and _given(node, position):
            return None
        if numbers is None:
            numbers = np.array([default])
        if numbers.size > 1:
            if len(along) != 1 or numbers.size != shape[along[0]]:
                return None
            numbers = numbers.reshape([-1 if k == along[0] else 1 for k in range(len(shape))])
        else:
            numbers = numbers.reshape([1] * len(shape))
        found.append(np.broadcast_to(numbers, shape).copy())
    size = int(np.prod(shape, dtype=np.int64))
    return Weight(name, (name,), np.arange(size, dtype=np.int64).reshape(shape), found[0], found[1])


def _bias(
    graph: Graph, node: Node, where: Integers, code: Code | None, stored: Weight, product: Contraction
) -> tuple[str | None, Weight | None]:
    """The name of the bias, and what its integers stand for; floats stand for themselves."""
    if where.bias is None or not _given(node, where.bias):
        return None, None
    name = node.inputs[where.bias]
    constant = graph.constants.get(name)
    if constant is None or code is None or constant.numpy().dtype.kind not in "iu":
        return name, None
    shape = constant.shape
    assert stored.scale is not None
    scale = product.matrix(stored.scale)[..., 0].reshape(-1) * code.scale
    if scale.size != constant.size:
        return name, None
    size = np.arange(constant.size, dtype=np.int64).reshape(shape)
    return name, Weight(name, (name,), size, scale.reshape(shape), np.zeros(shape))
