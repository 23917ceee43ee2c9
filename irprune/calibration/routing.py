"""How often the experts of a mixture are taken on data: the scores that their router gives them, ranked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from ..analysis import Analysis, MatchedNode
from ..axes import Leaf
from ..ir.core import Array
from ..runtime.executable import Executable
from ..runtime.feeds import Feeds
from ..signatures.grammar import Name


def taken(analysis: Analysis, proto: onnx.ModelProto, feeds: Sequence[Feeds]) -> dict[int, NDArray[np.float64]]:
    """By the number of an axis of experts: how often each of them is among those that are taken.

    ``proto`` has the names of the analyzed graph. Raises :class:`RunFailure` where ONNX Runtime stops.
    """
    rankings = list(_rankings(analysis))
    counts = {leaf.number: np.zeros(leaf.size.coefficient) for _, _, leaf, _ in rankings}
    names = list(dict.fromkeys(name for name, _, _, _ in rankings))
    for _, values in Executable(proto).tap(feeds, names):
        for name, dimension, leaf, count in rankings:
            if name in values:
                counts[leaf.number] += _largest(values[name], dimension, count)
    return counts


def _rankings(analysis: Analysis) -> Iterator[tuple[str, int, Leaf, int]]:
    """Value, dimension, axis and count of every ranking."""
    for matched in analysis.coupling.matched.values():
        for letter, count in matched.signature.least.items():
            for position, dimension in _places(matched, letter):
                name = matched.node.inputs[position]
                axis = matched.axes[letter][0]
                if isinstance(axis, Leaf) and name not in analysis.graph.constants:
                    yield name, dimension, axis, count


def _places(matched: MatchedNode, letter: str) -> Iterator[tuple[int, int]]:
    """Where an axis stands by itself: operand and dimension."""
    for position, operand in enumerate(matched.signature.notation.inputs):
        for dimension, item in enumerate(operand or ()):
            if item == Name(letter) and position < len(matched.node.inputs) and matched.node.inputs[position]:
                yield position, dimension


def _largest(scores: Array, dimension: int, count: int) -> NDArray[np.float64]:
    rows = np.moveaxis(np.asarray(scores, dtype=np.float64), dimension, -1)
    size = rows.shape[-1]
    best = np.argpartition(rows.reshape(-1, size), size - count, axis=1)[:, size - count :]
    return np.bincount(best.ravel(), minlength=size).astype(np.float64)
