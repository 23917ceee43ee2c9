"""From axes to atoms: the smallest sets of elements that can only be removed together.

Elements of all root leaves that are not frozen get consecutive numbers. An element of a dimension is the *product*
of one element of each of its factors: it is kept if and only if all of them are. A relation equates two products;
where each side has one free factor left, the two are tied (an edge); where one side is kept for certain, so is the
other; where a side still has several free factors, all but the largest are frozen, which leaves one. Atoms are the
connected components of the edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from ..axes import Axis, AxisSystem, Indices, Leaf, Product, Relation, Sum, leaves_of, resolve, size_of
from ..reasons import Kind, Place, Reason, plain

Mask = NDArray[np.bool_]
_KEPT = -1

_MOST_ELEMENTS = 1 << 26
"""A dimension with more elements is not a list of channels, and is frozen instead of numbered."""


@dataclass(frozen=True)
class Atoms:
    """``atom[e]`` is the atom of element ``e``, -1 where it is frozen; ``offset[leaf.number]`` its first element."""

    leaves: tuple[Leaf, ...]
    offset: dict[int, int]
    atom: NDArray[np.intp]
    count: int
    reasons: dict[int, tuple[Reason, ...]]

    def of_leaf(self, leaf: Leaf) -> NDArray[np.intp]:
        """The atom of every element of a leaf (-1: frozen); all frozen for a leaf of run-time size."""
        if leaf.number not in self.offset:
            return np.broadcast_to(np.intp(_KEPT), leaf.size.coefficient if leaf.size.is_static else 0)
        start = self.offset[leaf.number]
        return self.atom[start : start + leaf.size.coefficient]

    def along(self, axis: Axis) -> list[NDArray[np.intp]]:
        """The atoms of every element of a dimension, one for each of its factors (-1: frozen, or no such factor).

        An element of a product has one atom for every factor; it goes when any of them does. A sum has as many rows
        as the part with the most factors.
        """
        axis = resolve(axis)
        if isinstance(axis, Leaf):
            return [self.of_leaf(axis)]
        if isinstance(axis, Sum):
            parts = [self.along(part) for part in axis.parts]
            sizes = [size_of(part).coefficient for part in axis.parts]
            return [_end_to_end(row, sizes) for row in zip_longest(*parts)]
        sizes = [size_of(factor).coefficient for factor in axis.factors]
        return [
            np.tile(np.repeat(own, math.prod(sizes[k + 1 :])), math.prod(sizes[:k]))
            for k, factor in enumerate(axis.factors)
            for own in self.along(factor)
        ]


def _end_to_end(parts: Iterable[NDArray[np.intp] | None], sizes: Sequence[int]) -> NDArray[np.intp]:
    """One row of atoms along a concatenation, whose parts have these sizes."""
    return np.concatenate(
        [np.full(size, _KEPT) if own is None else own for own, size in zip(parts, sizes, strict=True)]
    )


def find_atoms(system: AxisSystem, live: Iterable[Axis]) -> Atoms:
    """Atoms of the leaves that occur in ``live`` axes or in relations."""
    leaves = _roots([*live, *(side for r in system.relations for side in (r.left, r.right))])
    reasons = _frozen_leaves(system)
    for leaf in leaves:
        if leaf.size.is_static and leaf.size.coefficient > _MOST_ELEMENTS:
            why = f"its size {leaf.size} is not a number of channels"
            reasons.setdefault(leaf.number, []).append(plain(why, Kind.SIZES))
    free = [leaf for leaf in leaves if leaf.number not in reasons and leaf.size.is_static]
    offset: dict[int, int] = {}
    total = 0
    for leaf in free:
        offset[leaf.number] = total
        total += leaf.size.coefficient
    solver = _Solver(offset, np.array([leaf.size.coefficient for leaf in free], dtype=np.intp))
    for relation in system.relations:
        solver.add(relation)
    atom, count = solver.solve()
    for leaf in leaves:
        if not leaf.size.is_static:
            why = f"its size {leaf.size} is known only at run time"
            reasons.setdefault(leaf.number, []).append(plain(why, Kind.RUN_TIME_SIZE))
    for leaf in free:
        start = offset[leaf.number]
        if (atom[start : start + leaf.size.coefficient] == _KEPT).all():
            reasons[leaf.number] = solver.reasons_of(start, leaf.size.coefficient)
    return Atoms(tuple(leaves), offset, atom, count, {k: tuple(dict.fromkeys(v)) for k, v in reasons.items()})


def _roots(axes: Iterable[Axis]) -> list[Leaf]:
    found = {leaf.number: leaf for axis in dict.fromkeys(axes) for leaf in leaves_of(axis)}
    return [found[number] for number in sorted(found)]


def _frozen_leaves(system: AxisSystem) -> dict[int, list[Reason]]:
    reasons: dict[int, list[Reason]] = {}
    for freeze in system.freezes:
        for leaf in leaves_of(freeze.axis):
            reasons.setdefault(leaf.number, []).append(freeze.reason)
    return reasons


class _Solver:
    """Solves the relations over numbered elements."""

    def __init__(self, offset: dict[int, int], sizes: NDArray[np.intp]) -> None:
        self.offset = offset
        self.total = int(sizes.sum())
        self.owner = np.append(np.repeat(np.arange(len(sizes)), sizes), _KEPT)
        self.sizes = np.append(sizes, 0)
        self.frozen: Mask = np.zeros(self.total, dtype=bool)
        self.pairs: list[tuple[NDArray[np.intp], NDArray[np.intp], Place]] = []
        self.causes: list[tuple[NDArray[np.intp], Reason]] = []

    def add(self, relation: Relation) -> None:
        left = self._factors(relation.left)[relation.left_index]
        right = self._factors(relation.right)[relation.right_index]
        self.pairs.append((left, right, relation.where))

    def solve(self) -> tuple[NDArray[np.intp], int]:
        """Repeat until nothing more freezes: a frozen factor drops out of its products, which may decide others."""
        component = np.arange(self.total)
        while True:
            edges, newly = self._pass()
            component = self._components(edges)
            spread = np.zeros(self.total, dtype=bool)
            spread[newly] = True
            hit = np.zeros(component.max(initial=-1) + 1, dtype=bool)
            hit[component[self.frozen | spread]] = True
            after = hit[component] if self.total else self.frozen
            if (after == self.frozen).all():
                break
            self.frozen = after
        free = np.zeros(component.max(initial=-1) + 1, dtype=bool)
        free[component[~self.frozen]] = True
        number = np.cumsum(free) - 1
        return np.where(self.frozen, _KEPT, number[component]), int(free.sum())

    def reasons_of(self, start: int, size: int) -> list[Reason]:
        found = [where for elements, where in self.causes if ((elements >= start) & (elements < start + size)).any()]
        return found or [plain("coupled to frozen elements", Kind.COUPLED)]

    def _factors(self, axis: Axis) -> NDArray[np.intp]:
        """One row per element of the dimension: the numbers of its factors, ``_KEPT`` for a frozen one."""
        axis = resolve(axis)
        if isinstance(axis, Leaf):
            start = self.offset.get(axis.number)
            size = axis.size.coefficient
            column = np.full(size, _KEPT) if start is None else np.arange(start, start + size)
            return column[:, None]
        if isinstance(axis, Product):
            rows = np.zeros((1, 0), dtype=np.intp)
            for factor in axis.factors:
                inner = self._factors(factor)
                outer = np.repeat(rows, len(inner), axis=0)
                rows = np.hstack([outer, np.tile(inner, (len(rows), 1))])
            return rows
        parts = [self._factors(part) for part in axis.parts]
        width = max((part.shape[1] for part in parts), default=0)
        return np.vstack([np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=_KEPT) for p in parts])

    def _pass(self) -> tuple[list[NDArray[np.intp]], NDArray[np.intp]]:
        """The edges that follow from the relations and the elements frozen so far, and elements that must be kept."""
        edges: list[NDArray[np.intp]] = []
        kept: list[NDArray[np.intp]] = [np.zeros(0, dtype=np.intp)]
        lookup = np.append(np.where(self.frozen, _KEPT, np.arange(self.total)), _KEPT)
        for left, right, where in self.pairs:
            left, right = _without_common(lookup[left], lookup[right])
            n_left, n_right = (left != _KEPT).sum(axis=1), (right != _KEPT).sum(axis=1)
            tied = (n_left == 1) & (n_right == 1)
            edges.append(
                np.column_stack([left[tied].max(axis=1, initial=_KEPT), right[tied].max(axis=1, initial=_KEPT)])
            )
            certain = (n_left == 0) != (n_right == 0)
            stuck = ~tied & ~certain
            bound = np.concatenate([left[certain].ravel(), right[certain].ravel()])
            minor = np.concatenate([self._minor(left[stuck]), self._minor(right[stuck])])
            for lost, why, kind in (
                (bound, "it ties elements to frozen ones", Kind.COUPLED),
                (minor, "no common factors", Kind.SIZES),
            ):
                lost = lost[lost != _KEPT]
                if len(lost):
                    kept.append(lost)
                    self.causes.append((lost, where.reason(why, kind)))
        return edges, np.unique(np.concatenate(kept))

    def _minor(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """All elements of the leaves that are not the largest of a row with several factors."""
        owners = self.owner[rows]
        largest = self.sizes[owners].argmax(axis=1) if rows.shape[1] else np.zeros(len(rows), dtype=np.intp)
        several = (rows != _KEPT).sum(axis=1) > 1
        others = (owners != _KEPT) & (np.arange(rows.shape[1]) != largest[:, None]) & several[:, None]
        return np.flatnonzero(np.isin(self.owner[:-1], owners[others]))

    def _components(self, edges: list[NDArray[np.intp]]) -> NDArray[np.intp]:
        pairs = np.concatenate([*edges, np.zeros((0, 2), dtype=np.intp)])
        if not len(pairs):
            return np.arange(self.total)
        from scipy.sparse import coo_array  # slow to import, and many models relate only whole axes
        from scipy.sparse.csgraph import connected_components

        graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(self.total, self.total))
        _, labels = connected_components(graph, directed=False)
        return np.asarray(labels, dtype=np.intp)


def _without_common(left: NDArray[np.intp], right: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Both sides without the factors that they have in common."""
    common_left = (left[:, :, None] == right[:, None, :]).any(axis=2)
    common_right = (right[:, :, None] == left[:, None, :]).any(axis=2)
    return np.where(common_left, _KEPT, left), np.where(common_right, _KEPT, right)


class Kept(dict[int, Mask]):
    """Per leaf that loses something, which of its elements stay.

    ``orders`` gives, for leaves whose kept elements stand in another order than before, their indices in that order.
    """

    def __init__(self, masks: Mapping[int, Mask], find_orders: Callable[[Mapping[int, Mask]], dict[int, Indices]]):
        super().__init__(masks)
        self._find_orders = find_orders

    @cached_property
    def orders(self) -> dict[int, Indices]:
        return self._find_orders(self)


def orders_of(kept: Mapping[int, Mask]) -> Mapping[int, Indices]:
    """The leaves whose kept elements stand in another order than before."""
    return kept.orders if isinstance(kept, Kept) else {}


def kept_indices(axis: Axis, kept: Mapping[int, Mask]) -> Indices:
    """The indices of a dimension that survive, in their new order, given the kept elements of each leaf."""
    orders = orders_of(kept)
    axis = resolve(axis)
    if not any(leaf.number in orders for leaf in leaves_of(axis)):
        return np.flatnonzero(kept_mask(axis, kept))
    if isinstance(axis, Leaf):
        return orders[axis.number]
    parts = axis.factors if isinstance(axis, Product) else axis.parts
    found = np.zeros(int(isinstance(axis, Product)), dtype=np.intp)
    offset = 0
    for part in parts:
        size, own = size_of(part).coefficient, kept_indices(part, kept)
        if isinstance(axis, Product):
            found = (found[:, None] * size + own).ravel()
        else:
            found = np.concatenate([found, own + offset])
            offset += size
    return found


def kept_mask(axis: Axis, kept: Mapping[int, Mask]) -> Mask:
    """An element of a product is kept where every factor is; a sum lays its parts end to end."""
    axis = resolve(axis)
    if isinstance(axis, Leaf):
        known = kept.get(axis.number)
        return np.ones(axis.size.coefficient, dtype=bool) if known is None else known
    if isinstance(axis, Product):
        mask: Mask = np.ones(1, dtype=bool)
        for factor in axis.factors:
            mask = np.logical_and.outer(mask, kept_mask(factor, kept)).ravel()
        return mask
    return np.concatenate([kept_mask(part, kept) for part in axis.parts]) if axis.parts else np.ones(0, dtype=bool)
