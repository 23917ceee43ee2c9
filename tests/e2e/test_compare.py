"""``irprune compare``: two models on the same inputs, without a plan."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from irprune.cli import run
from irprune.verification.compare import compare_models
from tests.golden.helpers.models import model_of

TEXT = """(float[N, 4] x) => (float[N, 3] y, int64[N] best) <float[4, 16] a, float[16, 8] b, float[8, 3] c> {
    h = MatMul(x, a) i = Relu(h) j = MatMul(i, b) k = Tanh(j) y = MatMul(k, c)
    best = ArgMax<axis = 1, keepdims = 0>(y) }"""


def model() -> onnx.ModelProto:
    return model_of(TEXT, 20)


def scaled(proto: onnx.ModelProto, name: str, factor: float) -> onnx.ModelProto:
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    for tensor in copy.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))
    return copy


def files(folder: Path, *protos: onnx.ModelProto) -> list[str]:
    paths = [folder / f"{name}.onnx" for name in "ab"]
    for path, proto in zip(paths, protos, strict=True):
        onnx.save(proto, path)
    return [str(path) for path in paths]


def test_a_model_equals_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = files(tmp_path, model(), model())
    assert run(["compare", *paths]) == 0
    assert "equal within the tolerance; 3 runs, 6 tensors of one name" in capsys.readouterr().out
    assert run(["compare", *paths, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["ok"], found["models"]) == ("irprune.comparison/1", True, paths)
    assert [(output["name"], output["error"]) for output in found["outputs"]] == [("y", 0.0), ("best", 0.0)]


def test_the_first_tensor_that_differs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = files(tmp_path, model(), scaled(model(), "b", 1.01))
    assert run(["compare", *paths, "--json"]) == 1
    out, error = capsys.readouterr()
    found = json.loads(out)
    assert found["first"]["tensor"] == "j"
    assert 0.005 < found["first"]["error"] < 0.02
    assert not found["ok"]
    assert "b.onnx differs from" in error
    assert "the first tensor that differs is 'j', made by node 'MatMul'" in error
    assert error.count("\n") == 1
    assert run(["compare", *paths, "--rtol", "0.5"]) == (1 if found["outputs"][1]["error"] else 0)


def test_outputs_of_other_names_are_compared_in_order() -> None:
    other = model()
    for node in other.graph.node:
        node.output[:] = [{"y": "logits", "best": "label"}.get(name, name) for name in node.output]
        node.input[:] = [{"y": "logits"}.get(name, name) for name in node.input]
    for output, name in zip(other.graph.output, ("logits", "label"), strict=True):
        output.name = name
    found = compare_models(model(), other)
    assert found.ok
    assert [output.name for output in found.outputs] == ["y", "best"]
    assert found.shared == 4


def test_an_output_that_is_missing_is_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = model()
    del other.graph.output[1], other.graph.node[-1]
    assert run(["compare", *files(tmp_path, model(), other)]) == 1
    assert "output 'best' is missing in the second model" in capsys.readouterr().err
    assert run(["compare", *files(tmp_path, other, model())]) == 1
    assert "output 'best' is missing in the first model" in capsys.readouterr().err


def test_a_second_model_that_does_not_run_is_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = model()
    gather = helper.make_node("Gather", ["x", "far"], ["z"], axis=1)
    other.graph.node.insert(0, gather)
    other.graph.node[1].input[0] = "z"
    other.graph.initializer.append(numpy_helper.from_array(np.array([0, 1, 2, 99]), "far"))
    assert run(["compare", *files(tmp_path, model(), other)]) == 1
    assert "the second model does not run" in capsys.readouterr().err


def _renamed(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "image"


def _as_double(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    proto.graph.node.insert(0, helper.make_node("Cast", ["x"], ["f"], to=onnx.TensorProto.FLOAT))
    proto.graph.node[1].input[0] = "f"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_renamed, "the models have different inputs, x and image: nothing can be fed to both"),
        (_as_double, "input 'x' is float32 in the first model and float64 in the second"),
    ],
)
def test_models_that_cannot_be_fed_alike(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[onnx.ModelProto], None],
    message: str,
) -> None:
    other = model()
    change(other)
    assert run(["compare", *files(tmp_path, model(), other)]) == 2
    assert message in capsys.readouterr().err


def test_given_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where all inputs are zero the models agree."""
    paths = files(tmp_path, model(), scaled(model(), "a", 2.0))
    np.save(tmp_path / "zero.npy", np.zeros((2, 4), np.float32))
    assert run(["compare", *paths]) == 1
    assert run(["compare", *paths, "--inputs", str(tmp_path / "zero.npy")]) == 0
    capsys.readouterr()
    np.save(tmp_path / "wide.npy", np.zeros((2, 5), np.float32))
    assert run(["compare", *paths, "--inputs", str(tmp_path / "wide.npy")]) == 2
    assert run(["compare", paths[0], str(tmp_path / "none.onnx")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_values_that_are_no_tensors_are_passed_over() -> None:
    text = """(float[2, 4] x) => (float[2, 4] y) <float[4, 4] a> {
        s = SequenceConstruct(x, x) t = ConcatFromSequence<axis = 0>(s) u = Relu(t) h = Slice(u, zero, two, zero)
        y = MatMul(h, a) }"""
    text = text.replace("<float[4, 4] a>", "<float[4, 4] a, int64[1] zero = {0}, int64[1] two = {2}>")
    found = compare_models(model_of(text, 20), scaled(model_of(text, 20), "a", 3.0))
    assert not found.ok
    assert found.first is not None
    assert found.first.tensor == "y"


def test_data_of_a_wider_type_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "(float[N, 6] x) => (float[N, 4] y) <float[6, 8] a, float[8, 4] b> { h = MatMul(x, a) y = MatMul(h, b) }"
    model, data = tmp_path / "m.onnx", tmp_path / "x.npy"
    onnx.save(model_of(text), model)
    np.save(data, np.ones((3, 6)))
    note = "input 'x': the data is float64, converted to the model's float32"
    assert run(["compare", str(model), str(model), "--inputs", str(data)]) == 0
    assert note in " ".join(capsys.readouterr().out.split())
    small = ["-o", str(tmp_path / "small.onnx"), "--ratio", "0.5"]
    assert run(["prune", str(model), *small, "--inputs", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verification"]["equivalence"]["notes"] == [note]

    np.save(data, np.full((3, 6), 1e300))
    assert run(["prune", str(model), *small, "--inputs", str(data)]) == 2
    assert "input 'x' holds 1e+300, whose square overflows" in capsys.readouterr().err
