"""Residual network over video clips (Hara et al., Can Spatiotemporal 3D CNNs Retrace the History?, 2018)."""

from collections.abc import Sequence

from torch import nn

from .blocks import Residual
from .entry import Entry


def _conv_bn(cin: int, cout: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A 3-D convolution with "same" padding, then batch norm.

    The bias is redundant, but without it PyTorch 2.13's dynamo exporter writes one of the wrong rank.
    """
    return nn.Sequential(nn.Conv3d(cin, cout, kernel, stride, kernel // 2), nn.BatchNorm3d(cout))


def basic_block_3d(cin: int, cout: int, stride: int) -> Residual:
    """Two 3x3x3 convolutions and a shortcut, projected where the shape changes."""
    body = nn.Sequential(_conv_bn(cin, cout, 3, stride), nn.ReLU(), _conv_bn(cout, cout, 3))
    same = cin == cout and stride == 1
    return Residual(body, None if same else _conv_bn(cin, cout, 1, stride), nn.ReLU)


def resnet_3d(widths: Sequence[int], depths: Sequence[int], num_classes: int) -> nn.Sequential:
    """Stem with pooling, a stage for each width, pooled linear head."""
    model = nn.Sequential(_conv_bn(3, widths[0], 3, 2), nn.ReLU(), nn.MaxPool3d(3, 2, 1))
    channels = widths[0]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for index in range(depth):
            model.append(basic_block_3d(channels, width, 2 if stage > 0 and index == 0 else 1))
            channels = width
    return model.extend((nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(channels, num_classes)))


ENTRIES = (
    Entry(
        "resnet3d",
        lambda: resnet_3d((32, 64, 128, 256), (2, 2, 2, 2), 101),
        lambda: resnet_3d((6, 8), (1, 2), 5),
        (1, 3, 16, 112, 112),
        (1, 3, 8, 16, 16),
    ),
)
