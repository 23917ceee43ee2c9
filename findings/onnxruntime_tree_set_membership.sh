#!/usr/bin/env bash
# Guess: in the operator TreeEnsemble (ai.onnx.ml 5), a split of mode BRANCH_MEMBER sends an input to the true branch if
# it is equal to one of the split's membership_values, as the operator's text says ("x is a member of the set").
#
# Seen with onnxruntime 1.31.1: with the set {1, 3, 40}, inputs between these numbers are found in the set too: 1.5 and
# 3.25 take the true branch like 1 and 3, while 2, 4 and 41 do not. ReferenceEvaluator of onnx 1.23.2 sends 1.5 to the
# false branch.
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
from onnx.reference import ReferenceEvaluator

MEMBER = 6
SET = [1.0, 3.0, 40.0]


def tensor(values: list[float], dtype: type) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), "t")


node = helper.make_node(
    "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, tree_roots=[0],
    nodes_modes=tensor([MEMBER], np.uint8), nodes_splits=tensor([0.0], np.float32), nodes_featureids=[0],
    nodes_truenodeids=[0], nodes_trueleafs=[1], nodes_falsenodeids=[1], nodes_falseleafs=[1],
    leaf_targetids=[0, 0], leaf_weights=tensor([1.0, 0.0], np.float32), membership_values=tensor([*SET, np.nan], np.float32),
)
graph = helper.make_graph(
    [node], "tree",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
)
imports = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 5)]
model = helper.make_model(graph, opset_imports=imports, ir_version=9)
onnx.checker.check_model(model, full_check=True)

x = np.array([[1.0], [1.5], [2.0], [3.0], [3.25], [4.0], [40.0], [41.0]], np.float32)
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
found = session.run(None, {"x": x})[0].ravel()
wanted = np.isin(x.ravel(), SET).astype(np.float32)
reference = ReferenceEvaluator(model).run(None, {"x": x})[0].ravel()
for value, at_runtime, by_text, by_reference in zip(x.ravel(), found, wanted, reference):
    print(f"{value:5}: onnxruntime {at_runtime:.0f}, by the text {by_text:.0f}, onnx's reference {by_reference:.0f}")
between = found[[1, 4]]
others = np.delete(found, [1, 4]) == np.delete(wanted, [1, 4])
print(f"onnxruntime {ort.__version__} finds 1.5 and 3.25 in {SET}: {bool(between.all())}")
raise SystemExit(not (between.all() and others.all() and (reference == wanted).all()))
PYTHON
