"""The closed-form cost of a graph: parameters, tables, multiply-accumulates and bytes of what is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..axes import Axis, Leaf, Product, leaves_of, resolve
from ..ir.dtypes import item_bytes
from ..request import CostKind
from .atoms import Mask, kept_mask
from .coupling import Coupling
from .parameters import Parameter


@dataclass(frozen=True)
class Cost:
    """Trainable parameters, multiply-accumulates for one element of the batch, bytes of all constants, table elements.

    ``tables`` counts the numbers in tables (see :mod:`.parameters`); ``params`` leaves them out.
    """

    params: int
    macs: int
    bytes: int
    tables: int = 0


class CostModel:
    """Cost as a function of the elements that are kept.

    ``sizes`` gives the values of symbols. Symbols that it lacks count as one; :attr:`unknown` names them.
    """

    def __init__(self, coupling: Coupling, parameters: Iterable[Parameter], sizes: Mapping[str, int]) -> None:
        formulas: dict[Axis, Formula] = {}

        def formula(axis: Axis) -> Formula:
            if axis not in formulas:
                formulas[axis] = _formula(axis, sizes)
            return formulas[axis]

        tensors: dict[str, list[Parameter]] = {}
        for parameter in parameters:
            tensors.setdefault(parameter.tensor, []).append(parameter)
        self._tensors = [
            (
                {tuple(map(formula, parameter.dims)): parameter.dims for parameter in uses},
                item_bytes(uses[0].constant.dtype),
                any(parameter.trainable for parameter in uses),
                all(parameter.is_table for parameter in uses),
            )
            for uses in tensors.values()
        ]
        products = list(mac_axes(coupling))
        self._macs = [tuple(map(formula, axes)) for axes in products]
        self.unknown = frozenset(symbols_in(axis for axes in products for axis in axes) - sizes.keys())

    def products(self, target: CostKind) -> list[tuple[float, tuple[Formula, ...]]]:
        """A cost as weighted products of axis sizes.

        Of a tensor whose uses may keep different elements, the first use counts: that is a private copy less than
        :meth:`__call__` counts where they do.
        """
        if target == "macs":
            return [(1.0, term) for term in self._macs]
        stored = target == "bytes"
        return [
            (item if stored else 1.0, next(iter(uses)))
            for uses, item, trainable, _ in self._tensors
            if stored or trainable
        ]

    def __call__(self, kept: Mapping[int, Mask]) -> Cost:
        """The cost with a mask of kept elements per leaf number; leaves that are not in ``kept`` stay whole."""
        sizes = {number: int(mask.sum()) for number, mask in kept.items()}
        memo: dict[Formula, int] = {}

        def size(formula: Formula) -> int:
            if formula not in memo:
                memo[formula] = formula.evaluate(sizes)
            return memo[formula]

        def volume(dims: Iterable[Formula]) -> int:
            total = 1
            for dim in dims:
                total *= size(dim)
            return total

        def distinct(uses: Mapping[tuple[Formula, ...], tuple[Axis, ...]]) -> Iterable[tuple[Formula, ...]]:
            if len(uses) == 1:
                return uses
            # uses that keep the same elements share one tensor
            return {tuple(kept_mask(axis, kept).tobytes() for axis in dims): use for use, dims in uses.items()}.values()

        params, tables, stored = 0, 0, 0.0
        for uses, item, trainable, is_table in self._tensors:
            elements = sum(map(volume, distinct(uses)))
            params += elements if trainable else 0
            tables += elements if is_table else 0
            stored += elements * item
        return Cost(params, sum(volume(term) for term in self._macs), int(stored), tables)


def mac_axes(coupling: Coupling) -> Iterable[Sequence[Axis]]:
    """The multiply-accumulates of all nodes, as lists of axes whose sizes are multiplied.

    Those in bodies count once for each iteration.
    """
    for matched in coupling.matched.values():
        times = coupling.iterations.axes.get(matched.node.name, ())
        for factors in matched.signature.notation.macs:
            yield [*times, *(axis for name in factors for axis in matched.axes.get(name, ()))]


def symbols_in(axes: Iterable[Axis]) -> set[str]:
    """The symbols of open sizes in some dimensions."""
    return {symbol for axis in set(axes) for leaf in leaves_of(axis) for symbol in leaf.size.symbols}


@dataclass(frozen=True, slots=True, eq=False)  # by identity: dimensions with the same axis share one formula
class Formula:
    """The size of an axis expression: a leaf number and its size, or a product or a sum of formulas."""

    leaf: int | None
    constant: int
    terms: tuple[Formula, ...] = ()
    is_sum: bool = False

    def leaves(self) -> Iterator[int]:
        """The numbers of its leaves."""
        if self.leaf is not None:
            yield self.leaf
        for term in self.terms:
            yield from term.leaves()

    def evaluate(self, sizes: Mapping[int, Any]) -> Any:
        """The size for these leaf sizes, or an array of sizes where a leaf has an array."""
        if self.leaf is not None:
            return sizes.get(self.leaf, self.constant)
        if self.is_sum:
            return sum(term.evaluate(sizes) for term in self.terms)
        total: Any = 1
        for term in self.terms:
            total = total * term.evaluate(sizes)
        return total


def _formula(axis: Axis, symbols: Mapping[str, int]) -> Formula:
    axis = resolve(axis)
    if isinstance(axis, Leaf):
        return Formula(axis.number, axis.size.evaluate(defaultdict(lambda: 1, symbols)))
    if isinstance(axis, Product):
        return Formula(None, 1, tuple(_formula(factor, symbols) for factor in axis.factors))
    return Formula(None, 0, tuple(_formula(part, symbols) for part in axis.parts), is_sum=True)
