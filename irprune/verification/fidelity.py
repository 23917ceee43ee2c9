"""Fidelity: how far the pruned model is from the original. Information, unless floors are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..ir.core import Array
from ..runtime.decisions import alternatives, are_probabilities, are_shares
from .report import Fidelity, OutputFidelity

Doubles: TypeAlias = NDArray[np.float64]

if TYPE_CHECKING:
    from ..runtime.session import Outputs


def measure_fidelity(
    original: Sequence[Outputs],
    pruned: Sequence[Outputs],
    labels: Array | None = None,
    *,
    inputs: str = "given inputs",
    is_random: bool = False,
    may_change: Sequence[str] = (),
) -> Fidelity:
    """:class:`FidelityMeter` over runs that are all there."""
    meter = FidelityMeter(labels, may_change)
    for left, right in zip(original, pruned, strict=False):
        meter.add(left, right)
    return meter.result(inputs, is_random=is_random)


class FidelityMeter:
    """Fidelity of every output, run by run: nothing of a run is kept.

    Floats are compared by cosine, signal-to-noise ratio and root mean square error over the spread (the standard
    deviation) of the original's values. An output of one number a sample has no cosine: between two positive numbers
    it is always 1. Decisions are the largest of an axis (the last; of images, the smaller one of the last and the one
    after the batch), whether a number between 0 and 1 is above one half, and integers themselves.

    ``labels`` are right decisions, in the order of the runs. ``may_change`` are globs of outputs that may have another
    shape than the original's.
    """

    def __init__(self, labels: Array | None = None, may_change: Sequence[str] = ()) -> None:
        self._may_change = tuple(may_change)
        self._labels = None if labels is None else labels.ravel()
        self._outputs: dict[str, _Output] = {}

    def add(self, original: Mapping[str, Array], pruned: Mapping[str, Array]) -> None:
        """Add the outputs of one run; outputs that are not arrays are left out."""
        for name, left in original.items():
            if isinstance(left, np.ndarray) and name in pruned:
                self._outputs.setdefault(name, _Output()).add(left, pruned[name], self._labels)

    def result(self, inputs: str, *, is_random: bool) -> Fidelity:
        """What was measured. Raises :class:`InputError` where there are labels that no output's decisions fit."""
        outputs = tuple(
            replace(found.result(name), may_change=any(fnmatchcase(name, pattern) for pattern in self._may_change))
            for name, found in self._outputs.items()
        )
        return Fidelity(outputs, self._accuracy(), inputs, is_random)

    def _accuracy(self) -> tuple[float, float] | None:
        """Of the first output that makes as many decisions as there are labels."""
        if self._labels is None or not self._outputs:
            return None
        count = self._labels.size
        for found in self._outputs.values():
            right = found.right(self._labels)
            if right is not None:
                return right[0] / count, right[1] / count
        made = ", ".join(f"'{name}' {found.decided}" for name, found in self._outputs.items() if found.decided)
        raise InputError(f"there are {count} labels; decisions that the outputs make: {made or 'none'}")


@dataclass
class _Decisions:
    """One way to read decisions of an output: how many are alike, and how many are right in both models."""

    count: int = 0
    alike: int = 0
    right: list[int] = field(default_factory=lambda: [0, 0])
    seen: set[int] = field(default_factory=set)
    """Decisions of the original, up to two different ones."""

    def add(self, left: Array, right: Array, labels: Array | None) -> None:
        self.alike += int((left == right).sum())
        if labels is not None:
            wanted = labels[self.count : self.count + left.size]
            for k, made in enumerate((left, right)):
                self.right[k] += int((made.ravel()[: wanted.size] == wanted).sum())
        self.count += left.size
        if len(self.seen) < 2:
            self.seen |= {int(left.min()), int(left.max())}


@dataclass
class _Output:
    """Sums over the runs of one output."""

    elements: int = 0
    dot: float = 0.0
    left_squares: float = 0.0
    right_squares: float = 0.0
    noise: float = 0.0
    shift: float | None = None
    """About the mean of the original's values: sums of squares around it lose no digits."""
    around: float = 0.0
    around_squares: float = 0.0
    is_float: bool = True
    is_scalar: bool = True
    """One number a sample."""
    is_single: bool = True
    """One number to each decision."""
    is_share: bool = True
    is_probability: bool = True
    first: Array | None = None
    """The original's values for the first sample; ``varies`` says that those of another sample differ."""
    varies: bool = False
    samples: int = 0
    changed: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    is_text: bool = False
    same: int = 0
    largest: _Decisions = field(default_factory=_Decisions)
    above: dict[float, _Decisions] = field(default_factory=lambda: {0.5: _Decisions(), 0.0: _Decisions()})
    equal: _Decisions = field(default_factory=_Decisions)

    def add(self, left: Array, right: Array, labels: Array | None) -> None:
        if left.shape != right.shape:
            self.changed = (left.shape, right.shape)
        if left.shape != right.shape or not left.size:
            return
        if left.dtype.kind in "OUS":
            self.is_text, self.is_float = True, False
            self.equal.count += left.size
            self.equal.alike += int((left == right).sum())
            return
        if left.dtype.kind in "iub":
            self.is_float = False
            self.equal.add(left, right, labels)
        self._look_for_change(left)
        self._add_sums(left.astype(np.float64).ravel(), right.astype(np.float64).ravel())
        if self.is_float:
            self._add_decisions(left, right, labels)

    def _look_for_change(self, left: Array) -> None:
        rows = left.reshape(1, 1) if left.ndim == 0 else left.reshape(left.shape[0], -1)
        self.is_scalar &= left.ndim == 0 or left.size == left.shape[0]
        self.samples += len(rows)
        if self.first is None:
            self.first = rows[:1].copy()
        if not self.varies and self.first is not None:
            self.varies = self.first.shape[1] != rows.shape[1] or not bool((rows == self.first).all())

    def _add_sums(self, left: Doubles, right: Doubles) -> None:
        finite = np.isfinite(left) & np.isfinite(right)
        if not finite.all():
            left, right = left[finite], right[finite]
            if not left.size:
                return
        if self.shift is None:
            self.shift = float(left.mean())
        centered = left - self.shift
        self.elements += left.size
        self.dot += float(left @ right)
        self.left_squares += float(left @ left)
        self.right_squares += float(right @ right)
        self.noise += float(((left - right) ** 2).sum())
        self.around += float(centered.sum())
        self.around_squares += float(centered @ centered)

    def _add_decisions(self, left: Array, right: Array, labels: Array | None) -> None:
        rows, others = (alternatives(value) for value in (left, right))
        self.is_single &= rows.shape[-1] == 1
        self.is_share &= are_shares(rows)
        self.is_probability &= are_probabilities(rows)
        if self.is_single or self.is_share:
            for threshold, found in self.above.items():
                found.add(rows > threshold, others > threshold, labels)
        if not self.is_single:
            self.largest.add(rows.argmax(-1), others.argmax(-1), labels)

    # -- what came out -------------------------------------------------------------------------------------------------

    def result(self, name: str) -> OutputFidelity:
        if self.changed is not None:
            old, new = (list(shape) for shape in self.changed)
            return OutputFidelity(name, None, float("nan"), note=f"its shape changed from {old} to {new}")
        if self.is_float and not self.elements:
            return OutputFidelity(name, None, float("nan"), note="it holds no numbers on these inputs")
        found, how = self._read()
        agreement = found.alike / found.count if found is not None and found.count else None
        remark = self._remark(found)
        if not self.is_float:
            return OutputFidelity(name, None, float("nan"), None, agreement, how, remark, is_float=False)
        return OutputFidelity(name, self._cosine(), self._snr(), self._error(), agreement, how, remark)

    def _remark(self, found: _Decisions | None) -> str:
        """A remark if the numbers say little."""
        if self.samples > 1 and not self.varies and not self.is_text:
            return "the original gives the same for all of these inputs"
        if found is not None and found.count > 1 and len(found.seen) == 1:
            return "the original decides the same for all of these inputs"
        return ""

    def _cosine(self) -> float | None:
        if self.is_scalar:
            return None
        norms = float(np.sqrt(self.left_squares) * np.sqrt(self.right_squares))
        return self.dot / norms if norms else float(self.noise == 0)

    def _spread(self) -> float:
        """The sum of squares of the original's values around their mean."""
        return max(self.around_squares - self.around**2 / self.elements, 0.0) if self.elements else 0.0

    def _snr(self) -> float:
        """The signal-to-noise ratio in dB; unknown if the original is constant."""
        signal = self._spread() if self.is_scalar else self.left_squares
        if self.noise == 0:
            return float("nan") if self.is_scalar and signal <= 0 else float("inf")
        return float(10 * np.log10(signal / self.noise)) if signal > 0 else float("-inf")

    def _error(self) -> float | None:
        """Over the spread; ``None`` where the original's values do not spread."""
        spread = self._spread()
        return float(np.sqrt(self.noise / spread)) if spread > 0 else None

    def _read(self) -> tuple[_Decisions | None, str]:
        if not self.is_float:
            return self.equal, "equal values"
        if self.is_share and (self.is_single or not self.is_probability):
            return self.above[0.5], "above 0.5 or not"
        return (None, "") if self.is_single else (self.largest, "the largest of an axis")

    @property
    def decided(self) -> int:
        """How many decisions are made; one number a sample makes one, given labels."""
        found, _ = self._read()
        return (found or self.above[0.0]).count

    def right(self, labels: Array) -> tuple[int, int] | None:
        """How many decisions of both models are right; ``None`` where there are not as many as labels."""
        found, _ = self._read()
        found = found or self.above[0.0]  # scores of two classes: the sign decides
        ways = (found, self.largest) if found is not self.equal else (found,)
        for way in ways:
            if way.count == labels.size and not self.is_text:
                return way.right[0], way.right[1]
        return None
