"""Pipelines are strings; the driver checks, times and prints.

::

    pipeline := pass ("," pass)*
    pass     := name [ "{" option ("," option)* "}" ]
    option   := name "=" value
    value    := item | "[" [ item ("," item)* ] "]"
    item     := "quoted" | 'quoted' | anything without , { } [ ] = quotes and spaces

So ``fold,prune{macs=0.5,criterion=l2,keep=[head.*,stem]},dce``. Values are of the types of the pass's fields.
"""

from __future__ import annotations

import inspect
import re
import sys
import time
import types
import typing
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, IRError
from ..ir import check, render
from .base import PASSES, Pass, State

ALL = "all"
"""In place of pass names in ``print_before`` and ``print_after``."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[,{}\[\]=])|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>[^,{}\[\]="'\s]+))"""
)


# -- reading -------------------------------------------------------------------------------------------------


def parse_pipeline(text: str) -> tuple[Pass, ...]:
    """The passes of a pipeline, with their options.

    Raises :class:`InputError` for text that is not a pipeline, for a pass or an option that does not exist
    (naming those that do), and for a value of the wrong type.
    """
    return _Reader(text).pipeline()


@dataclass(frozen=True)
class _Token:
    kind: str
    """A mark, or ``item``, or ``end``."""
    text: str
    position: int
    quoted: bool = False


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.next = 0

    def _tokens(self) -> typing.Iterator[_Token]:
        position = 0
        while self.text[position:].strip():
            match = _TOKEN.match(self.text, position)
            if match is None:
                raise self._error(position, "a quote that ends", self.text[position:].strip())
            kind = str(match.lastgroup)
            body = match[kind]
            if kind in ("double", "single"):
                yield _Token("item", re.sub(r"\\(.)", r"\1", body), match.start(kind), quoted=True)
            else:
                yield _Token(body if kind == "mark" else "item", body, match.start(kind))
            position = match.end()
        yield _Token("end", "", len(self.text))

    def _error(self, position: int, expected: str, found: str) -> InputError:
        where = f"pipeline '{self.text}', column {position + 1}"
        return InputError(f"{where}: expected {expected}, got {found!r}")

    def _take(self, *kinds: str, expected: str) -> _Token:
        token = self.tokens[self.next]
        if token.kind not in kinds:
            raise self._error(token.position, expected, token.text or "the end")
        self.next += 1
        return token

    def pipeline(self) -> tuple[Pass, ...]:
        passes = []
        while True:
            name = self._take("item", expected="the name of a pass").text
            mark = self._take(",", "{", "end", expected="',', '{' or the end")
            options: dict[str, _Token | list[_Token]] = {}
            if mark.kind == "{":
                options = self._options()
                mark = self._take(",", "end", expected="',' or the end")
            passes.append(make_pass(name, options))
            if mark.kind == "end":
                return tuple(passes)

    def _options(self) -> dict[str, _Token | list[_Token]]:
        options: dict[str, _Token | list[_Token]] = {}
        if self.tokens[self.next].kind == "}":
            self.next += 1
            return options
        while True:
            key = self._take("item", expected="the name of an option")
            if key.text in options:
                raise self._error(key.position, "every option once", key.text)
            self._take("=", expected="'='")
            options[key.text] = self._value()
            if self._take(",", "}", expected="',' or '}'").kind == "}":
                return options

    def _value(self) -> _Token | list[_Token]:
        first = self._take("item", "[", expected="a value")
        if first.kind == "item":
            return first
        items: list[_Token] = []
        if self.tokens[self.next].kind == "]":
            self.next += 1
            return items
        while True:
            items.append(self._take("item", expected="a value"))
            if self._take(",", "]", expected="',' or ']'").kind == "]":
                return items


def make_pass(name: str, options: typing.Mapping[str, _Token | list[_Token]]) -> Pass:
    """The pass of a name with options as they were written."""
    cls = PASSES.get(name)
    if cls is None:
        raise InputError(f"unknown pass '{name}'; known: {', '.join(sorted(PASSES))}")
    kinds = {option.name: option.type for option in cls.options()}
    values: dict[str, Any] = {}
    for key, written in options.items():
        if key not in kinds:
            known = ", ".join(kinds) or "none"
            raise InputError(f"pass '{name}' has no option '{key}'; its options: {known}")
        values[key] = _typed(f"{name}: {key}", kinds[key], written)
    return cls.from_options(values)


def _typed(where: str, kind: Any, written: _Token | list[_Token]) -> object:
    plain = _plain_type(kind)
    optional = plain is not kind
    if typing.get_origin(plain) is tuple:
        items = written if isinstance(written, list) else [written]
        return tuple(token.text for token in items)
    if isinstance(written, list):
        raise InputError(f"{where} takes one value of type {type_name(kind)}, got a list of {len(written)}")
    text = written.text
    if optional and text == "none" and not written.quoted:
        return None
    if plain is str:
        return text
    if plain is bool:
        if text not in ("true", "false"):
            raise InputError(f"{where} is true or false, got '{text}'")
        return text == "true"
    try:
        number: object = plain(text)
        return number
    except ValueError as error:
        raise InputError(f"{where} takes a value of type {type_name(kind)}, got '{text}'") from error


def _plain_type(kind: Any) -> Any:
    """``T`` of ``T | None``."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (kind,) = (inner for inner in typing.get_args(kind) if inner is not type(None))
    return kind


def type_name(kind: Any) -> str:
    """A type in words: ``float``, ``float or none``, ``list of str``."""
    plain = _plain_type(kind)
    if typing.get_origin(plain) is tuple:
        return f"list of {typing.get_args(plain)[0].__name__}"
    return f"{plain.__name__}{'' if plain is kind else ' or none'}"


# -- describing ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OptionInfo:
    """An option of a pass; the default is spelled as a pipeline spells it."""

    name: str
    type: str
    default: object
    help: str


@dataclass(frozen=True)
class PassInfo:
    """The description of a pass for users; ``details`` is its whole docstring."""

    name: str
    summary: str
    details: str
    options: tuple[OptionInfo, ...]


def describe_passes() -> tuple[PassInfo, ...]:
    """Every known pass, by name."""
    found = []
    for name, cls in sorted(PASSES.items()):
        options = tuple(OptionInfo(o.name, type_name(o.type), o.default, o.help) for o in cls.options())
        text = inspect.cleandoc(cls.__doc__ or "")
        found.append(PassInfo(name, text.split("\n", 1)[0], text, options))
    return tuple(found)


# -- running -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One pass that has run: the states around it, and the seconds it took."""

    applied: Pass
    before: State
    after: State
    seconds: float


def run_pipeline(
    passes: str | Sequence[Pass],
    state: State,
    *,
    print_before: Collection[str] = (),
    print_after: Collection[str] = (),
    timings: bool = False,
    observer: Callable[[Step], object] | None = None,
    write: Callable[[str], object] | None = None,
) -> State:
    """Run passes in order; the structure of the graph is checked before the first and after every one.

    ``print_before`` and ``print_after`` name passes whose IR is written out (``all``: every pass),
    ``timings`` asks for a line a pass; both go to ``write``, by default standard error. ``observer`` is called
    after each pass. Raises :class:`IRError` naming the pass that broke the graph.
    """
    passes = parse_pipeline(passes) if isinstance(passes, str) else tuple(passes)
    names = [applied.name for applied in passes]
    for wanted in (*print_before, *print_after):
        if wanted not in (*names, ALL):
            raise InputError(f"cannot print the IR around '{wanted}': the passes are {', '.join(names)}")
    write = write or sys.stderr.write
    _check(state, "the graph is malformed before the first pass")
    for applied in passes:
        if {applied.name, ALL} & set(print_before):
            write(f"# before {applied}\n{render(state.graph)}")
        start = time.perf_counter()
        try:
            after = applied.run(state)
        except IRError as error:
            raise IRError(f"pass '{applied}': {error}") from error
        seconds = time.perf_counter() - start
        _check(after, f"pass '{applied}' broke the graph")
        if timings:
            counts = f"{len(state.graph.nodes)} -> {len(after.graph.nodes)} nodes"
            write(f"{seconds:9.3f} s  {applied}  ({counts})\n")
        if {applied.name, ALL} & set(print_after):
            write(f"# after {applied}\n{render(after.graph)}")
        if observer is not None:
            observer(Step(applied, state, after, seconds))
        state = after
    return state


def _check(state: State, what: str) -> None:
    try:
        check(state.graph)
    except IRError as error:
        raise IRError(f"{what}: {error}") from error
