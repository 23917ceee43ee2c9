"""Constant transforms: bases of Fourier and cosine transforms, and filter banks.

Exporters write an STFT as a convolution or a product with its basis, and the mel scale as a product with a matrix of
triangles. These are not trained, and without one row of a basis the result is no longer a spectrum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ir import Constant
from ..ir.core import Array
from ..ir.dtypes import is_float

Matrix = NDArray[np.float64]

_MOST_ELEMENTS = 1 << 24
_FEWEST = 8
"""The fewest rows and columns: smaller matrices may follow the formula by chance."""

_SMALL = 1 << 14
"""Matrices of no more elements are checked as a whole."""

_SHARE_OF_COMPLEX = 0.2
"""A complex basis has each frequency four times: positive and negative, in real and imaginary parts."""

_FAST = 0.5
"""Tables of sinusoids start with one radian for each position."""

_SAMPLE = 6
_SAMPLE_COLUMNS = 512
_MISFIT = 1e-2
_FITTING = 0.85
_WINDOW_FLOOR = 1e-2
_DENSEST = 0.5


def is_transform(constant: Constant) -> bool:
    """Whether a constant is the basis of a transform, or a bank of filters."""
    if constant.read is None or not is_float(constant.dtype):
        return False
    if len(constant.shape) < 2 or not _FEWEST**2 <= constant.size <= _MOST_ELEMENTS:
        return False
    array = constant.numpy()
    return are_sinusoids(array) or is_filter_bank(array)


def are_sinusoids(array: Array) -> bool:
    """Whether the rows or columns of a matrix (or of a tensor, flattened after its first axis) are sinusoids.

    They may share a window, and real and imaginary parts may alternate in them. A sinusoid satisfies
    ``x[n+1] + x[n-1] = 2 cos(w) x[n]``; most rows have to differ in frequency.
    """
    return any(
        _is_basis(rows) or all(_is_basis(part, _SHARE_OF_COMPLEX) for part in _alternating(rows))
        for rows in _orientations(array)
    )


def is_sinusoid_table(array: Array) -> bool:
    """Whether the columns of a table of positions are sinusoids of the position, as those of rotary embeddings.

    Their frequencies fall geometrically, so that many are nearly zero, and each stands there several times.
    """
    squeezed = array.squeeze()
    if squeezed.ndim != 2 or min(squeezed.shape) < _FEWEST:
        return False
    columns: Matrix = squeezed.T.astype(np.float64)
    if not _sampled(columns):
        return False
    misfit, frequencies = _frequencies(columns)
    fitting = frequencies[misfit < _MISFIT]
    is_rich = len(np.unique(np.round(fitting, 3))) >= _FEWEST // 2
    # what is merely smooth follows the recurrence at frequencies near zero
    return len(fitting) >= _FITTING * len(misfit) and is_rich and bool(fitting.max() > _FAST)


def _alternating(rows: Matrix) -> tuple[Matrix, Matrix]:
    return rows[:, ::2], rows[:, 1::2]


def _is_basis(rows: Matrix, share: float = 1 / 3) -> bool:
    """Whether rows are sinusoids; of the given share of them at least the frequencies differ."""
    if min(rows.shape) < _FEWEST:
        return False
    # a short window changes fast: only without it do its rows follow the recurrence
    if rows.size > _SMALL:
        return _sampled(rows) and _are_sinusoids(_unwindowed(rows), share)
    rows = rows.astype(np.float64)
    flat = rows[(rows >= 0).all(axis=1)]
    windows = [_energy(rows), np.ones(rows.shape[1]), *flat[:1]]
    return any(_are_sinusoids(_divided(rows, window), share) for window in windows)


def is_filter_bank(array: Array) -> bool:
    """Whether the rows, or the columns, are non-negative, each one peak of its own support, in order of frequency."""
    return any(_sampled_bank(rows) and _is_bank(rows) for rows in _orientations(array))


def _orientations(array: Array) -> list[Matrix]:
    """The tensor as matrices: flattened after its first axis, and before its last."""
    squeezed = array.squeeze()
    if squeezed.ndim < 2:
        return []
    views = [squeezed.reshape(squeezed.shape[0], -1)]
    if squeezed.ndim == 2:
        views.append(squeezed.T)
    else:
        views.append(squeezed.reshape(-1, squeezed.shape[-1]).T)
    return [view for view in views if min(view.shape) >= _FEWEST]  # type: ignore[misc]


def _sampled(rows: Matrix) -> bool:
    """Whether a sample of the rows is close enough to sinusoids to check all of them."""
    first = max(0, (rows.shape[1] - _SAMPLE_COLUMNS) // 2)
    middle = rows[:, first : first + _SAMPLE_COLUMNS]  # a window leaves little at both ends
    chosen = middle[np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.intp)].astype(np.float64)
    # a window changes slowly: its product with a sinusoid still follows the recurrence roughly
    if not np.isfinite(chosen).all():
        return False
    misfits = _misfits(chosen)[0]  # of rows that are not zero
    return bool(len(misfits) and np.median(misfits) < np.sqrt(_MISFIT))


def _unwindowed(rows: Matrix) -> Matrix:
    """The rows divided by their common window."""
    rows = rows.astype(np.float64)
    return _divided(rows, _energy(rows))


def _energy(rows: Matrix) -> NDArray[np.float64]:
    """The window of a full basis: the square root of the energy of each column."""
    found: NDArray[np.float64] = np.sqrt((rows**2).sum(axis=0))
    return found


def _divided(rows: Matrix, window: NDArray[np.float64]) -> Matrix:
    """The rows divided by a window, without what it leaves out at both ends."""
    used = window > _WINDOW_FLOOR * window.max(initial=0.0)
    edges = np.flatnonzero(used)
    if not len(edges):
        return rows
    inner = slice(edges[0], edges[-1] + 1)
    return rows[:, inner] / np.where(used, window, 1.0)[inner]


def _are_sinusoids(rows: Matrix, share: float) -> bool:
    if min(rows.shape) < _FEWEST:
        return False
    misfit, frequencies = _frequencies(rows)
    if not len(misfit) or np.mean(misfit < _MISFIT) < _FITTING:
        return False
    return len(np.unique(np.round(frequencies, 3))) >= max(_FEWEST // 2, int(len(frequencies) * share))


def _frequencies(rows: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each nonzero row: its distance from a sinusoid, and the angle between neighbors."""
    misfit, cosine = _misfits(rows)
    return misfit, np.arccos(np.clip(cosine / 2, -1, 1))


def _misfits(rows: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each nonzero row: its distance from the recurrence (a quantile over positions), and its coefficient."""
    scale = np.abs(rows).max(axis=1, initial=0.0)
    rows = rows[scale > _MISFIT * scale.max(initial=0.0)]
    middle, around = rows[:, 1:-1], rows[:, 2:] + rows[:, :-2]
    energy = (middle**2).sum(axis=1)
    cosine = (middle * around).sum(axis=1) / np.where(energy > 0, energy, 1.0)
    size = np.sqrt((rows**2).mean(axis=1))
    for _ in range(2):  # ignore a few outliers, such as both ends of a basis without its sines
        residual = np.abs(around - cosine[:, None] * middle) / size[:, None]
        inlier = residual <= _most(residual)[:, None]
        energy = (middle**2 * inlier).sum(axis=1)
        cosine = (middle * around * inlier).sum(axis=1) / np.where(energy > 0, energy, 1.0)
    residual = np.abs(around - cosine[:, None] * middle) / size[:, None]
    return _most(residual), cosine


def _most(values: Matrix) -> NDArray[np.float64]:
    """What most values of each row do not exceed: ``np.quantile`` of ``_FITTING``, which takes ten times as long."""
    place = _FITTING * (values.shape[1] - 1)
    below = int(place)
    above = min(below + 1, values.shape[1] - 1)
    ordered = np.partition(values, (below, above), axis=1)
    found: NDArray[np.float64] = ordered[:, below] + (place - below) * (ordered[:, above] - ordered[:, below])
    return found


def _sampled_bank(rows: Matrix) -> bool:
    chosen = rows[np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.intp)]
    return bool((chosen >= 0).all() and (chosen > 0).mean() < _DENSEST)


def _is_bank(rows: Matrix) -> bool:
    rows = rows.astype(np.float64)
    positive = rows > 0
    if (rows < 0).any() or not _is_sparse(positive):
        return False
    used = positive.any(axis=1)
    rows, positive = rows[used], positive[used]
    if len(rows) < _FEWEST:
        return False
    width = positive.sum(axis=1)
    first = positive.argmax(axis=1)
    last = positive.shape[1] - 1 - positive[:, ::-1].argmax(axis=1)
    one_piece = last - first + 1 == width
    slopes = np.sign(np.diff(rows, axis=1))
    peak = rows.argmax(axis=1)
    places = np.arange(slopes.shape[1])[None, :]
    rises_then_falls = np.where(places < peak[:, None], slopes >= 0, slopes <= 0).all(axis=1)
    ordered = (np.diff(peak) >= 0).all() and peak[-1] > peak[0]
    return bool(one_piece.all() and rises_then_falls.all() and ordered and width.max() > 1)


def _is_sparse(positive: NDArray[np.bool_]) -> bool:
    return bool(positive.mean() < _DENSEST)
