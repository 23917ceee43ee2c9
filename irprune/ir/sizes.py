"""Sizes of dimensions: a positive integer times symbols, such as ``64``, ``batch`` or ``12*batch``.

A symbol is the name that a model gives to a size (a plain string), an :class:`Expression`, or an :class:`Unknown`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce

_LONGEST = 256
"""Most characters of a symbol that spells out a sum; longer sums are hashed."""

_MONOMIAL = re.compile(r"\d+|[^*\d][^*]*")


class Expression(str):
    """A size that follows from others in a way that no monomial says, such as a sum; the text is the expression."""

    __slots__ = ()


class Unknown(str):
    """A size that nothing is known about. The text distinguishes unknown sizes, and equals no name of a model."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((Unknown, str.__hash__(self)))


@dataclass(frozen=True, slots=True)
class Size:
    """The monomial ``coefficient * symbols[0] * symbols[1] * ...``; symbols are sorted and may repeat."""

    coefficient: int
    symbols: tuple[str, ...] = ()

    @staticmethod
    def of(dim: int | str | Size) -> Size:
        """Read a dimension: an integer, or a symbol, or a product written with ``*``.

        Anything that is not a product (``past + 1``) is one symbol of its own.
        """
        if isinstance(dim, Size):
            return dim
        return Size(1, (dim,)) if isinstance(dim, (Expression, Unknown)) else _parsed(dim)

    @property
    def is_compound(self) -> bool:
        """Whether a symbol stands for an expression that is not a monomial (:func:`compound`)."""
        return any(isinstance(symbol, Expression) for symbol in self.symbols)

    @property
    def is_known(self) -> bool:
        """Whether the model says how large it is, or names it."""
        return not any(isinstance(symbol, Unknown) for symbol in self.symbols)

    @property
    def is_static(self) -> bool:
        return not self.symbols

    def __mul__(self, other: Size) -> Size:
        coefficient = self.coefficient * other.coefficient
        return Size(coefficient, tuple(sorted(self.symbols + other.symbols)) if coefficient else ())

    def plus(self, other: Size) -> Size | None:
        """The sum, or ``None`` if it is not a monomial."""
        if 0 in (self.coefficient, other.coefficient):
            return other if self.coefficient == 0 else self
        if self.symbols != other.symbols:
            return None
        return Size(self.coefficient + other.coefficient, self.symbols)

    def divided_by(self, other: Size) -> Size | None:
        """The exact quotient, or ``None`` where ``other`` does not divide this size."""
        if other.coefficient == 0 or self.coefficient % other.coefficient:
            return None
        left, right = Counter(self.symbols), Counter(other.symbols)
        if right - left:
            return None
        return Size(self.coefficient // other.coefficient, tuple(sorted((left - right).elements())))

    def evaluate(self, symbols: Mapping[str, int]) -> int:
        """The size with every symbol replaced; raises ``KeyError`` for a symbol that is not given."""
        return reduce(lambda a, b: a * b, (symbols[s] for s in self.symbols), self.coefficient)

    def as_dim(self) -> int | str:
        if self.is_static:
            return self.coefficient
        return self.symbols[0] if self.coefficient == 1 and len(self.symbols) == 1 else str(self)

    def __str__(self) -> str:
        parts = [str(self.coefficient)] if self.coefficient != 1 or not self.symbols else []
        return "*".join([*parts, *self.symbols])


@lru_cache(maxsize=4096)
def _parsed(dim: int | str) -> Size:
    if isinstance(dim, int):
        return Size(dim)
    factors = [factor.strip() for factor in dim.split("*")]
    if not all(_MONOMIAL.fullmatch(factor) and "(" not in factor for factor in factors):
        return Size(1, (dim,))
    numbers = [int(factor) for factor in factors if factor.isdigit()]
    symbols = tuple(sorted(factor for factor in factors if not factor.isdigit()))
    return Size(reduce(lambda a, b: a * b, numbers, 1), symbols)


ONE = Size(1)


def product(sizes: Iterable[Size]) -> Size:
    return reduce(lambda a, b: a * b, sizes, ONE)


def total(sizes: Iterable[Size]) -> Size:
    """The sum; if a part is known only at run time, the sum is a symbol of its own."""
    parts = list(sizes)
    if all(size.is_static for size in parts):
        return Size(sum(size.coefficient for size in parts))
    text = "+".join(map(str, parts))
    if len(text) > _LONGEST:  # sums of sums: the text would grow with every level
        text = f"sum {hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return Size(1, (Expression(f"({text})"),))


def read_symbol(text: str) -> str:
    """A symbol that a file or the text of a graph spells out: ``(a+b)`` is an expression, ``?a`` an unknown size."""
    if text.startswith("?"):
        return Unknown(text)
    return Expression(text) if text.startswith("(") else text


def read_size(text: str) -> Size:
    """A size as a file or the text of a graph spells it."""
    return Size(int(text)) if text.removeprefix("-").isdigit() else Size.of(read_symbol(text))
