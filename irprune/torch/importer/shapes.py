"""Shape arithmetic at run time: what exporters compute from Shape nodes, in Python integers instead of tensors.

:class:`irprune.ir.Integers` evaluates what is known beforehand. Here the sizes that are not become nodes of the FX
graph that compute integers (``x.size(0)``, ``size * 12``), which PyTorch traces as symbolic integers. A tensor whose
values had to be read back would break the trace.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import fx

from ...ir import Dim, Graph, Integers, Node, Size
from ...ir.dtypes import is_float, is_integer
from ...ir.integers import Entries, Rule, Unknown, plain_number
from .symbolic import (
    Sym,
    add,
    ceil,
    chosen,
    compare,
    divide,
    extreme,
    floor,
    modulo,
    multiply,
    negate,
    subtract,
)

Entry: TypeAlias = "Size | float | Sym"
Combine: TypeAlias = Callable[[Any, Any], Any]

_LARGEST = 4096
"""Tensors of more elements are not shape operands."""

_FLOATS = frozenset({1, 10, 11, 16})
"""The float types among the numbers that ONNX gives to element types."""

_BOOL = 9


class RunTimeIntegers(Integers):
    """Integers whose entries may be :class:`Sym`. ``tensor_of`` gives the FX value of a tensor, ``dims_of`` its shape.

    ``trainable`` are the constants that training changes: nothing that is computed from them is known.
    """

    def __init__(
        self,
        graph: Graph,
        tensor_of: Callable[[str], fx.Proxy],
        dims_of: Callable[[str], tuple[Dim, ...] | None],
        dtype_of: Callable[[str], str | None],
        trainable: frozenset[str],
    ) -> None:
        super().__init__(graph, lambda name: None)
        self._tensor_of = tensor_of
        self._dims_of = dims_of
        self.dtype_of = dtype_of
        self._trainable = trainable
        self._sizes: dict[tuple[str, int], Sym] = {}

    def rule(self, node: Node) -> Rule | None:
        return _RULES.get(node.qualified_op) or super().rule(node)

    def _evaluate(self, name: str) -> Entries | None:
        constant = self._graph.constants.get(name)
        is_tensor = constant is not None and is_float(constant.dtype) and constant.size != 1
        if name in self._trainable or is_tensor:
            return None
        shape = self._graph.shape(name)
        if shape is not None and _static_size(shape) > _LARGEST:
            return None
        found = super()._evaluate(name)
        return None if found is not None and found.size > _LARGEST else found

    def complete(self, name: str) -> Entries | None:
        """The entries of a value if each is known, at import or at run time."""
        entries = self.entries(name)
        return None if entries is None or any(entry is None for entry in entries.ravel()) else entries

    def size(self, name: str, axis: int) -> Entry:
        """The size of one dimension of a tensor."""
        shape = self._dims_of(name)
        dim = shape[axis] if shape is not None else None
        if isinstance(dim, int):
            return Size(dim)
        if (name, axis) not in self._sizes:
            self._sizes[name, axis] = Sym(self._tensor_of(name).size(axis), is_size=True)
        return self._sizes[name, axis]

    def rank(self, name: str) -> int:
        """The number of dimensions of a tensor. Raises :class:`Unknown`."""
        shape = self._dims_of(name)
        if shape is None:
            raise Unknown
        return len(shape)


def _static_size(shape: tuple[object, ...]) -> int:
    return int(np.prod([dim if isinstance(dim, int) else 1 for dim in shape], dtype=np.int64))


# -- rules -------------------------------------------------------------------------------------------------------------


def _binary(combine: Combine, plain: Combine) -> Rule:
    """Known numbers as :class:`Integers` does it, two numbers by ``plain``, the rest by ``combine``."""

    def rule(integers: Integers, node: Node, position: int) -> Entries:
        left, right = np.broadcast_arrays(integers.operand(node, 0), integers.operand(node, 1))
        if left.size > _LARGEST:
            raise Unknown
        known = Integers.rule(integers, node)
        if known is not None and not _has_syms(left, right):
            return known(integers, node, position)
        boxed = np.empty(left.shape, dtype=object)
        for index in np.ndindex(left.shape):
            boxed[index] = _combined(combine, plain, left[index], right[index])
        return boxed

    return rule


def _has_syms(*operands: Entries) -> bool:
    return any(isinstance(entry, Sym) for operand in operands for entry in operand.ravel())


def _combined(combine: Combine, plain: Combine, left: Any, right: Any) -> object:
    if left is None or right is None:
        return None
    a, b = plain_number(left), plain_number(right)
    if a is None or b is None:
        return combine(left, right)
    result = plain(a, b)
    is_float = not isinstance(result, (bool, np.bool_)) and (isinstance(left, float) or isinstance(right, float))
    return float(result) if is_float else Size(int(result))


def _quotient(a: float, b: float) -> float:
    """Integers are divided as in C."""
    return a / b if isinstance(a, float) or isinstance(b, float) else int(a / b)


def _div(integers: Integers, node: Node, position: int) -> Entries:
    assert isinstance(integers, RunTimeIntegers)
    dtype = integers.dtype_of(node.outputs[0])
    if dtype is None:
        raise Unknown
    exact = not is_integer(dtype)
    return _binary(lambda a, b: divide(a, b, exact), _quotient)(integers, node, position)


def _mod(integers: Integers, node: Node, position: int) -> Entries:
    if node.int("fmod"):
        raise Unknown
    return _binary(modulo, operator.mod)(integers, node, position)


def _several(combine: Combine, plain: Combine) -> Rule:
    """Min and Max take any number of operands; only two are shape arithmetic."""
    two = _binary(combine, plain)

    def rule(integers: Integers, node: Node, position: int) -> Entries:
        if len(node.inputs) != 2:
            raise Unknown
        return two(integers, node, position)

    return rule


def _unary(function: Callable[[Sym], Sym], plain: Callable[[float], float]) -> Rule:
    def rule(integers: Integers, node: Node, _: int) -> Entries:
        data = integers.operand(node, 0)
        boxed = np.empty(data.shape, dtype=object)
        for index, entry in np.ndenumerate(data):
            if isinstance(entry, Sym):
                boxed[index] = function(entry)
            elif (number := plain_number(entry)) is not None:
                result = plain(number)
                boxed[index] = float(result) if isinstance(entry, float) else Size(int(result))
        return boxed

    return rule


def _cast(integers: Integers, node: Node, position: int) -> Entries:
    known = Integers.rule(integers, node)
    assert known is not None
    boxed = known(integers, node, position)
    to = node.int("to")
    for index, entry in np.ndenumerate(boxed):
        if isinstance(entry, Sym):
            boxed[index] = _cast_sym(entry, to)
        elif to == _BOOL and isinstance(entry, Size):
            boxed[index] = Size(int(entry.coefficient != 0))
    return boxed


def _cast_sym(entry: Sym, to: int) -> Sym | None:
    if to == _BOOL:
        return entry if entry.is_bool else None
    if entry.is_bool:
        return Sym(torch.sym_ite(entry.value, 1, 0), is_size=True)  # type: ignore[no-untyped-call]
    if to in _FLOATS or entry.divisor == 1:
        return entry
    return floor(entry) if entry.is_size else None


def _shape(integers: Integers, node: Node, _: int) -> Entries:
    assert isinstance(integers, RunTimeIntegers)
    name = node.inputs[0]
    rank = integers.rank(name)
    start, end, _step = slice(node.int("start", 0), node.int("end", rank)).indices(rank)
    return _boxed([integers.size(name, axis) for axis in range(start, end)])


def _size(integers: Integers, node: Node, _: int) -> Entries:
    assert isinstance(integers, RunTimeIntegers)
    name = node.inputs[0]
    return _boxed([_product([integers.size(name, axis) for axis in range(integers.rank(name))])]).reshape(())


def _product(entries: list[Any]) -> object:
    one: object = Size(1)
    return reduce(lambda a, b: _combined(multiply, operator.mul, a, b), entries, one)


def _boxed(entries: list[Any]) -> Entries:
    boxed = np.empty(len(entries), dtype=object)
    boxed[:] = entries
    return boxed


def _reduce_prod(integers: Integers, node: Node, _: int) -> Entries:
    data = integers.operand(node, 0)
    if data.ndim != 1:
        raise Unknown
    return _boxed([_product(list(data))]).reshape((1,) if node.int("keepdims", 1) else ())


def _where(integers: Integers, node: Node, _: int) -> Entries:
    operands = [integers.operand(node, k) for k in range(3)]
    choose, yes, no = np.broadcast_arrays(*operands)
    if choose.size > _LARGEST:
        raise Unknown
    boxed = np.empty(choose.shape, dtype=object)
    for index in np.ndindex(choose.shape):
        boxed[index] = chosen(choose[index], yes[index], no[index])
    return boxed


_RULES: dict[str, Rule] = {
    "Shape": _shape,
    "Size": _size,
    "ReduceProd": _reduce_prod,
    "Cast": _cast,
    "Where": _where,
    "Add": _binary(add, operator.add),
    "Sub": _binary(subtract, operator.sub),
    "Mul": _binary(multiply, operator.mul),
    "Div": _div,
    "Mod": _mod,
    "Min": _several(extreme(torch.sym_min), min),
    "Max": _several(extreme(torch.sym_max), max),
    "Floor": _unary(floor, np.floor),
    "Ceil": _unary(ceil, np.ceil),
    "Neg": _unary(lambda entry: Sym(-entry.value, entry.divisor), lambda a: -a),
    "Not": _unary(negate, lambda a: not a),
    "Equal": _binary(compare(operator.eq), operator.eq),
    "Greater": _binary(compare(operator.gt), operator.gt),
    "GreaterOrEqual": _binary(compare(operator.ge), operator.ge),
    "Less": _binary(compare(operator.lt), operator.lt),
    "LessOrEqual": _binary(compare(operator.le), operator.le),
}
