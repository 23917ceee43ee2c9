"""A model that was fine-tuned after the pruning is verified: its weights, and nothing else, may differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import irprune
from irprune.cli import run
from irprune.errors import InputError
from irprune.plans import Plan
from irprune.torch import from_onnx, write_back
from irprune.verification import Report
from irprune.verification.verdicts import verdicts

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits.onnx"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What README tells: pruned, trained on the original's answers, and written back with the plan."""
    made = tmp_path_factory.mktemp("tuned")
    assert (
        run(["prune", str(DIGITS), "-o", str(made / "smaller.onnx"), "--macs", "0.5", "--plan", str(made / "p.json")])
        == 0
    )
    torch.manual_seed(0)
    teacher, student = from_onnx(DIGITS), from_onnx(made / "smaller.onnx")
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    for _ in range(20):
        x = torch.rand(32, 1, 8, 8)
        with torch.no_grad():
            wanted = teacher(x)
        loss = torch.nn.functional.mse_loss(student(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    plan = Plan.load(made / "p.json")
    _, tuned = write_back(student, made / "smaller.onnx", made / "tuned.onnx", plan=plan)
    assert tuned.updated
    tuned.save(made / "tuned.json")
    return made


def edited(folder: Path, change: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    model = onnx.load(folder / "tuned.onnx")
    change(model)
    return model


def weight(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def verified(folder: Path, model: onnx.ModelProto | Path, plan: str = "tuned.json", tuned: bool = False) -> Report:
    return irprune.verify(DIGITS, model, Plan.load(folder / plan), tuned=tuned)


@pytest.mark.parametrize("arguments", [("tuned.json",), ("tuned.json", "--tuned"), ("p.json", "--tuned")])
def test_the_story_of_the_readme_ends_verified(folder: Path, arguments: tuple[str, ...]) -> None:
    plan, *flags = arguments
    report = str(folder / "r.json")
    files = [str(DIGITS), str(folder / "tuned.onnx"), "--plan", str(folder / plan)]
    assert run(["verify", *files, *flags, "--json", report]) == 0
    found = json.loads(Path(report).read_text())
    assert found["ok"] is True
    assert found["equivalence"]["error"] < 1e-5


def test_trained_weights_are_no_slices(folder: Path) -> None:
    report = verified(folder, folder / "tuned.onnx", "p.json")
    assert not report.structure.ok
    assert not report.equivalence.ok


def test_the_metadata_names_the_new_plan(folder: Path) -> None:
    props = {entry.key: entry.value for entry in onnx.load(folder / "tuned.onnx").metadata_props}
    assert props["irprune.plan_sha256"] == Plan.load(folder / "tuned.json").digest


def test_a_change_after_the_training_is_caught(folder: Path) -> None:
    name = "down.conv.weight"

    def change(model: onnx.ModelProto) -> None:
        array = numpy_helper.to_array(weight(model, name)).copy()
        array.flat[3] += 1e-6
        weight(model, name).CopyFrom(numpy_helper.from_array(array, name))

    report = verified(folder, edited(folder, change))
    assert report.structure.problems == (
        f"tensor '{name}': its values are not those that the plan has the digest of: it was changed afterwards",
    )
    report = verified(folder, edited(folder, change), tuned=True)
    assert report.ok, report.failures()
    assert report.structure.other_values == 1
    assert "1 with values that the plan does not record" in verdicts(report)[0].lines


def test_a_plan_without_digests_takes_the_weights_as_they_are(folder: Path) -> None:
    report = verified(folder, folder / "tuned.onnx", "p.json", tuned=True)
    assert report.ok, report.failures()
    assert report.structure.other_values == len(Plan.load(folder / "tuned.json").updated)
    assert "with values that the plan does not record" in verdicts(report)[0].words


def test_unchanged_and_updated_tensors_are_counted_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    updated = len(Plan.load(folder / "tuned.json").updated)
    arguments = ["verify", str(DIGITS), str(folder / "tuned.onnx"), "--plan", str(folder / "tuned.json")]
    assert run([*arguments, "--json", str(folder / "r.json")]) == 0
    found = json.loads((folder / "r.json").read_text())["structure"]
    assert (found["updated"], found["other_values"]) == (updated, 0)
    assert found["unchanged"] + found["made"] == found["tensors"] - updated
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{found['unchanged']} tensor" in shown
    assert f"{updated} with updated values that the plan has digests of" in shown


@pytest.mark.parametrize("plan", ["p.json", "tuned.json"])
def test_a_wrong_graph_is_caught_all_the_same(folder: Path, plan: str) -> None:
    def other_activation(model: onnx.ModelProto) -> None:
        next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Neg"

    def longer_bias(model: onnx.ModelProto) -> None:
        bias = next(t for t in model.graph.initializer if len(t.dims) == 1 and t.data_type == onnx.TensorProto.FLOAT)
        array = numpy_helper.to_array(bias)
        bias.CopyFrom(numpy_helper.from_array(np.append(array, array[-1:]), bias.name))

    for change in (other_activation, longer_bias):
        report = verified(folder, edited(folder, change), plan, tuned=plan == "p.json")
        assert not report.ok
        assert report.failures()


def test_what_was_not_trained_stays_as_it_was(folder: Path, tmp_path: Path) -> None:
    module = from_onnx(folder / "smaller.onnx")
    plan = Plan.load(folder / "p.json")
    _, same = write_back(module, folder / "smaller.onnx", tmp_path / "same.onnx", plan=plan)
    assert same.updated == {}
    assert irprune.verify(DIGITS, tmp_path / "same.onnx", same).ok
    with pytest.raises(InputError, match=r"initializer .* has shape"):
        write_back(module, DIGITS, tmp_path / "other.onnx", plan=plan)
