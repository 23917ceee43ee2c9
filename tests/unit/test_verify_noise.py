"""Rounding noise is told from faults: by the reference's distance from itself, and in float64."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from irprune import api
from irprune.errors import InputError
from irprune.plans import Plan
from irprune.runtime.executable import Executable
from irprune.runtime.session import RunFailure
from irprune.verification import equivalence, noise
from irprune.verification.comparing import TOLERANCE, keep_worst
from irprune.verification.driver import verify_models
from irprune.verification.noise import nearby_runs, run_in_double
from irprune.verification.report import OutputError
from irprune.verification.verdicts import verdicts
from tests.golden.helpers.models import model_of

AMPLIFYING = """(float[4, 32] x) => (float[4, 3] y) <float[32, 600] w, float[600, 3] v, float k = {100}>
{ h = MatMul(x, w) r = Tanh(h) m = MatMul(r, v) angle = Mul(m, k) y = Sin(angle) }"""
"""An angle of some thousands: float32 keeps three digits after the point."""

Triple = tuple[onnx.ModelProto, onnx.ModelProto, Plan]


@pytest.fixture
def noisy() -> Triple:
    original = model_of(AMPLIFYING, 18)
    plan = api.plan(original, ratio=0.5)
    return original, api.apply(original, plan), plan


def with_weight(model: onnx.ModelProto, name: str, factor: float) -> onnx.ModelProto:
    """One element of a weight multiplied."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in copy.graph.initializer:
        if tensor.name == name:
            array = numpy_helper.to_array(tensor).copy()
            array.flat[0] *= factor
            tensor.CopyFrom(numpy_helper.from_array(array, name))
    return copy


def test_noise_that_the_reference_has_too_is_no_fault(noisy: Triple) -> None:
    report = verify_models(*noisy)
    (output,) = report.equivalence.outputs
    assert output.tolerance < output.error <= (output.noise or 0.0), "the model is meant to amplify rounding"
    assert report.ok, report.failures()
    assert report.equivalence.in_double[0].error < 1e-9
    words = next(verdict.words for verdict in verdicts(report) if verdict.name == "equivalence")
    assert "rounding noise accounts for" in words
    assert "in float64 at most" in words
    assert json.loads(json.dumps(report.as_json()))["equivalence"]["outputs"][0]["noise"] == output.noise


def test_a_fault_that_float32_cannot_see_is_no_noise(noisy: Triple) -> None:
    original, pruned, plan = noisy
    report = verify_models(original, with_weight(pruned, "v", 1 + 1e-6), plan)
    assert report.equivalence.outputs[0].error > TOLERANCE["float32"]
    assert not report.equivalence.ok
    assert any("(float64) differs from the reference" in line for line in report.failures())


@pytest.mark.parametrize("factor", [1.01, -1.0])
def test_a_fault_beyond_the_noise_is_none_either(noisy: Triple, factor: float) -> None:
    original, pruned, plan = noisy
    with pytest.raises(InputError, match="nothing can be verified: with ONNX Runtime's optimizations on and off"):
        verify_models(original, with_weight(pruned, "v", factor), plan)


def test_a_tolerance_that_was_asked_for_holds(noisy: Triple) -> None:
    with pytest.raises(InputError, match="nothing can be verified"):
        verify_models(*noisy, rtol=1e-5)


def test_no_float64_is_no_excuse(noisy: Triple, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(model: Executable, feeds: object, also: object) -> None:
        raise RunFailure("no float64")

    monkeypatch.setattr(equivalence, "run_in_double", refused)
    with pytest.raises(InputError, match="nothing can be verified"):
        verify_models(*noisy)


def test_a_failure_counts_before_a_larger_error_that_noise_accounts_for() -> None:
    settled = OutputError("y", "float32", 3e-4, 1e-4, "first", noise=5e-4)
    failed = OutputError("y", "float32", 2e-4, 1e-4, "second")
    for order in ([settled, failed], [failed, settled]):
        worst: dict[str, OutputError] = {}
        for found in order:
            keep_worst(worst, [found])
        assert worst["y"] is failed


WIDENED = {
    "a cast, a constant and a branch": """(float[2, 3] x) => (float[2, 3] y)
        { half = Cast<to = 10>(x) c = Constant<value_float = 0.1>() cond = Constant<value = bool {1}>()
          single = Cast<to = 1>(half) s = Add(single, c)
          y = If(cond) <then_branch = t () => (float[2, 3] a) { d = Constant<value = float {3}>() a = Div(s, d) },
                        else_branch = e () => (float[2, 3] b) { b = Identity(s) }> }""",
    "a normalization, whose momentum means nothing": """(float[2, 3] x) => (float[2, 3] y)
        <float[3] s = {1, 2, 3}, float[3] m = {1, 0, 1}, float[3] v = {1, 2, 4}>
        { y = BatchNormalization<momentum = 0.5>(x, s, m, m, v) }""",
}


@pytest.mark.parametrize("name", WIDENED)
@pytest.mark.parametrize("opset", [13, 15])
def test_float64_computes_the_same_with_more_digits(name: str, opset: int) -> None:
    model = Executable(model_of(WIDENED[name], opset))
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)}
    rounded = feeds["x"].astype(np.float16).astype(np.float32) if "cast" in name else feeds["x"]
    got = run_in_double(model, {"x": rounded})["y"]
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, model.run(feeds)["y"], rtol=1e-5, atol=1e-6)


def test_external_weights_are_read(tmp_path: Path) -> None:
    proto = model_of("(float[2, 3] x) => (float[2, 4] y) <float[3, 4] w> { y = MatMul(x, w) }", 18)
    path = tmp_path / "model.onnx"
    onnx.save_model(proto, path, save_as_external_data=True, location="weights", size_threshold=0)
    feeds = {"x": np.ones((2, 3), np.float32)}
    model = Executable(path)
    np.testing.assert_allclose(run_in_double(model, feeds)["y"], model.run(feeds)["y"], rtol=1e-5)


@pytest.mark.parametrize("reason", ["an operator", "elements"])
def test_what_float64_does_not_run_is_said(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proto = model_of("(float[2, 3] x) => (float[2, 4] y) <float[3, 4] w> { y = MatMul(x, w) }", 18)
    if reason == "elements":
        monkeypatch.setattr(noise, "_MOST_ELEMENTS", 11)
    else:
        proto.graph.node[0].domain = "com.nobody"
    with pytest.raises(RunFailure, match="no float64"):
        run_in_double(Executable(proto), {"x": np.ones((2, 3), np.float32)})


def test_floats_move_and_integers_stay() -> None:
    proto = model_of("(float[3] x, int64[3] i) => (float[3] y, int64[3] j) { y = Identity(x) j = Identity(i) }", 18)
    feeds = {"x": np.array([0.0, 1.0, -3.0], np.float32), "i": np.array([1, 2, 3])}
    runs = list(nearby_runs(Executable(proto), feeds))
    moves = np.stack([run["y"] - feeds["x"] for run in runs])
    assert np.array_equal(moves[[0, 5]], np.zeros((2, 3)))  # as fed, with optimizations off and on
    assert np.all(np.delete(moves, [0, 5], axis=0) != 0)
    assert np.all(np.abs(moves) <= np.spacing(np.abs(feeds["x"])))
    assert all(np.array_equal(run["j"], feeds["i"]) for run in runs)
