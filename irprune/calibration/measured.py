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
from .contractions import Contraction
from .moments import Moments, damping
from .points import Point, affine

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
    points: tuple[Point, ...]
    moments: Mapping[str, Moments]
    unreached: tuple[Point, ...] = ()
    """Points in branches that no sample takes."""

    def weight(self, point: Point) -> Floats:
        """``[g, o, c]`` in units of the target; includes the scale of a batch normalization behind the contraction."""
        graph = self.analysis.graph
        matrix = point.contraction.matrix(point.contraction.read(graph.constants))
        scale, _ = affine(graph, point)
        return matrix * scale.reshape(-1, matrix.shape[1], 1) if scale.size > 1 else matrix * scale

    def scale(self, point: Point) -> float:
        """The weight of a squared error of the target: ``1 / (2 variance)``."""
        return 0.5 / max(self.moments[point.contraction.node.name].variance, 1e-30)

    def damped(self, point: Point) -> Floats:
        """``H + D`` of a contraction, ``[g, c + 1, c + 1]``."""
        mean = self.moments[point.contraction.node.name].mean
        index = np.arange(mean.shape[1])
        mean[:, index, index] += damping(mean)
        return mean

    @cached_property
    def incidence(self) -> dict[str, list[NDArray[np.intp]]]:
        """By node name: one array per factor of the columns, with the atom of each column (-1: no atom)."""
        return {p.contraction.node.name: _column_atoms(self.analysis, p.contraction) for p in self.points}

    def columns(self, point: Point, group: Group) -> NDArray[np.intp] | None:
        """The position in the group of each column's atom, -1 outside of the group; ``None`` if all are outside."""
        place = np.full(self.analysis.atoms.count + 1, -1, dtype=np.intp)  # index -1 reads the last entry
        place[group.atoms] = np.arange(group.size)
        found = np.full(point.contraction.shape[2], -1, dtype=np.intp)
        for atoms in self.incidence[point.contraction.node.name]:
            found = np.maximum(found, place[atoms])
        return found if (found >= 0).any() else None

    def consumers(self, group: Group) -> Iterator[tuple[Point, NDArray[np.intp]]]:
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
                [_column_atoms(self.analysis, point.contraction) for point in self.unreached],
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
                own += np.bincount(columns[here], errors[point.contraction.node.name][here], minlength=group.size)
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
        rows = [{leaf.number for letter in p.contraction.rows for leaf in leaves_of(letter.axis)} for p in self.points]
        for group in self.analysis.groups:
            own = {leaf.number for leaf in group.leaves}
            found[group.name] = sum(not own.isdisjoint(numbers) for numbers in rows)
        return found


def _column_atoms(analysis: Analysis, item: Contraction) -> list[NDArray[np.intp]]:
    sizes = [letter.size for letter in item.columns]
    found = []
    for k, letter in enumerate(item.columns):
        shape = [size if j == k else 1 for j, size in enumerate(sizes)]
        for atoms in analysis.atoms.along(letter.axis):
            found.append(np.broadcast_to(atoms.reshape(shape), sizes).ravel())
    return found
