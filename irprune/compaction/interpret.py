"""One walk over the graph that bounds every value, atom by atom (abstract interpretation with intervals).

How a node's result is bounded follows from its signature and traits:

=====================  =============================================================================
a node that            bounds its result by
=====================  =============================================================================
moves elements         the operands that its elements come from (and the number that it fills in)
contracts              sums of products of intervals (:mod:`.linear`)
is a recurrent cell    zero for the units that stay idle (:mod:`.cells`)
selects or averages    its operand: a result lies between the least and the greatest element
sums up                zero where all that it sums is zero
acts on each element   its own results at the ends of the intervals, where it is monotone, and at constants
=====================  =============================================================================

A letter that an operand and the result share is what lets a bound pass: an element of the result depends on those
elements of the operand alone that have the same index there. Everything else is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TypeAlias

import numpy as np

from ..analysis import Analysis, MatchedNode
from ..axes import Axis
from ..calibration.contractions import contractions
from ..ir import Constant, Node
from ..ir.dtypes import is_native_float
from ..rewriting.draft import Refused
from ..rewriting.evaluate import evaluate
from ..signatures import Composite, Traits, traits_of
from .bounds import ANY, UNKNOWN, Bounds, Interval, along_axes, gathered, of_array
from .cells import idle_units
from .letters import Letter, elements_of, is_free, operand_letters, result_letters
from .linear import through_contraction, zero_products

Ranges: TypeAlias = Mapping[str, tuple[float, float]]
"""The least and the greatest element of inputs, by name."""

_MOST_OPEN = 4
"""Operands that are not constant, of which all combinations of ends are tried."""

_ROUNDING = 1e-6
"""By how much of its size a bound is widened, for what rounding adds."""

_MOST_BYTES = 1 << 26


class Facts:
    """The bounds of all values of a graph, given those of its inputs."""

    def __init__(self, analysis: Analysis, ranges: Ranges | None = None) -> None:
        self.analysis = analysis
        self.graph = analysis.graph
        self.coupling = analysis.coupling
        self.atoms = analysis.atoms
        self.contractions = contractions(analysis)
        self._values: dict[str, Bounds] = {}
        self._constants: dict[tuple[str, int], Bounds] = {}
        self._regions = {name: region for region in self.coupling.regions for name in region.nodes}
        for name, (low, high) in (ranges or {}).items():
            self._values[name] = Bounds(Interval(np.float64(low), np.float64(high)))  # type: ignore[arg-type]
        for node in self.graph.nodes:
            self._visit(node)

    # -- questions -------------------------------------------------------------------------------------------------

    def operand(self, node: Node, position: int) -> Bounds:
        """The bounds of an operand as this node sees it."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        constant = self.graph.constants.get(name)
        if constant is None:
            return self._values.get(name, UNKNOWN)
        key = node.name, position
        if key not in self._constants:
            dims = self.coupling.operand(node, position) or ()
            known = constant.read is not None and is_native_float(constant.dtype) and len(dims) == len(constant.shape)
            self._constants[key] = of_array(self.atoms, dims, constant.numpy()) if known else UNKNOWN
        return self._constants[key]

    def result(self, name: str) -> Bounds:
        """The bounds of a value."""
        return self._values.get(name, UNKNOWN)

    def letters(self, matched: MatchedNode, position: int) -> list[tuple[Letter, ...]]:
        """The letters of an operand, dimension by dimension."""
        dims = self.coupling.operand(matched.node, position) if matched.node.inputs[position] else None
        return [] if dims is None else operand_letters(matched, position, len(dims))

    # -- the walk --------------------------------------------------------------------------------------------------

    def _visit(self, node: Node) -> None:
        if node.yields or node.entry_of or node.captures:
            return
        if node.name in self._regions:
            self._move_through_chain(node)
            return
        matched = self.coupling.matched.get(node.name)
        if matched is None:
            return
        for position, name in enumerate(node.outputs):
            value = self.graph.values.get(name)
            if name and value is not None and is_native_float(value.dtype or ""):
                found = self._bounds(matched, position)
                if found is not UNKNOWN:
                    self._values[name] = found

    def _move_through_chain(self, node: Node) -> None:
        """A chain of views takes its results from its operand, atom by atom."""
        region = self._regions[node.name]
        source = self._values.get(region.operand, UNKNOWN)
        for name in node.outputs:
            if name in region.results:
                parts = [(self.atoms.along(axis), source.along(self.atoms, axis)) for axis in self._axes(name)]
                self._values[name] = gathered(source.whole, parts)

    def _axes(self, name: str) -> list[Axis]:
        return [axis for axis in self.coupling.dims.get(name) or () if is_free(self.atoms, axis)]

    def _bounds(self, matched: MatchedNode, position: int) -> Bounds:
        node, traits, notation = matched.node, traits_of(matched.node.qualified_op), matched.signature.notation
        if traits.idle_gate is not None:
            return idle_units(self, matched, position)
        if position > 0 and not traits.hands_on(0):
            return UNKNOWN
        if node.name in self.contractions:
            return through_contraction(self, self.contractions[node.name])
        if notation.macs:
            return zero_products(self, matched) if traits.combines == "product" else UNKNOWN
        if traits.fill is not None and not traits.moves:
            return Bounds(self._fill(matched, traits)[0])
        if traits.only_moves and not traits.reads_sizes:
            return self._moved(matched, traits, position)
        if traits.within:
            return self._selected(matched) if _stays_within(node) else UNKNOWN
        if traits.keeps_zero:
            return self._summed(matched)
        return self._pointwise(matched, traits) if self._is_pointwise(matched) else UNKNOWN

    def _result_letters(self, matched: MatchedNode, position: int = 0) -> list[Letter]:
        dims = self.coupling.dims.get(matched.node.outputs[position])
        found = [] if dims is None else result_letters(matched, position, len(dims))
        return [letter for dim in found for letter in dim if is_free(self.atoms, letter.axis)]

    def _seen(self, matched: MatchedNode, operand: int, letter: str) -> bool:
        """Whether an element of the result takes from those elements of an operand that have its index there."""
        own = {found.name for dim in self.letters(matched, operand) for found in dim}
        if letter in own:
            return True
        maps = [m for m in matched.signature.maps if m.result == letter]  # a product of letters is not looked into
        return any(m.operand in own for m in maps)

    def _from(self, matched: MatchedNode, operand: int, letter: Letter) -> Interval:
        """The bounds of an operand along a letter of the result."""
        bounds = self.operand(matched.node, operand)
        if self._seen(matched, operand, letter.name):
            return bounds.along(self.atoms, letter.axis)
        return Bounds(bounds.whole).along(self.atoms, letter.axis)

    def _moved(self, matched: MatchedNode, traits: Traits, position: int) -> Bounds:
        node = matched.node
        sources = [k for k, name in enumerate(node.inputs) if name and traits.hands_on(k)]
        fill = self._fill(matched, traits)
        ends = [self.operand(node, k).whole for k in sources] + fill
        if not ends:
            return UNKNOWN
        whole = _hull(ends)
        vectors: dict[str, Interval] = {}
        parts: list[tuple[Axis, Interval]] = []
        for letter in self._result_letters(matched, position):
            seen = [k for k in sources if self._seen(matched, k, letter.name)]
            own = [self._from(matched, k, letter) for k in (seen if letter.in_sum else sources)]
            if traits.combines != "join" or not own:
                own += [Bounds(end).along(self.atoms, letter.axis) for end in fill or ([] if own else [whole])]
            vectors[letter.name] = _hull(own)
            parts.append((letter.axis, vectors[letter.name]))
        return along_axes(self.atoms, whole, [*parts, *self._sums(matched, position, vectors, whole)])

    def _sums(
        self, matched: MatchedNode, position: int, vectors: Mapping[str, Interval], whole: Interval
    ) -> Iterator[tuple[Axis, Interval]]:
        """The dimensions of a result that are concatenations, element by element."""
        outputs = matched.signature.notation.outputs
        terms = outputs[position] if position < len(outputs) else None
        dims = self.coupling.dims.get(matched.node.outputs[position])
        if terms is None or dims is None or len(terms) != len(dims):
            return
        for term, axis in zip(terms, dims, strict=True):
            if isinstance(term, Composite) and term.is_sum and is_free(self.atoms, axis):
                yield axis, elements_of(matched, term, vectors, whole)

    def _fill(self, matched: MatchedNode, traits: Traits) -> list[Interval]:
        """The number that stands where no element of an operand does."""
        node, position = matched.node, traits.fill
        if position is None:
            return []
        if position < len(node.inputs) and node.inputs[position]:
            constant = self.graph.constants.get(node.inputs[position])
            readable = constant is not None and constant.read is not None and constant.size == 1
            if constant is None or not readable:
                return [ANY]
            return [Interval.point(float(constant.numpy().ravel()[0]))]
        given = node.attributes.get("value", 0.0)
        if isinstance(given, Constant) and given.size == 1 and given.read is not None:
            given = float(given.numpy().ravel()[0])
        return [Interval.point(float(given)) if isinstance(given, (int, float)) else ANY]

    def _selected(self, matched: MatchedNode) -> Bounds:
        """Every result lies between the least and the greatest of the elements of operand 0 that it depends on."""
        zero = [Interval.point(0.0)] if matched.node.int("count_include_pad") else []
        whole = _hull([self.operand(matched.node, 0).whole, *zero])
        letters = self._result_letters(matched)
        parts = [(each.axis, _hull([self._from(matched, 0, each), *zero])) for each in letters]
        return along_axes(self.atoms, whole, parts)

    def _summed(self, matched: MatchedNode) -> Bounds:
        """Zeros make zero; of other sums nothing is known."""

        def zero_or_any(found: Interval) -> Interval:
            return Interval(np.where(found.is_zero, 0.0, -np.inf), np.where(found.is_zero, 0.0, np.inf))

        letters = self._result_letters(matched)
        whole = zero_or_any(self.operand(matched.node, 0).whole)
        parts = [(each.axis, zero_or_any(self._from(matched, 0, each))) for each in letters]
        return along_axes(self.atoms, whole, parts)

    def _is_pointwise(self, matched: MatchedNode) -> bool:
        """Whether each element of the result depends on one element of each operand."""
        notation = matched.signature.notation
        if notation.opaque or notation.normalized or notation.repeated or matched.signature.maps:
            return False
        dims = self.coupling.dims.get(matched.node.outputs[0])
        carried = {x.name for dim in result_letters(matched, 0, len(dims or ())) for x in dim}
        operands = [self.letters(matched, k) for k in range(len(matched.node.inputs))]
        return dims is not None and all(x.name in carried for dims in operands for dim in dims for x in dim)

    def _pointwise(self, matched: MatchedNode, traits: Traits) -> Bounds:
        letters = self._result_letters(matched)
        whole = self._evaluated(matched, traits, None)
        if whole is None:
            return UNKNOWN
        parts = []
        for letter in letters:
            found = self._evaluated(matched, traits, letter)
            if found is not None:
                parts.append((letter.axis, found))
        return along_axes(self.atoms, Interval(whole.low[0], whole.high[0]), parts)

    def _evaluated(self, matched: MatchedNode, traits: Traits, letter: Letter | None) -> Interval | None:
        """The results for the elements of one letter (``None``: for all at once), other dimensions left at size one."""
        node = matched.node
        ends: dict[int, Interval] = {}
        for k, name in enumerate(node.inputs):
            if name:
                here = letter is not None and self._seen(matched, k, letter.name)
                whole = self.operand(node, k).whole
                ends[k] = (
                    self._from(matched, k, letter) if here and letter is not None
                    else Interval(np.reshape(whole.low, 1), np.reshape(whole.high, 1))
                )  # fmt: skip
        width = max((len(end.low) for end in ends.values()), default=1)
        opened = [k for k, end in ends.items() if not end.is_point.all()]
        monotone = traits.monotone and node.attributes.get("alpha", 0.0) >= 0 and len(opened) <= _MOST_OPEN  # type: ignore[operator]
        corners = list(product((False, True), repeat=len(opened))) if monotone else [(False,) * len(opened)]
        found = self._run(matched, letter, ends, opened, corners, width)
        if found is None:
            return None
        if traits.annihilates:
            found = np.where(np.isnan(found), 0.0, found)
        wide = np.isnan(found).any(axis=0)
        low, high = found.min(axis=0), found.max(axis=0)
        if not monotone:
            wide |= ~np.logical_and.reduce([np.broadcast_to(end.is_point, width) for end in ends.values()])
        low, high = np.where(wide, -np.inf, low), np.where(wide, np.inf, high)
        spread = np.where(low == high, 0.0, _ROUNDING)
        with np.errstate(invalid="ignore"):
            return Interval(low - np.abs(low) * spread, high + np.abs(high) * spread)

    def _run(
        self,
        matched: MatchedNode,
        letter: Letter | None,
        ends: Mapping[int, Interval],
        opened: Sequence[int],
        corners: Sequence[Sequence[bool]],
        width: int,
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
        """``[corner, element]``: the node's own results, all corners laid end to end along the letter."""
        node = matched.node
        operands: list[Constant | None] = []
        for k, name in enumerate(node.inputs):
            if not name:
                operands.append(None)
                continue
            dtype = (value.dtype if (value := self.graph.values.get(name)) else None) or "float32"
            if not is_native_float(dtype):
                return None
            rank = self._rank(node, k)
            if rank is None:
                return None
            sides = [ends[k].high if k in opened and corner[opened.index(k)] else ends[k].low for corner in corners]
            row = np.concatenate([np.broadcast_to(side, width) for side in sides])
            place = self._dimension(matched, k, letter)
            shape = [len(row) if j == place else 1 for j in range(rank)]
            if place is None and len(np.unique(row)) > 1:
                return self._one_by_one(matched, letter, ends, opened, corners, width)
            with np.errstate(over="ignore"):
                array = (row if place is not None else row[:1]).reshape(shape).astype(dtype)
            operands.append(Constant.from_array(array))
        try:
            made = evaluate(node, operands, self.graph.opsets, _MOST_BYTES, _MOST_BYTES)[0].numpy()
        except Refused:
            return None
        flat = np.asarray(made, dtype=np.float64).ravel()
        if flat.size not in (1, len(corners) * width):
            return None
        return np.broadcast_to(flat, len(corners) * width).reshape(len(corners), width)

    def _one_by_one(
        self,
        matched: MatchedNode,
        letter: Letter | None,
        ends: Mapping[int, Interval],
        opened: Sequence[int],
        corners: Sequence[Sequence[bool]],
        width: int,
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
        """Corner by corner: an operand without the letter has another end in each."""
        if len(corners) == 1:
            return None
        rows = []
        for corner in corners:
            is_high = dict(zip(opened, corner, strict=True))
            sides = {k: end.high if is_high.get(k) else end.low for k, end in ends.items()}
            chosen = {k: Interval(side, side) for k, side in sides.items()}
            row = self._run(matched, letter, chosen, (), ((),), width)
            if row is None:
                return None
            rows.append(row[0])
        return np.stack(rows)

    def _rank(self, node: Node, position: int) -> int | None:
        constant = self.graph.constants.get(node.inputs[position])
        if constant is not None:
            return len(constant.shape)
        dims = self.coupling.operand(node, position)
        return None if dims is None else len(dims)

    def _dimension(self, matched: MatchedNode, position: int, letter: Letter | None) -> int | None:
        if letter is None:
            return None
        for k, dim in enumerate(self.letters(matched, position)):
            if any(found.name == letter.name for found in dim):
                return k
        return None


def _hull(intervals: Sequence[Interval]) -> Interval:
    found = intervals[0]
    for other in intervals[1:]:
        found = found.hull(other)
    return found


def _stays_within(node: Node) -> bool:
    """Whether no result lies outside of its elements: cubic interpolation overshoots, and others fill in a number."""
    return node.str("mode") != "cubic" and "extrapolation_value" not in node.attributes
