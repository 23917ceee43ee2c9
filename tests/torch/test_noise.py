"""Rounding noise is told from faults as it is for ONNX models: by the same functions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

import irprune.torch as it
from irprune.runtime.session import RunFailure
from irprune.torch import noise
from irprune.verification.comparing import TOLERANCE


class Amplifying(nn.Module):
    """An angle of some thousands: float32 keeps three digits after the point."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(32, 600, bias=False), nn.Linear(600, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        angle = self.second(torch.tanh(20 * self.first(x))).to(torch.float32) * 3000.0
        return torch.sin(angle)


@pytest.fixture(scope="module")
def result() -> it.Result:
    torch.manual_seed(3)
    return it.prune(Amplifying().eval(), (torch.randn(4, 32),), ratio=0.5, verify=False)


def with_weight(module: fx.GraphModule, factor: float) -> fx.GraphModule:
    changed = noise.copy.deepcopy(module)
    with torch.no_grad():
        changed.get_parameter("second.weight").view(-1)[0] *= factor
    return changed


def test_noise_that_the_reference_has_too_is_no_fault(result: it.Result) -> None:
    report = it.verify(result.program, result.model, result.plan, runtime=False)
    (output,) = report.equivalence.outputs
    assert output.tolerance < output.error <= (output.noise or 0.0), "the module is meant to amplify rounding"
    assert report.ok, report.failures()
    assert report.equivalence.in_double[0].error < 1e-9


def test_a_fault_that_float32_cannot_see_is_no_noise(result: it.Result) -> None:
    report = it.verify(result.program, with_weight(result.model, 1 + 1e-6), result.plan, runtime=False)
    assert report.equivalence.outputs[0].error > TOLERANCE["float32"]
    assert not report.equivalence.ok
    assert any("(float64) differs from the reference" in line for line in report.failures())


def test_no_float64_is_no_excuse(result: it.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(module: fx.GraphModule) -> fx.GraphModule:
        raise RunFailure("no float64")

    monkeypatch.setattr("irprune.torch.verification.module_in_double", refused)
    assert not it.verify(result.program, result.model, result.plan, runtime=False).equivalence.ok


def test_a_tolerance_that_was_asked_for_holds(result: it.Result) -> None:
    assert not it.verify(result.program, result.model, result.plan, runtime=False, rtol=1e-6).equivalence.ok
