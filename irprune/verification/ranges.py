"""The ranges of integer inputs, derived from the graph.

An index is below the size of the table that it looks up, and the length of a sequence is at most that of its tensor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import onnx
from onnx import numpy_helper

from ..signatures import traits_of

_INTEGERS = {onnx.TensorProto.INT32, onnx.TensorProto.INT64}

_CHOOSING = {
    onnx.TensorProto.BOOL,
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.BFLOAT16,
}
"""Types that a mask is cast to."""


def index_bounds(graph: onnx.GraphProto) -> dict[str, int]:
    """Per input that looks something up, the size of the smallest table; lengths of sequences are zero or one."""
    sizes = _constant_sizes(graph)
    readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, position))
    return {info.name: bound for info in graph.input if (bound := min(_bounds(info.name, readers, sizes), default=0))}


def masks(graph: onnx.GraphProto) -> set[str]:
    """Integer inputs that are compared, or turned into booleans or floats, and look nothing up."""
    bounded = index_bounds(graph)
    found: set[str] = set()
    for node in graph.node:
        to = next((attribute.i for attribute in node.attribute if attribute.name == "to"), 0)
        traits = traits_of(node.op_type, node.domain)
        if traits.asks in ("equality", "logic") or (traits.copies and to in _CHOOSING):
            found |= set(node.input)
    return {info.name for info in graph.input} & found - bounded.keys()


def choices(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Per input that is a single integer or boolean, the values it is asked to equal; of a boolean both."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in graph.node
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.HasField("t")
    }
    single = {name: int(numpy_helper.to_array(t).item()) for name, t in constants.items() if _is_single_integer(t)}
    found: dict[str, tuple[int, ...]] = {}
    for info in graph.input:
        kind = info.type.tensor_type
        if not kind.HasField("shape") or any(dim.dim_value != 1 for dim in kind.shape.dim):
            continue
        if kind.elem_type == onnx.TensorProto.BOOL:
            found[info.name] = (0, 1)
        elif kind.elem_type in _INTEGERS:
            found[info.name] = tuple(sorted(_equalled(info.name, graph, single)))
    return found


def _is_single_integer(tensor: onnx.TensorProto) -> bool:
    inside = tensor.data_location != onnx.TensorProto.EXTERNAL
    return inside and tensor.data_type in _INTEGERS and all(dim == 1 for dim in tensor.dims)


def _equalled(name: str, graph: onnx.GraphProto, constants: dict[str, int]) -> set[int]:
    """The constants that a value is compared with, however it is reshaped before; nodes come in the order of use."""
    same, found = {name}, set()
    for node in graph.node:
        traits = traits_of(node.op_type, node.domain)
        if traits.asks == "equality" and same & set(node.input):
            found |= {constants[other] for other in node.input if other in constants}
        elif any(traits.hands_on(position) and operand in same for position, operand in enumerate(node.input)):
            same |= set(node.output)
    return found


def _constant_sizes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if not node.output:
            continue
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    sizes[node.output[0]] = tuple(attribute.t.dims)
            continue
        traits = traits_of(node.op_type, node.domain)
        before = sizes.get(node.input[0]) if node.input else None
        if before is None:
            continue
        if traits.keeps_shape:
            sizes[node.output[0]] = before
        elif traits.permutation:
            given = (list(a.ints) for a in node.attribute if a.name == traits.permutation)
            order = next(given, list(range(len(before)))[::-1])
            if sorted(order) == list(range(len(before))):
                sizes[node.output[0]] = tuple(before[k] for k in order)
    return sizes


def _bounds(
    name: str, readers: dict[str, list[tuple[onnx.NodeProto, int]]], sizes: dict[str, tuple[int, ...]]
) -> Iterator[int]:
    waiting, seen = deque([name]), {name}
    while waiting:
        for node, position in readers.get(waiting.popleft(), ()):
            traits = traits_of(node.op_type, node.domain)
            for table in traits.lookups.get(position, ()):
                dims = sizes.get(node.input[table], ()) if table < len(node.input) else ()
                axis = next((a.i for a in node.attribute if a.name == traits.lookup_axis), 0)
                if -len(dims) <= axis < len(dims):
                    yield dims[axis]
            if traits.lengths == position:
                yield 2  # of any sequence at least one step can count
            if traits.hands_on(position):
                fresh = [output for output in node.output if output not in seen]
                seen.update(fresh)
                waiting.extend(fresh)
