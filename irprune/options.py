"""Options as fields of a model: each field has its limits, its help and its spelling, for every interface.

A model of options is the one place for them. The command line, pipelines, the Python API and the JSON of plans ask
:func:`options_of` for what there is.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Self


HIDDEN = "-"
"""The flag of an option that the command line has no flag for: another one sets it there."""


@dataclass(frozen=True)
class Shown:
    """How an option appears on the command line: the word for its value, and the panel of the help text.

    ``flag`` replaces the name that follows from the field's name, or hides the option. One that takes ``several`` is
    given as texts even if its field holds one value.
    """

    metavar: str
    panel: str
    flag: str = ""
    several: bool = False


class Options(BaseModel):
    """Options that are valid: making them from anything else raises :class:`InputError` in one line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise InputError(in_words(error, type(self))) from error

    @classmethod
    def given(cls, options: Mapping[str, Any]) -> Self:
        """The model of keyword arguments: lists count as tuples."""
        return cls(**options)

    def as_json(self) -> dict[str, Any]:
        """The options that say something, as plain JSON values."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value not in (None, [], {})}


@dataclass(frozen=True)
class Option:
    """One field of a model of options.

    ``kind`` is the type of a single value; an option that takes ``several`` is given as text, once for each.
    """

    name: str
    kind: type
    optional: bool
    several: bool
    default: Any
    help: str
    shown: Shown | None

    @property
    def type(self) -> Any:
        """The type of the value: a tuple of texts for an option that takes several."""
        kind: Any = tuple[str, ...] if self.several else self.kind
        return kind | None if self.optional else kind

    @property
    def flag(self) -> str:
        """``--max-ratio`` for ``max_ratio``."""
        return (self.shown.flag if self.shown else "") or "--" + self.name.replace("_", "-")


def options_of(model: type[BaseModel]) -> tuple[Option, ...]:
    """The options of a model, in the order of its fields."""
    return tuple(_option(name, field) for name, field in model.model_fields.items())


def _option(name: str, field: Any) -> Option:
    kind, optional = _kind(field.annotation)
    shown = next((item for item in field.metadata if isinstance(item, Shown)), None)
    several = issubclass(kind, (tuple, Mapping)) or (shown is not None and shown.several)
    default = field.get_default(call_default_factory=True)
    return Option(name, str if several else kind, optional, several, default, field.description or "", shown)


def _kind(annotation: Any) -> tuple[type, bool]:
    """The class of an annotation's values, and whether they may be ``None``."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _kind(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        kinds = [_kind(part)[0] for part in typing.get_args(annotation) if part is not type(None)]
        is_optional = type(None) in typing.get_args(annotation)
        return kinds[0] if len(kinds) == 1 else str, is_optional  # a number or a word is given as text
    if origin is typing.Literal:
        return str, False
    return origin or annotation, False


# -- errors --------------------------------------------------------------------------------------------------------

_TAKES = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "tuple": "a list"}
"""Names of types, by the prefix of pydantic's error types."""

_OUT_OF_RANGE = frozenset(("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"))


def in_words(error: ValidationError, model: type[BaseModel]) -> str:
    """The first error of a model of options in one line: which option, what it may be, and what was given."""
    first = error.errors(include_url=False)[0]
    kind, name, given = first["type"], ".".join(map(str, first["loc"])), first["input"]
    if kind == "value_error":
        return f"{_called(model, name)}: {first['ctx']['error']}" if name else str(first["ctx"]["error"])
    if kind == "extra_forbidden":
        return f"unknown option '{name}'; the options are {', '.join(model.model_fields)}"
    if kind == "literal_error":
        return f"unknown {name} '{given}'; known: {_choices(model, name)}"
    if kind in _OUT_OF_RANGE and name in model.model_fields:
        return f"{name} must {_limits(_schema(model, name))}, got {given}"
    what = _taken(kind)
    wanted = f"{name} takes {what}" if what else f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return f"{wanted}, got {given!r}"


def _called(model: type[BaseModel], place: str) -> str:
    """The place of an error; where the flag of an option has another name, the flag: ``--size`` for ``sizes``."""
    name, *inner = place.split(".")
    known = {option.name: option.flag for option in options_of(model) if option.shown and option.shown.flag}
    return ".".join([known[name] if known.get(name, HIDDEN) != HIDDEN else name, *inner])


def location(error: ValidationError) -> str:
    """The first error of a document in one line: where, what it may be, and what was given."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "the document"
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "extra_forbidden":
        return f"there is no {where} in this format"
    if first["type"] == "value_error":
        return f"{where}: {first['ctx']['error']}"
    what = _taken(first["type"])
    wanted = f"{where} takes {what}" if what else f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return f"{wanted}, got {brief(first['input'])}"


def brief(value: object, most: int = 60) -> str:
    """A value as it is written, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _taken(kind: str) -> str | None:
    """What a value of a type is called, for errors that say that it has another type."""
    is_of_type = kind.endswith(("_type", "_parsing", "_parsing_size", "_from_float"))
    return _TAKES.get(kind.split("_", maxsplit=1)[0]) if is_of_type else None


def _choices(model: type[BaseModel], name: str) -> str:
    shown = next((item for item in model.model_fields[name].metadata if isinstance(item, Shown)), None)
    known = shown.metavar.split("|") if shown else map(str, _schema(model, name)["enum"])
    return ", ".join(known)


def _schema(model: type[BaseModel], name: str) -> dict[str, Any]:
    """The JSON schema of a field, without the alternative ``null``."""
    found: dict[str, Any] = model.model_json_schema()["properties"][name]
    alternatives = [part for part in found.get("anyOf", ()) if part.get("type") != "null"]
    return alternatives[0] if len(alternatives) == 1 else found


def _limits(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"lie between {low:g} and {high:g} (both excluded)"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"lie between {low:g} and {high:g}"
    if low is not None:
        return f"be at least {low:g}"
    low = schema.get("exclusiveMinimum")
    return f"be more than {low:g}" if low is not None else "be a finite number"
