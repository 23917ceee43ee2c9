"""Smaller modules as files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import irprune.torch


def test_a_link_is_followed(tmp_path: Path) -> None:
    """It was replaced, as files of ONNX models were."""
    real, link = tmp_path / "real.pt2", tmp_path / "small.pt2"
    link.symlink_to(real)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    irprune.torch.prune(model, torch.randn(3, 4), ratio=0.5, runtime=False).save(link)
    assert link.is_symlink()
    torch.export.load(real)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real.pt2", "small.pt2"]
