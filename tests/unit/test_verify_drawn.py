"""Random numbers that a model draws: fixed ones take their place where models are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from irprune.cli import run
from irprune.runtime.executable import Executable
from irprune.verification.cutting import runnable_part
from tests.golden.helpers.models import model_of

MODELS = {
    "RandomNormalLike": "n = RandomNormalLike<mean = 1.0, scale = 2.0>(h)",
    "RandomUniformLike": "n = RandomUniformLike<low = 1.0, high = 3.0>(h)",
    "Bernoulli": "p = Sigmoid(h) n = Bernoulli(p)",
    "RandomNormal": "n = RandomNormal<mean = 1.0, scale = 2.0, shape = [40, 64]>()",
    "RandomUniform": "n = RandomUniform<low = 1.0, high = 3.0, shape = [40, 64]>()",
}
"""Each draws numbers that are added to what a hidden layer computes."""


def model(drawing: str, opset: int = 20) -> onnx.ModelProto:
    return model_of(
        f"(float[40, 8] x) => (float[40, 4] y, float[40, 64] n) <float[8, 32] a, float[32, 64] b, float[64, 4] c> "
        f"{{ g = MatMul(x, a) r = Relu(g) h = MatMul(r, b) {drawing} s = Add(h, n) y = MatMul(s, c) }}",
        opset=opset,
    )


def feeds() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)}


@pytest.mark.parametrize("op", sorted(MODELS))
def test_two_runs_give_the_same_numbers(op: str) -> None:
    found, lines = runnable_part(Executable(model(MODELS[op])))
    assert lines == ("1 nodes draw random numbers: fixed ones took their place in every model that was run",)
    first, second = (Executable(found.proto).run(feeds(), optimize=optimize)["n"] for optimize in (False, True))
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) == (2 if op == "Bernoulli" else first.size)


@pytest.mark.parametrize(
    ("op", "mean", "deviation"), [("RandomNormalLike", 1.0, 2.0), ("RandomUniformLike", 2.0, 3**-0.5)]
)
def test_the_numbers_have_the_mean_and_the_deviation_of_the_random_ones(op: str, mean: float, deviation: float) -> None:
    found, _ = runnable_part(Executable(model(MODELS[op])))
    numbers = found.run(feeds())["n"]
    assert numbers.dtype == np.float32
    assert abs(numbers.mean() - mean) < 0.01
    assert abs(numbers.std() - deviation) < 0.01


def test_a_model_that_draws_nothing_is_left_alone() -> None:
    given = Executable(model("n = Sin(h)"))
    found, lines = runnable_part(given)
    assert found is given
    assert lines == ()


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike"])
def test_a_model_that_draws_numbers_is_pruned_and_verified(
    op: str, opset: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, small = tmp_path / "model.onnx", tmp_path / "small.onnx"
    onnx.save(model(MODELS[op], opset), path)
    assert run(["prune", str(path), "-o", str(small), "--ratio", "0.5", "--align", "1"]) == 0
    assert {t.name: list(t.dims) for t in onnx.load(small).graph.initializer}["b"] == [16, 64]
    assert op in {node.op_type for node in onnx.load(small).graph.node}
    assert "draw random" in " ".join(capsys.readouterr().out.split())
