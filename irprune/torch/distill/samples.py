"""Inputs with the original's values for them, in batches that follow from a seed alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...ir.core import Array
from ...runtime.executable import Executable
from ...runtime.feeds import Feeds, InputType
from ...runtime.session import RunFailure

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Examples:
    """Tensors by the names of inputs and values, one mapping for each run of the model.

    Where the first axis counts samples (``stacked``), the runs are one, and batches are drawn from it.
    """

    runs: tuple[Batch, ...]
    stacked: bool

    @staticmethod
    def of(runs: Sequence[Batch], inputs: Sequence[InputType], alone: Batch | None) -> Examples:
        """Runs as one where the first axis of everything counts samples, and all other sizes are equal.

        ``alone`` is the run of one sample (see :func:`alone`): a first axis that counts steps, as many as there are
        samples by chance, is not of size one there.
        """
        open_ended = alone is not None and all(tensor.ndim and len(tensor) == 1 for tensor in alone.values())
        open_ended = open_ended and all(spec.dims and spec.first is None for spec in inputs)
        counts = [{len(tensor) if tensor.ndim else 0 for tensor in run.values()} for run in runs]
        shapes = {tuple((name, tensor.shape[1:]) for name, tensor in run.items()) for run in runs}
        if not (open_ended and len(shapes) == 1 and all(len(found) == 1 for found in counts)):
            return Examples(tuple(runs), False)
        joined = {name: torch.cat([run[name] for run in runs]) for name in runs[0]}
        return Examples((joined,), True)

    @property
    def count(self) -> int:
        """Samples, or runs where those cannot be told apart."""
        return len(next(iter(self.runs[0].values()))) if self.stacked else len(self.runs)

    def picked(self, order: Array) -> Iterator[Batch]:
        """Samples by their numbers: one batch of all, or one after the other where they cannot be joined."""
        if not self.stacked:
            yield from (self.runs[k] for k in order)
            return
        index = torch.from_numpy(np.asarray(order))
        yield {name: tensor[index] for name, tensor in self.runs[0].items()}

    def first(self, count: int) -> Examples:
        """The first samples."""
        if not self.stacked:
            return Examples(self.runs[:count], False)
        return Examples(({name: tensor[:count] for name, tensor in self.runs[0].items()},), True)

    def in_order(self, size: int) -> Iterator[Batch]:
        """All samples, in batches."""
        for start in range(0, self.count, size):
            yield from self.picked(np.arange(start, min(start + size, self.count)))


def order_of(count: int, size: int, step: int, seed: int) -> Array:
    """The samples of one step: epochs are permutations that follow from the seed, so that any step can be repeated."""
    size = min(size, count)
    each = count // size
    rng = np.random.default_rng([seed, step // each])
    return rng.permutation(count)[(step % each) * size :][:size]


def answered(original: Executable, feeds: Iterable[Feeds], values: Sequence[str]) -> Iterator[Batch]:
    """Feeds with the original's values for them. Raises :class:`RunFailure`."""
    for feed in feeds:
        outputs = original.run(feed, optimize=True, also=values)
        yield {name: torch.from_numpy(np.array(array)) for name, array in {**feed, **_only(outputs, values)}.items()}


def alone(original: Executable, feed: Feeds, values: Sequence[str]) -> Batch | None:
    """The first sample of a feed with the original's values for it; ``None`` where it cannot be run by itself."""
    if any(not array.ndim for array in feed.values()):
        return None
    try:
        return next(answered(original, [{name: array[:1] for name, array in feed.items()}], values))
    except RunFailure:
        return None


def _only(outputs: Mapping[str, Array], values: Sequence[str]) -> dict[str, Array]:
    return {name: outputs[name] for name in values}
