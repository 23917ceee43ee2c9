"""Normalizations that fold into the operator before them; beside them their refusing twins, with the reason."""

from collections.abc import Callable

import numpy as np
import onnx_ir as oir
import pytest

from irprune.frontends.onnx import import_model
from irprune.ir import render
from irprune.passes.fold import Fold, fold_graph
from tests.golden.passes_support import Numbers, built, emitted, model_of, normal, outputs, statistics

NORMALIZED: list[tuple[str, str, Callable[[], Numbers], str]] = [
    (
        "convolution",
        "g (float[2, 3, 8, 8] x) => (float[2, 4, 6, 6] y) { c = Conv(x, w) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(4, 3, 3, 3), **statistics(4)},
        """
        const "b": float32[4]
        const "w": float32[4, 3, 3, 3]
        node "Conv:c" Conv("x", "w", "b") -> ("y": float32[2, 4, 6, 6]) {}
        """,
    ),
    (
        "convolution with a bias",
        "g (float[2, 3, 8] x) => (float[2, 4, 8] y)"
        "{ c = Conv(x, w, k) n = BatchNormalization<epsilon=0.1>(c, g, b, m, v) y = Relu(n) }",
        lambda: {"w": normal(4, 3, 1), "k": normal(4), **statistics(4)},
        """
        const "k": float32[4]
        const "w": float32[4, 3, 1]
        node "Conv:c" Conv("x", "w", "k") -> ("n": float32[2, 4, 8]) {}
        node "Relu:y" Relu("n") -> ("y": float32[2, 4, 8]) {}
        """,
    ),
    (
        "grouped convolution",
        "g (float[2, 4, 8] x) => (float[2, 6, 8] y){ c = Conv<group=2>(x, w) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(6, 2, 1), **statistics(6)},
        """
        const "b": float32[6]
        const "w": float32[6, 2, 1]
        node "Conv:c" Conv("x", "w", "b") -> ("y": float32[2, 6, 8]) {"group": 2}
        """,
    ),
    (
        "transposed convolution",
        "g (float[2, 3, 8, 8] x) => (float[2, 4, 16, 16] y)"
        "{ c = ConvTranspose<strides=[2, 2]>(x, w, k) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(3, 4, 2, 2), "k": normal(4), **statistics(4)},
        """
        const "k": float32[4]
        const "w": float32[3, 4, 2, 2]
        node "ConvTranspose:c" ConvTranspose("x", "w", "k") -> ("y": float32[2, 4, 16, 16]) {"strides": [2, 2]}
        """,
    ),
    (
        "transposed convolution in groups",
        "g (float[2, 4, 8] x) => (float[2, 6, 9] y)"
        "{ c = ConvTranspose<group=2>(x, w) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(4, 3, 2), **statistics(6)},
        """
        const "b": float32[6]
        const "w": float32[4, 3, 2]
        node "ConvTranspose:c" ConvTranspose("x", "w", "b") -> ("y": float32[2, 6, 9]) {"group": 2}
        """,
    ),
    (
        "matrix",
        "g (float[2, 3] x) => (float[2, 4] y) { c = Gemm(x, w) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(3, 4), **statistics(4)},
        """
        const "b": float32[4]
        const "w": float32[3, 4]
        node "Gemm:c" Gemm("x", "w", "b") -> ("y": float32[2, 4]) {}
        """,
    ),
    (
        "matrix, transposed and scaled",
        "g (float[2, 3] x) => (float[2, 4] y)"
        "{ c = Gemm<alpha=0.5, beta=2.0, transB=1>(x, w, k) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(4, 3), "k": normal(1, 4), **statistics(4)},
        """
        const "k": float32[4]
        const "w": float32[4, 3]
        node "Gemm:c" Gemm("x", "w", "k") -> ("y": float32[2, 4]) {"alpha": 0.5, "transB": 1}
        """,
    ),
    (
        "two normalizations in a row",
        "g (float[2, 3, 8] x) => (float[2, 4, 8] y)"
        "{ c = Conv(x, w) n = BatchNormalization(c, g, b, m, v) i = Identity(n)"
        "  y = BatchNormalization(i, h, k, m, v) }",
        lambda: {"w": normal(4, 3, 1), "h": normal(4, seed=5), "k": normal(4, seed=6), **statistics(4)},
        """
        const "b": float32[4]
        const "w": float32[4, 3, 1]
        node "Conv:c" Conv("x", "w", "b") -> ("y": float32[2, 4, 8]) {}
        """,
    ),
    (
        "a shift that others read: the bias is a tensor of its own",
        "g (float[2, 3, 8] x) => (float[2, 4, 8] y)"
        "{ c = Conv(x, w) n = BatchNormalization(c, g, b, m, v) d = Conv(n, u, b)"
        "  y = BatchNormalization(d, g, b, m, v) }",
        lambda: {"w": normal(4, 3, 1), "u": normal(4, 4, 1), **statistics(4)},
        """
        const "u": float32[4, 4, 1]
        const "u_bias": float32[4]
        const "w": float32[4, 3, 1]
        const "w_bias": float32[4]
        node "Conv:c" Conv("x", "w", "w_bias") -> ("n": float32[2, 4, 8]) {}
        node "Conv:d" Conv("n", "u", "u_bias") -> ("y": float32[2, 4, 8]) {}
        """,
    ),
]


@pytest.mark.parametrize(
    ("source", "numbers", "after"), [pytest.param(s, n, a, id=name) for name, s, n, a in NORMALIZED]
)
def test_a_normalization_folds(source: str, numbers: Callable[[], Numbers], after: str) -> None:
    proto = model_of(source, numbers())
    folded = fold_graph(import_model(oir.from_proto(proto)))
    lines = [line for line in render(folded.graph).splitlines() if line.startswith(("const", "node"))]
    assert lines == [line.strip() for line in after.strip().splitlines()]
    assert folded.updated == folded.graph.constants.keys()
    for expected, found in zip(outputs(proto), outputs(emitted(proto)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


NOT_NORMALIZED: list[tuple[str, str, Callable[[], Numbers], str]] = [
    (
        "something else in between",
        "g (float[2, 3, 8] x) => (float[2, 4, 8] y)"
        "{ c = Conv(x, w) r = Relu(c) y = BatchNormalization(r, g, b, m, v) }",
        lambda: {"w": normal(4, 3, 1), **statistics(4)},
        "its operand comes from no Conv, ConvTranspose, Gemm",
    ),
    (
        "a second reader",
        "g (float[2, 3, 8] x) => (float[2, 4, 8] y, float[2, 4, 8] z)"
        "{ c = Conv(x, w) y = BatchNormalization(c, g, b, m, v) z = Relu(c) }",
        lambda: {"w": normal(4, 3, 1), **statistics(4)},
        "'c' is read elsewhere too",
    ),
    (
        "a graph output",
        "g (float[2, 3, 8] x) => (float[2, 4, 8] y, float[2, 4, 8] c)"
        "{ c = Conv(x, w) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(4, 3, 1), **statistics(4)},
        "'c' is read elsewhere too",
    ),
    (
        "a shared weight",
        "g (float[2, 3, 8] x) => (float[2, 3, 8] y)"
        "{ o = Conv(x, w) c = Conv(o, w) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(3, 3, 1), **statistics(3)},
        "weight 'w' is used elsewhere too",
    ),
    (
        "a weight of run time",
        "g (float[2, 3, 8] x, float[4, 3, 1] w) => (float[2, 4, 8] y)"
        "{ c = Conv(x, w) y = BatchNormalization(c, g, b, m, v) }",
        lambda: statistics(4),
        "weight 'w' is computed at run time",
    ),
    (
        "statistics of run time",
        "g (float[2, 3, 8] x, float[4] m) => (float[2, 4, 8] y)"
        "{ c = Conv(x, w) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(4, 3, 1), **{k: v for k, v in statistics(4).items() if k != "m"}},
        "'m' is computed at run time",
    ),
    (
        "training",
        "g (float[2, 3, 8] x) => (float[2, 4, 8] y)"
        "{ c = Conv(x, w) y, p, q = BatchNormalization<training_mode=1>(c, g, b, m, v) }",
        lambda: {"w": normal(4, 3, 1), **statistics(4)},
        "it is in training mode",
    ),
    (
        "a bias that differs from row to row",
        "g (float[2, 3] x) => (float[2, 4] y){ c = Gemm(x, w, k) y = BatchNormalization(c, g, b, m, v) }",
        lambda: {"w": normal(3, 4), "k": normal(2, 4), **statistics(4)},
        "bias 'k' is float32[2, 4], expected one number a channel",
    ),
    (
        "a variance of zero",
        "g (float[2, 3, 8] x) => (float[2, 4, 8] y)"
        "{ c = Conv(x, w) y = BatchNormalization<epsilon=0.0>(c, g, b, m, v) }",
        lambda: {"w": normal(4, 3, 1), **statistics(4), "v": np.zeros(4, np.float32)},
        "its statistics give no finite scale",
    ),
]


@pytest.mark.parametrize(
    ("source", "numbers", "reason"), [pytest.param(s, n, r, id=name) for name, s, n, r in NOT_NORMALIZED]
)
def test_a_normalization_stays(source: str, numbers: Callable[[], Numbers], reason: str) -> None:
    graph = built(source, numbers())
    folded = fold_graph(graph)
    assert folded.graph is graph
    assert folded.stays["BatchNormalization:y"]["batchnorm"] == reason


def test_float16_overflows_earlier() -> None:
    """What fits float32 after folding need not fit the type of the weight."""
    source = "g (float16[2, 1, 8] x) => (float16[2, 1, 8] y) { c = Conv(x, w) y = BatchNormalization(c, g, b, m, v) }"
    numbers = {"w": np.full((1, 1, 1), 40_000), "g": [1], "b": [0], "m": [0], "v": [1]}
    halves = {name: np.array(values, np.float16) for name, values in numbers.items()}
    assert fold_graph(built(source, halves)).graph.constants["w"].numpy().dtype == np.float16
    graph = built(source, {**halves, "g": np.array([2], np.float16)})
    folded = fold_graph(graph)
    assert folded.graph is graph
    assert folded.stays["BatchNormalization:y"]["batchnorm"] == ("the folded weights are out of the range of float16")


def test_normalizations_can_be_left_alone() -> None:
    name, source, numbers, _ = NORMALIZED[0]
    graph = built(source, numbers())
    assert fold_graph(graph, Fold(batchnorm=False)).graph is graph, name
