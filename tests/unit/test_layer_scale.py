"""Sums behind a layer scale and a transposition (ConvNeXt, CaiT): what a refit compares there."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as oir
import pytest

import irprune
from irprune.analysis import analyze
from irprune.calibration.points import Point, find_points
from irprune.calibration.stepwise import Stepwise
from irprune.frontends.onnx import import_model
from irprune.runtime.executable import Executable
from tests.golden.helpers.models import model_of

BLOCK = """(float[N, 6, 5, 5] x) => (float[] y)
<float[6, 16] a, float[16] ab, float[16, 6] b, float[6] bb, float[SHAPE] g>
{ t = Transpose<perm = [0, 2, 3, 1]>(x) m = MatMul(t, a) n = Add(m, ab) r = Relu(n) p = MatMul(r, b) q = Add(p, bb)
  BEHIND y = Add(x, z) }"""
BEFORE = "s = Mul(g, q) z = Transpose<perm = [0, 3, 1, 2]>(s)"
AFTER = "s = Transpose<perm = [0, 3, 1, 2]>(q) z = Mul(s, g)"


def block(shape: str, behind: str) -> onnx.ModelProto:
    gain = np.random.default_rng(7).uniform(0.2, 2.0, [int(size) for size in shape.split(",")]).astype(np.float32)
    return model_of(BLOCK.replace("SHAPE", shape).replace("BEHIND", behind), numbers={"g": gain})


def last_point(model: onnx.ModelProto) -> Point:
    point = find_points(analyze(import_model(oir.from_proto(model))))[-1]
    assert isinstance(point, Point)
    return point


def feeds_of(count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal((4, 6, 5, 5)).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize(("shape", "behind"), [("6", BEFORE), ("6,1,1", AFTER), ("1,6,1,1", AFTER)])
def test_the_sum_is_what_the_product_makes_it(shape: str, behind: str) -> None:
    model = block(shape, behind)
    point = last_point(model)
    assert (point.skip, point.target, point.gain) == ("x", "y", "g")
    graph = import_model(oir.from_proto(model))
    (values,) = Stepwise(model, feeds_of(1), ["r", "x", "y"]).get(["r", "x", "y"])
    target = point.result(values, graph)
    chosen = np.arange(point.positions(target.shape))
    bias = point.bias_rows(graph)
    assert bias is not None
    scale, shift = point.affine(graph)
    product = point.product(point.rows(values, graph, target.shape, chosen), graph) + bias
    got = product * scale + shift + point.at(point.summand(values, target.shape), chosen)
    np.testing.assert_allclose(got, point.at(target, chosen), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "behind"),
    [
        ("5", "s = Transpose<perm = [0, 3, 1, 2]>(q) z = Mul(s, g)"),
        ("6", "s = Mul(g, q) v = Mul(s, g) z = Transpose<perm = [0, 3, 1, 2]>(v)"),
        ("6", "s = Mul(g, q) v = Relu(s) z = Transpose<perm = [0, 3, 1, 2]>(v)"),
    ],
    ids=["along a side of the image", "twice", "an activation between"],
)
def test_other_ways_into_a_sum_are_compared_before_it(shape: str, behind: str) -> None:
    point = last_point(block(shape, behind))
    assert (point.skip, point.target, point.gain, point.order) == (None, "q", None, None)


@pytest.mark.parametrize(("shape", "behind"), [("6", BEFORE), ("6,1,1", AFTER)])
def test_a_refit_through_a_layer_scale_is_verified(shape: str, behind: str) -> None:
    model = block(shape, behind)
    feeds = feeds_of(24)
    result = irprune.prune(model, ratio=0.5, align=1, data=feeds[:20])
    assert result.report is not None and result.report.ok, result.report
    assert result.recovery is not None
    assert result.recovery.error < 0.7 * result.recovery.error_sliced
    wanted, got = (np.stack([Executable(m).run(feed)["y"] for feed in feeds[20:]]) for m in (model, result.model))
    assert np.square(wanted - got).mean() < 2 * result.recovery.error * wanted.var()
