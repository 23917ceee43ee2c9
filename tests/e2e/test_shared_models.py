"""Models that others exported, through the command line as a user types it: a process of its own for each command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

REAL = (
    "akamaster__pytorch_resnet_cifar10__resnet20.onnx",
    "akamaster__pytorch_resnet_cifar10__resnet20_int8_qdq.onnx",
    "dog-qiuqiu__FastestDet__FastestDet.onnx",
    "fastmachinelearning__qonnx__espcn_subpixel_float.onnx",
    "lovemefan__fsmn-vad__fsmnvad-offline.onnx",
    "microsoft__Windows-Machine-Learning__tutorial_image_classifier_cifar10.onnx",
    "microsoft__onnxruntime-inference-examples__mnist-8.onnx",
)

QUICK = (REAL[1], REAL[-1])
"""The quantized one and the smallest: each command takes a second or two."""

COARSE = {"microsoft__onnxruntime-inference-examples__mnist-8.onnx": 0.58}
"""Its two layers are left with 6 and 12 channels: 4 and 10 of them are 58.4 % of the cost, and nothing is nearer."""


def prune(source: Path, out: Path, *target: str) -> dict[str, Any]:
    """``irprune prune``, which has to succeed; the document that it prints."""
    command = [sys.executable, "-m", "irprune", "prune", str(source), "-o", str(out), *target, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def check(out: Path, plan: Path) -> tuple[float, float]:
    """The file is valid and its plan verified; the shares of parameters and multiply-accumulates that remain."""
    onnx.checker.check_model(str(out), full_check=True)
    body = json.loads(plan.read_text())
    found = body["verification"]
    assert found["structure"]["ok"], found["structure"]["problems"]
    assert found["equivalence"]["ok"], found["equivalence"]
    (params, fewer), (macs, less) = body["cost"]["params"], body["cost"]["macs"]
    return fewer / params, less / macs


def test_the_list_names_every_file(shared_models: Path) -> None:
    assert {path.name for path in shared_models.glob("*.onnx")} == set(REAL)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in REAL])
def test_half_goes_and_then_half_of_the_rest(name: str, shared_models: Path, tmp_path: Path) -> None:
    small, smaller = tmp_path / "small.onnx", tmp_path / "smaller.onnx"
    plans = [tmp_path / "first.json", tmp_path / "second.json"]
    prune(shared_models / name, small, "--ratio", "0.5", "--plan", str(plans[0]))
    first, _ = check(small, plans[0])
    prune(small, smaller, "--ratio", "0.5", "--plan", str(plans[1]))
    second, _ = check(smaller, plans[1])
    assert first < 0.75
    assert second < 1
    assert smaller.stat().st_size < small.stat().st_size < (shared_models / name).stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_pruned_model_meets_a_target_of_multiply_accumulates(name: str, shared_models: Path, tmp_path: Path) -> None:
    small, smaller, plan = tmp_path / "small.onnx", tmp_path / "smaller.onnx", tmp_path / "plan.json"
    prune(shared_models / name, small, "--ratio", "0.3", "--align", "1")
    prune(small, smaller, "--macs", "0.6", "--plan", str(plan), "--align", "1")
    _, macs = check(smaller, plan)
    assert COARSE.get(name, 0.6 * 0.99) <= macs <= 0.6 * 1.01


def test_no_channel_of_a_shuffle_network_is_looked_up_by_index(shared_models: Path, tmp_path: Path) -> None:
    """Converters for phones read a Gather by an index vector as a crop."""
    small, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    prune(
        shared_models / "dog-qiuqiu__FastestDet__FastestDet.onnx",
        small,
        "--ratio",
        "0.5",
        "--align",
        "1",
        "--plan",
        str(plan),
    )
    params, macs = check(small, plan)
    assert params < 0.30
    assert macs < 0.335
    proto = onnx.load(small)
    ranks = {tensor.name: len(tensor.dims) for tensor in proto.graph.initializer}
    ranks |= {node.output[0]: len(node.attribute[0].t.dims) for node in proto.graph.node if node.op_type == "Constant"}
    assert {ranks[node.input[1]] for node in proto.graph.node if node.op_type == "Gather"} == {0}
