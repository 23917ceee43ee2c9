#!/usr/bin/env bash
# Guess: shape inference reads the `output_shape` operand of MaxUnpool where it is an initializer, and if it did not,
# the rank at least would follow from the first operand.
#
# Seen with onnx 1.23.2: as soon as `output_shape` is given, nothing is inferred, not even the rank, in strict mode and
# with data propagation as well. ONNX Runtime 1.31.1 runs the same model. Whatever reads shapes behind a MaxUnpool
# (SegNet-like decoders) has to work out the shape itself, or to run the model.
#
# Prints what was seen and ends with 0; ends with 1 if the behavior has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.31.1

"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

image = (1, 3, 5, 5)
nodes = [
    helper.make_node("MaxPool", ["x"], ["largest", "where"], kernel_shape=[2, 2], strides=[2, 2]),
    helper.make_node("MaxUnpool", ["largest", "where", "size"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
]
graph = helper.make_graph(
    nodes,
    "unpool",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    [numpy_helper.from_array(np.array(image, np.int64), "size")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
known = inferred.graph.output[0].type.tensor_type.HasField("shape")
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
(result,) = session.run(None, {"x": np.random.default_rng(0).random(image, dtype=np.float32)})
print(f"onnx {onnx.__version__}: shape of y is {'known' if known else 'unknown, and so is its rank'}")
print(f"onnxruntime {ort.__version__}: y has shape {result.shape}")
raise SystemExit(known or result.shape != image)
PYTHON
