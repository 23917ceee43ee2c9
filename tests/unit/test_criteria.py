"""Criteria from data: errors are those of least squares, and what is redundant goes first."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as oir
import pytest

from irprune.analysis import Analysis, analyze
from irprune.calibration.calibrate import measure
from irprune.calibration.measured import Measured
from irprune.criteria import DATA_CRITERIA
from irprune.criteria.obs import Surgeon, eliminate, inverse_of
from irprune.errors import InputError
from irprune.frontends.onnx import import_model
from irprune.plans import make_plan
from irprune.request import Request
from tests.golden.helpers.models import model_of

NET = """(float[N, 6] x) => (float[] y)
<float[6, 12] a, float[12] ab, float[12, 5] b>
{ h = MatMul(x, a) k = Add(h, ab) r = Relu(k) y = MatMul(r, b) }"""


def measured(**weights: np.ndarray) -> tuple[Analysis, Measured, onnx.ModelProto]:
    model = model_of(NET, numbers=weights)
    graph = import_model(oir.from_proto(model))
    analysis = analyze(graph)
    rng = np.random.default_rng(3)
    feeds = [{"x": rng.standard_normal((64, 6)).astype(np.float32)} for _ in range(8)]
    return analysis, measure(analysis, model, feeds), model


def test_the_error_of_a_removal_is_that_of_least_squares() -> None:
    """E(g) = |Y - best fit of Y without the columns g|^2 / (2 v), by scipy's independent solver."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 7)) @ rng.standard_normal((7, 7))
    weight = rng.standard_normal((1, 3, 7))
    surgeon = Surgeon(weight, np.linalg.inv(rows.T @ rows / 500)[None], np.array([0, 0, 1, 2, 2, 2, -1]), 0.5)
    target = rows @ weight[0].T
    for atom, columns in ((0, [0, 1]), (1, [2]), (2, [3, 4, 5])):
        others = np.delete(rows, columns, axis=1)
        residual = target - others @ np.linalg.lstsq(others, target, rcond=None)[0]
        assert surgeon.errors(3)[atom] == pytest.approx(0.5 * np.square(residual).sum() / 500, rel=1e-8)


def test_after_removals_the_errors_are_those_of_the_rest() -> None:
    """Downdating gives what solving anew without the removed columns gives."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((400, 6)) @ rng.standard_normal((6, 6))
    weight = rng.standard_normal((1, 4, 6))
    surgeon = Surgeon(weight, np.linalg.inv(rows.T @ rows / 400)[None], np.arange(6), 1.0)
    surgeon.remove(np.array([False, True, False, True, False, False]))
    left = rows[:, [0, 2, 4, 5]]
    best = np.linalg.lstsq(left, rows @ weight[0].T, rcond=None)[0]
    np.testing.assert_allclose(surgeon.weight[0], best.T, atol=1e-8)
    residual = left @ best - left[:, 1:] @ np.linalg.lstsq(left[:, 1:], left @ best, rcond=None)[0]
    assert surgeon.errors(6)[0] == pytest.approx(np.square(residual).sum() / 400, rel=1e-6)


def test_every_atom_goes_once() -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((400, 20))
    surgeon = Surgeon(rng.standard_normal((1, 4, 20)), np.linalg.inv(rows.T @ rows / 400)[None], np.arange(20), 1.0)
    order, errors = eliminate([surgeon], 20, rounds=6)
    assert sorted(order) == list(range(20))
    assert (errors >= 0).all()


def test_a_channel_that_others_can_replace_goes_first() -> None:
    """Channel 7 repeats channel 2: without data both look as important as any, for OBS one of them costs nothing."""
    rng = np.random.default_rng(0)
    a, ab = rng.standard_normal((6, 12)).astype(np.float32), rng.standard_normal(12).astype(np.float32)
    a[:, 7], ab[7] = a[:, 2], ab[2]
    b = rng.standard_normal((12, 5)).astype(np.float32)
    b[[2, 7]] *= 3
    analysis, found, _ = measured(a=a, ab=ab, b=b)
    (group,) = [group for group in analysis.groups if not group.frozen]
    scores = DATA_CRITERIA["obs"](found)[group.atoms]
    assert scores.argmin() in (2, 7)
    assert scores[[2, 7]].max() > 100 * scores.min()  # the other one is needed then
    assert DATA_CRITERIA["wanda"](found)[group.atoms].argmin() not in (2, 7)


@pytest.mark.parametrize("criterion", DATA_CRITERIA)
def test_a_channel_that_is_always_zero_goes_first(criterion: str) -> None:
    rng = np.random.default_rng(0)
    a, ab = rng.standard_normal((6, 12)).astype(np.float32), rng.standard_normal(12).astype(np.float32)
    a[:, 5], ab[5] = 0, -1
    analysis, found, _ = measured(a=a, ab=ab, b=rng.standard_normal((12, 5)).astype(np.float32) + 2)
    (group,) = [group for group in analysis.groups if not group.frozen]
    scores = DATA_CRITERIA[criterion](found)[group.atoms]
    assert scores.argmin() == 5
    assert scores[5] < 1e-2 * np.median(scores)


def test_a_constant_channel_costs_nothing_where_the_bias_takes_it() -> None:
    rng = np.random.default_rng(0)
    a, ab = rng.standard_normal((6, 12)).astype(np.float32), rng.standard_normal(12).astype(np.float32)
    a[:, 5], ab[5] = 0, 1
    analysis, found, _ = measured(a=a, ab=ab, b=rng.standard_normal((12, 5)).astype(np.float32))
    (group,) = [group for group in analysis.groups if not group.frozen]
    assert DATA_CRITERIA["flap"](found)[group.atoms].argmin() == 5
    assert DATA_CRITERIA["wanda"](found)[group.atoms][5] > 1e-3


def test_what_nothing_sums_over_is_not_removed() -> None:
    """Heads of an attention whose output is not projected: the data say nothing about q and k alone."""
    analysis, found, _ = measured()
    assert np.isfinite(DATA_CRITERIA["obs"](found)).any()
    errors = np.full(analysis.atoms.count, np.inf)
    (group,) = [group for group in analysis.groups if not group.frozen]
    errors[group.atoms[:3]] = 1.0
    plan = make_plan(analysis, Request(macs=0.9), errors=errors)
    assert set(plan.groups[0].removed) <= {0, 1, 2}


def test_errors_that_are_no_numbers_do_not_repeat_atoms() -> None:
    surgeon = Surgeon(np.full((1, 2, 4), np.nan), np.eye(4)[None], np.arange(4), 1.0)
    order, _ = eliminate([surgeon], 4)
    assert sorted(order) == [0, 1, 2, 3]


def test_activations_that_overflow_are_refused() -> None:
    model = model_of(
        """(float[N, 6] x) => (float[] y)
        <float[6, 12] a, float[12, 5] b> { h = MatMul(x, a) e = Exp(h) y = MatMul(e, b) }"""
    )
    analysis = analyze(import_model(oir.from_proto(model)))
    feeds = [{"x": np.full((8, 6), 1e4, np.float32)}]
    with pytest.raises(InputError, match=r"\(MatMul\) reads or computes infinities or NaN on the data"):
        measure(analysis, model, feeds)


def test_large_moments_are_inverted_by_their_factor() -> None:
    rows = np.random.default_rng(4).standard_normal((2, 600, 230))
    moments = rows.transpose(0, 2, 1) @ rows / 600
    found = inverse_of(moments)
    np.testing.assert_allclose(found @ moments, np.broadcast_to(np.eye(230), moments.shape), atol=1e-9)
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))


def test_a_long_elimination_stays_exact() -> None:
    """After 240 downdates of a matrix of 250 columns, what is left is the inverse of what is left."""
    rows = np.random.default_rng(4).standard_normal((900, 250)) @ np.random.default_rng(5).standard_normal((250, 250))
    moments = (rows.T @ rows / 900)[None]
    surgeon = Surgeon(np.ones((1, 3, 250)), inverse_of(moments), np.arange(250), 1.0)
    for k in range(240):
        surgeon.remove(np.arange(250) == k)
    wanted = np.linalg.inv(moments[0, 240:, 240:])
    np.testing.assert_allclose(surgeon.inverse[0], wanted, rtol=1e-6, atol=1e-8 * np.abs(wanted).max())


def test_a_block_that_is_singular_is_removed_all_the_same() -> None:
    surgeon = Surgeon(np.ones((1, 2, 4)), np.ones((1, 4, 4)), np.arange(4), 1.0)
    surgeon.remove(np.array([True, True, False, False]))
    assert np.isfinite(surgeon.inverse).all()
    np.testing.assert_allclose(surgeon.inverse[0], np.zeros((2, 2)), atol=1e-12)
    np.testing.assert_allclose(surgeon.weight[0], np.zeros((2, 2)), atol=1e-12)
