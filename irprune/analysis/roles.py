"""What operators do with the axes, from which the kind of a group follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..axes import Axis, Leaf, leaves_of
from ..signatures import Composite, Signature, SizeOf, names_of
from ..signatures.grammar import Term
from .coupling import Coupling, MatchedNode

_HANDS_ON = {"Cast", "Identity", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators that copy every element: who reads the copy reads it."""


class Roles:
    """What operators do with each leaf, from which the kind of a group follows."""

    def __init__(self, coupling: Coupling) -> None:
        self.normalized: set[int] = set()
        self.batched: set[int] = set()
        self.contracted: set[int] = set()
        self.grouped: set[int] = set()
        self.multiplied: set[int] = set()
        self.windowed: set[int] = set()
        self.recurrent: set[int] = set()
        self._weights = coupling.weights
        self._contractions = _contracted_weights(coupling)
        self.read: set[int] = set()
        for matched in coupling.matched.values():
            self._read(matched)

    def kind(self, leaves: Sequence[Leaf]) -> str:
        numbers = {leaf.number for leaf in leaves}
        if numbers & self.grouped:
            return "groups"
        if numbers & self.multiplied:
            return "multiplier"
        if numbers & self.recurrent:
            return "recurrent"
        if numbers & self.batched and not numbers & self.contracted:
            return "heads"
        if numbers & self.contracted:
            return "head_dim"
        if numbers & self.windowed:
            return "channels"
        if not numbers & self.read:
            return "unread"
        return "hidden" if numbers & self.normalized else "mlp"

    def _read(self, matched: MatchedNode) -> None:
        notation = matched.signature.notation
        self._read_attributes(matched)
        if matched.node.qualified_op not in _HANDS_ON:
            for name in _names_read(matched.signature):
                self.read |= _numbers(matched.axes.get(name, ()))
        if notation.normalized and len(notation.normalized) < len(matched.axes):
            for name in notation.normalized:
                self.normalized |= _numbers(matched.axes.get(name, ()))
        if not notation.macs:
            return
        if matched.axes.keys() >= {"g", "i", "o"}:
            self._read_convolution(matched)
            return
        given = notation.inputs[: len(matched.node.inputs)]
        factors = [k for k, operand in enumerate(given) if operand is not None and len(operand) > 1]
        if len(factors) < 2 or "hidden_size" in matched.signature.attributes:
            return
        operands = [{n for item in notation.inputs[k] or () for n in names_of(item)} for k in factors]
        outputs = {n for item in notation.outputs[0] or () for n in names_of(item)}
        shared = operands[0] & operands[1] & outputs
        # a weight of which a contraction makes heads is an activation that happens to be the same for every input
        plain = self._weights - self._contractions if shared else self._weights
        if any(matched.node.inputs[k] in plain for k in factors[:2]):
            return
        for name in shared:
            self.batched |= _numbers(matched.axes.get(name, ()))
        for name in set().union(*operands) - shared:
            self.contracted |= _numbers(matched.axes.get(name, ()))

    def _read_attributes(self, matched: MatchedNode) -> None:
        """Fused operators say in their attributes which axis is which; heads are multiplied with what is in a head."""
        heads: set[str] = set()
        for attribute, follower in matched.signature.attributes.items():
            if not isinstance(follower, SizeOf):
                continue
            if attribute.endswith("num_heads"):
                heads |= set(names_of(follower.term))
                self.batched |= _numbers([matched.dim(follower.term)])
            elif attribute == "hidden_size":
                self.recurrent |= _numbers([matched.dim(follower.term)])
        for name in _multiplied_with(heads, matched):
            self.contracted |= _numbers(matched.axes.get(name, ()))

    def _read_convolution(self, matched: MatchedNode) -> None:
        group, inner, outer = (_numbers(matched.axes.get(name, ())) for name in "gio")
        self.windowed |= inner | outer | group
        if group and inner:
            self.grouped |= group
        elif group:
            self.multiplied |= outer


def _contracted_weights(coupling: Coupling) -> set[str]:
    """What contractions compute from weights alone, such as the queries of tokens that are learned."""
    found: set[str] = set()
    for matched in coupling.matched.values():
        operands = [name for name in matched.node.inputs if name]
        if found.intersection(operands) or matched.signature.notation.macs:
            found |= coupling.weights.intersection(matched.node.outputs)
    return found


def _names_read(found: Signature) -> set[str]:
    """The axes of which an operator reads every element: parts that are cut off and sources of maps are none."""
    notation = found.notation
    operands = [item for operand in notation.inputs for item in operand or () if not _is_sum(item)]
    results = [item for operand in notation.outputs for item in operand or ()]
    sources = {axis_map.source for axis_map in found.maps}
    return {name for item in operands for name in names_of(item)} - sources | {n for i in results for n in names_of(i)}


def _multiplied_with(names: set[str], matched: MatchedNode) -> set[str]:
    """The other factors of dimensions that are products with these axes."""
    notation = matched.signature.notation
    found: set[str] = set()
    for operand in (*notation.inputs, *notation.outputs):
        for item in operand or ():
            factors = set(names_of(item))
            found |= factors - names if factors & names else set()
    return found


def _is_sum(item: Term) -> bool:
    return isinstance(item, Composite) and item.is_sum


def _numbers(dims: Iterable[Axis]) -> set[int]:
    return {leaf.number for axis in dims for leaf in leaves_of(axis)}
