"""Modules whose axes are tied in long chains: the analysis is that of ONNX files, and nests no deeper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import irprune.torch

FRAMES, HOP = 400, 4


class Framing(nn.Module):
    """Frames that overlap by half: a RecursionError came from about 330 of them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2 * HOP, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        parts = [part.reshape(-1, FRAMES, HOP) for part in (x[:, : FRAMES * HOP], x[:, HOP:])]
        return self.b(torch.relu(self.a(torch.cat(parts, 2))))


def test_overlapping_frames() -> None:
    result = irprune.torch.prune(Framing(), torch.randn(2, (FRAMES + 1) * HOP), ratio=0.5, runtime=False)
    assert result.report is not None and result.report.ok
    assert result.plan.cost_after.params < result.plan.cost_before.params
