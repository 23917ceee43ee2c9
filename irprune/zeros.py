"""The options of ``sparsify``, and the patterns of zeros; :class:`irprune.request.Request` has those of pruning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict, get_args

from pydantic import AfterValidator, Field

from .errors import InputError
from .options import Options, Shown
from .request import CHOICE, Globs, Scope, Share

ZEROS = "Zeros"
Method = Literal["magnitude", "wanda", "sparsegpt"]


@dataclass(frozen=True)
class Pattern:
    """``keep`` of every ``of`` columns; where ``keep`` is 0, any share of the blocks of ``rows`` times ``columns``."""

    keep: int = 0
    of: int = 1
    rows: int = 1
    columns: int = 1

    @staticmethod
    def of_text(text: str) -> Pattern:
        """``2:4``, a block as ``4x1`` (rows times columns), or nothing for single elements. Raises ``ValueError``."""
        if not text:
            return Pattern()
        for sign in (":", "x"):
            parts = text.split(sign)
            if len(parts) == 2 and all(part.isascii() and part.isdigit() and int(part) for part in parts):
                first, second = map(int, parts)
                if sign == "x":
                    return Pattern(rows=first, columns=second)
                if first < second:
                    return Pattern(first, second)
        raise ValueError(f"expected N:M with N below M, such as 2:4, or a block such as 4x1, got {text!r}")

    @property
    def step(self) -> int:
        """The number of columns that are decided on together."""
        return self.of if self.keep else self.columns

    def misfit(self, shape: Sequence[int]) -> str | None:
        """Why a weight ``[g, o, i, w]`` has no such pattern, if so."""
        _, rows, columns, _ = shape
        if columns % self.step:
            return f"{columns} columns are not a multiple of {self.step}"
        if rows % self.rows:
            return f"{rows} rows are not a multiple of {self.rows}"
        return None

    def span(self, at_least: int) -> int:
        """A number of columns that holds whole parts of the pattern."""
        return self.step * math.ceil(at_least / self.step)


def _pattern(given: str) -> str:
    Pattern.of_text(given)
    return given


class Sparsity(Options):
    """What the user asks of :func:`irprune.sparsify`: a share of zeros, or a pattern that says how many there are.

    Raises :class:`InputError` for an option that does not exist or is out of range, and where ``ratio`` and ``pattern``
    contradict each other.
    """

    ratio: Annotated[Share | None, Shown("R", ZEROS)] = Field(
        default=None, description="Make this share of the weights zero."
    )
    pattern: Annotated[Annotated[str, AfterValidator(_pattern)] | None, Shown("2:4|4x1", ZEROS)] = Field(
        default=None,
        description="N:M keeps N of every M weights in a sum; RxC, with --ratio, takes blocks of rows and columns.",
    )
    method: Annotated[Method | None, Shown("|".join(get_args(Method)), CHOICE)] = Field(
        default=None, description="How zeros are chosen; magnitude by default, with --data sparsegpt."
    )
    scope: Annotated[Scope, Shown("local|global", CHOICE)] = Field(
        default="local", description="The same share in every weight, or one ranking of all."
    )
    keep: Annotated[Globs, Shown("GLOB", CHOICE)] = Field(
        default=(), description="Leave the weights alone that match by name or node; may be repeated."
    )
    only: Annotated[Globs, Shown("GLOB", CHOICE)] = Field(
        default=(), description="Change nothing but the weights that match; may be repeated."
    )
    seed: Annotated[int, Shown("N", CHOICE)] = Field(default=0, description="For the samples and the inputs.")

    @property
    def shape(self) -> Pattern:
        """The pattern, read."""
        return Pattern.of_text(self.pattern or "")

    def with_data(self, given: bool) -> Sparsity:
        """These options with the method filled in. Raises :class:`InputError` for a contradiction."""
        if (self.ratio is None) == (not self.shape.keep):
            said = "got both" if self.ratio is not None else "got neither"
            raise InputError(f"give either a ratio or a pattern such as 2:4, which implies one; {said}")
        if self.shape.keep and self.scope == "global":
            raise InputError(f"pattern {self.pattern} has as many zeros everywhere: scope 'global' has no choice")
        if self.method not in (None, "magnitude") and not given:
            raise InputError(f"method '{self.method}' needs inputs of the model; name them with --data")
        return self.model_copy(update={"method": self.method or ("sparsegpt" if given else "magnitude")})


class SparsityOptions(TypedDict, total=False):
    """The options of :class:`Sparsity` as keyword arguments, for type checkers and completion."""

    ratio: float | None
    pattern: str | None
    method: Method | None
    scope: Scope
    keep: Sequence[str]
    only: Sequence[str]
    seed: int
