"""One signature against the axes of one node's operands: names get axes, results are built from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ..axes import UNIT, Axis, AxisSystem, Sum, product_of, size_of, sum_of
from ..ir import Size
from ..ir.sizes import product, total
from ..reasons import Kind, Place
from ..signatures import NoSignature, Signature
from ..signatures.grammar import Composite, Name, Star, Term, Unit, Unknown, term

Dims: TypeAlias = tuple[Axis, ...]
Bindings: TypeAlias = dict[str, Dims]

_MOST_PARTS, _MOST_REPEATS = 1024, 64
"""Concatenations of more parts than this are frozen if each part is repeated more than ``_MOST_REPEATS`` times."""


class Matcher:
    """Matches the terms of one signature against the axes of one node's operands."""

    def __init__(self, system: AxisSystem, found: Signature, where: Place) -> None:
        self.system = system
        self.sizes = found.sizes
        self.where = where
        self.axes: Bindings = {}

    def operand(self, notation: tuple[Term, ...], dims: Dims) -> None:
        stars = [k for k, item in enumerate(notation) if isinstance(item, Star)]
        fixed = len(notation) - len(stars)
        if len(dims) < fixed or (not stars and len(dims) != fixed):
            raise NoSignature(f"operand has rank {len(dims)}, its signature says {fixed}")
        position = 0
        for item in notation:
            if isinstance(item, Star):
                run = len(dims) - fixed
                self._run(item.name, dims[position : position + run])
                position += run
            else:
                self._dim(item, dims[position])
                position += 1

    def _run(self, name: str, dims: Dims) -> None:
        known = self.axes.get(name)
        if known is None:
            self.axes[name] = dims
            return
        if len(known) != len(dims):
            raise NoSignature(f"axes *{name}: {len(known)} in one operand, {len(dims)} in another")
        for left, right in zip(known, dims, strict=True):
            self.system.unify(left, right, self.where)

    def _dim(self, item: Term, axis: Axis) -> None:
        if isinstance(item, Unknown):
            return
        if isinstance(item, Unit):
            return
        if isinstance(item, Name):
            known = self.axes.setdefault(item.name, (axis,))
            self.system.unify(known[0], axis, self.where)
            return
        self._solve_sizes(item, size_of(axis))
        self.system.unify(build(item, self.axes), axis, self.where)

    def _size(self, item: Term) -> Size | None:
        if isinstance(item, Name):
            if item.name in self.axes:
                return size_of(self.axes[item.name][0])
            return self.sizes.get(item.name)
        if isinstance(item, Unit):
            return Size(1)
        if isinstance(item, Composite):
            sizes = [self._size(inner) for inner in item.terms]
            return None if any(size is None for size in sizes) else _combine(item, [s for s in sizes if s is not None])
        raise NoSignature("a run of axes inside a product")

    def _solve_sizes(self, item: Term, total: Size) -> None:
        """Create the axes that a term lacks. At most one may have an unknown size, which follows from the total."""
        if isinstance(item, Name):
            if item.name not in self.axes:
                self.axes[item.name] = (self.system.leaf(self.sizes.get(item.name, total), item.name),)
            return
        if not isinstance(item, Composite):
            return
        sizes = [self._size(inner) for inner in item.terms]
        missing = [k for k, size in enumerate(sizes) if size is None]
        if len(missing) > 1:
            raise NoSignature(f"{len(missing)} axes of unknown size in one dimension")
        for k, inner in enumerate(item.terms):
            size = sizes[k]
            if size is None:
                size = _remainder(item, total, [s for s in sizes if s is not None])
            self._solve_sizes(inner, size)

    def result(
        self,
        notation: tuple[Term, ...],
        shape: tuple[Size | None, ...] | None,
        size: Callable[[Size | None], Size],
        name: str,
    ) -> Dims:
        """The axes of a result; axes that appear only here take their sizes from the inferred shape."""
        dims: list[Axis] = []
        fixed = sum(not isinstance(item, Star) for item in notation)
        for item in notation:
            if isinstance(item, Star):
                if item.name not in self.axes:
                    if shape is None:
                        raise NoSignature("the rank of the result is unknown")
                    run = shape[len(dims) : len(dims) + len(shape) - fixed]
                    self.axes[item.name] = tuple(
                        self.system.leaf(size(s), f"{name}.{len(dims) + k}") for k, s in enumerate(run)
                    )
                dims += self.axes[item.name]
                continue
            if isinstance(item, Unknown) or self._size(item) is None:
                inferred = shape[len(dims)] if shape is not None and len(dims) < len(shape) else None
                if isinstance(item, Unknown):
                    dims.append(self.system.leaf(size(inferred), f"{name}.{len(dims)}"))
                    unknown = f"nothing is known about dimension {len(dims) - 1}"
                    self.system.freeze(dims[-1], self.where.reason(unknown, Kind.REFUSED))
                    continue
                self._solve_sizes(item, size(inferred))
            else:
                known = self._size(item)
                assert known is not None
                self._solve_sizes(item, known)
            dims.append(self._bounded(build(item, self.axes), name))
        return tuple(dims)

    def _bounded(self, axis: Axis, name: str) -> Axis:
        """The axis of a result, or a frozen one if it is a concatenation that repeats few parts many times.

        A value that is concatenated with itself, and the result with itself, has two to the k parts after k nodes.
        """
        if not isinstance(axis, Sum) or len(axis.parts) <= _MOST_PARTS:
            return axis
        distinct = dict.fromkeys(axis.parts)
        if len(distinct) * _MOST_REPEATS > len(axis.parts):
            return axis
        why = f"it consists of {len(axis.parts)} parts, only {len(distinct)} of them different"
        reason = self.where.reason(why, Kind.SIZES)
        for part in distinct:
            self.system.freeze(part, reason)
        whole = self.system.leaf(size_of(axis), name)
        self.system.freeze(whole, reason)
        return whole

    def relate(self, operand: str, result: str, indices: Sequence[int]) -> None:
        target = build(term(result), self.axes)
        index = np.asarray(indices, dtype=np.intp)
        self.system.relate(target, np.arange(len(index)), self.axes[operand][0], index, self.where)


def build(item: Term, axes: Mapping[str, Dims]) -> Axis:
    if isinstance(item, Name):
        return axes[item.name][0]
    if isinstance(item, Composite):
        return (sum_of if item.is_sum else product_of)(build(inner, axes) for inner in item.terms)
    return UNIT


def _combine(item: Composite, sizes: list[Size]) -> Size:
    return total(sizes) if item.is_sum else product(sizes)


def _remainder(item: Composite, whole: Size, known: list[Size]) -> Size:
    combined = _combine(Composite((), item.is_sum), known)
    if not item.is_sum:
        quotient = whole.divided_by(combined)
        if quotient is None:
            raise NoSignature(f"size {whole} is not a multiple of {combined}")
        return quotient
    if not whole.is_static or not combined.is_static or whole.coefficient < combined.coefficient:
        raise NoSignature(f"size {whole} cannot be split into {combined} and the rest")
    return Size(whole.coefficient - combined.coefficient)
