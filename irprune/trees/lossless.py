"""What can go without changing the leaf that any input reaches.

    x <= 3 ? (x <= 5 ? A : B) : C    ->    x <= 3 ? A : C      (B is unreachable)
    x <= 3 ? A : A                   ->    A

The values of a feature fall into cells: the points that splits compare with, and the gaps between. What a split sends
to either side is a run of cells, and so is what its ancestors leave to it, except for EQ and NEQ, of which less is
known here, and for sets, of which nothing is (ONNX Runtime 1.31 finds 1.5 in the set of 1, 3 and 40). NaN is a cell
of its own. Gaps that hold no float32 are none where inputs are float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ensemble import Bools, Ensemble, Ints, Mode, Numbers


@dataclass(frozen=True)
class _Cells:
    """By node, how many cells of its feature lie below its threshold (``below``), and up to it (``upto``).

    ``total`` are all cells of the node's feature. Of nodes that are not ``known`` nothing is concluded.
    """

    below: Ints
    upto: Ints
    total: Ints
    known: Bools


def compacted(ensemble: Ensemble, *, is_single: bool = True, whole: Ints | None = None) -> tuple[Ensemble, Ints]:
    """The ensemble without splits that decide nothing, and the old number of each node that is left.

    ``is_single`` says that inputs are float32; the trees at the positions ``whole`` stay as they are. Every input
    reaches a leaf with the same votes in every tree.
    """
    left_alone = np.isin(
        ensemble.tree, ensemble.tree[ensemble.roots[np.zeros(0, dtype=int) if whole is None else whole]]
    )
    can_true, can_false = _possible(ensemble, _cells(ensemble, is_single))
    kinds, stands = ensemble.leaf_kinds, np.arange(ensemble.size)
    true, false = ensemble.true.copy(), ensemble.false.copy()
    for level in reversed(ensemble.levels):
        splits = level[~ensemble.is_leaf[level]]
        left, right = stands[ensemble.true[splits]], stands[ensemble.false[splits]]
        is_equal = (kinds[left] >= 0) & (kinds[left] == kinds[right])
        only_true = (~can_false[splits] | is_equal) & ~left_alone[splits]
        only_false = ~can_true[splits] & ~only_true & ~left_alone[splits]
        stands[splits] = np.where(only_true, left, np.where(only_false, right, splits))
        true[splits], false[splits] = left, right
    return ensemble.redirected(true, false, stands[ensemble.roots])


def _cells(ensemble: Ensemble, is_single: bool) -> _Cells:
    known = ~ensemble.is_leaf & (ensemble.mode != Mode.MEMBER) & ~np.isnan(ensemble.threshold)
    nodes = np.flatnonzero(known)
    found = np.zeros((3, ensemble.size), dtype=np.int64)
    found[:, nodes] = _counted(ensemble.feature[nodes], ensemble.threshold[nodes].astype(np.float64), is_single)
    return _Cells(found[0], found[1], found[2], known)


def _counted(feature: Ints, value: Numbers, is_single: bool) -> tuple[Ints, Ints, Ints]:
    """For each pair of a feature and a value, the cells below it, up to it, and of the feature."""
    if not len(value):
        return (np.zeros(0, dtype=np.int64),) * 3
    order = np.lexsort((value, feature))
    f, v = feature[order], value[order]
    fresh_feature = np.concatenate([[True], f[1:] != f[:-1]])
    fresh = fresh_feature | np.concatenate([[True], v[1:] != v[:-1]])
    f, v, starts = f[fresh], v[fresh], fresh_feature[fresh]
    before = np.where(starts, -np.inf, np.roll(v, 1))
    gap = np.where(starts, v > -np.inf, _between(before, v, is_single))
    point = (v == v.astype(np.float32)) if is_single else np.ones(len(v), dtype=bool)
    ends = np.roll(starts, -1)
    used = np.cumsum(gap.astype(np.int64) + point)
    number = np.cumsum(starts) - 1
    offset = np.concatenate([[0], used[ends]])[number]
    upto = used - offset
    below = upto - point
    total = (upto + (v < np.inf))[ends][number]
    place = np.cumsum(fresh) - 1
    back = np.empty(len(order), dtype=np.int64)
    back[order] = place
    return below[back], upto[back], total[back]


def _between(low: Numbers, high: Numbers, is_single: bool) -> Bools:
    """Whether an input lies between two values."""
    found: Bools = low < high
    if not is_single:
        return found
    with np.errstate(over="ignore"):
        rounded = low.astype(np.float32)
    above = np.where(rounded.astype(np.float64) > low, rounded, np.nextafter(rounded, np.float32(np.inf)))
    found = above.astype(np.float64) < high
    return found


_OPPOSITE = np.array([Mode.GT, Mode.GTE, Mode.LT, Mode.LEQ, Mode.NEQ, Mode.EQ])
"""The comparison that holds on the false branch."""


def _possible(ensemble: Ensemble, cells: _Cells) -> tuple[Bools, Bools]:
    """Whether any input takes the true, and the false, branch of each split, given the branches above it."""
    nodes = np.concatenate(ensemble.levels)
    nodes = nodes[cells.known[nodes]]
    low, high = np.zeros(len(nodes), dtype=np.int64), cells.total[nodes]
    nan, gone = np.ones(len(nodes), dtype=bool), np.zeros(len(nodes), dtype=bool)
    active, at = np.arange(len(nodes)), nodes
    while active.size:
        up = ensemble.parent[at]
        active, at, up = active[up >= 0], at[up >= 0], up[up >= 0]
        same = ensemble.feature[up] == ensemble.feature[nodes[active]]
        who, of, took = active[same], up[same], (ensemble.true[up] == at)[same]
        who, of, took = who[cells.known[of]], of[cells.known[of]], took[cells.known[of]]
        nan[who] &= ensemble.nan_true[of] == took
        mode = np.where(took, ensemble.mode[of], _OPPOSITE[ensemble.mode[of]])
        below, upto = cells.below[of], cells.upto[of]
        least = np.select([np.isin(mode, [Mode.GTE, Mode.EQ]), mode == Mode.GT], [below, upto], 0)
        most = np.select([np.isin(mode, [Mode.LEQ, Mode.EQ]), mode == Mode.LT], [upto, below], cells.total[of])
        least = np.where((mode == Mode.NEQ) & (below == low[who]), upto, least)
        most = np.where((mode == Mode.NEQ) & (upto == high[who]), below, most)
        low[who], high[who] = np.maximum(low[who], least), np.minimum(high[who], most)
        gone[who] |= (mode == Mode.NEQ) & (below == cells.below[nodes[who]]) & (upto == cells.upto[nodes[who]])
        at = up
    return _branches(ensemble, cells, nodes, low, high, nan, gone)


def _branches(
    ensemble: Ensemble, cells: _Cells, nodes: Ints, low: Ints, high: Ints, nan: Bools, gone: Bools
) -> tuple[Bools, Bools]:
    mode, below, upto = ensemble.mode[nodes], cells.below[nodes], cells.upto[nodes]
    split = np.where(np.isin(mode, [Mode.LEQ, Mode.GT]), upto, below)
    lower, upper = low < np.minimum(high, split), np.maximum(low, split) < high
    inside = np.minimum(high, upto) - np.maximum(low, below)
    hit = (inside > 0) & ~gone
    miss = (high - low > np.maximum(inside, 0)) | (gone & (high > low))
    is_lower, is_upper = np.isin(mode, [Mode.LEQ, Mode.LT]), np.isin(mode, [Mode.GTE, Mode.GT])
    by_mode = [is_lower, is_upper, mode == Mode.EQ, mode == Mode.NEQ]
    true = np.select(by_mode, [lower, upper, hit, miss], False)
    false = np.select(by_mode, [upper, lower, miss, hit], False)
    can_true, can_false = np.ones(ensemble.size, dtype=bool), np.ones(ensemble.size, dtype=bool)
    can_true[nodes] = true | (nan & ensemble.nan_true[nodes])
    can_false[nodes] = false | (nan & ~ensemble.nan_true[nodes])
    return can_true, can_false
