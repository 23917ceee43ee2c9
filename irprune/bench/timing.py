"""Latency of several models, in turns, so that a busy moment of the machine falls on all of them.

Medians are compared: ``ratio = median(first) / median(other)``. The confidence interval is that of a bootstrap over
rounds (Efron, 1979; percentiles), which draws the times of a round together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .runners import Run, run_all

Milliseconds = NDArray[np.float64]

_RESAMPLES = 1000
_CONFIDENCE = 0.95
_FEWEST = 5
"""Rounds below which nothing is said about confidence."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a run: the median, the quartiles and the best."""

    median: float
    low: float
    high: float
    best: float

    @staticmethod
    def of(times: Milliseconds) -> Latency:
        low, median, high = np.percentile(times, [25, 50, 75])
        return Latency(float(median), float(low), float(high), float(times.min()))


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as the first model, with the interval that holds it at 95 % confidence."""

    value: float
    low: float
    high: float

    @property
    def is_slower(self) -> bool:
        """Whether the model is slower than the first one beyond doubt."""
        return self.high < 1


def measure(runs: Sequence[Run], rounds: int, warm_up: int, seconds: float | None = None) -> Milliseconds:
    """The times of each model in each round, ``[models, rounds]``; every second round goes backwards.

    With ``seconds`` no round begins after that time, once there are a few.
    """
    began = time.perf_counter()
    for _ in range(warm_up):
        run_all(runs)
        if seconds is not None and time.perf_counter() - began > seconds / 4:
            break
    found: list[list[float]] = []
    for number in range(rounds):
        if seconds is not None and number >= _FEWEST and time.perf_counter() - began > seconds:
            break
        order = range(len(runs)) if number % 2 == 0 else reversed(range(len(runs)))
        row = [0.0] * len(runs)
        for model in order:
            start = time.perf_counter()
            runs[model]()
            row[model] = (time.perf_counter() - start) * 1e3
        found.append(row)
    return np.array(found).T


def ratio(first: Milliseconds, other: Milliseconds) -> Ratio:
    """How many times as fast the other one is."""
    value = float(np.median(first) / np.median(other))
    if len(first) < _FEWEST:
        return Ratio(value, 0.0, float("inf"))
    from scipy.stats import bootstrap  # slow to import

    def compared(one: Milliseconds, two: Milliseconds, axis: int = -1) -> Milliseconds:
        quotient: Milliseconds = np.median(one, axis=axis) / np.median(two, axis=axis)
        return quotient

    found = bootstrap(
        (first, other),
        compared,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return Ratio(value, float(found.low), float(found.high))
