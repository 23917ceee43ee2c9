"""Files changed after pruning: the nodes are the ones that the plan leaves, or the file is refused.

Most of these changes do not show in the results: the output is a decision, or the branch is never taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from irprune import api
from irprune.plans import Plan
from irprune.verification.driver import verify_models
from tests.golden.helpers.models import model_of

DECIDED = """(float[2, 3, 8, 8] x, bool flag) => (int64[2] y)
<float[8, 3, 3, 3] w, float[8] b, float[6, 8, 1, 1] v, int64[2] shape = {2, -1}> {
    c = Conv <pads = [1, 1, 1, 1]> (x, w, b)
    r = Relu(c)
    d = Conv(r, v)
    p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d)
    k = If (flag) <
        then_branch = t () => (float[2, 6, 4, 4] u) { u = Sigmoid(p) },
        else_branch = e () => (float[2, 6, 4, 4] o) { o = Tanh(p) }
    >
    m = GlobalAveragePool(k)
    f = Reshape(m, shape)
    s = Softmax <axis = 1> (f)
    y = ArgMax <axis = 1, keepdims = 0> (s)
}"""


@pytest.fixture
def pair() -> tuple[onnx.ModelProto, onnx.ModelProto, Plan]:
    original = model_of(DECIDED, 17)
    result = api.prune(original, ratio=0.5)
    return original, result.model, result.plan


def node(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if output in node.output)


def _set(output: str, **attributes: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        found = node(model, output)
        left = [attribute for attribute in found.attribute if attribute.name not in attributes]
        del found.attribute[:]
        found.attribute.extend([*left, *(helper.make_attribute(name, value) for name, value in attributes.items())])

    return change


def _other_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 13


def _rewired(model: onnx.ModelProto) -> None:
    node(model, "d").input[0] = "c"


def _another_operator(model: onnx.ModelProto) -> None:
    node(model, "s").op_type = "LogSoftmax"


def _inside_a_branch(model: onnx.ModelProto) -> None:
    branch = next(a.g for a in node(model, "k").attribute if a.name == "else_branch")
    branch.node[0].op_type = "Softsign"


def _one_more(model: onnx.ModelProto) -> None:
    node(model, "r").output[0] = "before"
    model.graph.node.insert(2, helper.make_node("Identity", ["before"], ["r"]))


def _another_domain(model: onnx.ModelProto) -> None:
    node(model, "s").domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


TAMPERED: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "opset": (_other_opset, "opset of domain 'ai.onnx': expected 17, got 13"),
    "connection": (_rewired, "the node that makes 'd': expected inputs ['r', 'v'], got ['c', 'v']"),
    "operator": (_another_operator, "the node that makes 's': expected operator Softmax, got LogSoftmax"),
    "domain": (_another_domain, "expected operator Softmax, got com.microsoft::Softmax"),
    "attribute": (_set("c", pads=[1, 1, 1, 1], auto_pad="VALID"), "attribute 'auto_pad' of Conv: expected None"),
    "number": (_set("y", axis=1, keepdims=0, select_last_index=1), "attribute 'select_last_index' of ArgMax"),
    "branch": (_inside_a_branch, "expected operator Tanh, got Softsign"),
    "node": (_one_more, "the node that makes 'before' (Relu) is in neither the original nor what the plan leaves"),
}


def test_as_it_was_made(pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan]) -> None:
    report = verify_models(*pair)
    assert report.ok
    assert report.structure.nodes == 11
    assert report.structure.rewritten == ()


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_node_is_named(pair: tuple[onnx.ModelProto, onnx.ModelProto, Plan], name: str) -> None:
    original, pruned, plan = pair
    change, message = TAMPERED[name]
    change(pruned)
    report = verify_models(original, pruned, plan)
    assert not report.structure.ok
    assert message in "; ".join(report.structure.problems)


SHUFFLED = """(float[2, 3, 4, 4] x) => (float[2, 5, 4, 4] y)
<float[12, 3, 1, 1] w, float[12, 6, 1, 1] g, float[5, 12, 1, 1] v,
 int64[5] apart = {2, 2, 6, 4, 4}, int64[4] back = {2, 12, 4, 4}> {
    c = Conv(x, w)
    a = Reshape(c, apart)
    t = Transpose <perm = [0, 2, 1, 3, 4]> (a)
    h = Reshape(t, back)
    d = Conv <group = 2> (h, g)
    y = Conv(d, v)
}"""


def test_what_the_plan_rewrites_is_listed_and_its_integers_are_compared() -> None:
    original = model_of(SHUFFLED, 17)
    result = api.prune(original, ratio=0.5)
    pruned: onnx.ModelProto = result.model
    report = verify_models(original, pruned, result.plan)
    assert report.ok and report.structure.rewritten
    integers = [t for t in pruned.graph.initializer if t.data_type == onnx.TensorProto.INT64]
    for tensor in integers:
        changed = onnx.ModelProto.FromString(pruned.SerializeToString())
        array = numpy_helper.to_array(tensor)
        target = next(t for t in changed.graph.initializer if t.name == tensor.name)
        target.CopyFrom(numpy_helper.from_array(np.roll(array, 1), tensor.name))
        problems = "; ".join(verify_models(original, changed, result.plan).structure.problems)
        assert f"tensor '{tensor.name}'" in problems


def test_constants_of_either_kind_are_the_same() -> None:
    """Optimizers make initializers of the nodes that hold constants."""
    text = """(float[2, 3] x) => (float[2, 4] y) <float[3, 8] w, float[8, 4] v> {
        h = MatMul(x, w)
        half = Constant <value = float {0.5}> ()
        s = Mul(h, half)
        y = MatMul(s, v)
    }"""
    original = model_of(text, 17)
    result = api.prune(original, ratio=0.5)
    pruned: onnx.ModelProto = result.model
    constant = node(pruned, "half")
    pruned.graph.initializer.append(constant.attribute[0].t)
    pruned.graph.initializer[-1].name = "half"
    pruned.graph.node.remove(constant)
    assert verify_models(original, pruned, result.plan).ok


def test_indices_in_another_shape_are_refused() -> None:
    """As many numbers, but in a list of them instead of a grid of pairs."""
    text = """(float[2, 3] x, float[2, 2] u) => (float[] y)
    <float[3, 8] w, int64[2, 2, 2] i = {0, 1, 0, 4, 1, 1, 1, 4}, float[8, 4] v>
    { h = MatMul(x, w) s = ScatterND(h, i, u) y = MatMul(s, v) }"""
    original = model_of(text)
    result = api.prune(original, ratio=0.5, align=1)
    changed = onnx.ModelProto.FromString(result.model.SerializeToString())
    (indices,) = (tensor for tensor in changed.graph.initializer if tensor.data_type == onnx.TensorProto.INT64)
    indices.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(indices).reshape(-1), indices.name))
    assert not verify_models(original, changed, result.plan).ok


def test_the_plan_lists_the_nodes_that_are_rewritten() -> None:
    """Each of these, and no other: of a node that the plan does not list, the original's is expected."""
    original = model_of(SHUFFLED, 17)
    result = api.prune(original, ratio=0.5)
    listed = result.plan.rewritten
    assert listed == ("a", "h") or listed == ("a", "h", "t")
    assert result.plan.as_json()["rewritten"] == list(listed)
    for name in listed:
        left = tuple(other for other in listed if other != name)
        report = verify_models(original, result.model, result.plan.model_copy(update={"rewritten": left}))
        assert report.structure.problems == (
            f"the node that makes '{name}' is not the original's, and the plan does not list it as rewritten",
        )
    more = result.plan.model_copy(update={"rewritten": (*listed, "y")})
    assert verify_models(original, result.model, more).structure.problems == (
        "the plan lists the node that makes 'y' as rewritten, and it is the original's",
    )
    unlisted = result.plan.model_copy(update={"rewritten": None})
    assert "rewritten" not in unlisted.as_json()
    assert verify_models(original, result.model, unlisted).ok


def test_a_node_that_is_changed_as_the_rewriter_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rewriter of another day changes one node more: what it makes now is not what the plan says."""
    from dataclasses import replace

    from irprune.ir import Node
    from irprune.rewriting.slicing import _Rewriter

    original = model_of(DECIDED, 17)
    plan = api.prune(original, ratio=0.5).plan
    rewrite = _Rewriter._rewrite

    def last(self: _Rewriter, node: Node) -> Node:
        found = rewrite(self, node)
        return (
            found if found.op != "ArgMax" else replace(found, attributes={**found.attributes, "select_last_index": 1})
        )

    monkeypatch.setattr(_Rewriter, "_rewrite", last)
    pruned = api.prune(original, ratio=0.5, verify=False).model
    report = verify_models(original, pruned, plan)
    assert report.structure.problems == (
        "the node that makes 'y' is not the original's, and the plan does not list it as rewritten",
    )


CHAINS = """(float[2, 3, 4, 4] x, bool flag) => (float[2, 5, 4, 4] y)
<float[12, 3, 1, 1] w, float[5, 12, 1, 1] v, float[12, 12, 1, 1] g,
 int64[5] apart = {2, 2, 6, 4, 4}, int64[4] back = {2, 12, 4, 4}> {
    c = Conv(x, w)
    k = If (flag) <
        then_branch = left () => (float[2, 12, 4, 4] p) {
            a = Reshape(c, apart) t = Transpose <perm = [0, 2, 1, 3, 4]> (a) h = Reshape(t, back) p = Conv(h, g) },
        else_branch = right () => (float[2, 12, 4, 4] q) {
            a = Reshape(c, apart) t = Transpose <perm = [0, 2, 1, 3, 4]> (a) q = Reshape(t, back) }
    >
    y = Conv(k, v)
}"""


@pytest.mark.parametrize("ratio", [0.4, 0.3, 0.6])
def test_chains_of_views_at_the_end_of_a_branch(ratio: float) -> None:
    """What takes their place stands in the same branch, and names inside stay as they are."""
    original = model_of(CHAINS, 17)
    result = api.prune(original, ratio=ratio, align=1)
    assert result.report is not None and result.report.ok
    names = [{name for found in branch.g.node for name in found.output} for branch in node(result.model, "k").attribute]
    assert {"h", "p"} <= names[0] and {"q"} <= names[1]
    assert result.plan.rewritten is not None
    assert {"If:k.then_branch/h", "If:k.else_branch/q"} <= set(result.plan.rewritten)
