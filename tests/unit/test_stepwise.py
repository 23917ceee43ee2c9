"""Models that run piece by piece: in branches, each batch yields the values of those that it takes."""

from __future__ import annotations

import numpy as np
import onnx_ir as oir

from irprune.analysis import analyze
from irprune.calibration.calibrate import measure
from irprune.calibration.stepwise import Stepwise
from irprune.frontends.onnx import import_model
from irprune.runtime.executable import Executable
from tests.golden.helpers.models import model_of

BRANCHED = """(float[N, 6] x, bool fast) => (float[N, 3] y)
<float[6, 8] a, float[8, 3] b, float[6, 8] c, float[8, 3] d>
{ y = If(fast) <
    then_branch = g1 () => (float[N, 3] u) { h = MatMul(x, a) r = Relu(h) u = MatMul(r, b) },
    else_branch = g2 () => (float[N, 3] u) { h = MatMul(x, c) n = ReduceMax<keepdims = 0>(h) zero = Sub(n, n)
      positive = Equal(n, zero) r = Relu(h)
      u = If(positive) <
        then_branch = g3 () => (float[N, 3] v) { v = MatMul(h, d) },
        else_branch = g4 () => (float[N, 3] v) { v = MatMul(r, d) }
      > }
  > }"""


def feeds(*fast: bool) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{"x": rng.standard_normal((5, 6)).astype(np.float32), "fast": np.array(flag)} for flag in fast]


def test_outputs_are_those_of_the_branches_taken() -> None:
    model = model_of(BRANCHED)
    given = feeds(True, False, True)
    stepwise = Stepwise(model, given)
    for feed, values in zip(given, stepwise.get(["y"]), strict=True):
        np.testing.assert_allclose(values["y"], Executable(model).run(feed)["y"], rtol=0, atol=1e-5)


def test_a_value_of_a_branch_is_there_for_the_batches_that_take_it() -> None:
    model = model_of(BRANCHED)
    graph = import_model(oir.from_proto(model))
    hidden = {node.inputs[1]: node.outputs[0] for node in graph.nodes if node.inputs[1:] and node.op == "MatMul"}
    stepwise = Stepwise(model, feeds(True, False, True))
    assert stepwise.reached([hidden["a"]]) == 2
    assert stepwise.reached([hidden["c"]]) == 1
    assert [bool(values) for values in stepwise.get([hidden["a"]])] == [True, False, True]


def test_groups_of_a_branch_that_no_sample_takes_are_named() -> None:
    model = model_of(BRANCHED)
    analysis = analyze(import_model(oir.from_proto(model)))
    by_weight = {member.tensor: g.name for g in analysis.groups if not g.frozen for member in g.members}
    assert measure(analysis, model, feeds(True, True)).unreached_groups == {by_weight["c"]}
    assert not measure(analysis, model, feeds(True, False)).unreached_groups


def test_a_weight_of_a_branch_is_updated_for_what_runs_later() -> None:
    model = model_of(BRANCHED)
    stepwise = Stepwise(model, feeds(True))
    stepwise.update("b", np.zeros((8, 3), np.float32))
    (values,) = stepwise.get(["y"])
    assert not values["y"].any()
