"""Numbers known at run time, and arithmetic on them that the FX graph carries out in Python integers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ...ir import Size
from ...ir.integers import Unknown, plain_number

_LARGEST_DENOMINATOR = 1 << 16
"""Largest divisor of a scale; other scales are computed in tensors."""


@dataclass(frozen=True, eq=False)
class Sym:
    """A number known at run time: an integer that the FX graph computes (a proxy), over a fixed divisor."""

    value: Any
    divisor: int = 1
    is_size: bool = False
    """It is not negative."""
    is_bool: bool = False


def python_number(entry: object) -> Any:
    """An entry as what PyTorch takes: a number, or the node that computes one."""
    if isinstance(entry, Sym):
        return entry.value if entry.divisor == 1 else entry.value / entry.divisor
    return plain_number(entry)


def _fraction(entry: object) -> Fraction | None:
    plain = plain_number(entry)
    if plain is None:
        return None
    found = Fraction(plain)
    if found.denominator > _LARGEST_DENOMINATOR:
        raise Unknown
    return found


def _scaled(entry: Sym, factor: int) -> Any:
    return entry.value if factor == 1 else entry.value * factor


def _over(entry: object, divisor: int) -> Any:
    """The numerator of an entry over a divisor that its own divides."""
    if isinstance(entry, Sym):
        return _scaled(entry, divisor // entry.divisor)
    found = _fraction(entry)
    assert found is not None
    return int(found * divisor)


def _divisor(entry: object) -> int:
    if isinstance(entry, Sym):
        return entry.divisor
    found = _fraction(entry)
    assert found is not None
    return found.denominator


def _is_size(entry: object) -> bool:
    if isinstance(entry, Sym):
        return entry.is_size
    plain = plain_number(entry)
    return plain is not None and plain >= 0


def _common(left: object, right: object) -> tuple[Any, Any, int]:
    """Both numerators over one divisor."""
    divisor = int(np.lcm(_divisor(left), _divisor(right)))
    return _over(left, divisor), _over(right, divisor), divisor


def add(left: object, right: object) -> Sym:
    a, b, divisor = _common(left, right)
    return Sym(a + b, divisor, _is_size(left) and _is_size(right))


def subtract(left: object, right: object) -> Sym:
    a, b, divisor = _common(left, right)
    return Sym(a - b, divisor)


def multiply(left: object, right: object) -> Sym | Size:
    if plain_number(left) == 0 or plain_number(right) == 0:
        return Size(0)
    product, divisor = _over(left, _divisor(left)), _divisor(left) * _divisor(right)
    factor = _over(right, _divisor(right))
    if isinstance(factor, int) and factor == 1:
        result = product
    elif isinstance(product, int) and product == 1:
        result = factor
    else:
        result = product * factor
    return Sym(result, divisor, _is_size(left) and _is_size(right))


def divide(left: object, right: object, is_float: bool) -> Sym:
    """Integers are divided toward zero; a fraction keeps its divisor."""
    if not is_float:
        return _quotient(left, right)
    by = _fraction(right)
    if by is None or by <= 0 or not isinstance(left, Sym):
        raise Unknown
    return Sym(_scaled(left, by.denominator), left.divisor * by.numerator, left.is_size)


def _quotient(left: object, right: object) -> Sym:
    """Rounds toward zero: down for numbers that are not negative, up for others."""
    if not _is_size(right):
        raise Unknown
    a, b, _ = _common(left, right)
    if isinstance(b, int) and b == 1:
        return Sym(a, is_size=_is_size(left))
    if _is_size(left):
        return Sym(a // b, is_size=True)
    above, below = torch.sym_max(a, 0), torch.sym_max(-a, 0)  # type: ignore[no-untyped-call]
    return Sym(above // b - below // b)


def modulo(left: object, right: object) -> Sym:
    """Python and ONNX agree for integers: the result has the sign of the divisor."""
    if not _is_size(right):
        raise Unknown
    a, b, divisor = _common(left, right)
    return Sym(a % b, divisor, is_size=True)


def extreme(function: Callable[[Any, Any], Any]) -> Callable[[object, object], Sym]:
    def rule(left: object, right: object) -> Sym:
        a, b, divisor = _common(left, right)
        return Sym(function(a, b), divisor, _is_size(left) and _is_size(right))

    return rule


def compare(function: Callable[[Any, Any], Any]) -> Callable[[object, object], Sym | Size]:
    def rule(left: object, right: object) -> Sym | Size:
        for entry, other in ((left, right), (right, left)):
            plain = plain_number(other)
            if function is operator.eq and _is_size(entry) and plain is not None and plain < 0:
                return Size(0)
        if isinstance(left, Sym) and isinstance(right, Sym) and _same(left, right):
            return Size(int(function(0, 0)))
        a, b, _ = _common(left, right)
        return Sym(function(a, b), is_size=True, is_bool=True)

    return rule


def _same(left: Sym, right: Sym) -> bool:
    return left.value.node is right.value.node and left.divisor == right.divisor


def floor(entry: Sym) -> Sym:
    return Sym(entry.value if entry.divisor == 1 else entry.value // entry.divisor, 1, entry.is_size)


def ceil(entry: Sym) -> Sym:
    raised = entry.value + (entry.divisor - 1)
    return entry if entry.divisor == 1 else Sym(raised // entry.divisor, 1, entry.is_size)


def negate(entry: Sym) -> Sym:
    return Sym(torch.sym_not(entry.value), 1, True, True)  # type: ignore[no-untyped-call]


def chosen(condition: object, yes: object, no: object) -> object:
    plain = plain_number(condition)
    if plain is not None:
        return yes if plain else no
    if not isinstance(condition, Sym) or yes is None or no is None:
        return None
    a, b, divisor = _common(yes, no)
    value = torch.sym_ite(condition.value, a, b)  # type: ignore[no-untyped-call]
    return Sym(value, divisor, _is_size(yes) and _is_size(no))
