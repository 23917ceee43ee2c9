"""The trees of one operator as flat arrays over their nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from ..errors import InputError

Ints: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Numbers: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Bools: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"


class Mode(IntEnum):
    """The comparison ``x MODE threshold`` of a split, as the operator TreeEnsemble numbers them."""

    LEQ = 0
    LT = 1
    GTE = 2
    GT = 3
    EQ = 4
    NEQ = 5
    MEMBER = 6
    LEAF = 7


@dataclass(frozen=True)
class Ensemble:
    """Trees whose nodes are numbered through: arrays over all nodes, in the order in which the operator lists them.

    ``true`` and ``false`` are the children of a split (-1 at a leaf). A leaf ``n`` votes with ``weight`` for ``target``
    at the positions from ``first[n]`` to ``first[n + 1]``. ``missing`` says whether NaN follows the true branch.
    ``members`` are the values that a node of mode MEMBER compares with. ``where`` names the operator in messages.
    """

    tree: Ints
    feature: Ints
    mode: Ints
    threshold: Numbers
    missing: Bools
    true: Ints
    false: Ints
    roots: Ints
    first: Ints
    target: Ints
    weight: Numbers
    hits: Numbers | None = None
    members: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    where: str = "the ensemble"

    @property
    def size(self) -> int:
        """Nodes, leaves included."""
        return len(self.mode)

    @cached_property
    def is_leaf(self) -> Bools:
        found: Bools = self.mode == Mode.LEAF
        return found

    @cached_property
    def nan_true(self) -> Bools:
        """Whether NaN takes the true branch: it is unequal to everything, and all other comparisons fail on it."""
        found: Bools = self.missing | (self.mode == Mode.NEQ)
        return found

    @cached_property
    def levels(self) -> tuple[Ints, ...]:
        """The nodes that are reached from the roots, by depth. Raises :class:`InputError` for what is not a tree."""
        seen = np.zeros(self.size, dtype=bool)
        found, level = [], self.roots
        while level.size:
            again = (
                level[seen[level]] if seen[level].any() else level[np.sort(level).searchsorted(level) != _ranks(level)]
            )
            if again.size:
                raise InputError(
                    f"{self.where}: tree {self.tree[again[0]]}: node {self._number(int(again[0]))} is the child of "
                    "several nodes, or of one below it: that is no tree"
                )
            seen[level] = True
            found.append(level)
            splits = level[~self.is_leaf[level]]
            level = np.concatenate([self.true[splits], self.false[splits]])
        return tuple(found)

    def _number(self, node: int) -> int:
        """The position of a node within its tree."""
        return node - int(np.flatnonzero(self.tree == self.tree[node])[0])

    @cached_property
    def parent(self) -> Ints:
        """The parent of each node, -1 at a root and at nodes that no root reaches."""
        found = np.full(self.size, -1)
        splits = np.concatenate(self.levels)
        splits = splits[~self.is_leaf[splits]]
        found[self.true[splits]] = splits
        found[self.false[splits]] = splits
        return found

    @cached_property
    def leaf_kinds(self) -> Ints:
        """A number for each leaf, equal exactly where the votes are, bit for bit and in order; -1 at splits."""
        counts = np.diff(self.first)
        bits = np.ascontiguousarray(self.weight).view(f"i{self.weight.dtype.itemsize}")
        found, used = np.full(self.size, -1), 0
        for count in np.unique(counts[self.is_leaf]):
            leaves = np.flatnonzero(self.is_leaf & (counts == count))
            places = self.first[leaves, None] + np.arange(count)
            rows = np.concatenate([self.target[places], bits[places].astype(np.int64)], axis=1)
            kinds = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1) if count else np.zeros(len(leaves), int)
            found[leaves] = used + kinds
            used += int(kinds.max(initial=-1)) + 1
        return found

    def goes_true(self, nodes: Ints, values: Numbers) -> Bools:
        """Whether each of these splits sends its value to the true branch."""
        mode, threshold = self.mode[nodes], self.threshold[nodes]
        with np.errstate(invalid="ignore"):
            tests = [values <= threshold, values < threshold, values >= threshold, values > threshold]
            tests += [values == threshold, values != threshold, np.zeros(len(nodes), dtype=bool)]
        found: Bools = np.select([mode == k for k in range(len(tests))], tests, False)
        for node, members in self.members.items():
            found |= (nodes == node) & np.isin(values, members)
        return found | (self.missing[nodes] & np.isnan(values))

    def step(self, nodes: Ints, features: Numbers) -> Ints:
        """One step down for each row; leaves stay. ``features`` has shape (rows, features)."""
        found = nodes.copy()
        moving = np.flatnonzero(~self.is_leaf[nodes])
        at = nodes[moving]
        values = features[moving, self.feature[at]]
        found[moving] = np.where(self.goes_true(at, values), self.true[at], self.false[at])
        return found

    def path(self, tree: int, features: Numbers) -> list[Ints]:
        """The nodes of one tree that each row visits, one array a level; the last one holds the leaves."""
        nodes = np.full(len(features), self.roots[tree])
        found = [nodes]
        while not self.is_leaf[nodes].all():
            nodes = self.step(nodes, features)
            found.append(nodes)
        return found

    def votes(self, targets: int) -> Numbers:
        """The votes of each node as rows of shape (nodes, targets), in float64."""
        found = np.zeros((self.size, targets))
        np.add.at(found, (np.repeat(np.arange(self.size), np.diff(self.first)), self.target), self.weight)
        return found

    def redirected(self, true: Ints, false: Ints, roots: Ints, mode: Ints | None = None) -> tuple[Ensemble, Ints]:
        """The ensemble with other edges, without the nodes that these leave out; and the old number of each node.

        The root of a tree comes first, the other nodes keep their order: runtimes take the first as the root.
        """
        edged = replace(self, true=true, false=false, roots=roots, mode=self.mode if mode is None else mode)
        kept = np.concatenate(edged.levels)
        is_root = np.zeros(self.size, dtype=bool)
        is_root[roots] = True
        order = kept[np.lexsort((kept, ~is_root[kept], self.tree[kept]))]
        return edged.taken(order), order

    def taken(self, order: Ints) -> Ensemble:
        """The nodes with these numbers, in this order; children are among them."""
        new = np.full(self.size + 1, -1)
        new[order] = np.arange(len(order))
        counts = np.where(self.is_leaf[order], np.diff(self.first)[order], 0)
        first = np.concatenate([[0], np.cumsum(counts)])
        places = np.repeat(self.first[order] - first[:-1], counts) + np.arange(first[-1])
        return replace(
            self,
            tree=self.tree[order],
            feature=self.feature[order],
            mode=self.mode[order],
            threshold=self.threshold[order],
            missing=self.missing[order],
            true=np.where(self.is_leaf[order], -1, new[self.true[order]]),
            false=np.where(self.is_leaf[order], -1, new[self.false[order]]),
            roots=new[self.roots],
            first=first,
            target=self.target[places],
            weight=self.weight[places],
            hits=None if self.hits is None else self.hits[order],
            members={int(new[node]): of for node, of in self.members.items() if new[node] >= 0},
        )


def _ranks(level: Ints) -> Ints:
    """The position of each number in the sorted array, equal ones in their order."""
    found = np.empty(len(level), dtype=np.int64)
    found[np.argsort(level, kind="stable")] = np.arange(len(level))
    return found
