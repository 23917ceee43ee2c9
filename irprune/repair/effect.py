"""The effect of new weights, measured on the outputs of whole models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from ..ir.core import Array
from ..runtime.executable import Executable
from ..runtime.feeds import Feeds


def outputs(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> list[dict[str, Array]]:
    """The outputs of a model on each feed."""
    executable = Executable(model)
    return [executable.run(feed, optimize=True) for feed in feeds]


def squared_error(wanted: Sequence[Mapping[str, Array]], got: Sequence[Mapping[str, Array]]) -> float:
    """The squared error of all outputs in floating point, each as a share of its variance, on average."""
    shares = []
    for name, first in wanted[0].items():
        if first.dtype.kind != "f" or first.shape != got[0][name].shape:
            continue
        pairs = [(a[name].astype(np.float64), b[name].astype(np.float64)) for a, b in zip(wanted, got, strict=True)]
        spread = np.concatenate([a.ravel() for a, _ in pairs]).var()
        shares.append(np.mean([np.square(a - b).mean() for a, b in pairs]) / max(spread, 1e-30))
    return float(np.mean(shares)) if shares else 0.0


def agreement(wanted: Sequence[Mapping[str, Array]], got: Sequence[Mapping[str, Array]]) -> float | None:
    """The share of equal decisions (the largest element of the last axis); ``None`` where there are none."""
    same: list[Array] = []
    for a, b in zip(wanted, got, strict=True):
        for name, array in a.items():
            if array.dtype.kind == "f" and array.ndim and array.shape[-1] > 1 and array.shape == b[name].shape:
                same.append((array.argmax(axis=-1) == b[name].argmax(axis=-1)).ravel())
    return float(np.concatenate(same).mean()) if same else None


def samples_in(feeds: Sequence[Feeds]) -> int:
    """The number of samples."""
    return sum(len(next(iter(feed.values()))) if next(iter(feed.values())).ndim else 1 for feed in feeds)
