"""How a call becomes an IR operator: its arguments by name, the entry of a table, and where each number came from.

An entry is a call of the IR operator, written with the argument names of the ATen schema: ``self`` is that tensor (or
list of tensors, or numbers as a constant operand), ``[dim]`` a number as a vector of one entry, ``start or 0`` gives
a default, ``perm=dims`` an attribute. Every number keeps the argument it came from, so that the emitter can write a
changed one back. This module needs no torch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from ..ir.core import Attribute
from ..signatures import NoSignature

MAX = 2**63 - 1


class TensorName(str):
    """An argument that is a tensor: the name of its value."""


class Symbol(str):
    """A number that is known only at run time, as the text of a :class:`Size`."""


Number: TypeAlias = int | float | Symbol


@dataclass(frozen=True, slots=True)
class Origin:
    """The argument that numbers came from, and how they are arranged there.

    ``one`` is a number by itself; ``from`` are entries ``start`` and following; ``reverse`` is the order of ``pad``:
    from the last dimension, low and high side by side.
    """

    argument: str
    arrangement: Literal["as is", "one", "from", "reverse"] = "as is"
    start: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """A constant operand made of numbers; without ``origin``, numbers that the call does not spell out."""

    entries: tuple[Number, ...]
    scalar: bool = False
    origin: Origin | None = None


Operand: TypeAlias = "TensorName | Numbers | None"


@dataclass(frozen=True)
class AtenCall:
    """An ATen call: its arguments by schema name (defaults filled in) and the shapes of tensors.

    ``shapes`` has every tensor argument by value name; ``result`` is the shape of the first result; ``masks`` names
    the tensors of truth values.
    """

    name: str
    arguments: Mapping[str, Any]
    shapes: Mapping[str, tuple[int | str, ...]]
    result: tuple[int | str, ...] | None
    masks: frozenset[str] = frozenset()

    def shape(self, argument: str) -> tuple[int | str, ...]:
        return self.shapes[self.arguments[argument]]

    def rank(self, argument: str = "self") -> int:
        return len(self.shape(argument))

    def tensors(self) -> list[TensorName]:
        """All tensors among the arguments, in order."""
        flat = (x for a in self.arguments.values() for x in (a if isinstance(a, (list, tuple)) else (a,)))
        return [x for x in flat if isinstance(x, TensorName)]


@dataclass(frozen=True)
class Lowered:
    """An IR operator with its operands; ``origins`` says where attributes came from.

    ``refusal`` says why the tables have no operator for the call.
    """

    op: str
    operands: tuple[Operand, ...]
    domain: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    refusal: str = ""


Lowering: TypeAlias = Callable[[AtenCall], Lowered]


@lru_cache(maxsize=512)
def read_entry(text: str) -> Lowering:
    entry = ast.parse(text, mode="eval").body
    assert isinstance(entry, ast.Call)
    domain = (
        entry.func.value.id if isinstance(entry.func, ast.Attribute) and isinstance(entry.func.value, ast.Name) else ""
    )
    op = entry.func.attr if isinstance(entry.func, ast.Attribute) else getattr(entry.func, "id", "")
    operands, attributes = entry.args, {str(k.arg): k.value for k in entry.keywords}

    def lowering(call: AtenCall) -> Lowered:
        values: dict[str, Attribute] = {}
        origins: dict[str, Origin] = {}
        for name, item in attributes.items():
            value, origin = _argument(item, call)
            if value is not None:
                values[name] = attribute(value)
            if origin is not None:  # also of a default, which may have to be spelled out
                origins[name] = Origin(origin)
        return Lowered(op, tuple(x for item in operands for x in _operand(item, call)), domain, values, origins)

    return lowering


def _argument(item: ast.expr, call: AtenCall) -> tuple[Any, str | None]:
    """The value of an expression, and the argument it is."""
    if isinstance(item, ast.Constant):
        return item.value, None
    if isinstance(item, ast.BoolOp):
        value, origin = _argument(item.values[0], call)
        return (_argument(item.values[1], call)[0] if value is None else value), origin
    assert isinstance(item, ast.Name)
    if item.id == "MAX":
        return MAX, None
    return call.arguments[item.id], item.id


def attribute(value: Any) -> Attribute:
    if isinstance(value, (list, tuple)):
        return tuple(int(v) if not isinstance(v, Symbol) else -1 for v in value)
    return int(value) if isinstance(value, bool) else value


def _operand(item: ast.expr, call: AtenCall) -> list[Operand]:
    if isinstance(item, ast.List):
        value, origin = _argument(item.elts[0], call)
        return [Numbers((number(value),), origin=Origin(origin, "one") if origin else None)]
    value, origin = _argument(item, call)
    if value is None or isinstance(value, TensorName):
        return [value]
    if not isinstance(value, (list, tuple)):
        return [Numbers((number(value),), scalar=True, origin=Origin(origin) if origin else None)]
    if any(isinstance(x, TensorName) for x in value):
        return [x if isinstance(x, TensorName) else None for x in value]
    return [Numbers(tuple(map(number, value)), origin=Origin(origin) if origin else None)]


def number(value: Any) -> Number:
    if isinstance(value, (Symbol, float)):
        return value
    if isinstance(value, (int, bool)):
        return int(value)
    raise NoSignature(f"argument {value!r} is not a number")
