"""Recurrent calls of several layers, as one call a layer: every layer gets a hidden size of its own.

::

    lstm(x, (h, c), w0 + w1, num_layers=2)   ->   lstm(dropout(lstm(x, (h[0], c[0]), w0)), (h[1], c[1]), w1)
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from ...frontends.aten import aten_operator
from ...frontends.effects import operator_name

_ATEN = torch.ops.aten


def one_call_a_layer(graph: fx.Graph, node: fx.Node) -> None:
    """Rewrite ``lstm`` and ``gru`` of several layers; single layers stay as they are."""
    assert callable(node.target)
    arguments: tuple[Any, ...] = node.args
    data, states, weights, biases, layers, dropout, train, both, batch_first = arguments
    if layers == 1 or any(user.target is not operator.getitem for user in node.users):
        return
    each = len(weights) // layers
    before = list(states) if isinstance(states, (list, tuple)) else [states]
    after: list[list[fx.Node]] = [[] for _ in before]
    values = node.meta["val"]
    with graph.inserting_before(node):
        for layer in range(layers):
            own = [_part(graph, state, layer, 2 if both else 1) for state in before]
            given = own if len(own) > 1 else own[0]
            part = weights[layer * each : (layer + 1) * each]
            call = graph.call_function(node.target, (data, given, part, biases, 1, 0.0, train, both, batch_first))
            call.meta["val"] = (values[0], *(state.meta["val"] for state in own))
            results = [_item(graph, call, k) for k in range(1 + len(own))]
            data = results[0]
            for found, state in zip(after, results[1:], strict=True):
                found.append(state)
            if dropout and layer < layers - 1:
                data = _like(graph.call_function(_ATEN.dropout.default, (data, dropout, train)), values[0])
        _replace(graph, node, data, after)


def _part(graph: fx.Graph, state: fx.Node, layer: int, directions: int) -> fx.Node:
    """The initial state of a layer: a slice, or a new tensor if all elements are equal."""
    value = state.meta["val"][layer * directions : (layer + 1) * directions]
    sizes: Any = state.args[0] if state.args else None
    if aten_operator(operator_name(state)).fills and isinstance(sizes, (list, tuple)) and callable(state.target):
        filled = graph.call_function(state.target, ([directions, *sizes[1:]], *state.args[1:]), state.kwargs)
        return _like(filled, value)
    bounds = (0, layer * directions, (layer + 1) * directions)
    return _like(graph.call_function(_ATEN.slice.Tensor, (state, *bounds)), value)


def _item(graph: fx.Graph, call: fx.Node, position: int) -> fx.Node:
    return _like(graph.call_function(operator.getitem, (call, position)), call.meta["val"][position])


def _like(node: fx.Node, value: Any) -> fx.Node:
    node.meta["val"] = value
    return node


def _replace(graph: fx.Graph, node: fx.Node, result: fx.Node, states: list[list[fx.Node]]) -> None:
    for user in list(node.users):
        position: Any = user.args[1]
        if position == 0:
            user.replace_all_uses_with(result)
        else:
            _replace_states(graph, user, states[position - 1])
        graph.erase_node(user)
    graph.erase_node(node)


def _replace_states(graph: fx.Graph, whole: fx.Node, states: list[fx.Node]) -> None:
    """The last states of all layers, without stacking them for readers that select a single one."""
    directions = len(whole.meta["val"]) // len(states)
    for user in list(whole.users):
        if user.target is _ATEN.select.int and user.args[1] == 0:
            index: Any = user.args[2]
            layer, direction = divmod(index % (len(states) * directions), directions)
            user.args = (states[layer], 0, direction)
    if whole.users:
        joined = graph.call_function(_ATEN.cat.default, (states,))
        whole.replace_all_uses_with(_like(joined, whole.meta["val"]))
