"""The table of operators: qualified name to the rule that returns the signature of one node, and to traits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..ir import Node, Ramp, Size
from ..ir.core import Array
from ..ir.domains import qualified_operator
from ..reasons import Kind
from .grammar import Signature, signature
from .traits import Traits


class NoSignature(Exception):
    """A rule's refusal: the node touches axes in a way the notation cannot say; the message is the reason."""

    def __init__(self, why: str, kind: Kind = Kind.REFUSED) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class RuleContext:
    """What a rule may look at: the node and the shapes around it.

    ``inputs`` and ``outputs`` hold the sizes of the dimensions of each operand and result, ``None`` for an absent
    operand or an unknown rank; within an output, ``None`` is an unknown size. ``read(k)`` gives operand ``k`` as an
    array where it is small and known at compile time (entries are integers or floats), ``stored(k)`` an initializer of
    integers, whatever its size, ``entries(k)`` the entries of a shape operand, each a :class:`Size` or ``None``,
    ``ramp(k)`` an index operand that is a sum of ranges. ``readers(k)`` are the operators that read result ``k``, with
    the operand at which they do; a caller of the graph is ``("", 0)``. ``routed``: the node takes part in the choice of
    experts (see :mod:`irprune.analysis.experts`).
    """

    node: Node
    version: int
    inputs: tuple[tuple[Size, ...] | None, ...]
    outputs: tuple[tuple[Size | None, ...] | None, ...]
    read: Callable[[int], Array | None]
    stored: Callable[[int], Array | None]
    entries: Callable[[int], tuple[Size | None, ...] | None]
    ramp: Callable[[int], Ramp | None]
    readers: Callable[[int], tuple[tuple[str, int], ...]]
    routed: bool = False

    def shape(self, position: int) -> tuple[Size, ...]:
        """The sizes of an operand; refuses where it is absent or of unknown rank."""
        if position >= len(self.inputs) or self.inputs[position] is None:
            raise NoSignature(f"the shape of operand {position} is unknown")
        return self.inputs[position] or ()

    def has(self, position: int) -> bool:
        return position < len(self.node.inputs) and bool(self.node.inputs[position])

    def is_read(self, position: int) -> bool:
        """Whether anything reads a result."""
        return position < len(self.node.outputs) and bool(self.readers(position))

    def rank(self, position: int = 0) -> int:
        return len(self.shape(position))

    def static(self, position: int, axis: int) -> int:
        """The size of one dimension; refuses where it is only known at run time."""
        size = self.shape(position)[axis]
        if not size.is_static:
            raise NoSignature(f"dimension {axis} of operand {position} has run-time size {size}")
        return size.coefficient

    def axis(self, name: str = "axis", default: int = 0, rank: int | None = None) -> int:
        """An axis attribute, counted from the front."""
        rank = self.rank() if rank is None else rank
        axis = self.node.int(name, default)
        if not -rank <= axis < rank:
            raise NoSignature(f"{name}={axis} is outside rank {rank}")
        return axis % rank if rank else 0

    def constant(self, position: int, what: str) -> Array:
        """An operand that has to be known at compile time."""
        array = self.read(position)
        if array is None:
            array = self.stored(position)
        if array is None:
            raise NoSignature(f"{what} (operand {position}) is computed at run time")
        return np.asarray(array)

    def ints(self, attribute: str, position: int) -> tuple[int, ...] | None:
        """Integers from an attribute (older opsets) or an operand (newer); ``None`` where neither is given."""
        values = self.node.ints(attribute)
        if values is not None:
            return values
        if not self.has(position):
            return None
        return tuple(int(v) for v in self.constant(position, attribute).ravel())


Rule: TypeAlias = Callable[[RuleContext], Signature]


@dataclass(frozen=True)
class Operator(Traits):
    """A line of a table: the rule that gives a node's signature, and the operator's traits.

    ``rule`` may be the signature itself where it depends on nothing, or its text where no axis has a role. An operator
    without one is frozen, and ``reason`` says why.
    """

    rule: Rule | Signature | str | None = None
    reason: str = ""

    def signature_of(self, ctx: RuleContext) -> Signature:
        """Raises :class:`NoSignature` with the reason where there is none."""
        if self.rule is None:
            raise NoSignature(self.reason)
        if isinstance(self.rule, Signature):
            return self.rule
        return signature(self.rule) if isinstance(self.rule, str) else self.rule(ctx)


Entry: TypeAlias = Operator | Rule | Signature | str

OPERATORS: dict[str, Operator] = {}
"""By qualified name, such as ``Conv``, ``com.microsoft::FusedConv`` and ``aten::linear``."""

_UNKNOWN = Traits()


def register(table: Mapping[str, Entry]) -> None:
    """Add operators. What has no traits may be a rule, a signature or its text by itself."""
    for name, entry in table.items():
        if name in OPERATORS:
            raise ValueError(f"operator {name} has an entry already")
        operator = entry if isinstance(entry, Operator) else Operator(entry)
        if isinstance(operator.rule, str):
            signature(operator.rule)  # a mistake in it shows when the table is read
        OPERATORS[name] = operator


def traits_of(op: str, domain: str = "") -> Traits:
    """The traits of an operator by its name (qualified, or with its domain); none hold of one that has no entry."""
    return OPERATORS.get(qualified_operator(op, domain), _UNKNOWN)


def signature_of(ctx: RuleContext) -> Signature:
    """The signature of a node; raises :class:`NoSignature` with the reason where there is none."""
    operator = OPERATORS.get(ctx.node.qualified_op)
    if operator is None and ctx.node.domain == "com.microsoft.nchwc":
        raise NoSignature("ONNX Runtime laid its weights out for one machine: prune the model that it optimized")
    if operator is None:
        if ctx.node.refusal:
            raise NoSignature(ctx.node.refusal)
        raise NoSignature(f"operator {ctx.node.qualified_op} has no signature", Kind.NO_SIGNATURE)
    return operator.signature_of(ctx)
