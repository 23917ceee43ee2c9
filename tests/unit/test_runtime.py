"""Models on ONNX Runtime: weights stay in files, one session at a time, taps within a budget."""

import gc
import weakref
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from irprune.runtime import executable
from irprune.runtime.executable import Executable
from irprune.runtime.session import RunFailure
from irprune.runtime.weights import Scratch, is_external, read_lean, read_tensor, tensors_of

WIDTH, LAYERS = 64, 6


def chain() -> onnx.ModelProto:
    """Matrix products with a Relu each; weights of 16 KiB."""
    generator = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for k in range(LAYERS):
        weight = generator.standard_normal((WIDTH, WIDTH)).astype(np.float32) / 8
        weights.append(numpy_helper.from_array(weight, f"w{k}"))
        nodes += [
            helper.make_node("MatMul", [value, f"w{k}"], [f"m{k}"]),
            helper.make_node("Relu", [f"m{k}"], [f"r{k}"]),
        ]
        value = f"r{k}"
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", WIDTH]) for name in ("x", value))
    graph = helper.make_graph(nodes, "chain", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


FEEDS = {"x": np.random.default_rng(1).standard_normal((3, WIDTH)).astype(np.float32)}
LAST = f"r{LAYERS - 1}"


@pytest.fixture(params=["one file", "external data", "a link", "a link, external data"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The chain as a file, also in the layout of a cache whose names are links to blobs."""
    kind: str = request.param
    store = tmp_path / ("blobs" if "link" in kind else "model")
    store.mkdir()
    onnx.save(
        chain(), store / "chain.onnx", save_as_external_data="external" in kind, location="chain.data", size_threshold=0
    )
    if "link" not in kind:
        return store / "chain.onnx"
    (tmp_path / "model").mkdir()
    for blob in store.iterdir():
        (tmp_path / "model" / blob.name).symlink_to(blob)
    return tmp_path / "model" / "chain.onnx"


def test_weights_stay_in_their_file(path: Path) -> None:
    model = Executable(path)
    assert model.proto.ByteSize() < 4096
    tensors = list(tensors_of(model.proto.graph))
    assert len(tensors) == LAYERS and all(map(is_external, tensors))
    expected = {tensor.name: numpy_helper.to_array(tensor) for tensor in chain().graph.initializer}
    for tensor in tensors:
        assert np.array_equal(read_tensor(tensor, model.data_folder), expected[tensor.name])
        assert not tensor.raw_data


@pytest.mark.parametrize("optimize", [False, True])
def test_every_layout_computes_the_same(path: Path, optimize: bool) -> None:
    (expected,) = Executable(chain()).run(FEEDS, optimize=optimize).values()
    assert np.array_equal(Executable(path).run(FEEDS, optimize=optimize)[LAST], expected)


def test_a_model_in_memory_moves_to_a_file_that_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executable, "_SPILLED", 1)
    proto = chain()
    (expected,) = Executable(chain()).run(FEEDS).values()
    model = Executable(proto)
    assert np.array_equal(model.run(FEEDS)[LAST], expected)
    assert model.scratch is not None and model.proto.ByteSize() < 4096
    assert proto == chain()  # as it was given
    folder = model.scratch.folder
    assert folder.exists()
    del model
    gc.collect()
    assert not folder.exists()


def test_one_session_is_open_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[weakref.ref[object]] = []
    original = executable.open_session

    def counted(*args: object, **options: object) -> object:
        gc.collect()
        assert not any(session() is not None for session in opened)
        session = original(*args, **options)  # type: ignore[arg-type]
        opened.append(weakref.ref(session))
        return session

    monkeypatch.setattr(executable, "open_session", counted)
    model = Executable(path)
    for optimize in (False, True, True, False):
        model.run(FEEDS, optimize=optimize)
    assert len(opened) == 3
    assert len(dict(model.tap([FEEDS], ["m0", "m1"]))) == 1
    model.close()


def test_taps_keep_to_a_budget(path: Path) -> None:
    names = [f"{kind}{k}" for k in range(LAYERS) for kind in "mr"]
    model = Executable(path)
    whole = {name: value for part in model.probe(FEEDS, names) for name, value in part.items()}
    assert list(whole) == names
    batches = [FEEDS, {"x": FEEDS["x"][:1]}]
    seen: list[tuple[int, list[str]]] = []
    size = FEEDS["x"].nbytes
    for number, values in model.tap(batches, names * 20, budget=2 * size):
        seen.append((number, list(values)))
        for name, value in values.items():
            np.testing.assert_allclose(value, whole[name][: len(value)], rtol=1e-5, atol=1e-5)
    assert [number for number, _ in seen] == [0, 1] * (len(seen) // 2)
    assert all(len(values) <= 2 for _, values in seen[2:])


@pytest.mark.filterwarnings("ignore:The onnxtxt format")
def test_a_model_in_text_runs_too(tmp_path: Path) -> None:
    onnx.save(chain(), tmp_path / "chain.onnxtxt")
    (expected,) = Executable(chain()).run(FEEDS).values()
    np.testing.assert_allclose(Executable(tmp_path / "chain.onnxtxt").run(FEEDS)[LAST], expected, rtol=1e-5)


@pytest.mark.parametrize("data", [b"", b"not a model", bytes(200)])
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises((RunFailure, Exception), match=r"(?i)parse|model|graph|protobuf"):
        Executable(tmp_path / "model.onnx").run({})


def test_elements_that_are_no_whole_bytes_stay_in_the_message(tmp_path: Path) -> None:
    nibbles = helper.make_tensor("w", TensorProto.INT4, [64, 64], np.zeros(64 * 32, np.uint8).tobytes(), raw=True)
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [nibbles])
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    (tensor,) = read_lean(tmp_path / "model.onnx").graph.initializer
    assert not is_external(tensor) and tensor == nibbles


def test_a_scratch_file_holds_large_tensors_in_their_places() -> None:
    scratch = Scratch()
    arrays = {"a": np.arange(1000, dtype=np.float32), "b": np.arange(3), "c": np.ones((40, 40), np.float16)}
    tensors = [scratch.add(name, array) for name, array in arrays.items()]
    scratch.adopt([], None)
    assert [scratch.holds(tensor) for tensor in tensors] == [True, False, True]
    for tensor, array in zip(tensors, arrays.values(), strict=True):
        assert np.array_equal(read_tensor(tensor, scratch.folder), array)
