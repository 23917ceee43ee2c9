"""Ifs whose condition follows from ranks and sizes are replaced by the branch that is taken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as oir
import onnxruntime as ort
import pytest

from irprune import api
from irprune.errors import InputError
from irprune.frontends.branches import without_dead_branches
from irprune.runtime.executable import Executable
from tests.golden.helpers.models import model_of

RECURRENT = """(float[N, T, 6] x) => (float[N, T, 5] y)
<float[6, 12] w, float[1, 64, 12] i, float[1, 64, 16] r, float[16, 5] v, int64 rank = {%d},
int64[1] zero = {0}, int64[1] one = {1}>
{ h = MatMul(x, w) e = Relu(h) s = Shape(e) n = Size(s) batched = Equal(n, rank) plain = Not(batched)
b = If(batched) <then_branch = then () => (float[N, T, 12] kept) { kept = Identity(e) },
    else_branch = other () => (float[1, N, T, 12] made) { made = Unsqueeze(e, zero) }>
p = Transpose<perm = [1, 0, 2]>(b) o, hn, cn = LSTM<hidden_size = 16>(p, i, r) f = Squeeze(o, one)
z = Transpose<perm = [1, 0, 2]>(f)
q = If(plain) <then_branch = then2 () => (float[T, 16] kept) { kept = Squeeze(z, zero) },
    else_branch = other2 () => (float[N, T, 16] made) { made = Identity(z) }>
y = MatMul(q, v) }"""


def ops(model: oir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_a_rank_decides_and_the_recurrent_cell_is_pruned() -> None:
    proto = model_of(RECURRENT % 3)
    taken = without_dead_branches(oir.from_proto(proto))
    assert "If" not in ops(taken)
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    assert np.array_equal(run(oir.to_proto(taken), x), run(proto, x))
    result = api.prune(proto, ratio=0.5, align=1)
    assert result.report is not None and result.report.ok, result.report
    assert {group.kind for group in result.plan.groups} == {"mlp", "recurrent"}
    assert result.plan.cost_after.params / result.plan.cost_before.params < 0.3
    assert run(oir.to_proto(result.model) if isinstance(result.model, oir.Model) else result.model, x).shape == (
        2,
        4,
        5,
    )


SIZE = """(float[%s, 4] x) => (float[M, 5] y) <float[4, 8] a, float[8, 5] b, int64 one = {1}, int64 at = {0}>
{ s = Shape(x) n = Gather(s, at) c = Equal(n, one)
h = If(c) <then_branch = then () => (float[M, 8] t) { t = MatMul(x, a) },
    else_branch = other () => (float[M, 8] u) { k = MatMul(x, a) u = Relu(k) }>
y = MatMul(h, b) }"""


def test_a_size_decides() -> None:
    assert ops(without_dead_branches(oir.from_proto(model_of(SIZE % 1))))["Relu"] == 0
    assert ops(without_dead_branches(oir.from_proto(model_of(SIZE % 3))))["Relu"] == 1


def test_a_size_that_run_time_tells_decides_nothing() -> None:
    model = oir.from_proto(model_of(SIZE % "N"))
    assert without_dead_branches(model) is model


def test_what_a_file_states_of_a_value_decides_nothing() -> None:
    """A declared shape of an intermediate value may be wrong; only inputs are checked at run time."""
    proto = model_of(
        """(float[N, 4] x, int64[k] shape) => (float[] y) <int64 two = {2}, float[4, 8] a>
        { r = Reshape(x, shape) s = Shape(r) n = Size(s) c = Equal(n, two)
        y = If(c) <then_branch = then () => (float[] t) { t = MatMul(r, a) },
            else_branch = other () => (float[] u) { u = Identity(r) }> }"""
    )
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, ["N", 4]))
    model = oir.from_proto(proto)
    assert without_dead_branches(model) is model


def test_names_of_sibling_branches_stay_apart() -> None:
    """Both Ifs call their results alike; nested Ifs are decided from the outside in."""
    text = """(float[N, 4] x) => (float[N, 4] y) <int64 two = {2}>
    { s = Shape(x) n = Size(s) c = Equal(n, two)
    a = If(c) <then_branch = t1 () => (float[N, 4] r)
        { r = If(c) <then_branch = t2 () => (float[N, 4] r2) { r2 = Relu(x) },
                     else_branch = u2 () => (float[N, 4] r3) { r3 = Abs(x) }> },
        else_branch = u1 () => (float[N, 4] r) { r = Neg(x) }>
    b = If(c) <then_branch = t3 () => (float[N, 4] r) { r = Exp(a) },
        else_branch = u3 () => (float[N, 4] r) { r = Neg(a) }>
    y = Add(a, b) }"""
    proto = model_of(text)
    taken = without_dead_branches(oir.from_proto(proto))
    assert ops(taken) == Counter({"Shape": 1, "Size": 1, "Equal": 1, "Relu": 1, "Exp": 1, "Add": 1})
    names = [str(value.name) for node in taken.graph for value in node.outputs]
    assert len(set(names)) == len(names)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    assert np.array_equal(run(oir.to_proto(taken), x), run(proto, x))


def test_a_branch_that_hands_on_a_value_from_outside() -> None:
    text = """(float[N, 4] x) => (float[N, 4] y, float[N, 4] z) <int64 two = {2}>
    { s = Shape(x) n = Size(s) c = Equal(n, two)
    y, z = If(c) <then_branch = t1 () => (float[N, 4] r, float[N, 4] r) { r = Relu(x) },
        else_branch = u1 () => (float[N, 4] q, float[N, 4] q) { q = Neg(x) }> }"""
    taken = without_dead_branches(oir.from_proto(model_of(text)))
    assert [output.name for output in taken.graph.outputs] == ["y", "z"]
    onnx.checker.check_model(oir.to_proto(taken))


def test_a_branch_with_inputs_is_an_error_of_the_model(tmp_path: Path) -> None:
    proto = model_of(SIZE % 3)
    branch = next(a.g for node in proto.graph.node if node.op_type == "If" for a in node.attribute)
    branch.input.append(onnx.helper.make_tensor_value_info("extra", onnx.TensorProto.FLOAT, [1]))
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match="has inputs \\('extra'\\)"):
        api.open_model(path)


@pytest.mark.parametrize("flag", [True, False])
def test_a_flag_that_a_caller_may_replace_decides_nothing(flag: bool) -> None:
    """An initializer that is an input too is a default. Both branches stay, and both are what the original computes."""
    text = """(float[N, 4] x) => (float[N, 3] y) <float[4, 16] w, bool flag = {1}, float[16, 3] v, float[16, 3] u> {
        h = MatMul(x, w)
        s = Sigmoid(h)
        y = If (flag) <then_branch = l () => (float[N, 3] p) { p = MatMul(s, v) },
                       else_branch = r () => (float[N, 3] q) { q = MatMul(s, u) }>
    }"""
    model = model_of(text, 17, {"v": np.ones((16, 3), np.float32), "u": np.full((16, 3), 2, np.float32)})
    decided = api.prune(model, ratio=0.5, align=1).model
    assert [node.op_type for node in decided.graph.node] == ["MatMul", "Sigmoid", "MatMul"]
    model.graph.input.append(onnx.helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, []))
    result = api.prune(model, ratio=0.5, align=1)
    assert "If" in [node.op_type for node in result.model.graph.node]
    assert result.report is not None
    assert any("'else' of If" in note for note in result.report.structure.notes)
    feeds = {"x": np.ones((2, 4), np.float32)}
    default = Executable(result.model).run(feeds)["y"]
    given = Executable(result.model).run({**feeds, "flag": np.array(flag)})["y"]
    assert np.allclose(given, default * (1 if flag else 2))
