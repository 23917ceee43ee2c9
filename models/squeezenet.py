"""Networks of squeezed and expanded layers."""

from collections.abc import Sequence

from torch import nn

from .blocks import Branches
from .entry import Entry


def fire(in_channels: int, squeezed: int, expanded: int) -> nn.Sequential:
    """A 1x1 convolution that feeds a 1x1 and a 3x3 one, whose outputs are concatenated."""
    return nn.Sequential(
        nn.Conv2d(in_channels, squeezed, 1),
        nn.ReLU(),
        Branches(
            nn.Sequential(nn.Conv2d(squeezed, expanded, 1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(squeezed, expanded, 3, padding=1), nn.ReLU()),
        ),
    )


def squeezenet1_1(
    *,
    stem: int = 64,
    squeezed: Sequence[Sequence[int]] = ((16, 16), (32, 32), (48, 48, 64, 64)),
    num_classes: int = 1000,
) -> nn.Sequential:
    """SqueezeNet 1.1 with a convolution as its classifier (Iandola et al., 2016)."""
    model = nn.Sequential(nn.Conv2d(3, stem, 3, 2), nn.ReLU())
    channels = stem
    for stage in squeezed:
        model.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        for width in stage:
            model.append(fire(channels, width, 4 * width))
            channels = 8 * width
    model.extend(
        (
            nn.Dropout(),
            nn.Conv2d(channels, num_classes, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
    )
    return model


ENTRIES = (
    Entry(
        "squeezenet1_1",
        squeezenet1_1,
        lambda: squeezenet1_1(stem=8, squeezed=((2, 2), (4, 4), (6, 6)), num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 48, 48),
    ),
)
