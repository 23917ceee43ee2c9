"""The options of planning, each once, with its limits, its help and its place on the command line.

A new option is one field of :class:`Request` (and a line of :class:`RequestOptions`, for type checkers and completion).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict, TypeVar, cast, get_args, get_type_hints

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from .errors import InputError
from .options import HIDDEN, Options, Shown, options_of

TARGET, CHOICE, SIZES = "Target (exactly one)", "What may go", "Open sizes (costs are evaluated and verified there)"
CostKind = Literal["params", "macs", "bytes"]
COSTS: tuple[CostKind, ...] = get_args(CostKind)
"""The targets that are a share of a cost."""

TARGETS = ("ratio", *COSTS, "fidelity")
READING = ("allow_io", "states", "shapes", "sizes")
"""The options that say how a model is to be read: commands that only look at one take these."""

GIVEN_SCORES = "given scores"
"""The criterion of a plan that was made from the caller's own scores: recorded, never asked for."""

Criterion = Literal["l1", "l2", "bn-scale", "fpgm", "random", "obs", "flap", "wanda", "given scores"]
FROM_DATA = ("obs", "flap", "wanda")
"""The criteria that need data."""

Repair = Literal["none", "reconstruct"]
_CRITERIA = "|".join(name for name in get_args(Criterion) if name != GIVEN_SCORES)
Scope = Literal["local", "global"]

Share = Annotated[float, Field(gt=0, lt=1)]
AtLeastOne = Annotated[int, Field(ge=1)]


def _align(given: Any) -> Any:
    is_whole = isinstance(given, int) and not isinstance(given, bool)
    number = int(given) if is_whole or (isinstance(given, str) and given.isascii() and given.isdigit()) else None
    if given != "auto" and (number is None or number < 1):
        raise ValueError(f"expected auto or a whole number of at least 1, got {given!r}")
    return given if number is None else number


Align = Annotated[int | Literal["auto"], PlainValidator(_align, json_schema_input_type=int | Literal["auto"])]
Target = Literal["ort-cpu", "ort-cuda", "tensorrt", "openvino", "ncnn", "ascend", "none"]
"""Runtimes with a row in :mod:`irprune.allocation.steps`."""


def _latency(given: Any) -> Any:
    text = str(given).strip()
    try:
        number = float(text.removesuffix("ms"))
    except ValueError:
        number = -1.0
    if not 0 < number < (math.inf if text.endswith("ms") else 1):
        raise ValueError(f"expected a share between 0 and 1, or milliseconds such as 12ms, got {given!r}")
    return f"{number:g}ms" if text.endswith("ms") else number


Latency = Annotated[float | str, PlainValidator(_latency, json_schema_input_type=float | str)]
"""A share of the original's time, or milliseconds as ``12ms``."""


_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_LEAST_MEMORY = 1 << 20


def _memory(given: Any) -> Any:
    text = str(given).strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "")
    try:
        found = int(float(number) * (1 << _UNITS[unit]))
    except (ValueError, OverflowError):
        found = 0
    if isinstance(given, bool) or found < _LEAST_MEMORY:
        raise ValueError(f"expected a number of bytes such as 512M or 2G, at least 1M, got {given!r}")
    return found


Memory = Annotated[int | str, PlainValidator(_memory, json_schema_input_type=int | str)]
"""Bytes, as a number or as ``512M``, ``2G``, ``2GiB`` (powers of 1024)."""


def _tuple_of(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


Globs = Annotated[tuple[str, ...], BeforeValidator(_tuple_of)]
"""Patterns of names; one alone may be given as it is."""


def _named(given: Any, read: Callable[[str], Any]) -> Any:
    """A mapping as it is; of texts ``NAME=VALUE`` a mapping of names to what is read of the values."""
    texts = (given,) if isinstance(given, str) else given
    if not isinstance(texts, (list, tuple)):
        return given
    found: dict[str, Any] = {}
    for text in texts:
        name, separator, value = str(text).rpartition("=")
        if not separator or not name or name in found:
            raise ValueError(f"expected NAME=VALUE, once for each name, got '{text}'")
        found[name] = read(value)
    return found


def spelled(named: Mapping[str, Any]) -> tuple[str, ...]:
    """A mapping of names as the texts that it is read from."""
    return tuple(
        f"{name}={','.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
        for name, value in named.items()
    )


def _shape(value: str) -> tuple[int, ...]:
    parts = value.replace("x", ",").split(",") if value else []
    if not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"expected sizes with commas between them, such as 1,3,640,640, got '{value}'")
    return tuple(map(int, parts))


def _size(value: str) -> int:
    if not value.isdigit():
        raise ValueError(f"expected a whole number, got '{value}'")
    return int(value)


def _positive(given: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, value in given.items():
        if any(size < 1 for size in (value if isinstance(value, tuple) else (value,))):
            raise ValueError(f"expected sizes of at least 1, got {value} for '{name}'")
    return given


Shapes = Annotated[
    dict[str, tuple[int, ...]], BeforeValidator(lambda given: _named(given, _shape)), AfterValidator(_positive)
]
Sizes = Annotated[dict[str, int], BeforeValidator(lambda given: _named(given, _size)), AfterValidator(_positive)]


def _numbers(value: str) -> tuple[int, ...]:
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"expected positions with commas between them, such as 3,17, got '{value}'")
    return tuple(map(int, parts))


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"expected a share such as 0.5, got '{value}'") from None


Positions = Annotated[
    dict[str, Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]],
    BeforeValidator(lambda given: _named(given, _numbers)),
]
Shares = Annotated[dict[str, Share], BeforeValidator(lambda given: _named(given, _number))]


class Request(Options):
    """What the user asks for. One of ``ratio``, ``params``, ``macs``, ``bytes`` and ``fidelity`` is set.

    ``ratio`` is the share of atoms that goes, ``params``, ``macs`` and ``bytes`` the share of cost that stays.
    ``experts`` is the share of experts that goes.
    ``fidelity`` is what the smaller model keeps on data: up to 1 the share of equal decisions, above 1 the
    signal-to-noise ratio in dB. ``ratios``, ``drop`` and ``keep_only`` settle single groups beside a target, or alone.
    ``ratio`` may be given as several texts: those with an equals sign belong to ``ratios``.
    Raises :class:`InputError` for an option that does not exist or is out of range.
    """

    ratio: Annotated[Share | None, Shown("R", TARGET, several=True)] = Field(
        default=None,
        description="Remove this share of the channels; GLOB=R: of the groups that match, beside a general target.",
    )
    params: Annotated[Share | None, Shown("R", TARGET)] = Field(
        default=None, description="Keep this share of the parameters."
    )
    macs: Annotated[Share | None, Shown("R", TARGET)] = Field(
        default=None, description="Keep this share of the multiply-accumulates."
    )
    latency: Annotated[Latency | None, Shown("R|12ms", TARGET)] = Field(
        default=None,
        description="Keep this share of a run's time, or run in these milliseconds: measured on ONNX Runtime here.",
    )
    threads: Annotated[AtLeastOne | None, Shown("N", TARGET)] = Field(
        default=None, description="The threads of an operator when --latency measures; 1 by default."
    )
    experts: Annotated[Share | None, Shown("R", CHOICE)] = Field(
        default=None,
        description="Remove this share of the experts of every mixture: with --data those that are taken least.",
    )
    bytes: Annotated[Share | None, Shown("R", TARGET)] = Field(
        default=None, description="Keep this share of the bytes of all weights, each in its data type."
    )
    fidelity: Annotated[Annotated[float, Field(gt=0)] | None, Shown("F", TARGET)] = Field(
        default=None,
        description="Remove what --data allow: keep this share of decisions; above 1, this SNR in dB.",
    )
    criterion: Annotated[Criterion | None, Shown(_CRITERIA, CHOICE)] = Field(
        default=None, description="How importance is measured; l2 by default, with --data obs."
    )
    repair: Annotated[Repair | None, Shown("none|reconstruct", CHOICE)] = Field(
        default=None, description="How the weights that stay make up for the others; with --data, reconstruct."
    )
    scope: Annotated[Scope, Shown("local|global", CHOICE)] = Field(
        default="local", description="Shrink every group alike, or rank all channels together."
    )
    align: Annotated[Align, Shown("auto|N", CHOICE)] = Field(
        default="auto", description="Keep multiples of N channels; auto: the widths that the target computes fastest."
    )
    target: Annotated[Target, Shown("|".join(get_args(Target)), CHOICE)] = Field(
        default="ort-cpu", description="Where the model is to run, for --align auto; ort-cpu is this machine."
    )
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
    ratios: Annotated[Shares, Shown("GLOB=R", CHOICE, flag=HIDDEN)] = Field(
        default={}, description="Remove these shares of the groups that match, beside a general target."
    )
    drop: Annotated[Positions, Shown("GROUP=3,17", CHOICE)] = Field(
        default={}, description="Remove these positions of a group, wherever they stand; may be repeated."
    )
    keep_only: Annotated[Positions, Shown("GROUP=0,2", CHOICE)] = Field(
        default={}, description="Remove all positions of a group but these; may be repeated."
    )
    exact: Annotated[bool, Shown("", CHOICE)] = Field(
        default=False, description="Leave out groups over which statistics are taken."
    )
    allow_io: Annotated[Globs, Shown("GLOB", CHOICE)] = Field(
        default=(), description="Let these graph inputs and outputs change their shape; may be repeated."
    )
    states: Annotated[Globs, Shown("IN=OUT", CHOICE, "--state")] = Field(
        default=(),
        description="Input and output that hold a state: they lose the same channels; may have *, may be repeated.",
    )
    ties: Annotated[Globs, Shown("A:NAME=B:NAME", CHOICE, "--tie")] = Field(
        default=(),
        description="Inputs or outputs of several models that hold the same channels; may have *, may be repeated.",
    )
    shapes: Annotated[Shapes, Shown("NAME=N,N,...", SIZES, "--shape")] = Field(
        default={}, description="The shape of an input with open sizes; may be repeated."
    )
    sizes: Annotated[Sizes, Shown("SYMBOL=N", SIZES, "--size")] = Field(
        default={}, description="The value of an open size; may be repeated."
    )
    data_memory: Annotated[Memory | None, Shown("SIZE", CHOICE)] = Field(
        default=None,
        description="With --data: hold intermediate values up to this size, such as 512M, the others in files; 2G.",
    )
    seed: Annotated[int, Shown("N", CHOICE)] = Field(default=0, description="For the random criterion and the inputs.")

    @model_validator(mode="before")
    @classmethod
    def _split_ratios(cls, given: Any) -> Any:
        texts = given.get("ratio") if isinstance(given, Mapping) else None
        if not isinstance(texts, (list, tuple)):
            return given
        general = [text for text in texts if "=" not in str(text)]
        if len(general) > 1:
            raise InputError(f"give one ratio for all groups, got {', '.join(map(str, general))}")
        try:
            named = _named([text for text in texts if "=" in str(text)], _number)
            ratio = {"ratio": _number(str(general[0]))} if general else {}
        except ValueError as error:
            raise InputError(f"--ratio: {error}") from error
        rest = {name: value for name, value in given.items() if name != "ratio"}
        more = {"ratios": {**named, **_named(given.get("ratios", {}), _number)}} if named else {}
        return {**rest, **ratio, **more}

    @property
    def chooses(self) -> bool:
        """Whether single groups are settled, beside a target or alone."""
        return bool(self.ratios or self.drop or self.keep_only or self.experts)

    def with_data(self, given: bool, *, repairs: bool = True) -> Request:
        """This request with the options that are not named filled in, for a run with data or without.

        ``repairs`` tells whether the run writes weights. Raises :class:`InputError` for a criterion or a repair that
        needs data where there are none, and for a repair where no weights are written.
        """
        if given and not repairs and self.repair == "reconstruct":
            raise InputError("a plan holds no weights to refit; 'irprune prune' refits them (--repair reconstruct)")
        if given:
            repair = self.repair or ("reconstruct" if repairs else "none")
            return self.model_copy(update={"criterion": self.criterion or "obs", "repair": repair})
        if self.fidelity is not None:
            raise InputError("fidelity is measured on inputs of the model; name them with --data")
        if self.criterion in FROM_DATA:
            raise InputError(f"criterion '{self.criterion}' needs inputs of the model; name them with --data")
        if self.repair == "reconstruct":
            raise InputError("repair 'reconstruct' needs inputs of the model; name them with --data")
        return self

    @property
    def ranking(self) -> Criterion:
        """The criterion that is named, or the one that needs no data."""
        return self.criterion or "l2"

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets that are set."""
        return tuple(name for name in TARGETS if getattr(self, name) is not None)

    def at_macs(self, share: float) -> Request:
        """The request for a share of multiply-accumulates in the place of a latency or a fidelity."""
        return self.model_copy(update={"latency": None, "fidelity": None, "macs": share})

    @property
    def cost(self) -> tuple[CostKind, float] | None:
        """The cost that is a target, and the share of it that stays."""
        return next(((name, share) for name in COSTS if (share := getattr(self, name)) is not None), None)

    def require_target(self) -> Request:
        """This request. Raises :class:`InputError` unless one target is set, or single groups are settled."""
        if self.latency is not None:
            if self.targets:
                raise InputError(f"give either latency or {self.targets[0]}: each is a target")
            return self
        if len(self.targets) != 1 and not (self.chooses and not self.targets):
            known = f"{', '.join(TARGETS[:-1])} and {TARGETS[-1]}"
            raise InputError(f"give exactly one of {known}, got {', '.join(self.targets) or 'none'}")
        return self


class RequestOptions(TypedDict, total=False):
    """The options of :class:`Request` as keyword arguments, for type checkers and completion.

    ``tests/unit/test_request.py`` compares the two.
    """

    ratio: float | Sequence[str] | None
    params: float | None
    macs: float | None
    latency: float | str | None
    threads: int | None
    experts: float | None
    bytes: float | None
    fidelity: float | None
    criterion: Criterion | None
    repair: Repair | None
    scope: Scope
    align: int | Literal["auto"]
    target: Target
    max_ratio: float
    min_channels: int
    keep: str | Sequence[str]
    only: str | Sequence[str]
    ratios: Mapping[str, float] | Sequence[str]
    drop: Mapping[str, Sequence[int]] | Sequence[str]
    keep_only: Mapping[str, Sequence[int]] | Sequence[str]
    exact: bool
    allow_io: str | Sequence[str]
    states: str | Sequence[str]
    ties: str | Sequence[str]
    shapes: Mapping[str, Sequence[int]]
    sizes: Mapping[str, int]
    data_memory: int | str | None
    seed: int


F = TypeVar("F", bound=Callable[..., Any])


def lists_options(function: F) -> F:
    """Decorator: the signature and the docstring of a function name each option that its ``**options`` take."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    options, hints = options_of(Request), get_type_hints(RequestOptions)
    added = [
        inspect.Parameter(
            option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=hints[option.name]
        )
        for option in options
    ]
    listed = "\n".join(f"- ``{option.name}``: {option.help}" for option in options)
    cast(Any, function).__signature__ = signature.replace(parameters=[*named, *added])
    function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{listed}\n"
    return function
