"""Models of the zoo, from the module to the smaller module: verified, trained a step, written and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

import irprune.torch as it  # noqa: E402
from irprune.models import library  # noqa: E402
from irprune.models.export import example_inputs, randomise  # noqa: E402
from irprune.models.interface import instantiate  # noqa: E402
from irprune.models.zoo import ZOO  # noqa: E402


def build(name: str) -> tuple[Any, tuple[Tensor, ...]]:
    """The tiny model of that name in evaluation mode, with its example inputs."""
    if name in ZOO:
        model = ZOO[name].tiny()
        randomise(model, 0)
        return model.eval(), tuple(example_inputs(ZOO[name].tiny_shape))
    entry = library.ARCHITECTURES[name]
    return instantiate(entry).eval(), tuple(entry.example(0))


def loss_of(model: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    result = model(*inputs)
    first = result if isinstance(result, Tensor) else result[0]
    return first.float().square().mean()


@pytest.mark.parametrize("name", ["resnet18", "lstm_tagger", "gpt2"])
def test_pruned_in_half(name: str, tmp_path: Path) -> None:
    model, inputs = build(name)
    result = it.prune(model, inputs, ratio=0.5)
    assert result.report is not None and result.report.ok and result.report.runtime is not None
    assert result.plan.cost_after.params < result.plan.cost_before.params

    path = tmp_path / "small.pt2"
    result.save(path)
    again = it.api.load_program(path).module()
    with torch.no_grad():
        torch.testing.assert_close(loss_of(again, inputs), loss_of(result.model, inputs), rtol=0, atol=0)

    before = loss_of(result.model, inputs)
    before.backward()
    with torch.no_grad():
        slopes = [(p, p.grad) for p in result.model.parameters() if p.grad is not None]
        norm = sum(float(g.square().sum()) for _, g in slopes)
        for parameter, slope in slopes:
            parameter -= slope * (1e-3 * float(before) / norm)
        assert loss_of(result.model, inputs) < before
