"""Functions that are undefined at zero, of channels that the reference makes zero: infinities stop before the sum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from irprune.analysis import analyze
from irprune.torch import prune, trace
from irprune.verification.removal import Removal

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "rsqrt": lambda x: x.square().rsqrt(),
    "negative power": lambda x: x.square().pow(-0.5),
    "power by a tensor": lambda x: x.square().pow(torch.full((8,), -0.5)),
    "divided with a mode": lambda x: torch.div(torch.ones(8), x, rounding_mode="floor"),
    "remainder": lambda x: torch.ones(8).remainder(x),
    "addcdiv": lambda x: torch.addcdiv(x, x, x),
    "acosh": lambda x: (x.abs() * 1e6).acosh(),
    "logit": lambda x: x.sigmoid().mul(x.abs() > 0).logit(),
    "lgamma": lambda x: x.lgamma(),
}


class Model(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8, bias=False), nn.Linear(8, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.function(self.first(x)))
        return result


def removal_of_half(model: nn.Module) -> Removal:
    program = trace(model, (torch.rand(2, 4) + 0.5,))
    analysis = analyze(program.imported.graph)
    group = max(analysis.groups, key=lambda group: group.size)
    return Removal(analysis, analysis.kept(np.isin(np.arange(analysis.atoms.count), group.atoms[:4])))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_undefined_at_zero_is_kept_out_of_sums_at_once(name: str) -> None:
    """Not only where a run has shown that the reference is not a number."""
    torch.manual_seed(0)
    assert removal_of_half(Model(FUNCTIONS[name])).guard
    result = prune(Model(FUNCTIONS[name]), (torch.rand(2, 4) + 0.5,), ratio=0.5, runtime=False)
    assert result.plan.groups
    assert result.report is not None and result.report.ok, result.report.failures()


def test_a_power_by_a_plain_number_needs_no_guard() -> None:
    assert not removal_of_half(Model(lambda x: x.pow(2))).guard
