"""Weights times activations: ``E(c) = |W_c|^2 E[u_c^2] / (2 v)`` for a column c, added up over the columns of an atom.

The structured form of Wanda (Sun et al., ICLR 2024). Time: one pass over the weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..calibration.measured import Measured


def wanda(measured: Measured) -> NDArray[np.float64]:
    """The contribution of each atom alone to its contractions, in shares of their variance."""
    errors = {}
    for point in measured.points:
        mean = measured.moments[point.name].mean
        power = np.einsum("gcc->gc", mean)[:, :-1]
        norm = np.square(measured.lasting_weight(point)).sum(axis=1)
        errors[point.name] = measured.scale(point) * (norm * power).sum(axis=0)
    return measured.per_atom(errors)
