"""Networks of convolutions, attention within windows, and attention across them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import ConvBNAct, Residual, SqueezeExcite
from .entry import Entry

EPS = 1e-3
"""Of batch normalization, as it was trained."""


class BiasedAttention(nn.Module):
    """Self-attention within the rows of ``[batch, windows, places, channels]``, with a bias for each distance."""

    distance: Tensor

    def __init__(self, channels: int, head_dim: int, window: int) -> None:
        super().__init__()
        self.heads, self.head_dim, self.scale = channels // head_dim, head_dim, channels**-0.5
        self.to_qkv, self.merge = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, self.heads))
        rows, columns = torch.arange(window).repeat_interleave(window), torch.arange(window).repeat(window)
        distance = [axis[:, None] - axis[None, :] + window - 1 for axis in (rows, columns)]
        self.register_buffer("distance", distance[0] * (2 * window - 1) + distance[1])

    def forward(self, x: Tensor) -> Tensor:
        batch, windows, places, channels = x.shape
        split = (batch, windows, places, self.heads, self.head_dim)
        query, key, value = (part.reshape(split).permute(0, 1, 3, 2, 4) for part in self.to_qkv(x).split(channels, -1))
        scores = query @ (key * self.scale).transpose(-2, -1)
        bias = self.bias[self.distance.flatten()].view(places, places, -1).permute(2, 0, 1)
        mixed = (scores + bias).softmax(-1) @ value
        out: Tensor = self.merge(mixed.permute(0, 1, 3, 2, 4).reshape(batch, windows, places, channels))
        return out


class PartitionedBlock(nn.Module):
    """A transformer block on the windows of an image, or (``grid``) on places that lie as far apart as windows."""

    def __init__(self, channels: int, head_dim: int, window: int, *, grid: bool) -> None:
        super().__init__()
        self.window, self.grid = window, grid
        self.attention = nn.Sequential(nn.LayerNorm(channels), BiasedAttention(channels, head_dim, window))
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )

    def forward(self, image: Tensor) -> Tensor:
        batch, channels, height, width = image.shape
        sizes = (height // self.window, width // self.window) if self.grid else (self.window, self.window)
        down, across = height // sizes[0], width // sizes[1]
        x = image.reshape(batch, channels, down, sizes[0], across, sizes[1]).permute(0, 2, 4, 3, 5, 1)
        x = x.reshape(batch, down * across, sizes[0] * sizes[1], channels)
        x = x.transpose(1, 2) if self.grid else x
        x = x + self.attention(x)
        x = x + self.mlp(x)
        x = x.transpose(1, 2) if self.grid else x
        x = x.reshape(batch, down, across, *sizes, channels).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(batch, channels, height, width)


def inverted_residual(in_channels: int, channels: int, stride: int) -> Residual:
    """Normalize, widen, a depthwise convolution, squeeze and excite, narrow; the shortcut is pooled."""
    hidden = 4 * channels
    shortcut = None
    if stride > 1 or in_channels != channels:
        pool = [nn.AvgPool2d(3, stride, padding=1)] if stride > 1 else []
        shortcut = nn.Sequential(*pool, nn.Conv2d(in_channels, channels, 1))
    body = nn.Sequential(
        nn.BatchNorm2d(in_channels, eps=EPS),
        ConvBNAct(in_channels, hidden, 1, act=nn.GELU, eps=EPS),
        ConvBNAct(hidden, hidden, 3, stride, groups=hidden, act=nn.GELU, eps=EPS),
        SqueezeExcite(hidden, channels // 4, act=nn.SiLU),
        nn.Conv2d(hidden, channels, 1),
    )
    return Residual(body, shortcut)


def maxvit(
    stem: int = 64,
    widths: Sequence[int] = (64, 128, 256, 512),
    depths: Sequence[int] = (2, 2, 5, 2),
    *,
    head_dim: int = 32,
    window: int = 7,
    num_classes: int = 1000,
) -> nn.Sequential:
    """MaxViT-T (Tu et al., MaxViT: Multi-Axis Vision Transformer, 2022)."""
    model = nn.Sequential(ConvBNAct(3, stem, 3, 2, act=nn.GELU, eps=EPS), nn.Conv2d(stem, stem, 3, padding=1))
    channels = stem
    for width, depth in zip(widths, depths, strict=True):
        for number in range(depth):
            model.append(inverted_residual(channels, width, 2 if number == 0 else 1))
            channels = width
            model.extend(PartitionedBlock(channels, head_dim, window, grid=grid) for grid in (False, True))
    return model.extend(
        (
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.LayerNorm(channels),
            nn.Linear(channels, channels),
            nn.Tanh(),
            nn.Linear(channels, num_classes, bias=False),
        )
    )


ENTRIES = (
    Entry(
        "maxvit_tiny",
        maxvit,
        lambda: maxvit(8, (16, 32), (1, 2), head_dim=8, window=2, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
)
