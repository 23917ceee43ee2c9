"""The commands on models that they can handle: what they print, what they write, how they exit."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from irprune.cli import run
from irprune.ir import parse
from tests.golden.helpers.models import model_of

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits.onnx"
REAL = (
    "microsoft__onnxruntime-inference-examples__mnist-8.onnx",
    "dog-qiuqiu__FastestDet__FastestDet.onnx",
    "fastmachinelearning__qonnx__espcn_subpixel_float.onnx",
    "lovemefan__fsmn-vad__fsmnvad-offline.onnx",
    "microsoft__Windows-Machine-Learning__tutorial_image_classifier_cifar10.onnx",
    "akamaster__pytorch_resnet_cifar10__resnet20.onnx",
    "akamaster__pytorch_resnet_cifar10__resnet20_int8_qdq.onnx",
)


def irprune(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def test_prune_writes_a_smaller_model_and_its_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    assert irprune("prune", DIGITS, "-o", out, "--macs", 0.5, "--plan", plan) == 0
    onnx.checker.check_model(out, full_check=True)
    assert out.stat().st_size < 0.7 * DIGITS.stat().st_size
    body = json.loads(plan.read_text())
    before, after = body["cost"]["macs"]
    assert 0.45 < after / before < 0.55
    assert body["verification"]["structure"]["ok"]
    assert body["verification"]["equivalence"]["ok"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json", "small.onnx"]
    printed = capsys.readouterr()
    assert printed.err.startswith("irprune: warning: channels are chosen without data")
    for expected in (
        "parameters",
        "multiply-accumulates",
        "groups pruned, the largest",
        "graph output 'logits'",
        "positions (kernel windows",
        "equivalence   ok",
        f"wrote {out} (verified)".replace("\n", ""),
    ):
        assert expected in printed.out.replace("\n", "") or expected in printed.out
    assert printed.out.count("window of a convolution") == 0


def test_prune_as_json_prints_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.onnx"
    assert (
        irprune(
            "prune",
            DIGITS,
            "-o",
            out,
            "--ratio",
            0.3,
            "--align",
            1,
            "--target",
            "none",
            "--json",
            "--criterion",
            "fpgm",
        )
        == 0
    )
    printed = capsys.readouterr()
    body = json.loads(printed.out)
    assert (body["format"], body["ok"], body["verified"]) == ("irprune.result/1", True, True)
    assert body["output"] == {"path": str(out), "bytes": out.stat().st_size}
    assert body["request"]["ratio"] == 0.3
    assert len(body["groups"]) == 12
    assert printed.err.startswith("irprune: warning: channels are chosen without data")


def test_the_plan_slices_the_original(tmp_path: Path) -> None:
    """What design and README promise: twenty lines of numpy check the result."""
    out, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    assert irprune("prune", DIGITS, "-o", out, "--params", 0.5, "--plan", plan) == 0
    body = json.loads(plan.read_text())
    old, new = (
        {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
        for path in (DIGITS, out)
    )
    assert body["slices"]
    for name, array in new.items():
        expected = old[body["slices"].get(name, {}).get("of", name)]
        for axis, part in body["slices"].get(name, {}).items():
            if axis != "of":
                assert expected.shape[int(axis)] == part["size"]
                expected = expected.take(part["kept"], axis=int(axis))
        np.testing.assert_array_equal(array, expected)


def test_plan_apply_and_verify_are_prune_in_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, out, whole = tmp_path / "plan.json", tmp_path / "small.onnx", tmp_path / "whole.onnx"
    assert irprune("plan", DIGITS, "-o", plan, "--macs", 0.5) == 0
    assert irprune("apply", DIGITS, plan, "-o", out) == 0
    assert irprune("prune", DIGITS, "-o", whole, "--macs", 0.5) == 0
    assert out.read_bytes() == whole.read_bytes()
    report, junit = tmp_path / "report.json", tmp_path / "report.xml"
    assert irprune("verify", DIGITS, out, "--plan", plan, "--json", report, "--junit", junit) == 0
    assert json.loads(report.read_text())["ok"] is True
    suite = ElementTree.fromstring(junit.read_text())
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")
    (warning,) = capsys.readouterr().err.splitlines()
    assert "without data" in warning


def test_plan_is_deterministic(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    for path in (first, second):
        assert irprune("plan", DIGITS, "-o", path, "--macs", 0.4, "--criterion", "random", "--seed", 3) == 0
    assert first.read_bytes() == second.read_bytes()


def test_verify_names_the_first_tensor_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plan, report = tmp_path / "small.onnx", tmp_path / "plan.json", tmp_path / "report.json"
    assert irprune("prune", DIGITS, "-o", out, "--macs", 0.5, "--plan", plan) == 0
    model = onnx.load(out)
    (weight,) = (t for t in model.graph.initializer if t.name == "down.conv.weight")
    array = onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(array[::-1].copy(), weight.name))
    onnx.save(model, out)
    capsys.readouterr()
    assert irprune("verify", DIGITS, out, "--plan", plan, "--json", report) == 1
    error = capsys.readouterr().err
    assert error.startswith("irprune: error: ")
    assert error.count("\n") == 1
    assert "tensor 'down.conv.weight': its values are not the plan's slice" in error
    assert "the first tensor that differs is '/down/conv/Conv_output_0'" in error
    assert json.loads(report.read_text())["ok"] is False


def test_given_inputs_and_floors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, out = tmp_path / "inputs.npz", tmp_path / "small.onnx"
    np.savez(inputs, image=np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32))
    arguments = ("prune", DIGITS, "-o", out, "--ratio", 0.2, "--inputs", inputs)
    assert irprune(*arguments, "--min-cosine", 0.1, "--rtol", 1e-4) == 0
    out.unlink()
    capsys.readouterr()
    assert irprune(*arguments, "--min-snr", 200) == 1
    assert "SNR in dB" in capsys.readouterr().err
    assert not out.exists()


def test_a_floor_that_no_output_can_be_measured_by_is_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """<float[8, 6] w, float[6, 3] v>
        { h = MatMul(x, w) r = Relu(h) s = MatMul(r, v) y = ArgMax <axis = 1> (s) }"""
    model, out = tmp_path / "model.onnx", tmp_path / "small.onnx"
    onnx.save(model_of(f"(float[2, 8] x) => (int64[2, 1] y) {text}", 17), model)
    floors = ("--min-cosine", 0.9999, "--min-snr", 100, "--allow-random")
    assert irprune("prune", model, "-o", out, "--ratio", 0.5, *floors) == 1
    shown = capsys.readouterr().err
    assert "--min-cosine: no output" in shown and "--min-snr: no output" in shown
    assert not out.exists()


def test_labels_give_the_accuracy_and_floors_on_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32)
    logits = ort.InferenceSession(DIGITS).run(None, {"image": images})[0]
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", logits.argmax(1))
    out, plan, report = (tmp_path / name for name in ("small.onnx", "plan.json", "report.json"))
    given = ("--inputs", tmp_path / "x.npy", "--labels", tmp_path / "y.npy")
    arguments = ("prune", DIGITS, "-o", out, "--ratio", 0.5, *given, "--plan", plan)
    assert irprune(*arguments) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "accuracy 100.00% ->" in shown
    assert "of the decisions agree" in shown
    assert "on x.npy (1 run)" in shown
    found = json.loads(plan.read_text())["verification"]["fidelity"]
    assert found["accuracy"]["original"] == 1.0
    assert found["outputs"][0]["agreement"] == found["accuracy"]["pruned"] < 1
    for floor in ("--min-accuracy", "--min-agreement"):
        assert irprune("verify", DIGITS, out, "--plan", plan, *given, floor, 1, "--json", report) == 1
        assert json.loads(report.read_text())["fidelity"]["missed"]
        assert "at least 100.00% was asked for" in capsys.readouterr().err
        assert irprune("apply", DIGITS, plan, "-o", out, *given, floor, 0.01) == 0


def test_inspect_says_what_is_frozen_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert irprune("inspect", DIGITS) == 0
    short = capsys.readouterr().out
    assert "12 groups can be pruned" in short
    assert "graph output 'logits'" in short
    assert irprune("inspect", DIGITS, "--all") == 0
    assert "the window of a convolution slides over it" in capsys.readouterr().out
    assert irprune("inspect", DIGITS, "--json", "--allow-io", "logits") == 0
    body = json.loads(capsys.readouterr().out)
    assert len(body["groups"]) == 13  # the classes as well
    assert all(group["reasons"] for group in body["frozen"])
    assert body["cost"]["params"] > 90_000


def test_opt_runs_and_verifies_pass_by_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.onnx"
    pipeline = "fold,prune{macs=0.5,criterion=l1},verify,dce"
    assert irprune("opt", DIGITS, "-o", out, "--passes", pipeline, "--time", "--print-after", "prune") == 0
    printed = capsys.readouterr()
    assert "prune{macs=0.5,criterion=l1}" in printed.out
    assert "(verified" in printed.out
    assert "# after prune" in printed.err
    assert " s  fold" in printed.err
    operators = {node.op_type for node in onnx.load(out).graph.node}
    assert "BatchNormalization" not in operators
    onnx.checker.check_model(out, full_check=True)


def test_passes_lists_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert irprune("passes") == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("fold", "prune", "dce", "verify", "criterion", "list of str"))
    assert irprune("passes", "--json") == 0
    assert {info["name"] for info in json.loads(capsys.readouterr().out)} >= {"fold", "prune", "verify"}


def test_dump_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert irprune("dump", DIGITS, "--plain") == 0
    plain = capsys.readouterr().out
    assert "#" not in plain.split("\nnode")[0]
    assert irprune("dump", DIGITS) == 0
    noted = capsys.readouterr().out
    assert "  # g0: group early.0.enter.conv.weight:0, channels, 24 atoms" in noted
    assert "  # axes (g0:24, g4:48, f3:3, f3:3)" in noted
    assert [node.name for node in parse(noted).nodes] == [node.name for node in parse(plain).nodes]


def test_demo_holds_its_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "kept.onnx"
    assert irprune("demo", "-o", out) == 0
    text = capsys.readouterr().out
    (line,) = (line for line in text.splitlines() if "accuracy on 450 held-out images" in line)
    before, after = (float(word.rstrip("%")) for word in line.split() if word.endswith("%"))
    assert before > 97
    assert before - after <= 1
    assert "milliseconds" in text
    assert out.is_file()


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    from irprune import __version__

    assert irprune("--version") == 0
    assert capsys.readouterr().out == f"irprune {__version__}\n"
    for arguments in ((), ("--help",), ("prune", "--help")):
        assert irprune(*arguments) == 0
        assert "Exit codes: 0 done, and verified" in capsys.readouterr().out


@pytest.mark.parametrize("name", REAL)
def test_real_models(shared_models: Path, tmp_path: Path, name: str) -> None:
    out, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    assert irprune("prune", shared_models / name, "-o", out, "--ratio", 0.3, "--plan", plan) == 0
    before, after = json.loads(plan.read_text())["cost"]["params"]
    assert after < 0.9 * before
    assert irprune("verify", shared_models / name, out, "--plan", plan) == 0
    assert irprune("inspect", shared_models / name, "--all") == 0
    assert irprune("dump", shared_models / name) == 0
