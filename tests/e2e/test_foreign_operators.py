"""Operators that ONNX Runtime does not have: pruned around, verified on both sides of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from irprune import api
from irprune.cli.app import app
from irprune.errors import InputError
from irprune.runtime.executable import Executable
from irprune.verification.cutting import runnable_part
from tests.golden.helpers.models import model_of

BODY = """(float[N, 3, 8, 8] x) => (float[] y)
<float[16, 3, 3, 3] a, float[8, 16, 3, 3] b, float[12, 8, 3, 3] c, float[4, 12, 1, 1] d>
{ f = Conv<pads = [1, 1, 1, 1]>(x, a) g = Relu(f) h = Conv<pads = [1, 1, 1, 1]>(g, b)
q = custom.%s(h) i = Conv<pads = [1, 1, 1, 1]>(q, c) j = Relu(i) y = Conv(j, d) }"""


def quantized(op: str, *, stated: bool) -> onnx.ModelProto:
    """A network with an operator of another tool in the middle; the file states the type of its result, or not."""
    proto = model_of(BODY % op)
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 8, 8]))
    if stated:
        proto.graph.value_info.append(helper.make_tensor_value_info("q", TensorProto.FLOAT, ["N", 8, 8, 8]))
    return proto


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("op", ["Quant", "EfficientNMS_TRT"])
def test_what_leads_up_to_it_is_pruned_and_verified(op: str, stated: bool, tmp_path: Path) -> None:
    source, out, plan = tmp_path / "model.onnx", tmp_path / "small.onnx", tmp_path / "plan.json"
    onnx.save(quantized(op, stated=stated), source)
    result = CliRunner().invoke(
        app, ["prune", str(source), "-o", str(out), "--ratio", "0.5", "--align", "1", "--plan", str(plan)]
    )
    assert result.exit_code == 0, result.output
    sizes = {tensor.name: list(tensor.dims) for tensor in onnx.load(out).graph.initializer}
    assert sizes["a"] == [8, 3, 3, 3]
    assert sizes["b"] == [8, 8, 3, 3]
    assert sizes["c"] == ([6, 8, 3, 3] if stated else [12, 8, 3, 3])
    notes = json.loads(plan.read_text())["verification"]["structure"]["notes"]
    assert any(op in note and "was not run" in note for note in notes)
    assert any("random values of q" in note for note in notes) is stated


QONNX = """(float[N, 3, 8, 8] x) => (float[] y)
<float[16, 3, 3, 3] a, float[16, 1, 1, 1] scale, float z = {0}, float bits = {4}, float step = {0.1},
 float[12, 16, 3, 3] b, float[4, 12, 1, 1] c> {
    wa = qonnx.custom_op.general.Quant<signed = 1, narrow = 1>(a, scale, z, bits)
    f = Conv<pads = [1, 1, 1, 1]>(x, wa)
    p = qonnx.custom_op.general.Quant<signed = 1>(f, step, z, bits)
    g = Relu(p)
    wb = qonnx.custom_op.general.BipolarQuant(b, step)
    h = Conv<pads = [1, 1, 1, 1]>(g, wb)
    q = qonnx.custom_op.general.Trunc(h, step, z, bits, bits)
    y = Conv(q, c)
}"""


def test_quantizers_of_qonnx_keep_channels_though_no_shape_is_stated(tmp_path: Path) -> None:
    proto = model_of(QONNX)
    del proto.graph.value_info[:]
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 8, 8]))
    result = api.prune(proto, ratio=0.5, align=1)
    sizes = {tensor.name: list(tensor.dims) for tensor in result.model.graph.initializer}
    assert (sizes["a"], sizes["scale"]) == ([8, 3, 3, 3], [8, 1, 1, 1])
    assert (sizes["b"], sizes["c"]) == ([6, 8, 3, 3], [4, 6, 1, 1])
    assert result.report is not None and result.report.ok
    compared = {output.name for output in result.report.equivalence.outputs}
    assert compared == {"f", "h", "y"}
    assert any("random values of wa, p, wb, q" in note for note in result.report.structure.notes)


def test_a_wrong_weight_in_front_of_it_is_found() -> None:
    proto = quantized("Quant", stated=True)
    result = api.prune(proto, ratio=0.5, align=1)
    small = onnx.ModelProto()
    small.CopyFrom(result.model)
    for node in small.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Sigmoid"
            break
    report = api.verify(proto, small, result.plan)
    assert not report.ok
    assert {output.name for output in report.equivalence.outputs} == {"h", "y"}


def test_a_model_that_begins_with_one_has_nothing_to_compare() -> None:
    proto = model_of("(float[N, 4] x) => (float[] y) <float[4, 4] w> { q = custom.Quant(x) y = MatMul(q, w) }")
    with pytest.raises(InputError, match="leads up to custom::Quant"):
        runnable_part(Executable(proto))


def test_one_inside_a_branch_takes_the_branch_along() -> None:
    proto = model_of(
        """(float[N, 4] x, bool c) => (float[] y) <float[4, 4] w>
        { h = MatMul(x, w) y = If(c) <then_branch = t () => (float[N, 4] p) { p = custom.Quant(h) },
            else_branch = u () => (float[N, 4] r) { r = Relu(h) }> }"""
    )
    cut, lines = runnable_part(Executable(proto))
    assert [node.op_type for node in cut.proto.graph.node] == ["MatMul"]
    assert [output.name for output in cut.proto.graph.output] == ["h"]
    assert "If" in lines[0]
    assert cut.run({"x": np.ones((1, 4), np.float32), "c": np.array(True)})["h"].shape == (1, 4)


def test_a_model_that_runs_is_left_as_it_is() -> None:
    model = Executable(model_of("(float[N, 4] x) => (float[] y) { y = Relu(x) }"))
    assert runnable_part(model) == (model, ())


def classifier() -> onnx.ModelProto:
    """What skl2onnx writes of an MLPClassifier: labels, and a map of probabilities for each sample."""
    proto = model_of(
        """(float[N, 6] x) => (int64[] label, float[] p)
        <float[6, 16] a, float[16] b, float[16, 3] c, int64[3] classes = {0, 1, 2}>
        { h = MatMul(x, a) i = Add(h, b) r = Relu(i) l = MatMul(r, c) p = Softmax(l)
        k = ArgMax<axis = 1, keepdims = 0>(p) label = Gather(classes, k) }"""
    )
    proto.opset_import.add(domain="ai.onnx.ml", version=1)
    zipped = helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    proto.graph.node.append(zipped)
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    )
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]))
    proto.graph.output.append(helper.make_value_info("maps", maps))
    return proto


@pytest.mark.parametrize("external", [False, True])
def test_a_classifier_that_ends_in_maps_keeps_them(external: bool, tmp_path: Path) -> None:
    source, out, plan = tmp_path / "model.onnx", tmp_path / "small.onnx", tmp_path / "plan.json"
    onnx.save(classifier(), source, save_as_external_data=external, size_threshold=0)
    result = CliRunner().invoke(
        app, ["prune", str(source), "-o", str(out), "--ratio", "0.5", "--align", "1", "--plan", str(plan)]
    )
    assert result.exit_code == 0, result.output
    small = onnx.load(out)
    assert small.graph.output[1] == classifier().graph.output[1]
    assert {tensor.name: list(tensor.dims) for tensor in small.graph.initializer}["a"] == [6, 8]
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    label, maps = ort.InferenceSession(out, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    assert label.tolist() == [max(row, key=row.__getitem__) for row in maps]
    notes = json.loads(plan.read_text())["verification"]["structure"]["notes"]
    assert any("ZipMap" in note and "left as it is" in note for note in notes)
    assert CliRunner().invoke(app, ["inspect", str(source)]).exit_code == 0
    checked = CliRunner().invoke(app, ["verify", str(source), str(out), "--plan", str(plan)])
    assert checked.exit_code == 0, checked.output
