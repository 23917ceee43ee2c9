"""The order in which atoms are removed: per group, then over all groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, Group, Mask, Shuffled
from ..scoring import Scores

Order: TypeAlias = NDArray[np.intp]
Counts: TypeAlias = NDArray[np.intp]
"""How many steps each candidate group shrinks by."""

_FEWEST_STEPS = 8
"""With fewer steps than this, shuffled channels are removed one by one, so that a small ratio removes something."""


@dataclass(frozen=True)
class GroupOrder:
    """The order in which one group loses atoms; ``share[k]`` of its elements are gone after ``k + 1`` steps.

    Each step removes the next atom of ``atoms``. If ``steps`` is given, ``steps[k]`` lists all atoms that are gone
    after ``k + 1`` steps. ``kept[k]`` is the number of elements that each leaf keeps after ``k`` steps
    (``[n_steps + 1, n_leaves]``).
    """

    group: Group
    atoms: Order
    share: NDArray[np.float64]
    kept: NDArray[np.intp]
    steps: tuple[Order, ...] | None = None

    def gone(self, count: int) -> Order:
        """The atoms that are gone after some steps."""
        if self.steps is None:
            return self.atoms[:count]
        return self.steps[count - 1] if count else self.atoms[:0]

    def keys(self, scores: Scores) -> NDArray[np.float64]:
        """For each step, the highest score among the atoms removed so far."""
        if self.steps is None:
            return np.maximum.accumulate(scores[self.atoms])
        return np.maximum.accumulate([scores[gone].max(initial=0.0) for gone in self.steps])

    def errors(self, scores: Scores) -> NDArray[np.float64]:
        """The sum of the scores of all atoms that are gone after each number of steps (``[n_steps + 1]``)."""
        own = scores[self.atoms] if self.steps is None else None
        after = np.cumsum(own) if own is not None else [scores[gone].sum() for gone in self.steps or ()]
        return np.append(0.0, after)

    @property
    def sizes(self) -> Counts:
        """The number of atoms that each step removes."""
        if self.steps is None:
            return np.ones(len(self.atoms), dtype=np.intp)
        return np.diff([0, *map(len, self.steps)])

    def allowed(self, max_ratio: float, min_channels: int) -> int:
        """The most removals: every leaf keeps at least ``min_channels`` and the group at least ``1 - max_ratio``."""
        floor = np.minimum(np.maximum(min_channels, 1), self.kept[0])
        enough = (self.kept >= floor[None, :]).all(axis=1)
        within = np.append(0.0, self.share) <= max_ratio + 1e-9
        return int(np.flatnonzero(enough & within).max(initial=0))


@dataclass(frozen=True)
class RemovalOrder:
    """All candidate groups; ``keys`` has, for each group, the sort key of each removal that its limits allow.

    ``fits`` says of each group which counts leave an allowed width (see :mod:`.widths`); by default all do.
    """

    groups: tuple[GroupOrder, ...]
    keys: tuple[NDArray[np.float64], ...]
    fits: tuple[Mask, ...] = ()

    @property
    def limits(self) -> Counts:
        """The most removals per group."""
        return np.array([len(key) for key in self.keys], dtype=np.intp)

    @cached_property
    def events(self) -> Order:
        """The events "one more atom of group g goes" in order of importance."""
        if not self.groups:
            return np.zeros(0, dtype=np.intp)
        owners = np.repeat(np.arange(len(self.groups)), self.limits)
        return owners[np.argsort(np.concatenate(self.keys), kind="stable")]

    def counts(self, prefix: int) -> Counts:
        """Removals per group when the first ``prefix`` events have happened."""
        return np.bincount(self.events[:prefix], minlength=len(self.groups)).astype(np.intp)

    def prefix(self, atoms: int) -> int:
        """The number of events, in order, that remove at most ``atoms`` atoms."""
        sizes = np.concatenate([group.sizes[:limit] for group, limit in zip(self.groups, self.limits, strict=True)])
        order = np.argsort(np.concatenate(self.keys), kind="stable")
        return int(np.searchsorted(np.cumsum(sizes[order]), atoms, side="right"))

    @cached_property
    def options(self) -> tuple[Counts, ...]:
        """The counts that each group may lose, in increasing order: within its limit, and of an allowed width."""
        free = [np.arange(limit + 1, dtype=np.intp) for limit in self.limits]
        return (
            tuple(own[fits[: len(own)]] for own, fits in zip(free, self.fits, strict=True)) if self.fits else (*free,)
        )

    def aligned(self, counts: Counts) -> Counts:
        """The largest removals up to ``counts`` that leave allowed widths."""
        pairs = zip(self.options, counts, strict=True)
        return np.array([own[np.searchsorted(own, count, side="right") - 1] for own, count in pairs], dtype=np.intp)


def order_groups(
    analysis: Analysis,
    groups: Sequence[Group],
    scores: Scores,
    *,
    by_share: bool,
    max_ratio: float,
    min_channels: int,
) -> RemovalOrder:
    """Order by the share of the group that is gone (``by_share``: every group shrinks alike), or by score."""
    orders = tuple(_order_group(analysis, group, scores) for group in groups)
    keys: list[NDArray[np.float64]] = []
    for order in orders:
        worst = order.keys(scores)
        scored = np.isfinite(worst)  # atoms without data have to stay
        known = len(scored) if scored.all() else int(scored.argmin())
        key = order.share if by_share else worst
        keys.append(key[: min(known, order.allowed(max_ratio, min_channels))])
    return RemovalOrder(orders, tuple(keys))


def _order_group(analysis: Analysis, group: Group, scores: Scores) -> GroupOrder:
    use = _incidence(analysis, group)
    own = scores[group.atoms]
    shuffled = analysis.shuffled.get(group.name)
    if shuffled is not None and shuffled.steps >= _FEWEST_STEPS:
        return _in_steps(group, use, _shrink(shuffled, use, own))
    uniform = (use == use[:, :1]).all()
    order = _increasing(own) if uniform else _balanced(use, own)
    gone = use[:, :1] * np.arange(1, group.size + 1) if uniform else np.cumsum(use[:, order], axis=1)
    total = use.sum()
    size = np.array([leaf.size.coefficient for leaf in group.leaves], dtype=np.intp)
    kept = size[None, :] - np.vstack([np.zeros((1, len(size)), dtype=np.intp), gone.T])
    return GroupOrder(group, group.atoms[order], gone.sum(axis=0) / max(total, 1), kept)


def _in_steps(group: Group, use: NDArray[np.intp], steps: Sequence[NDArray[np.bool_]]) -> GroupOrder:
    gone = np.array([use @ step for step in steps], dtype=np.intp)
    kept = use.sum(axis=1) - np.vstack([np.zeros((1, len(use)), dtype=np.intp), gone])
    share = gone.sum(axis=1) / use.sum()
    return GroupOrder(group, group.atoms, share, kept, tuple(group.atoms[step] for step in steps))


def _shrink(shuffled: Shuffled, use: NDArray[np.intp], own: Scores) -> list[NDArray[np.bool_]]:
    """The atoms gone after each step when all axes shrink alike: the least important ones of each kind.

    If the smaller network has more atoms of a kind than exist here, the least important atoms in the usual order.
    """
    kinds, kind = np.unique(shuffled.kinds, return_inverse=True)
    counts = np.bincount(kind)
    ranked = np.lexsort((np.arange(len(own)), own, kind))
    rank = np.empty(len(own), dtype=np.intp)  # among those of its kind, the most important one first
    rank[ranked] = np.cumsum(counts)[kind[ranked]] - 1 - np.arange(len(own))
    order = _balanced(use, own)
    shares = np.cumsum(use.sum(axis=0)[order]) / use.sum()
    found = []
    for step in range(shuffled.steps - 1, 0, -1):
        wanted = shuffled.kept_of(step)
        if wanted is not None:
            allowed = np.zeros(len(kinds), dtype=np.intp)
            allowed[np.searchsorted(kinds, wanted[0])] = wanted[1]
            found.append(rank >= allowed[kind])
        else:
            gone = np.zeros(len(own), dtype=bool)
            gone[order[: np.searchsorted(shares, 1 - step / shuffled.steps + 1e-9, side="right")]] = True
            found.append(gone)
    return found


def _increasing(scores: Scores) -> Order:
    """Atoms sorted by score, ties by atom number; the slower stable sort is needed for ties only."""
    order = np.argsort(scores)
    ranked = scores[order]
    return order if (ranked[1:] > ranked[:-1]).all() else np.argsort(scores, kind="stable")


def _incidence(analysis: Analysis, group: Group) -> NDArray[np.intp]:
    """How many elements of each leaf (rows) each atom of the group (columns) removes."""
    rows = []
    for leaf in group.leaves:
        own = analysis.atoms.of_leaf(leaf)
        if np.array_equal(own, group.atoms):  # one element per atom, the usual case
            rows.append(np.ones(group.size, dtype=np.intp))
        else:
            rows.append(np.bincount(np.searchsorted(group.atoms, own[own >= 0]), minlength=group.size))
    return np.array(rows, dtype=np.intp).reshape(len(group.leaves), group.size)


def _balanced(use: NDArray[np.intp], own: Scores) -> Order:
    """The order for atoms of unequal reach: the least important of those that let all leaves shrink alike.

    Atoms of the same reach are taken in the order of their scores, so only the next one of each kind is a candidate.
    """
    kinds, kind = np.unique(use, axis=1, return_inverse=True)
    ranked = np.lexsort((np.arange(len(own)), own, kind.ravel()))
    ends = np.cumsum(np.bincount(kind.ravel()))
    share = kinds / np.maximum(use.sum(axis=1), 1)[:, None]
    unreached = np.where(share > 0, 0.0, -np.inf)
    peak = share.max(axis=0)
    heads = np.append(0, ends[:-1])
    gone = np.zeros((len(use), 1))
    order: list[int] = []
    score, number = own[ranked[heads]], ranked[heads]
    for _ in range(len(own)):
        worst = (gone + share + unreached).max(axis=0)
        worst[heads == ends] = np.inf
        near = np.flatnonzero(worst <= worst.min() + peak.max() / 2)
        chosen = near[np.lexsort((number[near], score[near]))[0]]
        order.append(int(number[chosen]))
        gone += share[:, chosen, None]
        heads[chosen] += 1
        if heads[chosen] < ends[chosen]:
            number[chosen] = ranked[heads[chosen]]
            score[chosen] = own[number[chosen]]
        else:
            peak[chosen] = 0.0
    return np.array(order, dtype=np.intp)


def removed_mask(analysis: Analysis, order: RemovalOrder, counts: Counts) -> Mask:
    """The atoms that are removed when each group shrinks by its count."""
    mask = np.zeros(analysis.atoms.count, dtype=bool)
    for group, count in zip(order.groups, counts, strict=True):
        mask[group.gone(int(count))] = True
    return mask
