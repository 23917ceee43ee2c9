"""Pruning of trees on labeled samples that they were not grown on.

reduced-error: from the bottom up, a subtree becomes a leaf where that does not raise the loss of the whole ensemble
on the samples that reach it (Quinlan, Simplifying decision trees, 1987). Subtrees that no sample reaches stay.

cost-complexity: subtrees become leaves where the loss that this adds is at most alpha for each leaf saved, with the
least alpha that leaves the wanted share of nodes (Breiman et al., Classification and regression trees, 1984).

contribution: trees leave one by one, each time the one without which the rest, scaled, explains the labels best.

A subtree becomes a leaf with the mean of its leaves' votes, weighted by one more than the samples that reach them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .ensemble import Bools, Ensemble, Ints, Mode, Numbers

_MOST = 100_000_000
"""Numbers in the outputs of all trees on all samples; of more samples every n-th is taken."""

_ROUNDING = 1e-12
"""A loss that rises by less does not rise."""


@dataclass(frozen=True)
class Scores:
    """How the votes of an ensemble become numbers that labels judge.

    ``truth`` has one row a sample and one column a target: zeros and ones, or the numbers to predict. ``base`` is added
    to each row. ``loss`` is ``squared`` (also of probabilities: the Brier score), ``logistic`` or ``softmax``.
    ``share`` is what a vote counts in the sum: one, or in an average one over the number of trees. ``is_simplex`` says
    that the votes of each leaf are probabilities, ``decides`` that a class is chosen by the scores.
    """

    truth: Numbers
    base: Numbers
    loss: str
    share: float = 1.0
    is_simplex: bool = False
    decides: bool = False

    def losses(self, scores: Numbers) -> Numbers:
        """The loss of each sample; ``scores`` has the shape of ``truth``. A wrong decision adds one."""
        return self._distances(scores) + (self.is_wrong(scores) if self.decides else 0.0)

    @property
    def is_single(self) -> bool:
        """Whether one number decides between two classes; the other column is zero."""
        return self.decides and not (self.truth.sum(axis=1) == 1).all()

    def is_wrong(self, scores: Numbers) -> Bools:
        """Whether the decision is another one than the label's: the largest score, or the sign of a single one."""
        found: Bools
        if self.is_single:
            limit = 0.5 if self.loss == "squared" else 0.0
            found = (scores > limit).any(axis=1) != (self.truth > 0).any(axis=1)
        else:
            found = scores.argmax(axis=1) != self.truth.argmax(axis=1)
        return found

    def _distances(self, scores: Numbers) -> Numbers:
        if self.loss == "squared":
            return np.asarray(((scores - self.truth) ** 2).sum(axis=1))
        if self.loss == "logistic":
            return np.asarray(np.logaddexp(0, np.where(self.truth > 0, -scores, scores)).sum(axis=1))
        top = scores.max(axis=1, keepdims=True)
        total = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
        return np.asarray(total - (scores * self.truth).sum(axis=1))


@dataclass(frozen=True)
class Cut:
    """What goes: the splits that become leaves with these votes (rows of ``votes``), and the trees that stay.

    ``scale`` multiplies all weights that are left, ``shift`` is added to the base values.
    """

    splits: Ints
    votes: Numbers
    trees: Ints
    scale: float
    shift: Numbers


def whole(ensemble: Ensemble, targets: int) -> Cut:
    """The cut that takes nothing away."""
    none = np.zeros(0, dtype=np.int64)
    return Cut(none, np.zeros((0, targets)), np.arange(len(ensemble.roots)), 1.0, np.zeros(targets))


class Pruner:
    """An ensemble, samples, and the votes that subtrees would have as leaves."""

    def __init__(self, ensemble: Ensemble, features: Numbers, scores: Scores, *, one_vote: bool = False) -> None:
        """``features`` has shape (samples, features). With ``one_vote`` a leaf votes for one target alone."""
        self.ensemble, self.features, self.scores = ensemble, features, scores
        self.targets = scores.truth.shape[1]
        self.votes = ensemble.votes(self.targets)
        self.paths = [ensemble.path(tree, features) for tree in range(len(ensemble.roots))]
        reached = np.zeros(ensemble.size)
        self.sum = np.tile(scores.base, (len(features), 1)).astype(np.float64)
        for path in self.paths:
            reached += np.bincount(path[-1], minlength=ensemble.size)
            self.sum += self.votes[path[-1]] * scores.share
        self.means, self.foldable = self._means(reached, one_vote)

    def _means(self, reached: Numbers, one_vote: bool) -> tuple[Numbers, Bools]:
        """The votes of each node as a leaf, and whether it may become one."""
        of = self.ensemble
        weight = np.where(of.is_leaf, reached + 1, 0.0)
        weighted, votes_for = self.votes * weight[:, None], self.votes != 0
        for level in reversed(of.levels):
            splits = level[~of.is_leaf[level]]
            for total in (weighted, weight):
                total[splits] = total[of.true[splits]] + total[of.false[splits]]
            votes_for[splits] = votes_for[of.true[splits]] | votes_for[of.false[splits]]
        means = weighted / np.maximum(weight, 1)[:, None]
        single = votes_for.sum(axis=1) <= 1
        return means, ~of.is_leaf & (single if one_vote else True)

    def reduced_error(self) -> Cut:
        """Subtrees go where the loss does not rise, tree by tree and from the bottom up."""
        cut = np.zeros(self.ensemble.size, dtype=bool)
        scores, losses = self.sum.copy(), self.scores.losses(self.sum)
        for path in self.paths:
            own = self.votes[path[-1]]
            for nodes in reversed(path[:-1]):
                rows = np.flatnonzero(self.foldable[nodes])
                added = self._added(rows, nodes[rows], scores, own, losses)
                gone = np.bincount(nodes[rows], added, minlength=self.ensemble.size) <= _ROUNDING
                hit = rows[gone[nodes[rows]]]
                cut[nodes[hit]] = True
                scores[hit] += (self.means[nodes[hit]] - own[hit]) * self.scores.share
                own[hit] = self.means[nodes[hit]]
                losses = self.scores.losses(scores)
        return self._cut(cut)

    def _added(self, rows: Ints, nodes: Ints, scores: Numbers, own: Numbers, losses: Numbers) -> Numbers:
        """The loss that each of these samples gains where its node votes as a leaf."""
        changed = scores.copy()
        changed[rows] += (self.means[nodes] - own[rows]) * self.scores.share
        return np.asarray((self.scores.losses(changed) - losses)[rows])

    def cost_complexity(self, share: float) -> Cut:
        """Subtrees go where they save least, until at most this share of the nodes is left."""
        of, losses = self.ensemble, self.scores.losses(self.sum)
        added = np.zeros(of.size)
        for path in self.paths:
            own = self.votes[path[-1]]
            for nodes in path[:-1]:
                rows = np.flatnonzero(self.foldable[nodes])
                found = self._added(rows, nodes[rows], self.sum, own, losses)
                added += np.bincount(nodes[rows], found, minlength=of.size)
        high = max(1e-12, float(np.abs(added).sum()))
        low, limit = -high, share * sum(len(level) for level in of.levels)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if self._left(self._folded(added, middle)) <= limit else (middle, high)
        return self._cut(self._folded(added, high))

    def _folded(self, added: Numbers, alpha: float) -> Bools:
        """The splits whose subtree costs more than a leaf does, at this price of a leaf."""
        of = self.ensemble
        cost = np.where(of.is_leaf, alpha, 0.0)
        cut = np.zeros(of.size, dtype=bool)
        for level in reversed(of.levels):
            splits = level[~of.is_leaf[level]]
            below = cost[of.true[splits]] + cost[of.false[splits]]
            cut[splits] = self.foldable[splits] & (added[splits] + alpha <= below)
            cost[splits] = np.where(cut[splits], added[splits] + alpha, below)
        return cut

    def _left(self, cut: Bools) -> int:
        return len(_reached(self.ensemble, cut))

    def _cut(self, cut: Bools) -> Cut:
        splits = np.flatnonzero(cut)
        splits = splits[np.isin(splits, _reached(self.ensemble, cut))]
        return replace(whole(self.ensemble, self.targets), splits=splits, votes=self.means[splits])

    def contribution(self, count: int, *, shifts: bool) -> Cut:
        """So many trees stay; ``shifts`` says that the operator has base values to put the mean of the others in."""
        scores, trees = self.scores, len(self.paths)
        rows = np.arange(0, len(self.features), max(1, len(self.features) * trees * self.targets // _MOST))
        outputs = np.stack([(self.votes[path[-1][rows]] * scores.share).reshape(-1) for path in self.paths])
        wanted = (scores.truth if scores.loss == "squared" else self.sum)[rows] - scores.base
        centered = shifts and not scores.is_simplex
        if centered:
            means = outputs.reshape(trees, len(rows), -1).mean(axis=1)
            outputs = outputs - np.tile(means, (1, len(rows)))
            middle = wanted.mean(axis=0)
            wanted = wanted - middle
        products, hits = outputs @ outputs.T, outputs @ wanted.reshape(-1)
        kept = np.ones(trees, dtype=bool)
        inner = products.sum(axis=1)
        while kept.sum() > count:
            total, hit = inner[kept].sum(), hits[kept].sum()
            left = np.maximum(total - 2 * inner + np.diag(products), 1e-300)
            if scores.is_simplex:
                scale = trees / (kept.sum() - 1)
                worth = 2 * scale * (hit - hits) - scale**2 * left
            else:
                worth = np.maximum(hit - hits, 0) ** 2 / left
            worst = int(np.argmax(np.where(kept, worth, -np.inf)))
            kept[worst] = False
            inner = inner - products[:, worst]
        own = np.flatnonzero(kept)
        if scores.is_simplex:
            return replace(whole(self.ensemble, self.targets), trees=own, scale=trees / len(own))
        power = products[np.ix_(own, own)].sum()
        slope = float(max(hits[own].sum(), 0) / power) if power > 0 else 1.0
        shift = middle - slope * means[own].sum(axis=0) if centered else np.zeros(self.targets)
        return replace(whole(self.ensemble, self.targets), trees=own, scale=slope, shift=shift)


def _reached(ensemble: Ensemble, cut: Bools) -> Ints:
    """The nodes that are left where these splits become leaves."""
    level, found = ensemble.roots, []
    while level.size:
        found.append(level)
        splits = level[~ensemble.is_leaf[level] & ~cut[level]]
        level = np.concatenate([ensemble.true[splits], ensemble.false[splits]])
    return np.concatenate(found)


# -- carrying it out ---------------------------------------------------------------------------------------------------


def apply_cut(ensemble: Ensemble, cut: Cut, *, average: bool) -> tuple[Ensemble, Ints]:
    """The smaller ensemble, and the old number of each node that is left."""
    mode, true, false = ensemble.mode.copy(), ensemble.true.copy(), ensemble.false.copy()
    mode[cut.splits], true[cut.splits], false[cut.splits] = int(Mode.LEAF), -1, -1
    voted = _with_votes(ensemble, cut.splits, cut.votes)
    smaller, kept = voted.redirected(true, false, ensemble.roots[cut.trees], mode)
    factor = cut.scale * (len(cut.trees) / len(ensemble.roots) if average else 1.0)
    scaled = replace(smaller, weight=(smaller.weight * factor).astype(ensemble.weight.dtype))
    return _naming_all(scaled, ensemble), kept


def masked(ensemble: Ensemble, cut: Cut, *, average: bool) -> Ensemble:
    """The ensemble in its original shape that computes what the cut leaves.

    Leaves below a split that goes vote as that one does, and trees that go vote with zero.
    """
    owner = np.full(ensemble.size, -1)
    owner[cut.splits] = np.arange(len(cut.splits))
    for level in ensemble.levels:
        splits = level[~ensemble.is_leaf[level]]
        for child in (ensemble.true[splits], ensemble.false[splits]):
            owner[child] = np.where(owner[splits] >= 0, owner[splits], owner[child])
    leaves = np.flatnonzero(ensemble.is_leaf & (owner >= 0))
    voted = _with_votes(ensemble, leaves, cut.votes[owner[leaves]])
    stays = np.isin(ensemble.tree, ensemble.tree[ensemble.roots[cut.trees]])
    of_vote = np.repeat(np.arange(voted.size), np.diff(voted.first))
    scale = np.where(stays[of_vote], cut.scale, 0.0)
    return replace(voted, weight=(voted.weight * scale).astype(ensemble.weight.dtype))


def _with_votes(ensemble: Ensemble, nodes: Ints, votes: Numbers) -> Ensemble:
    """Other votes for these nodes: those of a row that are not zero, and one at least.

    Of two classes both have a vote where leaves have: runtimes read a leaf without one in another way.
    """
    given = votes != 0
    given[~given.any(axis=1), :1] = True
    voted = np.unique(ensemble.target)
    if len(voted) == 1 or (len(voted) == 2 and (np.diff(ensemble.first)[ensemble.is_leaf] > 1).any()):
        given[:, voted] = True
    rows, targets = np.nonzero(given)
    old = np.repeat(np.arange(ensemble.size), np.diff(ensemble.first))
    stays = ~np.isin(old, nodes)
    node = np.concatenate([old[stays], nodes[rows]])
    order = np.argsort(node, kind="stable")
    return replace(
        ensemble,
        first=np.concatenate([[0], np.cumsum(np.bincount(node, minlength=ensemble.size))]),
        target=np.concatenate([ensemble.target[stays], targets])[order],
        weight=np.concatenate([ensemble.weight[stays], votes[rows, targets]]).astype(ensemble.weight.dtype)[order],
    )


def _naming_all(smaller: Ensemble, before: Ensemble) -> Ensemble:
    """Runtimes read an ensemble of two classes by the classes that have votes: a missing one gets a vote of zero."""
    lost = np.setdiff1d(before.target, smaller.target)
    if not lost.size or before.target.max() > 1:
        return smaller
    leaf = int(np.flatnonzero(smaller.is_leaf)[0])
    place = smaller.first[leaf + 1]
    first = smaller.first.copy()
    first[leaf + 1 :] += len(lost)
    return replace(
        smaller,
        first=first,
        target=np.insert(smaller.target, place, lost),
        weight=np.insert(smaller.weight, place, 0),
    )
