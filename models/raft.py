"""Optical flow by recurrent refinement (Teed and Deng, RAFT, 2020)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import Residual
from .entry import Entry

_CELL = 8
"""A feature stands for 8 x 8 pixels."""

Normalization = Callable[[int], nn.Module]


def _encoder(widths: Sequence[int], out_channels: int, norm: Normalization) -> nn.Sequential:
    stem = widths[0]
    layers: list[nn.Module] = [nn.Conv2d(3, stem, 7, 2, 3), norm(stem), nn.ReLU()]
    for k, (channels, width) in enumerate(zip((stem, *widths), widths, strict=False)):
        layers += [_block(channels, width, 2 if k else 1, norm), _block(width, width, 1, norm)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], out_channels, 1))


def _block(in_channels: int, out_channels: int, stride: int, norm: Normalization) -> Residual:
    body = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1),
        norm(out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, 1, 1),
        norm(out_channels),
        nn.ReLU(),
    )
    if stride == 1:
        return Residual(body, act=nn.ReLU)
    return Residual(body, nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride), norm(out_channels)), nn.ReLU)


class _SeparableGRU(nn.Module):
    """A gated recurrent unit of 1 x 5 convolutions, then one of 5 x 1."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        shapes: tuple[tuple[int, int], ...] = ((1, 5), (5, 1))
        self.gates = nn.ModuleList(nn.Conv2d(hidden + inputs, 2 * hidden, k, padding="same") for k in shapes)
        self.candidates = nn.ModuleList(nn.Conv2d(hidden + inputs, hidden, k, padding="same") for k in shapes)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        for gates, candidate in zip(self.gates, self.candidates, strict=True):
            update, reset = gates(torch.cat((h, x), dim=1)).sigmoid().chunk(2, dim=1)
            new = candidate(torch.cat((reset * h, x), dim=1)).tanh()
            h = (1 - update) * h + update * new
        return h


class _MotionEncoder(nn.Module):
    """Correlation and flow so far, as features; the flow itself is handed on as two of them."""

    def __init__(self, correlations: int, widths: tuple[int, int, int, int], out_channels: int) -> None:
        super().__init__()
        a, b, c, d = widths
        self.correlation = nn.Sequential(nn.Conv2d(correlations, a, 1), nn.ReLU(), nn.Conv2d(a, b, 3, padding=1))
        self.flow = nn.Sequential(nn.Conv2d(2, c, 7, padding=3), nn.ReLU(), nn.Conv2d(c, d, 3, padding=1))
        self.join = nn.Conv2d(b + d, out_channels - 2, 3, padding=1)

    def forward(self, correlation: Tensor, flow: Tensor) -> Tensor:
        joined = torch.cat((self.correlation(correlation).relu(), self.flow(flow).relu()), dim=1)
        return torch.cat((self.join(joined).relu(), flow), dim=1)


class RAFT(nn.Module):
    """The flow ``[n, 2, h, w]`` between two images ``[n, 3, h, w]``, of sides that are multiples of 8."""

    def __init__(
        self,
        widths: Sequence[int],
        features: int,
        hidden: int,
        motion: tuple[int, int, int, int],
        *,
        levels: int,
        radius: int,
        iterations: int,
    ) -> None:
        super().__init__()
        self.hidden, self.levels, self.radius, self.iterations = hidden, levels, radius, iterations
        self.features = _encoder(widths, features, nn.InstanceNorm2d)
        self.context = _encoder(widths, 2 * hidden, nn.BatchNorm2d)
        self.motion = _MotionEncoder(levels * (2 * radius + 1) ** 2, motion, hidden)
        self.update = _SeparableGRU(hidden, 2 * hidden)
        self.flow = _head(hidden, 2, 3)
        self.mask = _head(hidden, 9 * _CELL**2, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        pyramid = self._correlations(self.features(first), self.features(second))
        state, context = self.context(first).split(self.hidden, dim=1)
        state, context = state.tanh(), context.relu()
        start = _grid(state)
        current = start
        for _ in range(self.iterations):
            motion = self.motion(self._lookup(pyramid, current), current - start)
            state = self.update(state, torch.cat((context, motion), dim=1))
            current = current + self.flow(state)
        return _upsampled(current - start, 0.25 * self.mask(state))

    def _correlations(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """All pairs of features, ``[n * h * w, 1, h, w]``, and the same at halves of the size."""
        n, c, h, w = first.shape
        pairs = first.flatten(2).transpose(1, 2) @ second.flatten(2)
        pyramid = [pairs.reshape(n * h * w, 1, h, w) / c**0.5]
        for _ in range(self.levels - 1):
            pyramid.append(F.avg_pool2d(pyramid[-1], 2, 2))
        return pyramid

    def _lookup(self, pyramid: Sequence[Tensor], centers: Tensor) -> Tensor:
        """The correlations around where each feature moved to: ``[n, levels * side * side, h, w]``."""
        n, _, h, w = centers.shape
        side = 2 * self.radius + 1
        line = torch.linspace(-self.radius, self.radius, side)
        offsets = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1)
        points = centers.permute(0, 2, 3, 1).reshape(n * h * w, 1, 1, 2)
        found = []
        for k, level in enumerate(pyramid):
            x, y = (points / 2**k + offsets).split(1, dim=-1)
            height, width = level.shape[-2:]
            grid = torch.cat((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), dim=-1)
            found.append(F.grid_sample(level, grid, align_corners=True).reshape(n, h, w, side * side))
        return torch.cat(found, dim=-1).permute(0, 3, 1, 2)


def _head(hidden: int, out_channels: int, kernel: int) -> nn.Sequential:
    wide = nn.Conv2d(hidden, 2 * hidden, 3, padding=1)
    return nn.Sequential(wide, nn.ReLU(), nn.Conv2d(2 * hidden, out_channels, kernel, padding=kernel // 2))


def _grid(like: Tensor) -> Tensor:
    """The coordinates of every position, x first: ``[n, 2, h, w]``."""
    n, _, h, w = like.shape
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack((x, y)).float().expand(n, 2, h, w)


def _upsampled(flow: Tensor, mask: Tensor) -> Tensor:
    """Every pixel is a convex combination of the nine coarse neighbors, which the mask weighs."""
    n, _, h, w = flow.shape
    weights = mask.view(n, 1, 9, _CELL, _CELL, h, w).softmax(dim=2)
    neighbors = F.unfold(_CELL * flow, 3, padding=1).view(n, 2, 9, 1, 1, h, w)
    fine = (weights * neighbors).sum(dim=2).permute(0, 1, 4, 2, 5, 3)
    return fine.reshape(n, 2, _CELL * h, _CELL * w)


ENTRIES = (
    Entry(
        "raft",
        lambda: RAFT((64, 96, 128), 256, 128, (256, 192, 128, 64), levels=4, radius=4, iterations=12),
        lambda: RAFT((8, 12, 16), 16, 8, (16, 12, 8, 6), levels=2, radius=1, iterations=2),
        ((1, 3, 128, 128), (1, 3, 128, 128)),
        ((1, 3, 32, 32), (1, 3, 32, 32)),
    ),
)
