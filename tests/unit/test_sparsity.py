"""Patterns of zeros, and the least squares that make up for them."""

from __future__ import annotations

import numpy as np
import pytest

from irprune.errors import InputError
from irprune.sparsity.patterns import lowest, zeros
from irprune.sparsity.surgeon import sparse_least_squares
from irprune.zeros import Pattern, Sparsity


def test_n_of_every_m_are_kept_along_the_sum() -> None:
    scores = np.random.default_rng(0).random((2, 3, 8, 5))
    gone = zeros(Pattern.of_text("2:4"), scores, 0.0)
    kept = (~gone).reshape(2, 3, 2, 4, 5)
    assert (kept.sum(axis=3) == 2).all()
    parts = scores.reshape(2, 3, 2, 4, 5)
    assert (np.where(kept, parts, np.inf).min(axis=3) > np.where(kept, -np.inf, parts).max(axis=3)).all()


def test_blocks_go_as_a_whole_by_the_sum_of_their_scores() -> None:
    scores = np.ones((1, 8, 3, 1))
    scores[0, 4:, 1, 0] = [0.0, 0.0, 0.0, 3.5]  # the sum is less than four, though one element is the largest
    gone = zeros(Pattern.of_text("4x1"), scores, 1 / 6)
    assert gone[0, 4:, 1, 0].all() and gone.sum() == 4


def test_one_ranking_takes_more_from_small_weights() -> None:
    small, large = np.full((1, 4, 4, 1), 0.1), np.full((1, 4, 4, 1), 1.0)
    first, second = lowest(Pattern(), [large, small], 0.5)
    assert not first.any() and second.all()


@pytest.mark.parametrize("text", ["4:2", "2:2", "0:4", "2", "2:4:8", "ax1", "4x0", "-1:4", "²:4"])
def test_anything_else_is_no_pattern(text: str) -> None:
    with pytest.raises(InputError, match="expected N:M with N below M"):
        Sparsity(pattern=text)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "got neither"),
        ({"ratio": 0.5, "pattern": "2:4"}, "got both"),
        ({"pattern": "4x1"}, "got neither"),
        ({"pattern": "2:4", "scope": "global"}, "scope 'global' has no choice"),
        ({"ratio": 0.5, "method": "wanda"}, "needs inputs of the model"),
    ],
)
def test_contradictions_are_named(options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Sparsity.given(options).with_data(False)


def operands(columns: int) -> np.ndarray:
    """Moments of columns that are mostly mixtures of a few."""
    rng = np.random.default_rng(1)
    mixed = rng.normal(size=(500, columns // 3)) @ rng.normal(size=(columns // 3, columns))
    mixed += 0.1 * rng.normal(size=mixed.shape)
    return np.asarray(mixed.T @ mixed / 500)[None]


@pytest.mark.parametrize(("pattern", "window"), [("", 1), ("", 3), ("2:4", 1), ("2:4", 3), ("4x1", 1)])
def test_the_others_make_up_for_zeros(pattern: str, window: int) -> None:
    summed = 8
    moments = operands(summed * window)
    weight = np.random.default_rng(2).normal(size=(1, 4, summed * window))
    made, gone = sparse_least_squares(weight, moments, Pattern.of_text(pattern), 0.5, summed, window)
    assert gone.mean() == 0.5
    assert (made[gone] == 0).all()
    if pattern == "2:4":
        assert (gone.reshape(1, 4, 2, 4, window).sum(axis=3) == 2).all()

    def error(other: np.ndarray) -> float:
        difference = (weight - other)[0]
        return float(np.einsum("oc,cd,od->", difference, moments[0], difference))

    assert error(made) < 0.5 * error(np.where(gone, 0.0, weight))


def test_a_bias_takes_its_part_and_is_never_zero() -> None:
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.normal(size=(500, 8)) + 5.0, np.ones((500, 1))], axis=1)
    moments = (rows.T @ rows / 500)[None] + 1e-6 * np.eye(9)
    weight = np.concatenate([rng.normal(size=(1, 4, 8)), np.zeros((1, 4, 1))], axis=2)
    made, gone = sparse_least_squares(weight, moments, Pattern(), 0.5, 8, 1)
    assert not gone[..., -1].any() and gone[..., :-1].mean() == 0.5
    lost = rows @ (weight - made)[0].T
    assert np.abs(lost.mean(axis=0)).max() < 0.05  # without the bias it would be five times the weights
