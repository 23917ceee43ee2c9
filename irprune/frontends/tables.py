"""Tables that a program computes from numbers alone.

::

    arange(0, 8) -> floor_divide(2) -> mul(2 / 8) -> pow(10000, .)      the frequencies of sine embeddings
    arange(q) - arange(k) -> abs, log, where, add                       the buckets of relative positions

An exporter folds them to constants. A captured program still computes them, but their values are known, so the import
reads them as constants: their axes can be pruned, and indices among them are known.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from .aten import aten_operator
from .captured import Captured
from .effects import is_reproducible, operator_name

_LIMIT = 1 << 20
"""Results of more elements than this are not computed at import."""


def find_tables(captured: Captured, mutated: Collection[fx.Node]) -> dict[fx.Node, Callable[[], Tensor]]:
    """The calls that compute a table or an intermediate result of one, each with a function that computes it again.

    They depend on numbers alone, not on random ones. ``mutated`` are nodes that are written into later on. A tensor of
    equal elements is not a table (any part of it serves), nor is a result of the graph, nor a copy of stored state.
    Intermediate results may be read only by tables: they stay whole.
    """
    stored, unknown = _stored_numbers(captured), set(mutated)
    while True:
        written = {node.target for node in stored if node in unknown}
        stored = {node: tensor for node, tensor in stored.items() if node.target not in written}
        found = _find_tables(captured.graph, unknown, stored)
        operands = {operand for node in found for operand in node.all_input_nodes if operand not in found}
        shared = {node for node in operands if not found.keys() >= node.users.keys() and not _is_single(node)}
        if not shared:
            return {node: partial(_computed_anew, node, stored) for node in found}
        unknown |= shared


def _is_single(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and node.op != "get_attr" and value.numel() == 1


def _find_tables(
    graph: fx.Graph, unknown: Collection[fx.Node], stored: Mapping[fx.Node, Tensor]
) -> dict[fx.Node, None]:
    spared = {result for node in graph.nodes if node.op == "output" for result in node.all_input_nodes}
    spared |= {node.args[0] for node in spared if node.target is operator.getitem}
    found: dict[fx.Node, None] = {}
    for node, result in _computed(graph, unknown, stored):
        if node.target is operator.getitem:
            is_table = node.args[0] in found  # all results of a call, or none
        else:
            is_copy = aten_operator(operator_name(node)).copies and node.args[0] in stored
            is_table = not is_copy and not all(map(_is_uniform, _tensors(result)))
        if is_table and node not in spared:
            found[node] = None
    return found


def _stored_numbers(captured: Captured) -> dict[fx.Node, Tensor]:
    """Integers and booleans outside the saved state, such as the kept indices of a table."""
    found: dict[fx.Node, Tensor] = {}
    for node in captured.graph.nodes:
        tensor = captured.state[str(node.target)] if node.op == "get_attr" else None
        if node.target not in captured.unsaved or not isinstance(tensor, Tensor):
            continue
        is_plain = not (tensor.is_floating_point() or tensor.is_complex() or tensor.is_meta)
        if is_plain and tensor.numel() <= _LIMIT:
            found[node] = tensor
    return found


def _computed_anew(node: fx.Node, stored: Mapping[fx.Node, Tensor]) -> Tensor:
    needed, waiting = {node}, [node]
    while waiting:
        operands = [operand for operand in waiting.pop().all_input_nodes if operand not in needed]
        needed.update(operands)
        waiting += operands
    values: dict[fx.Node, Any] = dict(stored)
    for step in node.graph.nodes:
        if step in needed and step not in stored:
            values[step] = _result(step, values)
    result = values[node]
    assert isinstance(result, Tensor)
    return result


def _computed(
    graph: fx.Graph, unknown: Collection[fx.Node], stored: Mapping[fx.Node, Tensor]
) -> Iterator[tuple[fx.Node, Any]]:
    """Every call whose result is known, with the result; a result is freed after its last reader."""
    values: dict[fx.Node, Any] = dict(stored)
    readers = {node: len(node.users) for node in graph.nodes}
    for node in graph.nodes:
        if node not in unknown and _is_small(node) and all(operand in values for operand in node.all_input_nodes):
            with suppress(Exception):  # for instance, a device that this machine lacks
                values[node] = _result(node, values)
        if node in values and node not in stored:
            yield node, values[node]
        for operand in node.all_input_nodes:
            readers[operand] -= 1
            if not readers[operand]:
                values.pop(operand, None)


def _result(node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
    assert callable(node.target)
    with torch.no_grad():
        return node.target(*args, **kwargs)


def _is_small(node: fx.Node) -> bool:
    """Whether the call can be computed at import: its tensors have data, fixed shapes and moderate sizes."""
    is_call = isinstance(node.target, torch._ops.OpOverload) and is_reproducible(node.target)
    if not is_call and node.target is not operator.getitem:
        return False
    results = _tensors(node.meta.get("val"))
    return bool(results) and all(
        result.device.type != "meta"
        and all(isinstance(size, int) for size in result.shape)
        and result.numel() <= _LIMIT
        for result in results
    )


def _tensors(value: Any) -> list[Tensor]:
    """A result that is a tensor, or several; an empty list for any other."""
    results = value if isinstance(value, (list, tuple)) else [value]
    return list(results) if all(isinstance(result, Tensor) for result in results) else []


def _is_uniform(tensor: Tensor) -> bool:
    return tensor.numel() < 2 or bool((tensor == tensor.ravel()[0]).all())
