"""Zeros that grow while a module trains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from irprune.errors import InputError, TargetError
from irprune.torch import IterativePruning, SparseTraining, trace


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 8), nn.ReLU(), nn.Linear(8, 4))


def images() -> torch.Tensor:
    return torch.randn(16, 4, 6, 6, generator=torch.Generator().manual_seed(1))


def train(zeros: SparseTraining, steps: int) -> list[float]:
    optimizer = torch.optim.Adam(zeros.module.parameters(), lr=1e-2)
    shares = []
    for _ in range(steps):
        optimizer.zero_grad()
        zeros.module(images()).square().mean().backward()
        optimizer.step()
        zeros.step()
        shares.append(zeros.share)
    return shares


def zero_share(weight: torch.Tensor) -> float:
    return float((weight == 0).float().mean())


def test_zeros_grow_and_stay_while_the_others_train() -> None:
    model = network()
    before = model[0].weight.detach().clone()
    zeros = SparseTraining(trace(model.eval(), (images(),)), steps=20, every=5, ratio=0.75)
    shares = train(zeros, 30)
    assert shares == sorted(shares) and shares[3] == 0.0 < shares[5] < shares[-1]
    for weight in (model[0].weight, model[3].weight, model[5].weight):
        assert zero_share(weight) == 0.75
    assert zero_share(model[0].bias) == 0.0
    kept = model[0].weight != 0
    assert not torch.equal(model[0].weight[kept], before[kept])


@pytest.mark.parametrize("done", [5, 20])
def test_two_of_four_hold_at_the_end(done: int) -> None:
    model = network()
    zeros = SparseTraining(trace(model.eval(), (images(),)), steps=20, every=5, pattern="2:4")
    train(zeros, done)
    kept = (model[3].weight.detach().reshape(8, -1, 4) != 0).sum(dim=-1)
    assert (kept == (3 if done == 5 else 2)).all()
    along = model[0].weight.detach().permute(0, 2, 3, 1) != 0
    assert (along.sum(dim=-1) == (3 if done == 5 else 2)).all()


def test_one_ranking_over_all_parameters() -> None:
    model = network()
    with torch.no_grad():
        model[3].weight.mul_(0.01)
    zeros = SparseTraining(trace(model.eval(), (images(),)), steps=1, every=1, ratio=0.5, scope="global")
    zeros.step()
    assert zeros.share == 0.5
    assert zero_share(model[3].weight) > 0.5 > zero_share(model[0].weight)


def test_sparse_and_smaller() -> None:
    pruning = IterativePruning(network(), (images(),), macs=0.5, steps=2)
    for module in pruning:
        zeros = SparseTraining(trace(module.eval(), (images(),)), steps=4, every=1, ratio=0.5)
        train(zeros, 5)
    weights = [p for p in pruning.model.parameters() if p.dim() > 1]  # type: ignore[union-attr]
    assert all(abs(zero_share(weight) - 0.5) < 0.05 for weight in weights)


def test_bad_options_are_named() -> None:
    program = trace(network().eval(), (images(),))
    with pytest.raises(InputError, match="steps and every must be at least 1"):
        SparseTraining(program, steps=0, ratio=0.5)
    with pytest.raises(InputError, match="needs inputs of the model"):
        SparseTraining(program, steps=5, ratio=0.5, method="wanda")
    with pytest.raises(TargetError, match="no weight has room for pattern 2:5"):
        SparseTraining(program, steps=5, pattern="2:5")
