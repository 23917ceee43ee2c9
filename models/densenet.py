"""Densely connected networks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import ConvBNAct, pooled_classifier
from .entry import Entry


class DenseBlock(nn.Module):
    """Layers that each read the concatenation of the block's input and of all earlier layers' outputs."""

    def __init__(self, depth: int, in_channels: int, growth: int, expansion: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(in_channels + index * growth),
                nn.ReLU(),
                ConvBNAct(in_channels + index * growth, expansion * growth, 1),
                nn.Conv2d(expansion * growth, growth, 3, padding=1, bias=False),
            )
            for index in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)


def densenet(
    depths: Sequence[int],
    *,
    growth: int = 32,
    stem: int = 64,
    expansion: int = 4,
    num_classes: int = 1000,
) -> nn.Sequential:
    """DenseNet-BC with transitions that halve the channels (Huang et al., 2017)."""
    model = nn.Sequential(ConvBNAct(3, stem, 7, 2), nn.MaxPool2d(3, 2, 1))
    channels = stem
    for stage, depth in enumerate(depths):
        if stage > 0:
            model.extend(
                (
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                    nn.Conv2d(channels, channels // 2, 1, bias=False),
                    nn.AvgPool2d(2, 2),
                )
            )
            channels //= 2
        model.append(DenseBlock(depth, channels, growth, expansion))
        channels += depth * growth
    model.extend((nn.BatchNorm2d(channels), nn.ReLU(), pooled_classifier(channels, num_classes)))
    return model


ENTRIES = (
    Entry(
        "densenet121",
        lambda: densenet((6, 12, 24, 16)),
        lambda: densenet((2, 3, 2), growth=8, stem=16, expansion=2, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
)
