"""Parameters and tables: both sides of the line."""

from __future__ import annotations

import numpy as np
import onnx_ir as oir
import pytest

from irprune.analysis import Analysis, analyze
from irprune.frontends.onnx import import_model
from irprune.plans.planner import make_plan
from irprune.request import Request
from tests.golden.helpers.models import Array, analysis_of, model_of

HEAD = """(float[1, 3, 8, 8] x) => (float[1, 128, 4] boxes)
<float[16, 3, 1, 1] a, float[8, 16, 1, 1] c, {declared}, int64[3] shape = {{1, -1, 4}}>
{{ h = Conv(x, a) k = Relu(h) o = Conv(k, c) t = Transpose<perm = [0, 2, 3, 1]>(o) u = Reshape(t, shape)
   {rest} }}"""


def tables(analysis: Analysis) -> set[str]:
    return {parameter.tensor for parameter in analysis.parameters if parameter.is_table}


def of_numbers(text: str, **numbers: Array) -> Analysis:
    return analyze(import_model(oir.from_proto(model_of(text, numbers=numbers))))


def test_anchors_are_tables() -> None:
    """Priors that decode boxes: nothing that learns reads the result."""
    found = analysis_of(
        HEAD.format(
            declared="float[1, 128, 4] size, float[1, 128, 4] center", rest="v = Mul(u, size) boxes = Add(v, center)"
        )
    )
    assert tables(found) == {"size", "center"}
    cost = found.cost_model({})
    assert (cost.params, cost.tables) == (16 * 3 + 8 * 16, 2 * 128 * 4)


def test_anchors_that_are_sliced_are_tables() -> None:
    found = analysis_of(
        HEAD.format(
            declared="""float[1, 128, 8] both, int64[1] zero = {0}, int64[1] four = {4}, int64[1] eight = {8},
            int64[1] last = {2}""",
            rest="""size = Slice(both, zero, four, last) center = Slice(both, four, eight, last)
            v = Mul(u, size) boxes = Add(v, center)""",
        )
    )
    assert tables(found) == {"both"}


def test_a_target_for_parameters_leaves_tables_out() -> None:
    found = analysis_of(HEAD.format(declared="float[1, 128, 4] size", rest="boxes = Mul(u, size)"))
    cost = make_plan(found, Request(params=0.5)).cost_after
    assert cost.params <= 0.51 * (16 * 3 + 8 * 16)
    assert cost.tables == 128 * 4


def test_scales_and_biases_of_channels_are_parameters() -> None:
    """Also at the very end, where nothing reads the result."""
    found = analysis_of(
        HEAD.format(
            declared="float[1, 1, 4] slope, float[4] bias, float[16, 1, 1] gamma",
            rest="v = Mul(u, slope) boxes = Add(v, bias)",
        ).replace("h = Conv(x, a)", "g = Conv(x, a) h = Mul(g, gamma)")
    )
    assert tables(found) == set()


@pytest.mark.parametrize(
    "then", ["y = MatMul(q, w2)", "n = LayerNormalization(q, s, b) y = MatMul(n, w2)", "r = Relu(q) y = MatMul(r, w2)"]
)
def test_position_embeddings_are_parameters(then: str) -> None:
    found = analysis_of(
        f"""(float[N, 16, 6] x) => (float[N, 16, 4] y)
        <float[6, 8] w1, float[8, 4] w2, float[1, 16, 8] positions, float[8] s, float[8] b>
        {{ p = MatMul(x, w1) q = Add(p, positions) {then} }}"""
    )
    assert tables(found) == set()


SCORES = """(float[N, 16, 6] x) => (float[N, 2, 16, 4] y) <float[6, 8] wq, float[6, 8] wk, float[6, 8] wv,
        float[1, 2, 16, 16] bias, float[1, 1, 16, 16] mask, int64[4] s = {0, 16, 2, 4}>
        { q = MatMul(x, wq) qs = Reshape(q, s) qh = Transpose<perm = [0, 2, 1, 3]>(qs)
          k = MatMul(x, wk) ks = Reshape(k, s) kh = Transpose<perm = [0, 2, 3, 1]>(ks)
          v = MatMul(x, wv) vs = Reshape(v, s) vh = Transpose<perm = [0, 2, 1, 3]>(vs)
          scores = MatMul(qh, kh) biased = Add(scores, bias) masked = Add(biased, mask)
          soft = Softmax(masked) y = MatMul(soft, vh) }"""


def test_relative_position_biases_are_parameters_and_masks_are_tables() -> None:
    """A bias has heads, an axis of the weights; a mask has positions alone. Folded biases repeat their values."""
    assert tables(analysis_of(SCORES)) == {"mask"}
    learned = np.random.default_rng(0).standard_normal((2, 31)).astype(np.float32)
    folded = learned[:, np.arange(16)[:, None] - np.arange(16)[None, :] + 15][None]
    assert tables(of_numbers(SCORES, bias=folded)) == {"mask"}


def test_positional_values_that_follow_a_formula_are_tables() -> None:
    """Sinusoids of the position, as transformers without learned positions add them, and the rows of a grid."""
    text = """(float[N, 32, 6] x) => (float[N, 32, 4] y)
        <float[6, 16] w1, float[16, 4] w2, float[1, 32, 16] positions>
        { p = MatMul(x, w1) q = Add(p, positions) y = MatMul(q, w2) }"""
    rate = np.arange(32)[:, None] / 100.0 ** (np.arange(0, 16, 2) / 16)
    sinusoids = np.stack([np.sin(rate), np.cos(rate)], axis=-1).reshape(1, 32, 16).astype(np.float32)
    grid = np.broadcast_to(np.arange(32, dtype=np.float32)[None, :, None], (1, 32, 16))
    assert tables(of_numbers(text, positions=sinusoids)) == {"positions"}
    assert tables(of_numbers(text, positions=grid)) == {"positions"}
    assert tables(of_numbers(text)) == set()


def test_initial_states_are_tables() -> None:
    found = analysis_of(
        """(float[5, 2, 3] x) => (float[5, 1, 2, 4] y) <float[1, 16, 3] w, float[1, 16, 4] r, float[1, 2, 4] h0,
        float[1, 2, 4] c0, float[1, 32] b> { y = LSTM<hidden_size = 4>(x, w, r, b, , h0, c0) }"""
    )
    assert tables(found) == {"h0", "c0"}
    assert {p.tensor for p in found.parameters if p.trainable} == {"w", "r", "b"}


def test_a_state_of_zeros_that_enters_a_product_is_a_table() -> None:
    text = """(float[2, 3] x) => (float[2, 4] y) <float[3, 4] w, float[4, 4] u, float[2, 4] h0>
        { a = MatMul(x, w) b = MatMul(h0, u) c = Add(a, b) y = Tanh(c) }"""
    assert tables(of_numbers(text, h0=np.zeros((2, 4), np.float32))) == {"h0"}
    assert tables(of_numbers(text)) == set()


def test_embeddings_and_weights_behind_other_constants_are_parameters() -> None:
    found = analysis_of(
        """(int64[N, 5] i) => (float[N, 5, 4] y) <float[9, 6] table, float[4, 6] v, float[4, 1] gain>
        { e = Gather(table, i) scaled = Mul(v, gain) w = Transpose<perm = [1, 0]>(scaled) y = MatMul(e, w) }"""
    )
    assert tables(found) == set()


def test_what_an_operator_without_a_signature_reads_is_a_parameter() -> None:
    found = analysis_of(
        """(float[1, 4, 6] x) => (float[1, 4, 6] y) <float[1, 4, 6] t, float[6, 6] w, float[1, 4, 6] u>
        { a = MatMul(x, w) b = custom.Mystery(a, t) y = Add(b, u) }"""
    )
    assert "t" not in tables(found)


def test_learned_initial_states_are_parameters() -> None:
    """One state for all samples, with elements of its own; drawn or zero states are none."""
    text = """(float[5, 2, 3] x) => (float[5, 1, 2, 4] y) <float[1, 16, 3] w, float[1, 16, 4] r, float[1, 2, 4] h0,
        float[1, 2, 4] c0, float[1, 32] b> { y = LSTM<hidden_size = 4>(x, w, r, b, , h0, c0) }"""
    learned = np.broadcast_to(np.arange(4, dtype=np.float32), (1, 2, 4))
    assert tables(of_numbers(text, h0=learned, c0=np.zeros((1, 2, 4), np.float32))) == {"c0"}
    expanded = """(float[5, N, 3] x, int64[3] shape) => (float[5, 1, N, 4] y)
        <float[1, 12, 3] w, float[1, 12, 4] r, float[1, 1, 4] h0>
        { start = Expand(h0, shape) y = GRU<hidden_size = 4>(x, w, r, , , start) }"""
    assert tables(of_numbers(expanded, h0=learned[:, :1])) == set()


def rotary(positions: int, size: int, base: float) -> np.ndarray:
    angles = np.outer(np.arange(positions), base ** (-np.arange(0, size, 2) / size))
    return np.concatenate([angles, angles], axis=1)


@pytest.mark.parametrize(("positions", "size", "base"), [(2048, 128, 1e4), (512, 64, 5e5), (64, 16, 1e4)])
def test_rotary_caches_that_positions_look_up_are_tables(positions: int, size: int, base: float) -> None:
    text = f"""(float[N, 6, {size}] q, int64[6] at) => (float[N, 6, 5] y)
        <float[{positions}, {size}] cos, float[{positions}, {size}] sin, float[{size}, 5] w>
        {{ c = Gather(cos, at) s = Gather(sin, at) a = Mul(q, c) b = Mul(q, s) d = Add(a, b) y = MatMul(d, w) }}"""
    angles = rotary(positions, size, base)
    found = of_numbers(text, cos=np.cos(angles).astype(np.float32), sin=np.sin(angles).astype(np.float32))
    assert tables(found) == {"cos", "sin"}
    smooth = np.cumsum(np.cumsum(np.random.default_rng(0).standard_normal((2, positions, size)), axis=1), axis=1)
    assert tables(of_numbers(text)) == set()
    assert tables(of_numbers(text, cos=smooth[0].astype(np.float32), sin=smooth[1].astype(np.float32))) == set()


FREQUENCIES = """(float[1, S, 6] x, int64[1, 1, S] at) => (float[1, S, 5] y)
    <float[1, 4, 1] inv_freq, float[6, 8] w, float[8, 5] v>
{ h = MatMul(x, w) f = Cast<to = 1>(at) angles = MatMul(inv_freq, f) turned = Transpose<perm = [0, 2, 1]>(angles)
  both = Concat<axis = -1>(turned, turned) %s p = Mul(h, c) q = Mul(h, s) z = Add(p, q) y = MatMul(z, v) }"""


def test_frequencies_of_angles_are_tables() -> None:
    assert tables(analysis_of(FREQUENCIES % "c = Cos(both) s = Sin(both)")) == {"inv_freq"}
    assert tables(analysis_of(FREQUENCIES % "c = Sin(both) s = Sin(both)")) == set()
    assert tables(analysis_of(FREQUENCIES % "c = Cos(both) s = Relu(both)")) == set()
