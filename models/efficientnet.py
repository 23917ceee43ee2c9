"""Networks scaled in width and depth together."""

from collections.abc import Sequence
from math import ceil

from torch import nn

from .blocks import ConvBNAct, SqueezeExcite, inverted_residual, make_divisible, pooled_classifier
from .entry import Entry

STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, stride, channels, repetitions, of the b0 network."""


def efficientnet(
    *,
    stages: Sequence[tuple[int, int, int, int, int]] = STAGES,
    width: float = 1.0,
    depth: float = 1.0,
    num_classes: int = 1000,
) -> nn.Sequential:
    """EfficientNet with compound scaling (Tan and Le, 2019)."""
    channels = make_divisible(32 * width)
    model = nn.Sequential(ConvBNAct(3, channels, stride=2, act=nn.SiLU))
    for expansion, kernel, first_stride, planes, repeats in stages:
        out_channels = make_divisible(planes * width)
        for index in range(ceil(repeats * depth)):
            hidden = make_divisible(channels * expansion)
            model.append(
                inverted_residual(
                    channels,
                    hidden,
                    out_channels,
                    kernel=kernel,
                    stride=first_stride if index == 0 else 1,
                    act=nn.SiLU,
                    attention=SqueezeExcite(hidden, max(1, channels // 4), act=nn.SiLU),
                )
            )
            channels = out_channels
    model.append(ConvBNAct(channels, 4 * channels, 1, act=nn.SiLU))
    model.append(pooled_classifier(4 * channels, num_classes, dropout=0.2))
    return model


ENTRIES = (
    Entry(
        "efficientnet_b0",
        efficientnet,
        lambda: efficientnet(stages=STAGES[:4], width=0.5, depth=0.6, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
)
