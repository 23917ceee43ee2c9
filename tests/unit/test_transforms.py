"""Bases of transforms and filter banks are told from learned weights, kept by default and pruned on request."""

from __future__ import annotations

import warnings

import numpy as np
import onnx_ir as oir
import pytest
from numpy.typing import NDArray

from irprune.analysis import Analysis, analyze
from irprune.analysis.transforms import are_sinusoids, is_filter_bank, is_sinusoid_table
from irprune.errors import TargetError
from irprune.frontends.onnx import import_model
from irprune.plans.planner import make_plan
from irprune.request import Request
from tests.golden.helpers.models import model_of

Matrix = NDArray[np.float32]


def fourier(length: int, window: str) -> tuple[Matrix, Matrix]:
    """Cosines and sines, ``[length // 2 + 1, length]`` each."""
    angles = 2 * np.pi * np.outer(np.arange(length // 2 + 1), np.arange(length)) / length
    shape = {"none": np.ones(length), "hann": np.hanning(length + 1)[:-1], "hamming": np.hamming(length)}[window]
    return (np.cos(angles) * shape).astype(np.float32), (-np.sin(angles) * shape).astype(np.float32)


def mel(filters: int, bins: int, rate: float = 16000.0) -> Matrix:
    """Triangles between equal steps of the mel scale, ``[filters, bins]`` (as librosa's, without normalization)."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), filters + 2) / 2595) - 1)
    bin_at = np.linspace(0, rate / 2, bins)
    rising = (bin_at - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bin_at) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


@pytest.mark.parametrize("window", ["none", "hann", "hamming"])
@pytest.mark.parametrize("length", [64, 400, 512])
def test_a_fourier_basis_is_recognized(length: int, window: str) -> None:
    cosines, sines = fourier(length, window)
    for basis in (cosines, sines, np.vstack([cosines, sines])):
        assert are_sinusoids(basis)
        assert are_sinusoids(basis.T)
        assert are_sinusoids(basis[:, None, :])
    assert are_sinusoids(np.vstack([cosines, sines]).astype(np.float16))


def test_a_cosine_transform_is_recognized() -> None:
    basis = np.cos(np.pi * np.outer(np.arange(13), np.arange(40) + 0.5) / 40)
    assert are_sinusoids(basis.astype(np.float32))


@pytest.mark.parametrize(("filters", "bins"), [(80, 201), (40, 257), (128, 1025)])
def test_a_filter_bank_is_recognized(filters: int, bins: int) -> None:
    assert is_filter_bank(mel(filters, bins))
    assert is_filter_bank(mel(filters, bins).T)


@pytest.mark.parametrize("shape", [(64, 3, 3, 3), (64, 64), (24, 1, 64), (10, 400)])
def test_learned_weights_are_neither(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        weights = rng.standard_normal(shape).astype(np.float32)
        smooth = np.cumsum(weights, axis=-1)
        assert not any(map(are_sinusoids, (weights, smooth, np.sign(weights))))
        assert not any(map(is_filter_bank, (weights, np.abs(weights), np.maximum(weights - 1, 0), smooth)))


def test_equal_rows_and_unit_matrices_are_neither() -> None:
    for array in (np.ones((32, 32)), np.eye(32), np.tri(32)):
        assert not are_sinusoids(array.astype(np.float32))
        assert not is_filter_bank(array.astype(np.float32))


SPECTRUM = """(float[1, 10, 64] frames) => (float[1, 10, 5] y)
<float[64, 33] cosines, float[64, 33] sines, float[33, 8] bank, float[8, 24] w, float[24, 5] v>
{ re = MatMul(frames, cosines) im = MatMul(frames, sines) re2 = Mul(re, re) im2 = Mul(im, im) power = Add(re2, im2)
  bands = MatMul(power, bank) h = MatMul(bands, w) r = Relu(h) y = MatMul(r, v) }"""


def spectrum(learned: bool) -> Analysis:
    cosines, sines = fourier(64, "hann")
    numbers = {} if learned else {"cosines": cosines.T, "sines": sines.T, "bank": mel(8, 33).T}
    return analyze(import_model(oir.from_proto(model_of(SPECTRUM, numbers=numbers))))


def test_transforms_are_kept_unless_they_are_named() -> None:
    analysis = spectrum(learned=False)
    kinds = {group.name: group.kind for group in analysis.groups if not group.frozen}
    assert sorted(kinds.values()) == ["mlp", "transform", "transform"]
    plan = make_plan(analysis, Request(ratio=0.5))
    assert {group.kind for group in plan.groups} == {"mlp"}
    asked = make_plan(analysis, Request(ratio=0.5, only=("kind:transform",)))
    assert {group.kind for group in asked.groups} == {"transform"}


def test_learned_weights_in_their_place_are_pruned() -> None:
    plan = make_plan(spectrum(learned=True), Request(ratio=0.5))
    assert len(plan.groups) == 3


def test_a_model_of_transforms_alone_says_why_nothing_goes() -> None:
    cosines, _ = fourier(64, "hann")
    text = """(float[1, 10, 64] x) => (float[1, 10, 5] y) <float[64, 33] basis, float[33, 5] w>
        { s = MatMul(x, basis) m = Abs(s) y = MatMul(m, w) }"""
    analysis = analyze(import_model(oir.from_proto(model_of(text, numbers={"basis": cosines.T}))))
    with pytest.raises(TargetError, match="constant transforms are kept unless --only names them"):
        make_plan(analysis, Request(ratio=0.5))


@pytest.mark.parametrize("window", ["none", "hann", "hamming"])
@pytest.mark.parametrize("length", [16, 24, 64])
def test_short_and_complex_bases_are_recognized(length: int, window: str) -> None:
    """Windows of few samples change fast; real and imaginary parts may alternate in rows, columns or both."""
    cosines, sines = fourier(length, window)
    both = np.stack([cosines, sines], axis=1).reshape(-1, length)
    for basis in (cosines, both, both.T, np.stack([cosines, sines], axis=2)):
        assert are_sinusoids(basis)
    angles = 2 * np.pi * np.outer(np.arange(length), np.arange(length)) / length
    turned = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    assert are_sinusoids(turned.transpose(2, 0, 3, 1).reshape(2 * length, 2 * length).astype(np.float32))


def test_small_learned_weights_are_no_bases() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        weights = rng.standard_normal((9, 16)).astype(np.float32)
        assert not any(map(are_sinusoids, (weights, np.abs(weights), np.cumsum(weights, axis=1))))


def test_a_table_of_zeros_is_not_one_of_sinusoids() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not is_sinusoid_table(np.zeros((64, 64), dtype=np.float32))
