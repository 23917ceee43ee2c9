"""Labels: the right decisions for given inputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..errors import InputError
from ..ir.core import Array
from .files import read_array

AnyLabels: TypeAlias = Any
"""The path of an ``.npy`` file, or what numpy makes an array of."""


def as_labels(labels: AnyLabels) -> Array:
    """Labels as integers: classes, or zeros and ones, one for each decision of an output and in the same order.

    Raises :class:`InputError` for an empty array, or numbers that are not whole.
    """
    is_path = isinstance(labels, (str, os.PathLike))
    origin = str(labels) if is_path else "the labels"
    array = np.asarray(read_array(Path(labels)) if is_path else labels)
    is_whole = array.dtype.kind in "iub" or (array.dtype.kind == "f" and np.array_equal(array, np.round(array)))
    if not is_whole:
        raise InputError(
            f"{origin}: expected the numbers of classes, got {array.dtype.name} of shape {list(array.shape)}"
        )
    if array.size == 0:
        raise InputError(f"{origin}: holds no labels")
    return array.astype(np.int64)
