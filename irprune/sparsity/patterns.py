"""Which elements become zero: the ones of the least score, alone, of every few in a row, or in blocks.

Scores are ``[g, o, i, w]``: rows ``o`` of groups ``g``, columns along the ``i`` that is summed over, and the window
``w`` of a convolution. ``N:M`` (Mishra et al., *Accelerating Sparse Deep Neural Networks*, arXiv 2104.08378) keeps N of
every M consecutive ``i`` for the same place of the window, as sparse kernels read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..zeros import Pattern

Scores: TypeAlias = NDArray[np.float64]
Zeros: TypeAlias = NDArray[np.bool_]


def zeros(pattern: Pattern, scores: Scores, share: float) -> Zeros:
    """The zeros of one weight; ``share`` of its elements where the pattern does not say how many."""
    return _fixed(pattern, scores) if pattern.keep else lowest(pattern, [scores], share)[0]


def _fixed(pattern: Pattern, scores: Scores) -> Zeros:
    """All but the ``keep`` highest of every ``of`` columns."""
    g, o, i, w = scores.shape
    parts = scores.reshape(g, o, i // pattern.of, pattern.of, w)
    order = np.argsort(parts, axis=3, kind="stable")
    found = np.zeros(parts.shape, dtype=bool)
    np.put_along_axis(found, order[:, :, :, : pattern.of - pattern.keep], True, axis=3)
    return found.reshape(scores.shape)


def lowest(pattern: Pattern, scores: Sequence[Scores], share: float) -> list[Zeros]:
    """The blocks of least score, in all weights together, that make up ``share`` of their elements."""
    blocks = [_blocks(pattern, part) for part in scores]
    ranked = np.concatenate([block.ravel() for block in blocks])
    gone = np.zeros(len(ranked), dtype=bool)
    gone[np.argsort(ranked, kind="stable")[: round(share * len(ranked))]] = True
    ends = np.cumsum([block.size for block in blocks])
    parts = np.split(gone, ends[:-1])
    return [_spread(pattern, part.reshape(block.shape)) for part, block in zip(parts, blocks, strict=True)]


def _blocks(pattern: Pattern, scores: Scores) -> Scores:
    """The sum of each block, ``[g, o / rows, i / columns, w]``."""
    g, o, i, w = scores.shape
    split = scores.reshape(g, o // pattern.rows, pattern.rows, i // pattern.columns, pattern.columns, w)
    total: Scores = split.sum(axis=(2, 4))
    return total


def _spread(pattern: Pattern, blocks: Zeros) -> Zeros:
    return blocks.repeat(pattern.rows, axis=1).repeat(pattern.columns, axis=2)
