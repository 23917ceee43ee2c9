"""The options of training a smaller model towards the original (:func:`irprune.torch.finetune`, ``prune --minutes``).

They are read without torch: the command line shows them in its help.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

from pydantic import Field, model_validator

from .options import Options, Shown

PANEL = "Training towards the original (torch extra)"
STEPS, BLOCK_STEPS = 1000, 600
"""Steps of the whole network where neither steps nor minutes are given, and those of all blocks before it."""


class Tuning(Options):
    """How long to train, and on what besides the given inputs.

    Raises :class:`InputError` for numbers out of range, and where both ``steps`` and ``minutes`` are given.
    """

    steps: Annotated[Annotated[int, Field(ge=1)] | None, Shown("N", PANEL)] = Field(
        default=None, description=f"Train the whole network for N steps (finetune: {STEPS} if nothing is said)."
    )
    minutes: Annotated[Annotated[float, Field(gt=0)] | None, Shown("M", PANEL)] = Field(
        default=None, description="Train for as many steps as fit these minutes; their number is printed."
    )
    block_steps: Annotated[int, Field(ge=0), Shown("N", PANEL)] = Field(
        default=BLOCK_STEPS, description="Steps of each block before that."
    )
    flip: Annotated[bool | None, Shown("", PANEL, flag="--flip/--no-flip")] = Field(
        default=None, description="Train on mirrored images as well; by default where the original answers alike."
    )
    mixup: Annotated[bool, Shown("", PANEL)] = Field(default=False, description="Train on means of two inputs as well.")

    @model_validator(mode="after")
    def _one_length(self) -> Tuning:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give steps or minutes, not both: minutes only choose a number of steps")
        return self

    @property
    def asked(self) -> bool:
        """Whether a length is given."""
        return self.steps is not None or self.minutes is not None

    def as_options(self) -> TuningOptions:
        """The keyword arguments that these options are."""
        return {
            "steps": self.steps,
            "minutes": self.minutes,
            "block_steps": self.block_steps,
            "flip": self.flip,
            "mixup": self.mixup,
        }


class TuningOptions(TypedDict, total=False):
    """The options of :class:`Tuning` as keyword arguments, for type checkers and completion."""

    steps: int | None
    minutes: float | None
    block_steps: int
    flip: bool | None
    mixup: bool


NO_TUNING = Tuning()
