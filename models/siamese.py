"""Two images through one shared tower (Koch et al., Siamese Neural Networks, 2015)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import ConvBNAct
from .entry import Entry


class Siamese(nn.Module):
    """A shared convolutional tower, then both embeddings and their absolute difference to a linear head."""

    def __init__(self, widths: Sequence[int], embedding: int, *, in_channels: int = 3) -> None:
        super().__init__()
        sizes = (in_channels, *widths)
        self.tower = nn.Sequential(
            *(ConvBNAct(a, b, stride=2) for a, b in zip(sizes, widths, strict=False)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(widths[-1], embedding),
        )
        self.head = nn.Sequential(nn.Linear(3 * embedding, embedding), nn.ReLU(), nn.Linear(embedding, 1))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        a, b = self.tower(left), self.tower(right)
        out: Tensor = self.head(torch.cat((a, b, (a - b).abs()), dim=1))
        return out


ENTRIES = (
    Entry(
        "siamese",
        lambda: Siamese((32, 64, 128, 256), 128),
        lambda: Siamese((8, 12, 16), 12),
        ((1, 3, 105, 105), (1, 3, 105, 105)),
        ((1, 3, 16, 16), (1, 3, 16, 16)),
    ),
)
