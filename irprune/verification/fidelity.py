"""How far the pruned model is from the original: information for whoever decides whether it is good enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InputError
from ..ir.core import Array
from ..runtime.session import Outputs
from .report import Fidelity, OutputFidelity


def measure_fidelity(original: Sequence[Outputs], pruned: Sequence[Outputs], labels: Array | None = None) -> Fidelity:
    """Cosine and signal-to-noise ratio of every numeric output over all runs; top-1 accuracy where there are labels.

    Raises :class:`InputError` where the labels do not fit the first output.
    """
    pairs = list(zip(original, pruned, strict=False))
    names = [name for name, value in (original[0] if original else {}).items() if isinstance(value, np.ndarray)]
    outputs = tuple(_output(name, [(left[name], right[name]) for left, right in pairs]) for name in names if pairs)
    top1 = None if labels is None or not pairs else (_top1(original, labels), _top1(pruned, labels))
    return Fidelity(outputs, top1)


def _output(name: str, pairs: Sequence[tuple[Array, Array]]) -> OutputFidelity:
    if any(left.shape != right.shape for left, right in pairs):
        return OutputFidelity(name, float("nan"), float("nan"))
    left, right = (np.concatenate([pair[k].ravel() for pair in pairs]).astype(np.float64) for k in (0, 1))
    finite = np.isfinite(left) & np.isfinite(right)
    left, right = left[finite], right[finite]
    norms = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
    cosine = float(left @ right) / norms if norms else float(np.array_equal(left, right))
    signal, noise = float(left @ left), float(((left - right) ** 2).sum())
    ratio = float("inf") if noise == 0 else float(10 * np.log10(signal / noise)) if signal else float("-inf")
    return OutputFidelity(name, cosine, ratio)


def _top1(runs: Sequence[Mapping[str, Array]], labels: Array) -> float:
    name = next(iter(runs[0]))
    scores = np.concatenate([np.atleast_2d(run[name]) for run in runs])
    scores = scores.reshape(len(scores), -1)
    if len(scores) != labels.size:
        raise InputError(f"{labels.size} labels for {len(scores)} samples of output '{name}'")
    return float((scores.argmax(axis=1) == labels.ravel()).mean())
