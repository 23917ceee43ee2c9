"""Comparing values: the part that ONNX Runtime and PyTorch verification share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..ir.core import Array
from ..runtime.session import Outputs, RunFailure
from .noise import NOISE_FACTOR
from .report import OutputError

TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "float16": 4e-3, "bfloat16": 3.2e-2}
"""Largest error relative to the scale of a tensor (the largest magnitude in the reference), by element type.

Sums of different length are added up in a different order. Measured on exported CNNs and one FSMN: correct removals
differ by at most 1e-5 in float32 and 8e-5 in float16; a float16 Llama of two layers differs by 1.0e-3, which is one
unit in the last place of its largest output. The half precisions are given four such units (2**-10 and 2**-7 each).
Of 92 planted faults (the inputs of one weight row rotated), 85 show in an output as 2.5e-3 or more; 7 stay
below 3e-5; the bitwise comparison of weights catches those. float64 is a choice: ONNX
Runtime's CPU kernels run too little of it to measure. Types other than floats are compared exactly.
"""

_FLOOR = 1e-6
"""The smallest scale: tensors of smaller magnitude are compared on this scale."""


def relative_error(reference: Array, pruned: Array) -> float:
    """The largest difference over the scale of the reference; infinite where shapes, NaNs or infinities differ."""
    if reference.shape != pruned.shape or reference.dtype != pruned.dtype:
        return float("inf")
    if not is_float(reference):
        return 0.0 if np.array_equal(reference, pruned) else float("inf")
    if reference.dtype not in (np.float32, np.float64):
        reference, pruned = reference.astype(np.float32), pruned.astype(np.float32)
    finite = np.isfinite(reference)
    if not finite.all():
        if not _same_places(reference[~finite], pruned[~finite]):
            return float("inf")
        reference, pruned = reference[finite], pruned[finite]
    if reference.size == 0:
        return 0.0
    scale = max(float(np.abs(reference).max()), _FLOOR)
    error = float(np.abs(np.asarray(reference, np.float64) - np.asarray(pruned, np.float64)).max()) / scale
    return error if np.isfinite(error) else float("inf")


def _same_places(reference: Array, pruned: Array) -> bool:
    """Whether places not finite in the reference are not finite in the pruned model; infinities have equal signs.

    NaN matches any infinity: a sum of infinities of both signs is either, depending on its order.
    """
    infinite = np.isinf(reference) & np.isinf(pruned)
    return not np.isfinite(pruned).any() and np.array_equal(reference[infinite], pruned[infinite])


def is_float(array: Array) -> bool:
    return array.dtype.name in TOLERANCE or array.dtype.kind == "f"


def tolerance_of(array: Array, rtol: float | None) -> float:
    """The tolerance for a tensor; zero for types other than floats."""
    if not is_float(array):
        return 0.0
    return TOLERANCE.get(array.dtype.name, TOLERANCE["bfloat16"]) if rtol is None else rtol


def has_other_nans(expected: Mapping[str, Array], got: Mapping[str, Array]) -> bool:
    """Whether an output has NaNs in the reference alone: masking a removed channel may multiply infinity by zero."""
    return any(_has_nan(value) and not _has_nan(got[name]) for name, value in expected.items())


def _has_nan(value: Array) -> bool:
    return isinstance(value, np.ndarray) and is_float(value) and bool(np.isnan(value.astype(np.float32)).any())


def keep_worst(worst: dict[str, OutputError], errors: Iterable[OutputError]) -> None:
    """Keep the worst error of each output. A failure is worse than any error that noise explains."""
    for found in errors:
        known = worst.get(found.name)
        if known is None or (not found.ok, found.error) > (not known.ok, known.error):
            worst[found.name] = found


def noise_of(runs: Iterable[Outputs]) -> dict[str, float]:
    """The error of each output that rounding explains, given runs of the reference on neighboring inputs.

    The first run is on the inputs themselves; other runs may lack some of its values. No run is kept in memory.
    """
    runs = iter(runs)
    first = next(runs)
    noise = dict.fromkeys(first, 0.0)
    for run in runs:
        for name, value in first.items():
            if name in run:
                noise[name] = max(noise[name], NOISE_FACTOR * relative_error(value, run[name]))
    return noise


def settled(
    errors: Sequence[OutputError],
    noise: Callable[[], Mapping[str, float]],
    in_double: Callable[[], Sequence[OutputError]],
) -> tuple[list[OutputError], list[OutputError]]:
    """Errors with the noise that explains those above their tolerance, and the errors in float64.

    An error is noise only if the reference itself moves by at least a quarter of it on neighboring inputs, and if the
    models agree in float64. Both are computed only if float32 finds a difference. If they raise :class:`RunFailure`,
    the errors stay as they are.
    """
    found = list(errors)
    if all(error.ok for error in found):
        return found, []
    try:
        accounted = noise()
        if any(not error.ok and not error.error <= accounted[error.name] < np.inf for error in found):
            return found, []
        doubles = list(in_double())
    except RunFailure:
        return found, []
    if any(not error.ok for error in doubles):
        return found, doubles
    return [error if error.ok else replace(error, noise=accounted[error.name]) for error in found], doubles
