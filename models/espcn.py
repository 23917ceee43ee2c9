"""Super-resolution by sub-pixel convolution: ESPCN, and the residual EDSR with several upsampling stages."""

from torch import Tensor, nn

from .entry import Entry


def _conv(cin: int, cout: int, kernel: int = 3) -> nn.Conv2d:
    """A "same" convolution with bias; these networks use no normalization."""
    return nn.Conv2d(cin, cout, kernel, padding=kernel // 2)


class ESPCN(nn.Sequential):
    """Sub-pixel super-resolution (Shi et al., Real-Time Single Image and Video Super-Resolution, 2016)."""

    def __init__(self, width: int = 64, scale: int = 3, channels: int = 3) -> None:
        super().__init__(
            _conv(channels, width, 5),
            nn.Tanh(),
            _conv(width, width // 2),
            nn.Tanh(),
            _conv(width // 2, channels * scale**2),
            nn.PixelShuffle(scale),
        )


class ResidualBlock(nn.Module):
    """Two convolutions around the identity, the branch scaled by a constant."""

    def __init__(self, width: int, scaling: float) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), nn.ReLU(), _conv(width, width))
        self.scaling = scaling

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.body(x) * self.scaling
        return x + scaled


class EDSR(nn.Module):
    """Residual super-resolution (Lim et al., Enhanced Deep Residual Networks, 2017).

    Each stage doubles the image, so the channels behind a pixel shuffle feed further convolutions.
    """

    def __init__(self, width: int = 64, depth: int = 16, stages: int = 2, channels: int = 3) -> None:
        super().__init__()
        self.head = _conv(channels, width)
        self.body = nn.Sequential(*(ResidualBlock(width, 0.1) for _ in range(depth)), _conv(width, width))
        up = (nn.Sequential(_conv(width, 4 * width), nn.PixelShuffle(2)) for _ in range(stages))
        self.tail = nn.Sequential(*up, _conv(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        out: Tensor = self.tail(x + self.body(x))
        return out


ENTRIES = (
    Entry("espcn", lambda: ESPCN(64, 3), lambda: ESPCN(12, 2), (1, 3, 128, 128), (1, 3, 16, 16)),
    Entry("edsr", lambda: EDSR(64, 16, 2), lambda: EDSR(6, 2, 2), (1, 3, 64, 64), (1, 3, 16, 16)),
)
