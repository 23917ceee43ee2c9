"""Small networks that the benchmarks of accuracy train by themselves, each with its own file in a cache.

Images are 28 x 28 gray ones (Fashion-MNIST); texts are rows of token numbers. One thread trains any of them in minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn


def _conv(c: int, o: int, k: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c, o, k, stride, k // 2, groups=groups, bias=False)


class _Residual(nn.Module):
    def __init__(self, c: int, o: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(c, o, stride=stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = _conv(o, o), nn.BatchNorm2d(o)
        self.short = nn.Identity() if c == o else nn.Sequential(_conv(c, o, 1, stride), nn.BatchNorm2d(o))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.short(x))


def resnet(classes: int = 10) -> nn.Module:
    """A residual network of 14 layers."""
    widths = (24, 24, 48, 96)
    stem = [_conv(1, 24), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2)]
    blocks: list[nn.Module] = []
    for stage, (c, o) in enumerate(pairwise(widths)):
        blocks += [_Residual(c, o, 2 if stage else 1), _Residual(o, o, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, classes))


class _Inverted(nn.Module):
    def __init__(self, c: int, o: int, stride: int, expand: int = 4) -> None:
        super().__init__()
        inner = c * expand
        self.body = nn.Sequential(
            *(_conv(c, inner, 1), nn.BatchNorm2d(inner), nn.ReLU6()),
            *(_conv(inner, inner, 3, stride, inner), nn.BatchNorm2d(inner), nn.ReLU6()),
            *(_conv(inner, o, 1), nn.BatchNorm2d(o)),
        )
        self.adds = c == o and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.adds else y


def mobilenet(classes: int = 10) -> nn.Module:
    """Inverted residuals with depthwise convolutions, as in MobileNetV2."""
    stem = [_conv(1, 16, stride=2), nn.BatchNorm2d(16), nn.ReLU6()]
    plan = ((16, 24, 1), (24, 24, 1), (24, 32, 2), (32, 32, 1), (32, 48, 2), (48, 48, 1))
    blocks = [_Inverted(c, o, stride) for c, o, stride in plan]
    head = [_conv(48, 160, 1), nn.BatchNorm2d(160), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*stem, *blocks, *head, nn.Linear(160, classes))


class _Dense(nn.Module):
    def __init__(self, c: int, growth: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(c), _conv(c, 3 * growth, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(3 * growth), _conv(3 * growth, growth)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.bn1(x)))
        return torch.cat([x, self.conv2(torch.relu(self.bn2(y)))], dim=1)


def densenet(classes: int = 10) -> nn.Module:
    """Two dense blocks of four layers each, with a transition between them."""
    growth, width = 16, 32
    layers: list[nn.Module] = [_conv(1, width, stride=2)]
    for block in range(2):
        for _ in range(4):
            layers.append(_Dense(width, growth))
            width += growth
        if block == 0:
            layers += [nn.BatchNorm2d(width), nn.ReLU(), _conv(width, width // 2, 1), nn.AvgPool2d(2)]
            width //= 2
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
    return nn.Sequential(*layers)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.per_head = width // heads
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        # The number of heads is read from the data, since pruning changes it.
        return x.reshape(*x.shape[:-1], -1, self.per_head).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._split(part(x)) for part in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(2, 3) * self.per_head**-0.5, dim=-1)
        y: Tensor = self.out((weights @ v).transpose(1, 2).flatten(2))
        return y


class _Layer(nn.Module):
    """A layer of a transformer; ``before`` tells whether the normalization stands before a part or behind the sum."""

    def __init__(self, width: int, heads: int, inner: int, before: bool) -> None:
        super().__init__()
        self.before = before
        self.norm1, self.attention = nn.LayerNorm(width), _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        if self.before:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        y: Tensor = self.norm2(x + self.mlp(x))
        return y


class _VisionTransformer(nn.Module):
    def __init__(self, classes: int, width: int = 96, heads: int = 4, depth: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 49, width) * 0.02)
        self.layers = nn.Sequential(*(_Layer(width, heads, 2 * width, True) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(self.patches(x).flatten(2).transpose(1, 2) + self.position)
        logits: Tensor = self.head(self.norm(y).mean(dim=1))
        return logits


def vit(classes: int = 10) -> nn.Module:
    """A vision transformer of four layers, four heads, width 96, on patches of 4 x 4."""
    return _VisionTransformer(classes)


class _TextClassifier(nn.Module):
    def __init__(self, classes: int, words: int, length: int, width: int = 96, heads: int = 4, depth: int = 3) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.position = nn.Embedding(length, width)
        self.register_buffer("places", torch.arange(length)[None], persistent=False)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(_Layer(width, heads, 4 * width, False) for _ in range(depth)))
        self.pooler, self.head = nn.Linear(width, width), nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        y = self.layers(self.norm(self.words(tokens) + self.position(self.places)))
        logits: Tensor = self.head(torch.tanh(self.pooler(y[:, 0])))
        return logits


def bert(classes: int, words: int, length: int) -> nn.Module:
    """A classifier like BERT: normalization behind the sums, three layers, a pooler on the first token."""
    return _TextClassifier(classes, words, length)


IMAGE_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": resnet,
    "mobilenet": mobilenet,
    "densenet": densenet,
    "vit": vit,
}
EPOCHS = {"resnet": 5, "mobilenet": 7, "densenet": 6, "vit": 3, "bert": 6}
RATES = {"resnet": 4e-3, "mobilenet": 6e-3, "densenet": 5e-3, "vit": 1.5e-3, "bert": 7e-4}
"""The peak of a one-cycle schedule of AdamW."""
