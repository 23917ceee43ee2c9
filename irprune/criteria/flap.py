"""Fluctuation: ``E(c) = |W_c|^2 Var[u_c] / (2 v)`` for a column c; a bias makes up for a constant.

FLAP (An et al., AAAI 2024, arXiv 2312.11983). Time: one pass over the weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..calibration.measured import Measured


def flap(measured: Measured) -> NDArray[np.float64]:
    """The share of each contraction's variance that an atom contributes by itself."""
    errors = {}
    for point in measured.points:
        mean = measured.moments[point.name].mean
        variance = np.einsum("gcc->gc", mean)[:, :-1] - np.square(mean[:, :-1, -1])
        norm = np.square(measured.lasting_weight(point)).sum(axis=1)
        errors[point.name] = measured.scale(point) * (norm * np.maximum(variance, 0)).sum(axis=0)
    return measured.per_atom(errors)
