"""How many atoms each group loses, so that a cost is met at the least error.

    minimize sum of e_g(n_g)   subject to   cost(n) <= budget

The cost is a polynomial in the sizes of axes (in-width times out-width), exact for every combination of counts. At a
given price per unit of cost, each group in turn takes its best count while the other groups stay fixed, until nothing
changes. The price is bisected until the budget is met. Budget left over is given back where it lowers the error most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .costs import CostTable
from .sequence import Counts

Floats = NDArray[np.float64]

_SWEEPS = 20
_HALVINGS = 60
_DEAREST = 1e12


def allocate(
    errors: Sequence[Floats], allowed: Sequence[NDArray[np.intp]], table: CostTable, budget: float
) -> Counts | None:
    """How many atoms each group loses; ``None`` where the largest removals still cost more than the budget.

    ``allowed[g]`` lists the counts that group g may lose, in increasing order, ``errors[g]`` the error of each.
    """
    problem = _Problem(errors, allowed, table, budget)
    least, most = (np.array([options[k] for options in allowed], dtype=np.intp) for k in (0, -1))
    if table.total(most) > budget:
        return None
    if table.total(least) <= budget:
        return least
    return problem.give_back(problem.by_price(least, most))


class _Problem:
    def __init__(
        self, errors: Sequence[Floats], allowed: Sequence[NDArray[np.intp]], table: CostTable, budget: float
    ) -> None:
        self.errors = errors
        self.allowed = allowed
        self.table = table
        self.budget = budget

    def total(self, counts: Counts) -> float:
        pairs = zip(self.errors, self.allowed, counts, strict=True)
        return float(sum(error[np.searchsorted(options, n)] for error, options, n in pairs))

    def by_price(self, least: Counts, most: Counts) -> Counts:
        """The best counts within the budget, over all prices tried."""
        unit = 1.0 / self.table.total(least)
        low, high = 0.0, 1.0
        counts, best = least, most
        while high < _DEAREST and self.table.total(counts := self._descend(counts, high * unit)) > self.budget:
            low, high = high, high * 8
        if self.table.total(counts) <= self.budget:
            best = counts
        for _ in range(_HALVINGS):
            price = (low * high) ** 0.5 if low else high / 8
            counts = self._descend(least, price * unit)
            if self.table.total(counts) <= self.budget:
                high = price
                best = min(best, counts, key=self.total)
            else:
                low = price
            if low and high / low < 1.0005:
                break
        return best

    def _descend(self, start: Counts, price: float) -> Counts:
        counts = start.copy()
        for _ in range(_SWEEPS):
            before = counts.copy()
            for group, (error, options) in enumerate(zip(self.errors, self.allowed, strict=True)):
                cost = self.table.along(counts, group, options)
                counts[group] = options[int(np.argmin(error + price * cost))]
            if (counts == before).all():
                break
        return counts

    def give_back(self, counts: Counts) -> Counts:
        """Give atoms back to groups while the budget allows, starting where that lowers the error most."""
        counts = counts.copy()
        while True:
            best, gain = None, 0.0
            for group, (error, options) in enumerate(zip(self.errors, self.allowed, strict=True)):
                place = int(np.searchsorted(options, counts[group]))
                fits = self.table.along(counts, group, options[:place]) <= self.budget
                saved = np.where(fits, error[place] - error[:place], 0.0)
                if place and saved.max() > gain:
                    best, gain = (group, options[int(saved.argmax())]), float(saved.max())
            if best is None:
                return counts
            counts[best[0]] = best[1]
