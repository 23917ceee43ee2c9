"""``irprune bench`` and ``prune --bench``: what is measured, printed and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from irprune.cli.app import run

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits.onnx"


def irprune(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def test_two_models_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.onnx"
    assert irprune("prune", DIGITS, "-o", out, "--macs", 0.5, "--no-bench") == 0
    capsys.readouterr()
    assert irprune("bench", DIGITS, out, "--runs", 6, "--profile", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["format"] == "irprune.bench/1" and body["shapes"] == {"image": [1, 1, 8, 8]}
    first, second = body["models"]
    assert first["bytes"] > second["bytes"] > 0 and first["times_as_fast"] is None
    assert second["times_as_fast"]["low"] <= second["times_as_fast"]["value"] <= second["times_as_fast"]["high"]
    assert sum(share["nodes"] for share in second["profile"]["operators"]) > 0
    assert irprune("bench", DIGITS, out, "--runs", 6, "--profile") == 0
    text = capsys.readouterr().out
    for expected in ("times as fast (95 %)", "peak MB", "layout reorders", "small.onnx by operator"):
        assert expected in text


def test_prune_measures_where_it_is_asked_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert irprune("prune", DIGITS, "-o", tmp_path / "small.onnx", "--macs", 0.5, "--bench", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert [Path(model["path"]).name for model in body["bench"]["models"]] == ["digits.onnx", "small.onnx"]
    assert irprune("prune", DIGITS, "-o", tmp_path / "small.onnx", "--macs", 0.5, "--json") == 0
    assert "bench" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((DIGITS, "--runs", 0), "--runs must be at least 1, got 0"),
        ((DIGITS, "--provider", "tpu"), "provider 'tpu' is not there; this ONNX Runtime has "),
        ((DIGITS, "--runtime", "tvm"), "unknown runtime 'tvm'; known: onnxruntime, openvino"),
        ((DIGITS, "--shape", "image=1,1,9,9"), "--shape image: the model declares "),
        (("missing.onnx",), "missing.onnx: no such file"),
        (("module.pt2",), "module.pt2: models are measured as ONNX files; export the program first"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert irprune("bench", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"irprune: error: {message}") and error.count("\n") == 1


def test_a_warning_names_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """On times that are made up: the smaller model takes twice as long."""
    import numpy as np

    from irprune.bench.bench import Bench, Measured, Settings
    from irprune.cli.slower import _warn_of
    from irprune.request import Request

    fast = np.linspace(10, 11, 20)

    def bench_of(times: np.ndarray) -> Bench:
        models = (
            Measured(Path("a.onnx"), 1, fast, None, None, None),
            Measured(Path("b.onnx"), 1, times, fast, None, None),
        )
        return Bench(Settings(), {}, {}, models)

    _warn_of(bench_of(2 * fast), Request(macs=0.5, align=1))
    _warn_of(bench_of(2 * fast), Request(macs=0.5))
    align, where = capsys.readouterr().err.splitlines()
    start = "irprune: warning: the smaller model is slower on ONNX Runtime: 21.00 ms, the original 10.50; "
    assert align == start + "--align auto keeps widths that it computes fast"
    assert where == start + "'irprune bench a.onnx b.onnx --profile' shows where"
    _warn_of(bench_of(fast / 2), Request(macs=0.5))
    _warn_of(bench_of(fast + 0.01), Request(macs=0.5))
    assert capsys.readouterr().err == ""
