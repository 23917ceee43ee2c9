"""The verifier verified: correct removals pass, and each way of breaking one is caught and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from irprune import api
from irprune.errors import InputError, VerificationError
from irprune.plans import ModelIdentity, Plan, removed_atoms
from irprune.runtime.executable import Executable
from irprune.runtime.feeds import Feeds
from irprune.runtime.session import Outputs
from irprune.verification import equivalence, junit_xml
from irprune.verification.cases import Case, Cases, input_specs, random_cases, trial_sizes
from irprune.verification.comparing import TOLERANCE, relative_error
from irprune.verification.driver import require_repeatable, verify_models
from irprune.verification.masks import kept_part
from irprune.verification.rounding import without_rounding
from tests.golden.helpers.models import model_of


def network(batch: int | str = "batch") -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    weights = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {"w1": (3, 8), "b1": (8,), "w2": (8, 6), "w3": (6, 4)}.items()
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["m"], "first"),
            helper.make_node("Add", ["m", "b1"], ["h"], "bias"),
            helper.make_node("Sigmoid", ["h"], ["s"], "gate"),
            helper.make_node("MatMul", ["s", "w2"], ["u"], "second"),
            helper.make_node("Sigmoid", ["u"], ["t"], "gate2"),
            helper.make_node("MatMul", ["t", "w3"], ["y"], "third"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture
def pair() -> tuple[onnx.ModelProto, onnx.ModelProto, Plan]:
    original = network()
    plan = api.plan(original, ratio=0.5)
    return original, api.apply(original, plan), plan


def edit(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), name))
    return copy


def test_a_correct_removal_passes(pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan]) -> None:
    report = verify_models(*pair)
    assert report.ok, report.failures()
    assert report.equivalence.error < 1e-6
    assert report.structure.tensors == report.structure.unchanged == 4
    assert [case.split(", ", 1)[1] for case in report.equivalence.cases] == ["batch=1", "batch=3", "batch=1"]
    assert -1 <= report.fidelity.outputs[0].cosine < 1
    json.dumps(report.as_json(), allow_nan=False)


@pytest.mark.parametrize(("tensor", "made_by"), [("w1", "first"), ("b1", "bias"), ("w2", "second"), ("w3", "third")])
def test_wrong_channels_are_caught_and_located(
    pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan], tensor: str, made_by: str
) -> None:
    original, pruned, plan = pair
    report = verify_models(original, edit(pruned, tensor, lambda a: np.roll(a, 1, axis=-1)), plan)
    assert not report.structure.ok
    assert report.structure.problems == (
        f"tensor '{tensor}': its values are not the plan's slice of '{tensor}', and it is not listed as updated",
    )
    assert not report.equivalence.ok
    assert report.equivalence.first is not None
    assert report.equivalence.first.node == made_by


def test_an_updated_tensor_is_the_business_of_equivalence_alone(
    pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan],
) -> None:
    original, pruned, plan = pair
    report = verify_models(original, edit(pruned, "w2", lambda a: a * 2), plan.with_updated({"w2": ""}))
    assert report.structure.ok
    assert not report.equivalence.ok


def test_one_bit_of_a_weight_is_a_difference(pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan]) -> None:
    original, pruned, plan = pair
    report = verify_models(original, edit(pruned, "w3", lambda a: np.nextafter(a, np.float32(9))), plan)
    assert report.equivalence.ok
    assert not report.structure.ok


def test_a_wiring_fault_that_leaves_all_weights_alone_is_caught(
    pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan],
) -> None:
    original, pruned, plan = pair
    pruned.graph.node[2].op_type = "Tanh"
    report = verify_models(original, pruned, plan)
    assert report.structure.problems == ("the node that makes 's': expected operator Sigmoid, got Tanh",)
    report = verify_models(original, pruned, plan, nodes=False)
    assert report.structure.ok
    assert report.equivalence.first is not None
    assert (report.equivalence.first.tensor, report.equivalence.first.node) == ("s", "gate")


def test_a_model_that_does_not_run_is_a_failure_not_an_error(
    pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan],
) -> None:
    original, pruned, plan = pair
    report = verify_models(original, edit(pruned, "w2", lambda a: a[:-1]), plan)
    assert not report.ok
    assert any("ONNX Runtime stops in the pruned model" in line for line in report.failures())


def test_foreign_and_missing_tensors(pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan]) -> None:
    original, pruned, plan = pair
    pruned.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float32), "extra"))
    pruned.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.int64), "indices"))
    problems = verify_models(original, pruned, plan).structure.problems
    assert problems == ("tensor 'extra' (float32, shape [2]) is in neither the original nor the plan",)


def test_a_shape_written_in_fractions_may_go() -> None:
    """Old exporters write a shape as a float constant that is cast; a fixed one takes the place of both."""
    original = model_of(
        """(float[N, 3] x) => (float[N, 4] y) <float[3, 6] w, float[3, 4] v>
        { c = Constant<value = float[3] {-1., 2., 3.}>() s = Cast<to = 7>(c) h = MatMul(x, w) r = Reshape(h, s)
        m = ReduceSum<keepdims = 0, axes = [1]>(r) y = MatMul(m, v) }""",
        opset=11,
    )
    plan = api.plan(original, ratio=0.5)
    pruned = api.apply(original, plan)
    assert "c" not in {name for node in pruned.graph.node for name in node.output}
    assert plan.cost_before.params == 18 + 12
    assert verify_models(original, pruned, plan).ok


ROOT = """
(float[N, 8] x) => (float[N, 3] y) <
    float[8, 4, 4] table, float area = {16}, float half = {0.5}, int64[1] first = {0}, int64[1] rest = {-1},
    float[8, 3] w, float[8, 8] v>
{
    root = Pow(area, half) side = Cast<to = 7>(root) sides = Unsqueeze(side, first)
    eight = Constant<value_ints = [8]>() shape = Concat<axis = 0>(eight, sides, rest)
    square = Reshape(table, shape) mean = ReduceMean<axes = [1, 2], keepdims = 0>(square)
    hidden = MatMul(x, v) scaled = Mul(hidden, mean) y = MatMul(scaled, w)
}
"""


def test_numbers_that_only_size_a_shape_may_become_a_literal() -> None:
    model = model_of(ROOT, opset=17)
    plan = api.plan(model, ratio=0.5)
    pruned = api.as_proto(api.apply_to(api.open_model(model), plan))
    assert "half" not in {tensor.name for tensor in pruned.graph.initializer}
    assert verify_models(model, pruned, plan).ok


def test_a_number_that_is_computed_with_may_not_go() -> None:
    model = model_of(
        ROOT.replace("y = MatMul", "z = Mul(scaled, root) y = MatMul").replace("(scaled, w)", "(z, w)"), opset=17
    )
    plan = api.plan(model, ratio=0.5)
    pruned = api.as_proto(api.apply_to(api.open_model(model), plan))
    gone = next(tensor for tensor in pruned.graph.initializer if tensor.name == "half")
    pruned.graph.initializer.remove(gone)
    report = verify_models(model, pruned, plan)
    assert "tensor 'half' of the original is missing from the pruned model" in report.structure.problems


def test_the_interface_may_not_change(pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan]) -> None:
    original, pruned, plan = pair
    pruned.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    problems = verify_models(original, pruned, plan).structure.problems
    assert "graph input 'x': expected shape ['batch', 3], got [1, 3]" in problems


def test_allowed_outputs_shrink_and_are_compared_in_their_kept_part() -> None:
    original = network()
    plan = api.plan(original, ratio=0.5, allow_io=["y"])
    pruned = api.apply(original, plan)
    assert pruned.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 2
    report = verify_models(original, pruned, plan)
    assert report.ok, report.failures()
    assert not verify_models(original, edit(pruned, "w3", lambda a: a[:, ::-1].copy()), plan).equivalence.ok


def test_a_plan_for_another_file(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "a.onnx")
    plan = api.plan(tmp_path / "a.onnx", ratio=0.5)
    pruned = api.apply(tmp_path / "a.onnx", plan, tmp_path / "p.onnx")
    assert api.verify(tmp_path / "a.onnx", pruned, plan).ok
    with pytest.raises(InputError, match="the plan was made for another model: it names sha256 000000000000"):
        api.verify(tmp_path / "a.onnx", pruned, plan.with_model(ModelIdentity(sha256="0" * 64)))
    with pytest.raises(InputError, match="the plan does not say which model it is for: its sha256 is empty"):
        api.verify(tmp_path / "a.onnx", pruned, plan.with_model(ModelIdentity()))


def test_given_inputs_are_fed_in_batches_and_labels_scored() -> None:
    original = network(batch=2)
    plan = api.plan(original, ratio=0.5)
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    whole = np.concatenate([Executable(original).run({"x": x[k : k + 2]})["y"] for k in (0, 2, 4)])
    report = verify_models(original, api.apply(original, plan), plan, inputs={"x": x}, labels=whole.argmax(1))
    assert report.ok
    assert len(report.equivalence.cases) == 3
    assert report.fidelity.accuracy is not None
    assert report.fidelity.accuracy[0] == 1.0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [({}, "input 'x' is missing"), ({"x": np.zeros((2, 3)), "z": np.zeros(1)}, "the model has no input 'z'")],
)
def test_wrong_inputs(
    pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan], inputs: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        verify_models(*pair, inputs=inputs)


@pytest.mark.parametrize("name", ["other", "s"])
def test_other_outputs_are_not_equivalent(pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan], name: str) -> None:
    original, pruned, plan = pair
    pruned = onnx.ModelProto.FromString(pruned.SerializeToString())
    if name == "other":
        pruned.graph.node[-1].output[0] = pruned.graph.output[0].name = name
    else:
        pruned.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    report = verify_models(original, pruned, plan)
    assert not report.structure.ok
    assert not report.equivalence.ok
    assert f"the outputs are {[output.name for output in pruned.graph.output]}, expected ['y']" in report.failures()
    assert '"ok": false' in json.dumps(report.as_json(), allow_nan=False)
    assert ElementTree.fromstring(junit_xml(report)).get("failures") == "2"


def test_sizes_at_run_time_that_are_not_those_of_the_axes() -> None:
    original = network()
    analysis = api.analyze_model(api.open_model(original))
    kept = analysis.kept(removed_atoms(api.plan(original, ratio=0.5), analysis))
    dims = analysis.coupling.dims["s"]
    with pytest.raises(VerificationError, match=r"a value has shape \[1, 5\] at run time, expected 8 elements"):
        kept_part(np.zeros((1, 5), np.float32), dims, kept, {"batch": 1})


def test_an_original_that_does_not_run_is_an_input_error() -> None:
    broken = network()
    broken.graph.node[0].domain = "com.nobody"
    broken.opset_import.append(helper.make_opsetid("com.nobody", 1))
    with pytest.raises(InputError, match="ONNX Runtime cannot run the original model") as caught:
        random_cases(Executable(broken), seed=0, runs=1)
    assert "\n" not in str(caught.value)


def test_sizes_that_the_original_rejects_are_reported() -> None:
    proto = network()
    proto.graph.node.append(helper.make_node("Reshape", ["y", "one"], ["z"]))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 4]), "one"))
    proto.graph.output[0].name = "z"
    cases = random_cases(Executable(proto), seed=0, runs=2)
    assert "batch=3" in cases.rejected
    assert all(case.feeds["x"].shape[0] == 1 for case in cases.items)


@pytest.mark.parametrize("state", ["N", "M"])
def test_windows_of_sound_are_longer_than_sentences(state: str) -> None:
    """A reflecting Pad needs as much as it repeats; the batch of a state may have a name of its own."""
    text = f"""(float[N, T] x, float[1, {state}, 3] h) => (float[N, 2, 3] y)
        <int64[4] pads = {{0, 0, 0, 150}}, int64[1] one = {{1}}, float[3, 1, 3] w>
        {{ p = Pad<mode = "reflect">(x, pads) c = Unsqueeze(p, one) f = Conv<strides = [99]>(c, w)
           m = ReduceMean<axes = [2], keepdims = 0>(f) u = Unsqueeze(m, one)
           t = Transpose<perm = [1, 0, 2]>(h) y = Concat<axis = 1>(u, t) }}"""
    cases = random_cases(Executable(model_of(text, 17)), seed=0, runs=3)
    assert {case.feeds["x"].shape[1] for case in cases.items} >= {256}
    assert cases.rejected


def test_edges_point_at_the_nodes_that_there_are() -> None:
    text = """(float[N, 4] nodes, int64[E] edges) => (float[E, 3] y) <float[4, 3] w>
        { h = MatMul(nodes, w) y = Gather(h, edges) }"""
    for fixed in (False, True):
        model = model_of(text, 17)
        if fixed:
            model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 5
        for case in random_cases(Executable(model), seed=0, runs=2).items:
            assert case.feeds["edges"].max() < len(case.feeds["nodes"])


RATES = """(float[2, 4] x, int64[RANK] rate) => (float[2, 3] y) <float[4, 6] w, float[6, 3] v, int64[1] one = {1}>
{ h = MatMul(x, w) slow = Constant<value = int64[1] {8000}>() r = Reshape(rate, one) is_slow = Equal(r, slow)
  y = If(is_slow) <then_branch = t () => (float[2, 3] a) { a = MatMul(h, v) },
                   else_branch = e () => (float[2, 3] b) { t = Tanh(h) b = MatMul(t, v) }> }"""


@pytest.mark.parametrize("rank", [0, 1])
def test_every_branch_is_run(rank: int) -> None:
    original = model_of(RATES.replace("RANK", "1"), 18)
    del original.graph.input[1].type.tensor_type.shape.dim[rank:]
    cases = random_cases(Executable(original), seed=0, runs=1)
    assert [int(case.feeds["rate"].item()) == 8000 for case in cases.items] == [False, True]
    assert cases.items[1].label == "seed 0, rate=8000"


def test_a_fault_in_a_branch_that_is_seldom_taken_is_caught() -> None:
    original = model_of(RATES.replace("RANK", "1"), 18)
    plan = api.plan(original, ratio=0.5)
    pruned = api.apply(original, plan)
    assert verify_models(original, pruned, plan).ok
    branch = next(a.g for node in pruned.graph.node for a in node.attribute if a.name == "then_branch")
    branch.node.append(helper.make_node("Neg", [branch.output[0].name], ["negated"]))
    branch.output[0].name = "negated"
    report = verify_models(original, pruned, plan)
    assert not report.equivalence.ok
    assert report.equivalence.outputs[0].case.startswith("seed 0, rate=8000")


def test_a_boolean_is_both() -> None:
    text = """(float[2, 3] x, bool[1] flag) => (float[2, 3] y)
        { y = If(flag) <then_branch = t () => (float[2, 3] a) { a = Neg(x) },
                        else_branch = e () => (float[2, 3] b) { b = Abs(x) }> }"""
    cases = random_cases(Executable(model_of(text, 18)), seed=0, runs=1)
    assert {bool(case.feeds["flag"].item()) for case in cases.items} == {False, True}


def test_sizes_that_depend_on_others_are_computed() -> None:
    info = helper.make_tensor_value_info("m", TensorProto.INT64, ["batch", "past + 1"])
    graph = helper.make_graph([helper.make_node("Identity", ["m"], ["y"])], "g", [info], [info])
    (spec,) = input_specs(helper.make_model(graph))
    first = trial_sizes([spec])[0]
    assert spec.shape(first) == (first["batch"], first["past"] + 1)


def test_lengths_of_sequences_fit_every_sequence() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 20]>
        g (float[T, N, 2] x, int32[N] lengths) => (float[T, 1, N, 2] y) <float[1, 2, 2] w = {1, 2, 3, 4}>
        { y = RNN<hidden_size = 2>(x, w, w, , lengths) }
    """)
    lengths = next(spec for spec in input_specs(model) if spec.name == "lengths")
    assert lengths.matched == 2
    assert len(random_cases(Executable(model), seed=0, runs=2).items) == 2


@pytest.mark.parametrize(
    ("reference", "pruned", "error"),
    [
        ([1.0, -4.0], [1.0, -3.0], 0.25),
        ([np.nan, 1.0], [np.nan, 1.0], 0.0),
        ([np.nan, 1.0], [0.0, 1.0], np.inf),
        ([0.0, 1.0], [np.nan, 1.0], np.inf),
        ([np.inf, 1.0], [-np.inf, 1.0], np.inf),
        ([np.inf, 1.0], [np.nan, 1.0], 0.0),
        ([np.nan, 1.0], [-np.inf, 1.0], 0.0),
        ([np.inf, 1.0], [1.0, np.inf], np.inf),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
    ],
)
def test_relative_error(reference: list[float], pruned: list[float], error: float) -> None:
    assert relative_error(np.array(reference, np.float32), np.array(pruned, np.float32)) == error


def test_integers_are_compared_exactly_and_shapes_matter() -> None:
    assert relative_error(np.array([1, 2]), np.array([1, 2])) == 0
    assert relative_error(np.array([1000]), np.array([1001])) == np.inf
    assert relative_error(np.ones((1, 2)), np.ones((2, 1))) == np.inf
    assert TOLERANCE["float32"] <= 1e-4


def test_junit_has_three_cases(pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan]) -> None:
    original, pruned, plan = pair
    good = ElementTree.fromstring(junit_xml(verify_models(original, pruned, plan)))
    assert [case.get("name") for case in good] == ["structure", "equivalence", "fidelity"]
    assert good.get("failures") == "0"
    bad = ElementTree.fromstring(junit_xml(verify_models(original, edit(pruned, "w1", lambda a: -a), plan)))
    assert bad.get("failures") == "2"


def test_quantized_models_are_compared_without_rounding(shared_models: Path) -> None:
    """Rounding flips by whole steps on correct removals; without it the float tolerance holds, and faults show."""
    path = next(shared_models.glob("*int8_qdq.onnx"))
    proto = onnx.load(path)
    assert without_rounding(network(), None) is None
    plan = api.plan(proto, ratio=0.1)
    pruned = api.apply(proto, plan)
    report = verify_models(proto, pruned, plan, runs=8)
    assert report.ok, report.failures()
    assert report.equivalence.error < 1e-5
    assert report.equivalence.as_is
    name = next(t.name for t in pruned.graph.initializer if len(t.dims) == 4 and t.name in plan.slices)
    report = verify_models(proto, edit(pruned, name, lambda a: a[::-1].copy()), plan)
    assert not report.equivalence.ok


def test_shared_models_pass(shared_models: Path, tmp_path: Path) -> None:
    for path in sorted(shared_models.glob("*.onnx")):
        plan = api.plan(path, ratio=0.3)
        report = verify_models(path, api.apply(path, plan, tmp_path / path.name), plan)
        assert report.ok, (path.name, report.failures())


@pytest.mark.parametrize(
    ("drift", "message"),
    [(0.1, "run twice, the original model gives values of output 'y' that differ by"), (0.0, None)],
)
def test_a_model_that_disagrees_with_itself_cannot_be_verified(drift: float, message: str | None) -> None:
    """Random operators, and kernels that compute something else once they are fused."""

    class Drifting(Executable):
        calls = 0

        def run(self, feeds: Feeds, *, optimize: bool = False) -> Outputs:
            self.calls += 1
            return {"y": np.full(3, 1 + drift * self.calls, dtype=np.float32)}

    case = Case("seed 0", {}, {})
    if message is None:
        require_repeatable(Drifting(onnx.ModelProto()), Cases((case,)), None)
        return
    with pytest.raises(InputError, match=f"nothing can be verified: {message}"):
        require_repeatable(Drifting(onnx.ModelProto()), Cases((case,)), None)


def test_an_integer_divisor_is_never_zero_in_the_reference() -> None:
    """``x % d`` of channels that go: the reference divides by one there, and ONNX Runtime runs it."""
    text = """(float[2, 4] x) => (float[2, 3] y) <float[4, 6] w, int64[6] d = {3, 5, 2, 7, 4, 6}, float[6, 3] v>
    { h = MatMul(x, w) i = Cast<to = 7>(h) m = Mod(i, d) f = Cast<to = 1>(m) y = MatMul(f, v) }"""
    result = api.prune(model_of(text, 20), ratio=0.5)
    assert result.report is not None and result.report.equivalence.ok


def test_a_reference_that_stops_is_named(monkeypatch: pytest.MonkeyPatch) -> None:

    def stopped(self: equivalence.Comparison, case: object, *, guard: bool = False) -> object:
        class Stops:
            def run(self, feeds: object, *, optimize: bool, also: object) -> object:
                raise equivalence.RunFailure("division by zero")

            def close(self) -> None: ...

        return Stops()

    monkeypatch.setattr(equivalence.Comparison, "reference", stopped)
    text = "(float[2, 4] x) => (float[2, 3] y) <float[4, 6] w, float[6, 3] v> { h = MatMul(x, w) y = MatMul(h, v) }"
    with pytest.raises(VerificationError, match="stops in the reference of the removal"):
        api.prune(model_of(text, 20), ratio=0.5)


@pytest.mark.parametrize("replaceable", [(), ("eps",), ("eps", "w", "scale", "v")])
def test_initializers_that_are_inputs_too_are_run_as_constants(replaceable: tuple[str, ...]) -> None:
    """ONNX Runtime's fusion takes 1e-5 for an epsilon that may be replaced: the original disagreed with itself."""
    text = """(float[N, 4] x) => (float[N, 3] y)
    <float[4, 16] w, float[16] scale, int64[1] last = {-1}, float two = {2.0}, float eps = {1.0}, float[16, 3] v> {
        h = MatMul(x, w) m = ReduceMean(h, last) d = Sub(h, m) p = Pow(d, two) q = ReduceMean(p, last) e = Add(q, eps)
        s = Sqrt(e) n = Div(d, s) k = Mul(n, scale) y = MatMul(k, v)
    }"""
    model = model_of(text, 20)
    for tensor in model.graph.initializer:
        if tensor.name in replaceable:
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    result = api.prune(model, ratio=0.5)
    assert result.report is not None and result.report.ok
    assert {value.name for value in result.model.graph.input} == {"x", *replaceable}
    faulty = edit(result.model, "v", lambda a: a * 1.01)
    assert not verify_models(model, faulty, result.plan).ok
