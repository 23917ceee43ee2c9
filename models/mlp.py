"""Multi-layer perceptrons: plain, with batch norm, and residual with layer norm."""

from collections.abc import Sequence

from torch import nn

from .blocks import Residual
from .entry import Entry


def mlp(features: int, hidden: Sequence[int], num_classes: int, *, batch_norm: bool = False) -> nn.Sequential:
    """Linear layers with ReLU between (Rumelhart et al., Learning Representations by Back-Propagating Errors,
    1986), and with batch norm if asked (Ioffe and Szegedy, Batch Normalization, 2015).
    """
    model = nn.Sequential(nn.Flatten())
    for width in hidden:
        model.append(nn.Linear(features, width, bias=not batch_norm))
        if batch_norm:
            model.append(nn.BatchNorm1d(width))
        model.append(nn.ReLU())
        features = width
    return model.append(nn.Linear(features, num_classes))


def residual_block(width: int, hidden: int) -> Residual:
    """A pre-normalized two-layer perceptron around the identity."""
    return Residual(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)))


def residual_mlp(features: int, width: int, hidden: int, depth: int, num_classes: int) -> nn.Sequential:
    """Residual blocks on tabular features (Gorishniy et al., Revisiting Deep Learning Models for Tabular
    Data, 2021), here with layer norm.
    """
    blocks = (residual_block(width, hidden) for _ in range(depth))
    return nn.Sequential(nn.Linear(features, width), *blocks, nn.LayerNorm(width), nn.Linear(width, num_classes))


ENTRIES = (
    Entry(
        "mlp",
        lambda: mlp(784, (512, 256), 10),
        lambda: mlp(64, (24, 16), 10),
        (1, 1, 28, 28),
        (1, 1, 8, 8),
    ),
    Entry(
        "mlp_bn",
        lambda: mlp(784, (512, 256), 10, batch_norm=True),
        lambda: mlp(64, (24, 16), 10, batch_norm=True),
        (1, 1, 28, 28),
        (1, 1, 8, 8),
    ),
    Entry(
        "mlp_residual",
        lambda: residual_mlp(256, 192, 384, 4, 10),
        lambda: residual_mlp(20, 16, 24, 2, 10),
        (1, 256),
        (1, 20),
    ),
)
