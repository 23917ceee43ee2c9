"""Optimal brain surgeon over coupled contractions.

With H the second moments of a contraction's operand and W its weights, removing the columns g and adjusting the others
by least squares adds

    E(g) = 1 / (2 v) tr(W_g [(H + D)^-1_gg]^-1 W_g^T)

to the squared error of its target, in shares of the target's variance v. The score of an atom
is the sum over all contractions that sum over it. The cheapest atom is removed, W and the inverse are downdated (the
remaining columns take over), and so on. An atom's number is the error it added when it was removed, made monotone.

Hassibi and Stork, 1993; for structures: ZipLM (Kurtic et al., NeurIPS 2023), OSSCAR (Meng et al., ICML 2024), SlimGPT
(Ling et al., NeurIPS 2024). Time: O(c^3) once a contraction, and O(c^2) an atom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..analysis import Group
from ..calibration.measured import Measured
from ..calibration.points import AnyPoint

Floats: TypeAlias = NDArray[np.float64]

_LARGE = 200
"""Columns from which on moments are inverted one by one, by their Cholesky factor, in a third of the time."""

ROUNDS = 64
"""The most rounds for a group: large groups lose several atoms per round."""


def obs(measured: Measured) -> Floats:
    """The error that each atom adds when it is removed in order."""
    scores = np.full(measured.analysis.atoms.count, np.inf)
    for group in measured.analysis.groups:
        surgeons = [] if group.frozen else [_surgeon(measured, group, *found) for found in measured.consumers(group)]
        if surgeons:
            order, errors = eliminate(surgeons, group.size)
            scores[group.atoms[order]] = np.maximum.accumulate(errors) * measured.factor(group)
    return scores


@dataclass
class Surgeon:
    """A contraction being reduced: weights ``[g, o, c]``, inverse of the damped moments, and each column's atom.

    ``row_atom`` is the atom of each row, where rows go with columns (the gates of a hidden unit): what they lose is no
    error.
    """

    weight: Floats
    inverse: Floats
    atom: NDArray[np.intp]
    scale: float
    row_atom: NDArray[np.intp] | None = None

    def errors(self, atoms: int) -> Floats:
        """The error that removing each atom now would add; zero for atoms without columns here."""
        found = np.zeros(atoms)
        order = np.argsort(self.atom, kind="stable")
        order = order[self.atom[order] >= 0]
        ids, starts, counts = np.unique(self.atom[order], return_index=True, return_counts=True)
        for width in np.unique(counts):
            chosen = counts == width
            columns = order[starts[chosen][:, None] + np.arange(width)]  # [a, w]
            blocks = self.inverse[:, columns[:, :, None], columns[:, None, :]]  # [g, a, w, w]
            parts = self.weight[:, :, columns].transpose(0, 2, 3, 1)  # [g, a, w, o]
            each = np.einsum("gawo,gawo->ao", parts, np.linalg.solve(blocks, parts))
            if self.row_atom is not None:
                each = np.where(self.row_atom == ids[chosen][:, None], 0.0, each)
            found[ids[chosen]] += self.scale * each.sum(axis=1)
        return found

    def remove(self, gone: NDArray[np.bool_]) -> None:
        """Remove the columns of these atoms, and adjust the others by least squares."""
        if self.row_atom is not None:
            stays = ~((self.row_atom >= 0) & gone[np.maximum(self.row_atom, 0)])
            self.weight, self.row_atom = self.weight[:, stays], self.row_atom[stays]
        column = (self.atom >= 0) & gone[np.maximum(self.atom, 0)]
        if not column.any():
            return
        left = np.flatnonzero(~column)
        across = self.inverse[:, column].take(left, axis=2)
        half, share = _halved(self.inverse[:, column][:, :, column], across)
        removed = self.weight[:, :, column]
        self.weight = self.weight.take(left, axis=2)
        self.weight -= removed @ share
        self.inverse = self.inverse.take(left, axis=1).take(left, axis=2)
        self.inverse -= np.matmul(half.transpose(0, 2, 1), half)  # of one array: symmetric to the last bit
        self.atom = self.atom[~column]


def _halved(block: Floats, across: Floats) -> tuple[Floats, Floats]:
    """``F^-1 A`` and ``B^-1 A`` for ``B = F F^T``, the block of an inverse, ``[g, w, w]``."""
    try:
        factor = np.linalg.cholesky(block)
        half = np.linalg.solve(factor, across)
        share = np.linalg.solve(factor.transpose(0, 2, 1), half)
    except np.linalg.LinAlgError:  # rounding has made it singular
        values, vectors = np.linalg.eigh(block)
        least = np.finfo(np.float64).eps * np.abs(values).max(axis=1, keepdims=True) + 1e-300
        scaled = vectors / np.sqrt(np.maximum(values, least))[:, None, :]
        half = scaled.transpose(0, 2, 1) @ across
        share = scaled @ half
    return np.asarray(half, dtype=np.float64), np.asarray(share, dtype=np.float64)


def inverse_of(moments: Floats) -> Floats:
    """The inverses of damped moments ``[g, c, c]``."""
    if moments.shape[1] < _LARGE:
        return np.asarray(np.linalg.inv(moments), dtype=np.float64)
    from scipy.linalg.lapack import dpotrf, dpotri

    found = np.empty_like(moments)
    for part, result in zip(moments, found, strict=True):
        factor, failed = dpotrf(part.T)  # symmetric: the transposed array lies as LAPACK wants it
        inverse, wrong = (factor, failed) if failed else dpotri(factor)
        if failed or wrong:
            result[:] = np.linalg.inv(part)
            continue
        upper = np.triu(inverse, 1)
        result[:] = upper + upper.T
        np.fill_diagonal(result, inverse.diagonal())
    return found


def _surgeon(measured: Measured, group: Group, point: AnyPoint, columns: NDArray[np.intp]) -> Surgeon:
    weight = measured.weight(point)
    weight = np.concatenate([weight, np.zeros((*weight.shape[:2], 1))], axis=2)
    inverse = inverse_of(measured.damped(point))
    rows = measured.rows(point, group)
    return Surgeon(weight, inverse, np.append(columns, -1), measured.scale(point), rows if (rows >= 0).any() else None)


def eliminate(surgeons: Sequence[Surgeon], atoms: int, rounds: int = ROUNDS) -> tuple[NDArray[np.intp], Floats]:
    """The order of removal, cheapest atom first, and the error that each adds."""
    left = np.ones(atoms, dtype=bool)
    order: list[NDArray[np.intp]] = []
    added: list[Floats] = []
    each = -(-atoms // rounds)
    while left.any():
        errors = sum((surgeon.errors(atoms) for surgeon in surgeons), np.zeros(atoms))
        waiting = np.flatnonzero(left)
        ranked = waiting[np.argsort(errors[waiting], kind="stable")[:each]]
        order.append(ranked)
        added.append(np.maximum(errors[ranked], 0.0))
        gone = np.zeros(atoms, dtype=bool)
        gone[ranked] = True
        left &= ~gone
        for surgeon in surgeons:
            surgeon.remove(gone)
    return np.concatenate(order), np.concatenate(added)
