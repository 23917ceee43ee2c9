"""Recurrent modules of several layers: captured as one call a layer, and pruned layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import irprune.torch


class Tagger(nn.Module):
    def __init__(self, cells: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        self.cells = cells
        self.head = nn.Linear((1 + cells.bidirectional) * cells.hidden_size, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        sequence, state = self.cells(x)
        last = state[0] if isinstance(state, tuple) else state
        return self.head(sequence), last[-1].sum(-1)


class AllStates(Tagger):
    """It returns the states of all layers as one tensor."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        sequence, state = self.cells(x)
        return self.head(sequence), state.sum(-1)


class Streaming(nn.Module):
    """Its state goes in and out, so that the size of all its layers is fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(6, 8, num_layers=2)
        self.head = nn.Linear(8, 12)
        self.out = nn.Linear(12, 5)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sequence, (h, c) = self.cells(x, (h, c))
        return self.out(torch.relu(self.head(sequence))), h, c


CELLS = {
    "lstm": lambda: nn.LSTM(6, 8, num_layers=3, dropout=0.5),
    "lstm both ways, batch first": lambda: nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True),
    "gru without biases": lambda: nn.GRU(6, 8, num_layers=2, bias=False),
    "gru both ways": lambda: nn.GRU(6, 8, num_layers=2, bidirectional=True),
}


@pytest.mark.parametrize("name", CELLS)
def test_each_layer_has_a_hidden_size_of_its_own(name: str) -> None:
    torch.manual_seed(0)
    model = Tagger(CELLS[name]()).eval()
    x = torch.randn(7, 3, 6)
    traced = irprune.torch.trace(model, (x,))
    for got, expected in zip(traced.module(x), model(x), strict=True):
        torch.testing.assert_close(got, expected)
    recurrent = [group for group in traced.analysis().groups if group.kind == "recurrent"]
    assert len(recurrent) == model.cells.num_layers

    result = irprune.torch.prune(model, (x,), ratio=0.5)
    assert result.report is not None
    sizes = {key: list(value.shape) for key, value in result.model.state_dict().items() if "weight_hh" in key}
    assert sizes.keys() == {key for key in model.state_dict() if "weight_hh" in key}
    assert all(shape[1] == 4 for shape in sizes.values())


def test_layers_may_keep_different_numbers_of_units() -> None:
    torch.manual_seed(0)
    model = Tagger(nn.LSTM(6, 8, num_layers=2)).eval()
    result = irprune.torch.prune(model, (torch.randn(7, 3, 6),), ratio=0.5, only=["*hh_l1*"])
    shapes = {key: list(value.shape) for key, value in result.model.state_dict().items()}
    assert (shapes["cells.weight_hh_l0"], shapes["cells.weight_hh_l1"]) == ([32, 8], [16, 4])


def test_states_in_one_tensor_tie_the_layers() -> None:
    torch.manual_seed(0)
    model = AllStates(nn.GRU(6, 8, num_layers=2)).eval()
    result = irprune.torch.prune(model, (torch.randn(7, 3, 6),), ratio=0.5)
    assert [group.kind for group in result.plan.groups] == ["recurrent"]


def test_states_that_are_inputs_keep_their_size() -> None:
    torch.manual_seed(0)
    model = Streaming().eval()
    inputs = (torch.randn(7, 3, 6), torch.randn(2, 3, 8), torch.randn(2, 3, 8))
    result = irprune.torch.prune(model, inputs, ratio=0.5)
    assert {group.kind for group in result.plan.groups} == {"mlp"}
    assert [list(part.shape) for part in result.model(*inputs)] == [[7, 3, 5], [2, 3, 8], [2, 3, 8]]
