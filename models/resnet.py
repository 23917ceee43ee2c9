"""Residual networks: basic, bottleneck and grouped blocks, and shortcuts without parameters."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBNAct, Residual, pooled_classifier
from .entry import Entry


def basic_block(in_channels: int, out_channels: int, stride: int, shortcut: nn.Module | None) -> Residual:
    """Two 3x3 convolutions (He et al., Deep Residual Learning, 2016)."""
    body = nn.Sequential(
        ConvBNAct(in_channels, out_channels, stride=stride), ConvBNAct(out_channels, out_channels, act=None)
    )
    return Residual(body, shortcut, nn.ReLU)


def bottleneck_block(
    in_channels: int, inner: int, out_channels: int, stride: int, groups: int, shortcut: nn.Module | None
) -> Residual:
    """Reduce, filter (by groups in ResNeXt; Xie et al., 2017), expand."""
    body = nn.Sequential(
        ConvBNAct(in_channels, inner, 1),
        ConvBNAct(inner, inner, stride=stride, groups=groups),
        ConvBNAct(inner, out_channels, 1, act=None),
    )
    return Residual(body, shortcut, nn.ReLU)


def resnet(
    block: Literal["basic", "bottleneck"],
    depths: Sequence[int],
    *,
    width: int = 64,
    groups: int = 1,
    width_per_group: int = 64,
    num_classes: int = 1000,
) -> nn.Sequential:
    """ResNet and ResNeXt for ImageNet (He et al., 2016; Xie et al., 2017)."""
    model = nn.Sequential(ConvBNAct(3, width, 7, 2), nn.MaxPool2d(3, 2, 1))
    channels = width
    for stage, depth in enumerate(depths):
        planes = width << stage
        out_channels = planes if block == "basic" else planes * 4
        for index in range(depth):
            stride = 2 if stage > 0 and index == 0 else 1
            shortcut = (
                ConvBNAct(channels, out_channels, 1, stride, act=None)
                if stride != 1 or channels != out_channels
                else None
            )
            if block == "basic":
                model.append(basic_block(channels, out_channels, stride, shortcut))
            else:
                inner = planes * width_per_group // 64 * groups
                model.append(bottleneck_block(channels, inner, out_channels, stride, groups, shortcut))
            channels = out_channels
    model.append(pooled_classifier(channels, num_classes))
    return model


class PadShortcut(nn.Module):
    """Subsample the image and fill the new channels with zeros: option A of He et al."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        added = out_channels - in_channels
        self.before, self.after = added // 2, added - added // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


def resnet_option_a(depth: int, *, width: int = 16, num_classes: int = 10) -> nn.Sequential:
    """ResNet for CIFAR with three stages of ``depth`` blocks (He et al., 2016, section 4.2)."""
    model = nn.Sequential(ConvBNAct(3, width))
    channels = width
    for stage in range(3):
        out_channels = width << stage
        for _ in range(depth):
            grows = channels != out_channels
            shortcut = PadShortcut(channels, out_channels) if grows else None
            model.append(basic_block(channels, out_channels, 2 if grows else 1, shortcut))
            channels = out_channels
    model.append(pooled_classifier(channels, num_classes))
    return model


ENTRIES = (
    Entry(
        "resnet18",
        lambda: resnet("basic", (2, 2, 2, 2)),
        lambda: resnet("basic", (2, 2, 2), width=8, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
    Entry(
        "resnet50",
        lambda: resnet("bottleneck", (3, 4, 6, 3)),
        lambda: resnet("bottleneck", (2, 2, 2), width=8, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
    Entry(
        "resnext50_32x4d",
        lambda: resnet("bottleneck", (3, 4, 6, 3), groups=32, width_per_group=4),
        lambda: resnet("bottleneck", (2, 2, 2), width=16, groups=4, width_per_group=16, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
    Entry(
        "resnet20_option_a",
        lambda: resnet_option_a(3),
        lambda: resnet_option_a(2, width=8),
        (1, 3, 32, 32),
        (1, 3, 16, 16),
    ),
)
