"""Tables that a program computes from numbers alone.

::

    arange(0, 8) -> floor_divide(2) -> mul(2 / 8) -> pow(10000, .)      the frequencies of sine embeddings
    arange(q) - arange(k) -> abs, log, where, add                       the buckets of relative positions

An exporter folds them to constants. Here the program goes on computing them; what they come to is known, though, and
they are read as constants: an axis of theirs counts no positions, and indices among them can be looked at.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from .effects import is_reproducible

_LIMIT = 1 << 20
"""A result of more elements than this is not computed ahead of a run."""


def find_tables(module: fx.GraphModule, mutated: Collection[fx.Node]) -> dict[fx.Node, Callable[[], Tensor]]:
    """The calls that compute a table, or a step on the way to one, each with what computes it anew.

    They read nothing but numbers, and draw none at random. ``mutated`` are the nodes that something writes into
    later on. A tensor of equal elements is no table (all parts of it are the same), nor is a result of the graph.
    """
    numbers = {node: tensor for node in module.graph.nodes if (tensor := _numbers(module, node)) is not None}
    written = {node.target for node in numbers if node in mutated}
    numbers = {node: tensor for node, tensor in numbers.items() if node.target not in written}
    spared = {result for node in module.graph.nodes if node.op == "output" for result in node.all_input_nodes}
    spared |= {node.args[0] for node in spared if node.target is operator.getitem}
    found: dict[fx.Node, Callable[[], Tensor]] = {}
    for node, result in _computed(module.graph, mutated, numbers):
        if node.target is operator.getitem:
            is_table = node.args[0] in found  # the results of a call stay together
        else:
            is_table = not all(map(_is_uniform, _tensors(result)))
        if is_table and node not in spared:
            found[node] = partial(_computed_anew, node, numbers)
    return found


def _numbers(module: fx.GraphModule, node: fx.Node) -> Tensor | None:
    """Integers and truth values that are no part of the state: numbers that the program spells out."""
    if node.op != "get_attr":
        return None
    path, _, name = str(node.target).rpartition(".")
    owner = module.get_submodule(path)
    tensor = owner._buffers.get(name)
    if tensor is None or name not in owner._non_persistent_buffers_set or tensor.is_meta:
        return None
    return None if tensor.is_floating_point() or tensor.is_complex() or tensor.numel() > _LIMIT else tensor


def _computed_anew(node: fx.Node, numbers: Mapping[fx.Node, Tensor]) -> Tensor:
    needed, waiting = {node}, [node]
    while waiting:
        operands = [operand for operand in waiting.pop().all_input_nodes if operand not in needed]
        needed.update(operands)
        waiting += operands
    values: dict[fx.Node, Any] = dict(numbers)
    for step in node.graph.nodes:
        if step in needed and step not in numbers:
            values[step] = _result(step, values)
    result = values[node]
    assert isinstance(result, Tensor)
    return result


def _computed(
    graph: fx.Graph, mutated: Collection[fx.Node], numbers: Mapping[fx.Node, Tensor]
) -> Iterator[tuple[fx.Node, Any]]:
    """Every call whose result is known, with it; results are let go once all who read them have been."""
    values: dict[fx.Node, Any] = dict(numbers)
    readers = {node: len(node.users) for node in graph.nodes}
    for node in graph.nodes:
        if node not in mutated and _is_small(node) and all(operand in values for operand in node.all_input_nodes):
            with suppress(Exception):  # such as a device that this machine does not have
                values[node] = _result(node, values)
        if node in values and node not in numbers:
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
    """Whether the call may be computed: of tensors that have data, of fixed shapes and moderate sizes."""
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
