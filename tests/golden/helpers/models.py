"""ONNX models from text, with numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as oir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from irprune.analysis import Analysis, analyze
from irprune.frontends.onnx import import_model
from irprune.ir import Graph

Array = NDArray[np.generic]


def model_of(text: str, opset: int = 20, numbers: Mapping[str, Array] | None = None, seed: int = 0) -> onnx.ModelProto:
    """A model from ``(inputs) => (outputs) <declared> { nodes }``.

    What is declared and produced by no node is a weight: that of ``numbers``, else random (names with ``var`` are
    positive). The shapes of outputs are inferred.
    """
    domains = f'"": {opset}' + (', "com.microsoft": 1' if "com.microsoft" in text else "")
    domains += ', "custom": 1' if "custom." in text else ""
    for domain in ("qonnx.custom_op.general", "onnx.brevitas"):
        domains += f', "{domain}": 1' if f"{domain}." in text else ""
    proto = onnx.parser.parse_model(f"<ir_version: 8, opset_import: [{domains}]> g {text}")
    random = np.random.default_rng(seed)
    produced = {name for node in proto.graph.node for name in node.output}
    for info in list(proto.graph.value_info):
        if info.name not in produced:
            given = (numbers or {}).get(info.name)
            array = _random(info, random) if given is None else given
            proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), info.name))
    del proto.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    for target, source in zip(proto.graph.output, inferred.graph.output, strict=True):
        target.CopyFrom(source)
    return proto


def _random(info: onnx.ValueInfoProto, random: np.random.Generator) -> Array:
    shape = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    if dtype.kind in "iu":
        return random.integers(1, 10, shape).astype(dtype)
    if "var" in info.name or "scale" in info.name:
        return random.uniform(0.5, 1.5, shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)


def graph_of(text: str, opset: int = 20) -> Graph:
    return import_model(oir.from_proto(model_of(text, opset)))


def analysis_of(text: str, opset: int = 20, allow_io: tuple[str, ...] = ()) -> Analysis:
    return analyze(graph_of(text, opset), allow_io)


_JOIN = {
    TensorProto.BOOL: "Greater",
    TensorProto.FLOAT: "Mul",
    TensorProto.FLOAT16: "Mul",
    TensorProto.INT32: "Add",
    TensorProto.UINT32: "Add",
    TensorProto.UINT8: "Max",
}
"""How an input of each type is joined with a weight; others are left alone, they are indices."""


def with_factors(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with every input joined with a weight of its shape: each of its axes gets a parameter."""
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    random = np.random.default_rng(1)
    nodes = []
    for info in changed.graph.input:
        tensor = info.type.tensor_type
        if tensor.elem_type not in _JOIN or not tensor.HasField("shape") or not tensor.shape.dim:
            continue
        name, operator = info.name, _JOIN[tensor.elem_type]
        shape = [dim.dim_value if dim.HasField("dim_value") else 1 for dim in tensor.shape.dim]
        if operator == "Greater":
            tensor.elem_type = TensorProto.FLOAT
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        array = random.uniform(0.5, 1.5, shape).astype(dtype)
        changed.graph.initializer.append(numpy_helper.from_array(array, f"{name}_factor"))
        info.name = f"{name}_given"
        nodes.append(helper.make_node(operator, [info.name, f"{name}_factor"], [name], f"{operator}:{name}"))
    nodes += list(changed.graph.node)
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed
