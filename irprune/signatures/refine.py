"""The common refinement of two shapes that hold the same elements in row-major order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..ir.sizes import ONE, Size


@dataclass(frozen=True, slots=True)
class Refinement:
    """``cells`` are sizes; ``left[i]`` and ``right[j]`` list the cells whose product is that dimension.

    A dimension that has no common refinement with the other side is ``None``.
    """

    cells: tuple[Size, ...]
    left: tuple[tuple[int, ...] | None, ...]
    right: tuple[tuple[int, ...] | None, ...]


def refine(left: Sequence[Size], right: Sequence[Size]) -> Refinement:
    """Match dimensions from the front, then what is left from the back.

    ``(768) ~ (12 64)`` gives the cells 12 and 64; ``(6 4) ~ (8 3)`` gives none.
    """
    front, i, j = _match(left, right)
    back, m, n = _match(left[i:][::-1], right[j:][::-1])
    m, n = len(left) - m, len(right) - n
    cells: list[Size] = []
    groups_left: list[tuple[int, ...] | None] = [None] * len(left)
    groups_right: list[tuple[int, ...] | None] = [None] * len(right)
    for pieces, flip in ((front, False), (back, True)):
        for size, at_left, at_right in reversed(pieces) if flip else pieces:
            dim_left = len(left) - 1 - at_left if flip else at_left
            dim_right = len(right) - 1 - at_right if flip else at_right
            for groups, dim in ((groups_left, dim_left), (groups_right, dim_right)):
                groups[dim] = (*(groups[dim] or ()), len(cells))
            cells.append(size)
    for groups, sizes, low, high in ((groups_left, left, i, m), (groups_right, right, j, n)):
        for dim, size in enumerate(sizes):
            if groups[dim] is None and (size == ONE or not low <= dim < high):
                groups[dim] = ()
    return Refinement(tuple(cells), tuple(groups_left), tuple(groups_right))


def _match(left: Sequence[Size], right: Sequence[Size]) -> tuple[list[tuple[Size, int, int]], int, int]:
    """Cells from the front, with the dimensions they belong to, up to the last point where both sides align."""
    pieces: list[tuple[Size, int, int]] = []
    aligned = (0, 0, 0)
    i = j = 0
    a = b = ONE
    while True:
        while a == ONE and i < len(left):
            a, i = left[i], i + 1
        while b == ONE and j < len(right):
            b, j = right[j], j + 1
        if a == ONE or b == ONE:
            if a == b:  # both sides are used up
                aligned = (len(pieces), i, j)
            break
        if a == b:
            cell, a, b = a, ONE, ONE
        elif (quotient := a.divided_by(b)) is not None:
            cell, a, b = b, quotient, ONE
        elif (quotient := b.divided_by(a)) is not None:
            cell, a, b = a, ONE, quotient
        else:
            break
        pieces.append((cell, i - 1, j - 1))
        if a == ONE and b == ONE:
            aligned = (len(pieces), i, j)
    return pieces[: aligned[0]], aligned[1], aligned[2]
