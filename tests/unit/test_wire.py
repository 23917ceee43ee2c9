"""Weights stay out of protobuf on the way in and out, and nobody can tell from the result."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as oir
import pytest
from onnx import TensorProto, helper, numpy_helper

from irprune.backends.onnx import save
from irprune.errors import InputError
from irprune.frontends.files import load
from irprune.frontends.wire import LARGE, fill_weights, lift_weights

WEIGHT = np.arange(LARGE, dtype=np.float32).reshape(4, -1)


def model_with(*tensors: TensorProto) -> onnx.ModelProto:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, "n"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", info[:1], info[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tensor(name: str, array: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(array, name)


def test_large_weights_are_lifted_and_filled_in_again() -> None:
    model = model_with(tensor("a", WEIGHT), tensor("small", WEIGHT[:1, :2]), tensor("b", WEIGHT + 1))
    data = model.SerializeToString()
    rest, weights = lift_weights(data)
    assert len(rest) < len(data) - 2 * WEIGHT.nbytes + 64
    assert {position: bytes(weight) for position, weight in weights.items()} == {
        0: WEIGHT.tobytes(),
        2: (WEIGHT + 1).tobytes(),
    }
    pieces = fill_weights(rest, {position: len(weight) for position, weight in weights.items()})
    assert b"".join(weights[piece] if isinstance(piece, int) else piece for piece in pieces) == data


def test_without_large_weights_nothing_is_lifted() -> None:
    data = model_with(tensor("small", WEIGHT[:1, :2])).SerializeToString()
    assert lift_weights(data) == (data, {})


def test_typed_fields_are_left_to_the_parser() -> None:
    data = model_with(helper.make_tensor("a", TensorProto.FLOAT, [LARGE], WEIGHT.ravel().tolist())).SerializeToString()
    assert lift_weights(data) == (data, {})


@pytest.mark.parametrize("cut", [1, WEIGHT.nbytes // 2, WEIGHT.nbytes])
def test_a_truncated_model_is_left_to_the_parser(tmp_path: Path, cut: int) -> None:
    data = model_with(tensor("a", WEIGHT)).SerializeToString()[:-cut]
    assert lift_weights(data) == (data, {})
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(InputError, match="not an ONNX file, or truncated"):
        load(tmp_path / "m.onnx")


def test_data_that_is_given_twice_is_left_to_the_parser() -> None:
    twice = tensor("a", WEIGHT).SerializeToString() + TensorProto(raw_data=WEIGHT.tobytes()).SerializeToString()
    model = model_with(tensor("placeholder", WEIGHT[:1, :1]))
    graph = model.graph
    del graph.initializer[:]
    rest = model.SerializeToString()
    extra = b"\x2a" + _varint(len(twice)) + twice
    data = rest + b"\x3a" + _varint(len(extra)) + extra  # a graph in two parts is one graph
    assert lift_weights(data) == (data, {})
    assert numpy_helper.to_array(onnx.load_model_from_string(data).graph.initializer[0]).tolist() == WEIGHT.tolist()


def _varint(number: int) -> bytes:
    return bytes([number & 127 | 128, number >> 7 & 127 | 128, number >> 14])


@pytest.mark.parametrize("element", [TensorProto.BFLOAT16, TensorProto.INT4, TensorProto.FLOAT8E4M3FN])
def test_reading_and_writing_keep_every_byte(tmp_path: Path, element: int) -> None:
    count = 8 * LARGE
    held = oir.DataType(element).bitwidth * count // 8
    unusual = TensorProto(name="u", dims=[count], data_type=element, raw_data=bytes(k % 100 for k in range(held)))
    described = tensor("a", WEIGHT)
    described.doc_string = "what it is"
    model = model_with(described, unusual)
    onnx.save(model, tmp_path / "m.onnx")
    save(load(tmp_path / "m.onnx"), tmp_path / "n.onnx")
    again = onnx.load(tmp_path / "n.onnx")
    assert list(again.graph.initializer) == list(model.graph.initializer)


def test_writing_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = oir.Model(oir.Graph([], [], nodes=[], name="g", opset_imports={"": 17}), ir_version=8)
    value = oir.Value(name="a", const_value=oir.Tensor(WEIGHT, name="a"))
    model.graph.register_initializer(value)
    before = value.const_value
    save(model, tmp_path / "m.onnx")
    assert value.const_value is before
    assert numpy_helper.to_array(onnx.load(tmp_path / "m.onnx").graph.initializer[0]).tolist() == WEIGHT.tolist()


def test_a_text_format_is_read_and_written(tmp_path: Path) -> None:
    onnx.save(model_with(tensor("a", WEIGHT)), tmp_path / "m.textproto")
    save(load(tmp_path / "m.textproto"), tmp_path / "n.json")
    assert numpy_helper.to_array(onnx.load(tmp_path / "n.json").graph.initializer[0]).tolist() == WEIGHT.tolist()


@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd"])
def test_weights_are_aligned_wherever_they_stand_in_the_file(tmp_path: Path, name: str) -> None:
    onnx.save(model_with(tensor(name, WEIGHT)), tmp_path / "m.onnx")
    value = load(tmp_path / "m.onnx").graph.initializers[name].const_value
    assert value is not None
    array = value.numpy()
    assert array.flags.aligned and not array.flags.writeable
    assert array.tolist() == WEIGHT.tolist()
