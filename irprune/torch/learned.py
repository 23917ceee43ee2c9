"""Which constants of an exported graph are weights: an ONNX file does not say.

A constant is learned where it meets data that flows from the inputs: as the weight of a contraction or a normalisation,
as a table that is looked up, or added to or multiplied with activations element by element. What never does (running
statistics, quantisation scales, bounds, shapes), single numbers in arithmetic and attention masks are not learned.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..ir import Constant, Graph, Node

_FLOATS = frozenset({"float16", "float32", "float64", "bfloat16"})

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

_TABLES = frozenset({"Gather"})
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


def learned_constants(graph: Graph) -> frozenset[str]:
    """The constants that are weights."""
    data = _data(graph)
    found = (name for name, constant in graph.constants.items() if constant.dtype in _FLOATS and constant.size)
    return frozenset(name for name in found if _is_learned(graph, name, data))


def _data(graph: Graph) -> frozenset[str]:
    """Values that depend on float inputs, or on what integer inputs look up in tables."""
    found = {name for name in graph.inputs if graph.values[name].dtype in _FLOATS}
    for node in graph.nodes:
        if node.op in ("Shape", "Size"):
            continue
        looks_up = node.op in (*_TABLES, "EmbedLayerNormalization") and any(
            name in graph.constants and graph.constants[name].dtype in _FLOATS and graph.constants[name].size > 1
            for name in node.inputs
        )
        if looks_up or any(name in found for name in node.inputs):
            found.update(name for name in node.outputs if name)
    return frozenset(found)


def _is_learned(graph: Graph, name: str, data: frozenset[str]) -> bool:
    constant = graph.constants[name]
    seen, waiting = {name}, [name]
    while waiting:
        current = waiting.pop()
        for node, position in graph.consumers.get(current, ()):
            if _reads_weight(node, current, position, data):
                if node.op not in _ELEMENTWISE:
                    return True
                if constant.size > 1 and not _is_mask(constant):
                    return True
            for output in _handed_on(node, position):
                if output not in seen and output not in data:
                    seen.add(output)
                    waiting.append(output)
    return False


def _reads_weight(node: Node, name: str, position: int, data: frozenset[str]) -> bool:
    if position in _WEIGHTS.get(node.qualified_op, ()):
        return True
    if node.qualified_op in _TABLES and position == 0:
        return True
    return node.qualified_op in _WITH_DATA and any(other in data for other in node.inputs if other != name)


def _handed_on(node: Node, position: int) -> Iterator[str]:
    if node.qualified_op in _WITH_DATA or (node.op in _THROUGH and position == 0):
        yield from (name for name in node.outputs if name)


_MASKING = -10.0
"""Numbers below this, beside zeros, take elements out of a softmax."""


def _is_mask(constant: Constant) -> bool:
    """Zeros and one very negative number: what is added to the scores of an attention."""
    low, high = (float(v) for v in (np.min(constant.numpy()), np.max(constant.numpy())))
    if low >= _MASKING or high > 0:
        return False
    array = constant.numpy()
    return bool(np.all((array == low) | (array == 0)))
