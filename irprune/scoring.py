"""Importance of atoms: every parameter of a group counts, producers and consumers alike.

``l1`` and ``l2`` are norms of all weights that would be removed (Li et al., 2017; Fang et al., 2023); ``bn-scale`` is
the magnitude of batch-norm scales (network slimming, Liu et al., 2017); ``fpgm`` the distance to all other filters of
the group (He et al., 2019); ``random`` a seeded permutation.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from .analysis import Analysis, Parameter
from .axes import Axis, leaves_of
from .errors import InputError
from .ir import Constant
from .ir.core import Array
from .ir.dtypes import is_float
from .signatures import traits_of

Scores: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.floating[Any]]
T = TypeVar("T")
R = TypeVar("R")
_SINGLE = 4
_BATCH = 1 << 23
"""Elements that a thread reads at a time. With fewer, the threads mostly wait for each other."""


def score(analysis: Analysis, criterion: str = "l2", seed: int = 0) -> Scores:
    """One non-negative number per atom: the higher, the more important.

    Raises :class:`InputError` for an unknown criterion, or ``bn-scale`` on a model without batch normalization.
    """
    if criterion not in CRITERIA:
        raise InputError(f"unknown criterion '{criterion}'; known: {', '.join(CRITERIA)}")
    return CRITERIA[criterion](analysis, seed)


def relative_to_mean(analysis: Analysis, scores: Scores) -> Scores:
    """Scores divided by the mean of their group, so that groups compare."""
    result = scores.copy()
    for group in analysis.groups:
        mean = scores[group.atoms].mean() if group.size else 0.0
        if mean > 0:
            result[group.atoms] /= mean
    return result


def weights(analysis: Analysis) -> list[Parameter]:
    """The parameters that are scored: those with an axis that can be pruned.

    Vectors (biases, stored statistics) say little about how much a channel matters, and are left out; so are tables.
    """
    return [
        parameter
        for parameter in analysis.parameters
        if not parameter.is_table
        and sum(size > 1 for size in parameter.constant.shape) > 1
        and any(_is_free(analysis, dim) for dim in parameter.dims)
    ]


def _is_free(analysis: Analysis, dim: Axis) -> bool:
    return any(leaf.number in analysis.atoms.offset for leaf in leaves_of(dim))


def require_numbers(analysis: Analysis, criterion: str = "") -> None:
    """Raise :class:`InputError` where a weight is NaN: there is nothing to rank, and no result to compare.

    Weights that the criterion reads anyway are checked when it does.
    """
    read_later = {parameter.tensor for parameter in weights(analysis)} if criterion in ("l1", "l2") else set()
    constants = {name: c for name, c in analysis.graph.constants.items() if name not in read_later}
    found = _each(_first_nan, list(constants.values()), [constant.size for constant in constants.values()])
    for name, position in zip(constants, found, strict=True):
        if position is not None:
            raise _holds_nan(name, position)


def _each(read: Callable[[T], R], items: Sequence[T], sizes: Sequence[int]) -> Iterator[R]:
    """The results of a function for each item, in order. Threads take batches large enough to pay for a thread."""
    owners = np.cumsum(sizes) // _BATCH
    batches = [[item for _, item in batch] for _, batch in groupby(zip(owners, items, strict=True), itemgetter(0))]
    if len(batches) <= 1:
        yield from map(read, items)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda batch: [read(item) for item in batch], batches):
            yield from found


def _holds_nan(name: str, position: list[int]) -> InputError:
    return InputError(f"tensor '{name}' holds NaN, the first at {position}")


def _first_nan(constant: Constant) -> list[int] | None:
    if constant.read is None or not is_float(constant.dtype):
        return None
    bad = np.isnan(as_float(constant.numpy()))
    return [int(k) for k in np.argwhere(bad)[0]] if bad.any() else None


def as_float(array: Array) -> Floats:
    """The array, or its values as float32 where its type has no arithmetic (int4, float8, bfloat16)."""
    if array.dtype.kind == "f" and array.dtype.itemsize >= _SINGLE:
        return cast(Floats, array)
    return array.astype(np.float32)


def _norm(power: int) -> Callable[[Analysis, int], Scores]:
    def criterion(analysis: Analysis, seed: int) -> Scores:
        def reduced(parameter: Parameter) -> list[tuple[Axis, Scores]]:
            array = as_float(parameter.constant.numpy())
            free = {k: dim for k, dim in enumerate(parameter.dims) if _is_free(analysis, dim)}
            found = list(zip(free.values(), _sums(array, free, power), strict=True))
            if any(np.isnan(values).any() for _, values in found):
                raise _holds_nan(parameter.tensor, _first_nan(parameter.constant) or [])
            return found

        read = weights(analysis)
        found = _each(reduced, read, [parameter.constant.size for parameter in read])
        totals = per_atom(analysis, chain.from_iterable(found))
        return totals if power == 1 else np.sqrt(totals)

    return criterion


def _sums(array: Floats, axes: Iterable[int], power: int) -> Iterator[Scores]:
    """Sums of ``|w|^power`` over all axes except one, for each of ``axes``.

    The sums along axes other than the first all come from one vector of column sums: short inner loops (a kernel of
    3 x 3) are slow.
    """
    matrix = array.reshape(array.shape[0], math.prod(array.shape[1:]))
    columns: Scores | None = None
    for axis in axes:
        if axis == 0:
            yield _rows(matrix, power)
            continue
        if columns is None:
            columns = _columns(matrix, power).reshape(array.shape[1:])
        yield columns.sum(axis=tuple(k for k in range(columns.ndim) if k != axis - 1))


def _rows(matrix: Floats, power: int) -> Scores:
    """The sum of ``|w|^power`` of every row. Squares need no temporary array of the size of the matrix."""
    found = np.abs(matrix).sum(axis=1, dtype=np.float64) if power == 1 else np.vecdot(matrix, matrix)
    return np.asarray(found, dtype=np.float64)


def _columns(matrix: Floats, power: int) -> Scores:
    """As :func:`_rows`, along every column."""
    found = np.abs(matrix).sum(axis=0, dtype=np.float64) if power == 1 else np.einsum("ab,ab->b", matrix, matrix)
    return np.asarray(found, dtype=np.float64)


def per_atom(analysis: Analysis, vectors: Iterable[tuple[Axis, Scores]]) -> Scores:
    """The sum for each atom of vectors of scores along dimensions; scores of frozen elements are dropped."""
    spread = [(atoms, values) for dim, values in vectors for atoms in analysis.atoms.along(dim)]
    if not spread:
        return np.zeros(analysis.atoms.count)
    atoms, values = (np.concatenate(part) for part in zip(*spread, strict=True))
    totals = np.bincount(atoms + 1, values, minlength=analysis.atoms.count + 1)  # frozen elements, -1, come first
    return totals[1:].astype(np.float64, copy=False)


def _bn_scale(analysis: Analysis, seed: int) -> Scores:
    scales = {
        (matched.node.name, traits_of(matched.node.qualified_op).channel_scale)
        for matched in analysis.coupling.matched.values()
    }
    found = [parameter for parameter in analysis.parameters if parameter.use in scales]
    if not found:
        raise InputError("criterion 'bn-scale' needs batch normalization, and the model has none (it may be folded)")
    totals = per_atom(
        analysis,
        ((p.dims[0], np.abs(as_float(p.constant.numpy())).astype(np.float64)) for p in found),
    )
    without = totals == 0
    if without.any():  # groups without batch normalization: their norm, on the scale of the others
        norms = relative_to_mean(analysis, _norm(2)(analysis, seed))
        totals[without] = norms[without] * (totals[~without].mean() if (~without).any() else 1.0)
    return totals


def _fpgm(analysis: Analysis, seed: int) -> Scores:
    """The sum of distances from a filter to the other filters of its tensor: the closer to all, the more redundant."""
    return per_atom(analysis, chain.from_iterable(_to_others(analysis, p) for p in weights(analysis)))


def _to_others(analysis: Analysis, parameter: Parameter) -> Iterator[tuple[Axis, Scores]]:
    array = as_float(parameter.constant.numpy())
    for axis, dim in enumerate(parameter.dims):
        if _is_free(analysis, dim):
            yield dim, _distances(np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1))


def _distances(rows: Floats) -> Scores:
    """Per row, the sum of Euclidean distances to all rows, in blocks that bound the memory."""
    from scipy.spatial.distance import cdist  # slow to import, and only this criterion needs it

    block = max(1, 1 << 22 // max(1, len(rows)).bit_length())
    parts = [cdist(rows[k : k + block], rows).sum(axis=1) for k in range(0, len(rows), block)]
    return np.concatenate(parts)


def _random(analysis: Analysis, seed: int) -> Scores:
    return np.random.default_rng(seed).permutation(analysis.atoms.count).astype(np.float64) + 1


CRITERIA: dict[str, Callable[[Analysis, int], Scores]] = {
    "l1": _norm(1),
    "l2": _norm(2),
    "bn-scale": _bn_scale,
    "fpgm": _fpgm,
    "random": _random,
}
"""By name, as a request gives it."""
