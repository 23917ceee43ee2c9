"""Importance of atoms, against formulas written out with numpy for small networks."""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import onnx_ir as oir
import pytest
from numpy.typing import NDArray

from irprune import scoring
from irprune.analysis import Analysis, analyze
from irprune.errors import InputError
from irprune.frontends.onnx import import_model
from irprune.scoring import CRITERIA, as_float, per_atom, relative_to_mean, require_numbers, score, weights
from tests.golden.helpers.models import model_of

Array = NDArray[np.generic]
RANDOM = np.random.default_rng(0)


def analysis_of(text: str, numbers: Mapping[str, Array] | None = None) -> Analysis:
    return analyze(import_model(oir.from_proto(model_of(text, numbers=numbers))))


MLP = {
    "u": RANDOM.standard_normal((5, 8)).astype(np.float32),
    "c": RANDOM.standard_normal(8).astype(np.float32) * 100,
    "v": RANDOM.standard_normal((8, 3)).astype(np.float32),
}


def mlp(**numbers: Array) -> Analysis:
    """One hidden layer of eight channels, with a bias."""
    text = (
        "(float[N, 5] x) => (float[N, 3] y) <float[5, 8] u, float[8] c, float[8, 3] v>"
        "{ h = MatMul(x, u) b = Add(h, c) r = Relu(b) y = MatMul(r, v) }"
    )
    return analysis_of(text, {**MLP, **numbers})


def hidden(analysis: Analysis, scores: scoring.Scores) -> scoring.Scores:
    (group,) = (group for group in analysis.groups if not group.frozen)
    return scores[group.atoms]


# -- norms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("l1", np.abs(MLP["u"]).sum(axis=0) + np.abs(MLP["v"]).sum(axis=1)),
        ("l2", np.sqrt((MLP["u"] ** 2).sum(axis=0) + (MLP["v"] ** 2).sum(axis=1))),
    ],
)
def test_norms_run_over_producers_and_consumers_without_biases(criterion: str, expected: Array) -> None:
    analysis = mlp()
    np.testing.assert_allclose(hidden(analysis, score(analysis, criterion)), expected, rtol=1e-6)


def test_a_kernel_counts_whole() -> None:
    kernel = RANDOM.standard_normal((4, 3, 3, 3)).astype(np.float32)
    after = RANDOM.standard_normal((2, 4, 1, 1)).astype(np.float32)
    text = "(float[1, 3, 8, 8] x) => (y) <float[4, 3, 3, 3] k, float[2, 4, 1, 1] l> { h = Conv(x, k) y = Conv(h, l) }"
    analysis = analysis_of(text, {"k": kernel, "l": after})
    expected = np.abs(kernel).sum(axis=(1, 2, 3)) + np.abs(after).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(hidden(analysis, score(analysis, "l1")), expected, rtol=1e-6)


def test_threads_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    analysis = mlp()
    alone = score(analysis, "l2")
    monkeypatch.setattr(scoring, "_BATCH", 8)
    np.testing.assert_array_equal(score(analysis, "l2"), alone)


# -- batch normalization -----------------------------------------------------------------------------------------------

NORMALIZED = (
    "(float[1, 3, 8, 8] x) => (y)"
    "<float[4, 3, 1, 1] k, float[4] g, float[4] b, float[4] m, float[4] var, float[6, 4, 1, 1] l, float[2, 6, 1, 1] o>"
    "{ h = Conv(x, k) n = BatchNormalization(h, g, b, m, var) p = Conv(n, l) y = Conv(p, o) }"
)


def test_scales_of_batch_normalization_are_the_score_of_its_channels() -> None:
    scales = np.array([0.5, -2.0, 0.1, 1.0], np.float32)
    analysis = analysis_of(NORMALIZED, {"g": scales})
    found = {group.size: score(analysis, "bn-scale")[group.atoms] for group in analysis.groups if not group.frozen}
    np.testing.assert_allclose(found[4], np.abs(scales))


def test_groups_without_batch_normalization_are_ranked_by_their_norm_on_the_same_scale() -> None:
    analysis = analysis_of(NORMALIZED, {"g": np.array([0.5, -2.0, 0.1, 1.0], np.float32)})
    scores, norms = score(analysis, "bn-scale"), score(analysis, "l2")
    (group,) = (group for group in analysis.groups if group.size == 6 and not group.frozen)
    assert (np.argsort(scores[group.atoms]) == np.argsort(norms[group.atoms])).all()
    assert scores[group.atoms].mean() == pytest.approx(np.mean([0.5, 2.0, 0.1, 1.0]))


def test_a_model_without_batch_normalization_is_told_so() -> None:
    with pytest.raises(InputError, match=r"^criterion 'bn-scale' needs batch normalization, and the model has none"):
        score(mlp(), "bn-scale")


# -- geometric median, random ------------------------------------------------------------------------------------------


def test_distances_to_all_other_filters_are_summed() -> None:
    def distances(rows: Array) -> Array:
        return np.sqrt(((rows[:, None, :] - rows[None, :, :]) ** 2).sum(axis=2)).sum(axis=1)

    analysis = mlp()
    expected = distances(MLP["u"].T.astype(np.float64)) + distances(MLP["v"].astype(np.float64))
    np.testing.assert_allclose(hidden(analysis, score(analysis, "fpgm")), expected, rtol=1e-6)


def test_random_scores_follow_the_seed() -> None:
    analysis = mlp()
    first, again, other = (score(analysis, "random", seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert sorted(first) == list(range(1, analysis.atoms.count + 1))


# -- what every criterion shares ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name != "bn-scale"])
def test_every_criterion_gives_a_number_of_at_least_zero_for_every_atom(criterion: str) -> None:
    analysis = mlp()
    scores = score(analysis, criterion)
    assert scores.shape == (analysis.atoms.count,)
    assert scores.dtype == np.float64 and (scores >= 0).all() and np.isfinite(scores).all()


def test_an_unknown_criterion_says_which_there_are() -> None:
    with pytest.raises(InputError, match=f"^unknown criterion 'l3'; known: {', '.join(CRITERIA)}$"):
        score(mlp(), "l3")


def test_normalized_scores_have_a_mean_of_one_in_every_group() -> None:
    analysis = analysis_of(NORMALIZED)
    scores = relative_to_mean(analysis, score(analysis, "l2"))
    free = [group for group in analysis.groups if not group.frozen]
    assert [scores[group.atoms].mean() for group in free] == [pytest.approx(1.0)] * len(free)
    zeros = np.zeros(analysis.atoms.count)
    assert (relative_to_mean(analysis, zeros) == zeros).all()  # nothing to divide by


def test_frozen_elements_add_nothing() -> None:
    """The columns of the last weight are a graph output: what is said of them is dropped."""
    analysis = mlp()
    (parameter,) = (p for p in analysis.parameters if p.tensor == "v")
    totals = per_atom(analysis, [(parameter.dims[0], np.arange(8.0)), (parameter.dims[1], np.full(3, 9.0))])
    np.testing.assert_array_equal(hidden(analysis, totals), np.arange(8.0))


def test_vectors_do_not_speak() -> None:
    assert sorted(parameter.tensor for parameter in weights(mlp())) == ["u", "v"]


@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_nan_is_named_with_its_place(criterion: str) -> None:
    broken = MLP["v"].copy()
    broken[2, 1] = np.nan
    with pytest.raises(InputError, match=r"^tensor 'v' holds NaN, the first at \[2, 1\]$"):
        score(mlp(v=broken), criterion)


def test_nan_in_what_a_criterion_does_not_read_is_found_all_the_same() -> None:
    broken = MLP["c"].copy()
    broken[3] = np.nan
    analysis = mlp(c=broken)
    score(analysis, "l2")  # reads no bias
    with pytest.raises(InputError, match=r"^tensor 'c' holds NaN, the first at \[3\]$"):
        require_numbers(analysis, "l2")


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.int4, np.int8, np.float16])
def test_types_without_arithmetic_are_read_as_float32(dtype: type) -> None:
    assert as_float(np.ones(3).astype(dtype)).dtype == np.float32
    assert as_float(np.ones(3)).dtype == np.float64
