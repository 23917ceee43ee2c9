"""Channels of a module chosen on data: what is redundant on the data goes, and ONNX gives the same choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import irprune
import irprune.torch
from irprune.errors import InputError

CRITERIA = ["obs", "flap", "wanda"]


class Net(nn.Module):
    """Convolutions, a normalization and a classifier; channel 5 of the first is never excited."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 12, 3, padding=1, stride=2)
        self.norm = nn.BatchNorm2d(12)
        self.last = nn.Linear(12, 4)
        with torch.no_grad():
            self.first.weight[5] *= 0.01
            self.first.bias[5] = -5.0
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.norm(self.second(x)))
        found: torch.Tensor = self.last(x.mean((2, 3)))
        return found


@pytest.fixture
def net() -> nn.Module:
    return Net().eval()


EXAMPLE = torch.zeros(2, 3, 12, 12)
DYNAMIC = ({0: torch.export.Dim("batch", min=2)},)
DATA = {"x": np.random.default_rng(1).standard_normal((96, 3, 12, 12)).astype(np.float32)}


def removed(plan: irprune.Plan) -> list[tuple[int, ...]]:
    return [tuple(group.removed) for group in plan.groups]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_channel_that_the_data_never_excite_goes_first(net: nn.Module, criterion: str) -> None:
    result = irprune.torch.prune(
        net,
        (EXAMPLE,),
        data=DATA,
        criterion=criterion,
        ratio=0.2,
        only=["first*"],
        align=1,
        dynamic_shapes=DYNAMIC,
        runtime=False,
    )
    assert result.report is not None
    assert result.report.ok
    (group,) = result.plan.groups
    assert 5 in group.removed
    assert result.plan.request.criterion == criterion


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_choice_is_that_of_the_exported_model(net: nn.Module, criterion: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    torch.onnx.export(net, (EXAMPLE,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})
    asked = {"criterion": criterion, "macs": 0.6, "align": 1}
    ours = irprune.torch.plan(net, (EXAMPLE,), data=DATA, dynamic_shapes=DYNAMIC, **asked)
    # all positions are drawn on this side, the fifth batch is held out on the other
    theirs = irprune.plan(path, data=DATA, **asked)
    pairs = list(zip(removed(ours), removed(theirs), strict=True))
    assert pairs
    common = sum(len({*a} & {*b}) for a, b in pairs)
    assert common >= 0.75 * sum(len(a) for a, _ in pairs)


def test_what_contradicts_itself_is_refused(net: nn.Module) -> None:
    program = irprune.torch.trace(net, (EXAMPLE,), dynamic_shapes=DYNAMIC)
    with pytest.raises(InputError, match="criterion 'obs' needs inputs of the model"):
        irprune.torch.plan(program, macs=0.5, criterion="obs")
    with pytest.raises(InputError, match="give scores or data, not both"):
        irprune.torch.plan(program, macs=0.5, data=DATA, scores=np.ones(program.analysis().atoms.count))
    with pytest.raises(InputError, match="criterion 'l1' takes no data; those that do: obs, flap, wanda"):
        irprune.torch.plan(program, macs=0.5, data=DATA, criterion="l1")
    with pytest.raises(InputError, match="fidelity is measured on refitted ONNX models"):
        irprune.torch.plan(program, fidelity=0.9, data=DATA)
    with pytest.raises(InputError, match="input 'x' is missing"):
        irprune.torch.plan(program, macs=0.5, data={"y": DATA["x"]})
    assert net(EXAMPLE).shape == (2, 4)


def test_the_mode_of_the_module_stays(net: nn.Module) -> None:
    """Measuring runs in evaluation: statistics of a module that trains are not touched."""
    net.train()
    before = {name: tensor.clone() for name, tensor in net.named_buffers()}
    irprune.torch.plan(net, (EXAMPLE,), macs=0.5, data=DATA, dynamic_shapes=DYNAMIC)
    assert net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.named_buffers())
