"""Small convolutional networks whose residual branches end in channel or spatial attention."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import ConvBNAct, Residual, pooled_classifier
from .entry import Entry


class LinearSqueezeExcite(nn.Module):
    """Channel attention with linear layers (Hu et al., Squeeze-and-Excitation Networks, 2018)."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = channels // reduction
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        pooled = F.adaptive_avg_pool2d(x, 1).view(batch, channels)
        gate: Tensor = self.gate(pooled)
        return x * gate.view(batch, channels, 1, 1)


class CBAM(nn.Module):
    """One perceptron over each channel's average and maximum, then a convolution over the mean and maximum
    across channels (Woo et al., Convolutional Block Attention Module, 2018).
    """

    def __init__(self, channels: int, reduction: int = 4, kernel: int = 7) -> None:
        super().__init__()
        hidden = channels // reduction
        self.shared = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        average, maximum = F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)
        x = x * torch.sigmoid(self.shared(average) + self.shared(maximum))
        across = torch.cat((x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)), dim=1)
        return x * torch.sigmoid(self.spatial(across))


class ECA(nn.Module):
    """A 1-D convolution along the channels (Wang et al., Efficient Channel Attention, 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = int(math.log2(channels) + 1) // 2 | 1
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(-1, -2)
        return x * torch.sigmoid(self.conv(pooled).transpose(-1, -2).unsqueeze(-1))


Attention = Callable[[int], nn.Module]


def attention_block(cin: int, cout: int, stride: int, attention: Attention) -> Residual:
    """Two 3x3 convolutions and an attention module, around a shortcut projected where the shape changes."""
    body = nn.Sequential(ConvBNAct(cin, cout, stride=stride), ConvBNAct(cout, cout, act=None), attention(cout))
    same = cin == cout and stride == 1
    return Residual(body, None if same else ConvBNAct(cin, cout, 1, stride, act=None), nn.ReLU)


def attention_net(widths: Sequence[int], depth: int, num_classes: int, attention: Attention) -> nn.Sequential:
    """A stem, a stage of residual blocks for each width, pooled linear head."""
    model = nn.Sequential(ConvBNAct(3, widths[0]))
    channels = widths[0]
    for stage, width in enumerate(widths):
        for index in range(depth):
            stride = 2 if stage > 0 and index == 0 else 1
            model.append(attention_block(channels, width, stride, attention))
            channels = width
    model.append(pooled_classifier(channels, num_classes))
    return model


def _entry(name: str, attention: Attention) -> Entry:
    return Entry(
        name,
        lambda: attention_net((64, 128, 256), 3, 10, attention),
        lambda: attention_net((8, 12), 2, 5, attention),
        (1, 3, 32, 32),
        (1, 3, 16, 16),
    )


ENTRIES = (
    _entry("attention_se", LinearSqueezeExcite),
    _entry("attention_cbam", CBAM),
    _entry("attention_eca", ECA),
)
