"""LSTM, GRU and RNN: ONNX orders the gates differently from PyTorch, and stacks the directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .call import OperatorCall, Result


@dataclass(frozen=True)
class _Cell:
    """A recurrent cell: for each gate of PyTorch its position in ONNX, and PyTorch's function by activations.

    The first activations are the default. ``resets_first``: ONNX may reset the state before its product with a weight.
    """

    gates: tuple[int, ...]
    functions: Mapping[tuple[str, ...], Callable[..., tuple[Tensor, ...]]]
    states: int = 1
    resets_first: bool = False

    def function(self, call: OperatorCall, directions: int) -> Callable[..., tuple[Tensor, ...]]:
        given = _activations(call) or next(iter(self.functions)) * directions
        found = {names * directions: function for names, function in self.functions.items()}.get(given)
        call.require(found is not None, "its activations are not those of PyTorch")
        assert found is not None
        return found


_CELLS = {
    "LSTM": _Cell((0, 2, 3, 1), {("Sigmoid", "Tanh", "Tanh"): torch.lstm}, states=2),  # i o f c
    "GRU": _Cell((1, 0, 2), {("Sigmoid", "Tanh"): torch.gru}, resets_first=True),  # z r h
    "RNN": _Cell((0,), {("Tanh",): torch.rnn_tanh, ("Relu",): torch.rnn_relu}),
}


def recurrent(call: OperatorCall) -> Result:
    """All of a recurrent layer in one call of PyTorch's fused cell."""
    cell = _CELLS[call.node.qualified_op]
    is_reversed, directions = _require_plain(call, cell)
    function = cell.function(call, directions)
    batch_first = bool(call.int_of("layout"))
    x = call.tensor(0).transpose(0, 1) if batch_first else call.tensor(0)
    if is_reversed:
        x = torch.flip(x, (0,))
    states = [_state(call, 5 + k, directions) for k in range(cell.states)]
    has_biases = call.has(3)
    weights = [w for direction in range(directions) for w in _weights(call, cell.gates, direction, has_biases)]
    hx: Any = states if cell.states > 1 else states[0]
    found = function(x, hx, weights, has_biases, 1, 0.0, False, directions == 2, False)
    last = [found[1 + k] for k in range(len(states))]
    return _results(call, found[0], last, is_reversed, directions)


def _activations(call: OperatorCall) -> tuple[str, ...]:
    value = call.node.attributes.get("activations")
    return tuple(str(name) for name in value) if isinstance(value, tuple) else ()


def _require_plain(call: OperatorCall, cell: _Cell) -> tuple[bool, int]:
    """Whether the sequence is read backwards, and the number of directions."""
    direction = call.str_of("direction", "forward")
    directions = 2 if direction == "bidirectional" else 1
    call.require("clip" not in call.node.attributes, "its cells are clipped")
    call.require(not call.int_of("input_forget"), "its input and forget gates are coupled")
    call.require(not call.has(7), "it has peephole connections")
    is_in_order = not cell.resets_first or bool(call.int_of("linear_before_reset"))
    call.require(is_in_order, "linear_before_reset=0 is not in PyTorch")
    call.require(not call.has(4) or _covers_all(call), "its sequences are of several lengths")
    return direction == "reverse", directions


def _covers_all(call: OperatorCall) -> bool:
    """Whether every sequence is as long as the tensor."""
    lengths, length = call.values.constant(call.node.inputs[4]), call.size(0, call.int_of("layout"))
    return lengths is not None and isinstance(length, int) and bool((lengths == length).all())


def _state(call: OperatorCall, position: int, directions: int) -> Tensor:
    batch_first = bool(call.int_of("layout"))
    if call.has(position):
        state = call.tensor(position)
        return state.transpose(0, 1) if batch_first else state
    batch, hidden = call.size(0, 0 if batch_first else 1), call.static_size(2, 2)
    return call.tensor(0).new_zeros((directions, batch, hidden))


def _weights(call: OperatorCall, order: Sequence[int], direction: int, has_biases: bool) -> list[Tensor]:
    found = [_ordered(call.tensor(k)[direction], order) for k in (1, 2)]
    if has_biases:
        hidden = call.static_size(2, 2)
        both = call.tensor(3)[direction]
        size = len(order) * hidden
        found += [_ordered(both[:size], order), _ordered(both[size:], order)]
    return found


def _ordered(stacked: Tensor, order: Sequence[int]) -> Tensor:
    if len(order) == 1:
        return stacked
    gates = torch.chunk(stacked, len(order))
    return torch.cat([gates[k] for k in order])


def _results(call: OperatorCall, y: Tensor, last: Sequence[Tensor], is_reversed: bool, directions: int) -> Result:
    batch_first, hidden = bool(call.int_of("layout")), call.static_size(2, 2)
    if is_reversed:
        y = torch.flip(y, (0,))
    length, batch = (call.size(0, k) for k in ((1, 0) if batch_first else (0, 1)))
    apart = y.reshape((length, batch, directions, hidden))
    stacked = torch.permute(apart, (1, 0, 2, 3) if batch_first else (0, 2, 1, 3))
    return [stacked, *(state.transpose(0, 1) if batch_first else state for state in last)]
