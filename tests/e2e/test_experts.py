"""Whole experts of a mixture, through the command line: which ones go, what is left, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from irprune.cli import run
from tests.golden.helpers.models import model_of

TOKENS, WIDTH, EXPERTS, HIDDEN, TAKEN = 40, 8, 6, 5, 2
USED = (1, 2, 4)

STACKED = """(float[40, 8] x) => (float[40, 8] y)
<float[8, 6] router, float[6, 8, 5] up, float[6, 5, 8] down, float[8, 8] last, int64[1] k = {2}, int64[1] one = {1},
int64[2] ends = {2, 3}, int64[2] rows = {1, 2}>
{ logits = MatMul(x, router) scores = Softmax(logits) top, which = TopK(scores, k)
  u = Gather(up, which) x2 = Unsqueeze(x, rows) h = MatMul(x2, u) a = Relu(h) d = Gather(down, which) o = MatMul(a, d)
  g = Unsqueeze(top, ends) w = Mul(o, g) s = ReduceSum<keepdims = 0>(w, rows) y = MatMul(s, last) }
"""

FUSED = """(float[40, 8] x) => (float[40, 8] y)
<float[8, 6] router, float[6, 5, 8] up, float[6, 8, 5] down, float[8, 8] last>
{ logits = MatMul(x, router)
  s = com.microsoft.MoE<k = 2, activation_type = "relu", normalize_routing_weights = 0>(x, logits, up, "", down)
  y = MatMul(s, last) }
"""


def weights() -> dict[str, np.ndarray]:
    """Weights whose router never takes three of the experts for positive inputs; those have the largest norms."""
    rng = np.random.default_rng(3)
    router = rng.uniform(0.1, 1.0, (WIDTH, EXPERTS)).astype(np.float32)
    rare = [expert for expert in range(EXPERTS) if expert not in USED]
    router[:, rare] -= 3
    up = rng.standard_normal((EXPERTS, WIDTH, HIDDEN)).astype(np.float32)
    down = rng.standard_normal((EXPERTS, HIDDEN, WIDTH)).astype(np.float32)
    up[rare] *= 5
    return {
        "router": router,
        "up": up,
        "down": down,
        "last": rng.standard_normal((WIDTH, WIDTH)).astype(np.float32),
    }


@pytest.fixture(params=["stacked", "fused"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    numbers = weights()
    if request.param == "fused":
        numbers = {**numbers, **{name: numbers[name].transpose(0, 2, 1).copy() for name in ("up", "down")}}
    path = tmp_path / "mixture.onnx"
    onnx.save(model_of(STACKED if request.param == "stacked" else FUSED, numbers=numbers), path)
    return path


def tokens(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1.0, (TOKENS, WIDTH)).astype(np.float32)


def mixture(x: np.ndarray, kept: list[int]) -> np.ndarray:
    """The mixture of these experts in plain numpy."""
    numbers = weights()
    logits = x @ numbers["router"][:, kept]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    result = np.zeros_like(x)
    for row, own in enumerate(scores):
        for place in np.argsort(own)[-TAKEN:]:
            hidden = np.maximum(x[row] @ numbers["up"][kept[place]], 0)
            result[row] += own[place] * (hidden @ numbers["down"][kept[place]])
    return result @ numbers["last"]


def kept_in(path: Path) -> list[int]:
    """The experts whose matrices a file still has, by their values."""
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    router = weights()["router"]
    return [int(np.flatnonzero((router == column[:, None]).all(axis=0))[0]) for column in stored["router"].T]


def outputs(path: Path, x: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def command(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def test_the_mixture_in_numpy_is_that_of_the_model(model: Path) -> None:
    np.testing.assert_allclose(outputs(model, tokens()), mixture(tokens(), list(range(EXPERTS))), rtol=1e-4, atol=1e-4)


def test_experts_that_data_do_not_take_go(model: Path, tmp_path: Path) -> None:
    data, small = tmp_path / "tokens.npz", tmp_path / "small.onnx"
    np.savez(data, x=np.concatenate([tokens(seed) for seed in range(4)]))
    assert command("prune", model, "-o", small, "--experts", 0.5, "--data", data) == 0
    assert kept_in(small) == list(USED)
    np.testing.assert_allclose(outputs(small, tokens(9)), outputs(model, tokens(9)), rtol=1e-2, atol=1e-2)


def test_without_data_the_smallest_go(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.onnx"
    assert command("prune", model, "-o", small, "--experts", 0.34) == 0
    kept = kept_in(small)
    assert len(kept) == 4
    assert set(kept) >= set(range(EXPERTS)) - set(USED)
    np.testing.assert_allclose(outputs(small, tokens()), mixture(tokens(), kept), rtol=1e-4, atol=1e-4)


def test_experts_and_channels_go_together(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.onnx"
    assert command("prune", model, "-o", small, "--experts", 0.5, "--ratio", 0.4, "--align", 1) == 0
    stored = {t.name: numpy_helper.to_array(t).shape for t in onnx.load(small).graph.initializer}
    assert [stored[name].count(3) for name in ("up", "down")] == [2, 2]  # experts, and channels of each


def test_experts_stay_unless_asked_for(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.onnx"
    assert command("prune", model, "-o", small, "--ratio", 0.4, "--align", 1) == 0
    assert kept_in(small) == list(range(EXPERTS))


@pytest.mark.parametrize(
    "options", [("--experts", 0.9), ("--keep-only", "router:1=2"), ("--ratio", "kind:experts=0.9")]
)
def test_no_fewer_experts_than_are_taken_at_a_time(
    model: Path, tmp_path: Path, options: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small.onnx"
    assert command("prune", model, "-o", small, *options) == 2
    assert "has 6 experts, and 2 of them are taken at a time: at most 4 may go, 5 were" in capsys.readouterr().err
    assert not small.exists()


def test_a_model_without_experts_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    text = "(float[2, 4] x) => (float[2, 4] y) <float[4, 6] a, float[6, 4] b> { h = MatMul(x, a) y = MatMul(h, b) }"
    onnx.save(model_of(text), path)
    assert command("prune", path, "-o", small, "--experts", 0.5) == 2
    assert "--experts: the model has no mixture of experts that may lose any" in capsys.readouterr().err
    assert not small.exists()
