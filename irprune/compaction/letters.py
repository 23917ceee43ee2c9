"""A node's operands and results as letters with their axes, stars spread over their dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..analysis import Atoms, MatchedNode
from ..axes import Axis, leaves_of, size_of
from ..signatures import Composite, Name, Star, Term
from .bounds import Interval


@dataclass(frozen=True)
class Letter:
    """One axis of a dimension; ``in_sum`` says that the dimension is a concatenation of which it is a part."""

    name: str
    axis: Axis
    in_sum: bool = False


def dimensions(matched: MatchedNode, terms: Sequence[Term] | None, rank: int) -> list[tuple[Letter, ...]]:
    """The letters of every dimension of an operand or a result; none for one about which nothing is said."""
    if terms is None:
        return []
    run = rank - sum(not isinstance(term, Star) for term in terms)
    found: list[tuple[Letter, ...]] = []
    for term in terms:
        if isinstance(term, Star):
            axes = matched.axes.get(term.name, ())
            found += [(Letter(f"{term.name}*{k}", axis),) for k, axis in enumerate(axes[:run])]
        else:
            found.append(tuple(_letters(matched, term, False)))
    return found


def _letters(matched: MatchedNode, term: Term, in_sum: bool) -> Iterator[Letter]:
    if isinstance(term, Name):
        if term.name in matched.axes:
            yield Letter(term.name, matched.axes[term.name][0], in_sum)
    elif isinstance(term, Composite):
        for inner in term.terms:
            yield from _letters(matched, inner, in_sum or term.is_sum)


def elements_of(matched: MatchedNode, term: Term, vectors: Mapping[str, Interval], whole: Interval) -> Interval:
    """The bounds of the elements of a concatenation, from those of its parts."""
    if isinstance(term, Composite) and term.is_sum:
        parts = [elements_of(matched, inner, vectors, whole) for inner in term.terms]
        return Interval(*(np.concatenate([getattr(part, side) for part in parts]) for side in ("low", "high")))
    if isinstance(term, Name) and term.name in vectors:
        return vectors[term.name]
    size = size_of(matched.dim(term)).coefficient
    return Interval(*(np.broadcast_to(side, size) for side in (whole.low, whole.high)))


def operand_letters(matched: MatchedNode, position: int, rank: int) -> list[tuple[Letter, ...]]:
    """The letters of an operand; none for one that holds no axes."""
    inputs = matched.signature.notation.inputs
    return dimensions(matched, inputs[position] if position < len(inputs) else None, rank)


def result_letters(matched: MatchedNode, position: int, rank: int) -> list[tuple[Letter, ...]]:
    """The letters of a result."""
    outputs = matched.signature.notation.outputs
    return dimensions(matched, outputs[position] if position < len(outputs) else None, rank)


def is_free(atoms: Atoms, axis: Axis) -> bool:
    """Whether anything of an axis may go, which is when its elements are worth looking at."""
    return size_of(axis).is_static and any((atoms.of_leaf(leaf) >= 0).any() for leaf in leaves_of(axis))
