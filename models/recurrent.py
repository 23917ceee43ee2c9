"""Small recurrent networks: taggers, a text recognizer, a model that carries its state between calls."""

from typing import Literal

import torch
from torch import Tensor, nn

from .export import Exporter
from .interface import Architecture, Input

_TOKENS = {0: "batch", 1: "sequence"}
# torch.export follows a recurrent cell step by step, which ties the graph to the length it was traced at.
_FIXED: dict[Exporter, tuple[str, ...]] = {"dynamo": ("sequence",)}


class Tagger(nn.Module):
    """A label for each token, from a bidirectional recurrent network over embeddings."""

    def __init__(self, cell: Literal["LSTM", "GRU"], layers: int, hidden: int = 24, labels: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(99, 32)
        kind = nn.LSTM if cell == "LSTM" else nn.GRU
        self.cells = kind(32, hidden, num_layers=layers, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * hidden, labels)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(self.cells(self.embedding(input_ids))[0])


class CRNN(nn.Module):
    """Convolutions whose columns a bidirectional LSTM reads, for connectionist temporal classification.

    Shi et al., An End-to-End Trainable Neural Network for Image-based Sequence Recognition, 2015.
    """

    def __init__(self, hidden: int = 24, characters: int = 11) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
        )
        self.cells = nn.LSTM(16 * 4, hidden, num_layers=2, bidirectional=True)
        self.head = nn.Linear(2 * hidden, characters)

    def forward(self, image: Tensor) -> Tensor:
        columns = self.convolutions(image).flatten(1, 2).permute(2, 0, 1)
        return torch.log_softmax(self.head(self.cells(columns)[0]), dim=-1)


class StreamingLSTM(nn.Module):
    """A projection, two LSTM layers whose state goes in and comes out, and a mask over the features."""

    def __init__(self, features: int = 20, hidden: int = 24) -> None:
        super().__init__()
        self.project = nn.Linear(features, 32)
        self.cells = nn.LSTM(32, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, features)

    def forward(self, frames: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output, (hidden, cell) = self.cells(torch.relu(self.project(frames)), (hidden, cell))
        return frames * torch.sigmoid(self.head(output)), hidden, cell


def _tagger(name: str, cell: Literal["LSTM", "GRU"], layers: int) -> Architecture:
    ids = Input("input_ids", ("batch", "sequence"), "ids")
    return Architecture(name, lambda: Tagger(cell, layers), (ids,), {"logits": _TOKENS}, fixed=_FIXED)


ENTRIES = (
    _tagger("lstm_tagger", "LSTM", 1),
    _tagger("gru_tagger", "GRU", 2),
    Architecture(
        "crnn",
        CRNN,
        (Input("image", ("batch", 1, 16, 40)),),
        {"log_probabilities": {1: "batch"}},
        {"batch": 2},
    ),
    Architecture(
        "streaming_lstm",
        StreamingLSTM,
        (
            Input("frames", ("batch", "sequence", 20)),
            Input("hidden", (2, "batch", 24)),
            Input("cell", (2, "batch", 24)),
        ),
        {"mask": _TOKENS, "hidden_out": {1: "batch"}, "cell_out": {1: "batch"}},
        fixed=_FIXED,
    ),
)
