"""Residual branches that go whole: those that add nothing are found, and the others stay what they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from irprune.cli.app import run
from irprune.models.export import randomize, write_onnx
from irprune.models.library import run as run_model
from tests.e2e.zoo_support import Exports, one_torch_thread

WIDTH, LAYERS = 16, 12
IDLE = (2, 5, 9)


class Layer(nn.Module):
    """A transformer block whose sublayers are added to a normalized stream, or normalized behind the sum."""

    def __init__(self, *, normalize_first: bool) -> None:
        super().__init__()
        self.normalize_first = normalize_first
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def attention(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (2, WIDTH // 2)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        weights = torch.softmax(q @ k.transpose(-1, -2) / (WIDTH // 2) ** 0.5, -1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        if self.normalize_first:
            x = x + self.attention(self.first(x))
            return x + self.down(torch.relu(self.up(self.second(x))))
        x = self.first(x + self.attention(x))
        return self.second(x + self.down(torch.relu(self.up(x))))


def transformer(path: Path, *, normalize_first: bool = True) -> Path:
    """Twelve layers and a head; the output projections of three layers are zero."""
    layers = [Layer(normalize_first=normalize_first) for _ in range(LAYERS)]
    module = nn.Sequential(nn.Linear(5, WIDTH), *layers, nn.Linear(WIDTH, 4))
    randomize(module, 0)
    with torch.no_grad():
        for number in IDLE:
            for projection in (layers[number].out, layers[number].down):
                projection.weight.zero_()
                projection.bias.zero_()
    with one_torch_thread():
        example = (torch.randn(2, 7, 5),)
        write_onnx(module, example, path, exporter="torchscript", names=["x"], dynamic=[{0: "batch"}])
    return path


def irprune(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def feeds(seed: int = 1, batch: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(seed).standard_normal((batch, 7, 5)).astype(np.float32)}


def layers_of(plan: Path, idle: tuple[int, ...] = IDLE) -> list[int]:
    """The layers whose branches go, from the names of values, once for each branch."""
    body = json.loads(plan.read_text())
    assert body["kind"] == "drop"
    return [int(each["result"].split("/")[1]) - 1 for each in body["dropped"]]


@pytest.mark.parametrize("count", [("--blocks", 3), ("--branches", 6), ("--depth", 0.75)])
def test_idle_blocks_go_and_no_others(count: tuple[str, float], tmp_path: Path) -> None:
    model = transformer(tmp_path / "model.onnx")
    small, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    assert irprune("drop", model, "-o", small, *count, "--plan", plan) == 0
    assert layers_of(plan) == [layer for layer in IDLE for _ in range(2)]
    want, got = run_model(model, feeds()), run_model(small, feeds())
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-6 * float(np.abs(value).max()))
    matrices = [
        sum(node.op_type in ("MatMul", "Gemm") for node in onnx.load(path).graph.node) for path in (model, small)
    ]
    assert matrices == [2 + 6 * 12, 2 + 6 * 9]


def test_data_find_idle_blocks_too(tmp_path: Path) -> None:
    """Large weights before a zero projection do not count."""
    model = transformer(tmp_path / "model.onnx")
    small, plan, data = tmp_path / "small.onnx", tmp_path / "plan.json", tmp_path / "data.npz"
    np.savez(data, **feeds(2, 80))
    assert irprune("drop", model, "-o", small, "--blocks", 4, "--data", data, "--plan", plan) == 0
    found = layers_of(plan)
    assert len(found) == 8
    assert set(IDLE) < set(found)


def test_a_layer_behind_the_sum_stays(tmp_path: Path) -> None:
    """Where the norm stands behind the sum, a dropped branch leaves it."""
    model = transformer(tmp_path / "model.onnx", normalize_first=False)
    small, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    assert irprune("drop", model, "-o", small, "--blocks", 3, "--plan", plan) == 0
    assert layers_of(plan) == [layer for layer in IDLE for _ in range(2)]


def zeroed(path: Path, plan: Path, out: Path) -> Path:
    """The original whose last weights of each dropped branch are zero: of convolutions, written without irprune."""
    proto = onnx.load(path)
    makers = {output: node for node in proto.graph.node for output in node.output}
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    for each in json.loads(plan.read_text())["dropped"]:
        node = makers[each["branch"]]
        assert node.op_type == "Conv"
        for name in node.input[1:]:
            stored[name].CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(stored[name])), name))
    onnx.save(proto, out)
    return out


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_blocks_of_convolutional_networks_go(name: str, exports: Exports, tmp_path: Path) -> None:
    model, small, plan = exports(name), tmp_path / "small.onnx", tmp_path / "plan.json"
    assert irprune("drop", model, "-o", small, "--blocks", 2, "--plan", plan) == 0
    inputs = {"input": np.random.default_rng(1).standard_normal((1, 3, 32, 32)).astype(np.float32)}
    want = run_model(zeroed(model, plan, tmp_path / "zeroed.onnx"), inputs)
    got = run_model(small, inputs)
    for output, value in want.items():
        np.testing.assert_allclose(got[output], value, rtol=0, atol=1e-5 * float(np.abs(value).max()))


def test_a_plan_is_applied_and_verified_again(exports: Exports, tmp_path: Path) -> None:
    model = exports("resnet18")
    small, plan, again = tmp_path / "small.onnx", tmp_path / "plan.json", tmp_path / "again.onnx"
    assert irprune("drop", model, "-o", small, "--blocks", 1, "--plan", plan) == 0
    assert irprune("apply", model, plan, "-o", again) == 0
    assert again.read_bytes() == small.read_bytes()
    assert irprune("verify", model, small, "--plan", plan) == 0


def test_another_branch_than_the_planned_one_is_found(
    exports: Exports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, small, plan = exports("resnet18"), tmp_path / "small.onnx", tmp_path / "plan.json"
    assert irprune("drop", model, "-o", small, "--blocks", 1, "--plan", plan) == 0
    body = json.loads(plan.read_text())
    other = tmp_path / "other.json"
    assert irprune("drop", model, "-o", tmp_path / "two.onnx", "--blocks", 2, "--plan", other) == 0
    (mine,) = body["dropped"]
    body["dropped"] = [each for each in json.loads(other.read_text())["dropped"] if each != mine]
    plan.write_text(json.dumps(body))
    capsys.readouterr()
    assert irprune("verify", model, small, "--plan", plan) == 1
    said = capsys.readouterr()
    assert (
        "is in neither the original nor what the plan leaves" in said.out + said.err or "missing" in said.out + said.err
    )


@pytest.mark.parametrize(
    ("name", "options", "code", "message"),
    [
        ("resnet18", (), 2, "give exactly one of --blocks, --branches and --depth, got none"),
        ("resnet18", ("--blocks", 1, "--depth", 0.5), 2, "got --blocks, --depth"),
        ("resnet18", ("--blocks", 4), 1, "4 blocks are to go, and there are 4; one has to stay"),
        ("resnet18", ("--depth", 0.95), 1, "--depth 0.95: that rounds to none of 4 blocks"),
        ("vgg16", ("--blocks", 1), 2, "there is no residual branch with weights whose ends agree"),
    ],
)
def test_requests_that_cannot_be_met(
    name: str,
    options: tuple[object, ...],
    code: int,
    message: str,
    exports: Exports,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert irprune("drop", exports(name), "-o", tmp_path / "small.onnx", *options) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
