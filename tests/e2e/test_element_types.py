"""Weights of every element type, with every layout of scales, against the same two layers written in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import irprune
from irprune.errors import InputError

Array = NDArray[Any]

INPUTS, HIDDEN, OUTPUTS, BLOCK = 32, 48, 10, 16

INTEGERS = {"INT8": (-128, 128), "UINT8": (0, 256), "INT4": (-8, 8), "UINT4": (0, 16)}
FLOATS = ("FLOAT8E4M3FN", "FLOAT8E5M2")
LAYOUTS = {
    "tensor": ((), {}),
    "columns": ((1,), {"axis": 1}),
    "rows": ((0,), {"axis": 0}),
    "blocks": ((0, 1), {"axis": 0, "block_size": BLOCK}),
}


def tensor(name: str, kind: str, values: Array) -> onnx.TensorProto:
    return helper.make_tensor(name, getattr(TensorProto, kind), values.shape, values.ravel().tolist())


def layer(name: str, kind: str, layout: str, shape: tuple[int, int], rng: np.random.Generator) -> list[Any]:
    """The quantized weight of a layer, its scales and zero points, and the node that makes numbers of them."""
    dims, attributes = LAYOUTS[layout]
    low, high = INTEGERS.get(kind, (0, 1))
    coarse = [shape[0] // BLOCK if layout == "blocks" and k == 0 else shape[k] for k in dims]
    weight = rng.integers(low, high, shape) if kind in INTEGERS else rng.standard_normal(shape)
    return [
        tensor(name, kind, weight),
        numpy_helper.from_array(np.asarray(0.1 * rng.random(coarse) + 0.05, np.float32), f"{name}_scale"),
        tensor(f"{name}_zero", kind, np.asarray(rng.integers(low, high, coarse))),
        helper.make_node(
            "DequantizeLinear",
            [name, f"{name}_scale", f"{name}_zero"],
            [f"{name}_float"],
            name=f"of_{name}",
            **attributes,
        ),
    ]


def numbers(model: onnx.ModelProto, name: str, layout: str) -> Array:
    """The weight of a layer as float32, by the formula of the operator."""
    stored = {t.name: numpy_helper.to_array(t).astype(np.float32) for t in model.graph.initializer}
    weight, scale, zero = stored[name], stored[f"{name}_scale"], stored[f"{name}_zero"]
    if layout == "rows":
        scale, zero = scale[:, None], zero[:, None]
    if layout == "blocks":
        scale, zero = np.repeat(scale, BLOCK, 0), np.repeat(zero, BLOCK, 0)
    return np.asarray((weight - zero) * scale)


def model_of(
    nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], kind: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    layers = [
        helper.make_node("MatMul", ["x", "first_float"], ["m"]),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("MatMul", ["r", "second_float"], ["y"]),
    ]
    graph = helper.make_graph(
        [*nodes, *layers],
        "types",
        [helper.make_tensor_value_info("x", kind, ["N", INPUTS])],
        [helper.make_tensor_value_info("y", kind, ["N", OUTPUTS])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [*INTEGERS, *FLOATS])
def test_quantized_weights(kind: str, layout: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    *first, decode_first = layer("first", kind, layout, (INPUTS, HIDDEN), rng)
    *second, decode_second = layer("second", kind, layout, (HIDDEN, OUTPUTS), rng)
    model = model_of([decode_first, decode_second], [*first, *second])
    onnx.save(model, tmp_path / "model.onnx")

    result = irprune.prune(tmp_path / "model.onnx", tmp_path / "small.onnx", ratio=0.5, align=1)

    kept = np.array(result.plan.slices["first"].axes[1][1])
    assert len(kept) == (32 if layout == "blocks" else 24)  # one of three blocks stays whole or goes whole
    x = rng.standard_normal((4, INPUTS)).astype(np.float32)
    hidden = np.maximum(x @ numbers(model, "first", layout), 0)[:, kept]
    expected = hidden @ numbers(model, "second", layout)[kept]
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # they quantize x as well
    (found,) = ort.InferenceSession(str(tmp_path / "small.onnx"), options).run(None, {"x": x})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))


@pytest.mark.parametrize("kind", [*FLOATS, "FLOAT16", "BFLOAT16", "DOUBLE"])
def test_weights_that_are_cast(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"first": (INPUTS, HIDDEN), "second": (HIDDEN, OUTPUTS)}
    weights = [tensor(name, kind, rng.standard_normal(shape)) for name, shape in shapes.items()]
    casts = [helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT) for name in shapes]
    onnx.save(model_of(casts, weights), tmp_path / "model.onnx")
    result = irprune.prune(tmp_path / "model.onnx", tmp_path / "small.onnx", ratio=0.5, align=1)
    small = {t.name: t for t in onnx.load(tmp_path / "small.onnx").graph.initializer}
    assert {name: (list(t.dims), t.data_type) for name, t in small.items()} == {
        "first": ([INPUTS, HIDDEN // 2], getattr(TensorProto, kind)),
        "second": ([HIDDEN // 2, OUTPUTS], getattr(TensorProto, kind)),
    }
    kept = np.array(result.plan.slices["first"].axes[1][1])
    np.testing.assert_array_equal(
        numpy_helper.to_array(small["first"]).astype(np.float32),
        numpy_helper.to_array(weights[0]).astype(np.float32)[:, kept],
    )


def plain(kind: int) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    shapes = {"first_float": (INPUTS, HIDDEN), "second_float": (HIDDEN, OUTPUTS)}
    weights = [
        helper.make_tensor(name, kind, shape, rng.standard_normal(shape).ravel().tolist())
        for name, shape in shapes.items()
    ]
    return model_of([], weights, kind)


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "DOUBLE"])
def test_floating_point_throughout(kind: str) -> None:
    result = irprune.prune(plain(getattr(TensorProto, kind)), ratio=0.5, align=1)
    assert result.report is not None and result.report.ok


def test_what_onnx_runtime_has_no_kernel_for() -> None:
    with pytest.raises(InputError, match="ONNX Runtime cannot run the original model"):
        irprune.prune(plain(TensorProto.BFLOAT16), ratio=0.5, align=1)


def test_complex_constants_are_left_alone() -> None:
    model = plain(TensorProto.FLOAT)
    unused = numpy_helper.from_array(np.array([1 + 2j, 3 - 4j], np.complex64), "waves")
    model.graph.initializer.append(unused)
    result = irprune.prune(model, ratio=0.5, align=1)
    assert isinstance(result.model, onnx.ModelProto)
    (kept,) = [t for t in result.model.graph.initializer if t.name == "waves"]
    np.testing.assert_array_equal(numpy_helper.to_array(kept), numpy_helper.to_array(unused))
