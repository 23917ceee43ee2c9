"""Networks from a parametrized design space."""

from collections.abc import Sequence
from itertools import groupby
from math import log

from torch import nn

from .blocks import ConvBNAct, Residual, SqueezeExcite, make_divisible, pooled_classifier
from .entry import Entry


def stage_sizes(depth: int, initial: int, slope: float, step: float, group_width: int) -> list[tuple[int, int]]:
    """Width and depth of every stage, from the line of block widths quantized to powers of ``step``."""
    widths = []
    for block in range(depth):
        exponent = round(log((initial + slope * block) / initial) / log(step))
        widths.append(round(initial * step**exponent / 8) * 8)
    return [(make_divisible(width, group_width), len(list(run))) for width, run in groupby(widths)]


def regnet_y(
    stages: Sequence[tuple[int, int]],
    *,
    group_width: int,
    stem: int = 32,
    squeeze: float = 0.25,
    num_classes: int = 1000,
) -> nn.Sequential:
    """Grouped bottlenecks with attention (Radosavovic et al., Designing Network Design Spaces, 2020)."""
    model = nn.Sequential(ConvBNAct(3, stem, stride=2))
    channels = stem
    for width, depth in stages:
        for index in range(depth):
            stride = 2 if index == 0 else 1
            body = nn.Sequential(
                ConvBNAct(channels, width, 1),
                ConvBNAct(width, width, stride=stride, groups=width // group_width),
                SqueezeExcite(width, round(squeeze * channels)),
                ConvBNAct(width, width, 1, act=None),
            )
            shortcut = ConvBNAct(channels, width, 1, stride, act=None) if index == 0 else None
            model.append(Residual(body, shortcut, nn.ReLU))
            channels = width
    model.append(pooled_classifier(channels, num_classes))
    return model


ENTRIES = (
    Entry(
        "regnet_y_400mf",
        lambda: regnet_y(stage_sizes(16, 48, 27.89, 2.09, 8), group_width=8),
        lambda: regnet_y(((16, 2), (24, 2)), group_width=8, stem=8, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
)
