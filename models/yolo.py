"""A one-stage detector after YOLOv8 (Jocher et al., Ultralytics, 2023)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import ConvBNAct, Residual
from .entry import Entry

STRIDES = (8, 16, 32)


def _conv(cin: int, cout: int, kernel: int = 1, stride: int = 1) -> ConvBNAct:
    return ConvBNAct(cin, cout, kernel, stride=stride, act=nn.SiLU)


def bottleneck(channels: int, *, shortcut: bool) -> nn.Module:
    """Two 3x3 convolutions, around the identity in the backbone."""
    body = nn.Sequential(_conv(channels, channels, 3), _conv(channels, channels, 3))
    return Residual(body) if shortcut else body


class C2f(nn.Module):
    """Split in two, refine one half step by step, concatenate every step."""

    def __init__(self, cin: int, cout: int, depth: int, *, shortcut: bool = False) -> None:
        super().__init__()
        half = cout // 2
        self.enter = _conv(cin, 2 * half)
        self.steps = nn.ModuleList(bottleneck(half, shortcut=shortcut) for _ in range(depth))
        self.leave = _conv((2 + depth) * half, cout)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.enter(x).chunk(2, dim=1))
        for step in self.steps:
            parts.append(step(parts[-1]))
        out: Tensor = self.leave(torch.cat(parts, dim=1))
        return out


class SPPF(nn.Module):
    """Spatial pyramid pooling by one max pool applied three times."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.enter = _conv(cin, cin // 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = _conv(4 * (cin // 2), cout)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        out: Tensor = self.leave(torch.cat(parts, dim=1))
        return out


class DFL(nn.Module):
    """The mean of a distance's distribution, by a fixed 1x1 convolution (Li et al., Generalized Focal Loss,
    2020).
    """

    weight: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.register_buffer("weight", torch.arange(bins, dtype=torch.float).view(1, bins, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, anchors = x.shape
        bins = x.view(batch, 4, self.bins, anchors).transpose(2, 1).softmax(dim=1)
        return F.conv2d(bins, self.weight).view(batch, 4, anchors)


def _anchors(size: int) -> tuple[Tensor, Tensor]:
    """The center of every cell, in cells, and the cells' strides, over the three scales."""
    points, strides = [], []
    for stride in STRIDES:
        steps = torch.arange(size // stride) + 0.5
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        points.append(torch.stack((x.flatten(), y.flatten())))
        strides.append(torch.full((1, x.numel()), float(stride)))
    return torch.cat(points, dim=1).unsqueeze(0), torch.cat(strides, dim=1)


class Detect(nn.Module):
    """Decoupled box and class branches at each scale; center, size and class scores over all cells."""

    anchors: Tensor
    strides: Tensor

    def __init__(self, channels: tuple[int, ...], classes: int, bins: int, size: int) -> None:
        super().__init__()
        self.classes, self.outputs = classes, 4 * bins + classes
        box, cls = max(16, channels[0] // 4, 4 * bins), max(channels[0], min(classes, 100))
        self.box = nn.ModuleList(self._branch(cin, box, 4 * bins) for cin in channels)
        self.cls = nn.ModuleList(self._branch(cin, cls, classes) for cin in channels)
        self.dfl = DFL(bins)
        anchors, strides = _anchors(size)
        self.register_buffer("anchors", anchors)
        self.register_buffer("strides", strides)

    @staticmethod
    def _branch(cin: int, hidden: int, cout: int) -> nn.Sequential:
        return nn.Sequential(_conv(cin, hidden, 3), _conv(hidden, hidden, 3), nn.Conv2d(hidden, cout, 1))

    def forward(self, maps: list[Tensor]) -> Tensor:
        scales = [
            torch.cat((box(x), cls(x)), dim=1).view(x.shape[0], self.outputs, -1)
            for x, box, cls in zip(maps, self.box, self.cls, strict=True)
        ]
        box, cls = torch.split(torch.cat(scales, dim=2), [self.outputs - self.classes, self.classes], dim=1)
        near, far = self.dfl(box).chunk(2, dim=1)
        low, high = self.anchors - near, self.anchors + far
        return torch.cat((torch.cat(((low + high) / 2, high - low), dim=1) * self.strides, cls.sigmoid()), dim=1)


class YOLO(nn.Module):
    """Backbone to stride 32, path-aggregation neck (Liu et al., PANet, 2018), detection head.

    ``width`` is the stem's channels, ``depth`` the bottlenecks in a stage, ``size`` the side of the image.
    """

    def __init__(self, width: int, depth: int, classes: int, size: int, *, bins: int = 16) -> None:
        super().__init__()
        c2, c3, c4, c5 = (width * factor for factor in (2, 4, 8, 16))
        self.p3 = nn.Sequential(
            _conv(3, width, 3, 2),
            _conv(width, c2, 3, 2),
            C2f(c2, c2, depth, shortcut=True),
            _conv(c2, c3, 3, 2),
            C2f(c3, c3, 2 * depth, shortcut=True),
        )
        self.p4 = nn.Sequential(_conv(c3, c4, 3, 2), C2f(c4, c4, 2 * depth, shortcut=True))
        self.p5 = nn.Sequential(_conv(c4, c5, 3, 2), C2f(c5, c5, depth, shortcut=True), SPPF(c5, c5))
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.up4 = C2f(c5 + c4, c4, depth)
        self.up3 = C2f(c4 + c3, c3, depth)
        self.down3 = _conv(c3, c3, 3, 2)
        self.out4 = C2f(c3 + c4, c4, depth)
        self.down4 = _conv(c4, c4, 3, 2)
        self.out5 = C2f(c4 + c5, c5, depth)
        self.detect = Detect((c3, c4, c5), classes, bins, size)

    def forward(self, x: Tensor) -> Tensor:
        p3 = self.p3(x)
        p4 = self.p4(p3)
        p5 = self.p5(p4)
        n4 = self.up4(torch.cat((self.upsample(p5), p4), dim=1))
        n3 = self.up3(torch.cat((self.upsample(n4), p3), dim=1))
        n4 = self.out4(torch.cat((self.down3(n3), n4), dim=1))
        n5 = self.out5(torch.cat((self.down4(n4), p5), dim=1))
        out: Tensor = self.detect([n3, n4, n5])
        return out


ENTRIES = (
    Entry(
        "yolov8",
        lambda: YOLO(16, 1, 80, 640),
        lambda: YOLO(4, 1, 3, 32),
        (1, 3, 640, 640),
        (1, 3, 32, 32),
    ),
)
