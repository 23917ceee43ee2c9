"""Which constants of an exported graph are weights: an ONNX file does not say.

A constant is learned where it meets data that flows from the inputs: as the weight of a contraction or a normalization,
as a table that is looked up, or added to or multiplied with activations element by element. What never does (running
statistics, quantization scales, bounds, shapes), single numbers in arithmetic, attention masks, sines and cosines are
not learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...ir import Constant, Graph, Node
from ...ir.core import Array
from ...ir.dtypes import is_trainable

_WEIGHTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (0, 1, 2),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "RMSNormalization": (1,),
    "SimplifiedLayerNormalization": (1,),
    "PRelu": (1,),
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
    "com.microsoft::Attention": (1, 2),
    "com.microsoft::MultiHeadAttention": (3,),
    "com.microsoft::SkipLayerNormalization": (2, 3, 4),
    "com.microsoft::SkipSimplifiedLayerNormalization": (2, 3),
    "com.microsoft::EmbedLayerNormalization": (2, 3, 4, 5, 6),
    "com.microsoft::BiasGelu": (1,),
    "com.microsoft::FastGelu": (1,),
    "com.microsoft::FusedConv": (1, 2),
    "com.microsoft::FusedGemm": (0, 1, 2),
}
"""Operands that are weights whatever else the operator reads."""

_TABLES = frozenset({"Gather", "GatherND"})
"""Operand 0 is looked up in by positions that data give."""

_WITH_DATA = frozenset({"MatMul", "Einsum", "Add", "Sub", "Mul", "Div", "Concat", "com.microsoft::FusedMatMul"})
"""A constant operand is a weight if another one is data, or what is made of both is a weight later on."""

_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div"})

_THROUGH = frozenset(
    """Identity Cast Reshape Transpose Unsqueeze Squeeze Flatten Slice Split Expand Tile QuantizeLinear
    DequantizeLinear Exp Log Neg Sqrt Abs Sigmoid Tanh Softplus Relu Clip Min Max ReduceSum ReduceMean
    """.split()  # noqa: SIM905
)
"""Operators that hand their first operand on, changed or not."""


def trainable_constants(graph: Graph) -> frozenset[str]:
    """The constants that are weights."""
    data = _data(graph)
    floats = (name for name, constant in graph.constants.items() if is_trainable(constant.dtype) and constant.size)
    found = frozenset(name for name in floats if _is_trainable(graph, name, data))
    return found - _rotations({name: graph.constants[name] for name in found})


def _data(graph: Graph) -> frozenset[str]:
    """Values that depend on float inputs, on what is looked up in tables, or on the matrix of a contraction."""
    found = {name for name in graph.inputs if is_trainable(graph.values[name].dtype or "")}
    for node in graph.nodes:
        if node.op in ("Shape", "Size"):
            continue
        looks_up = node.op in (*_TABLES, "EmbedLayerNormalization") and any(
            name in graph.constants and is_trainable(graph.constants[name].dtype) and graph.constants[name].size > 1
            for name in node.inputs
        )
        contracts = node.op in ("MatMul", "Gemm") and any(_is_matrix(graph, name) for name in node.inputs)
        if looks_up or contracts or any(name in found for name in node.inputs):
            found.update(name for name in node.outputs if name)
    return frozenset(found)


def _is_matrix(graph: Graph, name: str) -> bool:
    constant = graph.constants.get(name)
    if constant is None or not is_trainable(constant.dtype):
        return False
    return len(constant.shape) == 2 and min(constant.shape) > 1


def _is_trainable(graph: Graph, name: str, data: frozenset[str]) -> bool:
    constant = graph.constants[name]
    seen, waiting = {name}, [name]
    while waiting:
        current = waiting.pop()
        for node, position in graph.consumers.get(current, ()):
            if position in _WEIGHTS.get(node.qualified_op, ()):
                return True
            meets = constant.size > 1 and _meets_data(graph, node, current, position, data)
            if meets and not (node.op in _ELEMENTWISE and _is_mask(constant)):
                return True
            for output in _handed_on(node, position):
                if output not in seen and output not in data:
                    seen.add(output)
                    waiting.append(output)
    return False


def _meets_data(graph: Graph, node: Node, name: str, position: int, data: frozenset[str]) -> bool:
    if node.qualified_op in _TABLES:
        return position == 0
    if node.qualified_op == "MatMul" and _is_matrix(graph, name):
        return True
    return node.qualified_op in _WITH_DATA and any(other in data for other in node.inputs if other != name)


def _handed_on(node: Node, position: int) -> Iterator[str]:
    if node.qualified_op in _WITH_DATA or (node.op in _THROUGH and position == 0):
        yield from (name for name in node.outputs if name)


_MASKING = -10.0
"""Numbers below this, beside zeros, take elements out of a softmax."""


def _is_mask(constant: Constant) -> bool:
    """Zeros and one very negative number, or zeros alone: what is added to the scores of an attention.

    A bias of a single dimension may be zero before training.
    """
    array = constant.numpy()
    low, high = (float(v) for v in (np.min(array), np.max(array)))
    if low == high == 0:
        return sum(size > 1 for size in constant.shape) > 1
    return low < _MASKING and high <= 0 and bool(np.all((array == low) | (array == 0)))


_ROUNDING = 1e-3
"""Of squares in half precision."""


def _rotations(constants: Mapping[str, Constant]) -> frozenset[str]:
    """Tables of sines and cosines: two whose squares add up to one everywhere, or one of both side by side."""
    by_shape: dict[tuple[int, ...], list[tuple[str, Array]]] = {}
    found: set[str] = set()
    for name, constant in constants.items():
        width = constant.shape[-1] if len(constant.shape) > 1 else 1
        if width % 2:
            continue
        array = constant.numpy()
        halves = ((array[..., : width // 2], array[..., width // 2 :]), (array[..., 0::2], array[..., 1::2]))
        if any(_add_up_to_one(*pair) for pair in halves):
            found.add(name)
        for other, its_array in by_shape.get(constant.shape, ()):
            if _add_up_to_one(array, its_array):
                found |= {name, other}
        by_shape.setdefault(constant.shape, []).append((name, array))
    return frozenset(found)


def _add_up_to_one(left: Array, right: Array) -> bool:
    """Whether the squares do everywhere. The first elements tell of nearly all weights that they do not."""
    first = (0,) * left.ndim
    if abs(float(left[first]) ** 2 + float(right[first]) ** 2 - 1) > _ROUNDING:
        return False
    sums = np.square(left.astype(np.float32)) + np.square(right.astype(np.float32))
    return bool(np.allclose(sums, 1, atol=_ROUNDING))
