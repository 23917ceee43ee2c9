"""Which elements a channel shuffle may lose, and the order of the others, so that it stays a shuffle.

A view chain (:mod:`.views`) moves element ``i n + j`` to ``j g + i``. If the layer before it may write its channels in
any order, and the layer behind it may read them in any order, then the smaller chain, with ``m`` in place of ``n``, is
right for *some* order of the kept channels. To find it, look at the same network with ``m`` in place of ``n``. Each of
its atoms runs through certain axes, and is matched with a kept atom of the large network that runs through the same
axes. The matching gives the order of every axis::

    large  [a0 a1 a2 a3 | b0 b1 b2 b3]    keep a0 a2 b1 b3    small  [a0 a2 | b1 b3]  ->  [a0 b1 a2 b3]

In ShuffleNet v2 a channel passes unchanged through one block, or two, or three, and so on; each of these kinds shrinks
by the same share. If there is no matching, the kept atoms are ordered so that the result of a chain is a few runs of
its operand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..axes import Indices, Leaf, leaves_of
from .atoms import Atoms, Mask
from .views import Region

if TYPE_CHECKING:
    from .coupling import Coupling
    from .groups import Group


@dataclass(frozen=True)
class _Chain:
    """One result of a view chain: its operand and itself as runs of leaves."""

    region: Region
    name: str
    operand: tuple[Leaf, ...]
    result: tuple[Leaf, ...]

    @property
    def numbers(self) -> set[int]:
        return {leaf.number for leaf in (*self.operand, *self.result)}


@dataclass(frozen=True)
class Shuffled:
    """Axes whose elements are tied by view chains alone. All of them shrink by the same share, in ``steps`` steps.

    ``elements[leaf][k]`` is the position in the leaf of the ``k``-th atom of ``atoms``, -1 where it does not run
    through the leaf; ``kinds[k]`` says through which leaves the atom runs.
    """

    leaves: tuple[Leaf, ...]
    atoms: NDArray[np.intp]
    elements: NDArray[np.intp]
    kinds: NDArray[np.uint64]
    chains: tuple[_Chain, ...]

    @cached_property
    def steps(self) -> int:
        return gcd(*(leaf.size.coefficient for leaf in self.leaves))

    def kept_of(self, step: int) -> tuple[NDArray[np.uint64], NDArray[np.intp]] | None:
        """The kinds of atoms, and the number kept of each, if every axis keeps ``step / steps`` of its elements.

        ``None`` if the smaller network has more atoms of a kind than exist here.
        """
        small = self._small(step)
        if small is None:
            return None
        kinds, counts = np.unique(small.kinds, return_counts=True)
        known, available = np.unique(self.kinds, return_counts=True)
        place = np.searchsorted(known, kinds) % len(known)
        fits = (known[place] == kinds) & (counts <= available[place])
        return (kinds, counts.astype(np.intp)) if fits.all() else None

    def orders(self, kept: Mapping[int, Mask]) -> dict[int, Indices]:
        """The kept elements of each leaf, ordered so that every chain is a view, or otherwise a few runs."""
        if not any(leaf.number in kept for leaf in self.leaves):
            return {}
        return self._as_views(kept) or self._in_runs(kept)

    def _in_runs(self, kept: Mapping[int, Mask]) -> dict[int, Indices]:
        """Kept elements with atoms sorted by the leaves they run through: atoms of similar paths are adjacent."""
        paths = [self.leaves.index(leaf) for leaf in self._in_time()]
        rank = np.lexsort((self.elements[paths] < 0)[::-1])
        found: dict[int, Indices] = {}
        for leaf, own in zip(self.leaves, self.elements, strict=True):
            order = own[rank][own[rank] >= 0]
            if leaf.number in kept:
                found[leaf.number] = order[kept[leaf.number][order]]
        return found

    def _in_time(self) -> list[Leaf]:
        """The leaves in the order in which the chains read and write them."""
        met = [leaf for chain in self.chains for leaf in (*chain.operand, *chain.result)]
        return list({leaf.number: leaf for leaf in met}.values())

    def _as_views(self, kept: Mapping[int, Mask]) -> dict[int, Indices]:
        sizes = [int(kept[leaf.number].sum()) if leaf.number in kept else -1 for leaf in self.leaves]
        step = sizes[0] * self.steps // self.leaves[0].size.coefficient
        if any(
            size * self.steps != leaf.size.coefficient * step for size, leaf in zip(sizes, self.leaves, strict=True)
        ):
            return {}
        small = self._small(step) if step > 0 else None
        if small is None:
            return {}
        stays = self._staying(kept)
        ours, theirs = np.argsort(self.kinds[stays], kind="stable"), np.argsort(small.kinds, kind="stable")
        if not np.array_equal(self.kinds[stays][ours], small.kinds[theirs]):
            return {}
        partner = np.empty(len(theirs), dtype=np.intp)
        partner[theirs] = stays[ours]
        found = zip(self.leaves, self.elements, small.of_leaves, strict=True)
        return {leaf.number: own[partner[labels]] for leaf, own, labels in found}

    def _staying(self, kept: Mapping[int, Mask]) -> NDArray[np.intp]:
        gone = np.zeros(len(self.atoms), dtype=bool)
        for leaf, own in zip(self.leaves, self.elements, strict=True):
            gone |= (own >= 0) & ~kept[leaf.number][own]
        return np.flatnonzero(~gone)

    def _small(self, step: int) -> _Small | None:
        """The atoms of the network in which every axis has ``step / steps`` of its elements."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        sizes = [leaf.size.coefficient * step // self.steps for leaf in self.leaves]
        starts = dict(zip((leaf.number for leaf in self.leaves), np.cumsum([0, *sizes[:-1]]), strict=True))
        widths = dict(zip((leaf.number for leaf in self.leaves), sizes, strict=True))

        def elements(leaves: tuple[Leaf, ...]) -> NDArray[np.intp]:
            runs = [np.arange(starts[leaf.number], starts[leaf.number] + widths[leaf.number]) for leaf in leaves]
            return np.concatenate(runs)

        left: list[NDArray[np.intp]] = []
        right: list[NDArray[np.intp]] = []
        for chain in self.chains:
            operand, result = elements(chain.operand), elements(chain.result)
            index = resized_indices(chain.region, chain.name, _size(chain.operand), len(operand))
            if index is None or len(index) != len(result):
                return None
            left.append(operand[index])
            right.append(result)
        rows, columns, total = np.concatenate(left), np.concatenate(right), sum(sizes)
        graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(total, total))
        count, labels = connected_components(graph, directed=False)
        kinds = np.zeros(count, dtype=np.uint64)
        np.add.at(kinds, labels, np.repeat(_marks(len(self.leaves)), sizes))
        return _Small(kinds, tuple(np.split(labels.astype(np.intp), np.cumsum(sizes[:-1]))))


@dataclass(frozen=True)
class _Small:
    """A smaller network: the kind of each of its atoms, and per leaf the atom of every element."""

    kinds: NDArray[np.uint64]
    of_leaves: tuple[NDArray[np.intp], ...]


def resized_indices(region: Region, name: str, size: int, new_size: int) -> Indices | None:
    """The index map of a smaller chain; ``None`` where no factor of its dimension can shrink to that size."""
    resizing = next(region.resizings(size, new_size), None)
    return None if resizing is None else region.indices(name, resizing)


def find_shuffled(coupling: Coupling, atoms: Atoms, groups: Sequence[Group]) -> Iterator[tuple[str, Shuffled]]:
    """The groups whose elements are tied by view chains alone, by name.

    Each atom has to run through a leaf at most once, and no leaf may be frozen in part.
    """
    chains = [chain for region in coupling.regions for chain in _chains(coupling, region)]
    related = {
        leaf.number
        for relation in coupling.system.relations[: coupling.first_chain]
        for side in (relation.left, relation.right)
        for leaf in leaves_of(side)
    }
    for group in groups if chains else ():
        numbers = {leaf.number for leaf in group.leaves}
        inside = tuple(chain for chain in chains if numbers & chain.numbers)
        if not inside or not all(chain.numbers <= numbers for chain in inside) or numbers & related:
            continue
        elements = _elements(atoms, group.leaves, group.atoms)
        if elements is None:
            continue
        marks = _marks(len(group.leaves))[:, None]
        kinds = (marks * (elements >= 0).astype(np.uint64)).sum(axis=0, dtype=np.uint64)
        yield group.name, Shuffled(group.leaves, group.atoms, elements, kinds, inside)


def _chains(coupling: Coupling, region: Region) -> Iterator[_Chain]:
    operand = coupling.dims[region.operand]
    for name in region.results:
        result = coupling.dims[name]
        if operand is not None and result is not None:
            yield _Chain(region, name, tuple(leaves_of(operand[region.axis])), tuple(leaves_of(result[region.axis])))


def _elements(atoms: Atoms, leaves: tuple[Leaf, ...], own: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """The element of each atom in each leaf; ``None`` if an atom has two elements in a leaf or one is frozen."""
    found = np.full((len(leaves), len(own)), -1, dtype=np.intp)
    for row, leaf in zip(found, leaves, strict=True):
        atom = atoms.of_leaf(leaf)
        if not len(atom) or atom.min() < 0 or len(np.unique(atom)) < len(atom):
            return None
        row[np.searchsorted(own, atom)] = np.arange(len(atom))
    return found


def _marks(count: int) -> NDArray[np.uint64]:
    """One random number per leaf: different sets of leaves have different sums."""
    return np.random.default_rng(0).integers(1, 2**63, count, dtype=np.uint64)


def _size(leaves: tuple[Leaf, ...]) -> int:
    return sum(leaf.size.coefficient for leaf in leaves)
