"""The cost of a graph as a function of how many atoms each group loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import CostModel
from ..request import CostKind
from .sequence import Counts, GroupOrder


class CostTable:
    """Sums of products of axis sizes; each product depends on a few groups.

    ``settled`` gives, by leaf number, the sizes that other groups keep.
    """

    def __init__(
        self,
        model: CostModel,
        groups: Sequence[GroupOrder],
        target: CostKind,
        settled: Mapping[int, int] | None = None,
    ) -> None:
        self.groups = groups
        self.settled = {number: float(size) for number, size in (settled or {}).items()}
        self.products = model.products(target)
        owner = {leaf.number: k for k, group in enumerate(groups) for leaf in group.group.leaves}
        self._touched: list[list[int]] = [[] for _ in groups]
        for number, (_, sizes) in enumerate(self.products):
            for group in {owner[leaf] for size in sizes for leaf in size.leaves() if leaf in owner}:
                self._touched[group].append(number)

    def total(self, counts: Counts) -> float:
        """The cost when each group loses that many atoms."""
        return float(self._sum(range(len(self.products)), self._sizes(counts)))

    def along(self, counts: Counts, group: int, options: NDArray[np.intp]) -> NDArray[np.float64]:
        """The cost of the graph when one group loses each of ``options`` atoms, and the others what ``counts`` says."""
        sizes = self._sizes(counts)
        touched = self._touched[group]
        rest = float(self._sum(range(len(self.products)), sizes)) - float(self._sum(touched, sizes))
        order = self.groups[group]
        varied = sizes | dict(zip((leaf.number for leaf in order.group.leaves), order.kept[options].T, strict=True))
        return rest + np.broadcast_to(np.asarray(self._sum(touched, varied), dtype=np.float64), options.shape)

    def _sum(self, numbers: Sequence[int] | range, sizes: dict[int, Any]) -> Any:
        total: Any = 0.0
        for number in numbers:
            weight, factors = self.products[number]
            value: Any = weight
            for factor in factors:
                value = value * factor.evaluate(sizes)
            total = total + value
        return total

    def _sizes(self, counts: Counts) -> dict[int, Any]:
        return self.settled | {
            leaf.number: float(order.kept[count, k])
            for order, count in zip(self.groups, counts, strict=True)
            for k, leaf in enumerate(order.group.leaves)
        }
