"""Weights in files of their own: which files a model may name, in whatever scope, and what it says about them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from irprune.cli import run
from tests.golden.helpers.models import model_of

MARKER = b"a harmless marker that no output may hold"
WIDTH = 16


def external(name: str, location: str, **entries: str) -> onnx.TensorProto:
    """A weight of 4 x 16 whose data lies in ``location``."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4, WIDTH], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": str(4 * WIDTH * 4), **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def _model(nodes: list[onnx.NodeProto], *weights: onnx.TensorProto, **more: object) -> onnx.ModelProto:
    last = numpy_helper.from_array(np.random.default_rng(1).standard_normal((WIDTH, 2)).astype(np.float32), "v")
    layers = [("MatMul", ["x", "w"], "h"), ("Relu", ["h"], "k"), ("MatMul", ["k", "v"], "y")]
    graph = helper.make_graph(
        [*nodes, *(helper.make_node(op, reads, [result]) for op, reads, result in layers)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [*weights, last],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **more)


def in_initializer(location: str, **entries: str) -> onnx.ModelProto:
    return _model([], external("w", location, **entries))


def in_constant(location: str) -> onnx.ModelProto:
    return _model([helper.make_node("Constant", [], ["w"], value=external("w", location))])


def _branches(*, constant: bool) -> Callable[[str], onnx.ModelProto]:
    def make(location: str) -> onnx.ModelProto:
        def branch(name: str) -> onnx.GraphProto:
            inner = external(f"{name}_w", location)
            node = helper.make_node("Identity", [inner.name], [name])
            if constant:
                node = helper.make_node("Constant", [], [name], value=inner)
            result = helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, WIDTH])
            return helper.make_graph([node], name, [], [result], [] if constant else [inner])

        choice = helper.make_node("If", ["c"], ["w"], then_branch=branch("one"), else_branch=branch("two"))
        return _model([choice], numpy_helper.from_array(np.array(True), "c"))

    return make


def in_function(location: str) -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["r"], value=external("r", location))
    function = helper.make_function("own", "Weight", [], ["r"], [constant], [helper.make_opsetid("", 17)])
    return _model([helper.make_node("Weight", [], ["w"], domain="own")], functions=[function])


SCOPES = {
    "initializer": in_initializer,
    "constant": in_constant,
    "branch constant": _branches(constant=True),
    "branch initializer": _branches(constant=False),
    "function": in_function,
}


def weights() -> bytes:
    return np.random.default_rng(0).standard_normal((4, WIDTH)).astype(np.float32).tobytes()


def pruned(path: Path, *options: str) -> int:
    return run(["prune", str(path), "-o", str(path.parent.parent / "small.onnx"), "--ratio", "0.5", *options])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "inside"
    made.mkdir()
    return made


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("kind", ["absolute", "above", "link", "folder link"])
def test_files_outside_of_the_folder_of_the_model_are_not_read(
    scope: str, kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = folder.parent / "outside.bin"
    outside.write_bytes((MARKER * 256)[: len(weights())])
    location = {"absolute": str(outside), "above": "../outside.bin", "link": "w.bin", "folder link": "up/outside.bin"}
    if kind == "link":
        (folder / "w.bin").symlink_to(outside)
    if kind == "folder link":
        (folder / "up").symlink_to(folder.parent)
    onnx.save(SCOPES[scope](location[kind]), folder / "model.onnx")
    assert pruned(folder / "model.onnx", "--no-verify") == 2
    assert "names external data outside the model's folder" in capsys.readouterr().err
    assert not (folder.parent / "small.onnx").exists()


@pytest.mark.parametrize("scope", SCOPES)
def test_files_beside_the_model_are_read_in_every_scope(scope: str, folder: Path) -> None:
    (folder / "w.bin").write_bytes(weights())
    onnx.save(SCOPES[scope]("w.bin"), folder / "model.onnx")
    assert pruned(folder / "model.onnx") == 0
    (folder / "w.bin").unlink()  # nothing of it is needed any more
    assert onnx.load(folder.parent / "small.onnx").graph.node


def in_a_cache(folder: Path, model: onnx.ModelProto) -> Path:
    """The layout of Hugging Face's cache: a folder of links into a folder of blobs."""
    blobs, snapshot = folder / "blobs", folder / "snapshots" / "0123"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "aaaa").write_bytes(model.SerializeToString())
    (blobs / "bbbb").write_bytes(weights())
    (snapshot / "model.onnx").symlink_to("../../blobs/aaaa")
    (snapshot / "w.bin").symlink_to("../../blobs/bbbb")
    return snapshot / "model.onnx"


def hard_linked(folder: Path, model: onnx.ModelProto) -> Path:
    (folder.parent / "w.bin").write_bytes(weights())
    os.link(folder.parent / "w.bin", folder / "w.bin")
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.parametrize("layout", [in_a_cache, hard_linked])
@pytest.mark.parametrize("scope", ["initializer", "constant", "function"])
def test_links_of_a_cache_are_followed(layout: Callable[..., Path], scope: str, folder: Path) -> None:
    assert pruned(layout(folder, SCOPES[scope]("w.bin"))) == 0


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"offset": "many"}, "external data of offset 'many', expected a number of bytes"),
        ({"offset": "-4"}, "external data of offset '-4'"),
        ({"length": "1e3"}, "external data of length '1e3'"),
        ({"length": "12"}, "names 12 bytes of external data, expected 256"),
        ({"offset": "8"}, "is truncated"),
        ({"offset": str(1 << 70)}, "is truncated"),
        ({"location": ""}, "external data"),
        ({"location": "w\0.bin"}, "external data"),
        ({"location": "w" * 5000}, "external data"),
    ],
)
def test_malformed_external_data_is_one_line(
    entries: dict[str, str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "w.bin").write_bytes(weights())
    onnx.save(in_initializer(**{"location": "w.bin", **entries}), folder / "model.onnx")
    assert pruned(folder / "model.onnx") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize("command", ["prune", "sparsify"])
def test_data_are_run_through_a_model_of_another_folder(command: str, tmp_path: Path) -> None:
    """The weights lie beside the model, which is not where the command is given."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    text = (
        "(float[N, 8] x) => (float[N, 4] y) <float[8, 64] a, float[64, 4] b> "
        "{ h = MatMul(x, a) r = Relu(h) y = MatMul(r, b) }"
    )
    path = folder / "model.onnx"
    onnx.save_model(model_of(text), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).standard_normal((80, 8)).astype(np.float32))
    small = tmp_path / "small.onnx"
    options = ["--ratio", "0.5", "--data", str(tmp_path / "data.npz")]
    assert run([command, str(path), "-o", str(small), *options]) == 0
    x = np.ones((2, 8), dtype=np.float32)
    assert ort.InferenceSession(str(small)).run(None, {"x": x})[0].shape == (2, 4)
