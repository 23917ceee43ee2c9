"""Shapes that inference does not know are read from runs of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import irprune
from irprune import api
from irprune.verification.driver import inlined
from irprune.verification.observed import with_observed_shapes

LAYERS = [
    helper.make_node("MatMul", ["e", "w"], ["m"]),
    helper.make_node("Relu", ["m"], ["r"]),
    helper.make_node("MatMul", ["r", "v"], ["y"]),
]


def behind(node: onnx.NodeProto, *dims: int | str) -> onnx.ModelProto:
    """Two layers behind an operator of ONNX Runtime that onnx has no schema for."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((6, 8)), "v": rng.standard_normal((8, 5)), "axis": np.array(0, np.int32)}
    graph = helper.make_graph(
        [node, *LAYERS],
        "observed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(dims))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(array.astype(np.float32 if array.ndim else np.int32), name)
            for name, array in weights.items()
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def expanded(*dims: int | str) -> onnx.ModelProto:
    return behind(helper.make_node("ExpandDims", ["x", "axis"], ["e"], domain="com.microsoft"), *dims)


def test_a_layer_behind_an_unknown_operator_is_pruned(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(expanded("N", 6), path)
    result = irprune.prune(path, tmp_path / "small.onnx", ratio=0.5)
    assert result.report is not None and "read from runs" in " ".join(result.report.structure.notes)
    shapes = {tensor.name: list(tensor.dims) for tensor in onnx.load(tmp_path / "small.onnx").graph.initializer}
    assert shapes["w"] == [6, 4] and shapes["v"] == [4, 5]


@pytest.mark.parametrize(
    ("dims", "expected"), [((2, 6), (1, 2, 6)), (("N", 6), (1, "N", 6)), (("N", "C"), None)], ids=str
)
def test_what_a_size_is(dims: tuple[int | str, ...], expected: tuple[int | str, ...] | None) -> None:
    """A size is a number where it stays, the input's where both vary; a model that does not run tells nothing."""
    graph = api.graph_of(api.open_model(expanded(*dims)))
    assert graph.shape("e") == expected
    assert ("e" in graph.observed) == (expected is not None)


def test_a_size_is_no_number_where_the_input_did_not_vary() -> None:
    """A batch that only ever is one may be a factor of every size."""
    square = helper.make_node("ExpandDims", ["x", "axis"], ["e"], domain="com.microsoft")
    model = behind(square, "N", 6)
    model.graph.node.insert(0, helper.make_node("Reshape", ["x", "one"], ["only_one"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 6]), "one"))
    assert api.graph_of(api.open_model(model)).shape("e") == (None, None, None)


def test_known_shapes_cost_no_run() -> None:
    """The executable is not even looked at."""
    model = behind(helper.make_node("Relu", ["x"], ["e"]), 2, 6)
    graph = api.graph_of(api.open_model(model))
    assert not graph.observed
    assert with_observed_shapes(graph, inlined(onnx.ModelProto())) is graph
