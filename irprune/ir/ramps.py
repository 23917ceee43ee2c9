"""Index tensors that are computed at run time, read as sums of ranges.

``index[i, j] = offset + stride_i * i + stride_j * j`` is what exporters write for a strided view (``as_strided``, a
window, a select) with a size that is known only at run time: ``Range(batch) * 64``, unsqueezed, plus a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .core import Array, Graph, Node
from .demand import OnDemand
from .integers import Integers
from .sizes import ONE, Size

ZERO = Size(0)

_LIMIT = 1 << 22
"""Integer constants above this many elements are not looked at."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """An integer tensor: element ``(i, j, ...)`` is ``offset + strides[0] * i + strides[1] * j + ...``."""

    sizes: tuple[Size, ...]
    strides: tuple[Size, ...]
    offset: Size

    @property
    def is_single(self) -> bool:
        return all(size == ONE for size in self.sizes)


class Ramps:
    """Reads the index operands of one graph."""

    def __init__(self, graph: Graph, integers: Integers) -> None:
        self._graph = graph
        self._integers = integers
        self._found = OnDemand(self._read)

    def ramp(self, name: str) -> Ramp | None:
        """The tensor as a sum of ranges; ``None`` if it is not one, or nothing is known about it."""
        return self._found(name)

    def _read(self, name: str) -> Ramp | None:
        constant = self._graph.constants.get(name)
        if constant is not None:
            readable = constant.read is not None and constant.size <= _LIMIT and constant.dtype in ("int32", "int64")
            return _of_array(constant.numpy()) if readable else None
        array = self._integers.array(name)
        if array is not None:
            return _of_array(array)
        entries = self._integers.entries(name)
        if entries is not None and entries.size == 1 and isinstance(entry := entries.item(), Size):
            return Ramp((ONE,) * entries.ndim, (ZERO,) * entries.ndim, entry)
        node = self._graph.producers.get(name)
        rule = _RULES.get(node.qualified_op) if node is not None else None
        return rule(self, node) if node is not None and rule is not None else None

    def operand(self, node: Node, position: int) -> Ramp | None:
        return self.ramp(node.inputs[position]) if position < len(node.inputs) and node.inputs[position] else None

    def axes(self, node: Node) -> tuple[int, ...] | None:
        """The axes of a Squeeze or an Unsqueeze, as they are written."""
        if (axes := node.ints("axes")) is not None or len(node.inputs) < 2:
            return axes
        array = self._integers.array(node.inputs[1])
        return None if array is None else tuple(int(v) for v in array.ravel())


def _of_array(array: Array) -> Ramp | None:
    if array.size == 0 or array.dtype.kind not in "iu":
        return None
    first = int(array.ravel()[0])
    rebuilt = np.full((1,) * array.ndim, first)
    strides: list[Size] = []
    for axis, size in enumerate(array.shape):
        neighbor = tuple(int(k == axis) for k in range(array.ndim))
        stride = int(array[neighbor]) - first if size > 1 else 0
        shape = [size if k == axis else 1 for k in range(array.ndim)]
        rebuilt = rebuilt + (np.arange(size) * stride).reshape(shape)
        strides.append(Size(stride))
    if not np.array_equal(rebuilt, array):
        return None
    return Ramp(tuple(map(Size, array.shape)), tuple(strides), Size(first))


def _same(ramps: Ramps, node: Node) -> Ramp | None:
    return ramps.operand(node, 0)


def _range(ramps: Ramps, node: Node) -> Ramp | None:
    start, limit, step = (ramps.operand(node, k) for k in range(3))
    if start is None or limit is None or step is None:
        return None
    if start.offset != ZERO or step.offset != ONE:
        return None
    return Ramp((limit.offset,), (ONE,), ZERO)


def _add(ramps: Ramps, node: Node) -> Ramp | None:
    left, right = ramps.operand(node, 0), ramps.operand(node, 1)
    if left is None or right is None:
        return None
    rank = max(len(left.sizes), len(right.sizes))
    left, right = _padded(left, rank), _padded(right, rank)
    sizes = [b if a == ONE else a for a, b in zip(left.sizes, right.sizes, strict=True)]
    if any(b not in (ONE, size) for b, size in zip(right.sizes, sizes, strict=True)):
        return None
    strides = [a.plus(b) for a, b in zip(left.strides, right.strides, strict=True)]
    offset = left.offset.plus(right.offset)
    if offset is None or any(stride is None for stride in strides):
        return None
    return Ramp(tuple(sizes), tuple(stride for stride in strides if stride is not None), offset)


def _padded(ramp: Ramp, rank: int) -> Ramp:
    missing = rank - len(ramp.sizes)
    return Ramp((ONE,) * missing + ramp.sizes, (ZERO,) * missing + ramp.strides, ramp.offset)


def _multiply(ramps: Ramps, node: Node) -> Ramp | None:
    left, right = ramps.operand(node, 0), ramps.operand(node, 1)
    if left is None or right is None:
        return None
    if left.is_single:
        left, right = right, left
    if not right.is_single:
        return None
    scaled = _padded(left, max(len(left.sizes), len(right.sizes)))
    strides = tuple(stride * right.offset for stride in scaled.strides)
    return Ramp(scaled.sizes, strides, scaled.offset * right.offset)


def _unsqueeze(ramps: Ramps, node: Node) -> Ramp | None:
    ramp, axes = ramps.operand(node, 0), ramps.axes(node)
    if ramp is None or axes is None:
        return None
    rank = len(ramp.sizes) + len(axes)
    sizes, strides = list(ramp.sizes), list(ramp.strides)
    for axis in sorted(axis % rank for axis in axes):
        sizes.insert(axis, ONE)
        strides.insert(axis, ZERO)
    return Ramp(tuple(sizes), tuple(strides), ramp.offset)


def _squeeze(ramps: Ramps, node: Node) -> Ramp | None:
    ramp = ramps.operand(node, 0)
    axes = ramps.axes(node)
    if ramp is None or axes is None:
        return None
    gone = {axis % len(ramp.sizes) for axis in axes}
    kept = [k for k in range(len(ramp.sizes)) if k not in gone]
    return Ramp(tuple(ramp.sizes[k] for k in kept), tuple(ramp.strides[k] for k in kept), ramp.offset)


def _transpose(ramps: Ramps, node: Node) -> Ramp | None:
    ramp = ramps.operand(node, 0)
    if ramp is None:
        return None
    order = node.ints("perm") or tuple(reversed(range(len(ramp.sizes))))
    return replace(ramp, sizes=tuple(ramp.sizes[k] for k in order), strides=tuple(ramp.strides[k] for k in order))


_RULES: dict[str, Callable[[Ramps, Node], Ramp | None]] = {
    "Identity": _same,
    "Cast": _same,
    "Range": _range,
    "Add": _add,
    "Mul": _multiply,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
}
