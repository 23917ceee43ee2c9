"""Networks found by search on a mobile device."""

from collections.abc import Sequence

from torch import nn

from .blocks import ConvBNAct, SpatialMean, inverted_residual, make_divisible
from .entry import Entry

STAGES = (
    (3, 3, 2, 24, 3),
    (3, 5, 2, 40, 3),
    (6, 5, 2, 80, 3),
    (6, 3, 1, 96, 2),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, stride, channels, repetitions."""


def mnasnet(
    *,
    stages: Sequence[tuple[int, int, int, int, int]] = STAGES,
    width: float = 1.0,
    last: int = 1280,
    num_classes: int = 1000,
) -> nn.Sequential:
    """MnasNet-B1 (Tan et al., 2019)."""
    stem, channels = make_divisible(32 * width), make_divisible(16 * width)
    model = nn.Sequential(
        ConvBNAct(3, stem, stride=2),
        ConvBNAct(stem, stem, groups=stem),
        ConvBNAct(stem, channels, 1, act=None),
    )
    for expansion, kernel, first_stride, planes, repeats in stages:
        out_channels = make_divisible(planes * width)
        for index in range(repeats):
            stride = first_stride if index == 0 else 1
            hidden = channels * expansion
            model.append(inverted_residual(channels, hidden, out_channels, kernel=kernel, stride=stride))
            channels = out_channels
    return model.extend((ConvBNAct(channels, last, 1), SpatialMean(), nn.Dropout(0.2), nn.Linear(last, num_classes)))


ENTRIES = (
    Entry(
        "mnasnet1_0",
        mnasnet,
        lambda: mnasnet(stages=STAGES[:3], width=0.5, last=64, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
)
