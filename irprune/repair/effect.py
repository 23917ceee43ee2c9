"""The effect of new weights, measured on the outputs of whole models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from ..ir.core import Array
from ..runtime.decisions import alternatives, are_probabilities, are_shares
from ..runtime.executable import Executable
from ..runtime.feeds import Feeds

_HALF = 0.5


def outputs(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> list[dict[str, Array]]:
    """The outputs of a model on each feed."""
    executable = Executable(model)
    return [executable.run(feed, optimize=True) for feed in feeds]


def squared_error(wanted: Sequence[Mapping[str, Array]], got: Sequence[Mapping[str, Array]]) -> float:
    """The squared error of all outputs that are numbers, each as a share of its variance, on average."""
    shares = []
    for name, first in wanted[0].items():
        if not _is_number(first) or first.shape != got[0][name].shape:
            continue
        pairs = [(a[name].astype(np.float64), b[name].astype(np.float64)) for a, b in zip(wanted, got, strict=True)]
        spread = np.concatenate([a.ravel() for a, _ in pairs]).var()
        shares.append(np.mean([np.square(a - b).mean() for a, b in pairs]) / max(spread, 1e-30))
    return float(np.mean(shares)) if shares else 0.0


def _is_number(value: Array) -> bool:
    """Integers of a byte are quantized numbers; longer ones are labels or counts."""
    return value.dtype.kind == "f" or (value.dtype.kind in "iu" and value.dtype.itemsize == 1)


def agreement(wanted: Sequence[Mapping[str, Array]], got: Sequence[Mapping[str, Array]]) -> float | None:
    """The share of equal decisions, ``None`` where there are none.

    They are read as the fidelity of a verification reads them: the largest of the alternatives, or whether a number
    between 0 and 1 is above one half.
    """
    same: list[Array] = []
    for name, first in wanted[0].items():
        if first.dtype.kind != "f" or not first.size or first.shape != got[0][name].shape:
            continue
        pairs = [(alternatives(a[name]), alternatives(b[name])) for a, b in zip(wanted, got, strict=True)]
        rows = [row for row, _ in pairs]
        is_single = all(row.shape[-1] == 1 for row in rows)
        if all(map(are_shares, rows)) and (is_single or not all(map(are_probabilities, rows))):
            same += [((a > _HALF) == (b > _HALF)).ravel() for a, b in pairs]
        elif not is_single:
            same += [(a.argmax(axis=-1) == b.argmax(axis=-1)).ravel() for a, b in pairs]
    return float(np.concatenate(same).mean()) if same else None


def samples_in(feeds: Sequence[Feeds]) -> int:
    """The number of samples."""
    return sum(len(next(iter(feed.values()))) if next(iter(feed.values())).ndim else 1 for feed in feeds)
