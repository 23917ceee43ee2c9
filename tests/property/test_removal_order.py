"""Atoms of unequal reach: the order of removals against the rule said plainly, atom by atom."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from irprune.allocation.sequence import _balanced


def plainly(use: np.ndarray, scores: np.ndarray) -> list[int]:
    """Of the atoms that keep all leaves shrinking alike, within half of the largest step, the least important one."""
    share = use / np.maximum(use.sum(axis=1), 1)[:, None]
    gone = np.zeros(len(use))
    left = list(range(use.shape[1]))
    order = []
    while left:
        worst = {
            atom: max((gone[leaf] + share[leaf, atom] for leaf in np.flatnonzero(use[:, atom])), default=0.0)
            for atom in left
        }
        limit = min(worst.values()) + max(share[:, atom].max() for atom in left) / 2
        chosen = min((atom for atom in left if worst[atom] <= limit), key=lambda atom: (scores[atom], atom))
        order.append(chosen)
        left.remove(chosen)
        gone += share[:, chosen]
    return order


@given(st.data())
def test_unequal_atoms_go_as_the_rule_says(data: st.DataObject) -> None:
    leaves, kinds, atoms = (data.draw(st.integers(1, most)) for most in (4, 5, 14))
    reach = data.draw(arrays.arrays(np.intp, (leaves, kinds), elements=st.integers(0, 2)))
    reach[0, reach.sum(axis=0) == 0] = 1  # an atom has elements
    use = reach[:, data.draw(st.lists(st.integers(0, kinds - 1), min_size=atoms, max_size=atoms))]
    scores = data.draw(arrays.arrays(np.float64, atoms, elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])))
    assert _balanced(use, scores).tolist() == plainly(use, scores)
