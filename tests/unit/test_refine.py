"""The common refinement of two views of the same elements."""

from __future__ import annotations

import pytest

from irprune.ir import Size
from irprune.signatures.refine import refine

Groups = list[list[int] | None]


def sizes(text: str) -> list[Size]:
    return [Size.of(int(word) if word.isdigit() else word) for word in text.split()]


CASES = [
    # left, right, cells, factors of the left, factors of the right
    ("768", "12 64", "12 64", [[0, 1]], [[0], [1]]),
    ("12 4", "3 16", "3 4 4", [[0, 1], [2]], [[0], [1, 2]]),
    ("N 4 2 3", "N 24", "N 4 2 3", [[0], [1], [2], [3]], [[0], [1, 2, 3]]),
    ("N 1 4", "N 4 1 1", "N 4", [[0], [], [1]], [[0], [1], [], []]),
    ("1 1", "1", "", [[], []], [[]]),
    ("N S 12", "N*S 12", "N S 12", [[0], [1], [2]], [[0, 1], [2]]),
    ("N 4 S", "4*N S", "N 4 S", [[0], [1], [2]], [[0, 1], [2]]),
    # nothing in common
    ("6 4", "8 3", "", [None, None], [None, None]),
    # the front agrees, what is left does not
    ("5 6 4", "5 8 3", "5", [[0], None, None], [[0], None, None]),
    # the back agrees
    ("6 4 5", "8 3 5", "5", [None, None, [0]], [None, None, [0]]),
    # both ends agree
    ("2 6 4 5", "2 8 3 5", "2 5", [[0], None, None, [1]], [[0], None, None, [1]]),
    # ones among what does not agree are still ones
    ("6 1 4", "8 3", "", [None, [], None], [None, None]),
    # a run-time size in the middle is matched from both ends
    ("3 S 4", "3 T 4", "3 4", [[0], None, [1]], [[0], None, [1]]),
]


@pytest.mark.parametrize(("left", "right", "cells", "of_left", "of_right"), CASES)
def test_refinement(left: str, right: str, cells: str, of_left: Groups, of_right: Groups) -> None:
    found = refine(sizes(left), sizes(right))
    assert list(found.cells) == sizes(cells)
    assert [None if group is None else list(group) for group in found.left] == of_left
    assert [None if group is None else list(group) for group in found.right] == of_right
