"""Zeros column by column, each error handed on to the columns that follow.

With H the second moments of a contraction's operand and U the upper factor of its inverse (``(H + D)^-1 = U^T U``),
column c of the remaining problem costs ``w_c^2 / U_cc^2`` to remove, and ``W_rest -= w_c / U_cc U_c,rest`` makes up for
it by least squares. SparseGPT (Frantar and Alistarh, ICML 2023, arXiv 2301.00774). Time: O(o c^2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..zeros import Pattern
from .patterns import Zeros, zeros

Floats = NDArray[np.float64]

SPAN = 32
"""The columns whose zeros are chosen together, after those before have been made up for; of N:M it is M."""


def sparse_least_squares(
    weight: Floats,
    moments: Floats,
    pattern: Pattern,
    share: float,
    summed: int,
    window: int,
    scale: Floats | float = 1.0,
) -> tuple[Floats, Zeros]:
    """The weight ``[g, o, c]`` with zeros in it, and where these are.

    The c columns are ``summed`` times ``window``, the window last. ``moments`` are ``[g, c, c]``, damped, or
    ``[g, c + 1, c + 1]`` where ``weight`` has the bias as a last column: it is kept, and takes its part of the errors.
    ``scale``, ``[g, o, 1]``, multiplies each row later on: rows compare by what they are then.
    """
    g, o, total = weight.shape
    columns = summed * window
    order = np.append(np.arange(columns).reshape(summed, window).T.ravel(), np.arange(columns, total))
    weight = weight[:, :, order]  # neighbors along the sum stand side by side
    factor = _upper(moments[:, order][:, :, order])
    gone = np.zeros(weight.shape, dtype=bool)
    done = 0
    span = pattern.of if pattern.keep else pattern.span(SPAN)
    for first in range(0, columns, span):
        last = min(first + span, columns)
        diagonal = np.einsum("gcc->gc", factor)[:, None, first:last]
        scores = (weight[:, :, first:last] * scale / diagonal) ** 2
        wanted = round(share * g * o * last) - done
        here = zeros(pattern, scores[..., None], wanted / scores.size)[..., 0]
        done += int(here.sum())
        gone[:, :, first:last] = here
        for column in range(first, last):
            lost = np.where(here[:, :, column - first], weight[:, :, column], 0.0)
            error = lost / factor[:, column, column, None]
            weight[:, :, column:] -= error[:, :, None] * factor[:, None, column, column:]
    weight[gone] = 0.0
    back = np.argsort(order)
    return weight[:, :, back], gone[:, :, back]


def _upper(moments: Floats) -> Floats:
    """U of ``moments^-1 = U^T U``."""
    inverse = np.linalg.inv(moments)
    inverse = (inverse + inverse.transpose(0, 2, 1)) / 2
    found: Floats = np.asarray(np.linalg.cholesky(inverse).transpose(0, 2, 1), dtype=np.float64)
    return found
