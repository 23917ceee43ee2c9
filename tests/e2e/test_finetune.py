"""Training a pruned model towards the original, through the command line and in Python."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import irprune
from irprune.cli import run
from irprune.errors import InputError

pytest.importorskip("torch")

FOLDER = Path(__file__).resolve().parents[2] / "models"
DIGITS = FOLDER / "digits.onnx"
QUICK = ("--steps", 300, "--block-steps", 100)


def command(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def outputs(path: Path, inputs: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: inputs})[0])


def images() -> np.ndarray:
    return np.load(FOLDER / "digits_heldout.npz")["images"].astype(np.float32).reshape(-1, 1, 8, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A digits network cut by norm alone, its plan, and half of the images."""
    made = tmp_path_factory.mktemp("finetune")
    np.savez(made / "images.npz", **{onnx.load(DIGITS).graph.input[0].name: images()[::2]})
    assert command("prune", DIGITS, "-o", made / "small.onnx", "--macs", 0.2, "--plan", made / "plan.json") == 0
    return made


@pytest.fixture(scope="module")
def tuned(folder: Path) -> Path:
    out, plan = folder / "tuned.onnx", folder / "tuned.json"
    given = ("--data", folder / "images.npz", "--plan", folder / "plan.json", "--write-plan", plan)
    assert command("finetune", DIGITS, folder / "small.onnx", "-o", out, *given, *QUICK) == 0
    return out


def test_decisions_come_back(folder: Path, tuned: Path) -> None:
    others = images()[1::2]
    wanted = outputs(DIGITS, others).argmax(axis=1)
    before = (outputs(folder / "small.onnx", others).argmax(axis=1) == wanted).mean()
    after = (outputs(tuned, others).argmax(axis=1) == wanted).mean()
    assert after > 0.8
    assert after > before + 0.4


def test_the_graph_stays_and_the_plan_holds_the_digests(folder: Path, tuned: Path) -> None:
    before, after = onnx.load(folder / "small.onnx"), onnx.load(tuned)
    assert [node.SerializeToString() for node in after.graph.node] == [
        node.SerializeToString() for node in before.graph.node
    ]
    assert json.loads((folder / "tuned.json").read_text())["updated"]
    assert command("verify", DIGITS, tuned, "--plan", folder / "tuned.json") == 0
    assert command("verify", DIGITS, tuned, "--plan", folder / "plan.json", "--tuned") == 0
    assert command("verify", DIGITS, tuned, "--plan", folder / "plan.json") == 1


def test_the_same_command_gives_the_same_bytes(folder: Path, tuned: Path, tmp_path: Path) -> None:
    given = ("--data", folder / "images.npz", "--plan", folder / "plan.json")
    assert command("finetune", DIGITS, folder / "small.onnx", "-o", tmp_path / "again.onnx", *given, *QUICK) == 0
    assert (tmp_path / "again.onnx").read_bytes() == tuned.read_bytes()


@pytest.mark.parametrize("stage", ["blocks", "whole network"])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    folder: Path, tuned: Path, tmp_path: Path, stage: str
) -> None:
    from irprune.torch import finetune

    class Killed(Exception):
        pass

    seen = 0

    def stop(progress: object) -> None:
        nonlocal seen
        seen += 1
        if progress.stage == stage and progress.step == 25:  # type: ignore[attr-defined]
            raise Killed

    plan = irprune.Plan.load(folder / "plan.json")
    given = {"plan": plan, "steps": 300, "block_steps": 100, "checkpoint": tmp_path / "run.checkpoint"}
    data = folder / "images.npz"
    with pytest.raises(Killed):
        finetune(DIGITS, folder / "small.onnx", data, on_step=stop, **given)
    first, seen = seen, 0
    assert (tmp_path / "run.checkpoint").exists()
    found = finetune(DIGITS, folder / "small.onnx", data, on_step=lambda _: None, **given)
    found.save(tmp_path / "resumed.onnx")
    assert first < 400
    assert not (tmp_path / "run.checkpoint").exists()
    resumed, whole = onnx.load(tmp_path / "resumed.onnx"), onnx.load(tuned)
    assert [t.SerializeToString() for t in resumed.graph.initializer] == [
        t.SerializeToString() for t in whole.graph.initializer
    ]


@pytest.mark.parametrize("kept", ["damaged", "another"])
def test_a_checkpoint_of_another_run_or_a_damaged_one_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: str
) -> None:
    import torch

    path = tmp_path / "out.onnx.checkpoint"
    if kept == "damaged":
        path.write_bytes(b"not a checkpoint")
    else:
        torch.save({"key": "of other options"}, path)
    before = path.read_bytes()
    given = ("--data", folder / "images.npz", "-o", tmp_path / "out.onnx", "--steps", 2, "--block-steps", 0)
    assert command("finetune", DIGITS, folder / "small.onnx", *given) == 2
    error = capsys.readouterr().err
    assert "out.onnx.checkpoint" in error and "delete" in error
    assert len(error.strip().splitlines()) == 1
    assert path.read_bytes() == before


def test_without_a_plan_values_of_equal_shape_are_compared(folder: Path, tmp_path: Path) -> None:
    from irprune.torch import finetune

    found = finetune(DIGITS, folder / "small.onnx", folder / "images.npz", steps=60, block_steps=0)
    assert found.plan is None
    assert found.after.error < found.before.error


def test_minutes_choose_a_number_of_steps(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = ("--data", folder / "images.npz", "--minutes", 0.005, "--block-steps", 0, "--json")
    assert command("finetune", DIGITS, folder / "small.onnx", "-o", tmp_path / "out.onnx", *given) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["steps"] >= 1
    stored = {entry.key: entry.value for entry in onnx.load(tmp_path / "out.onnx").metadata_props}
    assert stored["irprune.finetune_steps"] == f"0+{body['steps']}"


def test_mirrored_and_mixed_images_are_trained_on(folder: Path) -> None:
    from irprune.torch import finetune

    found = finetune(
        DIGITS, folder / "small.onnx", folder / "images.npz", steps=2, block_steps=2, flip=True, mixup=True
    )
    assert found.after.error <= found.before.error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--steps", 0), "steps must be at least 1"),
        (("--minutes", -1), "minutes must be more than 0"),
        (("--steps", 5, "--minutes", 1), "not both"),
        (("--block-steps", -1), "block_steps must be at least 0"),
        (("--write-plan", "x.json"), "needs --plan"),
        (("--min-cosine", 0.9), "needs --plan"),
    ],
)
def test_options_that_cannot_be_meant_are_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], said: str
) -> None:
    out = tmp_path / "out.onnx"
    given = ("--data", folder / "images.npz", "-o", out)
    assert command("finetune", DIGITS, folder / "small.onnx", *given, *options) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not out.exists()


def test_a_plan_of_another_model_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = onnx.load(DIGITS)
    other.producer_name = "another"
    onnx.save(other, tmp_path / "other.onnx")
    given = ("--data", folder / "images.npz", "--plan", folder / "plan.json", "-o", tmp_path / "out.onnx")
    assert command("finetune", tmp_path / "other.onnx", folder / "small.onnx", *given, *QUICK) == 2
    assert "plan" in capsys.readouterr().err


def test_a_model_that_cannot_be_trained_is_refused_before_training(folder: Path) -> None:
    from irprune.torch import finetune

    text = '<ir_version: 8, opset_import: ["" : 17]> m (float[n,4] x) => (float[n,4] y) { y = Relu(x) }'
    with pytest.raises(InputError, match="no weights that could be trained"):
        finetune(onnx.parser.parse_model(text), onnx.parser.parse_model(text), np.zeros((4, 4), np.float32))


def test_an_interrupted_file_leaves_the_input_alone(folder: Path, tmp_path: Path) -> None:
    small = shutil.copy(folder / "small.onnx", tmp_path / "small.onnx")
    given = ("--data", folder / "images.npz", "-o", small, "--steps", 1)
    assert command("finetune", DIGITS, small, *given) == 2
    assert Path(small).read_bytes() == (folder / "small.onnx").read_bytes()


PRUNING = ("--macs", 0.2, "--plan", "plan.json", "--data")


def test_one_command_prunes_and_trains_to_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data, length = folder / "images.npz", ("--steps", 40, "--block-steps", 20)
    assert command("prune", DIGITS, "-o", "small.onnx", *PRUNING, data) == 0
    given = ("--plan", "plan.json", "--write-plan", "tuned.json", "--data", data)
    assert command("finetune", DIGITS, "small.onnx", "-o", "two.onnx", *given, *length) == 0
    capsys.readouterr()
    assert command("prune", DIGITS, "-o", "one.onnx", *PRUNING, data, *length, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["training"]["steps"] == 40
    assert said["training"]["after"]["error"] <= said["training"]["before"]["error"]
    assert said["verified"]
    assert Path("one.onnx").read_bytes() == Path("two.onnx").read_bytes()
    assert json.loads(Path("plan.json").read_text())["updated"] == json.loads(Path("tuned.json").read_text())["updated"]
    assert command("verify", DIGITS, "one.onnx", "--plan", "plan.json") == 0
    assert not Path("one.onnx.checkpoint").exists()


def test_training_that_cannot_be_is_said_before_the_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("irprune.cli.work.recover", lambda *_: pytest.fail("time was spent"))
    half = onnx.load(DIGITS)
    for tensor in half.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
            )
    for value in (*half.graph.input, *half.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    del half.graph.value_info[:]
    onnx.save(half, "half.onnx")
    data = folder / "images.npz"
    np.savez("half.npz", **{name: array.astype(np.float16) for name, array in np.load(data).items()})
    cases = {
        "training needs float32": ("half.onnx", "--data", "half.npz", "--minutes", 1),
        "give --data": (DIGITS, "--minutes", 1),
        "ask for it with --minutes or --steps": (DIGITS, "--data", data, "--mixup"),
        "not both": (DIGITS, "--data", data, "--minutes", 1, "--steps", 1),
        "for a single ONNX model": (DIGITS, folder / "small.onnx", "--data", data, "--steps", 1),
    }
    for said, given in cases.items():
        assert command("prune", *given, "-o", "out.onnx", "--macs", 0.5) == 2, said
        error = capsys.readouterr().err
        assert said in error
        assert len(error.strip().splitlines()) == 1
    assert not Path("out.onnx").exists()


def test_training_without_torch_is_refused_in_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import irprune.torch

    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("finetune", "require_trainable"):
        monkeypatch.delitem(vars(irprune.torch), name, raising=False)
    given = ("--macs", 0.5, "--data", folder / "images.npz", "--minutes", 1)
    assert command("prune", DIGITS, "-o", tmp_path / "out.onnx", *given) == 2
    error = capsys.readouterr().err
    assert "needs PyTorch: pip install irprune[torch]" in error
    assert len(error.strip().splitlines()) == 1
