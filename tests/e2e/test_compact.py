"""Channels that are planted dead or constant go from exported models, and every output stays what it was.

irprune's own verification has to pass; the outputs are compared once more here, on ONNX Runtime alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from irprune.cli.app import run
from irprune.models.zoo import ZOO
from tests.e2e.planting import Planted, plant, plant_idle_units
from tests.e2e.zoo_support import Exports, Variant

if TYPE_CHECKING:
    from irprune.models.library import Library

DIGITS = Path(__file__).parents[2] / "irprune" / "models" / "digits.onnx"
BATCHNORM = Variant(folded=False)
Outputs = dict[str, np.ndarray]


def irprune(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def outputs(path: Path, feeds: dict[str, np.ndarray]) -> Outputs:
    from irprune.models.library import run as run_model

    return run_model(path, feeds)


def check_same(before: Path, after: Path, feeds: dict[str, np.ndarray]) -> None:
    """Equal up to float rounding."""
    want, got = outputs(before, feeds), outputs(after, feeds)
    assert want.keys() == got.keys()
    for name, value in want.items():
        assert value.shape == got[name].shape
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-5 * float(np.abs(value).max()))


def removed(plan: Path) -> Planted:
    body = json.loads(plan.read_text())
    assert body["kind"] == "compact"
    return {group["name"]: tuple(group["removed"]) for group in body["groups"]}


def compact(model: Path, folder: Path) -> tuple[Path, Path]:
    small, plan = folder / "small.onnx", folder / "plan.json"
    assert irprune("compact", model, "-o", small, "--plan", plan) == 0
    assert small.stat().st_size < model.stat().st_size
    return small, plan


def zoo_feeds(name: str) -> dict[str, np.ndarray]:
    shape = ZOO[name].tiny_shape
    return {"input": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resnet18", 0.0),
        ("resnet20_option_a", 0.0),
        ("mobilenet_v2", 0.0),
        ("mobilenet_v2", 0.25),
        ("mobilenet_v3_small", 0.25),
        ("densenet121", 0.0),
        ("mnasnet1_0", 0.25),
    ],
)
def test_every_planted_channel_goes(name: str, value: float, exports: Exports, tmp_path: Path) -> None:
    """Constants stay where a 3x3 window hangs over the border; the 3x3 convolutions of MobileNets are depthwise."""
    planted = tmp_path / "planted.onnx"
    wanted = plant(exports(name, BATCHNORM), planted, value=value)
    small, plan = compact(planted, tmp_path)
    assert removed(plan) == wanted
    check_same(planted, small, zoo_feeds(name))


@pytest.mark.parametrize("name", ["bert_eager", "llama_eager"])
def test_every_planted_channel_of_a_transformer_goes(name: str, library: Library, tmp_path: Path) -> None:
    from irprune.models.library import feeds

    planted = tmp_path / "planted.onnx"
    wanted = plant(library.architecture(name, "torchscript", True), planted)
    small, plan = compact(planted, tmp_path)
    assert removed(plan) == wanted
    check_same(planted, small, feeds(name))


@pytest.mark.parametrize("name", ["lstm_tagger", "gru_tagger"])
def test_idle_units_of_recurrent_cells_go(name: str, library: Library, tmp_path: Path) -> None:
    from irprune.models.library import feeds

    planted = tmp_path / "planted.onnx"
    cells = plant_idle_units(library.architecture(name, "torchscript", True), planted, (1, 5, 11))
    small, plan = compact(planted, tmp_path)
    assert list(removed(plan).values()) == [(1, 5, 11)] * cells
    check_same(planted, small, feeds(name))


def test_a_plan_is_applied_and_verified_again(exports: Exports, tmp_path: Path) -> None:
    planted, again = tmp_path / "planted.onnx", tmp_path / "again.onnx"
    plant(exports("mobilenet_v2", BATCHNORM), planted, value=0.25)
    small, plan = compact(planted, tmp_path)
    assert irprune("apply", planted, plan, "-o", again) == 0
    assert again.read_bytes() == small.read_bytes()
    assert irprune("verify", planted, small, "--plan", plan) == 0
    proto = onnx.load(small)
    bias = next(t for t in proto.graph.initializer if t.name in json.loads(plan.read_text())["updated"])
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 1, bias.name))
    onnx.save(proto, small)
    assert irprune("verify", planted, small, "--plan", plan) == 1


def test_nothing_to_compact_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.onnx"
    assert irprune("compact", DIGITS, "-o", out) == 1
    said = capsys.readouterr().err
    assert said == "irprune: error: nothing to compact: no channel is zero or constant for all inputs\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image=1,0", "expected NAME=LO,HI with LO at most HI, both finite, got 'image=1,0'"),
        ("image=0", "expected NAME=LO,HI, such as image=0,1, got 'image=0'"),
        ("image=0,inf", "both finite"),
        ("picture=0,1", "--range 'picture' is no input; there are image"),
    ],
)
def test_a_range_that_makes_no_sense(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert irprune("compact", DIGITS, "-o", tmp_path / "small.onnx", "--range", text) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
