"""How outputs are read as decisions: the largest of alternatives, or whether a share is above one half."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ir.core import Array

_SUM_OF_PROBABILITIES = 1e-2
"""Rows whose sums are this close to one are class probabilities: the largest decides."""


def are_shares(rows: NDArray[np.floating]) -> bool:
    """Whether all numbers lie between 0 and 1."""
    return bool((rows >= 0).all() and (rows <= 1).all())


def are_probabilities(rows: NDArray[np.floating]) -> bool:
    """Whether every row sums up to one."""
    return bool((np.abs(rows.sum(axis=-1, dtype=np.float64) - 1) < _SUM_OF_PROBABILITIES).all())


def alternatives(given: Array) -> NDArray[np.floating]:
    """The values with the axis of the alternatives moved to the end."""
    is_wide = given.dtype.kind == "f" and given.dtype.itemsize >= 4
    value: NDArray[np.floating] = np.asarray(given, given.dtype if is_wide else np.float32)
    if value.ndim < 4:
        return value.reshape(1) if value.ndim == 0 else value
    if all(size == 1 for size in value.shape[2:]):
        return value.reshape(value.shape[:2])
    classes_second = value.shape[-1] == 1 or value.shape[1] <= value.shape[-1]
    return np.moveaxis(value, 1, -1) if classes_second else value
