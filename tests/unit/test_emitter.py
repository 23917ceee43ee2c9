"""ONNX out: what changed is changed, and everything else comes out as it went in."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as oir
import pytest
from onnx import TensorProto, helper, numpy_helper

from irprune.backends.onnx import emit, save
from irprune.errors import InputError
from irprune.frontends.files import load
from irprune.frontends.onnx import import_model
from irprune.ir import Constant, Node, Value
from tests.golden.helpers.models import model_of
from tests.golden.helpers.removal import feeds_for, relative_error, remove_elements, run

NET = """(float[N, 3, 8] x) => (float[] y) <float[4, 3, 1] w, float[4] b, float[5, 4, 1] u>
{ h = Conv(x, w, b) r = Relu(h) y = Conv(r, u) }"""


def dressed() -> onnx.ModelProto:
    """A model with everything around its graph that a producer may put there."""
    proto = model_of(NET)
    proto.producer_name, proto.producer_version, proto.domain, proto.model_version = "maker", "3", "net", 7
    proto.doc_string = "about the model"
    proto.metadata_props.add(key="author", value="somebody")
    proto.opset_import.append(helper.make_opsetid("custom", 2))
    proto.graph.doc_string = "about the graph"
    proto.graph.node[0].doc_string = "about the first node"
    proto.graph.node[1].metadata_props.add(key="layer", value="1")
    proto.graph.input[0].doc_string = "about the input"
    return proto


def emitted(proto: onnx.ModelProto, change: dict[str, Any]) -> onnx.ModelProto:
    model = oir.from_proto(proto)
    before = import_model(model)
    return oir.to_proto(emit(model, before, replace(before, **change)))


def initializers(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def test_nothing_to_do() -> None:
    proto = dressed()
    model = oir.from_proto(proto)
    graph = import_model(model)
    result = oir.to_proto(emit(model, graph, graph))
    assert result.SerializeToString(deterministic=True) == oir.to_proto(model).SerializeToString(deterministic=True)


def test_what_surrounds_the_graph_stays() -> None:
    proto = dressed()
    pruned = remove_elements(proto, {"w:0": [1]}).pruned
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string", "ir_version"):
        assert getattr(pruned, name) == getattr(proto, name), name
    assert list(pruned.metadata_props) == list(proto.metadata_props)
    assert sorted(map(str, pruned.opset_import)) == sorted(map(str, proto.opset_import))
    assert pruned.graph.name == proto.graph.name
    assert pruned.graph.doc_string == "about the graph"
    assert pruned.graph.node[0].doc_string == "about the first node"
    assert [(p.key, p.value) for p in pruned.graph.node[1].metadata_props] == [("layer", "1")]
    assert pruned.graph.input[0] == proto.graph.input[0]
    assert [node.op_type for node in pruned.graph.node] == ["Conv", "Relu", "Conv"]


def test_names_stay_and_weights_are_slices() -> None:
    proto = model_of(NET)
    pruned = remove_elements(proto, {"w:0": [1, 3]}).pruned
    old, new = initializers(proto), initializers(pruned)
    assert set(old) == set(new)
    np.testing.assert_array_equal(new["w"], old["w"][[0, 2]])
    np.testing.assert_array_equal(new["b"], old["b"][[0, 2]])
    np.testing.assert_array_equal(new["u"], old["u"][:, [0, 2]])
    assert [list(node.output) for node in pruned.graph.node] == [list(node.output) for node in proto.graph.node]


def test_the_model_that_was_given_is_not_changed() -> None:
    proto = model_of(NET)
    before = proto.SerializeToString(deterministic=True)
    model = oir.from_proto(proto)
    graph = import_model(model)
    small = replace(graph, constants={**graph.constants, "b": Constant.from_array(np.zeros(4, np.float32))})
    once = oir.to_proto(model).SerializeToString(deterministic=True)
    emit(model, graph, small)
    assert oir.to_proto(model).SerializeToString(deterministic=True) == once
    assert proto.SerializeToString(deterministic=True) == before


def test_declared_shapes_follow() -> None:
    proto = onnx.shape_inference.infer_shapes(model_of(NET))
    declared = {info.name: info for info in proto.graph.value_info}
    assert set(declared) == {"h", "r"}
    pruned = remove_elements(proto, {"w:0": [1]}).pruned
    shapes = {
        info.name: [dim.dim_value or dim.dim_param for dim in info.type.tensor_type.shape.dim]
        for info in pruned.graph.value_info
    }
    assert {name: shapes[name] for name in declared} == {"h": ["N", 3, 8], "r": ["N", 3, 8]}


def test_constant_nodes_stay_nodes() -> None:
    proto = model_of(
        """(float[N, 2] x) => (float[] y) <float[3, 5] u>
        { w = Constant<value = float[2, 3] {1, 2, 3, 4, 5, 6}>() h = MatMul(x, w) y = MatMul(h, u) }"""
    )
    pruned = remove_elements(proto, {"w:1": [1]}).pruned
    (constant,) = [node for node in pruned.graph.node if node.op_type == "Constant"]
    assert constant.output[0] == "w"
    assert numpy_helper.to_array(constant.attribute[0].t).tolist() == [[1, 3], [4, 6]]
    assert [tensor.name for tensor in pruned.graph.initializer] == ["u"]


def test_a_list_in_a_constant_node_becomes_a_tensor() -> None:
    proto = model_of(
        """(float[N, 3] x) => (float[] y) <float[3, 4] w, float[4, 5] u>
        { k = Constant<value_floats = [1.0, 2.0, 3.0, 4.0]>() h = MatMul(x, w) a = Add(h, k) y = MatMul(a, u) }"""
    )
    pruned = remove_elements(proto, {"u:0": [0, 2]}).pruned
    (constant,) = [node for node in pruned.graph.node if node.op_type == "Constant"]
    assert [attribute.name for attribute in constant.attribute] == ["value"]
    assert numpy_helper.to_array(constant.attribute[0].t).tolist() == [2, 4]


def test_private_copies_are_new_initializers() -> None:
    proto = model_of(
        """(float[N, 3] x) => (float[] y, float[] z)
        <float[3, 4] w, float[3, 4] k, float[4] b, float[4, 5] u, float[4, 5] v>
        { g = MatMul(x, w) h = MatMul(x, k) m = Add(g, b) n = Add(h, b) y = MatMul(m, u) z = MatMul(n, v) }"""
    )
    removal = remove_elements(proto, {"u:0": [0], "v:0": [1, 2]})
    old, new = initializers(proto), initializers(removal.pruned)
    assert set(new) - set(old) == {"b_1"}
    used = {node.output[0]: node.input[1] for node in removal.pruned.graph.node if node.op_type == "Add"}
    np.testing.assert_array_equal(new[used["m"]], old["b"][1:])
    np.testing.assert_array_equal(new[used["n"]], old["b"][[0, 3]])
    assert {name: part.of for name, part in removal.plan.slices.items() if part.of} == {"b_1": "b"}


def test_what_takes_the_place_of_a_chain_stands_there() -> None:
    proto = model_of(
        """(float[N, 3, 2] x) => (float[] y)
        <float[4, 3, 1] w, int64[4] s = {0, 2, 2, 2}, int64[3] t = {0, -1, 2}, float[5, 4, 1] u>
        { h = Conv(x, w) r = Reshape(h, s) p = Transpose<perm = [0, 2, 1, 3]>(r) f = Reshape(p, t) y = Conv(f, u) }"""
    )
    pruned = remove_elements(proto, {"w:0": [2]}).pruned
    assert [(node.op_type, list(node.output)) for node in pruned.graph.node] == [
        ("Conv", ["h"]),
        ("Identity", ["f"]),
        ("Conv", ["y"]),
    ]
    assert set(initializers(pruned)) == {"w", "u"}


def test_what_was_unused_stays_unused() -> None:
    """Tensors and nodes that nothing read before are not irprune's to remove."""
    proto = model_of(NET.replace("float[5, 4, 1] u>", "float[5, 4, 1] u, float[7] spare>"))
    proto.graph.node.insert(1, helper.make_node("Neg", ["spare"], ["idle"], "idler"))
    pruned = remove_elements(proto, {"w:0": [1]}).pruned
    assert "spare" in initializers(pruned)
    assert "idler" in {node.name for node in pruned.graph.node}


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE])
def test_element_types_stay(dtype: int) -> None:
    proto = model_of(
        "(float[N, 3] x) => (float[] y) <float[3, 4] w, float[4, 5] u> { h = MatMul(x, w) y = MatMul(h, u) }"
    )
    for info in (proto.graph.input[0], proto.graph.output[0]):
        info.type.tensor_type.elem_type = dtype
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(kind), tensor.name))
    pruned = remove_elements(proto, {"u:0": [0]}).pruned
    assert {tensor.data_type for tensor in pruned.graph.initializer} == {dtype}
    old, new = initializers(proto), initializers(pruned)
    assert new["u"].tobytes() == old["u"][1:].tobytes()


def test_weights_listed_as_inputs_stay_listed() -> None:
    """IR version 3: every initializer is a graph input too, new ones as well."""
    proto = model_of(
        """(float[N, 6] x) => (float[] y, float[] z) <float[6, 6] w, float[3, 5] u, float[3, 5] v>
        { h = MatMul(x, w) a, b = Split<axis = 1>(h) y = MatMul(a, u) z = MatMul(b, v) }""",
        opset=13,
    )
    proto.ir_version = 3
    for tensor in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    pruned = remove_elements(proto, {"u:0": [0]}).pruned
    listed = {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in pruned.graph.input}
    stored = {name: list(array.shape) for name, array in initializers(pruned).items()}
    assert {name: listed[name] for name in stored} == stored
    assert set(listed) - set(stored) == {"x"}


def test_nodes_are_added_changed_and_removed() -> None:
    """Relu becomes two nodes; the second gives the old result."""
    proto = model_of(NET)
    graph = import_model(oir.from_proto(proto))
    first, relu, last = graph.nodes
    nodes = (
        replace(first, attributes={"pads": (0, 0)}),
        Node("new abs", "Abs", ("h",), ("h_abs",)),
        Node("new neg", "Neg", ("h_abs",), ("r",)),
        last,
    )
    values = {**graph.values, "h_abs": Value("h_abs", "float32", graph.shape("h"))}
    changed = emitted(proto, {"nodes": nodes, "values": values})
    onnx.checker.check_model(changed, full_check=True)
    assert [(node.op_type, list(node.input), list(node.output)) for node in changed.graph.node] == [
        ("Conv", ["x", "w", "b"], ["h"]),
        ("Abs", ["h"], ["h_abs"]),
        ("Neg", ["h_abs"], ["r"]),
        ("Conv", ["r", "u"], ["y"]),
    ]
    assert [attribute.name for attribute in changed.graph.node[0].attribute] == ["pads"]
    assert relu.name not in {node.name for node in changed.graph.node}
    hidden = model_of(NET.replace("r = Relu(h)", "t = Abs(h) r = Neg(t)"))
    feeds = feeds_for(proto)
    assert relative_error(run(hidden, feeds), run(changed, feeds)) == 0


def test_files_out_of_order_come_out_in_order() -> None:
    proto = model_of(NET)
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    pruned = remove_elements(proto, {"w:0": [1]}).pruned
    assert [node.op_type for node in pruned.graph.node] == ["Conv", "Relu", "Conv"]


def test_constants_that_go_are_gone() -> None:
    proto = model_of(NET)
    graph = import_model(oir.from_proto(proto))
    first, *rest = graph.nodes
    without = {name: constant for name, constant in graph.constants.items() if name != "b"}
    changed = emitted(proto, {"nodes": (replace(first, inputs=("x", "w")), *rest), "constants": without})
    assert set(initializers(changed)) == {"w", "u"}
    assert list(changed.graph.node[0].input) == ["x", "w"]


# -- writing -----------------------------------------------------------------------------------------------------------


def test_saving_and_loading(tmp_path: Path) -> None:
    removal = remove_elements(model_of(NET), {"w:0": [1]})
    save(oir.from_proto(removal.pruned), tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert import_model(load(tmp_path / "m.onnx")).constants["w"].shape == (3, 3, 1)


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    removal = remove_elements(model_of(NET), {"w:0": [1]})
    save(oir.from_proto(removal.pruned), tmp_path / "m.onnx", external=True)
    model, data = sorted(path.name for path in tmp_path.iterdir())
    assert model == "m.onnx" and re.fullmatch(r"m\.onnx\.[0-9a-f]{16}\.data", data)
    feeds = feeds_for(removal.pruned)
    whole = onnx.load(tmp_path / "m.onnx")
    assert relative_error(run(removal.pruned, feeds), run(whole, feeds)) == 0


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^cannot write .*m\.onnx: No such file or directory$"):
        save(oir.from_proto(model_of(NET)), tmp_path / "none" / "m.onnx")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.onnx").write_bytes(b"as it was")

    def fail(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("irprune.backends.onnx.fill_weights", fail)
    with pytest.raises(InputError, match=r"^cannot write .*m\.onnx: No space left on device$"):
        save(oir.from_proto(model_of(NET)), tmp_path / "m.onnx")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m.onnx", b"as it was")]
