"""Declared shapes that cannot be true: sizes fixed behind an input whose size is open.

Tools that make an input symbolic often leave the static shapes of what follows in the file (``value_info``). Shape
inference merges them with what it finds, and a size that is 28 in one run only looks like one that is always 28.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import onnx

from ..signatures import traits_of

_SIZES = (928, 992, 1184, 1312, 1376, 1504, 1696, 1888)
"""Trial values of open sizes: multiples of 32, which strided layers divide, and unusual ones for a model."""


def drop_stale(proto: onnx.ModelProto) -> None:
    """Clear declared sizes in ``proto`` that change when the open sizes of the inputs change.

    Nothing changes where no input has an open size, or where inference does not find the size by itself.
    """
    if not any(_open(proto.graph)):
        return
    tried = _at_some_size(proto)
    with contextlib.suppress(onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        tried = onnx.shape_inference.infer_shapes(tried, data_prop=True)
    found = {info.name: info.type.tensor_type.shape.dim for info in (*tried.graph.value_info, *tried.graph.output)}
    for info in (*proto.graph.value_info, *proto.graph.output):
        declared = info.type.tensor_type.shape.dim
        for dim, other in zip(declared, found.get(info.name, ()), strict=False):
            if dim.HasField("dim_value") and other.HasField("dim_value") and dim.dim_value != other.dim_value:
                dim.Clear()


def fix_inputs(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give, in ``proto``, inputs these shapes; what the file says of the open sizes of other values is dropped."""
    for info in proto.graph.input:
        for dim, size in zip(info.type.tensor_type.shape.dim, shapes.get(info.name, ()), strict=False):
            dim.Clear()
            dim.dim_value = size
    if shapes:
        for info in (*proto.graph.value_info, *proto.graph.output):
            for dim in info.type.tensor_type.shape.dim:
                if dim.HasField("dim_param"):
                    dim.Clear()


def state_kept_shapes(proto: onnx.ModelProto) -> None:
    """State, in ``proto``, the results of operators unknown to onnx that keep the type and the shape of operand 0.

    The result of one may lead to the next: each round of inference gets one step further.
    """
    while found := _kept_shapes(proto):
        proto.graph.value_info.extend(found)


def _kept_shapes(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    keeping = [node for node in proto.graph.node if traits_of(node.op_type, node.domain).keeps_type]
    stated = {info.name for info in (*proto.graph.value_info, *proto.graph.output) if _has_shape(info)}
    waiting = [node for node in keeping if node.output[0] not in stated]
    if not waiting:
        return []
    with contextlib.suppress(onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    graph = proto.graph
    known = {
        tensor.name: onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
    }
    known.update((info.name, info) for info in (*graph.input, *graph.value_info) if _has_shape(info))
    outputs = {info.name for info in graph.output}
    found: list[onnx.ValueInfoProto] = []
    for node in waiting:
        if node.input[0] in known and node.output[0] not in outputs:
            info = onnx.ValueInfoProto()
            info.CopyFrom(known[node.input[0]])
            info.name = node.output[0]
            found.append(info)
    return found


def _has_shape(info: onnx.ValueInfoProto) -> bool:
    return info.type.tensor_type.elem_type != 0 and info.type.tensor_type.HasField("shape")


def _at_some_size(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with numbers for the open sizes of its inputs, and no other declared shapes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    sizes: dict[str, int] = {}
    for name, dim in _open(copy.graph):
        dim.dim_value = sizes.setdefault(name, _SIZES[len(sizes) % len(_SIZES)])
    del copy.graph.value_info[:]
    for info in copy.graph.output:
        info.type.tensor_type.ClearField("shape")
    return copy


def _open(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorShapeProto.Dimension]]:
    for info in graph.input:
        for k, dim in enumerate(info.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value") or dim.dim_value < 0:
                yield dim.dim_param or f"{info.name}:{k}", dim
