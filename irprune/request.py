"""What may be asked for: each option of planning, once, with its limits, its help and its place on the command line.

A new option is one field of :class:`Request` (and a line of :class:`RequestOptions`, for type checkers and completion).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypedDict, TypeVar, cast

from pydantic import BeforeValidator, Field

from .errors import InputError
from .options import Options, Shown, options_of

TARGET, CHOICE = "Target (exactly one)", "What may go"
TARGETS = ("ratio", "params", "macs")
READING = ("allow_io",)
"""The options that say how a model is to be read: commands that only look at one take these."""

GIVEN_SCORES = "given scores"
"""The criterion of a plan that was made from the caller's own scores: recorded, never asked for."""

Criterion = Literal["l1", "l2", "bn-scale", "fpgm", "random", "given scores"]
Scope = Literal["local", "global"]

Share = Annotated[float, Field(gt=0, lt=1)]
AtLeastOne = Annotated[int, Field(ge=1)]


def _tuple_of(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


Globs = Annotated[tuple[str, ...], BeforeValidator(_tuple_of)]
"""Patterns of names; one alone may be given as it is."""


class Request(Options):
    """What the user asks for. Exactly one of ``ratio``, ``params`` and ``macs`` is set.

    ``ratio`` is the share of atoms that goes, ``params`` and ``macs`` the share of cost that stays.
    Raises :class:`InputError` for an option that does not exist or is out of range.
    """

    ratio: Annotated[Share | None, Shown("R", TARGET)] = Field(
        default=None, description="Remove this share of the channels."
    )
    params: Annotated[Share | None, Shown("R", TARGET)] = Field(
        default=None, description="Keep this share of the parameters."
    )
    macs: Annotated[Share | None, Shown("R", TARGET)] = Field(
        default=None, description="Keep this share of the multiply-accumulates."
    )
    criterion: Annotated[Criterion, Shown("l1|l2|bn-scale|fpgm|random", CHOICE)] = Field(
        default="l2", description="How importance is measured."
    )
    scope: Annotated[Scope, Shown("local|global", CHOICE)] = Field(
        default="local", description="Shrink every group alike, or rank all channels together."
    )
    align: Annotated[AtLeastOne, Shown("N", CHOICE)] = Field(default=1, description="Keep multiples of N channels.")
    max_ratio: Annotated[Share, Shown("R", CHOICE)] = Field(
        default=0.9, description="The largest share that a group may lose."
    )
    min_channels: Annotated[AtLeastOne, Shown("N", CHOICE)] = Field(
        default=1, description="The number of channels that every group keeps at least."
    )
    keep: Annotated[Globs, Shown("GLOB", CHOICE)] = Field(
        default=(), description="Leave the groups alone that match by name, node or weight; may be repeated."
    )
    only: Annotated[Globs, Shown("GLOB", CHOICE)] = Field(
        default=(), description="Prune nothing but the groups that match; may be repeated."
    )
    exact: Annotated[bool, Shown("", CHOICE)] = Field(
        default=False, description="Leave out groups over which statistics are taken."
    )
    allow_io: Annotated[Globs, Shown("GLOB", CHOICE)] = Field(
        default=(), description="Let these graph inputs and outputs change their shape; may be repeated."
    )
    seed: Annotated[int, Shown("N", CHOICE)] = Field(default=0, description="For the random criterion and the inputs.")

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets that are set."""
        return tuple(name for name in TARGETS if getattr(self, name) is not None)

    def require_target(self) -> Request:
        """This request. Raises :class:`InputError` unless exactly one target is set."""
        if len(self.targets) != 1:
            raise InputError(f"give exactly one of ratio, params and macs, got {', '.join(self.targets) or 'none'}")
        return self


class RequestOptions(TypedDict, total=False):
    """The options of :class:`Request` as keyword arguments, for type checkers and completion.

    ``tests/unit/test_request.py`` compares the two.
    """

    ratio: float | None
    params: float | None
    macs: float | None
    criterion: Criterion
    scope: Scope
    align: int
    max_ratio: float
    min_channels: int
    keep: str | Sequence[str]
    only: str | Sequence[str]
    exact: bool
    allow_io: str | Sequence[str]
    seed: int


F = TypeVar("F", bound=Callable[..., Any])


def lists_options(function: F) -> F:
    """Decorator: the signature and the docstring of a function name each option that its ``**options`` take."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    options = options_of(Request)
    added = [
        inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
        for option in options
    ]
    listed = "\n".join(f"- ``{option.name}``: {option.help}" for option in options)
    cast(Any, function).__signature__ = signature.replace(parameters=[*named, *added])
    function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{listed}\n"
    return function
