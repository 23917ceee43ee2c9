"""Shape arithmetic: the integer tensors that exporters compute from Shape nodes, evaluated symbolically.

Entries are exact integers (or floats, for scales), :class:`Size` monomials of symbolic dimensions, or unknown.
Evaluation is on demand and takes the shapes of tensors from a callback, so the same graph can be asked what its
shape operands are before a removal and what they become after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .core import Graph, Node
from .demand import OnDemand
from .dtypes import is_integer, is_native
from .sizes import Size, read_size

Shape: TypeAlias = tuple[Size, ...] | None
Entries: TypeAlias = NDArray[np.object_]

_LIMIT = 4096
"""Constants above this many elements are weights, not shapes."""


Rule: TypeAlias = Callable[["Integers", Node, int], Entries]
"""Evaluates one output of a node, given by its position."""


class Integers:
    """Evaluates shape operands of one graph. ``shape_of`` gives the sizes of a value's dimensions."""

    def __init__(self, graph: Graph, shape_of: Callable[[str], Shape]) -> None:
        self._graph = graph
        self._shape_of = shape_of
        self._found = OnDemand(self._evaluate)

    def entries(self, name: str) -> Entries | None:
        """The entries of a small integer tensor (``Size``, float or ``None`` each), ``None`` where unknown."""
        return self._found(name)

    def array(self, name: str) -> NDArray[np.generic] | None:
        """The tensor as plain numbers, where every entry is known."""
        entries = self.entries(name)
        if entries is None:
            return None
        flat = [plain_number(entry) for entry in entries.ravel()]
        if any(entry is None for entry in flat):
            return None
        return np.array(flat).reshape(entries.shape) if flat else np.zeros(entries.shape, np.int64)

    def _evaluate(self, name: str) -> Entries | None:
        constant = self._graph.constants.get(name)
        if constant is not None:
            if constant.read is None or constant.size > _LIMIT or not _is_numeric(constant.dtype):
                return None
            return _box(constant.numpy())
        node = self._graph.producers.get(name)
        rule = self.rule(node) if node is not None else None
        if node is None or rule is None or node.mutated:
            return None
        try:
            return rule(self, node, node.outputs.index(name))
        except (Unknown, ValueError, IndexError, ArithmeticError):
            return None

    def rule(self, node: Node) -> Rule | None:
        """The rule that evaluates a node; a subclass may know more operators, or evaluate them differently."""
        return _OPERATORS.get(node.qualified_op)

    def operand(self, node: Node, position: int) -> Entries:
        name = node.inputs[position] if position < len(node.inputs) else ""
        entries = self.entries(name) if name else None
        if entries is None:
            raise Unknown
        return entries

    def part(self, name: str) -> Entries:
        """The entries of an operand; all are unknown if only its shape is known."""
        entries = self.entries(name)
        if entries is not None:
            return entries
        value = self._graph.values.get(name)
        shape = [_require(size) for size in self.shape(name)]
        if value is None or not is_integer(value.dtype or "") or int(np.prod(shape)) > _LIMIT:
            raise Unknown
        return np.full(shape, None, dtype=object)

    def plain(self, node: Node, position: int) -> list[int]:
        name = node.inputs[position] if position < len(node.inputs) else ""
        array = self.array(name) if name else None
        if array is None:
            raise Unknown
        return [int(v) for v in array.ravel()]

    def shape(self, name: str) -> tuple[Size, ...]:
        shape = self._shape_of(name)
        if shape is not None:
            return shape
        entries = self.entries(name)
        if entries is None:
            raise Unknown
        return tuple(map(Size, entries.shape))


class Unknown(Exception):
    """An operand is not known at compile time."""


def _is_numeric(dtype: str) -> bool:
    return is_native(dtype) or is_integer(dtype)


def plain_number(entry: object) -> float | int | None:
    if isinstance(entry, Size):
        return entry.coefficient if entry.is_static else None
    return entry if isinstance(entry, float) else None


def _box(array: NDArray[np.generic]) -> Entries:
    boxed = np.empty(array.shape, dtype=object)
    is_float = array.dtype.kind == "f"
    boxed.ravel()[:] = [float(v) if is_float else Size(int(v)) for v in array.ravel().tolist()]
    return boxed


def _vector(items: list[Size | None]) -> Entries:
    boxed = np.empty(len(items), dtype=object)
    boxed[:] = items
    return boxed


def _shape(integers: Integers, node: Node, _: int) -> Entries:
    shape = integers.shape(node.inputs[0])
    end = node.int("end", len(shape))
    return _vector(list(shape[slice(node.int("start", 0), end)]))


def _sizes(integers: Integers, node: Node, _: int) -> Entries:
    """``irprune::sizes``: sizes that a frontend knows, each the text of a :class:`Size`."""
    entries = node.attributes["entries"]
    assert isinstance(entries, tuple)
    sizes = _vector([read_size(str(entry)) for entry in entries])
    return sizes.reshape(()) if node.int("scalar") else sizes


def _size(integers: Integers, node: Node, _: int) -> Entries:
    total = Size(1)
    for size in integers.shape(node.inputs[0]):
        total = total * size
    return np.array(total, dtype=object).reshape(())


def _same(integers: Integers, node: Node, _: int) -> Entries:
    return integers.operand(node, 0)


def _cast(integers: Integers, node: Node, _: int) -> Entries:
    entries = integers.operand(node, 0)
    to_float = node.int("to") in {1, 10, 11, 16}
    boxed = np.empty(entries.shape, dtype=object)
    for index, entry in np.ndenumerate(entries):
        plain = plain_number(entry)
        if plain is None:
            boxed[index] = entry
        else:
            boxed[index] = float(plain) if to_float else Size(int(plain))
    return boxed


def _gather(integers: Integers, node: Node, _: int) -> Entries:
    data, indices = integers.operand(node, 0), integers.entries(node.inputs[1])
    if indices is None:
        raise Unknown
    plain = np.array([_require(entry) for entry in indices.ravel()], dtype=np.int64).reshape(indices.shape)
    return np.asarray(data.take(plain, axis=node.int("axis")), dtype=object).reshape(
        data.shape[: node.int("axis")] + plain.shape + data.shape[node.int("axis") + 1 :]
    )


def _require(entry: object) -> int:
    plain = plain_number(entry)
    if plain is None:
        raise Unknown
    return int(plain)


def _concat(integers: Integers, node: Node, _: int) -> Entries:
    if all(integers.entries(name) is None for name in node.inputs):
        raise Unknown
    return np.concatenate([integers.part(name) for name in node.inputs], axis=node.int("axis"))


def _unsqueeze(integers: Integers, node: Node, _: int) -> Entries:
    data = integers.operand(node, 0)
    axes = node.ints("axes") or tuple(integers.plain(node, 1))
    return np.expand_dims(data, tuple(axes))


def _squeeze(integers: Integers, node: Node, _: int) -> Entries:
    data = integers.operand(node, 0)
    axes = node.ints("axes") or (tuple(integers.plain(node, 1)) if len(node.inputs) > 1 else None)
    return np.squeeze(data, axis=axes)


def _reshape(integers: Integers, node: Node, _: int) -> Entries:
    return integers.operand(node, 0).reshape(integers.plain(node, 1))


def _slice(integers: Integers, node: Node, _: int) -> Entries:
    data = integers.operand(node, 0)
    starts = node.ints("starts") or tuple(integers.plain(node, 1))
    ends = node.ints("ends") or tuple(integers.plain(node, 2))
    axes = node.ints("axes") or (tuple(integers.plain(node, 3)) if len(node.inputs) > 3 and node.inputs[3] else None)
    steps = tuple(integers.plain(node, 4)) if len(node.inputs) > 4 and node.inputs[4] else (1,) * len(starts)
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes or range(len(starts)), starts, ends, steps, strict=True):
        past_front = step < 0 and end < -data.shape[axis]
        index[axis] = slice(start, None if past_front else end, step)
    return data[tuple(index)]


def _transpose(integers: Integers, node: Node, _: int) -> Entries:
    return integers.operand(node, 0).transpose(node.ints("perm"))


def _split(integers: Integers, node: Node, position: int) -> Entries:
    data, axis = integers.operand(node, 0), node.int("axis")
    sizes = node.ints("split") or (tuple(integers.plain(node, 1)) if len(node.inputs) > 1 else ())
    if not sizes:
        return np.array_split(data, len(node.outputs), axis=axis)[position]
    return np.split(data, np.cumsum(sizes)[:-1], axis=axis)[position]


def _reduce_prod(integers: Integers, node: Node, _: int) -> Entries:
    data = integers.operand(node, 0)
    if data.ndim > 1:
        raise Unknown
    total = Size(1)
    for entry in data.ravel():
        if not isinstance(entry, Size):
            raise Unknown
        total = total * entry
    return np.array(total, dtype=object).reshape((1,) if node.int("keepdims", 1) else ())


def _constant_of_shape(integers: Integers, node: Node, _: int) -> Entries:
    shape = integers.plain(node, 0)
    if int(np.prod(shape)) > _LIMIT:
        raise Unknown
    value = node.attributes.get("value", 0)
    fill = value.numpy().ravel()[0] if hasattr(value, "numpy") else value
    if isinstance(fill, str):
        raise Unknown  # a number known only at run time
    return _box(np.full(shape, fill))


def _range(integers: Integers, node: Node, _: int) -> Entries:
    start, limit, step = (integers.plain(node, k)[0] for k in range(3))
    if len(range(start, limit, step)) > _LIMIT:
        raise Unknown
    return _box(np.arange(start, limit, step))


def _where(integers: Integers, node: Node, _: int) -> Entries:
    choose, yes, no = (integers.operand(node, k) for k in range(3))
    plain = np.array([_require(entry) for entry in choose.ravel()], dtype=bool).reshape(choose.shape)
    return np.where(plain, yes, no)


def _expand(integers: Integers, node: Node, _: int) -> Entries:
    data = integers.operand(node, 0)
    shape = np.broadcast_shapes(data.shape, tuple(integers.plain(node, 1)))
    return np.broadcast_to(data, shape)


def _one_hot(integers: Integers, node: Node, _: int) -> Entries:
    """Exporters write repeats that are one except along one axis as a one-hot vector."""
    indices, values = integers.plain(node, 0), integers.operand(node, 2)
    depth = integers.plain(node, 1)[0]
    shape = integers.operand(node, 0).shape
    if len(shape) > 1 or depth > _LIMIT:
        raise Unknown
    rows = np.empty((len(indices), depth), dtype=object)
    rows[:] = values[0]
    for row, index in enumerate(indices):
        if -depth <= index < depth:
            rows[row, index] = values[1]
    rows = rows if shape else rows[0]
    return rows.T if shape and node.int("axis", -1) == 0 else rows


def _elementwise(combine: Callable[[object, object], object]) -> Rule:
    def rule(integers: Integers, node: Node, _: int) -> Entries:
        left, right = np.broadcast_arrays(integers.operand(node, 0), integers.operand(node, 1))
        boxed = np.empty(left.shape, dtype=object)
        for index in np.ndindex(left.shape):
            boxed[index] = combine(left[index], right[index])
        return boxed

    return rule


def _arithmetic(
    plain: Callable[[float, float], float], symbolic: Callable[[Size, Size], Size | None]
) -> Callable[[object, object], object]:
    def combine(left: object, right: object) -> object:
        a, b = plain_number(left), plain_number(right)
        if a is not None and b is not None:
            result = plain(a, b)
            return result if isinstance(left, float) or isinstance(right, float) else Size(int(result))
        return symbolic(left, right) if isinstance(left, Size) and isinstance(right, Size) else None

    return combine


def _compare(plain: Callable[[float, float], bool]) -> Callable[[object, object], object]:
    def combine(left: object, right: object) -> object:
        a, b = plain_number(left), plain_number(right)
        if a is not None and b is not None:
            return Size(int(plain(a, b)))
        known = a if a is not None else b
        if known is not None and known <= 0 and plain is _equal:
            return Size(0)  # a run-time size is never zero or negative
        return None

    return combine


def _equal(left: float, right: float) -> bool:
    return left == right


def _divide(left: float, right: float) -> float:
    return left / right if isinstance(left, float) or isinstance(right, float) else int(left / right)


def _power(left: object, right: object) -> object:
    """The result has the type of the base."""
    base, exponent = plain_number(left), plain_number(right)
    if base is None or exponent is None:
        return None
    result = math.pow(base, exponent)
    return result if isinstance(left, float) else Size(int(result))


def _identical(left: Size, right: Size) -> Size | None:
    return left if left == right else None


def _unary(function: Callable[[float], float]) -> Rule:
    def rule(integers: Integers, node: Node, _: int) -> Entries:
        data = integers.operand(node, 0)
        boxed = np.empty(data.shape, dtype=object)
        for index, entry in np.ndenumerate(data):
            plain = plain_number(entry)
            if plain is not None:
                result = function(plain)
                boxed[index] = float(result) if isinstance(entry, float) else Size(int(result))
        return boxed

    return rule


_OPERATORS: dict[str, Rule] = {
    "irprune::sizes": _sizes,
    "Shape": _shape,
    "Size": _size,
    "Identity": _same,
    "Cast": _cast,
    "Gather": _gather,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Transpose": _transpose,
    "ReduceProd": _reduce_prod,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Where": _where,
    "Expand": _expand,
    "OneHot": _one_hot,
    "Add": _elementwise(_arithmetic(lambda a, b: a + b, lambda a, b: a.plus(b))),
    "Sub": _elementwise(_arithmetic(lambda a, b: a - b, lambda a, b: a.plus(Size(-b.coefficient, b.symbols)))),
    "Mul": _elementwise(_arithmetic(lambda a, b: a * b, lambda a, b: a * b)),
    "Div": _elementwise(_arithmetic(_divide, lambda a, b: a.divided_by(b))),
    "Pow": _elementwise(_power),
    "Mod": _elementwise(_arithmetic(lambda a, b: a % b, lambda a, b: None)),
    "Min": _elementwise(_arithmetic(min, _identical)),
    "Max": _elementwise(_arithmetic(max, _identical)),
    "Equal": _elementwise(_compare(_equal)),
    "Greater": _elementwise(_compare(lambda a, b: a > b)),
    "GreaterOrEqual": _elementwise(_compare(lambda a, b: a >= b)),
    "Less": _elementwise(_compare(lambda a, b: a < b)),
    "LessOrEqual": _elementwise(_compare(lambda a, b: a <= b)),
    "And": _elementwise(_compare(lambda a, b: bool(a and b))),
    "Or": _elementwise(_compare(lambda a, b: bool(a or b))),
    "Neg": _unary(lambda a: -a),
    "Floor": _unary(np.floor),
    "Ceil": _unary(np.ceil),
    "Round": _unary(np.round),
    "Sqrt": _unary(math.sqrt),
    "Not": _unary(lambda a: not a),
}
