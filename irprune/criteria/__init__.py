"""Criteria from data: the error that the removal of each atom adds. One file each, with its formula and its source.

A criterion takes :class:`~irprune.calibration.measured.Measured` and returns one number per atom: infinity for atoms
that no contraction sums over, since the data say nothing about them. Numbers of different groups are comparable: all
are shares of the variance of a contraction's target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..calibration.measured import Measured
from .flap import flap
from .obs import obs
from .wanda import wanda

DATA_CRITERIA: Mapping[str, Callable[[Measured], NDArray[np.float64]]] = {"obs": obs, "flap": flap, "wanda": wanda}
