"""States: outputs that the caller feeds back as inputs, so that both share their axes.

A state is declared (``IN=OUT``, with globs), or found by its names: both have to be equal without words and marks of
direction (``past_key_0`` and ``present_key_0``, ``in_cache1`` and ``out_cache1``, ``h`` and ``h_out``, ``h0`` and
``hn``, ``r1i`` and ``r1o``), and element types and sizes must not differ where both are known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from ..errors import InputError
from ..ir import Graph, Value

State: TypeAlias = tuple[str, str]
"""An input, and the output that becomes it."""

Pair: TypeAlias = tuple[str, str]
"""Two inputs, or two outputs, that hold the same axes."""

_BEFORE = {"past", "prev", "previous", "last", "old", "in", "input", "inputs", "init", "initial"}
_AFTER = {"present", "new", "next", "final", "out", "output", "outputs", "updated", "last"}
_BOTH = {"cur", "current"}

_WORD = re.compile(r"[A-Z]?[a-z]+\d*|[A-Z]+\d*|\d+[a-z]*")
_MARK_BEFORE = re.compile(r"_?(0|i)$")
_MARK_AFTER = re.compile(r"_?(n|t|o)$")
_NUMBER_AFTER = re.compile(r"_?\d$")
_PLAIN = {"in", "input", "inputs"}
"""Words that every input may have: with a number alone (``input.1``) they name no state."""


def declared_states(graph: Graph, patterns: Sequence[str]) -> list[State]:
    """The states that ``IN=OUT`` patterns name.

    Raises :class:`InputError` for a pattern that matches nothing, or ends whose types or sizes contradict each other.
    """
    states: list[State] = []
    for pattern in patterns:
        before, separator, after = pattern.partition("=")
        if not (separator and before and after):
            raise InputError(f"--state '{pattern}': expected IN=OUT, such as h=h_out or past_*=present_*")
        states += paired(before, graph.inputs, after, graph.outputs, f"--state '{pattern}'", ("input", "output"))
    for what, ends in (("input", [state[0] for state in states]), ("output", [state[1] for state in states])):
        twice = [name for name, times in Counter(ends).items() if times > 1]
        if twice:
            raise InputError(f"--state: {what} '{twice[0]}' belongs to {Counter(ends)[twice[0]]} states, expected one")
    for before, after in states:
        require_alike(graph, before, after, f"--state '{before}={after}'")
    return states


def declared_ties(graph: Graph, patterns: Sequence[str]) -> tuple[list[State], list[Pair]]:
    """The ties of ``A=B`` patterns: states (an input and an output), and pairs of two inputs or two outputs.

    Raises :class:`InputError` as :func:`declared_states` does.
    """
    names = (*graph.inputs, *graph.outputs)
    states: list[State] = []
    ties: list[Pair] = []
    for pattern in patterns:
        left, separator, right = pattern.partition("=")
        if not (separator and left and right):
            raise InputError(f"--tie '{pattern}': expected A:NAME=B:NAME, such as first:present_*=second:past_*")
        option = f"--tie '{pattern}'"
        for one, other in paired(left, names, right, names, option, ("input or output", "input or output")):
            require_alike(graph, one, other, option)
            ends = (one in graph.inputs, other in graph.inputs)
            if ends[0] == ends[1]:
                ties.append((one, other))
            else:
                states.append((one, other) if ends[0] else (other, one))
    return states, ties


def require_alike(graph: Graph, left: str, right: str, option: str) -> None:
    """Raise :class:`InputError` for ends whose element types or sizes contradict each other."""
    one, other = graph.values[left], graph.values[right]
    if not _are_alike(one, other):
        raise InputError(f"{option}: expected two ends of one type and shape, got {_spell(one)} and {_spell(other)}")


def paired(
    left: str, lefts: Iterable[str], right: str, rights: Sequence[str], option: str, kinds: tuple[str, str]
) -> list[tuple[str, str]]:
    """Pairs of names that two globs match with the same text for their stars.

    Raises :class:`InputError` where the numbers of stars differ, or a name has no counterpart.
    """
    if left.count("*") != right.count("*"):
        raise InputError(f"{option}: both sides need the same number of *")
    found: list[tuple[str, str]] = []
    lefts = list(lefts)
    for name in lefts:
        parts = _stars(left, name)
        if parts is None:
            continue
        pieces = right.split("*")
        partner = "".join(piece + part for piece, part in zip(pieces, [*parts, ""], strict=True))
        if partner not in rights:
            raise InputError(f"{option}: there is no {kinds[1]} '{partner}'; there are {', '.join(rights)}")
        found.append((name, partner))
    if not found:
        raise InputError(f"{option}: '{left}' matches no {kinds[0]}; there are {', '.join(lefts)}")
    return found


def _stars(pattern: str, name: str) -> list[str] | None:
    """The text of each star of a glob in a name; ``None`` if the name does not match."""
    matched = re.fullmatch("(.*)".join(re.escape(piece) for piece in pattern.split("*")), name)
    return None if matched is None else list(matched.groups())


def found_states(graph: Graph, inputs: Iterable[str], outputs: Iterable[str]) -> list[State]:
    """States recognized by the names and shapes of an input and an output; ambiguous pairs are left out."""
    outputs = list(outputs)
    ranked: list[tuple[int, State]] = []
    for before in inputs:
        for after in outputs:
            rank = _likeness(before, after)
            if rank is not None and _are_alike(graph.values[before], graph.values[after]):
                ranked.append((rank, (before, after)))
    states: list[State] = []
    for rank in sorted({rank for rank, _ in ranked}):
        taken = {name for state in states for name in state}
        rest = [state for other, state in ranked if other == rank and taken.isdisjoint(state)]
        times = Counter(name for state in rest for name in state)
        states += [state for state in rest if times[state[0]] == times[state[1]] == 1]
    return states


def possible_states(graph: Graph, inputs: Iterable[str], outputs: Iterable[str]) -> Iterator[State]:
    """Pairs of equal type and shape, which the caller may or may not feed back."""
    outputs = list(outputs)
    for before in inputs:
        shape = graph.shape(before)
        for after in outputs:
            if shape and shape == graph.shape(after) and graph.values[before].dtype == graph.values[after].dtype:
                yield before, after


# -- names and shapes --------------------------------------------------------------------------------------------------


def _likeness(before: str, after: str) -> int | None:
    """0 if the names are equal without words of direction, 1 or 2 without marks as well, ``None`` otherwise."""
    one, other = _stem(before, _BEFORE | _BOTH), _stem(after, _AFTER | _BOTH)
    if not one or (one.isdigit() and not _stem(before, _PLAIN).strip("_0123456789")):
        return None
    if one == other:
        return 0
    if one in (_MARK_AFTER.sub("", other), _NUMBER_AFTER.sub("", other)):
        return 1
    plain = _MARK_BEFORE.sub("", one)
    return 2 if plain and plain != one and plain == _MARK_AFTER.sub("", other) else None


def _stem(name: str, words: set[str]) -> str:
    """The name without words: ``past_key_values.0.key`` and ``present.0.key`` both become ``0_key``."""
    name = re.sub(r"past_key_values?", "past", name)
    parts = [part.lower() for part in _WORD.findall(name)]
    trimmed = [re.sub(r"\d+$", "", part) for part in parts]
    kept = [part if bare not in words else part[len(bare) :] for part, bare in zip(parts, trimmed, strict=True)]
    return "_".join(part for part in kept if part)


def _are_alike(one: Value, other: Value) -> bool:
    if one.dtype != other.dtype or one.shape is None or other.shape is None or len(one.shape) != len(other.shape):
        return False
    both = zip(one.shape, other.shape, strict=True)
    return all(left == right or not (isinstance(left, int) and isinstance(right, int)) for left, right in both)


def _spell(value: Value) -> str:
    dims = "?" if value.shape is None else ", ".join("?" if dim is None else str(dim) for dim in value.shape)
    return f"{value.dtype}[{dims}] '{value.name}'"
