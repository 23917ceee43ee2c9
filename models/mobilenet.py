"""Networks for mobile devices: MobileNet v1, v2 and v3."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from .blocks import ConvBNAct, SqueezeExcite, inverted_residual, make_divisible, pooled_classifier
from .entry import Entry

V1_STAGES = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))
"""Channels and number of separable convolutions; every stage but the first halves the image."""

V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repetitions, stride."""


def mobilenet_v1(
    *, stages: Sequence[tuple[int, int]] = V1_STAGES, width: float = 1.0, num_classes: int = 1000
) -> nn.Sequential:
    """Depthwise separable convolutions (Howard et al., MobileNets, 2017)."""
    channels = int(32 * width)
    model = nn.Sequential(ConvBNAct(3, channels, stride=2))
    for stage, (out_channels, repeats) in enumerate(stages):
        out_channels = int(out_channels * width)
        for index in range(repeats):
            stride = 2 if stage > 0 and index == 0 else 1
            model.append(ConvBNAct(channels, channels, stride=stride, groups=channels))
            model.append(ConvBNAct(channels, out_channels, 1))
            channels = out_channels
    model.append(pooled_classifier(channels, num_classes))
    return model


def mobilenet_v2(
    *,
    stages: Sequence[tuple[int, int, int, int]] = V2_STAGES,
    width: float = 1.0,
    last: int = 1280,
    num_classes: int = 1000,
) -> nn.Sequential:
    """Inverted residuals with linear bottlenecks (Sandler et al., MobileNetV2, 2018)."""
    channels = make_divisible(32 * width)
    model = nn.Sequential(ConvBNAct(3, channels, stride=2, act=nn.ReLU6))
    for expansion, planes, repeats, first_stride in stages:
        out_channels = make_divisible(planes * width)
        for index in range(repeats):
            stride = first_stride if index == 0 else 1
            hidden = channels * expansion
            model.append(inverted_residual(channels, hidden, out_channels, stride=stride, act=nn.ReLU6))
            channels = out_channels
    model.append(ConvBNAct(channels, last, 1, act=nn.ReLU6))
    model.append(pooled_classifier(last, num_classes, dropout=0.2))
    return model


class V3Row(NamedTuple):
    """One block of MobileNet v3."""

    kernel: int
    hidden: int
    channels: int
    attention: bool
    act: type[nn.ReLU] | type[nn.Hardswish]
    stride: int


V3_LARGE = (
    V3Row(3, 16, 16, False, nn.ReLU, 1),
    V3Row(3, 64, 24, False, nn.ReLU, 2),
    V3Row(3, 72, 24, False, nn.ReLU, 1),
    V3Row(5, 72, 40, True, nn.ReLU, 2),
    V3Row(5, 120, 40, True, nn.ReLU, 1),
    V3Row(5, 120, 40, True, nn.ReLU, 1),
    V3Row(3, 240, 80, False, nn.Hardswish, 2),
    V3Row(3, 200, 80, False, nn.Hardswish, 1),
    V3Row(3, 184, 80, False, nn.Hardswish, 1),
    V3Row(3, 184, 80, False, nn.Hardswish, 1),
    V3Row(3, 480, 112, True, nn.Hardswish, 1),
    V3Row(3, 672, 112, True, nn.Hardswish, 1),
    V3Row(5, 672, 160, True, nn.Hardswish, 2),
    V3Row(5, 960, 160, True, nn.Hardswish, 1),
    V3Row(5, 960, 160, True, nn.Hardswish, 1),
)

V3_SMALL = (
    V3Row(3, 16, 16, True, nn.ReLU, 2),
    V3Row(3, 72, 24, False, nn.ReLU, 2),
    V3Row(3, 88, 24, False, nn.ReLU, 1),
    V3Row(5, 96, 40, True, nn.Hardswish, 2),
    V3Row(5, 240, 40, True, nn.Hardswish, 1),
    V3Row(5, 240, 40, True, nn.Hardswish, 1),
    V3Row(5, 120, 48, True, nn.Hardswish, 1),
    V3Row(5, 144, 48, True, nn.Hardswish, 1),
    V3Row(5, 288, 96, True, nn.Hardswish, 2),
    V3Row(5, 576, 96, True, nn.Hardswish, 1),
    V3Row(5, 576, 96, True, nn.Hardswish, 1),
)


def mobilenet_v3(rows: Sequence[V3Row], last: int, *, width: float = 1.0, num_classes: int = 1000) -> nn.Sequential:
    """Searched blocks with attention and hard activations (Howard et al., MobileNetV3, 2019)."""
    eps = 1e-3
    channels = make_divisible(16 * width)
    model = nn.Sequential(ConvBNAct(3, channels, stride=2, act=nn.Hardswish, eps=eps))
    for row in rows:
        hidden, out_channels = make_divisible(row.hidden * width), make_divisible(row.channels * width)
        squeezed = make_divisible(hidden // 4)
        attention = SqueezeExcite(hidden, squeezed, gate=nn.Hardsigmoid) if row.attention else None
        model.append(
            inverted_residual(
                channels,
                hidden,
                out_channels,
                kernel=row.kernel,
                stride=row.stride,
                act=row.act,
                attention=attention,
                eps=eps,
            )
        )
        channels = out_channels
    last = make_divisible(last * width)
    model.extend(
        (
            ConvBNAct(channels, 6 * channels, 1, act=nn.Hardswish, eps=eps),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6 * channels, last),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(last, num_classes),
        )
    )
    return model


ENTRIES = (
    Entry(
        "mobilenet_v1",
        mobilenet_v1,
        lambda: mobilenet_v1(stages=((64, 1), (128, 2), (256, 2)), width=0.25, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
    Entry(
        "mobilenet_v2",
        mobilenet_v2,
        lambda: mobilenet_v2(
            stages=((1, 16, 1, 1), (6, 32, 2, 2), (6, 48, 3, 2), (6, 64, 2, 1)),
            width=0.5,
            last=64,
            num_classes=10,
        ),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
    Entry(
        "mobilenet_v3_small",
        lambda: mobilenet_v3(V3_SMALL, 1024),
        lambda: mobilenet_v3(V3_SMALL[:7], 64, width=0.5, num_classes=10),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
    Entry(
        "mobilenet_v3_large",
        lambda: mobilenet_v3(V3_LARGE, 1280),
        lambda: mobilenet_v3(
            [V3_LARGE[index] for index in (0, 1, 2, 3, 4, 6, 7, 10, 11)], 64, width=0.5, num_classes=10
        ),
        (1, 3, 224, 224),
        (1, 3, 32, 32),
    ),
)
