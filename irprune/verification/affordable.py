"""Choose trial sizes by cost: attention over the pixels of an image grows with the square of its area."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from .cases import InputSpec

_AFFORDABLE = 1 << 28
"""Bytes that one node may read and write."""


def by_cost(
    proto: onnx.ModelProto, specs: Sequence[InputSpec], trials: Sequence[dict[str, int]]
) -> list[dict[str, int]]:
    """The trials, with those that cost too much moved to the end, cheapest first.

    If the order changed, the second trial is the one that differs from the first in the most sizes.
    """
    if len(trials) < 2:
        return list(trials)
    costs = [largest_node(proto, {spec.name: spec.shape(trial) for spec in specs}) for trial in trials]
    cheap = [trial for trial, cost in zip(trials, costs, strict=True) if cost <= _AFFORDABLE]
    dear = sorted((cost, k) for k, cost in enumerate(costs) if cost > _AFFORDABLE)
    if dear and cheap:
        first = cheap[0]
        cheap.sort(key=lambda trial: sum(trial[symbol] == first[symbol] for symbol in trial) if trial != first else -1)
    return [*cheap, *(trials[k] for _, k in dear)]


def largest_node(proto: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> int:
    """The bytes of activations that the largest node reads and writes at these shapes of the inputs.

    Values of unknown shape count as zero bytes.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.value_info[:]
    for info in copy.graph.input:
        if info.name in shapes:
            del info.type.tensor_type.shape.dim[:]
            for size in shapes[info.name]:
                info.type.tensor_type.shape.dim.add().dim_value = size
    try:
        inferred = onnx.shape_inference.infer_shapes(copy, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return 0  # the model is invalid at this size, or inference fails
    found = {info.name: _bytes(info) for info in (*inferred.input, *inferred.value_info, *inferred.output)}
    return max((sum(found.get(name, 0) for name in _touched(node)) for node in inferred.node), default=0)


def _touched(node: onnx.NodeProto) -> Iterator[str]:
    yield from dict.fromkeys((*node.input, *node.output))


def _bytes(info: onnx.ValueInfoProto) -> int:
    kind = info.type.tensor_type
    dims = [dim.dim_value for dim in kind.shape.dim]
    if not kind.HasField("shape") or kind.elem_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return 0
    return int(math.prod(dims) * onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize)
