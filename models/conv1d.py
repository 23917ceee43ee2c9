"""A temporal convolutional network over audio features, ending in a keyword classifier."""

from torch import Tensor, nn

from .blocks import Residual
from .entry import Entry


def _norm_act(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm1d(channels), nn.PReLU(channels)


class TimeMean(nn.Module):
    """Average over time."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=-1)


def temporal_block(channels: int, hidden: int, kernel: int, dilation: int) -> Residual:
    """Widen, dilated depthwise, project, add (Luo and Mesgarani, Conv-TasNet, 2019)."""
    padding = dilation * (kernel - 1) // 2
    body = nn.Sequential(
        nn.Conv1d(channels, hidden, 1, bias=False),
        *_norm_act(hidden),
        nn.Conv1d(hidden, hidden, kernel, padding=padding, dilation=dilation, groups=hidden, bias=False),
        *_norm_act(hidden),
        nn.Conv1d(hidden, channels, 1),
    )
    return Residual(body)


def temporal_conv_net(
    features: int, channels: int, hidden: int, depth: int, repeats: int, num_classes: int
) -> nn.Sequential:
    """Strided stem, blocks whose dilations double (Bai et al., Generic Convolutional and Recurrent Networks
    for Sequence Modeling, 2018), pooled linear head.
    """
    stem = nn.Conv1d(features, channels, 5, stride=2, padding=2, bias=False)
    blocks = (temporal_block(channels, hidden, 3, 2**level) for _ in range(repeats) for level in range(depth))
    return nn.Sequential(stem, *_norm_act(channels), *blocks, TimeMean(), nn.Linear(channels, num_classes))


ENTRIES = (
    Entry(
        "conv1d",
        lambda: temporal_conv_net(40, 128, 256, 6, 2, 35),
        lambda: temporal_conv_net(6, 8, 16, 2, 1, 5),
        (1, 40, 400),
        (1, 6, 32),
    ),
)
