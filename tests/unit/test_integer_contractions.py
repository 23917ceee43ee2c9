"""Nodes that multiply integers: read as what the integers stand for, chosen on data, refitted in their own integers."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import onnx_ir as oir
import pytest

import irprune
from irprune.analysis import analyze
from irprune.calibration.integers import in_units_of_their_own, integer_contractions
from irprune.calibration.points import Point, find_points
from irprune.calibration.stepwise import Stepwise
from irprune.frontends.onnx import import_model
from irprune.runtime.executable import Executable
from tests.golden.helpers.models import model_of

CONV = """(uint8[N, 3, 6, 6] x) => (uint8[] y)
<float xs = {0.02}, uint8 xz = {128}, int8[8, 3, 3, 3] w, float[8] ws, int8[8] wz, int32[8] b, float hs = {0.05},
uint8 hz = {0}, int8[4, 8, 1, 1] v, float vs = {0.01}, int8 vz = {0}, float ys = {0.05}, uint8 yz = {128}>
{ h = QLinearConv<pads = [1, 1, 1, 1]>(x, xs, xz, w, ws, wz, hs, hz, b)
  y = QLinearConv(h, hs, hz, v, vs, vz, ys, yz) }"""

MATMUL = """(uint8[N, 6] x) => (uint8[] y)
<float xs = {0.02}, uint8 xz = {128}, int8[6, 16] w, float[16] ws, int8[16] wz, float hs = {0.05}, uint8 hz = {128},
int8[16, 4] v, float vs = {0.01}, int8 vz = {0}, float ys = {0.05}, uint8 yz = {128}>
{ h = QLinearMatMul(x, xs, xz, w, ws, wz, hs, hz) y = QLinearMatMul(h, hs, hz, v, vs, vz, ys, yz) }"""

GEMM = """(uint8[N, 6] x) => (uint8[] y)
<float xs = {0.02}, uint8 xz = {128}, int8[16, 6] w, float ws = {0.01}, int8 wz = {0}, int32[16] b, float hs = {0.05},
uint8 hz = {0}, int8[16, 4] v, float vs = {0.01}, int8 vz = {0}, int32[4] c, float ys = {0.05}, uint8 yz = {128}>
{ h = com.microsoft.QGemm<transB = 1>(x, xs, xz, w, ws, wz, b, hs, hz)
  y = com.microsoft.QGemm(h, hs, hz, v, vs, vz, c, ys, yz) }"""

DYNAMIC = """(float[N, 6] x) => (float[] y)
<int8[6, 16] w, float ws = {0.01}, int8[16, 4] v>
{ q, s, z = DynamicQuantizeLinear(x) a = MatMulInteger(q, w, z) f = Cast<to = 1>(a) t = Mul(s, ws) h = Mul(f, t)
  r = Relu(h) p, m, o = DynamicQuantizeLinear(r) c = MatMulInteger(p, v, o) d = Cast<to = 1>(c) y = Mul(d, m) }"""

FLOAT = """(float[N, 6] x) => (float[] y)
<int8[6, 16] w, float ws = {0.01}, int8 wz = {0}, float[16] b, int8[16, 4] v, float vs = {0.01}, int8 vz = {0}>
{ h = com.microsoft.DynamicQuantizeMatMul(x, w, ws, wz, b) r = Relu(h) p, m, o = DynamicQuantizeLinear(r)
  y = com.microsoft.MatMulIntegerToFloat(p, v, m, vs, o, vz) }"""

MODELS = {"conv": CONV, "matmul": MATMUL, "gemm": GEMM, "dynamic": DYNAMIC, "float": FLOAT}


def built(name: str) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    text = MODELS[name]
    sizes = {"conv": ((8, 3, 3, 3), (4, 8, 1, 1)), "gemm": ((16, 6), (16, 4))}.get(name, ((6, 16), (16, 4)))
    rows = 8 if name == "conv" else 16
    numbers = {k: rng.integers(-30, 31, size).astype(np.int8) for k, size in zip("wv", sizes, strict=True)}
    if "[8] ws" in text or "[16] ws" in text:
        numbers |= {"ws": rng.uniform(0.005, 0.02, rows).astype(np.float32), "wz": np.zeros(rows, np.int8)}
    if "int32" in text:
        numbers["b"] = rng.integers(-500, 501, rows).astype(np.int32)
    if name == "gemm":
        numbers["c"] = rng.integers(-500, 501, 4).astype(np.int32)
    if name == "float":
        numbers["b"] = rng.standard_normal(rows).astype(np.float32)
    return model_of(text, numbers=numbers)


def feeds_of(model: onnx.ModelProto, count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    (info,) = model.graph.input
    shape = [dim.dim_value or 32 for dim in info.type.tensor_type.shape.dim]
    mix = rng.standard_normal((shape[1], shape[1]))  # channels that go together, as data have
    found = []
    for _ in range(count):
        values = np.moveaxis(np.tensordot(mix, rng.standard_normal(shape), axes=(1, 1)), 0, 1)
        is_float = info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        found.append(
            {"x": values.astype(np.float32) if is_float else np.clip(128 + 20 * values, 0, 255).astype(np.uint8)}
        )
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_product_is_what_the_node_computes(name: str) -> None:
    """In floating point, up to the step of the result and of what is quantized at run time, where nothing saturates."""
    model = built(name)
    analysis = analyze(import_model(oir.from_proto(model)))
    points = find_points(analysis)
    assert [type(point) for point in points] == [Point, Point]
    (feed,) = feeds_of(model, 1)
    run = Stepwise(model, [feed], [value for p in points for value in (*p.operands, *p.targets)])
    for point in points:
        (values,) = run.get(list(dict.fromkeys([*point.operands, *point.targets])))
        target = point.result(values, analysis.graph)
        chosen = np.arange(point.positions(target.shape))
        got = point.product(point.rows(values, analysis.graph, target.shape, chosen), analysis.graph)
        bias = point.bias_rows(analysis.graph)
        got = got if bias is None else got + bias
        wanted = point.at(target, chosen)
        if point.is_bare:
            assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.999
            continue
        code = point.contraction.codes[1]
        step = 0.05 * wanted.std() if code is None else code.scale
        low, high = (wanted.min(), wanted.max()) if code is not None else (-np.inf, np.inf)
        np.testing.assert_allclose(np.clip(got, low, high), wanted, rtol=0, atol=step)


@pytest.mark.parametrize("name", MODELS)
def test_what_goes_is_chosen_on_data_and_made_up_for(name: str) -> None:
    model = built(name)
    feeds = feeds_of(model, 20)
    errors = {}
    for way in (("l2", "none"), ("obs", "none"), ("obs", "reconstruct")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = irprune.prune(model, ratio=0.5, align=1, criterion=way[0], repair=way[1], data=feeds[:16])
        assert result.report is not None and result.report.ok, result.report
        pairs = [
            [Executable(m).run(feed)["y"].astype(np.float64) for m in (model, result.model)] for feed in feeds[16:]
        ]
        errors[way] = np.mean([np.square(one - other).mean() for one, other in pairs])
        if way[1] != "none":
            refitted = [entry.node for entry in result.recovery.changes]  # type: ignore[union-attr]
    if name == "dynamic":
        assert errors["obs", "none"] < errors["l2", "none"]
        assert refitted == []
        assert "found at run time" in " ".join(result.recovery.cautions())  # type: ignore[union-attr]
    else:
        assert len(refitted) == 2
        assert errors["obs", "reconstruct"] < 0.8 * min(errors["obs", "none"], errors["l2", "none"])
        assert {"v"} <= set(result.plan.updated)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (MATMUL, 2),
        (MATMUL.replace("float xs = {0.02}", "float[1] xs = {0.02}"), 2),
        (
            DYNAMIC.replace("p, m, o = DynamicQuantizeLinear(r)", "p = Cast<to = 2>(r) o = Cast<to = 2>(m) m = Neg(s)"),
            1,
        ),
    ],
    ids=["one scale", "one scale in a vector", "integers of no known meaning"],
)
def test_integers_are_read_where_something_tells_what_they_stand_for(text: str, found: int) -> None:
    if "Neg" in text:
        text = text.replace("o = Cast<to = 2>(m) m = Neg(s)", "m = Neg(s) o = Cast<to = 2>(m)")
    analysis = analyze(import_model(oir.from_proto(model_of(text))))
    assert len(integer_contractions(analysis)) == found
    assert len(in_units_of_their_own(analysis)) == (1 if "Neg" in text else 0)


def test_windows_over_a_layout_with_the_channels_last_are_left_alone() -> None:
    text = """(float[1, 6, 6, 3] x) => (float[] y) <float[4, 3, 3, 3] w>
    { y = com.microsoft.NhwcConv<kernel_shape = [3, 3]>(x, w) }"""
    assert find_points(analyze(import_model(oir.from_proto(model_of(text))))) == ()
