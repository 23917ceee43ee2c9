"""Hidden units of recurrent cells that stay at zero.

A cell's new state is a mixture of its old state and of a candidate, ``tanh(W x + R h + b)``. Where the candidate's rows
of W, R and both biases are zero and the state starts at zero, the unit stays at zero:

    LSTM  c' = f c + i tanh(0) = 0,  h' = o tanh(c') = 0        GRU  h' = (1 - z) tanh(0) + z h = 0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..analysis import MatchedNode
from ..calibration.weights import computed_weight
from ..ir.core import Array
from ..signatures import traits_of
from .bounds import UNKNOWN, Bounds, Interval, gathered
from .letters import result_letters

if TYPE_CHECKING:
    from .interpret import Facts

Mask = NDArray[np.bool_]

_STATES = (5, 6)
"""The operands that hold initial states."""


def array_of(facts: Facts, name: str) -> Array | None:
    """A weight as the node reads it; ``None`` where it is computed from data."""
    constant = facts.graph.constants.get(name)
    if constant is not None:
        return None if constant.read is None else constant.numpy()
    found = computed_weight(facts.graph, name)
    return None if found is None else found.read(facts.graph.constants)


def idle_mask(facts: Facts, matched: MatchedNode) -> Mask | None:
    """Which hidden units stay at zero; ``None`` where that cannot be told."""
    node, traits = matched.node, traits_of(matched.node.qualified_op)
    if traits.idle_gate is None or "activations" in node.attributes or "hidden_size" not in node.attributes:
        return None
    size = node.int("hidden_size")
    idle = np.ones(size, dtype=bool)
    rows = slice(traits.idle_gate * size, (traits.idle_gate + 1) * size)
    for position in (1, 2):
        weight = array_of(facts, node.inputs[position])
        if weight is None:
            return None
        idle &= (weight[:, rows] == 0).all(axis=(0, 2))
    if len(node.inputs) > 3 and node.inputs[3]:
        bias = array_of(facts, node.inputs[3])
        if bias is None:
            return None
        idle &= (bias.reshape(len(bias), 2, -1)[:, :, rows] == 0).all(axis=(0, 1))
    for position in _STATES:
        if position < len(node.inputs) and node.inputs[position]:
            idle &= _hidden(facts, matched, position).is_zero
    return idle


def _hidden(facts: Facts, matched: MatchedNode, position: int) -> Interval:
    """The bounds of a state along the hidden units."""
    letters = [letter for dim in facts.letters(matched, position) for letter in dim if letter.name == "h"]
    if not letters:
        return Bounds().along(facts.atoms, matched.axes["h"][0])
    return facts.operand(matched.node, position).along(facts.atoms, letters[0].axis)


def idle_units(facts: Facts, matched: MatchedNode, position: int) -> Bounds:
    """The bounds of a cell's result: zero for idle units."""
    idle = idle_mask(facts, matched)
    dims = facts.coupling.dims.get(matched.node.outputs[position])
    if idle is None or dims is None or not idle.any():
        return UNKNOWN
    found = Interval(np.where(idle, 0.0, -np.inf), np.where(idle, 0.0, np.inf))
    letters = [x for dim in result_letters(matched, position, len(dims)) for x in dim if x.name == "h"]
    return gathered(Bounds().whole, [(facts.atoms.along(letter.axis), found) for letter in letters])


def silent_inputs(facts: Facts, matched: MatchedNode) -> tuple[Mask | None, Mask | None]:
    """Which inputs and which hidden units add nothing to any gate: their columns of W, or R, are zero."""
    found = []
    for position in (1, 2):
        weight = array_of(facts, matched.node.inputs[position])
        found.append(None if weight is None else np.asarray((weight == 0).all(axis=(0, 1))))
    return found[0], found[1]
