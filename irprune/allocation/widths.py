"""The widths that a request allows each group: multiples that suit the layers that read and make its channels.

A group keeps a multiple in each of its axes, so that each part of a Concat is a multiple as well. Where a group has no
smaller multiple to go to, half of it is tried, then a quarter, and so on: a group of 24 channels and a multiple of 16
keeps 24 or 16, one of 16 keeps 16 or 8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, MatchedNode
from ..axes import Axis, Leaf, Product, resolve, size_of
from ..ir.dtypes import is_integer
from ..request import FROM_DATA, Request
from ..signatures import names_of, traits_of
from .sequence import Counts, GroupOrder, RemovalOrder
from .steps import LayerKind, Steps, steps_for

_PLANES = 4
"""The rank of the values that the blocked layout is for: images."""

_NARROW = 64
"""The channels of the widest group of a network whose time hardly depends on blocks."""

_CHOICES = 16
"""The widths that a group can choose from at least, where that is finer."""

LEAST = 4
"""The blocked layout takes widths in multiples of this, and pads them."""


@dataclass(frozen=True)
class Step:
    """The multiple for one axis; widths above ``wide`` are free, and parts of a Concat are ``joined``."""

    multiple: int
    wide: int = 1 << 62
    joined: bool = False

    def merged(self, other: Step | None) -> Step:
        """What suits both: all multiples in use are powers of two."""
        if other is None:
            return self
        joined = self.joined or other.joined
        return Step(max(self.multiple, other.multiple), max(self.wide, other.wide), joined)

    def within(self, size: int) -> Step:
        """The step for an axis of this size that leaves a choice: a power of two, of which it has a few."""
        share = max(1, size // _CHOICES)
        most = max(LEAST, 1 << (share.bit_length() - 1))
        return self if self.joined else replace(self, multiple=min(self.multiple, most))

    def finer(self, halvings: int) -> Step:
        return replace(self, multiple=max(1, self.multiple >> halvings))

    def fits(self, kept: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of these widths are allowed."""
        found: NDArray[np.bool_] = (kept % self.multiple == 0) | (kept > self.wide)
        return found

    def allows(self, width: int) -> bool:
        """Whether a width is allowed."""
        return width % self.multiple == 0 or width > self.wide


@dataclass(frozen=True)
class Widths:
    """The multiples of a request: one ``fixed`` number for all axes, or a step by the number of an axis.

    ``halvings`` makes all steps finer, for a request that cannot be met otherwise.
    """

    fixed: int | None
    steps: Mapping[int, Step]
    halvings: int = 0

    @staticmethod
    def of(analysis: Analysis, request: Request) -> Widths:
        """The widths that ``--align`` and ``--target`` ask for.

        Where data say what each channel is worth, whole blocks of narrow groups cost more accuracy than time: their
        steps are finer, but in the layout still. On a network of narrow groups alone only depthwise convolutions and
        integers have steps (a ResNet of 16, 32 and 64 channels was as fast with any width as with multiples of 8).
        """
        if request.align != "auto":
            return Widths(request.align, {})
        table = steps_for(request.target)
        found = steps_of(analysis, table)
        if request.ranking not in FROM_DATA:
            return Widths(None, found)
        free = [leaf for group in analysis.groups if not group.frozen for leaf in group.leaves]
        sizes = {leaf.number: leaf.size.coefficient for leaf in free}
        if max((sizes.get(number, 0) for number in found), default=0) <= _NARROW:
            found = steps_of(analysis, Steps(depthwise=min(table.depthwise, LEAST), quantized=table.quantized))
        return Widths(None, {n: step.within(sizes[n]) for n, step in found.items() if n in sizes})

    def levels(self) -> Iterator[Widths]:
        """These widths, then finer and finer ones, down to any width."""
        largest = max((step.multiple for step in self.steps.values()), default=1)
        for halvings in range(largest.bit_length()):
            yield replace(self, halvings=halvings)

    @property
    def suits_layout(self) -> bool:
        """Whether the steps are still such that a layout of blocks takes the widths."""
        return self.fixed is not None or self.largest >= LEAST

    @property
    def largest(self) -> int:
        """The largest multiple in use."""
        found = [step.finer(self.halvings).multiple for step in self.steps.values()]
        return self.fixed or max(found, default=1)

    def on(self, order: RemovalOrder, limits: Counts | None = None) -> RemovalOrder:
        """The order with the counts that are allowed. ``limits``: the most that each group is to lose."""
        limits = order.limits if limits is None else limits
        pairs = zip(order.groups, limits, strict=True)
        return replace(order, fits=tuple(self.fits(group, int(limit)) for group, limit in pairs))

    def fits(self, group: GroupOrder, limit: int) -> NDArray[np.bool_]:
        """Which removals leave allowed widths, by count; to remove nothing is allowed always."""
        if self.fixed is not None:
            found: NDArray[np.bool_] = (group.kept % self.fixed == 0).all(axis=1)
            if not found.any():
                found[:] = True
        else:
            found = self._finest(group, limit)
        found[0] = True
        return found

    def _finest(self, group: GroupOrder, limit: int) -> NDArray[np.bool_]:
        """The counts that fit the largest of the steps, halved as often as needed, that let the group shrink."""
        steps = [self.steps.get(leaf.number, Step(1)) for leaf in group.group.leaves]
        for halvings in range(self.halvings, 1 + max(step.multiple.bit_length() for step in steps)):
            finer = [step.finer(halvings) for step in steps]
            found: NDArray[np.bool_] = np.all([step.fits(group.kept[:, k]) for k, step in enumerate(finer)], axis=0)
            if found[1 : limit + 1].any():
                return found
        return np.ones(len(group.kept), dtype=np.bool_)


# -- steps by axis -------------------------------------------------------------------------------------------------


def steps_of(analysis: Analysis, table: Steps) -> dict[int, Step]:
    """The step of each axis that has a rule, by its number, from the layers whose channels it counts.

    The experts of a mixture are taken a few at a time, so that their number does not matter to a layer.
    """
    found: dict[int, Step] = {}
    for matched in analysis.coupling.matched.values():
        if not matched.signature.notation.macs:
            continue
        for kind, letters in _channels(analysis, matched):
            step = Step(getattr(table, kind), table.wide if kind == "matrix" else 1 << 62)
            for axis in (axis for letter in letters for axis in matched.axes.get(letter, ())):
                _spread(axis, step, found)
    counted = {leaf.number for group in analysis.groups if group.name in analysis.least for leaf in group.leaves}
    return {number: step for number, step in found.items() if step.multiple > 1 and number not in counted}


def _spread(axis: Axis, step: Step, found: dict[int, Step]) -> None:
    """Give the step of a dimension to its axes: to each part of a Concat, to a factor what the others leave of it."""
    axis = resolve(axis)
    if isinstance(axis, Leaf):
        found[axis.number] = step.merged(found.get(axis.number))
        return
    parts = axis.factors if isinstance(axis, Product) else axis.parts
    for part in parts:
        rest = math.prod(size_of(other).coefficient for other in parts if other is not part)
        left = step.multiple // math.gcd(step.multiple, rest) if isinstance(axis, Product) else step.multiple
        _spread(part, replace(step, multiple=left, joined=step.joined or not isinstance(axis, Product)), found)


def _channels(analysis: Analysis, matched: MatchedNode) -> Iterator[tuple[LayerKind, Sequence[str]]]:
    """The letters of a contraction that count channels, by the kind of layer that it is to them."""
    kinds = matched.signature.kinds
    channels = [letter for letter, kind in kinds.items() if kind == "channels"]
    traits = traits_of(matched.node.qualified_op)
    if channels and _is_quantized(analysis, matched):
        yield "quantized", channels
    elif channels and traits.window == "forward" and len(matched.signature.notation.outputs[0] or ()) == _PLANES:
        is_depthwise = "multiplier" in kinds.values()
        yield ("depthwise" if is_depthwise else "grouped" if "groups" in kinds.values() else "dense"), channels
    else:
        yield "matrix", _columns(analysis, matched)


def _is_quantized(analysis: Analysis, matched: MatchedNode) -> bool:
    """Whether a layer computes on integers: its weight is one, or is made of one."""
    graph = analysis.graph
    for name in matched.node.inputs:
        producer = graph.producers.get(name)
        if producer is not None and name in analysis.coupling.weights:
            if traits_of(producer.qualified_op).quantization:
                return True
        elif name in graph.constants and is_integer(graph.constants[name].dtype):
            return True
    return False


def _columns(analysis: Analysis, matched: MatchedNode) -> list[str]:
    """The letters of a weight that are in the result, and in no operand that is data."""
    notation, weights = matched.signature.notation, analysis.coupling.weights
    operands = list(zip(matched.node.inputs, notation.inputs, strict=False))
    stored = {
        letter for name, terms in operands if name in weights for item in terms or () for letter in names_of(item)
    }
    data = {
        letter for name, terms in operands if name not in weights for item in terms or () for letter in names_of(item)
    }
    result = [letter for item in notation.outputs[0] or () for letter in names_of(item)]
    return [letter for letter in result if letter in stored and letter not in data]
