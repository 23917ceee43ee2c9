"""Graphs from text, models with numbers, and what ONNX Runtime makes of them."""

import numpy as np
import onnx
import onnx_ir as oir
import onnxruntime as ort

from irprune.backends.onnx import emit
from irprune.frontends.onnx import import_model
from irprune.ir import Graph, parse
from irprune.passes import State, run_pipeline

Numbers = dict[str, np.ndarray]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def statistics(channels: int) -> Numbers:
    """Parameters of a BatchNormalization named g, b, m and v."""
    return {
        "g": normal(channels, seed=1),
        "b": normal(channels, seed=2),
        "m": normal(channels, seed=3),
        "v": np.random.default_rng(4).uniform(0.5, 2.0, channels).astype(np.float32),
    }


def text(body: str) -> Graph:
    """A graph from IR text, less its first line."""
    lines = [line.strip() for line in body.strip().splitlines()]
    return parse('graph "g" opsets {"": 20}\n' + "\n".join(lines))


def model_of(source: str, numbers: Numbers, opset: int = 20) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {source}')
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in numbers.items())
    return proto


def built(source: str, numbers: Numbers) -> Graph:
    return import_model(oir.from_proto(model_of(source, numbers)))


def outputs(proto: onnx.ModelProto) -> list[np.ndarray]:
    """The outputs for one random input, without ONNX Runtime's own optimizations."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    feeds = {i.name: random.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}
    found: list[np.ndarray] = session.run(None, feeds)
    return found


def emitted(proto: onnx.ModelProto, pipeline: str = "fold,dce") -> onnx.ModelProto:
    model = oir.from_proto(proto)
    before = import_model(model)
    changed = oir.to_proto(emit(model, before, run_pipeline(pipeline, State(before)).graph))
    onnx.checker.check_model(changed, full_check=True)
    return changed
