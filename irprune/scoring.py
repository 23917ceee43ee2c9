"""Importance of atoms: every parameter of a group speaks, producers and consumers alike.

``l1`` and ``l2`` are norms of all weights that would be removed (Li et al., 2017; Fang et al., 2023); ``bn-scale`` is
the magnitude of batch-norm scales (network slimming, Liu et al., 2017); ``fpgm`` the distance to all other filters of
the group (He et al., 2019); ``random`` a seeded permutation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from string import ascii_lowercase
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from .analysis import Analysis, Parameter
from .axes import Axis, leaves_of
from .errors import InputError
from .ir import Constant
from .ir.core import Array

Scores: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.floating[Any]]
T = TypeVar("T")
R = TypeVar("R")
_SINGLE = 4
_LARGE = 1 << 16
"""Elements from which reading a tensor is worth a thread."""
CRITERIA = ("l1", "l2", "bn-scale", "fpgm", "random")


def score(analysis: Analysis, criterion: str = "l2", seed: int = 0) -> Scores:
    """One non-negative number per atom; the higher, the more its removal would change.

    Raises :class:`InputError` for an unknown criterion, or ``bn-scale`` on a model without batch normalisation.
    """
    if criterion not in CRITERIA:
        raise InputError(f"unknown criterion '{criterion}'; known: {', '.join(CRITERIA)}")
    return _CRITERIA[criterion](analysis, seed)


def normalised(analysis: Analysis, scores: Scores) -> Scores:
    """Scores divided by the mean of their group, so that groups compare."""
    result = scores.copy()
    for group in analysis.groups:
        mean = scores[group.atoms].mean() if group.size else 0.0
        if mean > 0:
            result[group.atoms] /= mean
    return result


def weights(analysis: Analysis) -> list[Parameter]:
    """The parameters that speak: those that lose something with some atom.

    Vectors (biases, stored statistics) say little about how much a channel matters, and are left out.
    """
    return [
        parameter
        for parameter in analysis.parameters
        if sum(size > 1 for size in parameter.constant.shape) > 1
        and any(_is_free(analysis, dim) for dim in parameter.dims)
    ]


def _is_free(analysis: Analysis, dim: Axis) -> bool:
    return any(leaf.number in analysis.atoms.offset for leaf in leaves_of(dim))


def require_numbers(analysis: Analysis, criterion: str) -> None:
    """Raise :class:`InputError` where a weight is NaN: there is nothing to rank, and no result to compare.

    Weights that the criterion reads anyway are checked when it does.
    """
    read_later = {parameter.tensor for parameter in weights(analysis)} if criterion in ("l1", "l2") else set()
    constants = {name: c for name, c in analysis.graph.constants.items() if name not in read_later}
    found = _each(_first_nan, list(constants.values()), [constant.size for constant in constants.values()])
    for name, position in zip(constants, found, strict=True):
        if position is not None:
            raise _holds_nan(name, position)


def _each(read: Callable[[T], R], items: Sequence[T], sizes: Iterable[int]) -> Iterator[R]:
    """What a function finds in each item, in order; those of large size are read in threads."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = [pool.submit(read, item) if size > _LARGE else None for item, size in zip(items, sizes, strict=True)]
        for item, found in zip(items, waiting, strict=True):
            yield read(item) if found is None else found.result()


def _holds_nan(name: str, position: list[int]) -> InputError:
    return InputError(f"tensor '{name}' holds NaN, the first at {position}")


def _first_nan(constant: Constant) -> list[int] | None:
    if constant.read is None or not constant.dtype.startswith(("float", "bfloat")):
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
            free = [(k, dim) for k, dim in enumerate(parameter.dims) if _is_free(analysis, dim)]
            found = [(dim, _reduce(array, k, power)) for k, dim in free]
            if any(np.isnan(values).any() for _, values in found):
                raise _holds_nan(parameter.tensor, _first_nan(parameter.constant) or [])
            return found

        totals = np.zeros(analysis.atoms.count)
        read = weights(analysis)
        for found in _each(reduced, read, [parameter.constant.size for parameter in read]):
            for dim, values in found:
                spread(analysis, dim, values, totals)
        return totals if power == 1 else np.sqrt(totals)

    return criterion


def _reduce(array: Floats, axis: int, power: int) -> Scores:
    """Sum of ``|w|^power`` over all axes but one, without a temporary the size of the array for squares."""
    if power == 1:
        others = tuple(k for k in range(array.ndim) if k != axis)
        return np.asarray(np.abs(array).sum(axis=others, dtype=np.float64), dtype=np.float64)
    letters = ascii_lowercase[: array.ndim]
    return np.asarray(np.einsum(f"{letters},{letters}->{letters[axis]}", array, array), dtype=np.float64)


def spread(analysis: Analysis, dim: Axis, values: Scores, totals: Scores) -> None:
    """Add a vector along a dimension to the atoms of its elements."""
    for atoms in analysis.atoms.along(dim):
        if atoms.min(initial=0) < 0:
            free = atoms >= 0
            np.add.at(totals, atoms[free], values[free])
        else:
            np.add.at(totals, atoms, values)


def _bn_scale(analysis: Analysis, seed: int) -> Scores:
    totals = np.zeros(analysis.atoms.count)
    scales = {
        (bound.node.name, 1) for bound in analysis.coupling.bound.values() if bound.node.op == "BatchNormalization"
    }
    found = [parameter for parameter in analysis.parameters if parameter.use in scales]
    if not found:
        raise InputError("criterion 'bn-scale' needs batch normalisation, and the model has none (it may be folded)")
    for parameter in found:
        spread(analysis, parameter.dims[0], np.abs(as_float(parameter.constant.numpy())).astype(np.float64), totals)
    without = totals == 0
    if without.any():  # groups without batch normalisation: their norm, on the scale of the others
        norms = normalised(analysis, _norm(2)(analysis, seed))
        totals[without] = norms[without] * (totals[~without].mean() if (~without).any() else 1.0)
    return totals


def _fpgm(analysis: Analysis, seed: int) -> Scores:
    """The sum of distances from a filter to the other filters of its tensor: the closer to all, the more redundant."""
    totals = np.zeros(analysis.atoms.count)
    for parameter in weights(analysis):
        array = as_float(parameter.constant.numpy())
        for axis, dim in enumerate(parameter.dims):
            if _is_free(analysis, dim):
                rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
                spread(analysis, dim, _distances(rows), totals)
    return totals


def _distances(rows: Floats) -> Scores:
    """Per row, the sum of Euclidean distances to all rows, in blocks that bound the memory."""
    from scipy.spatial.distance import cdist  # slow to import, and only this criterion needs it

    block = max(1, 1 << 22 // max(1, len(rows)).bit_length())
    parts = [cdist(rows[k : k + block], rows).sum(axis=1) for k in range(0, len(rows), block)]
    return np.concatenate(parts)


def _random(analysis: Analysis, seed: int) -> Scores:
    return np.random.default_rng(seed).permutation(analysis.atoms.count).astype(np.float64) + 1


_CRITERIA: dict[str, Callable[[Analysis, int], Scores]] = {
    "l1": _norm(1),
    "l2": _norm(2),
    "bn-scale": _bn_scale,
    "fpgm": _fpgm,
    "random": _random,
}
