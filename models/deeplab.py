"""DeepLabv3+ (Chen et al., Encoder-Decoder with Atrous Separable Convolution, 2018) on a small ResNet."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import Branches, ConvBNAct, Residual
from .entry import Entry


def _resize_like(x: Tensor, reference: Tensor) -> Tensor:
    return F.interpolate(x, size=reference.shape[-2:], mode="bilinear", align_corners=False)


def dilated_block(cin: int, cout: int, stride: int, dilation: int) -> Residual:
    """A basic residual block whose 3x3 convolutions may be dilated."""
    body = nn.Sequential(
        ConvBNAct(cin, cout, stride=stride, dilation=dilation),
        ConvBNAct(cout, cout, dilation=dilation, act=None),
    )
    same = cin == cout and stride == 1
    return Residual(body, None if same else ConvBNAct(cin, cout, 1, stride, act=None), nn.ReLU)


class ImagePooling(nn.Module):
    """The whole image's features, spread over the map again."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvBNAct(cin, cout, 1))

    def forward(self, x: Tensor) -> Tensor:
        return _resize_like(self.pool(x), x)


def aspp(cin: int, cout: int, rates: Sequence[int]) -> nn.Sequential:
    """Atrous spatial pyramid pooling: parallel dilations and an image-level branch, concatenated."""
    atrous = (ConvBNAct(cin, cout, dilation=rate) for rate in rates)
    branches = Branches(ConvBNAct(cin, cout, 1), *atrous, ImagePooling(cin, cout))
    return nn.Sequential(branches, ConvBNAct((2 + len(rates)) * cout, cout, 1), nn.Dropout(0.1))


class DeepLab(nn.Module):
    """Backbone at output stride 8, ASPP, and a decoder that joins the low-level features of stride 4.

    The stages have the ``widths``; the second is strided, those after it are dilated by 2, 4, ...
    """

    def __init__(
        self,
        widths: Sequence[int],
        depth: int,
        context: int,
        low: int,
        rates: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvBNAct(3, widths[0], 3, stride=2), nn.MaxPool2d(3, 2, 1))
        stages: list[nn.Module] = []
        cin = widths[0]
        for index, width in enumerate(widths):
            stride, dilation = (2 if index == 1 else 1), 2 ** max(index - 1, 0)
            stages.append(dilated_block(cin, width, stride, dilation))
            stages.extend(dilated_block(width, width, 1, dilation) for _ in range(depth - 1))
            cin = width
        self.shallow = nn.Sequential(*stages[:depth])
        self.deep = nn.Sequential(*stages[depth:])
        self.aspp = aspp(cin, context, rates)
        self.low = ConvBNAct(widths[0], low, 1)
        self.decoder = nn.Sequential(ConvBNAct(context + low, context), nn.Conv2d(context, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.shallow(self.stem(x))
        context = _resize_like(self.aspp(self.deep(shallow)), shallow)
        return _resize_like(self.decoder(torch.cat((context, self.low(shallow)), dim=1)), x)


ENTRIES = (
    Entry(
        "deeplab",
        lambda: DeepLab((64, 128, 256, 512), 2, 256, 48, (6, 12, 18), 21),
        lambda: DeepLab((6, 8, 12), 1, 8, 4, (2, 3), 4),
        (1, 3, 257, 257),
        (1, 3, 32, 32),
    ),
)
