"""LSTM, GRU and RNN: ONNX orders the gates differently from PyTorch, and stacks the directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .call import OperatorCall, Result

_GATES: dict[str, tuple[int, ...]] = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""For each gate of PyTorch its position in ONNX: i o f c, z r h."""

_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def recurrent(call: OperatorCall) -> Result:
    """All of a recurrent layer in one call of PyTorch's fused cell."""
    is_reversed, directions = _require_plain(call)
    batch_first, op = bool(call.int_of("layout")), call.node.op
    x = call.tensor(0).transpose(0, 1) if batch_first else call.tensor(0)
    if is_reversed:
        x = torch.flip(x, (0,))
    states = [_state(call, k, directions) for k in ((5, 6) if op == "LSTM" else (5,))]
    has_biases = call.has(3)
    weights = [w for direction in range(directions) for w in _weights(call, direction, has_biases)]
    function = _cell(call)
    hx: Any = states if op == "LSTM" else states[0]
    found = function(x, hx, weights, has_biases, 1, 0.0, False, directions == 2, False)
    last = [found[1 + k] for k in range(len(states))]
    return _results(call, found[0], last, is_reversed, directions)


def _cell(call: OperatorCall) -> Callable[..., tuple[Tensor, ...]]:
    if call.node.op == "LSTM":
        return torch.lstm
    if call.node.op == "GRU":
        return torch.gru
    activations = _activations(call)
    return torch.rnn_relu if activations and activations[0] == "Relu" else torch.rnn_tanh


def _activations(call: OperatorCall) -> list[str]:
    value = call.node.attributes.get("activations")
    return [str(name) for name in value] if isinstance(value, tuple) else []


def _require_plain(call: OperatorCall) -> tuple[bool, int]:
    """Whether the sequence is read backwards, and the number of directions."""
    op, direction = call.node.op, call.str_of("direction", "forward")
    directions = 2 if direction == "bidirectional" else 1
    allowed = [_ACTIVATIONS[op] * directions] + ([["Relu"] * directions] if op == "RNN" else [])
    call.require(_activations(call) in ([], *allowed), "its activations are not those of PyTorch")
    call.require("clip" not in call.node.attributes, "its cells are clipped")
    call.require(not call.int_of("input_forget"), "its input and forget gates are coupled")
    call.require(not call.has(7), "it has peephole connections")
    call.require(not call.has(4) or _covers_all(call), "its sequences are of several lengths")
    if op == "GRU":
        call.require(bool(call.int_of("linear_before_reset")), "linear_before_reset=0 is not in PyTorch")
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


def _weights(call: OperatorCall, direction: int, has_biases: bool) -> list[Tensor]:
    order = _GATES[call.node.op]
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
