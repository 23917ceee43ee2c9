"""Values inside the bodies of loops and branches are compared one by one, where runs give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from irprune import api
from irprune.frontends.scopes import proto_scopes
from irprune.runtime.executable import Executable
from irprune.runtime.session import RunFailure
from irprune.verification.driver import verify_models
from irprune.verification.verdicts import verdicts
from tests.golden.helpers.models import model_of

ALL = """(float[2, 3] x, bool flag, int64 n) => (float[2, 3] y, float[] z)
<int64[1] zero = {0}, bool no = {0}> {
    y, z = Loop (n, , x) <body = step (int64 i, bool on, float[2, 3] s) => (bool go, float[2, 3] t, float[2] k) {
        go = Identity(on)
        t = If (flag) <
            then_branch = a () => (float[2, 3] p) { h = Exp(s) p = Neg(h) },
            else_branch = b () => (float[2, 3] q) {
                r, g = Scan <body = row (float[3] c, float[3] e) => (float[3] f, float[3] g) {
                    m = Mul(c, e)
                    f = Add(m, e)
                    g = Identity(f)
                }, num_scan_inputs = 1> (first, s)
                q = Sub(s, g)
            }
        >
        k = ReduceSum <keepdims = 0> (t, one)
    }>
}"""
INSIDE = "Loop:y.body/If:t"


@pytest.fixture(scope="module")
def nested() -> Executable:
    text = ALL.replace("bool no = {0}", "float[3] first, int64[1] one = {1}")
    return Executable(model_of(text, 17))


def _fed(*, flag: bool, steps: int) -> dict[str, Any]:
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    return {"x": x, "flag": np.array(flag), "n": np.array(steps)}


def test_values_of_each_step_are_stacked(nested: Executable) -> None:
    feeds = _fed(flag=True, steps=3)
    names = [f"{INSIDE}.then_branch/h", "Loop:y.body/t", "Loop:y.body/k"]
    found = nested.run(feeds, also=names)
    expected = [feeds["x"]]
    for _ in range(3):
        expected.append(-np.exp(expected[-1]))
    np.testing.assert_allclose(found[names[0]], np.exp(expected[:-1]), rtol=1e-6)
    np.testing.assert_allclose(found[names[1]], expected[1:], rtol=1e-6)
    np.testing.assert_allclose(found[names[2]], found["z"])
    np.testing.assert_allclose(found["y"], expected[-1], rtol=1e-6)


def test_values_of_a_loop_in_a_branch_in_a_loop(nested: Executable) -> None:
    name = f"{INSIDE}.else_branch/Scan:r.body/m"
    found = nested.run(_fed(flag=False, steps=2), also=[name, "Loop:y.body/t"])
    assert found[name].shape == (2, 2, 3)  # steps, rows, elements
    first = onnx.numpy_helper.to_array(next(t for t in nested.proto.graph.initializer if t.name == "first"))
    np.testing.assert_allclose(found[name][0, 0], first * _fed(flag=False, steps=2)["x"][0], rtol=1e-6)


@pytest.mark.parametrize(("flag", "steps"), [(True, 0), (False, 2)])
def test_a_value_that_is_not_computed_is_empty(nested: Executable, flag: bool, steps: int) -> None:
    name = f"{INSIDE}.then_branch/h"
    assert nested.run(_fed(flag=flag, steps=steps), also=[name])[name].size == 0


def test_a_value_that_no_body_has(nested: Executable) -> None:
    with pytest.raises(RunFailure, match=r"no body has a value 'Loop:y.body/w' of a known type"):
        nested.run(_fed(flag=True, steps=1), also=["Loop:y.body/w"])


HIDDEN = "a = Relu(h) l = MatMul(a, v) s = Softmax <axis = 1> (l)"
DECIDED = {
    "If": f"""k = If (flag) <then_branch = t () => (int64[2, 1] p) {{ {HIDDEN} p = ArgMax <axis = 1> (s) }},
        else_branch = e () => (int64[2, 1] q) {{ q = Identity(none) }}>""",
    "Loop": f"""u, k = Loop (two, , none) <body = step (int64 i, bool on, int64[2, 1] b) => (bool go, int64[2, 1] o,
        int64[2, 1] p) {{ go = Identity(on) {HIDDEN} p = ArgMax <axis = 1> (s) o = Identity(b) }}>""",
    "Scan": f"""u, k = Scan <body = step (int64[2, 1] b, float[3] row) => (int64[2, 1] o, int64[2, 1] p) {{
        {HIDDEN} p = ArgMax <axis = 1> (s) o = Identity(b) }}, num_scan_inputs = 1> (none, x)""",
}


@pytest.mark.parametrize("kind", DECIDED)
def test_a_fault_that_a_decision_inside_a_body_hides(kind: str) -> None:
    """Another activation moves the logits by some percent, and the arg-max stays."""
    text = f"""(float[2, 3] x, bool flag) => (int64[] k)
    <float[3, 8] w, float[8, 4] v, int64[2, 1] none = {{0, 0}}, int64 two = {{2}}> {{
        h = MatMul(x, w)
        {DECIDED[kind]}
    }}"""
    original = model_of(text, 17)
    result = api.prune(original, ratio=0.25)
    assert result.report is not None
    before = result.report.equivalence.before
    assert [found.name.split("/")[-1] for found in before] == ["l"]
    pruned: onnx.ModelProto = result.model
    (relu,) = (node for _, graph in proto_scopes(pruned.graph) for node in graph.node if node.op_type == "Relu")
    relu.op_type = "LeakyRelu"
    relu.attribute.append(onnx.helper.make_attribute("alpha", 1e-3))
    report = verify_models(original, pruned, result.plan, nodes=False)
    assert not report.equivalence.ok
    assert all(found.ok for found in report.equivalence.outputs)
    assert any("/l' (float32), which outputs hide, differs" in line for line in report.failures())


def test_what_a_loop_hands_out_and_nobody_decides_on() -> None:
    """Each step is compared, also where the result is their least."""
    text = """(float[2, 3] x) => (float[2, 4] y) <float[3, 8] w, float[8, 4] v, int64 two = {2}, float[2, 4] start> {
        h = MatMul(x, w)
        y = Loop (two, , start) <body = step (int64 i, bool on, float[2, 4] s) => (bool go, float[2, 4] t) {
            go = Identity(on) a = Tanh(h) m = MatMul(a, v) t = Add(s, m) }>
    }"""
    original = model_of(text, 17)
    report = api.prune(original, ratio=0.5).report
    assert report is not None and report.ok
    assert [found.name for found in report.equivalence.inside] == ["Loop:y.body/t"]
    assert [found["name"] for found in report.as_json()["equivalence"]["in_bodies"]] == ["Loop:y.body/t"]
    words = next(verdict.words for verdict in verdicts(report) if verdict.name == "equivalence")
    assert "; 4 of 4 more inside bodies" in words


def test_steps_of_different_shapes_are_compared_by_results_alone() -> None:
    """ONNX Runtime does not stack them, and that is no failure."""
    text = """(float[2, 3] x) => (float[2, 8] y) <float[3, 8] w, float[8, 4] v, int64 two = {2}, float[1, 8] start> {
        h = MatMul(x, w)
        r = Relu(h)
        l = Loop (two, , start) <body = step (int64 i, bool on, float[k, 8] s) => (bool go, float[m, 8] t) {
            go = Identity(on) t = Concat <axis = 0> (s, r) }>
        y = MatMul(l, v)
    }"""
    report = api.prune(model_of(text.replace("float[2, 8] y", "float[] y"), 17), ratio=0.5).report
    assert report is not None and report.ok
    assert report.equivalence.inside == ()
    assert report.equivalence.coverage is not None and report.equivalence.coverage.shown_in_bodies == 0
