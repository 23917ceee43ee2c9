"""Networks that shuffle channels between groups or branches: ShuffleNet v1 and v2."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import Branches, ChannelShuffle, ConvBNAct, Residual, SpatialMean, pooled_classifier
from .entry import Entry


def _v1_unit(in_channels: int, out_channels: int, groups: int, *, first: bool) -> nn.Module:
    down = in_channels != out_channels
    inner = out_channels // 4
    body = nn.Sequential(
        ConvBNAct(in_channels, inner, 1, groups=1 if first else groups),
        ChannelShuffle(groups),
        ConvBNAct(inner, inner, stride=2 if down else 1, groups=inner, act=None),
        ConvBNAct(inner, out_channels - in_channels if down else out_channels, 1, groups=groups, act=None),
    )
    if down:
        return nn.Sequential(Branches(nn.AvgPool2d(3, 2, 1), body), nn.ReLU())
    return Residual(body, act=nn.ReLU)


def shufflenet_v1(
    *,
    widths: Sequence[int] = (240, 480, 960),
    depths: Sequence[int] = (4, 8, 4),
    stem: int = 24,
    groups: int = 3,
    num_classes: int = 1000,
) -> nn.Sequential:
    """Grouped pointwise convolutions with shuffling between (Zhang et al., ShuffleNet, 2018)."""
    model = nn.Sequential(ConvBNAct(3, stem, stride=2), nn.MaxPool2d(3, 2, 1))
    channels = stem
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for index in range(depth):
            model.append(_v1_unit(channels, width, groups, first=stage == index == 0))
            channels = width
    model.append(pooled_classifier(channels, num_classes))
    return model


def _v2_branch(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        ConvBNAct(in_channels, channels, 1),
        ConvBNAct(channels, channels, stride=stride, groups=channels, act=None),
        ConvBNAct(channels, channels, 1),
    )


class SplitUnit(nn.Module):
    """Transform one half of the channels, then mix both halves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = _v2_branch(channels // 2, channels // 2, 1)
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, dim=1)
        out: Tensor = self.shuffle(torch.cat((kept, self.branch(changed)), 1))
        return out


def _v2_down(in_channels: int, out_channels: int) -> nn.Sequential:
    half = out_channels // 2
    pooled = nn.Sequential(
        ConvBNAct(in_channels, in_channels, stride=2, groups=in_channels, act=None),
        ConvBNAct(in_channels, half, 1),
    )
    return nn.Sequential(Branches(pooled, _v2_branch(in_channels, half, 2)), ChannelShuffle(2))


def shufflenet_v2(
    *,
    widths: Sequence[int] = (116, 232, 464),
    depths: Sequence[int] = (4, 8, 4),
    stem: int = 24,
    last: int = 1024,
    num_classes: int = 1000,
) -> nn.Sequential:
    """Split channels in place of groups (Ma et al., ShuffleNet V2, 2018)."""
    model = nn.Sequential(ConvBNAct(3, stem, stride=2), nn.MaxPool2d(3, 2, 1))
    channels = stem
    for width, depth in zip(widths, depths, strict=True):
        model.append(_v2_down(channels, width))
        model.extend(SplitUnit(width) for _ in range(depth - 1))
        channels = width
    model.extend((ConvBNAct(channels, last, 1), SpatialMean(), nn.Linear(last, num_classes)))
    return model


ENTRIES = (
    Entry(
        "shufflenet_v1",
        shufflenet_v1,
        lambda: shufflenet_v1(widths=(48, 96), depths=(3, 3), stem=18, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
    Entry(
        "shufflenet_v2_x1_0",
        shufflenet_v2,
        lambda: shufflenet_v2(widths=(16, 32), depths=(3, 3), stem=8, last=64, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
)
