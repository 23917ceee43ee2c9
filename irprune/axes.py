"""The algebra of axes.

Every dimension of every value is an *axis expression*:

* a :class:`Leaf`, an axis that is not known to factor;
* a :class:`Product` of expressions, row-major (``768 = (heads 12) x (head_dim 64)``);
* a :class:`Sum`, expressions laid end to end (a concatenation, or the parts that a split cuts out).

Saying that two dimensions are the same axis *unifies* their expressions, which refines both until they agree, as
type inference does. What unification cannot express, an arbitrary permutation or a cut through the middle of a
product, is kept as a :class:`Relation` between elements and solved at the end (:mod:`irprune.analysis.atoms`).

Nothing here recurses along chains of bound leaves or of unifications, which grow with the model. A walk over a
*resolved* expression may recurse: products alternate with sums, and each level at least doubles the size, so the depth
is at most twice the logarithm of the size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import is_
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from .ir.sizes import ONE, Expression, Size, product, total
from .reasons import Kind, Place, Reason

Indices: TypeAlias = NDArray[np.intp]


class Leaf:
    """An axis. ``bound`` is what it was refined to or unified with; a leaf without one is a root."""

    __slots__ = ("bound", "name", "number", "size")

    def __init__(self, size: Size, name: str, number: int) -> None:
        self.size = size
        self.name = name
        self.number = number
        self.bound: Axis | None = None

    def __repr__(self) -> str:
        return f"{self.name}:{self.size}"


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A row-major product: the last factor varies fastest. The empty product is a dimension of size one.

    Expressions are compared and hashed by identity, as leaves are; values that share a dimension share the object.
    """

    factors: tuple[Axis, ...]
    settled: bool = False

    def __repr__(self) -> str:
        return f"({' '.join(map(repr, self.factors))})" if self.factors else "1"


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """Parts laid end to end."""

    parts: tuple[Axis, ...]
    settled: bool = False

    def __repr__(self) -> str:
        return f"({' + '.join(map(repr, self.parts))})"


Axis: TypeAlias = Leaf | Product | Sum

_T = TypeVar("_T")
Steps: TypeAlias = Generator[tuple[Axis, Axis], None, _T]
"""Yields pairs of expressions to unify."""

UNIT = Product(())
"""A dimension of size one: nothing in it can be removed, and it may stand for a broadcast."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Element ``left_index[k]`` of ``left`` is kept if and only if ``right_index[k]`` of ``right`` is."""

    left: Axis
    left_index: Indices
    right: Axis
    right_index: Indices
    where: Place


@dataclass(frozen=True, slots=True)
class Freeze:
    """No element of ``axis`` may be removed, for this reason."""

    axis: Axis
    reason: Reason


@dataclass
class AxisSystem:
    """The unknowns and what is known about them.

    ``named`` are the symbols that the model itself declares. If two symbols turn out to be the same size, the declared
    one is kept.
    """

    named: frozenset[str] = frozenset()
    leaves: list[Leaf] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    freezes: list[Freeze] = field(default_factory=list)

    def leaf(self, size: Size | int, name: str) -> Axis:
        """A new axis; :data:`UNIT` where ``size`` is one. Raises ``ValueError`` for a negative size."""
        size = Size.of(size)
        if size.coefficient < 0:
            raise ValueError(f"axis '{name}' has size {size}")
        if size == ONE:
            return UNIT
        leaf = Leaf(size, name, len(self.leaves))
        self.leaves.append(leaf)
        return leaf

    def freeze(self, axis: Axis, reason: Reason) -> None:
        if not is_unit(axis):
            self.freezes.append(Freeze(axis, reason))

    def relate(self, left: Axis, left_index: Indices, right: Axis, right_index: Indices, where: Place) -> None:
        self.relations.append(Relation(left, left_index, right, right_index, where))

    def unify(self, left: Axis, right: Axis, where: Place) -> None:
        """Make both expressions the same axis; ``where`` names the node for messages.

        Never fails: sizes that differ freeze both sides, and structures without a common refinement become a
        relation between elements.
        """
        waiting = [self._steps(left, right, where)]
        while waiting:  # a stack of its own: one unification may lead to a chain of others
            pair = next(waiting[-1], None)
            if pair is None:
                waiting.pop()
            else:
                waiting.append(self._steps(*pair, where))

    def _steps(self, left: Axis, right: Axis, where: Place) -> Steps[None]:
        """Unify two expressions. Yields pairs of smaller ones, each to be unified before the next is asked for."""
        left, right = resolve(left), resolve(right)
        if left is right:
            return
        if size_of(left) != size_of(right):
            self._mismatch(left, right, where)
        elif isinstance(left, Leaf):
            self._bind(left, right, where)
        elif isinstance(right, Leaf):
            self._bind(right, left, where)
        elif isinstance(left, Product) and isinstance(right, Product):
            yield from self._unify_products(left, right, where)
        elif isinstance(left, Sum) and isinstance(right, Sum):
            yield from self._unify_sums(left, right, where)
        elif isinstance(left, Sum) and isinstance(right, Product):
            yield from self._unify_sum_with_product(left, right, where)
        elif isinstance(left, Product) and isinstance(right, Sum):
            yield from self._unify_sum_with_product(right, left, where)

    def cut(self, axis: Axis, at: Sequence[int], where: Place) -> tuple[Axis, ...]:
        """The parts of ``axis`` between the increasing positions ``at`` (ends excluded); parts may be empty."""
        parts: list[Axis] = []
        rest, offset = resolve(axis), 0
        for position in at:
            head, rest = self._cut_once(rest, position - offset, where)
            parts.append(head)
            offset = position
        return (*parts, rest)

    # -- the cases of unification ------------------------------------------------------------------------------

    def _mismatch(self, left: Axis, right: Axis, where: Place) -> None:
        if isinstance(left, Leaf) and isinstance(right, Leaf) and left.size.symbols and right.size.symbols:
            if self._is_named(left.size) and not self._is_named(right.size):
                left, right = right, left
            left.bound = right  # two names for one run-time size
            return
        reason = where.reason(f"{_both(size_of(left), size_of(right))} do not agree", Kind.SIZES)
        self.freeze(left, reason)
        self.freeze(right, reason)

    def _is_named(self, size: Size) -> bool:
        return self.named.issuperset(size.symbols)

    def _bind(self, leaf: Leaf, axis: Axis, where: Place) -> None:
        if any(part is leaf for part in leaves_of(axis)):
            self._relate_all(leaf, axis, where)
            return
        leaf.bound = axis

    def _relate_all(self, left: Axis, right: Axis, where: Place) -> None:
        """The fallback where no common refinement exists: the two agree element by element."""
        size = size_of(left)
        if not size.is_static:
            reason = where.reason(f"{left!r} and {right!r} have no common refinement", Kind.SIZES)
            self.freeze(left, reason)
            self.freeze(right, reason)
            return
        everything = np.arange(size.coefficient)
        self.relate(left, everything, right, everything, where)

    def _unify_products(self, left: Product, right: Product, where: Place) -> Steps[None]:
        """``(a b) = (c d)``: match outermost factors, splitting the larger of each pair."""
        todo_left, todo_right = deque(left.factors), deque(right.factors)
        while todo_left and todo_right:
            a, b = resolve(todo_left.popleft()), resolve(todo_right.popleft())
            if isinstance(a, Product) or isinstance(b, Product):
                todo_left.extendleft(reversed(a.factors) if isinstance(a, Product) else (a,))
                todo_right.extendleft(reversed(b.factors) if isinstance(b, Product) else (b,))
                continue
            if size_of(a) == size_of(b):
                yield a, b
                continue
            larger, smaller = (a, b) if size_of(a).divided_by(size_of(b)) else (b, a)
            tail_size = size_of(larger).divided_by(size_of(smaller))
            halves = tail_size and (yield from self._factor(larger, size_of(smaller), tail_size))
            if not halves:
                self._relate_all(_product([a, *todo_left]), _product([b, *todo_right]), where)
                return
            yield halves[0], smaller
            (todo_left if larger is a else todo_right).appendleft(halves[1])

    def _factor(self, axis: Axis, head: Size, tail: Size) -> Steps[tuple[Axis, Axis] | None]:
        """Write a leaf or a sum as ``head x tail``; ``None`` if a part of the sum is not a multiple of ``tail``."""
        if isinstance(axis, Leaf):
            outer, inner = self.leaf(head, f"{axis.name}.o"), self.leaf(tail, f"{axis.name}.i")
            axis.bound = _product([outer, inner])
            return outer, inner
        if not isinstance(axis, Sum):
            return None
        counts = [size_of(part).divided_by(tail) for part in axis.parts]
        if any(count is None for count in counts):
            return None
        inner = self.leaf(tail, "inner")
        heads = [self.leaf(count, f"part{k}") for k, count in enumerate(counts) if count is not None]
        for part, outer in zip(axis.parts, heads, strict=True):
            yield part, _product([outer, inner])
        return _sum(heads), inner

    def _unify_sums(self, left: Sum, right: Sum, where: Place) -> Steps[None]:
        """``(a + b) = (c + d)``: match parts from the start, cutting the longer of each pair."""
        todo_left, todo_right = deque(left.parts), deque(right.parts)
        while todo_left and todo_right:
            a, b = resolve(todo_left.popleft()), resolve(todo_right.popleft())
            if isinstance(a, Sum) or isinstance(b, Sum):
                todo_left.extendleft(reversed(a.parts) if isinstance(a, Sum) else (a,))
                todo_right.extendleft(reversed(b.parts) if isinstance(b, Sum) else (b,))
                continue
            size_a, size_b = size_of(a), size_of(b)
            if size_a == size_b:
                yield a, b
            elif not (size_a.is_static and size_b.is_static):
                self._relate_all(_sum([a, *todo_left]), _sum([b, *todo_right]), where)
                return
            elif size_a.coefficient > size_b.coefficient:
                head, rest = self._cut_once(a, size_b.coefficient, where)
                yield head, b
                todo_left.appendleft(rest)
            else:
                head, rest = self._cut_once(b, size_a.coefficient, where)
                yield a, head
                todo_right.appendleft(rest)

    def _cut_once(self, axis: Axis, position: int, where: Place) -> tuple[Axis, Axis]:
        axis = resolve(axis)
        size = size_of(axis)
        if position == 0:
            return Sum(()), axis
        if size.is_static and position == size.coefficient:
            return axis, Sum(())
        if isinstance(axis, Leaf) and size.is_static:
            head = self.leaf(position, f"{axis.name}.a")
            rest = self.leaf(size.coefficient - position, f"{axis.name}.b")
            axis.bound = _sum([head, rest])
            return head, rest
        if isinstance(axis, Sum):
            return self._cut_sum(axis, position, where)
        if isinstance(axis, Product) and size.is_static:
            inner = _product(axis.factors[1:])
            if position % size_of(inner).coefficient == 0:
                head, rest = self._cut_once(axis.factors[0], position // size_of(inner).coefficient, where)
                return _product([head, inner]), _product([rest, inner])
        return self._cut_elements(axis, position, where)

    def _cut_sum(self, axis: Sum, position: int, where: Place) -> tuple[Axis, Axis]:
        before: list[Axis] = []
        for k, part in enumerate(axis.parts):
            size = size_of(part)
            if not size.is_static:
                break
            if position < size.coefficient:
                head, rest = self._cut_once(part, position, where)
                return _sum([*before, head]), _sum([rest, *axis.parts[k + 1 :]])
            before.append(part)
            position -= size.coefficient
            if position == 0:
                return _sum(before), _sum(axis.parts[k + 1 :])
        return self._cut_elements(axis, position + sum(size_of(p).coefficient for p in before), where)

    def _cut_elements(self, axis: Axis, position: int, where: Place) -> tuple[Axis, Axis]:
        """A cut through the middle of a product: new axes, tied to the old one element by element."""
        size = size_of(axis)
        if not size.is_static:
            self.freeze(axis, where.reason(f"cut at {position} of a run-time size", Kind.RUN_TIME_SIZE))
            rest_size = Size(1, (Expression(f"({size}-{position})"),))
            rest = self.leaf(rest_size, "rest")
            head = self.leaf(position, "head")
            self.freeze(head, where.reason("cut of a run-time size", Kind.RUN_TIME_SIZE))
            self.freeze(rest, where.reason("cut of a run-time size", Kind.RUN_TIME_SIZE))
            return head, rest
        head, rest = self.leaf(position, "head"), self.leaf(size.coefficient - position, "rest")
        whole = np.arange(size.coefficient)
        self.relate(_sum([head, rest]), whole, axis, whole, where)
        return head, rest

    def _unify_sum_with_product(self, total: Sum, other: Product, where: Place) -> Steps[None]:
        """``(a + b) = (g c)``: every part is a multiple of ``c``, so ``a = (g_a c)`` and ``b = (g_b c)``."""
        outer, inner = other.factors[0], _product(other.factors[1:])
        counts = [size_of(part).divided_by(size_of(inner)) for part in total.parts]
        if any(count is None for count in counts):
            self._relate_all(total, other, where)
            return
        heads = [self.leaf(count, f"part{k}") for k, count in enumerate(counts) if count is not None]
        yield _sum(heads), outer
        for part, head in zip(total.parts, heads, strict=True):
            yield part, _product([head, inner])


def _product(factors: Iterable[Axis]) -> Axis:
    flat: list[Axis] = []
    for factor in factors:
        flat += factor.factors if isinstance(factor, Product) else (factor,)
    return flat[0] if len(flat) == 1 else Product(tuple(flat))


def _sum(parts: Iterable[Axis]) -> Axis:
    flat: list[Axis] = []
    for part in parts:
        flat += part.parts if isinstance(part, Sum) else (part,)
    return flat[0] if len(flat) == 1 else Sum(tuple(flat))


def product_of(factors: Iterable[Axis]) -> Axis:
    """The normal form of a row-major product: nested products are flattened, a single factor stands alone."""
    return _product(factors)


def sum_of(parts: Iterable[Axis]) -> Axis:
    """The normal form of a concatenation: nested sums are flattened, a single part stands alone."""
    return _sum(parts)


def resolve(axis: Axis) -> Axis:
    """The expression with every bound leaf replaced by what it is bound to, in normal form."""
    if not isinstance(axis, Leaf):
        return axis if axis.settled else _rebuilt(axis)
    end = _end_of(axis)
    if end.bound is None:
        return end
    resolved = end.bound = resolve(end.bound)  # no leaf: it does not come here again
    if axis is not end:
        axis.bound = resolved
    return resolved


def _end_of(leaf: Leaf) -> Leaf:
    """The last of a chain of leaves that are bound to each other. Compresses the path: all then point to it."""
    end = leaf
    while isinstance(end.bound, Leaf):
        end = end.bound
    while leaf is not end:
        following = leaf.bound
        assert isinstance(following, Leaf)
        leaf.bound, leaf = end, following
    return end


def is_unit(axis: Axis) -> bool:
    """Whether an expression is a dimension of size one (:data:`UNIT`)."""
    return isinstance(axis, Product) and not axis.factors


def _children(axis: Product | Sum) -> tuple[Axis, ...]:
    return axis.factors if isinstance(axis, Product) else axis.parts


@dataclass(slots=True)
class _Frame:
    """An expression that is being resolved: the remaining children, and the list of their resolved forms.

    ``made`` is shared with the frame around it where an expression is taken apart into its parent.
    """

    axis: Product | Sum
    left: Iterator[Axis]
    made: list[Axis]
    is_inlined: bool = False


def _rebuilt(axis: Product | Sum) -> Axis:
    """The resolved form of a product or a sum, iteratively: leaves inside may be bound to sums of bound leaves."""
    frames = [_Frame(axis, iter(_children(axis)), [])]
    while True:
        frame = frames[-1]
        inner = _next_inner(frame)
        if inner is not None:
            is_inlined = type(inner) is type(frame.axis)
            frames.append(_Frame(inner, iter(_children(inner)), frame.made if is_inlined else [], is_inlined))
            continue
        frames.pop()
        if frame.is_inlined:
            continue
        done = _made_of(frame)
        if not frames:
            return done
        _collect(done, frames[-1])


def _next_inner(frame: _Frame) -> Product | Sum | None:
    """Collect resolved children up to the next one that is a product or sum to be resolved itself."""
    for child in frame.left:
        if isinstance(child, Leaf):
            end = _end_of(child)
            if end.bound is None:
                frame.made.append(end)
                continue
            child = end.bound
            assert not isinstance(child, Leaf)
        if not child.settled:
            return child
        _collect(child, frame)
    return None


def _collect(done: Axis, frame: _Frame) -> None:
    """Add a resolved expression to its parent; a product inside a product, or a sum inside a sum, is flattened."""
    if isinstance(done, Leaf) or type(done) is not type(frame.axis):
        frame.made.append(done)
    else:
        frame.made.extend(_children(done))


def _made_of(frame: _Frame) -> Axis:
    made = frame.made
    if len(made) == 1:
        return made[0]
    before = _children(frame.axis)
    if len(made) == len(before) and all(map(is_, made, before)):  # unchanged: keep the object
        return frame.axis
    return type(frame.axis)(tuple(made))


def settle(axis: Axis) -> Axis:
    """The resolved expression, marked as final: once all unification is done there is nothing left to resolve."""
    return _settled(resolve(axis))


def _settled(axis: Axis) -> Axis:
    if isinstance(axis, Leaf) or axis.settled:
        return axis
    return type(axis)(tuple(map(_settled, _children(axis))), settled=True)


def leaves_of(axis: Axis) -> list[Leaf]:
    """The root leaves of an expression, in order, with repetitions."""
    found: list[Leaf] = []
    waiting = [resolve(axis)]
    while waiting:
        axis = waiting.pop()
        if isinstance(axis, Leaf):
            found.append(axis)
        else:
            waiting += reversed(_children(axis))
    return found


def _both(left: Size, right: Size) -> str:
    """Two sizes in words."""
    known = [str(size) for size in (left, right) if size.is_known]
    if not known:
        return "two unknown sizes"
    return f"size {known[0]} and an unknown size" if len(known) == 1 else f"sizes {known[0]} and {known[1]}"


def size_of(axis: Axis) -> Size:
    """The size of an expression; a sum with symbolic parts is a symbol of its own."""
    if isinstance(axis, Leaf):
        return axis.size
    if isinstance(axis, Product):
        return product(size_of(factor) for factor in axis.factors)
    return total(size_of(part) for part in axis.parts)
