"""Floors that a user sets on fidelity. The verdict of a report includes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..errors import InputError
from ..options import Options, Shown, options_of

if TYPE_CHECKING:
    from .report import Fidelity, OutputFidelity

PANEL = "Verification"
_Share = Annotated[float, Field(ge=0, le=1)]


class Floors(Options):
    """The least fidelity that is accepted; ``None`` asks for nothing.

    Cosine and signal-to-noise ratio (dB) hold for each float output, ``min_agreement`` for each output that decides.
    A floor that no output can be measured by is missed. So is one that an output could not be compared with, unless the
    request allows this output another shape. Floors on random inputs need ``allow_random``: such inputs say little of
    the inputs that a model is for.
    Raises :class:`InputError` for numbers out of range.
    """

    min_cosine: Annotated[Annotated[float, Field(ge=-1, le=1)] | None, Shown("X", PANEL)] = Field(
        default=None, description="Fail below this cosine to the original model's outputs."
    )
    min_snr: Annotated[float | None, Shown("DB", PANEL)] = Field(
        default=None, description="Fail below this signal-to-noise ratio to the original model's outputs."
    )
    min_agreement: Annotated[_Share | None, Shown("R", PANEL)] = Field(
        default=None, description="Fail where a smaller share of decisions is the original's."
    )
    min_accuracy: Annotated[_Share | None, Shown("R", PANEL)] = Field(
        default=None, description="Fail where a smaller share of decisions is that of the labels."
    )
    allow_random: Annotated[bool, Shown("", PANEL)] = Field(
        default=False, description="Compare with these floors on random inputs too."
    )

    @property
    def asked(self) -> tuple[str, ...]:
        """The floors that are set, by the names of their options."""
        floors = (option for option in options_of(type(self)) if option.kind is float)
        return tuple(option.flag for option in floors if getattr(self, option.name) is not None)

    def require_evidence(self, *, has_inputs: bool, has_labels: bool) -> None:
        """Raise :class:`InputError` for floors that nothing could be compared with."""
        if has_labels and not has_inputs:
            raise InputError("labels need the inputs that they belong to")
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

    def _missed(self, fidelity: Fidelity) -> Iterator[str]:
        measured = [output for output in fidelity.outputs if not output.note]
        if self.asked and not measured:
            yield f"{self.asked[0]}: the fidelity of no output could be measured"
            return
        if any(floor is not None for floor in (self.min_cosine, self.min_snr, self.min_agreement)):
            for output in fidelity.outputs:
                if output.note and not output.may_change:
                    yield f"output '{output.name}': its fidelity could not be measured: {output.note}"
        for output in measured:
            yield from self._missed_by(output)
        yield from self._unmet(measured)
        if self.min_accuracy is not None:
            accuracy = None if fidelity.accuracy is None else fidelity.accuracy[1]
            if accuracy is None or not accuracy >= self.min_accuracy:
                found = "unknown" if accuracy is None else f"{accuracy:.2%}"
                yield f"accuracy {found}, at least {self.min_accuracy:.2%} was asked for"

    def _unmet(self, measured: list[OutputFidelity]) -> Iterator[str]:
        """The floors that no output could be measured by."""
        if not any(output.is_float for output in measured):
            for floor, name in ((self.min_cosine, "--min-cosine"), (self.min_snr, "--min-snr")):
                if floor is not None:
                    yield f"{name}: no output that could be measured holds floats; --min-agreement compares decisions"
        if self.min_agreement is not None and all(output.agreement is None for output in measured):
            yield "agreement: no output makes decisions (classes along an axis, or numbers between 0 and 1)"

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
