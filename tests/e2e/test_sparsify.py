"""Zeros inside of weights, through the command line and in Python; checked by reading the files alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import irprune
from irprune.cli import run
from irprune.errors import TargetError

FOLDER = Path(__file__).resolve().parents[2] / "models"
DIGITS = FOLDER / "digits.onnx"


def command(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def images() -> np.ndarray:
    return np.load(FOLDER / "digits_heldout.npz")["images"].astype(np.float32).reshape(-1, 1, 8, 8)


def outputs(path: Path, inputs: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: inputs})[0])


def weights(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sparsify") / "images.npz"
    np.savez(made, **{onnx.load(DIGITS).graph.input[0].name: images()[::2]})
    return made


def agreement(path: Path) -> float:
    others = images()[1::2]
    return float((outputs(path, others).argmax(axis=1) == outputs(DIGITS, others).argmax(axis=1)).mean())


@pytest.mark.parametrize("scope", ["local", "global"])
def test_data_keep_more_decisions_than_magnitudes(tmp_path: Path, data: Path, scope: str) -> None:
    kept = {}
    for name, more in (("magnitude", ()), ("sparsegpt", ("--data", data))):
        out = tmp_path / f"{name}.onnx"
        assert command("sparsify", DIGITS, "-o", out, "--ratio", 0.8, "--scope", scope, *more) == 0
        kept[name] = agreement(out)
    assert kept["sparsegpt"] > kept["magnitude"]


def test_shapes_biases_and_nodes_stay(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "sparse.onnx"
    assert command("sparsify", DIGITS, "-o", out, "--ratio", 0.5, "--method", "magnitude", "--data", data) == 0
    before, after = weights(DIGITS), weights(out)
    assert {name: array.shape for name, array in before.items()} == {name: array.shape for name, array in after.items()}
    assert [node.op_type for node in onnx.load(DIGITS).graph.node] == [
        node.op_type for node in onnx.load(out).graph.node
    ]
    for name, array in after.items():
        kept = array != 0 if array.ndim > 1 else np.ones(array.shape, dtype=bool)
        np.testing.assert_array_equal(array[kept], before[name][kept])


def test_the_plan_verifies_the_file_and_no_other(tmp_path: Path) -> None:
    out, plan = tmp_path / "sparse.onnx", tmp_path / "plan.json"
    assert command("sparsify", DIGITS, "-o", out, "--ratio", 0.5, "--plan", plan) == 0
    assert json.loads(plan.read_text())["sparsity"]["ratio"] == 0.5
    assert command("verify", DIGITS, out, "--plan", plan) == 0
    model = onnx.load(out)
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    changed = numpy_helper.to_array(tensor).copy()
    changed.flat[np.flatnonzero(changed)[0]] *= 1.5
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    onnx.save(model, tmp_path / "changed.onnx")
    assert command("verify", DIGITS, tmp_path / "changed.onnx", "--plan", plan) == 1


def test_the_same_command_gives_the_same_bytes(tmp_path: Path, data: Path) -> None:
    for name in ("a", "b"):
        given = ("--ratio", 0.5, "--data", data)
        assert command("sparsify", DIGITS, "-o", tmp_path / f"{name}.onnx", *given) == 0
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def save(path: Path, nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray], feed: list[int]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, feed)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


KINDS = {
    # how the model multiplies, the weight, the input, and the axis of the weight along the sum
    "Conv": ([helper.make_node("Conv", ["x", "w"], ["y"])], (6, 8, 3, 3), [1, 8, 9, 9], 1),
    "grouped Conv": ([helper.make_node("Conv", ["x", "w"], ["y"], group=2)], (6, 8, 3, 3), [1, 16, 9, 9], 1),
    "Gemm": ([helper.make_node("Gemm", ["x", "w"], ["y"])], (8, 6), [4, 8], 0),
    "Gemm, transposed": ([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], (6, 8), [4, 8], 1),
    "MatMul": ([helper.make_node("MatMul", ["x", "w"], ["y"])], (8, 6), [2, 5, 8], 0),
    "MatMul, weight first": ([helper.make_node("MatMul", ["w", "x"], ["y"])], (6, 8), [8, 5], 1),
    "ConvTranspose": ([helper.make_node("ConvTranspose", ["x", "w"], ["y"])], (8, 6, 3, 3), [1, 8, 5, 5], 0),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("with_data", [False, True])
def test_two_of_four_hold_along_the_sum(tmp_path: Path, kind: str, with_data: bool) -> None:
    nodes, shape, feed, axis = KINDS[kind]
    model = save(tmp_path / "model.onnx", nodes, {"w": drawn(*shape)}, feed)
    more: tuple[object, ...] = ()
    if with_data:
        np.savez(tmp_path / "0.npz", x=drawn(*feed))
        more = ("--data", tmp_path / "0.npz")
    assert command("sparsify", model, "-o", tmp_path / "out.onnx", "--pattern", "2:4", *more) == 0
    weight = np.moveaxis(weights(tmp_path / "out.onnx")["w"], axis, -1)
    assert ((weight.reshape(*weight.shape[:-1], -1, 4) != 0).sum(axis=-1) == 2).all()


def test_both_weights_of_a_recurrent_cell_are_sparse_and_its_bias_is_not(tmp_path: Path) -> None:
    node = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=4)
    tensors = {"w": drawn(1, 16, 8), "r": drawn(1, 16, 4), "b": drawn(1, 32)}
    model = save(tmp_path / "model.onnx", [node], tensors, [3, 2, 8])
    assert command("sparsify", model, "-o", tmp_path / "out.onnx", "--pattern", "2:4") == 0
    found = weights(tmp_path / "out.onnx")
    for name in ("w", "r"):
        assert ((found[name].reshape(1, 16, -1, 4) != 0).sum(axis=-1) == 2).all()
    np.testing.assert_array_equal(found["b"], tensors["b"])


def test_weights_without_room_for_the_pattern_stay_and_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [helper.make_node("Conv", ["x", "a"], ["h"]), helper.make_node("Conv", ["h", "b"], ["y"])]
    model = save(tmp_path / "model.onnx", nodes, {"a": drawn(8, 3, 3, 3), "b": drawn(6, 8, 3, 3)}, [1, 3, 9, 9])
    assert command("sparsify", model, "-o", tmp_path / "out.onnx", "--pattern", "2:4", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["skipped"] == [{"tensor": "a", "why": "3 columns are not a multiple of 4"}]
    assert (weights(tmp_path / "out.onnx")["a"] != 0).all()
    with pytest.raises(TargetError, match="no weight has room for pattern 2:4: 'a': 3 columns"):
        irprune.sparsify(model, pattern="2:4", only="a")


def test_a_weight_of_several_nodes_stays(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["i"]),
        helper.make_node("MatMul", ["i", "v"], ["y"]),
    ]
    model = save(tmp_path / "model.onnx", nodes, {"w": drawn(8, 8), "v": drawn(8, 8)}, [2, 8])
    result = irprune.sparsify(model, tmp_path / "out.onnx", ratio=0.5)
    assert [item.why for item in result.sparse.skipped] == ["several nodes read it"]
    found = weights(tmp_path / "out.onnx")
    assert (found["w"] != 0).all() and (found["v"] == 0).mean() == 0.5


def test_integer_weights_become_their_zero_point(tmp_path: Path) -> None:
    tensors = {
        "q": np.random.default_rng(0).integers(0, 255, (8, 6)).astype(np.uint8),
        "s": np.array(0.1, dtype=np.float32),
        "z": np.array(100, dtype=np.uint8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    model = save(tmp_path / "model.onnx", nodes, tensors, [2, 8])
    assert command("sparsify", model, "-o", tmp_path / "out.onnx", "--ratio", 0.5) == 0
    assert (weights(tmp_path / "out.onnx")["q"] == 100).mean() >= 0.5


def test_a_pipeline_prunes_and_sparsifies(tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert command("opt", DIGITS, "--passes", "fold,prune{macs=0.5},sparsify{ratio=0.5}", "-o", out) == 0
    large = [array for array in weights(out).values() if array.ndim == 4]
    assert all(0.4 < (array == 0).mean() < 0.6 for array in large)
