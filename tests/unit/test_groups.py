"""Kinds of groups, what counts as a parameter, and what is a weight."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from irprune import api
from tests.golden.helpers.models import analysis_of

TABLE = """(float[N, 3, 4] x) => (float[N, 3, 4] y)
<float[8, 4] w, int64[3] i = {0, 5, 2}, int64[1] a = {0}, int64[1] b = {3}>"""


def kinds(text: str) -> dict[str, tuple[str, int]]:
    return {group.name: (group.kind, group.size) for group in analysis_of(text).groups if not group.frozen}


def test_rows_that_are_cut_off_are_unread() -> None:
    assert kinds(f"{TABLE} {{ t = Slice(w, a, b, a) y = Add(x, t) }}") == {"w:0_1": ("unread", 5)}


def test_rows_that_are_not_looked_up_are_unread() -> None:
    assert kinds(f"{TABLE} {{ t = Gather(w, i) y = Add(x, t) }}") == {"w:0": ("unread", 5)}


def test_queries_of_learned_tokens_have_heads() -> None:
    """They are computed from weights alone, by a contraction: no weights of the scores."""
    found = kinds(
        """(float[N, 5, 6] x) => (float[N, 4, 3, 5] y) <float[3, 6] tokens, float[6, 8] wq, float[6, 8] wk,
        int64[4] sq = {1, 3, 4, 2}, int64[4] sk = {0, 5, 4, 2}>
        { q = MatMul(tokens, wq) qs = Reshape(q, sq) qh = Transpose<perm = [0, 2, 1, 3]>(qs)
          k = MatMul(x, wk) ks = Reshape(k, sk) kh = Transpose<perm = [0, 2, 3, 1]>(ks) y = MatMul(qh, kh) }"""
    )
    assert {kind for name, (kind, _) in found.items() if name.startswith("wk")} == {"head_dim"}


def test_a_weight_that_is_summed_is_read() -> None:
    assert kinds(f"{TABLE} {{ t = ReduceSum<keepdims = 0>(w, a) y = Add(x, t) }}") == {"w:0": ("mlp", 8)}


def test_plain_numbers_are_no_parameters() -> None:
    """The scales of a Resize, and a scalar; a vector of one element may be a bias."""
    found = analysis_of(
        """(float[N, 3, 4, 4] x) => (float[] y) <float[4] s = {1, 1, 2, 2}, float c, float[1] b>
        { r = Resize(x, , s) m = Mul(r, c) y = Add(m, b) }"""
    )
    assert {p.tensor: p.trainable for p in found.parameters} == {"s": False, "c": False, "b": True}
    cost = found.cost_model({})
    assert (cost.params, cost.bytes) == (1, 24)


def test_weights_are_what_comes_from_constants_alone_or_is_looked_up_in_a_stack() -> None:
    found = analysis_of(
        """(float[N, 4] x, int64[N] i) => (float[] y, float[] z) <float[3, 4, 5] w, float[6, 4] e>
        { t = Transpose<perm = [0, 2, 1]>(w) g = Gather(w, i) r = Neg(g) s = Gather(t, i)
          h = Gather(e, i) y = Relu(x) z = Add(h, x) }"""
    )
    assert found.coupling.weights == {"w", "e", "t", "g", "r", "s"}


def _body_with_a_weight_as_state(yielded: str) -> str:
    return f"""(float[N, 4] x, int64 trips, bool c) => (float[N, 4] y) <float[4, 4] w>
    {{ y, v = Loop (trips, c, x, w) <body = step (int64 i, bool go, float[N, 4] s, float[4, 4] k)
       => (bool on, float[N, 4] t, float[4, 4] same)
       {{ on = Identity(go) t = MatMul(s, k) copy = Identity(k) same = {yielded}(copy) }}> }}"""


def test_a_weight_that_a_loop_passes_on_is_one_in_its_body() -> None:
    found = analysis_of(_body_with_a_weight_as_state("Identity"), allow_io=("*",))
    assert "Loop:y.body/k" in found.coupling.weights
    assert [(group.kind, group.size) for group in found.groups] == [("mlp", 4)]


def test_a_state_that_a_loop_changes_is_no_weight() -> None:
    found = analysis_of(_body_with_a_weight_as_state("Neg"), allow_io=("*",))
    assert found.coupling.weights == {"w"}


def test_weights_that_are_scanned_are_weights() -> None:
    """A stack of layers, one an iteration; the state that starts as a constant changes."""
    found = analysis_of(
        """(float[N, 4] x) => (float[N, 4] y) <float[3, 4, 6] up, float[3, 6, 4] down>
        { y = Scan <num_scan_inputs = 2, body = layer (float[N, 4] s, float[4, 6] u, float[6, 4] d) => (float[N, 4] t)
          { h = MatMul(s, u) r = Relu(h) t = MatMul(r, d) }> (x, up, down) }"""
    )
    assert {name.split("/")[-1] for name in found.coupling.weights} == {"up", "down", "u", "d"}
    assert [(g.kind, g.size) for g in found.groups if not g.frozen] == [("mlp", 6)]


def test_weights_laid_out_for_one_machine_say_so() -> None:
    nodes = [
        helper.make_node("ReorderInput", ["x"], ["b"], domain="com.microsoft.nchwc"),
        helper.make_node("Conv", ["b", "w"], ["y"], domain="com.microsoft.nchwc"),
    ]
    kind = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 4, 4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weight = numpy_helper.from_array(np.ones((8, 8, 1, 1), np.float32), "w")
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft.nchwc", 1)]
    graph = helper.make_graph(nodes, "g", [kind], [result], [weight])
    found = api.analyze_model(api.open_model(helper.make_model(graph, opset_imports=opsets, ir_version=9)))
    assert all("prune the model that it optimized" in reason.why for reason in found.coupling.refused.values())
    assert len(found.coupling.refused) == 2


def test_a_tensor_of_which_only_the_sizes_are_read_is_no_group() -> None:
    """PyTorch's first exporter reads the sizes of a slice before it writes to it."""
    found = analysis_of(
        """(float[N, 3] x) => (float[N, 6] y) <float[3, 5] w, float[5, 6] v, float[9, 5] zeros, int64[1] a = {0},
        int64[1] b = {7}> { h = MatMul(x, w) t = Slice(zeros, a, b, a) s = Shape<start = 1>(t) r = Expand(h, s)
        y = MatMul(r, v) }"""
    )
    assert {parameter.tensor for parameter in found.parameters} == {"w", "v"}
    assert [group.name for group in found.groups if not group.frozen] == ["v:0"]


def test_one_use_of_a_tensor_may_be_for_its_sizes_alone() -> None:
    found = analysis_of(
        """(float[N, 3] x) => (float[N, 6] y) <float[3, 2] w, float[2, 6] v,
        float[4, 2] zeros = {0, 0, 0, 0, 0, 0, 0, 0}, int64[1] a = {0}, int64[1] b = {1}>
        { h = MatMul(x, w) t = Slice(zeros, a, b, a) s = Shape<start = 1>(t) r = Expand(h, s)
          u = Slice(zeros, a, b, a) d = Sub(r, u) y = MatMul(d, v) }"""
    )
    assert {(p.tensor, p.use) for p in found.parameters} == {("w", None), ("v", None), ("zeros", ("Slice:u", 0))}
