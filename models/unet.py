"""U-Net (Ronneberger et al., Convolutional Networks for Biomedical Image Segmentation, 2015)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from .blocks import ConvBNAct
from .entry import Entry

Up = Literal["transposed", "nearest", "bilinear"]


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions with batch norm and ReLU."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(ConvBNAct(cin, cout), ConvBNAct(cout, cout))


def _upsample(cin: int, cout: int, up: Up) -> nn.Module:
    """Twice the image: a transposed convolution, or a resize and a 1x1 convolution."""
    if up == "transposed":
        return nn.ConvTranspose2d(cin, cout, 2, 2)
    align = None if up == "nearest" else False
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=up, align_corners=align), nn.Conv2d(cin, cout, 1))


class UNet(nn.Module):
    """An encoder, and a decoder that concatenates the encoder's map of the same size at each step."""

    def __init__(self, widths: Sequence[int], classes: int, *, up: Up, in_channels: int = 3) -> None:
        super().__init__()
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in pairwise((in_channels, *widths)))
        self.pool = nn.MaxPool2d(2)
        steps = list(pairwise(reversed(widths)))
        self.up = nn.ModuleList(_upsample(a, b, up) for a, b in steps)
        self.fuse = nn.ModuleList(DoubleConv(2 * b, b) for _, b in steps)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for index, block in enumerate(self.down):
            x = block(self.pool(x) if index else x)
            skips.append(x)
        for up, fuse, skip in zip(self.up, self.fuse, reversed(skips[:-1]), strict=True):
            x = fuse(torch.cat((skip, up(x)), dim=1))
        out: Tensor = self.head(x)
        return out


def _entry(name: str, up: Up) -> Entry:
    return Entry(
        name,
        lambda: UNet((64, 128, 256, 512, 1024), 2, up=up),
        lambda: UNet((6, 8, 12), 2, up=up),
        (1, 3, 256, 256),
        (1, 3, 16, 16),
    )


ENTRIES = (
    _entry("unet_transposed", "transposed"),
    _entry("unet_nearest", "nearest"),
    _entry("unet_bilinear", "bilinear"),
)
