"""Networks of parallel branches: GoogLeNet with batch normalization and Inception v3."""

from collections.abc import Sequence
from functools import partial

from torch import nn

from .blocks import Branches, ConvBNAct, pooled_classifier
from .entry import Entry

Conv = partial(ConvBNAct, eps=1e-3)

GOOGLENET_STAGES: tuple[tuple[tuple[int, int, int, int, int, int], ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
"""For each module: 1x1 | 3x3 reduction, 3x3 | second 3x3 reduction, second 3x3 | projection after pooling."""


def googlenet(
    *,
    stages: Sequence[Sequence[tuple[int, int, int, int, int, int]]] = GOOGLENET_STAGES,
    width: float = 1.0,
    num_classes: int = 1000,
) -> nn.Sequential:
    """GoogLeNet (Szegedy et al., 2015), normalized by batch and with 3x3 in place of 5x5 convolutions."""
    stem, channels = int(64 * width), int(192 * width)
    model = nn.Sequential(
        Conv(3, stem, 7, 2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Conv(stem, stem, 1),
        Conv(stem, channels),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    )
    for index, stage in enumerate(stages):
        if index > 0:
            model.append(nn.MaxPool2d(3 if index == 1 else 2, 2, ceil_mode=True))
        for row in stage:
            one, reduce3, three, reduce5, five, pooled = (int(value * width) for value in row)
            model.append(
                Branches(
                    Conv(channels, one, 1),
                    nn.Sequential(Conv(channels, reduce3, 1), Conv(reduce3, three)),
                    nn.Sequential(Conv(channels, reduce5, 1), Conv(reduce5, five)),
                    nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), Conv(channels, pooled, 1)),
                )
            )
            channels = one + three + five + pooled
    model.append(pooled_classifier(channels, num_classes, dropout=0.2))
    return model


def _inception_a(channels: int, pooled: int, width: float) -> tuple[nn.Module, int]:
    c48, c64, c96, pooled = (int(value * width) for value in (48, 64, 96, pooled))
    module = Branches(
        Conv(channels, c64, 1),
        nn.Sequential(Conv(channels, c48, 1), Conv(c48, c64, 5)),
        nn.Sequential(Conv(channels, c64, 1), Conv(c64, c96), Conv(c96, c96)),
        nn.Sequential(nn.AvgPool2d(3, 1, 1), Conv(channels, pooled, 1)),
    )
    return module, 2 * c64 + c96 + pooled


def _inception_b(channels: int, width: float) -> tuple[nn.Module, int]:
    c64, c96, c384 = (int(value * width) for value in (64, 96, 384))
    module = Branches(
        Conv(channels, c384, 3, 2, padding=0),
        nn.Sequential(Conv(channels, c64, 1), Conv(c64, c96), Conv(c96, c96, 3, 2, padding=0)),
        nn.MaxPool2d(3, 2),
    )
    return module, c384 + c96 + channels


def _inception_c(channels: int, inner: int, width: float) -> tuple[nn.Module, int]:
    c192, inner = int(192 * width), int(inner * width)
    wide, tall = (1, 7), (7, 1)
    module = Branches(
        Conv(channels, c192, 1),
        nn.Sequential(Conv(channels, inner, 1), Conv(inner, inner, wide), Conv(inner, c192, tall)),
        nn.Sequential(
            Conv(channels, inner, 1),
            Conv(inner, inner, tall),
            Conv(inner, inner, wide),
            Conv(inner, inner, tall),
            Conv(inner, c192, wide),
        ),
        nn.Sequential(nn.AvgPool2d(3, 1, 1), Conv(channels, c192, 1)),
    )
    return module, 4 * c192


def _inception_d(channels: int, width: float) -> tuple[nn.Module, int]:
    c192, c320 = int(192 * width), int(320 * width)
    module = Branches(
        nn.Sequential(Conv(channels, c192, 1), Conv(c192, c320, 3, 2, padding=0)),
        nn.Sequential(
            Conv(channels, c192, 1),
            Conv(c192, c192, (1, 7)),
            Conv(c192, c192, (7, 1)),
            Conv(c192, c192, 3, 2, padding=0),
        ),
        nn.MaxPool2d(3, 2),
    )
    return module, c320 + c192 + channels


def _inception_e(channels: int, width: float) -> tuple[nn.Module, int]:
    c192, c320, c384, c448 = (int(value * width) for value in (192, 320, 384, 448))

    def split() -> Branches:
        return Branches(Conv(c384, c384, (1, 3)), Conv(c384, c384, (3, 1)))

    module = Branches(
        Conv(channels, c320, 1),
        nn.Sequential(Conv(channels, c384, 1), split()),
        nn.Sequential(Conv(channels, c448, 1), Conv(c448, c384), split()),
        nn.Sequential(nn.AvgPool2d(3, 1, 1), Conv(channels, c192, 1)),
    )
    return module, c320 + 4 * c384 + c192


def inception_v3(
    *,
    pooled: Sequence[int] = (32, 64, 64),
    factorized: Sequence[int] = (128, 160, 160, 192),
    width: float = 1.0,
    num_classes: int = 1000,
) -> nn.Sequential:
    """Inception v3 without its auxiliary head (Szegedy et al., Rethinking Inception, 2016)."""
    c32, c64, c80, channels = (int(value * width) for value in (32, 64, 80, 192))
    model = nn.Sequential(
        Conv(3, c32, 3, 2, padding=0),
        Conv(c32, c32, padding=0),
        Conv(c32, c64),
        nn.MaxPool2d(3, 2),
        Conv(c64, c80, 1),
        Conv(c80, channels, padding=0),
        nn.MaxPool2d(3, 2),
    )
    for pool in pooled:
        module, channels = _inception_a(channels, pool, width)
        model.append(module)
    module, channels = _inception_b(channels, width)
    model.append(module)
    for inner in factorized:
        module, channels = _inception_c(channels, inner, width)
        model.append(module)
    module, channels = _inception_d(channels, width)
    model.append(module)
    for _ in range(2):
        module, channels = _inception_e(channels, width)
        model.append(module)
    model.append(pooled_classifier(channels, num_classes, dropout=0.5))
    return model


ENTRIES = (
    Entry(
        "googlenet",
        googlenet,
        lambda: googlenet(stages=[stage[:2] for stage in GOOGLENET_STAGES], width=0.125, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 64, 64),
    ),
    Entry(
        "inception_v3",
        inception_v3,
        lambda: inception_v3(pooled=(32, 64), factorized=(128, 160), width=0.125, num_classes=10),
        (1, 3, 299, 299),
        (1, 3, 107, 107),
    ),
)
