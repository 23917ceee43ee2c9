"""Pruning with unlabeled inputs, through the command line: what is kept of the decisions, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

import irprune
from irprune.cli import run
from tests.golden.helpers.models import model_of

FOLDER = Path(__file__).resolve().parents[2] / "models"
DIGITS = FOLDER / "digits.onnx"


def command(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def images() -> np.ndarray:
    """Images that the network was not trained on, in its input's shape."""
    return np.load(FOLDER / "digits_heldout.npz")["images"].astype(np.float32).reshape(-1, 1, 8, 8)


def decisions(path: Path, inputs: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})[0].argmax(axis=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the images; the others judge."""
    name = onnx.load(DIGITS).graph.input[0].name
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, **{name: images()[::2]})
    return path


@pytest.fixture(scope="module")
def pruned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pruned")
    out, plan = folder / "small.onnx", folder / "plan.json"
    assert command("prune", DIGITS, "-o", out, "--macs", 0.2, "--align", 1, "--data", data, "--plan", plan) == 0
    return out, plan


def test_more_decisions_are_kept_than_by_norm_alone(pruned: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    norm, unrepaired = tmp_path / "norm.onnx", tmp_path / "unrepaired.onnx"
    cut = ("--macs", 0.2, "--align", 1)
    assert command("prune", DIGITS, "-o", norm, *cut) == 0
    assert command("prune", DIGITS, "-o", unrepaired, *cut, "--data", data, "--repair", "none") == 0
    others = images()[1::2]
    wanted = decisions(DIGITS, others)
    kept = {path.stem: (decisions(path, others) == wanted).mean() for path in (pruned[0], norm, unrepaired)}
    assert kept["small"] > 0.9
    assert kept["small"] > kept["norm"] + 0.1
    assert kept["small"] > kept["unrepaired"]


def test_the_plan_names_what_was_refitted_and_verification_follows_it(
    pruned: tuple[Path, Path], tmp_path: Path
) -> None:
    out, plan = pruned
    body = json.loads(plan.read_text())
    assert body["request"]["criterion"] == "obs"
    assert body["request"]["repair"] == "reconstruct"
    assert body["cost"]["macs"][1] <= 0.2 * body["cost"]["macs"][0]
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(out).graph.initializer}
    assert body["updated"]
    assert body["updated"].keys() <= tensors.keys()
    assert command("verify", DIGITS, out, "--plan", plan) == 0
    tampered = onnx.load(out)
    name = sorted(body["updated"])[0]
    (tensor,) = [tensor for tensor in tampered.graph.initializer if tensor.name == name]
    tensor.CopyFrom(numpy_helper.from_array(tensors[name] * np.float32(1.001), name))
    onnx.save(tampered, tmp_path / "tampered.onnx")
    assert command("verify", DIGITS, tmp_path / "tampered.onnx", "--plan", plan) == 1


def test_the_same_command_writes_the_same_bytes(pruned: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.onnx"
    assert command("prune", DIGITS, "-o", again, "--macs", 0.2, "--align", 1, "--data", data) == 0
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (pruned[0], again))
    assert first == second


def test_a_plan_is_made_on_data_and_carried_out_later(data: Path, tmp_path: Path) -> None:
    """The same channels as by prune, weights as they were."""
    plan, out, direct = tmp_path / "plan.json", tmp_path / "small.onnx", tmp_path / "direct.onnx"
    assert command("plan", DIGITS, "-o", plan, "--macs", 0.4, "--data", data) == 0
    assert command("apply", DIGITS, plan, "-o", out) == 0
    assert command("prune", DIGITS, "-o", direct, "--macs", 0.4, "--data", data, "--repair", "none") == 0
    first, second = (onnx.load(path).graph.initializer for path in (out, direct))
    assert {t.name: t.raw_data for t in first} == {t.name: t.raw_data for t in second}
    name = onnx.load(DIGITS).graph.input[0].name
    decided = irprune.plan(DIGITS, macs=0.4, data={name: images()[::2]})
    assert [group.removed for group in decided.groups] == [
        tuple(group["removed"]) for group in json.loads(plan.read_text())["groups"]
    ]


def test_python_takes_arrays_and_tells_what_the_data_did() -> None:
    name = onnx.load(DIGITS).graph.input[0].name
    result = irprune.prune(DIGITS, macs=0.4, data={name: images()[:300]})
    assert result.recovery is not None
    assert result.recovery.error < result.recovery.error_sliced
    assert result.recovery.fitted + result.recovery.held_out == 300
    assert result.report is not None
    assert result.report.ok


@pytest.mark.parametrize("criterion", ["wanda", "flap"])
def test_other_criteria_from_data(criterion: str, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.onnx"
    assert command("prune", DIGITS, "-o", out, "--macs", 0.4, "--data", data, "--criterion", criterion) == 0
    others = images()[1::2]
    assert (decisions(out, others) == decisions(DIGITS, others)).mean() > 0.9


def test_without_data_a_warning_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("prune", DIGITS, "-o", tmp_path / "small.onnx", "--macs", 0.5) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("irprune: warning: channels are chosen without data")
    assert "--data" in line


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a command ends with; nothing is written."""
    capsys.readouterr()
    assert command(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_does_not_fit_is_refused_in_one_line(
    pruned: tuple[Path, Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = onnx.load(DIGITS).graph.input[0].name
    out = tmp_path / "small.onnx"
    start = ("prune", DIGITS, "-o", out, "--macs", 0.5)
    assert "needs inputs of the model; name them with --data" in refused(capsys, *start, "--criterion", "obs")
    assert "needs inputs of the model; name them with --data" in refused(capsys, *start, "--repair", "reconstruct")
    for values, words in (({name: images()[:8] * np.nan}, "NaN"), ({"picture": images()[:8]}, "'image' is missing")):
        wrong = tmp_path / "wrong.npz"
        np.savez(wrong, **values)
        assert words in refused(capsys, *start, "--data", wrong)
    planned = ("plan", DIGITS, "-o", tmp_path / "plan.json", "--macs", 0.5, "--data", data, "--repair", "reconstruct")
    assert "a plan holds no weights to refit" in refused(capsys, *planned)
    assert "nowhere.npz" in refused(capsys, *start, "--data", tmp_path / "nowhere.npz")
    assert "refitted on data" in refused(capsys, "apply", DIGITS, pruned[1], "-o", out)
    assert not out.exists()


def test_open_sizes_are_those_of_the_data_and_few_samples_are_said() -> None:
    """Images of other heights each: costs count at the size of the first, and the plan says so."""
    rng = np.random.default_rng(0)
    model = model_of(
        """(float[N, 3, H, W] x) => (float[] y)
        <float[16, 3, 3, 3] a, float[16] ab, float[24, 16, 3, 3] b, float[4, 24, 1, 1] c>
        { h = Conv<pads = [1, 1, 1, 1]>(x, a, ab) r = Relu(h) k = Conv(r, b) s = Relu(k) y = Conv(s, c) }"""
    )
    heights = [10, 12, 14, 16] * 5
    data = [{"x": rng.standard_normal((1, 3, height, 8)).astype(np.float32)} for height in heights]
    with pytest.warns(UserWarning, match="only 20 samples"):
        result = irprune.prune(model, macs=0.5, data=data)
    assert result.plan.request.shapes == {"x": (1, 3, 10, 8)}
    assert result.plan.cost_before.macs == 10 * 8 * 16 * 27 + 8 * 6 * 24 * 16 * 9 + 8 * 6 * 4 * 24
    assert result.plan.cost_after.macs <= 0.5 * result.plan.cost_before.macs
    assert result.report is not None
    assert result.report.ok


DEQUANTIZED = """(float[N, 8] x) => (float[] y)
<int8[8, 16] qa, int8[16, 4] qb, float scale, int8 zero = {0}>
{ a = DequantizeLinear(qa, scale, zero) h = MatMul(x, a) r = Relu(h)
  b = DequantizeLinear(qb, scale, zero) y = MatMul(r, b) }"""

DEQUANTIZED_SHAPES = {"qa": (8, 16), "qb": (16, 4)}

INTEGERS = """(uint8[N, 8] x) => (float[] y)
<int8[8, 16] qa, int8[16, 4] qb, float scale = {0.01}, uint8 zero = {0}>
{ h = MatMulInteger(x, qa) f = Cast<to = 1>(h) r = Relu(f) q = QuantizeLinear(r, scale, zero)
  k = MatMulInteger(q, qb) y = Cast<to = 1>(k) }"""


def test_products_of_integers_are_chosen_on_data_and_said_not_to_be_refitted() -> None:
    data = np.random.default_rng(0).integers(1, 9, (100, 8)).astype(np.uint8)
    idle = np.random.default_rng(1).integers(-99, 99, (16, 4)).astype(np.int8)
    idle[[3, 8]] = 0  # nothing reads what these two channels hold
    model = model_of(INTEGERS, numbers={"qb": idle})
    with pytest.warns(UserWarning, match="weights were not refitted"):
        result = irprune.prune(model, ratio=0.125, align=1, data={"x": data})
    assert result.plan.request.criterion == "obs"
    assert result.plan.groups[0].removed == (3, 8)
    assert result.report is not None and result.report.ok


def test_weights_that_are_dequantized_are_chosen_and_refitted_on_data() -> None:
    random = np.random.default_rng(0)
    numbers = {name: random.integers(-99, 99, shape).astype(np.int8) for name, shape in DEQUANTIZED_SHAPES.items()}
    model = model_of(DEQUANTIZED, numbers={**numbers, "scale": np.float32(0.01)})
    data = {"x": random.normal(size=(100, 8)).astype(np.float32)}
    result = irprune.prune(model, ratio=0.25, align=1, data=data)
    norm = irprune.prune(model, ratio=0.25, align=1, data=data, criterion="l2", repair="none")
    assert result.report is not None
    assert result.report.ok
    assert result.recovery is not None
    assert result.recovery.error < _error_of(model, norm.model, data)
    assert {t.data_type for t in result.model.graph.initializer if t.name in numbers} == {TensorProto.INT8}


def _error_of(model: onnx.ModelProto, small: onnx.ModelProto, data: dict[str, np.ndarray]) -> float:
    """The squared error as a share of the variance."""
    wanted, got = (ort.InferenceSession(each.SerializeToString()).run(None, data)[0] for each in (model, small))
    return float(np.square(wanted - got).mean() / wanted.var())


BRANCHED = """(float[N, 6] x, bool fast) => (float[N, 3] y)
<float[6, 16] a, float[16, 3] b, float[6, 16] c, float[16, 3] d>
{ y = If(fast) <
    then_branch = g1 () => (float[N, 3] u) { h = MatMul(x, a) r = Relu(h) u = MatMul(r, b) },
    else_branch = g2 () => (float[N, 3] u) { h = MatMul(x, c) r = Relu(h) u = MatMul(r, d) }
  > }"""


def test_weights_in_branches_are_chosen_and_refitted_on_the_samples_that_take_them() -> None:
    """The branch that no sample takes loses as much, by norm, keeps its weights, and a warning says so."""
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.standard_normal((32, 6)).astype(np.float32), "fast": np.array(True)} for _ in range(12)]
    model = model_of(BRANCHED)
    with pytest.warns(UserWarning, match="no sample takes the branches"):
        result = irprune.prune(model, macs=0.5, data=feeds[:10], align=1)
    assert "b" in result.plan.updated
    assert not {"c", "d"} & result.plan.updated.keys()
    kept = {name: next(iter(part.axes.values())) for name, part in result.plan.slices.items()}
    assert 4 <= len(kept["c"][1]) <= 12
    plain = irprune.prune(model, macs=0.5, data=feeds[:10], align=1, repair="none")

    def error(smaller: onnx.ModelProto) -> float:
        sessions = [ort.InferenceSession(m.SerializeToString()) for m in (model, smaller)]
        pairs = [[session.run(None, feed)[0] for session in sessions] for feed in feeds[10:]]
        return float(np.mean([np.square(one - other).mean() for one, other in pairs]))

    assert error(result.model) < 0.5 * error(plain.model)


def test_a_fidelity_is_kept_at_the_least_cost(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = {}
    for asked in (0.95, 0.85):
        out = tmp_path / f"{asked}.onnx"
        given = ("--data", data, "--json", "--align", 1)
        assert command("prune", DIGITS, "-o", out, "--fidelity", asked, *given) == 0
        body = json.loads(capsys.readouterr().out)
        assert body["recovery"]["agreement"] >= asked
        before, after = body["cost"]["macs"]
        shares[asked] = after / before
    assert shares[0.85] < shares[0.95] < 0.9


def test_a_fidelity_in_decibels(data: Path) -> None:
    found = irprune.prune(DIGITS, fidelity=15.0, data=data, align=1, verify=False)
    assert found.recovery is not None
    assert found.recovery.error <= 10**-1.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fidelity", 0.9), "name them with --data"),
        (("--fidelity", -1), "fidelity"),
        (("--fidelity", 0.9, "--macs", 0.5), "exactly one of"),
    ],
)
def test_a_fidelity_that_cannot_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], said: str
) -> None:
    assert command("prune", DIGITS, "-o", tmp_path / "out.onnx", *options) == 2
    assert said in capsys.readouterr().err


def test_a_fidelity_that_no_cut_reaches(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("prune", DIGITS, "-o", tmp_path / "out.onnx", "--fidelity", 300, "--data", data) != 0
    assert "no cut keeps a fidelity of 300" in capsys.readouterr().err


def test_bytes_of_weights_are_a_target() -> None:
    found = irprune.prune(DIGITS, bytes=0.5, align=1)
    assert found.plan.cost_after.bytes <= 0.51 * found.plan.cost_before.bytes


def test_inspect_lists_what_removals_cost_on_data(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("inspect", DIGITS, "--data", data, "--json") == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert groups
    for group in groups:
        quarter, half, most = (group["errors"][share] for share in ("0.25", "0.5", "0.75"))
        assert 0 <= quarter <= half <= most
    assert command("inspect", DIGITS, "--json") == 0
    assert all("errors" not in group for group in json.loads(capsys.readouterr().out)["groups"])
    assert command("inspect", DIGITS, "--data", data, "--criterion", "flap") == 0
    assert "Error on the data, as a share of the variance" in capsys.readouterr().out
    assert "measures nothing on data" in refused(capsys, "inspect", DIGITS, "--data", data, "--criterion", "l1")
    assert "give --data" in refused(capsys, "inspect", DIGITS, "--criterion", "obs")
