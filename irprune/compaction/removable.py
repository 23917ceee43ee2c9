"""Which atoms may go without a change of the outputs, and what the biases of their consumers take up.

An atom may go where nothing that consumes it changes:

* a contraction sums zeros there, or meets zeros of its weight; or it sums a constant that its bias can take up;
* a sum, and an operator of which nothing better is known, reads zeros;
* no statistics are taken over it.

What is carried needs no condition: what happens in a channel stays in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, Mask, MatchedNode
from ..axes import leaves_of
from ..calibration.contractions import Contraction
from ..calibration.points import Point, affine, find_points
from ..ir.core import Array
from ..ir.dtypes import is_native_float
from ..signatures import traits_of
from .bounds import Floats
from .cells import idle_mask, silent_inputs
from .interpret import Facts
from .letters import Letter, result_letters
from .linear import summands, tiled, weight_matrix


@dataclass
class Removable:
    """``blocked`` marks atoms that have to stay; ``constants`` are sums that a bias takes up if their columns go."""

    analysis: Analysis
    facts: Facts
    blocked: Mask = field(init=False)
    _sums: dict[str, tuple[Point, Floats, Floats]] = field(default_factory=dict)
    _without_bias: dict[str, tuple[Contraction, Floats, Floats]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.blocked = np.zeros(self.analysis.atoms.count, dtype=bool)
        points = [point for point in find_points(self.analysis) if isinstance(point, Point)]
        self._points = {point.contraction.node.name: point for point in points}
        for matched in self.analysis.coupling.matched.values():
            self._consume(matched)

    # -- what may go -----------------------------------------------------------------------------------------------

    def atoms(self) -> Mask:
        """The atoms of groups that may go, as a mask; every axis keeps an element."""
        found = np.zeros(self.analysis.atoms.count, dtype=bool)
        for group in self.analysis.groups:
            found[group.atoms] = True
        found &= ~self.blocked
        self._keep_one(found)
        return found

    def _keep_one(self, removed: Mask) -> None:
        """Of an axis that would lose all of its elements, the first stays; again, since that may tie to others."""
        for leaf in self.analysis.atoms.leaves:
            own = self.analysis.atoms.of_leaf(leaf)
            if len(own) and (own >= 0).all() and removed[own].all():
                removed[own[0]] = False

    def biases(self, removed: Mask) -> dict[str, Array]:
        """New values of the stored biases of contractions whose constant columns go."""
        constants = self.analysis.graph.constants
        found: dict[str, Array] = {}
        for point, weight, data in self._sums.values():
            added = self._added(point.contraction, removed, weight, data)
            if not added.any():
                continue
            sign = -1.0 if point.norm is not None else 1.0
            old = point.read_bias(constants)
            new = np.asarray(old, np.float64) + sign * added.reshape(np.shape(old))
            found |= point.write_bias(new.astype(old.dtype), constants)
        return found

    def new_biases(self, removed: Mask) -> dict[str, Array]:
        """Biases for contractions that have none, by node: one number for each row that stays."""
        table = np.append(removed, False)
        found: dict[str, Array] = {}
        for name, (item, weight, data) in self._without_bias.items():
            added = self._added(item, removed, weight, data)
            goes = np.zeros(added.size, dtype=bool)
            for row in tiled(self.facts, [*item.groups, *item.rows]):
                goes |= table[row]
            if added.any():
                dtype = self.analysis.graph.constants[item.constant].dtype
                found[name] = added.ravel()[~goes].astype(dtype)
        return found

    def _added(self, item: Contraction, removed: Mask, weight: Floats, data: Floats) -> Floats:
        """``[g, o]``: what the columns that go add to each row."""
        goes = self._lost(item, removed)
        found: Floats = np.where(goes[:, None, :], weight * np.where(goes, data, 0.0)[:, None, :], 0.0).sum(axis=2)
        return found

    def _lost(self, item: Contraction, removed: Mask) -> NDArray[np.bool_]:
        """``[g, c]``: the columns that go."""
        table = np.append(removed, False)
        g, _, c = item.shape
        goes = np.zeros(g * c, dtype=bool)
        for row in tiled(self.facts, [*item.groups, *item.columns]):
            goes |= table[row]
        return goes.reshape(g, c)

    # -- consumers -------------------------------------------------------------------------------------------------

    def _block(self, letters: Iterable[Letter], stays: Mapping[str, NDArray[np.bool_]] | None = None) -> None:
        """Block the atoms along letters, those of the marked elements alone where marks are given."""
        for letter in letters:
            for leaf in leaves_of(letter.axis) if stays is None else ():
                own = self.analysis.atoms.of_leaf(leaf)
                self.blocked[own[own >= 0]] = True
            for row in self.analysis.atoms.along(letter.axis) if stays is not None else ():
                marked = row[stays[letter.name]] if stays is not None else row
                self.blocked[marked[marked >= 0]] = True

    def _consume(self, matched: MatchedNode) -> None:
        node, traits = matched.node, traits_of(matched.node.qualified_op)
        notation = matched.signature.notation
        letters = self._letters(matched)
        self._block(letter for letter in letters if letter.name.split("*")[0] in notation.normalized)
        if node.name in self.facts.contractions:
            self._consume_contraction(self.facts.contractions[node.name])
        elif traits.idle_gate is not None:
            self._consume_cell(matched, letters)
        elif notation.macs and traits.combines != "product":
            self._consume_unknown(matched, letters)
        else:
            summed = matched.contracted
            self._consume_unknown(matched, [each for each in letters if each.name.split("*")[0] in summed])

    def _letters(self, matched: MatchedNode) -> list[Letter]:
        found: dict[str, Letter] = {}
        for position, name in enumerate(matched.node.inputs):
            for dim in self.facts.letters(matched, position) if name else ():
                found.update({letter.name: letter for letter in dim})
        for position, name in enumerate(matched.node.outputs):
            dims = self.analysis.coupling.dims.get(name) if name else None
            for dim in result_letters(matched, position, len(dims)) if dims is not None else ():
                found.update({letter.name: letter for letter in dim})
        return list(found.values())

    def _consume_contraction(self, item: Contraction) -> None:
        """Columns that add nothing, or a constant that the bias takes up, may go; the others stay."""
        weight, data = weight_matrix(self.facts, item), summands(self.facts, item)
        silent = (weight == 0).all(axis=1) | data.is_zero
        point = self._points.get(item.node.name)
        constant = data.is_point & np.isfinite(weight).all(axis=1)
        found = np.where(constant & ~silent, data.low, 0.0)
        if point is not None and takes_up(self.analysis, point):
            self._sums[item.node.name] = (point, weight, found)
            silent |= constant
        elif self._may_have_bias(item):
            self._without_bias[item.node.name] = (item, weight, found)
            silent |= constant
        summed = [letter for letter in item.columns if letter.name in {x.name for dim in item.operand for x in dim}]
        sizes = [letter.size for letter in (*item.groups, *item.columns)]
        stays = ~silent.reshape(sizes)
        for k, letter in enumerate((*item.groups, *item.columns)):
            if letter in summed:
                marks = stays.any(axis=tuple(j for j in range(len(sizes)) if j != k))
                self._block([Letter(letter.name, letter.axis)], {letter.name: marks})

    def _may_have_bias(self, item: Contraction) -> bool:
        """Whether the node takes a bias as operand 2 and has none yet."""
        takes = 2 in traits_of(item.node.qualified_op).weights and item.constant in self.analysis.graph.constants
        return takes and not any(item.node.inputs[2:])

    def _consume_cell(self, matched: MatchedNode, letters: Iterable[Letter]) -> None:
        """Inputs that are zero, or that no gate weighs; hidden units that are idle, or that no gate weighs."""
        from_inputs, from_state = silent_inputs(self.facts, matched)
        idle = idle_mask(self.facts, matched)
        for letter in letters:
            if letter.name == "i" and from_inputs is not None:
                zero = self.facts.operand(matched.node, 0).along(self.facts.atoms, letter.axis).is_zero
                self._block([letter], {"i": ~(zero | from_inputs)})
            elif letter.name == "h" and from_state is not None:
                self._block([letter], {"h": ~(from_state | idle if idle is not None else from_state)})
            else:
                self._block([letter])

    def _consume_unknown(self, matched: MatchedNode, letters: Iterable[Letter]) -> None:
        """Only zeros may go: in one operand of a product, in all operands of anything else."""
        product = traits_of(matched.node.qualified_op).combines == "product"
        for letter in letters:
            zero = self._zeros(matched, letter, any_of=product)
            if zero is None:
                self._block([letter])
            else:
                self._block([letter], {letter.name: ~zero})

    def _zeros(self, matched: MatchedNode, letter: Letter, *, any_of: bool) -> NDArray[np.bool_] | None:
        found: NDArray[np.bool_] | None = None
        for position, name in enumerate(matched.node.inputs):
            for dim in self.facts.letters(matched, position) if name else ():
                for own in dim:
                    if own.name != letter.name:
                        continue
                    value = self.analysis.graph.values.get(name)
                    if value is None or not is_native_float(value.dtype or ""):
                        return None
                    zero = self.facts.operand(matched.node, position).along(self.facts.atoms, own.axis).is_zero
                    found = zero if found is None else (found | zero if any_of else found & zero)
        return found


def takes_up(analysis: Analysis, point: Point) -> bool:
    """Whether a vector behind a contraction, of one number for each row, can take up a constant."""
    if point.bias is None or point.has_fixed_bias or (point.stored_bias is not None and point.stored_bias.is_quantized):
        return False
    g, o, _ = point.contraction.shape
    shape = point.read_bias(analysis.graph.constants).shape
    if int(np.prod(shape)) != g * o:
        return False
    if point.norm is not None:
        scale, _ = affine(analysis.graph, point)
        return bool(np.isfinite(scale).all())
    if len(shape) == 1 and point.bias in point.contraction.node.inputs:
        return True
    own = {letter.name for letter in (*point.contraction.groups, *point.contraction.rows)}
    places = [k for k, dim in enumerate(point.contraction.result) if any(letter.name in own for letter in dim)]
    wide = [k - len(shape) for k, size in enumerate(shape) if size > 1]
    return len(places) == 1 and wide == [places[0] - len(point.contraction.result)]
