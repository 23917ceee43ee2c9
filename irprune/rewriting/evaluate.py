"""Evaluates one node with known operands on ONNX Runtime, as at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from ..ir import Constant, Node, Opaque
from ..ir.core import Array
from ..ir.dtypes import is_native
from ..signatures import traits_of
from .draft import Refused

_SHAPE_OPERAND = 1024
"""Operands of at most this many elements are shown to shape inference."""


def evaluate(
    node: Node, operands: Sequence[Constant | None], opsets: Mapping[str, int], allowed: int, largest: int
) -> list[Constant]:
    """The results of a node, one for each of its outputs.

    ``allowed`` bounds the bytes of the results, ``largest`` those of results and operands together. Raises
    :class:`Refused` for an operator that is random, belongs to quantization, has subgraphs or lies outside
    the standard domain, for element types that numpy does not have, and for results that are too large.
    """
    _require_deterministic(node, operands)
    known = [constant for constant in operands if constant is not None]
    taken = sum(_bytes(constant) for constant in known)
    if taken > largest:
        raise Refused(f"its operands have {taken} bytes, more than {largest}")
    model = _model(node, operands, opsets)
    size = _result_bytes(node, model)
    if size is None and not traits_of(node.qualified_op).bounded:
        raise Refused("the size of its result depends on data")
    if size is not None and (size > allowed or size + taken > largest):
        raise Refused(f"its result has {size} bytes, more than {min(allowed, largest - taken)}")
    arrays = _run(model, operands)
    size = sum(array.nbytes for array in arrays)
    if size > allowed:
        raise Refused(f"its result has {size} bytes, more than {allowed}")
    results = iter(arrays)
    return [Constant.from_array(next(results) if name else np.zeros(0, np.float32)) for name in node.outputs]


def _require_deterministic(node: Node, operands: Sequence[Constant | None]) -> None:
    if node.domain:
        raise Refused(f"{node.qualified_op} is not a standard operator")
    traits, training = traits_of(node.qualified_op), traits_of(node.qualified_op).training_operand
    if traits.quantization:
        raise Refused("quantization stays in the model")
    if traits.random or (training is not None and len(node.inputs) > training):
        raise Refused("its result is random")
    if node.captures or any(isinstance(value, Opaque) for value in node.attributes.values()):
        raise Refused("it has a subgraph, or an attribute that is not a plain value")
    if not any(operands):
        raise Refused("it has no operands")
    for constant in operands:
        if constant is not None and (not is_native(constant.dtype) or constant.read is None):
            raise Refused(f"an operand of type {constant.dtype} cannot be evaluated")


def _bytes(constant: Constant) -> int:
    return constant.size * np.dtype(constant.dtype).itemsize


def _is_shape(constant: Constant) -> bool:
    return constant.size <= _SHAPE_OPERAND


def _model(node: Node, operands: Sequence[Constant | None], opsets: Mapping[str, int]) -> onnx.ModelProto:
    """The node alone: small operands are initializers, which shape inference reads, large ones are inputs."""
    inputs, initializers, names = [], [], []
    for k, constant in enumerate(operands):
        names.append("" if constant is None else f"i{k}")
        if constant is None:
            continue
        if _is_shape(constant):
            initializers.append(onnx.numpy_helper.from_array(_array(constant), f"i{k}"))
        else:
            dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(constant.dtype))
            inputs.append(onnx.helper.make_tensor_value_info(f"i{k}", dtype, constant.shape))
    outputs = [f"o{k}" if name else "" for k, name in enumerate(node.outputs)]
    proto = onnx.helper.make_node(node.op, names, outputs)
    for name, value in node.attributes.items():
        proto.attribute.append(_attribute(name, value))
    infos = [onnx.ValueInfoProto(name=name) for name in outputs if name]
    graph = onnx.helper.make_graph([proto], "node", inputs, infos, initializers)
    imports = [onnx.helper.make_opsetid("", opsets.get("", 1))]
    version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=max(version, 4))
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise Refused(f"shape inference fails: {error}") from error


def _array(constant: Constant) -> Array:
    return np.ascontiguousarray(constant.numpy()).reshape(constant.shape)


def _attribute(name: str, value: object) -> onnx.AttributeProto:
    if isinstance(value, Constant):
        if not is_native(value.dtype):
            raise Refused(f"attribute '{name}' has type {value.dtype}")
        return onnx.helper.make_attribute(name, onnx.numpy_helper.from_array(_array(value)))
    if value == ():
        raise Refused(f"attribute '{name}' is an empty list")
    return onnx.helper.make_attribute(name, value)


def _result_bytes(node: Node, model: onnx.ModelProto) -> int | None:
    total = 0
    for info in model.graph.output:
        tensor = info.type.tensor_type
        if not info.type.HasField("tensor_type") or not tensor.elem_type:
            raise Refused("the type of its result is unknown")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if not is_native(dtype.name):
            raise Refused(f"its result has type {dtype.name}")
        if not tensor.HasField("shape") or any(not dim.HasField("dim_value") for dim in tensor.shape.dim):
            return None
        total += int(np.prod([dim.dim_value for dim in tensor.shape.dim], dtype=np.int64)) * dtype.itemsize
    return total


def _run(model: onnx.ModelProto, operands: Sequence[Constant | None]) -> list[Array]:
    from ..runtime.session import RunFailure, open_session, run_session

    feeds = {f"i{k}": _array(c) for k, c in enumerate(operands) if c is not None and not _is_shape(c)}
    try:
        return list(run_session(open_session(model.SerializeToString(), threads=1), feeds).values())
    except RunFailure as error:
        raise Refused(f"ONNX Runtime cannot evaluate it: {error}") from error
