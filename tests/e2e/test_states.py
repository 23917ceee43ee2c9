"""Cells whose state the caller feeds back: pruned on the command line, then run for several steps on ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import irprune as package
from irprune.cli import run
from tests.e2e.scatter import Array, masked, slices_of
from tests.golden.helpers.models import model_of
from tests.unit.test_states import CACHE, CONV_LSTM, ELMAN


def steps(model: onnx.ModelProto, states: dict[str, str], count: int = 4) -> list[dict[str, Array]]:
    """The outputs of several steps; each state starts from zeros and is what the step before returned."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    feeds = {each.name: np.zeros(each.shape, np.float32) for each in session.get_inputs()}
    found = []
    for step in range(count):
        rng = np.random.default_rng(step)
        feeds.update(
            {
                each.name: rng.standard_normal(each.shape).astype(np.float32)
                for each in session.get_inputs()
                if each.name not in states
            }
        )
        found.append(dict(zip(names, session.run(names, feeds), strict=True)))
        feeds.update({before: found[-1][after] for before, after in states.items()})
    return found


@pytest.mark.parametrize(
    ("text", "states", "compared"),
    [
        (ELMAN.format(h="before", after="after"), {"before": "after"}, ["y"]),
        (CONV_LSTM, {"h": "h_next", "c": "c_next"}, []),
        (CACHE, {"in_cache0": "out_cache0"}, ["y"]),
    ],
    ids=["elman", "convlstm", "cache"],
)
def test_a_state_that_is_fed_back(text: str, states: dict[str, str], compared: list[str], tmp_path: Path) -> None:
    model, out, plan = model_of(text), tmp_path / "small.onnx", tmp_path / "plan.json"
    onnx.save(model, tmp_path / "model.onnx")
    options = [word for before, after in states.items() for word in ("--state", f"{before}={after}")]
    arguments = ["prune", tmp_path / "model.onnx", "-o", out, "--ratio", 0.5, "--align", 1, "--plan", plan, *options]
    assert run([str(word) for word in arguments]) == 0
    small = onnx.load(out)
    shapes = {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in small.graph.input}
    shapes |= {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in small.graph.output}
    for before, after in states.items():
        assert shapes[before] == shapes[after]
        assert shapes[before][1] == {"before": 8, "h": 3, "c": 3, "in_cache0": 6}[before]
    expected = steps(masked(model, small, slices_of(plan.read_text())), states)
    for one, other in zip(expected, steps(small, states), strict=True):
        for name in compared:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-5)
        for after in states.values():
            assert np.isfinite(other[after]).all()
    assert run(["verify", str(tmp_path / "model.onnx"), str(out), "--plan", str(plan)]) == 0
    assert json.loads(plan.read_text())["request"]["states"] == [f"{b}={a}" for b, a in states.items()]


def test_a_pair_that_nobody_declared_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model_of(ELMAN.format(h="before", after="after")), path)
    options = ["--ratio", "0.5", "--allow-io", "before", "--allow-io", "after"]
    assert run(["prune", str(path), "-o", str(tmp_path / "small.onnx"), *options]) == 0
    assert "say so with --state before=after" in " ".join(capsys.readouterr().err.split())
    with pytest.warns(UserWarning, match="--state before=after"):
        package.plan(path, ratio=0.5, align=1, allow_io=["before", "after"])


def test_a_state_that_the_model_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model_of(ELMAN.format(h="before", after="after")), path)
    assert run(["plan", str(path), "-o", str(tmp_path / "p.json"), "--ratio", "0.5", "--state", "h=after"]) == 2
    assert "'h' matches no input" in capsys.readouterr().err


def test_inspect_names_states_and_what_looks_like_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model_of(CONV_LSTM), path)
    assert run(["inspect", str(path), "--state", "h=h_next", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["states"], found["possible_states"]) == ([["h", "h_next"]], [["c", "c_next"]])
    assert run(["inspect", str(path)]) == 0
    assert "--state h=h_next --state c=c_next" in " ".join(capsys.readouterr().out.split())
