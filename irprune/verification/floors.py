"""Floors that a user sets on fidelity. The verdict of a report includes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from .report import Fidelity, OutputFidelity

OPTIONS = {
    "min_cosine": "--min-cosine",
    "min_snr": "--min-snr",
    "min_accuracy": "--min-accuracy",
    "min_agreement": "--min-agreement",
}
"""Each floor with its option on the command line."""


@dataclass(frozen=True)
class Floors:
    """The least fidelity that is accepted; ``None`` asks for nothing.

    Cosine and signal-to-noise ratio (dB) hold for each output; ``min_agreement`` is the share of decisions that are the
    original's, for each output that decides; ``min_accuracy`` is the share of right answers, given labels. Floors on
    random inputs need ``allow_random``: such inputs say little of the inputs that a model is for.
    """

    min_cosine: float | None = None
    min_snr: float | None = None
    min_accuracy: float | None = None
    min_agreement: float | None = None
    allow_random: bool = False

    @property
    def asked(self) -> tuple[str, ...]:
        """The floors that are set, by the names of their options."""
        return tuple(option for name, option in OPTIONS.items() if getattr(self, name) is not None)

    def validate(self, *, has_inputs: bool, has_labels: bool) -> None:
        """Raise :class:`InputError` for floors that no fidelity could be compared with."""
        if self.min_cosine is not None and not -1 <= self.min_cosine <= 1:
            raise InputError(f"--min-cosine must lie between -1 and 1, got {self.min_cosine}")
        if self.min_snr is not None and not math.isfinite(self.min_snr):
            raise InputError(f"--min-snr must be a number of decibels, got {self.min_snr}")
        for name in ("min_accuracy", "min_agreement"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise InputError(f"{OPTIONS[name]} must lie between 0 and 1, got {share}")
        if self.min_accuracy is not None and not has_labels:
            raise InputError("--min-accuracy needs --labels")
        if self.asked and not has_inputs and not self.allow_random:
            raise InputError(
                f"{self.asked[0]} needs --inputs: random inputs say little of the accuracy on real ones "
                "(--allow-random compares on them all the same)"
            )

    def missed(self, fidelity: Fidelity) -> tuple[str, ...]:
        """What falls below a floor, or could not be measured, one line each."""
        return tuple(self._missed(fidelity))

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None and name in OPTIONS}

    def _missed(self, fidelity: Fidelity) -> Iterator[str]:
        measured = [output for output in fidelity.outputs if not output.note]
        if self.asked and not measured:
            yield f"{self.asked[0]}: the fidelity of no output could be measured"
            return
        for output in measured:
            yield from self._missed_by(output)
        if self.min_agreement is not None and all(output.agreement is None for output in measured):
            yield "agreement: no output makes decisions (classes along an axis, or numbers between 0 and 1)"
        if self.min_accuracy is not None:
            accuracy = None if fidelity.accuracy is None else fidelity.accuracy[1]
            if accuracy is None or not accuracy >= self.min_accuracy:
                found = "unknown" if accuracy is None else f"{accuracy:.2%}"
                yield f"accuracy {found}, at least {self.min_accuracy:.2%} was asked for"

    def _missed_by(self, output: OutputFidelity) -> Iterator[str]:
        if self.min_cosine is not None and output.is_float:
            if output.cosine is None:
                yield f"output '{output.name}': one number a sample has no cosine; ask for --min-snr or --min-agreement"
            elif not output.cosine >= self.min_cosine:
                yield f"output '{output.name}': cosine {output.cosine:.4g}, at least {self.min_cosine:g} was asked for"
        if self.min_snr is not None and output.is_float and not output.snr_db >= self.min_snr:
            yield f"output '{output.name}': SNR in dB {output.snr_db:.4g}, at least {self.min_snr:g} was asked for"
        if self.min_agreement is not None and output.agreement is not None:
            share = output.agreement
            if not share >= self.min_agreement:
                yield (
                    f"output '{output.name}': {share:.2%} of the decisions agree, "
                    f"at least {self.min_agreement:.2%} was asked for"
                )


NO_FLOORS = Floors()
