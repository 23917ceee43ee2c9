"""Turn data into samples to fit, samples held out, and the moments of a model, for criteria and repairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis
from ..runtime.feeds import Data, Feeds, InputType
from .measured import Measured
from .moments import collect, values_of
from .points import find_points
from .stepwise import MEMORY, Stepwise

if TYPE_CHECKING:
    import onnx

T = TypeVar("T")

HELD_OUT = 5
"""Every fifth batch is held out."""

_LARGEST_BATCH = 32
_FEWEST_BATCHES = 10


@dataclass(frozen=True)
class Samples:
    """Feeds by their use: weights are solved for on ``fitted``; ``held_out`` only measures errors."""

    fitted: tuple[Feeds, ...]
    held_out: tuple[Feeds, ...]
    inputs: tuple[InputType, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one sample, for inputs that have open sizes besides the number of samples.

        A name that one input has in front is the number of samples wherever it stands (``state[2, batch, 128]``).
        """
        first = self.fitted[0]
        counts = {spec.dims[0] for spec in self.inputs if spec.dims and isinstance(spec.dims[0], str)}
        return {
            spec.name: tuple(
                1 if (k == 0 and spec.first is None) or (spec.dims is not None and spec.dims[k] in counts) else size
                for k, size in enumerate(first[spec.name].shape)
            )
            for spec in self.inputs
            if spec.dims is None or any(not isinstance(dim, int) for dim in spec.dims[1:])
        }

    @staticmethod
    def of(data: Data) -> Samples:
        """Read all data, in batches where the inputs have an open first dimension.

        With fewer than two feeds there is nothing to hold out: both parts are the same.
        """
        feeds = tuple(data.batches(_batch(data)))
        held_out = _held_out(feeds)
        fitted = tuple(feed for feed in feeds if not any(feed is other for other in held_out)) or feeds
        return Samples(fitted, held_out, data.inputs)


def _batch(data: Data) -> int:
    count = data.samples
    return _LARGEST_BATCH if count is None else max(1, min(_LARGEST_BATCH, count // _FEWEST_BATCHES))


def _held_out(batches: tuple[T, ...]) -> tuple[T, ...]:
    return batches[HELD_OUT - 1 :: HELD_OUT] or batches[-1:]


def held_out_positions(data: Data) -> tuple[NDArray[np.intp], int]:
    """The positions of the samples that :meth:`Samples.of` holds out, among all of the data; and how many there are."""
    first = data.inputs[0].name
    ends = np.cumsum([len(feed[first]) if feed[first].ndim else 1 for feed in data.batches(_batch(data))])
    batches = tuple(np.split(np.arange(ends[-1]), ends[:-1]))
    return np.concatenate(_held_out(batches)), int(ends[-1])


def measure(
    analysis: Analysis, proto: onnx.ModelProto, feeds: Sequence[Feeds], *, seed: int = 0, memory: int = MEMORY
) -> Measured:
    """Run a model on feeds, and sum the moments of each contraction of the main graph and of the branches taken.

    ``proto`` has the names of the analyzed graph, and its weights. Raises :class:`RunFailure` where ONNX Runtime
    stops.
    """
    points = find_points(analysis)
    model = Stepwise(proto, feeds, memory=memory)
    reached = [model.reached(values_of(p)) > 0 for p in points]
    unreached = tuple(p for p, found in zip(points, reached, strict=True) if not found)
    points = tuple(p for p, found in zip(points, reached, strict=True) if found)
    model.watch(name for p in points for name in values_of(p))
    return Measured(analysis, points, collect(points, model, analysis.graph, seed), unreached)
