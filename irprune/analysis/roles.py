"""What operators do with the axes, from which the kind of a group follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from ..axes import Axis, Leaf, leaves_of
from ..reasons import Kind, Reason
from ..signatures import Composite, Signature, names_of, traits_of
from ..signatures.grammar import GroupKind, Term
from .coupling import Coupling, MatchedNode

_DECISIVE: tuple[GroupKind, ...] = ("experts", "groups", "multiplier", "recurrent", "head_dim", "heads", "channels")
"""Kinds that signatures name, in order of precedence. An axis that is heads to one operator and summed over by another
lies within a head."""

_OF_POSITIONS = (Kind.POSITIONS, Kind.RUN_TIME_SIZE)


class Roles:
    """What operators do with each leaf, from which the kind of a group follows."""

    def __init__(self, coupling: Coupling) -> None:
        self.normalized: set[int] = set()
        self.read: set[int] = set()
        self.weighted: set[int] = set()
        self._named: dict[GroupKind, set[int]] = {kind: set() for kind in get_args(GroupKind)}
        self._weights = coupling.weights
        self._contractions = _contracted_weights(coupling)
        for matched in coupling.matched.values():
            self._read(matched)

    def kind(self, leaves: Sequence[Leaf], reasons: Sequence[Reason] = ()) -> str:
        """The kind of a group; ``reasons`` say why it is frozen, if it is."""
        numbers = {leaf.number for leaf in leaves}
        if reasons and all(reason.kind in _OF_POSITIONS for reason in reasons) and not numbers & self.weighted:
            return "positions"
        found = [kind for kind, named in self._named.items() if numbers & named]
        for kind in _DECISIVE:
            if kind in found:
                return kind
        if not numbers & self.read:
            return "unread"
        return "hidden" if numbers & self.normalized else "mlp"

    def _read(self, matched: MatchedNode) -> None:
        notation, kinds = matched.signature.notation, matched.signature.kinds
        for name, kind in kinds.items():
            self._named[kind] |= _numbers(matched.axes.get(name, ()))
        if not traits_of(matched.node.qualified_op).copies:  # who reads a copy reads the value
            for name in _names_read(matched.signature):
                self.read |= _numbers(matched.axes.get(name, ()))
        if notation.normalized and len(notation.normalized) < len(matched.axes):
            for name in notation.normalized:
                self.normalized |= _numbers(matched.axes.get(name, ()))
        if notation.macs:
            self._note_weights(matched)
        if notation.macs and not kinds:
            self._read_contraction(matched)

    def _note_weights(self, matched: MatchedNode) -> None:
        """Note the axes of the weights of a contraction, except its opaque ones (the kernel of a convolution)."""
        notation = matched.signature.notation
        for name, operand in zip(matched.node.inputs, notation.inputs, strict=False):
            if name in self._weights:
                letters = {letter for item in operand or () for letter in names_of(item)} - notation.opaque
                for letter in letters:
                    self.weighted |= _numbers(matched.axes.get(letter, ()))

    def _read_contraction(self, matched: MatchedNode) -> None:
        """A product of two activations: axes of both operands and the result count heads, the others lie in a head."""
        notation = matched.signature.notation
        given = notation.inputs[: len(matched.node.inputs)]
        factors = [k for k, operand in enumerate(given) if operand is not None and len(operand) > 1]
        if len(factors) < 2:
            return
        operands = [{n for item in notation.inputs[k] or () for n in names_of(item)} for k in factors]
        outputs = {n for item in notation.outputs[0] or () for n in names_of(item)}
        shared = operands[0] & operands[1] & outputs
        # a constant that a contraction turned into heads is an activation that does not depend on the input
        plain = self._weights - self._contractions if shared else self._weights
        if any(matched.node.inputs[k] in plain for k in factors[:2]):
            return
        for name in shared:
            self._named["heads"] |= _numbers(matched.axes.get(name, ()))
        for name in set().union(*operands) - shared:
            self._named["head_dim"] |= _numbers(matched.axes.get(name, ()))


def _contracted_weights(coupling: Coupling) -> set[str]:
    """Values that contractions compute from weights alone, such as queries of learned tokens."""
    found: set[str] = set()
    for matched in coupling.matched.values():
        operands = [name for name in matched.node.inputs if name]
        if found.intersection(operands) or matched.signature.notation.macs:
            found |= coupling.weights.intersection(matched.node.outputs)
    return found


def _names_read(found: Signature) -> set[str]:
    """The axes that an operator reads whole: not the parts it cuts off, and not those whose elements are mapped."""
    notation = found.notation
    operands = [item for operand in notation.inputs for item in operand or () if not _is_sum(item)]
    results = [item for operand in notation.outputs for item in operand or ()]
    moved = {axis_map.operand for axis_map in found.maps}
    return {name for item in operands for name in names_of(item)} - moved | {n for i in results for n in names_of(i)}


def _is_sum(item: Term) -> bool:
    return isinstance(item, Composite) and item.is_sum


def _numbers(dims: Iterable[Axis]) -> set[int]:
    return {leaf.number for axis in dims for leaf in leaves_of(axis)}
