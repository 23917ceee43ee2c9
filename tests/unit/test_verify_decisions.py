"""Outputs that are decisions hide what they are made from: the numbers before them are compared as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from irprune import api
from irprune.analysis import analyze
from irprune.frontends.onnx import import_model
from irprune.verification import Equivalence, Fidelity, OutputError, Report, Structure, junit_xml
from irprune.verification.decisions import values_before_decisions
from irprune.verification.driver import verify_models
from irprune.verification.verdicts import verdicts
from tests.golden.helpers.models import model_of

BODY = """
    c = Conv <pads = [1, 1, 1, 1]> (x, w, b)
    r = Relu(c)
    d = Conv(r, v)
    p = GlobalAveragePool(d)
    f = Flatten(p)
"""
HEADS = {
    "arg-max": ("int64[2] y", "s = Softmax <axis = 1> (f)  y = ArgMax <axis = 1, keepdims = 0> (s)", {"f"}),
    "threshold": ("bool[2, 6] y", "g = Sigmoid(f)  y = Greater(g, half)", {"f"}),
    "picks": ("float[2, 3] u, int64[2, 3] y", "u, y = TopK <axis = 1> (f, three)", {"f"}),
    "saturated": ("float[2, 6] y", "m = Mul(f, many)  y = Softmax <axis = 1> (m)", {"m"}),
    "clipped": ("float[2, 6] y", "m = Mul(f, many)  k = Clip(m, zero, one)  y = Mul(k, half)", {"m"}),
    "in the middle": ("float[2, 4] y", "g = Greater(f, half)  h = Cast <to = 1> (g)  y = MatMul(h, last)", {"f"}),
}
WEIGHTS = """<float[8, 3, 3, 3] w, float[8] b, float[6, 8, 1, 1] v, float half = {0.5}, float many = {1000.0},
 float zero = {0.0}, float one = {1.0}, int64[1] three = {3}, float[6, 4] last>"""


def headed(name: str) -> onnx.ModelProto:
    outputs, nodes, _ = HEADS[name]
    return model_of(f"(float[2, 3, 8, 8] x) => ({outputs}) {WEIGHTS} {{ {BODY} {nodes} }}", 17)


def _leaky(model: onnx.ModelProto) -> None:
    """Another activation, which moves the logits by some percent."""
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.op_type = "LeakyRelu"
    node.attribute.append(helper.make_attribute("alpha", 1e-3))


def _shifted(model: onnx.ModelProto) -> None:
    """Biases that are a little larger."""
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "b")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1e-3), "b"))


@pytest.mark.parametrize("name", HEADS)
def test_values_before_decisions(name: str) -> None:
    import onnx_ir as oir

    found = values_before_decisions(analyze(import_model(oir.from_proto(headed(name)))))
    assert set(found) == HEADS[name][2]


@pytest.mark.parametrize("fault", [_leaky, _shifted])
@pytest.mark.parametrize("name", HEADS)
def test_a_fault_that_decisions_hide_is_found(name: str, fault: Callable[[onnx.ModelProto], None]) -> None:
    original = headed(name)
    result = api.prune(original, ratio=0.25)
    assert result.report is not None
    equivalence = result.report.equivalence
    assert {found.name for found in equivalence.before} == HEADS[name][2]
    assert equivalence.as_json()["before_decisions"]["of"] == len(HEADS[name][2])
    pruned: onnx.ModelProto = result.model
    fault(pruned)
    report = verify_models(original, pruned, result.plan, nodes=False)
    assert not report.equivalence.ok
    assert {found.name for found in report.equivalence.before if not found.ok} == HEADS[name][2]
    assert any("which outputs hide" in line for line in report.failures())


def test_a_plain_network_is_compared_by_its_outputs() -> None:
    model = model_of(f"(float[2, 3, 8, 8] x) => (float[2, 6] f) {WEIGHTS} {{ {BODY} }}", 17)
    report = api.prune(model, ratio=0.5).report
    assert report is not None and report.equivalence.before == () and report.equivalence.hidden == 0


@pytest.mark.parametrize(
    ("compared", "hidden", "words"),
    [(2, 1, "2 of 3 float values before decisions were compared"), (0, 4, "0 of 4 float values"), (0, 0, None)],
)
def test_the_share_that_was_compared_is_shown(compared: int, hidden: int, words: str | None) -> None:
    """On the terminal and in JUnit as in JSON; a network without decisions has no such line."""
    before = tuple(OutputError(f"v{k}", "float32", 0.0, 1e-4, "seed 0") for k in range(compared))
    equivalence = Equivalence((), ("seed 0",), before=before, hidden=hidden)
    report = Report(Structure((), 1), equivalence, Fidelity(()))
    shown = next(verdict.words for verdict in verdicts(report) if verdict.name == "equivalence")
    for text in (shown, junit_xml(report)):
        assert ("before decisions" not in text) if words is None else (words in text)


def test_the_share_of_a_real_run_is_shown() -> None:
    report = api.prune(headed("arg-max"), ratio=0.25).report
    assert report is not None
    assert "1 of 1 float values before decisions were compared" in junit_xml(report)


MOVES = {
    "DepthToSpace": "m = DepthToSpace <blocksize = 2> (q)",
    "Transpose": "m = Transpose <perm = [0, 1, 3, 2]> (q)",
    "MaxPool": "m = MaxPool <kernel_shape = [2, 2]> (q)",
    "Concat": "m = Concat <axis = 1> (q, q)",
    "Pad with the zero point": "m = Pad(q, pads, point)",
    "Pad": "m = Pad(q, pads)",
    "Resize": 'm = Resize <mode = "nearest", nearest_mode = "floor"> (q, , scales)',
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("seed", [0, 1])
def test_integers_that_are_moved_before_they_become_floats(name: str, seed: int) -> None:
    """One flipped rounding would be refused: both sides are compared without rounding."""
    wide = {"DepthToSpace": 4, "Concat": 32}.get(name, 16)
    text = f"""(float[1, 3, 16, 16] x) => (float[1, 4, height, width] y)
    <float[16, 3, 3, 3] w, float[16, 16, 3, 3] v, float[4, {wide}, 3, 3] u, float s = {{0.02}}, int8 point = {{-3}},
     int64[8] pads = {{0, 0, 1, 1, 0, 0, 1, 1}}, float[4] scales = {{1.0, 1.0, 2.0, 2.0}}> {{
        a = Conv <pads = [1, 1, 1, 1]> (x, w)
        b = QuantizeLinear(a, s, point)
        c = DequantizeLinear(b, s, point)
        d = Conv <pads = [1, 1, 1, 1]> (c, v)
        q = QuantizeLinear(d, s, point)
        {MOVES[name]}
        e = DequantizeLinear(m, s, point)
        y = Conv(e, u)
    }}"""
    report = api.prune(model_of(text, 17, seed=seed), ratio=0.5).report
    assert report is not None and report.equivalence.as_is
    assert report.equivalence.error < 1e-5


BRANCHES = """y = If ({by}) <then_branch = t () => (float[2, 3] p) {{ a = MatMul(h, v) p = Tanh(a) }},
    else_branch = e () => (float[2, 3] q) {{ q = MatMul(h, v) }}>"""
COVERED = {
    "a plain network": ("y = MatMul(h, v)", (1, 2, 2, 0, 0)),
    "an arg-max": ("l = MatMul(h, v) s = Softmax <axis = 1> (l) y = ArgMax <axis = 1> (s)", (1, 2, 3, 0, 0)),
    "both branches": (BRANCHES.format(by="c"), (1, 2, 2, 3, 3)),
    "one branch": (f"s = ReduceL2 <keepdims = 0> (x) b = Cast <to = 9> (s) {BRANCHES.format(by='b')}", (2, 3, 3, 3, 2)),
}


@pytest.mark.parametrize("name", COVERED)
def test_the_share_of_all_float_values_is_counted(name: str) -> None:
    """What is compared, what shows in it, all float values, those inside bodies, and what is shown of these."""
    nodes, expected = COVERED[name]
    model = model_of(
        f"(float[2, 4] x, bool c) => (float[] y) <float[4, 6] w, float[6, 3] v> {{ h = MatMul(x, w) {nodes} }}", 17
    )
    if name == "an arg-max":
        model.graph.output[0].type.tensor_type.elem_type = 7
    report = api.prune(model, ratio=0.5, align=1).report
    assert report is not None and report.ok
    found = report.equivalence.coverage
    assert found is not None and dataclasses.astuple(found) == expected
    assert f"{found.shown} of {found.of} float values before the outputs were compared" in junit_xml(report)
