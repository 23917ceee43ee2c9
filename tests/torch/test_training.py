"""Importance from gradients, group sparsity, soft gates and the iterative schedule."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from irprune.errors import InputError
from irprune.plans import Plan
from irprune.torch import Gates, GroupLasso, IterativePruning, Program, apply, importance, plan, prune, trace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def program() -> Program:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Sigmoid(), nn.Conv2d(6, 4, 1)
    )
    return trace(model.eval(), (torch.randn(4, 3, 8, 8),))


def loss_of(module: nn.Module, batch: Tensor) -> Tensor:
    return module(batch).square().mean()  # type: ignore[no-any-return]


def batches(count: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, 3, 8, 8, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("criterion", ["taylor", "obd"])
def test_importance_is_the_change_of_the_loss(program: Program, criterion: str) -> None:
    """Of one weight an atom: (g w)^2, and (g w)^2 / 2."""
    scale = trace(_Scaled().eval(), (torch.ones(2, 5),))
    scores = importance(scale, loss_of, [torch.ones(2, 5)], criterion, allow_io=("*",))  # type: ignore[arg-type]
    weight = torch.arange(1.0, 6.0, requires_grad=True)
    torch.autograd.backward((torch.ones(2, 5) * weight).square().mean())
    assert weight.grad is not None
    expected = (weight.detach() * weight.grad).square().double() / (1 if criterion == "taylor" else 2)
    assert np.allclose(np.sort(scores)[-5:], expected.numpy())


class _Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(1.0, 6.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def test_channels_that_no_loss_depends_on_go_first(program: Program) -> None:
    weight = program.module.get_parameter("3.weight")
    with torch.no_grad():
        weight[:, [1, 4, 6, 7]] = 0
    scores = importance(program, loss_of, batches())
    decided = plan(program, ratio=0.5, only="0.weight:0", scores=scores)
    assert decided.request.criterion == "given scores"
    (group,) = decided.groups
    assert group.removed == (1, 4, 6, 7)
    assert Plan.loads(decided.dumps()) == decided


def test_importance_needs_batches_and_gradients(program: Program) -> None:
    with pytest.raises(InputError, match="at least one batch"):
        importance(program, loss_of, [])
    with pytest.raises(InputError, match="no gradient"):
        importance(program, lambda module, x: module(x).sum() * 0, batches())
    with pytest.raises(InputError, match="known: taylor, obd"):
        importance(program, loss_of, batches(), "magnitude")  # type: ignore[arg-type]


def test_group_lasso_is_the_sum_of_norms_of_atoms(program: Program) -> None:
    penalty = GroupLasso(program).penalty()
    module = program.module
    norms = torch.zeros((), dtype=torch.float64)
    for enter, leave, extra in (("0", "3", ("1.weight", "1.bias")), ("3", "5", ())):
        squares = module.get_parameter(f"{enter}.weight").square().sum((1, 2, 3)).double()
        squares = squares + module.get_parameter(f"{enter}.bias").square()
        squares = squares + module.get_parameter(f"{leave}.weight").square().sum((0, 2, 3))
        for name in extra:
            squares = squares + module.get_parameter(name).square()
        norms = norms + squares.sqrt().sum()
    assert torch.allclose(penalty.double(), norms)
    torch.autograd.backward(penalty)
    assert all(p.grad is not None for name, p in module.named_parameters() if not name.startswith("5.b"))


def test_closed_gates_are_a_removal(program: Program) -> None:
    (x,) = batches(1)
    decided = plan(program, ratio=0.5)
    expected = apply(program, decided)(x)
    before = program.module(x)
    gates = Gates(program)
    assert torch.equal(program.module(x), before)
    gates.close(decided)
    assert torch.allclose(program.module(x), expected, atol=1e-6)
    gates.remove()
    assert torch.equal(program.module(x), before)
    assert "0.weight" in program.module.state_dict()


def test_gates_can_be_trained_and_baked(program: Program) -> None:
    gates = Gates(program, learnable=True)
    (x,) = batches(1)
    torch.autograd.backward(loss_of(program.module, x) + gates.values.sum())
    assert gates.values.grad is not None and gates.values.grad.abs().sum() > 0
    with torch.no_grad():
        gates.values *= 0.5
    halved = program.module(x)
    gates.remove(bake=True)
    assert torch.allclose(program.module(x), halved)


@pytest.mark.parametrize("schedule", ["linear", "cubic"])
def test_small_steps_reach_the_target(program: Program, schedule: str) -> None:
    pruning = IterativePruning(
        program.module,
        (torch.randn(4, 3, 8, 8),),
        params=0.4,
        steps=3,
        schedule=schedule,  # type: ignore[arg-type]
        options={"align": 1},
    )
    before = program.cost.params
    shares = []
    for module in pruning:
        assert module.training
        torch.autograd.backward(loss_of(module, batches(1)[0]))
        shares.append(sum(p.numel() for p in module.parameters()) / before)
    assert shares == sorted(shares, reverse=True) and len(pruning.plans) == 3
    assert 0.3 < shares[-1] < 0.45  # a handful of channels is a coarse scale
    assert (shares[0] > 0.75) == (schedule == "linear")


def test_a_schedule_says_what_is_wrong_with_it(program: Program) -> None:
    with pytest.raises(InputError, match="exactly one of macs and params"):
        IterativePruning(program.module, (), macs=0.5, params=0.5)
    with pytest.raises(InputError, match="known: linear, cubic"):
        IterativePruning(program.module, (), macs=0.5, schedule="steep")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="between 0 and 1"):
        IterativePruning(program.module, (), macs=1.5)


def test_scores_serve_a_whole_job(program: Program) -> None:
    result = prune(program, macs=0.5, scores=importance(program, loss_of, batches()), runtime=False)
    assert result.report is not None and result.report.ok


@pytest.mark.slow
def test_the_example_keeps_its_promise() -> None:
    """Under 60 lines: four times fewer multiply-accumulates, at most one point of accuracy."""
    path = ROOT / "examples" / "finetune_digits.py"
    assert len(path.read_text().splitlines()) < 60
    before, after, left = runpy.run_path(str(path))["main"]()
    assert before > 0.98
    assert after > before - 0.01
    assert left <= 0.25 + 0.0025


def test_the_readme_names_the_example() -> None:
    assert re.search(r"examples/finetune_digits\.py", (ROOT / "README.md").read_text())
