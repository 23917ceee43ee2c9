"""Second moments of the summands u of contractions, ``H[g] = E[u u^T]`` with a 1 appended, and the scale of results.

Positions are drawn without replacement, the same number from every sample, uniformly over the result, so
borders (where u holds zeros of the padding) count as often as they occur.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..ir import Graph
from ..ir.core import Array
from .contractions import Rows
from .points import AnyPoint
from .stepwise import Stepwise

MOST_ROWS = 20_000
"""Positions per contraction; a quarter of them costs two points of accuracy for a layer of 577 columns."""

DAMPING = 1e-3
"""Share of the mean diagonal that is added to the diagonal; between 1e-4 and 1e-2 it makes no difference."""

CONSTANT_DAMPING = 1e-10


@dataclass
class Moments:
    """Sums over positions: ``gram`` is ``[g, c + 1, c + 1]``, ``first`` and ``second`` are ``[g, o]`` of the target."""

    count: int
    gram: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]

    @staticmethod
    def empty(shape: tuple[int, int, int]) -> Moments:
        g, o, c = shape
        return Moments(0, np.zeros((g, c + 1, c + 1)), np.zeros((g, o)), np.zeros((g, o)))

    def add(self, rows: Rows, targets: Rows) -> None:
        """Add rows ``[p, g, c]`` and the targets ``[p, g, o]`` of the same positions to the sums."""
        full = with_constant(rows.astype(np.float32, copy=False)).transpose(1, 2, 0)
        self.gram += np.matmul(full, full.transpose(0, 2, 1))
        self.first += targets.sum(axis=0, dtype=np.float64)
        self.second += np.square(targets, dtype=np.float64).sum(axis=0)
        self.count += len(rows)

    @property
    def is_finite(self) -> bool:
        return all(np.isfinite(part).all() for part in (self.gram, self.first, self.second))

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.gram / max(self.count, 1)

    @property
    def variance(self) -> float:
        """The variance of the target, summed over its rows."""
        count = max(self.count, 1)
        return float((self.second / count - (self.first / count) ** 2).sum())


def with_constant(rows: NDArray[Any]) -> NDArray[Any]:
    """``[p, g, c + 1]``."""
    return np.concatenate([rows, np.ones((*rows.shape[:2], 1), rows.dtype)], axis=2)


def damping(mean: NDArray[np.float64], share: float = DAMPING) -> NDArray[np.float64]:
    """The damping of the diagonal of ``[g, c + 1, c + 1]``: nearly zero for the constant column."""
    diagonal = np.einsum("gcc->gc", mean)[:, :-1]
    level = share * diagonal.mean(axis=1, keepdims=True) + 1e-12
    constant = np.full((len(mean), 1), CONSTANT_DAMPING)
    return np.concatenate([np.repeat(level, diagonal.shape[1], axis=1), constant], axis=1)


def collect(
    points: Sequence[AnyPoint], model: Stepwise, graph: Graph, seed: int = 0, most: int = MOST_ROWS
) -> dict[str, Moments]:
    """The moments of every point of a graph, by name, over the batches of ``model``.

    Raises :class:`InputError` where what a point sums over, or its result, overflows.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, Moments] = {}
    for k, point in enumerate(points):
        found[point.name] = moments_of(point, model, graph, rng, most)
        model.release({name for later in points[k + 1 :] for name in values_of(later)})
    return found


def collect_batches(
    points: Sequence[AnyPoint],
    runs: Iterable[Mapping[str, Array]],
    batches: int,
    graph: Graph,
    seed: int = 0,
    most: int = MOST_ROWS,
) -> dict[str, Moments]:
    """:func:`collect`, over whole runs: each gives the values of one of so many batches by name, those it computes.

    No more than one run is held. Raises :class:`InputError` as :func:`collect` does.
    """
    rng = np.random.default_rng(seed)
    found = {point.name: Moments.empty(point.shape) for point in points}
    each = -(-most // max(batches, 1))
    for values in runs:
        for point in points:
            if all(name in values for name in values_of(point)):
                _add(found[point.name], point, values, values, graph, rng, each)
    for point in points:
        _require_finite(point, found[point.name])
    return found


def moments_of(
    point: AnyPoint,
    model: Stepwise,
    graph: Graph,
    rng: np.random.Generator,
    most: int = MOST_ROWS,
    *,
    student: Stepwise | None = None,
) -> Moments:
    """The moments of one point; see :func:`collect`.

    What is summed over comes from ``student``, if there is one: a model with the same shapes whose earlier weights have
    changed, in which the point has not run yet.
    """
    sums = Moments.empty(point.shape)
    each = -(-most // max(model.reached(values_of(point)), 1))
    for compared, operands in _pairs(point, model, student):
        _add(sums, point, compared, operands, graph, rng, each)
    _require_finite(point, sums)
    return sums


def _add(
    sums: Moments,
    point: AnyPoint,
    compared: Mapping[str, Array],
    operands: Mapping[str, Array],
    graph: Graph,
    rng: np.random.Generator,
    each: int,
) -> None:
    """Add ``each`` positions of one batch."""
    target = point.result(compared, graph)
    chosen = draw(rng, point.positions(target.shape), each)
    rows = point.rows(operands, graph, target.shape, chosen)
    sums.add(rows, point.product(rows, graph) if point.is_bare else point.at(target, chosen))


def _require_finite(point: AnyPoint, sums: Moments) -> None:
    if not sums.is_finite:
        raise InputError(
            f"node '{point.node.name}' ({point.node.op}) reads or computes infinities or NaN on the data, so that no "
            "error can be measured there; give other data, or choose a criterion that needs none (--criterion l2)"
        )


def _pairs(
    point: AnyPoint, model: Stepwise, student: Stepwise | None
) -> Iterator[tuple[Mapping[str, Array], Mapping[str, Array]]]:
    """What is compared and what is summed over, of each batch that takes the branch of the point."""
    if student is None:
        yield from ((values, values) for values in model.get(values_of(point)) if values)
        return
    for theirs, ours in zip(model.get(point.targets), student.get(point.operands), strict=True):
        if theirs and ours:
            yield theirs, ours


def values_of(point: AnyPoint) -> list[str]:
    """The values that the moments of a point rest on."""
    return list(dict.fromkeys([*point.operands, *point.targets]))


def draw(rng: np.random.Generator, positions: int, count: int) -> NDArray[np.intp]:
    """Up to ``count`` different positions, in order."""
    if count >= positions:
        return np.arange(positions)
    return np.sort(rng.choice(positions, count, replace=False))
