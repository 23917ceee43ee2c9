"""Measurements side by side: statistics, profiles, and what cannot be measured."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from irprune.bench.bench import Settings, bench
from irprune.bench.profile import Profile, widest
from irprune.bench.runners import Timed, runner_of
from irprune.bench.timing import Latency, measure, ratio
from irprune.errors import InputError
from tests.golden.helpers.models import model_of

OPEN = "(float[N, 3, H, 8] x) => (float[N, 8, H, 8] y) <float[8, 3, 1, 1] w> { y = Conv(x, w) }"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(model_of(OPEN), path)
    return path


# -- statistics --------------------------------------------------------------------------------------------------------


def test_models_take_turns_and_every_second_round_goes_backwards() -> None:
    seen: list[str] = []
    times = measure([lambda: seen.append("a"), lambda: seen.append("b")], rounds=3, warm_up=1)
    assert "".join(seen) == "ab" + "ab" + "ba" + "ab"
    assert times.shape == (2, 3) and (times >= 0).all()


def test_a_limit_of_seconds_leaves_a_few_rounds() -> None:
    """Each round takes longer than the limit: the fewest that a comparison needs are made."""
    times = measure([lambda: time.sleep(0.002)], rounds=50, warm_up=0, seconds=0.0)
    assert times.shape == (1, 5)


def test_outliers_move_neither_the_ratio_nor_its_interval_away() -> None:
    """Every tenth round of one model meets a busy machine."""
    rng = np.random.default_rng(0)
    slow, fast = 10 + rng.normal(0, 0.1, 60), 5 + rng.normal(0, 0.1, 60)
    fast[::10] += 100
    found = ratio(slow, fast)
    assert found.value == pytest.approx(2, abs=0.03)
    assert 1.95 < found.low < found.value < found.high < 2.05
    assert not found.is_slower and ratio(fast, slow).is_slower


def test_equal_models_are_not_called_slower() -> None:
    rng = np.random.default_rng(1)
    times = rng.gamma(4, 1, (2, 60))
    found = ratio(*times)
    assert found.low < 1 < found.high and not found.is_slower


def test_two_rounds_prove_nothing() -> None:
    found = ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
    assert (found.value, found.low, found.high) == (0.5, 0, float("inf"))


def test_a_latency_is_a_median_with_its_quartiles() -> None:
    assert Latency.of(np.array([4.0, 1.0, 3.0, 2.0, 5.0])) == Latency(3.0, 2.0, 4.0, 1.0)


# -- profiles ----------------------------------------------------------------------------------------------------------

BEFORE = [Timed("y_nchwc", "Conv", 2.0), Timed("z_nchwc", "Conv", 4.0)] * 2
AFTER = [
    *[Timed("y_nchwc", "Conv", 1.0), Timed("second", "FusedConv", 6.0)] * 2,
    *[Timed("ReorderInput", "ReorderInput", 0.5), Timed("ReorderOutput_token_1", "ReorderOutput", 1.5)] * 2,
]


def test_a_profile_sums_runs_by_operator_and_names_what_left_the_layout() -> None:
    before, after = Profile.of(BEFORE, 2), Profile.of(AFTER, 2)
    assert [(s.name, s.ms, s.nodes) for s in before.operators] == [("Conv", 6.0, 2)]
    assert [(s.name, s.ms) for s in after.nodes[:2]] == [("second", 6.0), ("ReorderOutput_token_1", 1.5)]
    assert (before.reorders.nodes, after.reorders.nodes, after.reorders.ms) == (0, 2, 2.0)
    assert before.blocked == ("y", "z") and after.plain == ("second",)
    assert after.lost(before) == ["second"] and before.lost(before) == []


def test_a_runtime_without_the_layout_loses_nothing() -> None:
    plain = Profile.of([Timed("second", "Conv", 1.0)], 1)
    assert plain.lost(Profile.of([Timed("first", "Conv", 1.0)], 1)) == []


def test_the_tail_of_a_list_is_one_entry() -> None:
    found = Profile.of([Timed(str(k), f"op{k}", float(k)) for k in range(1, 6)], 1)
    assert [(s.name, s.ms, s.nodes) for s in widest(found.operators, 2)] == [
        ("op5", 5.0, 1),
        ("op4", 4.0, 1),
        ("others", 6.0, 3),
    ]


# -- whole models ------------------------------------------------------------------------------------------------------


def test_a_model_is_measured_at_the_shape_that_is_asked_for(model: Path) -> None:
    found = bench([model, model], Settings(runs=6, profile=True), shapes={"x": (2, 3, 16, 8)})
    first, second = found.models
    assert found.shapes == {"x": (2, 3, 16, 8)}
    assert first.bytes == model.stat().st_size and first.ratio is None and second.ratio is not None
    assert first.peak is not None and first.peak > 10_000_000
    assert first.profile is not None and first.profile.ms > 0
    body = found.as_json()
    assert body["format"] == "irprune.bench/1" and body["runtime"] == "onnxruntime" and body["threads"] == 1
    assert set(body["models"][1]) == {"path", "bytes", "ms", "times_as_fast", "peak_bytes", "profile"}


def test_open_sizes_without_a_request_are_a_batch_of_one(model: Path) -> None:
    assert bench([model], Settings(runs=1, memory=False)).shapes["x"][0] == 1


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(runs=0), "--runs must be at least 1, got 0"),
        (Settings(threads=0), "--threads must be at least 1, got 0"),
        (Settings(warm_up=-1), "--warm-up must be at least 0, got -1"),
        (Settings(provider="tpu"), "provider 'tpu' is not there; this ONNX Runtime has "),
        (Settings(runtime="tvm"), "unknown runtime 'tvm'; known: onnxruntime, openvino"),
    ],
)
def test_settings_that_cannot_be(model: Path, settings: Settings, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        bench([model], settings)


def test_a_shape_that_the_model_does_not_have(model: Path) -> None:
    with pytest.raises(InputError, match=r"^--shape x: the model declares "):
        bench([model], Settings(runs=1), shapes={"x": (1, 4, 8, 8)})


def test_a_model_that_does_not_run_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    onnx.save(model_of("(float[1, 3] x) => (float[2, 2] y) <int64[2] s = {2, 2}> { y = Reshape(x, s) }"), path)
    with pytest.raises(InputError, match=r"broken\.onnx does not run at x 1x3: "):
        bench([path], Settings(runs=1))


def test_openvino_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"runtime 'openvino' is not installed; pip install 'irprune\[openvino\]'"):
        runner_of("openvino", 1, "cpu")


def test_openvino_measures_and_profiles(model: Path) -> None:
    pytest.importorskip("openvino")
    found = bench([model, model], Settings(runtime="openvino", runs=6, profile=True))
    assert found.described["runtime"] == "openvino"
    assert found.models[0].profile is not None and found.models[0].profile.ms > 0
    with pytest.raises(InputError, match=r"^provider 'npux' is not there; this OpenVINO has "):
        runner_of("openvino", 1, "npux")
