"""Building blocks that several model families share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of ``divisor``, never more than a tenth below the value asked for."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


class ConvBNAct(nn.Sequential):
    """Convolution, batch normalization and optionally an activation; padded to keep the size by default."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 3,
        stride: int = 1,
        *,
        padding: int | tuple[int, int] | None = None,
        dilation: int = 1,
        groups: int = 1,
        act: Activation | None = nn.ReLU,
        eps: float = 1e-5,
    ) -> None:
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        if padding is None:
            padding = ((kh - 1) // 2 * dilation, (kw - 1) // 2 * dilation)
        super().__init__(
            nn.Conv2d(in_channels, out_channels, (kh, kw), stride, padding, dilation, groups, bias=False),
            nn.BatchNorm2d(out_channels, eps=eps),
        )
        if act is not None:
            self.append(act())


class Residual(nn.Module):
    """``act(body(x) + shortcut(x))``, where both the shortcut's layers and the activation are optional."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, act: Activation | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.act = nn.Identity() if act is None else act()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.body(x) + self.shortcut(x))
        return out


class Branches(nn.Module):
    """Apply every branch to the same input and concatenate the results' channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class SqueezeExcite(nn.Module):
    """Channel attention from global context (Hu et al., Squeeze-and-Excitation Networks, 2018)."""

    def __init__(self, channels: int, squeezed: int, act: Activation = nn.ReLU, gate: Activation = nn.Sigmoid) -> None:
        super().__init__()
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            act(),
            nn.Conv2d(squeezed, channels, 1),
            gate(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.scale(x) * x
        return out


class ChannelShuffle(nn.Module):
    """Interleave the channels of the groups (Zhang et al., ShuffleNet, 2018)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.size()
        x = x.view(batch, self.groups, channels // self.groups, height, width)
        return x.transpose(1, 2).contiguous().view(batch, channels, height, width)


class Permute(nn.Module):
    """Reorder the dimensions."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)


class SpatialMean(nn.Module):
    """Average over height and width by a reduction rather than by pooling."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean([2, 3])


def pooled_classifier(channels: int, num_classes: int, dropout: float = 0.0) -> nn.Sequential:
    """Global average pooling and one linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes))


def inverted_residual(
    in_channels: int,
    hidden: int,
    out_channels: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    act: Activation = nn.ReLU,
    attention: nn.Module | None = None,
    eps: float = 1e-5,
) -> nn.Module:
    """Expand, filter by depth, optionally attend, project (Sandler et al., MobileNetV2, 2018)."""
    body = nn.Sequential()
    if hidden != in_channels:
        body.append(ConvBNAct(in_channels, hidden, 1, act=act, eps=eps))
    body.append(ConvBNAct(hidden, hidden, kernel, stride, groups=hidden, act=act, eps=eps))
    if attention is not None:
        body.append(attention)
    body.append(ConvBNAct(hidden, out_channels, 1, act=None, eps=eps))
    return Residual(body) if stride == 1 and in_channels == out_channels else body
