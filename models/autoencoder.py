"""Autoencoder with a dense bottleneck (Masci et al., Stacked Convolutional Auto-Encoders, 2011)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from .blocks import ConvBNAct
from .entry import Entry


def _up(cin: int, cout: int, groups: int) -> nn.Sequential:
    """A transposed convolution that doubles the image, with batch norm and ReLU."""
    conv = nn.ConvTranspose2d(cin, cout, 4, 2, 1, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), nn.ReLU())


class Autoencoder(nn.Sequential):
    """Strided convolutions down to a flat code, then (grouped) transposed convolutions back to the image."""

    def __init__(self, widths: Sequence[int], code: int, size: int, *, in_channels: int = 1, groups: int = 1) -> None:
        small = size >> len(widths)
        flat = widths[-1] * small * small
        super().__init__(
            *(ConvBNAct(a, b, stride=2) for a, b in pairwise((in_channels, *widths))),
            nn.Flatten(),
            nn.Linear(flat, code),
            nn.ReLU(),
            nn.Linear(code, flat),
            nn.ReLU(),
            nn.Unflatten(1, (widths[-1], small, small)),
            *(_up(a, b, groups) for a, b in pairwise(reversed(widths))),
            nn.ConvTranspose2d(widths[0], in_channels, 4, 2, 1),
            nn.Sigmoid(),
        )


ENTRIES = (
    Entry(
        "autoencoder",
        lambda: Autoencoder((32, 64, 128), 64, 64, in_channels=3),
        lambda: Autoencoder((6, 8, 12), 10, 16),
        (1, 3, 64, 64),
        (1, 1, 16, 16),
    ),
    Entry(
        "autoencoder_grouped",
        lambda: Autoencoder((32, 64, 128), 64, 64, in_channels=3, groups=4),
        lambda: Autoencoder((8, 12, 16), 10, 16, groups=2),
        (1, 3, 64, 64),
        (1, 1, 16, 16),
    ),
)
