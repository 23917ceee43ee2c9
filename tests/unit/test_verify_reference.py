"""The reference model against numpy: what is removed contributes nothing, whatever the operator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as oir
import pytest
from onnx import TensorProto, helper, numpy_helper

from irprune import api
from irprune.analysis import Analysis, Mask, analyze
from irprune.axes import leaves_of
from irprune.frontends.onnx import import_model
from irprune.runtime.executable import Executable
from irprune.verification.cases import random_cases
from irprune.verification.reference import PREFIX, build
from tests.golden.helpers.models import model_of

RNG = np.random.default_rng(0)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def model(
    nodes: list[onnx.NodeProto],
    shape: list[int | str],
    output: list[int | str],
    weights: Mapping[str, np.ndarray],
    opset: int = 21,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def remove(proto: onnx.ModelProto, value: str, axis: int, gone: list[int]) -> tuple[Analysis, dict[int, Mask]]:
    """The removal of some elements of one dimension of a value, with all that is coupled to them."""
    analysis = analyze(import_model(oir.from_proto(proto)))
    dims = analysis.coupling.dims[value]
    assert dims is not None
    (leaf,) = [leaf for leaf in leaves_of(dims[axis]) if leaf.number in analysis.atoms.offset]
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    removed[analysis.atoms.of_leaf(leaf)[gone]] = True
    return analysis, analysis.kept(removed)


def run_reference(
    proto: onnx.ModelProto,
    value: str,
    axis: int,
    gone: list[int],
    x: np.ndarray,
    sizes: Mapping[str, int] | None = None,
) -> np.ndarray:
    analysis, kept = remove(proto, value, axis, gone)
    assert kept
    built = build(Executable(proto), analysis, kept, sizes=sizes or {})
    whole = onnx.ModelProto.FromString(built.proto.SerializeToString())
    onnx.load_external_data_for_model(whole, str(built.data_folder))
    onnx.checker.check_model(whole, full_check=True)
    return built.run({"x": x})["y"]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_nothing_removed_is_the_original_bit_for_bit(shared_models: Path) -> None:
    for path in sorted(shared_models.glob("*.onnx")):
        original = Executable(path)
        case = random_cases(original, seed=0, runs=1).items[0]
        analysis = analyze(import_model(oir.load(path)))
        sizes = {"unused": 1}
        built = build(original, analysis, {}, sizes=sizes).run(case.feeds)
        assert all(np.array_equal(built[name], value) for name, value in case.outputs.items()), path.name


def test_zero_weights_of_a_convolution_chain() -> None:
    w1, w2, b1 = f32(6, 3, 1, 1), f32(4, 6, 1, 1), f32(6)
    bn = [f32(6), f32(6), f32(6), np.abs(f32(6)) + 0.5]
    proto = model(
        [
            helper.make_node("Conv", ["x", "w1", "b1"], ["c"]),
            helper.make_node("BatchNormalization", ["c", "s", "o", "m", "v"], ["n"]),
            helper.make_node("Relu", ["n"], ["r"]),
            helper.make_node("Conv", ["r", "w2"], ["y"]),
        ],
        [2, 3, 5, 5],
        [2, 4, 5, 5],
        {"w1": w1, "w2": w2, "b1": b1, **dict(zip("somv", bn, strict=True))},
    )
    x = f32(2, 3, 5, 5)
    keep = [0, 2, 3, 5]
    hidden = np.einsum("nchw,oc->nohw", x, w1[keep, :, 0, 0]) + b1[keep][:, None, None]
    s, o, m, v = (array[keep][:, None, None] for array in bn)
    expected = np.einsum("nchw,oc->nohw", relu((hidden - m) / np.sqrt(v + 1e-5) * s + o), w2[:, keep, 0, 0])
    np.testing.assert_allclose(run_reference(proto, "c", 1, [1, 4], x), expected, rtol=1e-4, atol=1e-5)


def test_a_sigmoid_gate_leaks_nothing_through_its_half() -> None:
    """sigmoid(0) = 0.5: the sum over a removed channel has to be masked, there is no weight to zero."""
    w = f32(3, 6)
    proto = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Sigmoid", ["h"], ["g"]),
            helper.make_node("ReduceSum", ["g", "axes"], ["y"], keepdims=0),
        ],
        [2, 3],
        [2],
        {"w": w, "axes": np.array([1])},
    )
    x = f32(2, 3)
    expected = sigmoid(x @ w[:, [0, 1, 3, 5]]).sum(axis=1)
    np.testing.assert_allclose(run_reference(proto, "h", 1, [2, 4], x), expected, rtol=1e-5)


def test_attention_contracts_without_weights() -> None:
    wq, wk = f32(4, 6), f32(4, 6)
    proto = model(
        [
            helper.make_node("MatMul", ["x", "wq"], ["q0"]),
            helper.make_node("MatMul", ["x", "wk"], ["k0"]),
            helper.make_node("Sigmoid", ["q0"], ["q"]),
            helper.make_node("Sigmoid", ["k0"], ["k1"]),
            helper.make_node("Transpose", ["k1"], ["k"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["q", "k"], ["y"]),
        ],
        [2, 5, 4],
        [2, 5, 5],
        {"wq": wq, "wk": wk},
    )
    x = f32(2, 5, 4)
    keep = [0, 1, 4, 5]
    expected = sigmoid(x @ wq[:, keep]) @ sigmoid(x @ wk[:, keep]).transpose(0, 2, 1)
    np.testing.assert_allclose(run_reference(proto, "q", 2, [2, 3], x), expected, rtol=1e-5)


def test_layer_normalization_takes_statistics_over_the_kept_part() -> None:
    w1, w2, s, b = f32(3, 8), f32(8, 2), f32(8), f32(8)
    proto = model(
        [
            helper.make_node("MatMul", ["x", "w1"], ["h"]),
            helper.make_node("LayerNormalization", ["h", "s", "b"], ["n"], axis=-1),
            helper.make_node("MatMul", ["n", "w2"], ["y"]),
        ],
        ["batch", 3],
        ["batch", 2],
        {"w1": w1, "w2": w2, "s": s, "b": b},
    )
    x = f32(4, 3)
    keep = [0, 2, 3, 4, 7]
    h = x @ w1[:, keep]
    normal = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-5)
    expected = (normal * s[keep] + b[keep]) @ w2[keep]
    np.testing.assert_allclose(run_reference(proto, "h", 1, [1, 5, 6], x), expected, rtol=1e-4, atol=1e-5)


def test_group_normalization_keeps_its_groups() -> None:
    """Of 2 groups of 4 channels each loses the same inner one; statistics are over what is left of the group."""
    w1, w2, s, b = f32(8, 3, 1, 1), f32(2, 8, 1, 1), f32(8), f32(8)
    proto = model(
        [
            helper.make_node("Conv", ["x", "w1"], ["h"]),
            helper.make_node("GroupNormalization", ["h", "s", "b"], ["n"], num_groups=2),
            helper.make_node("Conv", ["n", "w2"], ["y"]),
        ],
        [2, 3, 4, 4],
        [2, 2, 4, 4],
        {"w1": w1, "w2": w2, "s": s, "b": b},
    )
    analysis = analyze(import_model(oir.from_proto(proto)))
    dims = analysis.coupling.dims["h"]
    assert dims is not None
    _, inner = leaves_of(dims[1])
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    removed[analysis.atoms.of_leaf(inner)[[1]]] = True
    built = build(Executable(proto), analysis, analysis.kept(removed), sizes={})
    x = f32(2, 3, 4, 4)
    keep = [0, 2, 3, 4, 6, 7]
    h = np.einsum("nchw,oc->nohw", x, w1[keep, :, 0, 0]).reshape(2, 2, 3 * 16)
    normal = ((h - h.mean(2, keepdims=True)) / np.sqrt(h.var(2, keepdims=True) + 1e-5)).reshape(2, 6, 4, 4)
    scaled = normal * s[keep][:, None, None] + b[keep][:, None, None]
    expected = np.einsum("nchw,oc->nohw", scaled, w2[:, keep, 0, 0])
    np.testing.assert_allclose(built.run({"x": x})["y"], expected, rtol=1e-4, atol=1e-5)


def test_mean_over_channels_is_over_the_kept_ones() -> None:
    w = f32(6, 3, 1, 1)
    proto = model(
        [
            helper.make_node("Conv", ["x", "w"], ["h"]),
            helper.make_node("ReduceMean", ["h", "axes"], ["y"], keepdims=1),
        ],
        ["n", 3, "height", 4],
        ["n", 1, "height", 4],
        {"w": w, "axes": np.array([1])},
    )
    x = f32(2, 3, 5, 4)
    expected = np.einsum("nchw,oc->nohw", x, w[[0, 1, 3], :, 0, 0]).mean(axis=1, keepdims=True)
    got = run_reference(proto, "h", 1, [2, 4, 5], x, {"n": 2, "height": 5})
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_infinities_of_removed_channels_stay_out_of_sums() -> None:
    """Log of a zeroed channel is minus infinity, and infinity times a mask of zeros would be NaN."""
    w, scale = f32(3, 6), np.abs(f32(6)) + 0.5
    proto = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Div", ["h", "scale"], ["d"]),
            helper.make_node("ReduceSum", ["d", "axes"], ["y"], keepdims=0),
        ],
        [2, 3],
        [2],
        {"w": w, "scale": scale, "axes": np.array([1])},
    )
    x = f32(2, 3)
    keep = [0, 1, 3, 5]
    expected = (x @ w[:, keep] / scale[keep]).sum(axis=1)
    np.testing.assert_allclose(run_reference(proto, "h", 1, [2, 4], x), expected, rtol=1e-4, atol=1e-6)


def test_what_is_added_is_marked_and_shapes_are_the_originals() -> None:
    w1, w2 = f32(3, 6), f32(6, 2)
    proto = model(
        [helper.make_node("MatMul", ["x", "w1"], ["h"]), helper.make_node("MatMul", ["h", "w2"], ["y"])],
        [2, 3],
        [2, 2],
        {"w1": w1, "w2": w2},
    )
    analysis, kept = remove(proto, "h", 1, [0])
    built = build(Executable(proto), analysis, kept, sizes={}).proto
    shapes = {tuple(tensor.dims) for tensor in built.graph.initializer}
    assert shapes == {(3, 6), (6, 2)}
    assert all(tensor.name.startswith(PREFIX) for tensor in built.graph.initializer)
    assert [node.op_type for node in built.graph.node] == ["MatMul", "MatMul"]


@pytest.mark.parametrize("opset", [7, 8, 9])
def test_an_infinity_that_is_removed_leaves_no_trace(opset: int) -> None:
    """Zero times infinity is not a number: old models are not masked by a product."""
    w = f32(3, 6)
    w[:, 0] = 1e30
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Exp", ["h"], ["g"]),
        helper.make_node("ReduceSum", ["g"], ["y"], axes=[1], keepdims=0),
    ]
    x = np.abs(f32(2, 3))
    expected = np.exp(x @ w[:, 1:]).sum(axis=1)
    found = run_reference(model(nodes, [2, 3], [2], {"w": w}, opset), "g", 1, [0], x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("opset", [7, 8])
def test_models_older_than_where(opset: int) -> None:
    w = f32(3, 6)
    proto = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Sigmoid", ["h"], ["g"]),
            helper.make_node("ReduceSum", ["g"], ["y"], axes=[1], keepdims=0),
        ],
        [2, 3],
        [2],
        {"w": w},
        opset,
    )
    x = f32(2, 3)
    expected = sigmoid(x @ w[:, 1:]).sum(axis=1)
    np.testing.assert_allclose(run_reference(proto, "h", 1, [0], x), expected, rtol=1e-5)


STEPS = """(float[N, 4] x, int64 steps) => (float[N, 3, T] y)
<float[4, 16] w, float[16, 16] u, float[16, 1] scale, float[16, 1] bias, float[3, 16, 1] v> {
    first = MatMul(x, w)
    yes = Constant <value = bool {1}> ()
    last, all = Loop (steps, yes, first) <body = step (int64 i, bool go, float[N, 16] before)
        => (bool on, float[N, 16] after, float[N, 16] out)
        { on = Identity(go) m = MatMul(before, u) after = Sigmoid(m) out = Identity(after) }>
    h = Transpose <perm = [1, 2, 0]> (all)
    whole = Shape(h)
    groups = Constant <value_ints = [0, 4, -1]> ()
    r = Reshape(h, groups)
    one = Constant <value = float[4] {1, 1, 1, 1}> ()
    zero = Constant <value = float[4] {0, 0, 0, 0}> ()
    q = InstanceNormalization(r, one, zero)
    back = Reshape(q, whole)
    scaled = Mul(back, scale)
    g = Add(scaled, bias)
    y = Conv(g, v)
}"""


@pytest.mark.parametrize("seed", [0, 2])
def test_the_steps_of_a_loop_decide_an_open_size(seed: int) -> None:
    """Group normalization over all steps: the inputs have the same shapes, and the kept part another size each time."""
    rng = np.random.default_rng(seed)
    feeds = [
        {"x": rng.standard_normal((2, 4)).astype(np.float32), "steps": np.array(steps, np.int64)} for steps in (3, 5, 1)
    ]
    report = api.prune(model_of(STEPS, 17, seed=seed), ratio=0.5, inputs=feeds).report
    assert report is not None and report.ok and len(report.equivalence.cases) == 3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_numbers_at_which_the_original_does_not_run_are_drawn_again(seed: int) -> None:
    """A loop of no steps leaves nothing to normalize, and ONNX Runtime stops."""
    cases = random_cases(Executable(model_of(STEPS, 17)), seed=seed, runs=6).items
    assert len(cases) == 6 and len({case.label for case in cases}) == 6
    assert all(case.feeds["steps"] > 0 for case in cases)
