"""Which constants of an exported graph are weights: an ONNX file does not say.

A constant is trainable where it meets data that flows from the inputs: as the weight of a contraction or a
normalization, as a table that is looked up, or added to or multiplied with activations element by element. All other
constants (running statistics, quantization scales, bounds, shapes), single numbers in arithmetic, attention masks,
sines and cosines are not trainable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...ir import Constant, Graph, Node
from ...ir.core import Array
from ...ir.dtypes import is_trainable
from ...signatures import traits_of


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
        traits = traits_of(node.qualified_op)
        if traits.reads_sizes:
            continue
        looks_up = traits.lookups and any(
            name in graph.constants and is_trainable(graph.constants[name].dtype) and graph.constants[name].size > 1
            for name in node.inputs
        )
        contracts = traits.combines == "product" and any(_is_matrix(graph, name) for name in node.inputs)
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
            traits = traits_of(node.qualified_op)
            if position in traits.weights:
                return True
            meets = constant.size > 1 and _meets_data(graph, node, current, position, data)
            if meets and not (traits.combines == "arithmetic" and _is_mask(constant)):
                return True
            for output in _handed_on(node, position):
                if output not in seen and output not in data:
                    seen.add(output)
                    waiting.append(output)
    return False


def _meets_data(graph: Graph, node: Node, name: str, position: int, data: frozenset[str]) -> bool:
    traits = traits_of(node.qualified_op)
    if traits.picks_from(position) or (traits.combines == "product" and _is_matrix(graph, name)):
        return True
    return bool(traits.combines) and any(other in data for other in node.inputs if other != name)


def _handed_on(node: Node, position: int) -> Iterator[str]:
    traits = traits_of(node.qualified_op)
    if traits.combines or traits.hands_on(position) or (traits.passes_through and position == 0):
        yield from (name for name in node.outputs if name)


_MASKING = -10.0
"""Numbers below this, among zeros, take elements out of a softmax."""


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
"""Tolerance of squares in half precision."""


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
    """Whether the squares add up to one everywhere. For nearly all weights the first elements show that they do not."""
    first = (0,) * left.ndim
    if abs(float(left[first]) ** 2 + float(right[first]) ** 2 - 1) > _ROUNDING:
        return False
    sums = np.square(left.astype(np.float32)) + np.square(right.astype(np.float32))
    return bool(np.allclose(sums, 1, atol=_ROUNDING))
