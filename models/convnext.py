"""Convolutional networks modernized after transformers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import Permute, Residual
from .entry import Entry


def layer_norm_2d(channels: int) -> nn.Sequential:
    """Layer normalization over the channels of an image."""
    return nn.Sequential(Permute(0, 2, 3, 1), nn.LayerNorm(channels, eps=1e-6), Permute(0, 3, 1, 2))


class LayerScale(nn.Module):
    """A learned factor for every channel."""

    def __init__(self, channels: int, initial: float = 1e-6) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels, 1, 1), initial))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


def block(channels: int, expansion: int = 4) -> Residual:
    """Depthwise 7x7 convolution and, with the channels last, a two-layer perceptron."""
    return Residual(
        nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(channels, eps=1e-6),
            nn.Linear(channels, expansion * channels),
            nn.GELU(),
            nn.Linear(expansion * channels, channels),
            Permute(0, 3, 1, 2),
            LayerScale(channels),
        )
    )


def convnext(
    widths: Sequence[int] = (96, 192, 384, 768),
    depths: Sequence[int] = (3, 3, 9, 3),
    *,
    num_classes: int = 1000,
) -> nn.Sequential:
    """ConvNeXt (Liu et al., A ConvNet for the 2020s, 2022)."""
    model = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), layer_norm_2d(widths[0]))
    channels = widths[0]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage > 0:
            model.extend((layer_norm_2d(channels), nn.Conv2d(channels, width, 2, 2)))
            channels = width
        model.extend(block(channels) for _ in range(depth))
    return model.extend(
        (nn.AdaptiveAvgPool2d(1), layer_norm_2d(channels), nn.Flatten(), nn.Linear(channels, num_classes))
    )


ENTRIES = (
    Entry(
        "convnext_tiny",
        convnext,
        lambda: convnext((8, 12, 16), (2, 2, 2), num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
)
