"""What a removal means for one node, from its signature and the masks of dimensions alone.

=============  =======================================================================================
an axis is     then removing elements of it means
=============  =======================================================================================
carried        nothing: what happens in a removed channel stays in it
contracted     the sum runs over the kept part: removed places of the operands are made zero
normalized     statistics are taken over the kept part: gather it, run the node, scatter back into zeros
ranked         removed places rank below all others: they are made minus infinity
=============  =======================================================================================

The writers of reference models (:mod:`.reference` for ONNX, :mod:`irprune.torch.reference` for fx) ask this and add
the nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..analysis import Analysis, Mask, MatchedNode
from ..axes import Axis
from ..ir.core import Node
from ..signatures import Composite, Name, Star, Term, Unit, names_of, traits_of
from .masks import dimension_mask, end_to_end, loses, outer, symbols_of


@dataclass(frozen=True)
class Dimension:
    """One dimension of an operand: what the signature writes there, and its axis."""

    position: int
    term: Term
    axis: Axis

    @property
    def letters(self) -> set[str]:
        return set(names_of(self.term))


@dataclass
class Removal:
    """A removal as the reference sees it. ``kept`` is :meth:`Analysis.kept`; ``sizes`` gives run-time symbols.

    ``guard`` masks activations at every contraction, also where they meet zeroed constants: needed only where removed
    channels hold infinities.
    """

    analysis: Analysis
    kept: Mapping[int, Mask]
    guard: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.guard = self.guard or self._may_leave_the_numbers()

    def mask(self, axis: Axis) -> Mask:
        """True for the elements of a dimension that stay."""
        return dimension_mask(axis, self.kept, self.sizes)

    def zeroed(self, node: Node, position: int) -> tuple[Axis, ...] | None:
        """The axes of a constant operand that has removed places; ``None`` for any other operand."""
        if node.inputs[position] not in self.analysis.graph.constants:
            return None
        dims = self.analysis.coupling.operand(node, position) or ()
        return dims if any(loses(axis, self.kept) for axis in dims) else None

    def masked(self, matched: MatchedNode) -> Iterator[tuple[int, Dimension, Mask]]:
        """Operands that are summed over a pruned axis: position, dimension and mask."""
        open_letters = matched.contracted - (set() if self.guard else self._zeroed_letters(matched))
        for position, name in enumerate(matched.node.inputs):
            if not name or name in self.analysis.graph.constants:
                continue
            for dim in self.dimensions(matched, position):
                if dim.letters & open_letters and loses(dim.axis, self.kept):
                    yield position, dim, self.mask(dim.axis)

    def ranked(self, matched: MatchedNode) -> Iterator[tuple[int, Dimension, Mask]]:
        """Operands whose largest elements are picked along a pruned axis: position, dimension and mask."""
        for position, name in enumerate(matched.node.inputs):
            if not name or name in self.analysis.graph.constants:
                continue
            for dim in self.dimensions(matched, position):
                if dim.letters & matched.signature.notation.ranked and loses(dim.axis, self.kept):
                    yield position, dim, self.mask(dim.axis)

    def gathered(self, matched: MatchedNode) -> Iterator[tuple[int, Dimension, Mask]]:
        """Operands whose statistics are taken over the kept part."""
        for position, name in enumerate(matched.node.inputs):
            for dim, mask in self._lost(matched, self.dimensions(matched, position)) if name else ():
                yield position, dim, mask

    def scattered(self, matched: MatchedNode) -> Iterator[tuple[int, list[tuple[Dimension, Mask]]]]:
        """Results that hold only the kept part and have to be scattered back."""
        for position, name in enumerate(matched.node.outputs):
            lost = list(self._lost(matched, self.result_dimensions(matched, position, name))) if name else []
            if lost:
                yield position, lost

    def _may_leave_the_numbers(self) -> bool:
        """Whether a zero in a removed place may become an infinity, which a zero weight does not stop (0 * inf)."""
        return any(
            loses(axis, self.kept)
            for node in self.analysis.graph.nodes
            if traits_of(node.qualified_op).singular_at_zero
            for position, name in enumerate(node.inputs)
            for axis in (self.analysis.coupling.operand(node, position) or () if name else ())
        )

    def run_time_symbols(self) -> set[str]:
        """The symbols of all dimensions that have to be masked or gathered."""
        found: set[str] = set()
        for matched in self.analysis.coupling.matched.values():
            normalized = matched.signature.notation.normalized
            for position, _ in enumerate(matched.node.inputs):
                for dim in self.dimensions(matched, position):
                    reduced = normalized | matched.signature.notation.ranked | matched.contracted
                    if dim.letters & reduced and loses(dim.axis, self.kept):
                        found |= symbols_of(dim.axis)
            for position, name in enumerate(matched.node.outputs):
                for dim in self.result_dimensions(matched, position, name):
                    if dim.letters & normalized and loses(dim.axis, self.kept):
                        found |= symbols_of(dim.axis)
        return found

    def _zeroed_letters(self, matched: MatchedNode) -> set[str]:
        """Contracted axes along which an operand is zero in the removed places, being a constant or made of one."""
        found: set[str] = set()
        for position, name in enumerate(matched.node.inputs):
            if name and self._vanishes(name):
                for dim in self.dimensions(matched, position):
                    found |= dim.letters
        return found & {name for contraction in matched.signature.notation.macs for name in contraction}

    def _vanishes(self, name: str) -> bool:
        if name in self.analysis.graph.constants:
            return True
        producer = self.analysis.graph.producers.get(name)
        if producer is None or not _keeps_zero(producer) or not self._vanishes(producer.inputs[0]):
            return False
        return all(other in self.analysis.graph.constants for other in producer.inputs if other)

    def _lost(self, matched: MatchedNode, dims: list[Dimension]) -> Iterator[tuple[Dimension, Mask]]:
        """Dimensions with a factor that statistics are taken over, and other factors, which are left whole."""
        for dim in dims:
            if dim.letters & matched.signature.notation.normalized and loses(dim.axis, self.kept):
                mask = self.statistics_mask(matched, dim.term, dim.axis)
                if not mask.all():
                    yield dim, mask

    def statistics_mask(self, matched: MatchedNode, term: Term, axis: Axis) -> Mask:
        if isinstance(term, Composite):
            masks = (self.statistics_mask(matched, inner, matched.dim(inner)) for inner in term.terms)
            return end_to_end(masks) if term.is_sum else outer(masks)
        if isinstance(term, Unit):
            return np.ones(1, dtype=bool)
        mask = self.mask(axis)
        taken = isinstance(term, (Name, Star)) and term.name in matched.signature.notation.normalized
        return mask if taken else np.ones_like(mask)

    def dimensions(self, matched: MatchedNode, position: int) -> list[Dimension]:
        name = matched.node.inputs[position]
        dims = self.analysis.coupling.operand(matched.node, position) if name else None
        return _spelled(matched.signature.notation.inputs, position, dims)

    def result_dimensions(self, matched: MatchedNode, position: int, name: str) -> list[Dimension]:
        dims = self.analysis.coupling.dims.get(name)
        return _spelled(matched.signature.notation.outputs, position, dims)


def _keeps_zero(node: Node) -> bool:
    traits = traits_of(node.qualified_op)
    return traits.copies or traits.keeps_zero


def _spelled(
    operands: tuple[tuple[Term, ...] | None, ...], position: int, dims: tuple[Axis, ...] | None
) -> list[Dimension]:
    """The dimensions of an operand with what the signature writes for each; a run is spread over its dimensions."""
    terms = operands[position] if position < len(operands) else None
    if terms is None or dims is None:
        return []
    run = len(dims) - sum(not isinstance(term, Star) for term in terms)
    spread = [part for term in terms for part in ([term] * run if isinstance(term, Star) else [term])]
    return [Dimension(k, term, axis) for k, (term, axis) in enumerate(zip(spread, dims, strict=True))]
