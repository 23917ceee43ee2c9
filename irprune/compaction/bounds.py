"""Interval bounds of a value: of all of its elements, and of those that belong to each atom.

An atom's interval holds for every element that has the atom on any of its dimensions, at every position and for every
finite input. ``low == high`` says that these elements are constant; the number is exact up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..analysis import Atoms
from ..axes import Axis, Leaf, size_of
from ..ir.core import Array

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = Sequence[NDArray[np.intp]]


@dataclass(frozen=True)
class Interval:
    """Lower and upper bounds of the same shape."""

    low: Floats
    high: Floats

    @property
    def is_point(self) -> NDArray[np.bool_]:
        """Where the elements are constant."""
        return np.asarray((self.low == self.high) & np.isfinite(self.low))

    @property
    def is_zero(self) -> NDArray[np.bool_]:
        """Where the elements are zero."""
        return np.asarray((self.low == 0) & (self.high == 0))

    def hull(self, other: Interval) -> Interval:
        """The smallest intervals that hold both."""
        return Interval(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def meet(self, other: Interval) -> Interval:
        """What both allow."""
        return Interval(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    @staticmethod
    def point(value: float) -> Interval:
        return Interval(np.float64(value), np.float64(value))  # type: ignore[arg-type]


ANY = Interval(np.float64(-np.inf), np.float64(np.inf))  # type: ignore[arg-type]
"""Nothing is known."""


@dataclass(frozen=True)
class Bounds:
    """``whole`` bounds all elements, ``each`` those of the ``atoms``, which are in increasing order.

    ``axes`` has the elements along axes one by one: an atom may stand in several places of a concatenation.
    """

    whole: Interval = ANY
    atoms: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    each: Interval = field(default_factory=lambda: Interval(np.zeros(0), np.zeros(0)))

    axes: Mapping[Axis, Interval] = field(default_factory=dict)

    def of(self, atoms: NDArray[np.intp]) -> Interval:
        """The bounds of elements, given one atom of each; those of all elements where there is none (-1)."""
        low, high = (np.broadcast_to(side, atoms.shape) for side in (self.whole.low, self.whole.high))
        if not len(self.atoms):
            return Interval(low, high)
        place = np.minimum(np.searchsorted(self.atoms, atoms), len(self.atoms) - 1)
        known = self.atoms[place] == atoms
        return Interval(np.where(known, self.each.low[place], low), np.where(known, self.each.high[place], high))

    def along(self, atoms: Atoms, axis: Axis) -> Interval:
        """The bounds of every element of an axis: what all of its factors allow."""
        if axis in self.axes:
            return self.axes[axis]
        size = size_of(axis).coefficient
        found = Interval(*(np.broadcast_to(side, size) for side in (self.whole.low, self.whole.high)))
        for row in atoms.along(axis):
            found = found.meet(self.of(row))
        return found


UNKNOWN = Bounds()


def along_axes(atoms: Atoms, whole: Interval, parts: Iterable[tuple[Axis, Interval]]) -> Bounds:
    """Bounds from those of the elements along axes."""
    parts = list(parts)
    found = gathered(whole, [(atoms.along(axis), own) for axis, own in parts])
    return replace(found, axes={axis: own for axis, own in parts if not isinstance(axis, Leaf)})


def gathered(whole: Interval, parts: Iterable[tuple[Rows, Interval]]) -> Bounds:
    """Bounds from those of the elements along axes: each part has the atoms of an axis's elements, and intervals."""
    pairs = [(row, found) for rows, found in parts for row in rows]
    if not pairs:
        return Bounds(whole)
    atoms = np.concatenate([row for row, _ in pairs])
    low, high = (np.concatenate([getattr(found, side) for _, found in pairs]) for side in ("low", "high"))
    stays = atoms >= 0
    own, place = np.unique(atoms[stays], return_inverse=True)
    lows, highs = np.full(len(own), np.inf), np.full(len(own), -np.inf)
    np.minimum.at(lows, place, low[stays])
    np.maximum.at(highs, place, high[stays])
    return Bounds(whole, own, Interval(lows, highs))


def of_array(atoms: Atoms, dims: Sequence[Axis], array: Array) -> Bounds:
    """The bounds of a constant with these axes."""
    values = np.asarray(array, dtype=np.float64)
    if not values.size or np.isnan(values).any():
        return UNKNOWN
    parts = []
    for k, axis in enumerate(dims):
        others = tuple(j for j in range(values.ndim) if j != k)
        parts.append((atoms.along(axis), Interval(values.min(axis=others), values.max(axis=others))))
    return gathered(Interval(values.min(), values.max()), parts)
