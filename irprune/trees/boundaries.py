"""Inputs at every boundary of every tree, and the proof that two ensembles send them to equal leaves.

For each leaf there is a row that reaches it, where one exists. Each feature on the path to the leaf is then put at the
threshold of each split there, at the next number above and below, at both zeros, and at NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .ensemble import Ensemble, Ints, Mode, Numbers

_MOST = 3_000_000
"""Rows that are walked through each ensemble; in larger ones leaves are drawn by chance."""


@dataclass(frozen=True)
class Proof:
    """``rows`` inputs were walked; ``share`` of the leaves had theirs. ``samples`` are some of these inputs."""

    rows: int
    share: float
    problems: tuple[str, ...]
    samples: Numbers

    def __str__(self) -> str:
        part = "every leaf" if self.share >= 1 else f"{self.share:.0%} of the leaves, drawn by chance"
        return f"{self.rows} inputs at the boundaries of {part} reach equal leaves in every tree"


def prove(
    before: Ensemble, after: Ensemble, width: int, *, seed: int = 0, samples: int = 4096, most: int = _MOST
) -> Proof:
    """Walk the boundaries of ``before`` through both. ``samples`` rows of ``width`` features are kept of
    them; of an ensemble with more than ``most`` such rows, leaves are drawn by chance."""
    generator = np.random.default_rng(seed)
    kinds = common_kinds(before, after)
    walks = sum(int(before.is_leaf[level].sum()) * (depth * _VARIANTS + 1) for depth, level in enumerate(before.levels))
    share = min(1.0, most / walks)
    per_tree = max(1, samples // len(before.roots))
    rows = 0
    problems: list[str] = []
    kept: list[Numbers] = []
    for tree in range(len(before.roots)):
        for features, used in _rows(before, tree, share, generator):
            ours = kinds[0][_narrowed(before, used).path(tree, features)[-1]]
            theirs = kinds[1][_narrowed(after, used).path(tree, features)[-1]]
            wrong = np.flatnonzero(ours != theirs)
            if wrong.size and len(problems) < 3:
                row = dict(zip(used.tolist(), features[wrong[0]].tolist(), strict=True))
                problems.append(f"{before.where}: tree {tree} sends {row} to another leaf")
            rows += len(features)
            picked = generator.choice(len(features), min(len(features), per_tree), replace=False)
            whole = np.zeros((len(picked), width), dtype=features.dtype)
            whole[:, used] = features[picked]
            kept.append(whole)
    mixed = np.concatenate(kept)
    return Proof(rows, share, tuple(problems), mixed[generator.permutation(len(mixed))[:samples]])


_VARIANTS = 6


def common_kinds(before: Ensemble, after: Ensemble) -> tuple[Ints, Ints]:
    """Numbers of leaves that are equal exactly where the votes are, across both ensembles."""
    both = replace(
        before,
        mode=np.concatenate([before.mode, after.mode]),
        first=np.concatenate([before.first, after.first[1:] + before.first[-1]]),
        target=np.concatenate([before.target, after.target]),
        weight=np.concatenate([before.weight, after.weight]),
    )
    return both.leaf_kinds[: before.size], both.leaf_kinds[before.size :]


def _narrowed(ensemble: Ensemble, used: Ints) -> Ensemble:
    """The ensemble over these features alone; splits on others are of other trees."""
    return replace(ensemble, feature=np.minimum(np.searchsorted(used, ensemble.feature), max(len(used) - 1, 0)))


def _rows(
    ensemble: Ensemble, tree: int, share: float, generator: np.random.Generator
) -> Iterator[tuple[Numbers, Ints]]:
    """Rows at the boundaries of one tree, over the features that it reads, and these."""
    own = [level[ensemble.tree[level] == ensemble.tree[ensemble.roots[tree]]] for level in ensemble.levels]
    nodes = np.concatenate(own)
    leaves = nodes[ensemble.is_leaf[nodes]]
    if share < 1:
        leaves = generator.choice(leaves, max(1, int(len(leaves) * share)), replace=False)
    used = np.unique(ensemble.feature[nodes[~ensemble.is_leaf[nodes]]])
    if not used.size:
        used = np.zeros(1, dtype=np.int64)
    base = _witnesses(ensemble, leaves, used)
    yield base, used
    at, rows = leaves, np.arange(len(leaves))
    while True:
        up = ensemble.parent[at]
        at, rows = up[up >= 0], rows[up >= 0]
        if not at.size:
            return
        column, value = np.searchsorted(used, ensemble.feature[at]), ensemble.threshold[at].astype(base.dtype)
        for variant in _around(value):
            changed = base[rows].copy()
            changed[np.arange(len(rows)), column] = variant
            yield changed, used


def _around(value: Numbers) -> list[Numbers]:
    """The threshold, the numbers next to it, both zeros, and NaN."""
    kind = value.dtype.type
    others = [np.full_like(value, number) for number in (0.0, -0.0, np.nan)]
    return [value, np.nextafter(value, kind(np.inf)), np.nextafter(value, kind(-np.inf)), *others]


def _witnesses(ensemble: Ensemble, leaves: Ints, used: Ints) -> Numbers:
    """A row for each leaf that reaches it, unless none does (or equality decides on the way)."""
    kind = np.float64 if ensemble.threshold.dtype == np.float64 else np.float32
    low = np.full((len(leaves), len(used)), -np.inf, dtype=kind)
    high, rows, at = np.full_like(low, np.inf), np.arange(len(leaves)), leaves
    while True:
        up = ensemble.parent[at]
        took = (ensemble.true[up] == at)[up >= 0]
        at, rows = up[up >= 0], rows[up >= 0]
        if not at.size:
            break
        column, mode = np.searchsorted(used, ensemble.feature[at]), ensemble.mode[at]
        value = ensemble.threshold[at].astype(kind)
        is_least = np.where(took, np.isin(mode, [Mode.GTE, Mode.GT]), np.isin(mode, [Mode.LEQ, Mode.LT]))
        is_open = np.where(took, np.isin(mode, [Mode.GT, Mode.LT]), np.isin(mode, [Mode.LEQ, Mode.GTE]))
        equal = np.where(took, mode == Mode.EQ, mode == Mode.NEQ)
        above = np.where(is_open, np.nextafter(value, kind(np.inf)), value)
        under = np.where(is_open, np.nextafter(value, kind(-np.inf)), value)
        is_most = np.isin(mode, [Mode.LEQ, Mode.LT, Mode.GTE, Mode.GT]) & ~is_least
        least = np.where(equal, value, np.where(is_least, above, kind(-np.inf)))
        most = np.where(equal, value, np.where(is_most, under, kind(np.inf)))
        low[rows, column] = np.fmax(low[rows, column], least)
        high[rows, column] = np.fmin(high[rows, column], most)
    return np.where(np.isfinite(high), high, np.where(np.isfinite(low), low, kind(0)))
