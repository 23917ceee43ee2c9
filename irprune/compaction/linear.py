"""Sums of products: the bounds of a contraction's result.

    y[g, o] = sum over c of W[g, o, c] x[g, c] + b[g, o],   x in [low, high]   gives
    low(y)  = sum over c of min(W low, W high) + b

Where a window may hang over the border, what it meets there is zero: a summand then is W x, or nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..analysis import MatchedNode
from ..calibration.contractions import Contraction
from ..ir.core import Array
from .bounds import ANY, UNKNOWN, Bounds, Floats, Interval, Rows, gathered
from .letters import is_free

if TYPE_CHECKING:
    from .interpret import Facts

_ROUNDING = 1e-5
"""By how much of the sum of its summands' sizes a bound is widened, for what rounding adds."""


def summands(facts: Facts, item: Contraction) -> Interval:
    """``[g, c]``: the bounds of what each column of the weight meets; see :meth:`.Contraction.matrix`."""
    position = list(item.node.inputs).index(item.data)
    bounds = facts.operand(item.node, position)
    letters = [*item.groups, *item.columns]
    shape = tuple(letter.size for letter in letters)
    known = {letter.name for dim in item.operand for letter in dim}
    found = Interval(np.broadcast_to(bounds.whole.low, shape), np.broadcast_to(bounds.whole.high, shape))
    for k, letter in enumerate(letters):
        if letter.name in known:
            own = bounds.along(facts.atoms, letter.axis)
            spread = [letter.size if j == k else 1 for j in range(len(letters))]
            found = found.meet(Interval(own.low.reshape(spread), own.high.reshape(spread)))
    g, _, c = item.shape
    found = Interval(found.low.reshape(g, c), found.high.reshape(g, c))
    return found.hull(Interval.point(0.0)) if hangs_over(item) else found


def hangs_over(item: Contraction) -> bool:
    """Whether some positions of a window meet no element."""
    window = item.window
    return window is not None and (window.transposed or any(window.pads) or window.automatic.startswith("SAME"))


def weight_matrix(facts: Facts, item: Contraction) -> Floats:
    """``[g, o, c]``."""
    return item.matrix(item.read(facts.graph.constants))


def vector_of(facts: Facts, item: Contraction) -> Array | None:
    """``[g, o]``: the vector that the node itself adds; ``None`` where it is not known."""
    g, o, _ = item.shape
    names = [name for name in item.node.inputs[2:] if name]
    if not names:
        return np.zeros((g, o))
    constant = facts.graph.constants.get(names[0])
    if len(names) > 1 or constant is None or constant.read is None or constant.size not in (1, g * o):
        return None
    if constant.size > 1 and constant.shape[-1] != constant.size and len(item.node.inputs) == 3 and item.window is None:
        return None  # it lies along another dimension
    return np.broadcast_to(np.asarray(constant.numpy(), np.float64).ravel(), g * o).reshape(g, o)


def through_contraction(facts: Facts, item: Contraction) -> Bounds:
    """The bounds of the result of a contraction with a constant weight."""
    bias = vector_of(facts, item)
    if bias is None:
        return UNKNOWN
    weight, data = weight_matrix(facts, item), summands(facts, item)
    if not np.isfinite(weight).all():
        return UNKNOWN
    with np.errstate(invalid="ignore", over="ignore"):
        ends = [np.where(weight == 0, 0.0, weight * side[:, None, :]) for side in (data.low, data.high)]
        low, high = np.minimum(*ends).sum(axis=2), np.maximum(*ends).sum(axis=2)
        size = np.maximum(np.abs(ends[0]), np.abs(ends[1])).sum(axis=2) + np.abs(bias)
        margin = np.where(low == high, 0.0, _ROUNDING * size)
        low, high = low + bias - margin, high + bias + margin
    unknown = np.isnan(low) | np.isnan(high)
    low, high = np.where(unknown, -np.inf, low), np.where(unknown, np.inf, high)
    rows = _rows(facts, item)
    whole = Interval(low.min(), high.max())
    return gathered(whole, [(rows, Interval(low.ravel(), high.ravel()))])


def _rows(facts: Facts, item: Contraction) -> Rows:
    """The atoms of every element ``[g, o]`` of a result, one row for each letter's factors."""
    letters = [*item.groups, *item.rows]
    return tiled(facts, letters)


def tiled(facts: Facts, letters: list) -> Rows:  # type: ignore[type-arg]
    """The atoms along a row-major product of letters."""
    sizes = [letter.size for letter in letters]
    return [
        np.tile(np.repeat(row, math.prod(sizes[k + 1 :])), math.prod(sizes[:k]))
        for k, letter in enumerate(letters)
        for row in facts.atoms.along(letter.axis)
    ]


def zero_products(facts: Facts, matched: MatchedNode) -> Bounds:
    """A product of two operands is zero where one of them is; nothing else is known of it."""
    if len([name for name in matched.node.inputs if name]) != 2:
        return UNKNOWN
    parts = []
    for dim in (letters for position in (0, 1) for letters in facts.letters(matched, position)):
        for letter in dim:
            if letter.name in _carried(matched) and is_free(facts.atoms, letter.axis):
                zero = zero_along(facts, matched, letter.name)
                own = Interval(np.where(zero, 0.0, -np.inf), np.where(zero, 0.0, np.inf))
                parts.append((facts.atoms.along(letter.axis), own))
    return gathered(ANY, parts)


def _carried(matched: MatchedNode) -> set[str]:
    from ..signatures import names_of

    return {name for term in matched.signature.notation.outputs[0] or () for name in names_of(term)}


def zero_along(facts: Facts, matched: MatchedNode, letter: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where along a letter one of the operands is zero."""
    found = None
    for position, name in enumerate(matched.node.inputs):
        for dim in facts.letters(matched, position) if name else ():
            for own in dim:
                if own.name == letter:
                    zero = facts.operand(matched.node, position).along(facts.atoms, own.axis).is_zero
                    found = zero if found is None else found | zero
    return np.zeros(1, dtype=bool) if found is None else found
