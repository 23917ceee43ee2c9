"""A module is verified on the user's inputs, with labels and floors, as ONNX models are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import irprune.torch as it
from irprune import Floors
from irprune.errors import InputError

RNG = np.random.default_rng(0)


class Scaled(nn.Module):
    """Two tensors of different types and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, tokens: Tensor, scale: Tensor, factor: float = 1.0) -> Tensor:
        return self.out((self.table(tokens) * scale * factor).sum(1))


def feeds(count: int) -> dict[str, np.ndarray]:
    return {
        "tokens": RNG.integers(0, 10, (count, 4)),
        "scale": RNG.standard_normal((count, 4, 1)).astype(np.float32),
    }


@pytest.fixture(scope="module")
def program() -> it.Program:
    torch.manual_seed(0)
    model = Scaled().eval()
    return it.trace(model, tuple(torch.from_numpy(array) for array in feeds(2).values()))


def test_given_inputs_labels_and_floors(program: it.Program) -> None:
    result = it.prune(program, ratio=0.5, runtime=False)
    given = feeds(6)  # three batches of the fixed two
    with torch.no_grad():
        parts = [[torch.from_numpy(array[k : k + 2]) for array in given.values()] for k in (0, 2, 4)]
        labels = np.concatenate([program.module(*part).argmax(1).numpy() for part in parts])
    report = it.verify(program, result.model, result.plan, inputs=given, labels=labels, runtime=False)
    assert report.ok
    assert len(report.equivalence.cases) == 3
    assert report.fidelity.inputs == "the inputs (3 runs)"
    assert not report.fidelity.is_random
    assert report.fidelity.accuracy is not None
    assert report.fidelity.accuracy[0] == 1.0
    assert report.fidelity.outputs[0].agreement == report.fidelity.accuracy[1]
    strict = Floors(min_snr=300.0)
    report = it.verify(program, result.model, result.plan, inputs=given, floors=strict, runtime=False)
    assert report.is_equivalent
    assert not report.ok


def test_inputs_that_do_not_fit(program: it.Program) -> None:
    result = it.prune(program, ratio=0.5, verify=False)
    with pytest.raises(InputError, match="input 'scale' is missing"):
        it.verify(program, result.model, result.plan, inputs={"tokens": feeds(2)["tokens"]})
    with pytest.raises(InputError, match="--min-cosine needs --inputs"):
        it.verify(program, result.model, result.plan, floors=Floors(min_cosine=0.5))
