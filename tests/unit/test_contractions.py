"""Every weighted contraction as a matrix product: ``rows @ W^T`` is what ONNX Runtime computes at those positions."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from irprune.analysis import analyze
from irprune.calibration.contractions import contractions, has_quantized_weights
from irprune.frontends.files import parse
from irprune.frontends.onnx import import_model
from irprune.runtime.executable import Executable
from tests.golden.helpers.models import analysis_of


def one_node(
    op: str, x: tuple[int, ...], w: tuple[int, ...], *, first: bool = False, **attributes: object
) -> onnx.ModelProto:
    """A model of one node that multiplies its input by a constant."""
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.standard_normal(w).astype(np.float32), "w")
    node = helper.make_node(op, ["w", "x"] if first else ["x", "w"], ["y"], name="node", **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


CASES = {
    "conv": one_node("Conv", (2, 3, 7, 6), (4, 3, 3, 2)),
    "conv-padded": one_node("Conv", (2, 3, 7, 6), (4, 3, 3, 3), pads=[1, 0, 2, 1]),
    "conv-strided": one_node("Conv", (2, 3, 9, 8), (4, 3, 3, 3), strides=[2, 3], pads=[1, 1, 1, 1]),
    "conv-dilated": one_node("Conv", (2, 3, 9, 9), (4, 3, 3, 2), dilations=[2, 3]),
    "conv-same-upper": one_node("Conv", (2, 3, 7, 6), (4, 3, 4, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv-same-lower": one_node("Conv", (2, 3, 7, 6), (4, 3, 4, 3), auto_pad="SAME_LOWER", strides=[2, 1]),
    "conv-grouped": one_node("Conv", (2, 6, 5, 5), (4, 3, 3, 3), group=2),
    "conv-depthwise": one_node("Conv", (2, 4, 5, 5), (4, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
    "conv-multiplier": one_node("Conv", (2, 4, 5, 5), (8, 1, 3, 3), group=4),
    "conv-pointwise": one_node("Conv", (2, 3, 5, 4), (4, 3, 1, 1)),
    "conv-1d": one_node("Conv", (2, 3, 11), (4, 3, 5), strides=[2]),
    "conv-3d": one_node("Conv", (1, 2, 4, 5, 6), (3, 2, 2, 3, 2), pads=[1, 0, 0, 0, 1, 1]),
    "transposed": one_node("ConvTranspose", (2, 3, 4, 5), (3, 4, 3, 2)),
    "transposed-strided": one_node("ConvTranspose", (2, 3, 4, 5), (3, 4, 3, 3), strides=[2, 3], pads=[1, 0, 1, 2]),
    "transposed-grouped": one_node("ConvTranspose", (2, 6, 4, 5), (6, 2, 3, 3), group=3, dilations=[2, 1]),
    "transposed-output": one_node("ConvTranspose", (1, 3, 4, 4), (3, 4, 3, 3), strides=[2, 2], output_padding=[1, 1]),
    "gemm": one_node("Gemm", (5, 3), (3, 4)),
    "gemm-transposed": one_node("Gemm", (3, 5), (4, 3), transA=1, transB=1),
    "matmul": one_node("MatMul", (2, 5, 3), (3, 4)),
    "matmul-left": one_node("MatMul", (2, 3, 5), (4, 3), first=True),
    "matmul-batched": one_node("MatMul", (2, 5, 3), (2, 3, 4)),
    "matmul-vector": one_node("MatMul", (5, 3), (3,)),
    "einsum": one_node("Einsum", (2, 5, 3, 4), (6, 3, 4), equation="bthd,ohd->bto"),
    "einsum-heads": one_node("Einsum", (2, 5, 3), (3, 4, 6), equation="bti,iho->bhto"),
    "einsum-grouped": one_node("Einsum", (2, 5, 3, 4), (3, 4, 6), equation="bthi,hio->btho"),
}


@pytest.mark.parametrize("model", [pytest.param(model, id=name) for name, model in CASES.items()])
def test_rows_times_weights_are_the_result(model: onnx.ModelProto) -> None:
    graph = import_model(parse(model.SerializeToString(), "model"))
    (item,) = contractions(analyze(graph, ("*",))).values()
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    y = Executable(model).run({"x": x})["y"]
    chosen = np.arange(item.positions(y.shape))
    rows, matrix = item.summands(x, y.shape, chosen), item.matrix(graph.constants["w"].numpy())
    got = np.einsum("pgc,goc->pgo", rows.astype(np.float64), matrix)
    np.testing.assert_allclose(got, item.at(y, chosen), rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", [pytest.param(model, id=name) for name, model in CASES.items()])
def test_a_matrix_goes_back_into_its_tensor(model: onnx.ModelProto) -> None:
    graph = import_model(parse(model.SerializeToString(), "model"))
    (item,) = contractions(analyze(graph, ("*",))).values()
    weight = graph.constants["w"].numpy()
    np.testing.assert_array_equal(item.tensor(item.matrix(weight), weight), weight)


def test_positions_are_chosen_from_result_and_operand_alike() -> None:
    model = CASES["conv-strided"]
    graph = import_model(parse(model.SerializeToString(), "model"))
    (item,) = contractions(analyze(graph, ("*",))).values()
    x = np.random.default_rng(1).standard_normal((2, 3, 9, 8)).astype(np.float32)
    y = Executable(model).run({"x": x})["y"]
    every, few = np.arange(item.positions(y.shape)), np.array([0, 7, 11])
    np.testing.assert_array_equal(item.summands(x, y.shape, every)[few], item.summands(x, y.shape, few))
    np.testing.assert_array_equal(item.at(y, every)[few], item.at(y, few))


def test_recurrent_cells_and_products_of_activations_are_none() -> None:
    """``y = LSTM(x)`` is not a product of its weights, and ``x x^T`` has none."""
    node = helper.make_node("MatMul", ["x", "t"], ["y"])
    graph = helper.make_graph(
        [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]), node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (3, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert contractions(analyze(import_model(parse(model.SerializeToString(), "model")))) == {}
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("w", (1, 8, 3)), ("r", (1, 8, 2)))
    ]
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=2)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4, 1, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert contractions(analyze(import_model(parse(model.SerializeToString(), "model")))) == {}


@pytest.mark.parametrize(
    ("text", "quantized"),
    [
        ("(float[2, 8] x) => (float[] y) <float[8, 4] w> { y = MatMul(x, w) }", False),
        ("(int64[2] i) => (int8[] y) <int8[8, 4] table> { y = Gather(table, i) }", False),
        (
            "(float[2, 8] x) => (float[] y) <float s, int8 z, float[8, 4] w> "
            "{ q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = MatMul(d, w) }",
            False,
        ),
        (
            "(float[2, 8] x) => (float[] y) <float s, int8 z, float[8, 4] w> "
            "{ q = QuantizeLinear(w, s, z) d = DequantizeLinear(q, s, z) y = MatMul(x, d) }",
            True,
        ),
        (
            "(float[2, 8] x) => (float[] y) <int8[8, 4] q, float s, int8 z> "
            "{ d = DequantizeLinear(q, s, z) y = MatMul(x, d) }",
            True,
        ),
        ("(uint8[2, 8] x) => (int32[] y) <int8[8, 4] q> { y = MatMulInteger(x, q) }", True),
    ],
)
def test_quantized_weights_are_known(text: str, quantized: bool) -> None:
    assert has_quantized_weights(analysis_of(text)) is quantized
