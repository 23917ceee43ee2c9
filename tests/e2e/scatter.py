"""A second opinion on a pruned file, with numpy, onnx and ONNX Runtime alone: nothing of irprune is imported here.

Where every removed element is summed away by the weights that read it, the pruned model computes what the original
does with zeros in the removed places. The places come from the plan's JSON, and from nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[Any]


def slices_of(plan: str) -> dict[str, dict[str, Any]]:
    """The ``slices`` of a plan, given its JSON text."""
    body: dict[str, Any] = json.loads(plan)
    slices: dict[str, dict[str, Any]] = body["slices"]
    return slices


def stored(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Initializers, and the values of Constant nodes, by name."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    found[node.output[0]] = attribute.t
                elif attribute.name == "value_floats":
                    found[node.output[0]] = numpy_helper.from_array(np.array(attribute.floats, dtype=np.float32))
    return found


def masked(
    original: onnx.ModelProto, pruned: onnx.ModelProto, slices: Mapping[str, Mapping[str, Any]]
) -> onnx.ModelProto:
    """The original with zeros wherever the plan removes something; private copies are wired as the pruned model's."""
    model = onnx.ModelProto()
    model.CopyFrom(original)
    tensors = stored(model)
    copies: dict[str, str] = {}
    values = {name: numpy_helper.to_array(tensors[part.get("of", name)]) for name, part in slices.items()}
    for name, part in slices.items():
        array = _zeroed(values[name], part)
        if "of" in part:
            copies[name] = part["of"]
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        else:
            tensors[name].CopyFrom(numpy_helper.from_array(array, tensors[name].name))
    makers = {node.output[0]: node for node in pruned.graph.node}
    for node in model.graph.node:
        twin = makers.get(node.output[0])
        for k, operand in enumerate(twin.input if twin is not None else ()):
            if operand in copies and node.input[k] == copies[operand]:
                node.input[k] = operand
    return model


def _zeroed(array: Array, part: Mapping[str, Any]) -> Array:
    result = array.copy()
    for axis, entry in part.items():
        if axis != "of":
            gone = np.setdiff1d(np.arange(entry["size"]), entry["kept"])
            np.moveaxis(result, int(axis), 0)[gone] = 0
    return result


def random_feeds(model: onnx.ModelProto, seed: int = 3, batch: int = 2) -> dict[str, Array]:
    """Standard normal values for every input; a symbolic dimension is ``batch``."""
    random = np.random.default_rng(seed)
    names = {tensor.name for tensor in model.graph.initializer}
    return {
        info.name: random.standard_normal(
            [dim.dim_value or batch for dim in info.type.tensor_type.shape.dim], dtype=np.float32
        )
        for info in model.graph.input
        if info.name not in names
    }


def run(model: onnx.ModelProto | Path, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs, without ONNX Runtime's own optimizations."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    data = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, dict(feeds))
    return outputs


def error(expected: list[Array], got: list[Array]) -> float:
    """The largest difference of any output, relative to that output's largest magnitude."""
    assert [array.shape for array in expected] == [array.shape for array in got]
    return max(float(np.abs(e - g).max() / max(np.abs(e).max(), 1e-6)) for e, g in zip(expected, got, strict=True))


def stored_numbers(model: onnx.ModelProto) -> int:
    """Elements of the float tensors that nodes read; running statistics, scalars and scales of images left out."""
    measured = {"BatchNormalization": slice(3, 5), "Resize": slice(1, None), "Upsample": slice(1, None)}
    read = {
        name
        for node in model.graph.node
        for k, name in enumerate(node.input)
        if k not in range(len(node.input))[measured.get(node.op_type, slice(0))]
    }
    return sum(
        int(np.prod(tensor.dims, dtype=np.int64))
        for name, tensor in stored(model).items()
        if name in read and tensor.dims and tensor.data_type == onnx.TensorProto.FLOAT
    )


def differing_tensors(
    original: onnx.ModelProto, pruned: onnx.ModelProto, slices: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Float tensors of the pruned model that are not, bit for bit, what the plan keeps of the original's."""
    before, wrong = stored(original), []
    for name, tensor in stored(pruned).items():
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        part = slices.get(name, {})
        expected = numpy_helper.to_array(before[part.get("of", name)])
        for axis, entry in part.items():
            if axis != "of":
                expected = np.take(expected, entry["kept"], axis=int(axis))
        got = numpy_helper.to_array(tensor)
        if expected.shape != got.shape or expected.tobytes() != got.tobytes():
            wrong.append(name)
    return wrong
