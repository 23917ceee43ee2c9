"""Wrong input: one clear line on stderr, the right exit code, and no output file."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from irprune.cli import app as cli_app
from irprune.cli import run

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models" / "digits.onnx"
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("custom", 1)]


def model(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray] | None = None, channels: int = 4
) -> onnx.ModelProto:
    """A graph from x: float32[1, 4] to y: float32[1, channels]."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels])],
        [onnx.numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=10)


def two_layers(middle: str = "Relu", domain: str = "") -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((4, 8)).astype(np.float32),
        "w2": rng.standard_normal((8, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
        helper.make_node(middle, ["h"], ["a"], "middle", domain=domain),
        helper.make_node("MatMul", ["a", "w2"], ["y"], "last"),
    ]
    return model(nodes, weights)


def save(path: Path, proto: onnx.ModelProto) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


def not_onnx(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_text("this is not a model, whatever its name says\n" * 20)
    return path


def truncated(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(DIGITS.read_bytes()[:100_000])
    return path


def empty_file(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.touch()
    return path


def a_folder(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.mkdir()
    return path


def missing(folder: Path) -> Path:
    return folder / "nowhere.onnx"


def cycle(folder: Path) -> Path:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], "one"),
        helper.make_node("Relu", ["a"], ["b"], "two"),
        helper.make_node("Relu", ["b"], ["y"], "three"),
    ]
    return save(folder / "model.onnx", model(nodes))


def no_nodes(folder: Path) -> Path:
    return save(folder / "model.onnx", model([]))


def undefined(folder: Path) -> Path:
    return save(folder / "model.onnx", model([helper.make_node("Add", ["x", "ghost"], ["y"], "sum")]))


def nan_weight(folder: Path) -> Path:
    proto = two_layers()
    array = onnx.numpy_helper.to_array(proto.graph.initializer[1]).copy()
    array[2, 3] = np.nan
    proto.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(array, "w2"))
    return save(folder / "model.onnx", proto)


def external(location: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        inside = folder / "inside"
        inside.mkdir()
        proto = two_layers()
        (folder / "outside.bin").write_bytes(b"\0" * 4096)
        tensor = proto.graph.initializer[0]
        onnx.external_data_helper.set_external_data(tensor, location, offset=0, length=len(tensor.raw_data))
        tensor.ClearField("raw_data")
        return save(inside / "model.onnx", proto)

    return make


def everything_frozen(folder: Path) -> Path:
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"], "only")], {"w": np.eye(4, dtype=np.float32)})
    return save(folder / "model.onnx", proto)


def unknown_operator(folder: Path) -> Path:
    return save(folder / "model.onnx", two_layers("Mystery", "custom"))


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (not_onnx, 2, "not an ONNX file"),
        (truncated, 2, "truncated"),
        (empty_file, 2, "not an ONNX model"),
        (a_folder, 2, "model.onnx: it is a folder, expected an ONNX file"),
        (missing, 2, "nowhere.onnx: no such file"),
        (cycle, 2, "cycle through 'one', 'two'"),
        (no_nodes, 2, "the graph has no nodes"),
        (undefined, 2, "ghost"),
        (nan_weight, 2, "tensor 'w2' holds NaN, the first at [2, 3]"),
        (external("nowhere.bin"), 2, "tensor 'w1' names external data that is missing"),
        (external("../outside.bin"), 2, "tensor 'w1' names external data outside the model's folder"),
        (everything_frozen, 1, "everything is frozen. graph input 'x'; graph output 'y'"),
        (unknown_operator, 1, "operator custom::Mystery has no signature"),
    ],
)
def test_a_bad_model(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], Path],
    code: int,
    message: str,
) -> None:
    path, out = make(tmp_path), tmp_path / "out"
    out.mkdir()
    assert run(["prune", str(path), "-o", str(out / "small.onnx"), "--ratio", "0.5"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("irprune: error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ratio", "0"), "ratio must lie between 0 and 1 (both excluded), got 0.0"),
        (("--ratio", "1"), "ratio must lie between 0 and 1"),
        (("--ratio", "-0.5"), "ratio must lie between 0 and 1"),
        (("--macs", "1.5"), "macs must lie between 0 and 1"),
        (("--params", "nan"), "params must lie between 0 and 1"),
        (("--ratio", "half"), "--ratio: expected a share such as 0.5, got 'half'"),
        (("--ratio", "stem*=half"), "--ratio: expected a share such as 0.5, got 'half'"),
        ((), "exactly one of ratio, params, macs, bytes and fidelity, got none"),
        (
            ("--ratio", "0.5", "--macs", "0.5"),
            "exactly one of ratio, params, macs, bytes and fidelity, got ratio, macs",
        ),
        (("--ratio", "0.5", "--keep", "nothing*"), "--keep 'nothing*' matches no group, node or initializer"),
        (("--ratio", "0.5", "--only", "nothing*"), "--only 'nothing*' matches no group, node or initializer"),
        (("--ratio", "0.5", "--allow-io", "z*"), "--allow-io 'z*' matches no input or output; there are"),
        (("--ratio", "0.5", "--criterion", "guess"), "unknown criterion 'guess'; known: l1, l2"),
        (("--ratio", "0.5", "--scope", "here"), "unknown scope 'here'; known: local, global"),
        (("--ratio", "0.5", "--align", "0"), "align: expected auto or a whole number of at least 1, got '0'"),
        (("--ratio", "0.5", "--rtol", "2"), "--rtol must lie between 0 and 1"),
        (("--ratio", "0.5", "--rtol", "0.1", "--no-verify"), "--rtol asks for a verification"),
        (("--ratio", "0.5", "--inputs", "nowhere.npz"), "nowhere.npz: no such file"),
        (("--ratio", "0.5", "--frobnicate"), "No such option: --frobnicate"),
    ],
)
def test_a_bad_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run(["prune", str(DIGITS), "-o", str(tmp_path / "small.onnx"), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("irprune: error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("prune",), ("nonsense",), ("apply", "x.onnx"), ("verify", "a", "b")])
def test_a_bad_command(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("irprune: error: ")
    assert error.count("\n") == 1
    assert "--help)" in error


def test_a_target_out_of_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.onnx"
    assert run(["prune", str(DIGITS), "-o", str(out), "--macs", "0.01", "--max-ratio", "0.2"]) == 1
    assert "macs cannot go below" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/small.onnx", "there is no folder"),
        ("model.onnx", "is an input as well"),
        ("link.onnx", "is an input as well"),
        ("sub/../model.onnx", "is an input as well"),
        ("sub", "it is a folder"),
        ("model.onnx/small.onnx", "there is no folder"),
    ],
)
@pytest.mark.parametrize("command", ["prune", "opt"])
def test_a_bad_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str, message: str
) -> None:
    given = save(tmp_path / "model.onnx", two_layers())
    before = given.read_bytes()
    (tmp_path / "link.onnx").symlink_to(given)
    (tmp_path / "sub").mkdir()
    wanted = ["--ratio", "0.5"] if command == "prune" else ["--passes", "prune{ratio=0.5}"]
    assert run([command, str(given), "-o", str(tmp_path / name), *wanted]) == 2
    error = capsys.readouterr().err
    assert error.startswith("irprune: error: ")
    assert message in error
    assert given.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.onnx", "model.onnx", "sub"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert run(["prune", str(DIGITS), "-o", str(locked / "small.onnx"), "--ratio", "0.5"]) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_the_output_is_checked_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("irprune.api.open_model", lambda model: pytest.fail("the model was read"))
    assert run(["prune", str(DIGITS), "-o", str(tmp_path / "no" / "small.onnx"), "--ratio", "0.5"]) == 2
    assert run(["prune", str(DIGITS), "-o", str(DIGITS), "--ratio", "0.5"]) == 2


def test_weights_beside_the_model_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The input keeps its own weights in a file that is called as the output's could be."""
    given = tmp_path / "model.onnx"
    onnx.save_model(two_layers(), given, save_as_external_data=True, location="small.onnx.data", size_threshold=0)
    before = (tmp_path / "small.onnx.data").read_bytes()
    assert run(["prune", str(given), "-o", str(tmp_path / "small.onnx.data"), "--ratio", "0.5"]) == 2
    assert "small.onnx.data is an input as well" in capsys.readouterr().err
    assert run(["prune", str(given), "-o", str(tmp_path / "small.onnx"), "--ratio", "0.5"]) == 0
    assert (tmp_path / "small.onnx.data").read_bytes() == before
    assert len(list(tmp_path.glob("small.onnx.*.data"))) == 1


def test_an_unknown_operator_is_pruned_around(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = two_layers()
    proto.graph.node[2].output[0] = "z"
    proto.graph.node.append(helper.make_node("Mystery", ["z"], ["y"], "mystery", domain="custom"))
    given, out = save(tmp_path / "model.onnx", proto), tmp_path / "small.onnx"
    assert run(["prune", str(given), "-o", str(out), "--ratio", "0.5"]) == 0
    assert "(verified)" in capsys.readouterr().out
    shapes = {tensor.name: list(tensor.dims) for tensor in onnx.load(out).graph.initializer}
    assert shapes == {"w1": [4, 4], "w2": [4, 4]}
    assert run(["inspect", str(given)]) == 0
    assert "custom::Mystery" in capsys.readouterr().out


def test_a_plan_for_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, plan, out = save(tmp_path / "model.onnx", two_layers()), tmp_path / "plan.json", tmp_path / "o.onnx"
    assert run(["plan", str(DIGITS), "-o", str(plan), "--ratio", "0.5"]) == 0
    capsys.readouterr()
    for command in (
        ["apply", str(given), str(plan), "-o", str(out)],
        ["verify", str(given), str(given), "--plan", str(plan)],
    ):
        assert run(command) == 2
        assert "the plan was made for another" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json at all", "not JSON"),
        ("[1, 2]", "not a plan"),
        ('{"format": "irprune.plan/9"}', "its format is 'irprune.plan/9', expected 'irprune.plan/1'"),
        ('{"format": "irprune.plan/1"}', "malformed plan"),
        ("\udcff\udcfe", "not JSON"),
    ],
)
def test_no_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    plan, out = tmp_path / "plan.json", tmp_path / "small.onnx"
    plan.write_bytes(text.encode(errors="surrogateescape"))
    assert run(["apply", str(DIGITS), str(plan), "-o", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert run(["verify", str(DIGITS), str(DIGITS), "--plan", str(plan)]) == 2
    assert not out.exists()


def test_a_plan_that_goes_too_far(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, out = tmp_path / "plan.json", tmp_path / "small.onnx"
    assert run(["plan", str(DIGITS), "-o", str(plan), "--ratio", "0.5"]) == 0
    body = json.loads(plan.read_text())
    body["groups"][0]["removed"] = list(range(body["groups"][0]["size"]))
    plan.write_text(json.dumps(body))
    capsys.readouterr()
    assert run(["apply", str(DIGITS), str(plan), "-o", str(out)]) == 2
    assert "the plan removes all" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("fold,guess", "unknown pass 'guess'; known: "),
        ("prune{speed=2}", "has no option 'speed'"),
        ("prune{macs=fast}", "takes a value of type float"),
        ("prune{macs=", "expected"),
        ("", "expected the name of a pass"),
    ],
)
def test_a_bad_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str], pipeline: str, message: str) -> None:
    assert run(["opt", str(DIGITS), "-o", str(tmp_path / "small.onnx"), "--passes", pipeline]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"picture": np.zeros((1, 1, 8, 8), np.float32)}, "input '"),
        ({"image": np.zeros((1, 3, 8, 8), np.float32)}, "'image' has shape [1, 3, 8, 8], expected [batch, 1, 8, 8]"),
        ({"image": np.zeros((0, 1, 8, 8), np.float32)}, "it holds no samples"),
        ({"image": np.zeros((1, 1, 8, 8), np.uint8)}, "input 'image' has dtype uint8, expected float32"),
        ({"image": np.full((1, 1, 8, 8), np.nan, np.float32)}, "input 'image' holds NaN"),
        ({"image": np.full((1, 1, 8, 8), -np.inf, np.float32)}, "input 'image' holds infinities"),
        ({"image": np.full((1, 1, 8, 8), 1e38, np.float32)}, "whose square overflows"),
        ({"image": np.array([None])}, "it holds pickled Python objects"),
    ],
)
def test_bad_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, np.ndarray], message: str
) -> None:
    inputs, out = tmp_path / "inputs.npz", tmp_path / "small.onnx"
    np.savez(inputs, **arrays)
    assert run(["prune", str(DIGITS), "-o", str(out), "--ratio", "0.3", "--inputs", str(inputs)]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == [inputs]


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.npz", lambda path: path.write_text("1 2 3"), "expected an .npz or .npy file"),
        ("x.npz", lambda path: path.write_bytes(b"PK\x03\x04cut off"), "not an .npz file, or truncated"),
        ("x.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True), "not an array of numbers"),
        ("folder", Path.mkdir, "the folder holds no .npz and no .npy files"),
        ("x.py", lambda path: path.write_text(""), "name the function that yields feeds, as in x.py:feeds"),
    ],
)
def test_inputs_that_are_no_arrays(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    write: Callable[[Path], object],
    message: str,
) -> None:
    write(tmp_path / name)
    out = tmp_path / "small.onnx"
    assert run(["prune", str(DIGITS), "-o", str(out), "--ratio", "0.3", "--inputs", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--min-cosine", "0.9"), "--min-cosine needs --inputs: random inputs say little"),
        (("--labels", "y.npy"), "labels need the inputs that they belong to"),
        (("--min-accuracy", "0.9", "--inputs", "x.npy"), "--min-accuracy needs --labels"),
        (("--min-agreement", "98"), "min_agreement must lie between 0 and 1, got 98"),
        (("--inputs", "x.npy", "--labels", "y.npy"), "there are 3 labels; decisions that the outputs make: 'logits' 2"),
        (("--inputs", "x.npy", "--labels", "x.npy"), "x.npy: expected the numbers of classes, got float32"),
        (("--inputs", "x.npy", "--labels", "z.npy"), "z.npy: no such file"),
    ],
)
def test_floors_and_labels_that_do_not_fit(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32))
    np.save("y.npy", np.array([1, 2, 3]))
    assert run(["prune", str(DIGITS), "-o", "small.onnx", "--ratio", "0.3", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("small.onnx").exists()


def test_a_result_that_is_wrong_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import irprune.api as api

    right = api.emitted

    def wrong(*arguments: object) -> object:
        made = right(*arguments)  # type: ignore[arg-type]
        value = made.graph.initializers["down.bn.bias"]
        import onnx_ir

        value.const_value = onnx_ir.tensor(value.const_value.numpy() + 1, name=value.name)
        return made

    monkeypatch.setattr(api, "emitted", wrong)
    out, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    arguments = ["prune", str(DIGITS), "-o", str(out), "--macs", "0.5", "--plan", str(plan)]
    assert run([*arguments, "--json"]) == 1
    printed = capsys.readouterr()
    body = json.loads(printed.out)
    assert (body["ok"], body["output"]) == (False, None)
    assert f"{out} was not written: tensor 'down.bn.bias'" in printed.err
    assert "'/down/bn/BatchNormalization_output_0'" in printed.err
    assert list(tmp_path.iterdir()) == []
    assert run([*arguments, "--no-verify"]) == 0
    assert out.is_file()


def test_a_bug_is_one_line_and_a_traceback_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("irprune.api.open_model", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(["inspect", str(DIGITS)]) == 3
    error = capsys.readouterr().err
    assert error.startswith("irprune: error: ZeroDivisionError: of all things. This is a bug in irprune")
    assert error.count("\n") == 1
    (kept,) = tmp_path.iterdir()
    assert str(kept) in error
    assert "Traceback" in kept.read_text()
    assert run(["--debug", "inspect", str(DIGITS)]) == 3
    assert "Traceback" in capsys.readouterr().err
    assert cli_app.run(["passes"]) == 0


def test_through_a_process(tmp_path: Path) -> None:
    """The installed way: exit code, streams and no traceback."""
    path, out = not_onnx(tmp_path), tmp_path / "small.onnx"
    command = [sys.executable, "-m", "irprune", "prune", str(path), "-o", str(out), "--ratio", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("irprune: error: ")
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m irprune dump {DIGITS} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.startswith("graph ")
    assert done.stderr == ""


def into_nobody(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command with a standard output whose reader has left already."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "irprune", *map(str, arguments)]
    try:
        return subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    finally:
        os.close(writes)


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_does_not_change_the_exit_code(tmp_path: Path) -> None:
    other = onnx.load(DIGITS)
    array = onnx.numpy_helper.to_array(other.graph.initializer[0])
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array + 1, other.graph.initializer[0].name))
    changed = save(tmp_path / "changed.onnx", other)
    for same in (["dump", DIGITS], ["schema", "plan"], ["compare", DIGITS, DIGITS]):
        done = into_nobody(*same)
        assert (done.returncode, done.stderr) == (0, "")
    done = into_nobody("compare", DIGITS, changed)
    assert done.returncode == 1
    assert done.stderr.startswith("irprune: error: ") and done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="writes to /dev/stdout")
def test_a_model_that_nobody_takes_leaves_no_plan(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    done = into_nobody("prune", DIGITS, "-o", "/dev/stdout", "--ratio", "0.5", "--no-verify", "--plan", plan)
    assert done.returncode == 2
    assert done.stderr == "irprune: error: cannot write /dev/stdout: Broken pipe\n"
    assert list(tmp_path.iterdir()) == []
