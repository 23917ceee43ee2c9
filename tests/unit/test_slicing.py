"""Slicing of weights, shape operands and attributes: what becomes of each tensor when atoms are removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import irprune
from tests.golden.helpers.models import model_of
from tests.golden.helpers.removal import Removal, feeds_for, relative_error, remove_elements, run

Array = NDArray[np.generic]


def removal_of(text: str, elements: Mapping[str, Sequence[int]], **numbers: Sequence[int] | Array) -> Removal:
    arrays = {name: np.array(value) for name, value in numbers.items()}
    return remove_elements(model_of(text, numbers=arrays), elements)


def tensors(proto: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def runs_as_masked(removal: Removal, masked: Mapping[str, Array]) -> bool:
    """Whether the smaller model computes what the original does with these weights in place of its own."""
    original = onnx.ModelProto()
    original.CopyFrom(removal.original)
    for tensor in original.graph.initializer:
        if tensor.name in masked:
            tensor.CopyFrom(numpy_helper.from_array(masked[tensor.name], tensor.name))
    feeds = feeds_for(removal.original)
    return relative_error(run(original, feeds), run(removal.pruned, feeds)) < 1e-5


MLP = (
    "(float[N, 4] x) => (float[N, 3] y) <float[4, 6] u, float[6] c, float[6, 3] v>"
    "{ h = MatMul(x, u) b = Add(h, c) r = Relu(b) y = MatMul(r, v) }"
)


def test_producers_and_consumers_keep_the_same_elements_bit_for_bit() -> None:
    removal = removal_of(MLP, {"u:1": [1, 4]})
    before, after = tensors(removal.original), tensors(removal.pruned)
    kept = [0, 2, 3, 5]
    np.testing.assert_array_equal(after["u"], before["u"][:, kept])
    np.testing.assert_array_equal(after["c"], before["c"][kept])
    np.testing.assert_array_equal(after["v"], before["v"][kept])
    assert removal.kept == {"u": {1: (0, 2, 3, 5)}, "c": {0: (0, 2, 3, 5)}, "v": {0: (0, 2, 3, 5)}}
    masked = before["v"].copy()
    masked[[1, 4]] = 0
    assert runs_as_masked(removal, {"v": masked})


def test_the_plan_lists_the_size_before() -> None:
    removal = removal_of(MLP, {"u:1": [0]})
    assert {name: dict(part.axes) for name, part in removal.plan.slices.items()}["u"] == {1: (6, (1, 2, 3, 4, 5))}


def test_a_depthwise_convolution_loses_groups() -> None:
    text = (
        "(float[1, 3, 8, 8] x) => (y) <float[4, 3, 1, 1] k, float[4, 1, 3, 3] d, float[2, 4, 1, 1] o>"
        "{ h = Conv(x, k) g = Conv<group = 4>(h, d) y = Conv(g, o) }"
    )
    removal = removal_of(text, {"k:0": [2]})
    groups = [onnx.helper.get_node_attr_value(n, "group") for n in removal.pruned.graph.node if n.attribute]
    assert groups == [3]
    assert tensors(removal.pruned)["d"].shape == (3, 1, 3, 3)


def test_a_shape_operand_that_spells_the_size_out_follows() -> None:
    text = (
        "(float[N, 4] x) => (float[N, 3] y) <float[4, 6] u, int64[2] s, float[6, 3] v>"
        "{ h = MatMul(x, u) r = Reshape(h, s) y = MatMul(r, v) }"
    )
    removal = removal_of(text, {"u:1": [0, 1]}, s=[-1, 6])
    (reshape,) = (node for node in removal.pruned.graph.node if node.op_type == "Reshape")
    np.testing.assert_array_equal(tensors(removal.pruned)[reshape.input[1]], [-1, 4])


def test_split_sizes_follow_each_part() -> None:
    text = (
        "(float[N, 4] x) => (float[N, 3] y) <float[4, 6] u, int64[2] parts, float[3, 3] v, float[3, 3] w>"
        "{ h = MatMul(x, u) a, b = Split<axis = 1>(h, parts) p = MatMul(a, v) q = MatMul(b, w) y = Add(p, q) }"
    )
    removal = removal_of(text, {"v:0": [1], "w:0": [0, 2]}, parts=[3, 3])
    after = tensors(removal.pruned)
    (split,) = (node for node in removal.pruned.graph.node if node.op_type == "Split")
    np.testing.assert_array_equal(after[split.input[1]], [2, 1])
    np.testing.assert_array_equal(after["u"], tensors(removal.original)["u"][:, [0, 2, 4]])


def test_a_vector_that_two_layers_share_becomes_two_where_they_keep_different_elements() -> None:
    text = (
        "(float[N, 4] x) => (float[N, 3] y)"
        "<float[4, 6] u, float[6] shared, float[6, 6] v, float[6, 3] w>"
        "{ h = MatMul(x, u) b = Add(h, shared) k = MatMul(b, v) c = Add(k, shared) y = MatMul(c, w) }"
    )
    removal = removal_of(text, {"u:1": [0], "v:1": [5]})
    before, after = tensors(removal.original), tensors(removal.pruned)
    copies = sorted(name for name, array in after.items() if array.shape == (5,))
    assert len(copies) == 2
    found = {tuple(after[name]) for name in copies}
    assert found == {tuple(before["shared"][1:]), tuple(before["shared"][:5])}
    listed = removal.plan.slices
    assert {listed[name].of or name for name in copies} == {"shared"}


def test_a_vector_that_two_layers_share_stays_one_where_they_agree() -> None:
    text = (
        "(float[N, 4] x) => (float[N, 3] y) <float[4, 6] u, float[6] shared, float[6, 3] w>"
        "{ h = MatMul(x, u) b = Add(h, shared) c = Mul(b, shared) y = MatMul(c, w) }"
    )
    removal = removal_of(text, {"u:1": [0]})
    assert [name for name, array in tensors(removal.pruned).items() if array.shape == (5,)] == ["shared"]


def test_tied_weights_stay_tied() -> None:
    text = (
        "(float[N, 4] x) => (float[N, 4] y) <float[4, 6] tied, float[6, 6] m>"
        "{ h = MatMul(x, tied) k = MatMul(h, m) t = Transpose<perm = [1, 0]>(tied) y = MatMul(k, t) }"
    )
    removal = removal_of(text, {"m:0": [3]})
    after = tensors(removal.pruned)
    assert after["tied"].shape == (4, 5) and after["m"].shape == (5, 5)


def test_what_is_not_touched_is_the_same_object_in_the_file() -> None:
    text = (
        "(float[N, 4] x) => (float[N, 3] y) <float[4, 4] first, float[4, 6] u, float[6, 3] v>"
        "{ a = MatMul(x, first) f = Softmax(a) h = MatMul(f, u) y = MatMul(h, v) }"
    )
    removal = removal_of(text, {"u:1": [0]})
    before = {tensor.name: tensor.SerializeToString() for tensor in removal.original.graph.initializer}
    after = {tensor.name: tensor.SerializeToString() for tensor in removal.pruned.graph.initializer}
    assert after["first"] == before["first"]
    assert "first" not in removal.plan.slices


def test_a_frozen_element_cannot_be_removed() -> None:
    with pytest.raises(AssertionError, match="an element is frozen"):
        removal_of(MLP, {"v:1": [0]})


@pytest.mark.slow
def test_a_split_of_more_parts_than_shape_arithmetic_reads_is_pruned() -> None:
    """Its list of sizes is an initializer of 4,200 integers; ONNX Runtime reads such a list only where it is inline."""
    count = 4_200
    rng = np.random.default_rng(0)
    arrays = {
        "u": rng.standard_normal((4, 2 * count)).astype(np.float32),
        "v": rng.standard_normal((2 * count, 3)).astype(np.float32),
        "sizes": np.full(count, 2, dtype=np.int64),
    }
    parts = [f"part{k}" for k in range(count)]
    nodes = [
        helper.make_node("MatMul", ["x", "u"], ["h"]),
        helper.make_node("Split", ["h", "sizes"], parts, axis=1),
        helper.make_node("Concat", parts, ["c"], axis=1),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n, shape in (("x", [2, 4]), ("y", [2, 3]))
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    result = irprune.prune(model, ratio=0.5)
    assert result.report is not None and result.report.ok
    assert tensors(result.model)["u"].shape == (4, count)
