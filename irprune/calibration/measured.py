"""The input of a criterion: a model, its contractions, and their moments on data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, Group
from ..axes import leaves_of
from .contractions import atoms_along
from .moments import Moments, damping
from .points import AnyPoint

Floats: TypeAlias = NDArray[np.float64]

STREAM_FACTOR = 3.0
"""Weight of errors in a residual stream.

The error of one contraction covers its own loss only; a loss in a stream reaches every later sum as well. Measured on a
ResNet-20 at 1/2, 1/3 and 1/4 of its multiply-accumulates: factors of 2 to 4 keep the most, 1 loses up to nine points.
"""


@dataclass(frozen=True)
class Measured:
    """Points of a graph and their moments by node name."""

    analysis: Analysis
    points: tuple[AnyPoint, ...]
    moments: Mapping[str, Moments]
    unreached: tuple[AnyPoint, ...] = ()
    """Points in branches that no sample takes."""

    def weight(self, point: AnyPoint) -> Floats:
        """``[g, o, c]`` in units of the target; includes the scale of a batch normalization behind the contraction."""
        matrix = point.matrix(self.analysis.graph)
        scale, _ = point.affine(self.analysis.graph)
        return matrix * scale.reshape(-1, matrix.shape[1], 1) if scale.size > 1 else matrix * scale

    def scale(self, point: AnyPoint) -> float:
        """The weight of a squared error of the target: ``1 / (2 variance)``."""
        return 0.5 / max(self.moments[point.name].variance, 1e-30)

    def damped(self, point: AnyPoint) -> Floats:
        """``H + D`` of a contraction, ``[g, c + 1, c + 1]``."""
        mean = self.moments[point.name].mean
        index = np.arange(mean.shape[1])
        mean[:, index, index] += damping(mean)
        return mean

    @cached_property
    def incidence(self) -> dict[str, list[NDArray[np.intp]]]:
        """By node name: one array per factor of the columns, with the atom of each column (-1: no atom)."""
        return {p.name: p.column_atoms(self.analysis) for p in self.points}

    def columns(self, point: AnyPoint, group: Group) -> NDArray[np.intp] | None:
        """The position in the group of each column's atom, -1 outside of the group; ``None`` if all are outside."""
        place = np.full(self.analysis.atoms.count + 1, -1, dtype=np.intp)  # index -1 reads the last entry
        place[group.atoms] = np.arange(group.size)
        found = np.full(point.shape[2], -1, dtype=np.intp)
        for atoms in self.incidence[point.name]:
            found = np.maximum(found, place[atoms])
        return found if (found >= 0).any() else None

    def rows(self, point: AnyPoint, group: Group) -> NDArray[np.intp]:
        """The position in the group of each row's atom, -1 outside of the group."""
        place = np.full(self.analysis.atoms.count + 1, -1, dtype=np.intp)
        place[group.atoms] = np.arange(group.size)
        found = np.full(point.shape[1], -1, dtype=np.intp)
        for atoms in atoms_along(self.analysis, point.row_letters):
            found = np.maximum(found, place[atoms])
        return found

    def lasting_weight(self, point: AnyPoint) -> Floats:
        """:meth:`weight` without the elements whose row goes with their column: those are no loss."""
        leaves = np.zeros(point.shape[1:], dtype=bool)
        for rows in atoms_along(self.analysis, point.row_letters):
            for columns in self.incidence[point.name]:
                leaves |= (rows[:, None] == columns) & (columns >= 0)
        return np.where(leaves, 0.0, self.weight(point))

    def consumers(self, group: Group) -> Iterator[tuple[AnyPoint, NDArray[np.intp]]]:
        """The points that sum over atoms of the group, with :meth:`columns`."""
        for point in self.points:
            columns = self.columns(point, group)
            if columns is not None:
                yield point, columns

    @cached_property
    def unreached_groups(self) -> frozenset[str]:
        """The names of groups that only contractions in branches sum over that no sample takes."""
        seen, unseen = (
            {int(atom) for item in found for atoms in item for atom in atoms}
            for found in (
                self.incidence.values(),
                [point.column_atoms(self.analysis) for point in self.unreached],
            )
        )
        free = [group for group in self.analysis.groups if not group.frozen]
        own = {group.name: set(group.atoms.tolist()) for group in free}
        return frozenset(name for name, atoms in own.items() if atoms & unseen and not atoms & seen)

    def per_atom(self, errors: Mapping[str, Floats]) -> Floats:
        """Sum the errors of columns (``[c]`` per contraction) over each atom; infinity for atoms without columns."""
        total = np.full(self.analysis.atoms.count, np.inf)
        for group in self.analysis.groups:
            if group.frozen:
                continue
            own = np.zeros(group.size)
            seen = np.zeros(group.size, dtype=bool)
            for point, columns in self.consumers(group):
                here = columns >= 0
                own += np.bincount(columns[here], errors[point.name][here], minlength=group.size)
                seen[columns[here]] = True
            total[group.atoms] = np.where(seen, own * self.factor(group), np.inf)
        return total

    def factor(self, group: Group) -> float:
        """:data:`STREAM_FACTOR` for a group that several contractions write, 1 for others."""
        return STREAM_FACTOR if self._writers.get(group.name, 0) > 1 else 1.0

    @cached_property
    def _writers(self) -> dict[str, int]:
        """How many contractions write each group."""
        found: dict[str, int] = {}
        rows = [{leaf.number for letter in p.row_letters for leaf in leaves_of(letter.axis)} for p in self.points]
        for group in self.analysis.groups:
            own = {leaf.number for leaf in group.leaves}
            found[group.name] = sum(not own.isdisjoint(numbers) for numbers in rows)
        return found
