"""ONNX in: what is read, what shape inference adds, and what is refused with which words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as oir
import pytest
from onnx import TensorProto, helper, numpy_helper

from irprune.api import open_model
from irprune.errors import InputError
from irprune.frontends.files import load
from irprune.frontends.onnx import import_model
from irprune.ir import Constant, Graph, check, render
from tests.golden.helpers.models import graph_of, model_of

PLAIN = "(float[N, 3] x) => (float[] y) <float[3, 4] w> { h = MatMul(x, w) y = Relu(h) }"


def imported(proto: onnx.ModelProto) -> Graph:
    return import_model(oir.from_proto(proto))


# -- what is read ------------------------------------------------------------------------------------------------------


def test_a_plain_model() -> None:
    assert render(graph_of(PLAIN)).splitlines() == [
        'graph "g" opsets {"": 20}',
        'input "x": float32[N, 3]',
        'output "y"',
        'const "w": float32[3, 4]',
        'node "MatMul:h" MatMul("x", "w") -> ("h": float32[N, 4]) {}',
        'node "Relu:y" Relu("h") -> ("y": float32[N, 4]) {}',
    ]


def test_weights_keep_their_name_and_are_read_when_asked_for() -> None:
    proto = model_of(PLAIN)
    constant = imported(proto).constants["w"]
    assert (constant.dtype, constant.shape, constant.origin) == ("float32", (3, 4), "w")
    np.testing.assert_array_equal(constant.numpy(), numpy_helper.to_array(proto.graph.initializer[0]))


def test_importing_changes_nothing() -> None:
    model = oir.from_proto(model_of(PLAIN))
    before = oir.to_proto(model).SerializeToString(deterministic=True)
    import_model(model)
    assert oir.to_proto(model).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("attribute", "dtype", "value"),
    [
        ("value = int64[2] {3, 4}", "int64", [3, 4]),
        ("value_int = 5", "int64", 5),
        ("value_ints = [5, 6]", "int64", [5, 6]),
        ("value_float = 0.5", "float32", 0.5),
        ("value_floats = [0.5, 1.5]", "float32", [0.5, 1.5]),
    ],
)
def test_constant_nodes_are_constants(attribute: str, dtype: str, value: object) -> None:
    graph = graph_of(f"(float[N, 2] x) => (float[] y) {{ k = Constant<{attribute}>() y = Relu(x) z = Identity(k) }}")
    constant = graph.constants["k"]
    assert (constant.dtype, constant.numpy().tolist(), constant.origin) == (dtype, value, "k")
    assert [node.op for node in graph.nodes] == ["Relu", "Identity"]


def test_names_of_nodes_are_unique() -> None:
    """A name of its own is kept; one that is absent or used twice is made from operator and first result."""
    proto = model_of("(float[N] x) => (float[] d) { a = Relu(x) b = Relu(a) c = Relu(b) d = Relu(c) }")
    for node, name in zip(proto.graph.node, ("mine", "twice", "twice", ""), strict=True):
        node.name = name
    assert [node.name for node in imported(proto).nodes] == ["mine", "Relu:b", "Relu:c", "Relu:d"]


def test_attributes() -> None:
    graph = graph_of(
        """(float[N, 4, 8] x) => (float[] y) <int64[1] s = {2}>
        { a = MaxPool<kernel_shape = [2], auto_pad = "VALID">(x) b = LeakyRelu<alpha = 0.5>(a) c = Cast<to = 10>(b)
        k = ConstantOfShape<value = int64[1] {7}>(s) y = Cast<to = 1>(c) }"""
    )
    pool, leaky, cast, fill, _ = graph.nodes
    assert pool.attributes == {"kernel_shape": (2,), "auto_pad": "VALID"}
    assert leaky.attributes == {"alpha": 0.5}
    assert cast.attributes == {"to": 10}
    value = fill.attributes["value"]
    assert isinstance(value, Constant) and value.numpy().tolist() == [7]


def test_files_out_of_order_are_sorted() -> None:
    proto = model_of(PLAIN)
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    graph = imported(proto)
    check(graph)
    assert [node.op for node in graph.nodes] == ["MatMul", "Relu"]


def test_initializers_that_are_also_inputs_are_constants() -> None:
    """As files before IR version 4 have it."""
    proto = model_of(PLAIN)
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 4]))
    graph = imported(proto)
    assert (graph.inputs, list(graph.constants)) == (("x",), ["w"])


@pytest.mark.parametrize(
    "dtype", ["FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "UINT8", "INT4", "UINT4", "FLOAT8E4M3FN", "INT32", "BOOL"]
)
def test_element_types(dtype: str) -> None:
    kind = getattr(TensorProto, dtype)
    tensor = helper.make_tensor("w", kind, [2, 2], [0, 1, 1, 0])
    node = helper.make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])
    model = helper.make_model(
        helper.make_graph([node], "g", [], [result], [tensor]), opset_imports=[helper.make_opsetid("", 21)]
    )
    constant = imported(model).constants["w"]
    names = {"DOUBLE": "float64", "FLOAT8E4M3FN": "float8e4m3fn"}
    assert constant.dtype == names.get(dtype, dtype.lower())
    assert constant.numpy().astype(np.float32).tolist() == [[0, 1], [1, 0]]


# -- shapes ------------------------------------------------------------------------------------------------------------


def test_shapes_are_inferred() -> None:
    graph = graph_of(
        "(float[N, 3, 8, 8] x) => (float[] y) <float[4, 3, 3, 3] w>"
        " { a = Conv<strides = [2, 2]>(x, w) b = GlobalAveragePool(a) y = Flatten(b) }"
    )
    assert {name: graph.shape(name) for name in "aby"} == {
        "a": ("N", 4, 3, 3),
        "b": ("N", 4, 1, 1),
        "y": ("N", 4),
    }


def test_a_size_above_the_limit_of_inference_is_a_weight() -> None:
    """Large integer tensors are not shapes, yet their shape matters."""
    ones = ", ".join(["1"] * 300)
    graph = graph_of(
        f"(float[300] x) => (float[] y) <int64[300] k = {{{ones}}}> {{ c = Cast<to = 1>(k) y = Add(x, c) }}"
    )
    assert graph.shape("y") == (300,)


def test_inference_is_helped_where_a_shape_is_computed() -> None:
    """A shape that is arithmetic over sizes of the graph is spelled out where onnx gives up."""
    graph = graph_of(
        """(float[2, 4, 6] x) => (float[] y)
        <int64 one = {1}, int64 two = {2}, int64[1] at = {0}, float scale = {0.5}, int64[1] rest = {-1}>
        { s = Shape(x) a = Gather(s, one) b = Cast<to = 1>(a) c = Mul(b, scale) d = Floor(c) e = Cast<to = 7>(d)
        f = Unsqueeze(e, at) t = Concat<axis = 0>(f, rest) r = Reshape(x, t) y = Relu(r) }"""
    )
    assert graph.shape("y") == (2, 24)


def declaring(text: str, **shapes: list[int | str]) -> Graph:
    """The graph of a model that declares these shapes of values between its nodes."""
    proto = model_of(text)
    proto.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
    )
    return imported(proto)


def test_declared_sizes_that_open_inputs_contradict_are_not_believed() -> None:
    """What is left in a file whose input was made symbolic: 26 is the width of h only where x is 28 wide."""
    text = """(float[N, 1, 28, W] x) => (float[1, 8] y) <float[4, 1, 3, 3] w, float[8, 8] v, int64[2] s = {1, 8}>
        { h = Conv(x, w) p = AveragePool<kernel_shape = [26, 13], strides = [26, 13]>(h) f = Reshape(p, s)
        y = MatMul(f, v) }"""
    graph = declaring(text, h=[1, 4, 26, 26], p=[1, 4, 1, 2])
    batch, channels, height, width = graph.shape("h") or ()
    assert (batch, channels, height, isinstance(width, int)) == ("N", 4, 26, False)
    assert not isinstance((graph.shape("p") or ())[3], int)
    assert graph.shape("f") == (1, 8)


def test_declared_sizes_are_believed_where_inference_knows_no_better() -> None:
    text = "(float[N, 3] x) => (float[] y) <float[3, 4] w> { h = custom.Strange(x) y = MatMul(h, w) }"
    graph = declaring(text, h=["N", 3])
    assert (graph.shape("h"), graph.shape("y")) == (("N", 3), ("N", 4))


def test_a_computed_number_of_largest_elements_is_spelled_out() -> None:
    graph = graph_of(
        """(float[2, 16] x) => (float[] y) <int64[1] last = {1}>
        { s = Shape(x) k = Gather(s, last) values, order = TopK(x, k) y = Relu(values) }"""
    )
    assert graph.shape("y") == (2, 16)


def test_unknown_stays_unknown() -> None:
    graph = graph_of("(float[] x) => (float[] y) { y = Relu(x) }")
    assert graph.shape("x") is None
    assert graph.shape("y") is None


def test_an_operator_that_nobody_knows_has_results_without_shape() -> None:
    graph = graph_of("(float[N, 4] x) => (float[N, 4] y) { h = custom.Fancy(x) y = custom.Plain(h) }")
    assert [node.qualified_op for node in graph.nodes] == ["custom::Fancy", "custom::Plain"]
    assert graph.values["h"].dtype is None
    assert graph.shape("y") == ("N", 4)


def test_subgraphs_of_other_operators_are_captured() -> None:
    """Into the bodies of control flow irprune looks; of others it knows what they read."""
    body = helper.make_graph(
        [helper.make_node("Add", ["e", "w"], ["r"])],
        "body",
        [helper.make_tensor_value_info("e", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, [4])],
    )
    node = helper.make_node("SequenceMap", ["s"], ["t"], body=body)
    nodes = [helper.make_node("SequenceConstruct", ["x"], ["s"]), node]
    nodes.append(helper.make_node("ConcatFromSequence", ["t"], ["y"], axis=0))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(np.ones(4, np.float32), "w")],
    )
    found = imported(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    assert [node.captures for node in found.nodes] == [(), ("w",), ()]


# -- what is refused ---------------------------------------------------------------------------------------------------


def without_nodes(proto: onnx.ModelProto) -> None:
    del proto.graph.node[:]


def without_opset(proto: onnx.ModelProto) -> None:
    del proto.opset_import[:]


def with_a_value_made_twice(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Relu", ["y"], ["y"], name="again"))


def with_a_weight_that_a_node_makes(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Relu", ["y"], ["w"], name="again"))


def with_sparse(proto: onnx.ModelProto) -> None:
    sparse = proto.graph.sparse_initializer.add()
    sparse.values.CopyFrom(helper.make_tensor("k", TensorProto.FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(helper.make_tensor("k_at", TensorProto.INT64, [1], [0]))
    sparse.dims.extend([4])


def with_short_weight(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-4]


def with_unknown_type(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_type = 99


def with_data(location: str, length: int = 48) -> Callable[[onnx.ModelProto], None]:
    def change(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


BROKEN_FILES: list[tuple[Callable[[onnx.ModelProto], None], str]] = [
    (without_nodes, "the graph has no nodes"),
    (without_opset, "not an ONNX model: it has no graph or no opset"),
    (with_a_value_made_twice, "value 'y' is defined twice: by node "),
    (
        with_a_weight_that_a_node_makes,
        "value 'w' is defined twice: by an input or initializer and by node 'again'",
    ),
    (with_sparse, "sparse initializers are not supported; make them dense first"),
    (with_short_weight, "tensor 'w' of dimensions [3, 4] holds 44 bytes, expected 48"),
    (with_unknown_type, "tensor 'w' has the unknown element type 99"),
    (with_data("w.bin"), "tensor 'w' names external data that is missing: "),
    (with_data("../w.bin"), "tensor 'w' names external data outside the model's folder: "),
    (with_data("short.bin"), "external data of tensor 'w' is truncated: "),
]


@pytest.mark.parametrize(("change", "message"), BROKEN_FILES, ids=[message for _, message in BROKEN_FILES])
def test_files_that_are_refused(change: Callable[[onnx.ModelProto], None], message: str, tmp_path: Path) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(40))
    path = tmp_path / "model.onnx"
    proto = model_of(PLAIN)
    change(proto)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"no model", bytes(100)])
def test_what_is_no_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: not an ONNX "):
        load(path)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.onnx: no such file$"):
        load(tmp_path / "none.onnx")


def test_external_data_is_found_beside_the_model(tmp_path: Path) -> None:
    proto = model_of(PLAIN)
    expected = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    graph = import_model(load(tmp_path / "m.onnx"))
    np.testing.assert_array_equal(graph.constants["w"].numpy(), expected)


def test_an_opset_that_is_too_old() -> None:
    proto = model_of(PLAIN, opset=6)
    message = "opset 6 is older than 7; convert the model with onnx.version_converter"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        imported(proto)


def test_a_cycle() -> None:
    proto = model_of("(float[4] x) => (float[4] y) { a = Add(x, b) b = Relu(a) y = Relu(b) }")
    with pytest.raises(InputError, match=r"^the graph has a cycle through 'Add', 'Relu'"):
        imported(proto)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(float[4] x) => (float[4] y) { y = Add(x, z) }", "node 'Add:y': input 'z' is defined nowhere"),
        ("(float[4] x) => (float[4] z) { y = Relu(x) }", "graph output 'z' is produced by no node"),
    ],
)
def test_values_that_are_defined_nowhere(text: str, message: str) -> None:
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 20]> g {text}')
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        imported(proto)


def test_sparse_weights_in_memory_are_refused_too() -> None:
    model = onnx.load(Path(__file__).resolve().parents[2] / "models" / "digits.onnx")
    sparse = model.graph.sparse_initializer.add()
    sparse.values.name = "thin"
    with pytest.raises(InputError, match="sparse initializers are not supported"):
        open_model(model)


def test_an_opset_of_the_future_is_refused() -> None:
    model = onnx.load(Path(__file__).resolve().parents[2] / "models" / "digits.onnx")
    model.opset_import[0].version = 99
    with pytest.raises(InputError, match="opset 99 is newer than the newest one"):
        open_model(model)
