"""The record that each model family contributes to the zoo."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A model at its published size and at a size fit for a test.

    Both shapes include a batch of 1; a model of several inputs gives a tuple of shapes for each.
    """

    name: str
    build: Callable[[], nn.Module]
    tiny: Callable[[], nn.Module]
    input_shape: Shape | tuple[Shape, ...]
    tiny_shape: Shape | tuple[Shape, ...]
