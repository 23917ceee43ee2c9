"""The notation of axis signatures.

::

    signature("n (g i) *s, (g o) i *k, (g o) -> n (g o) *t", opaque="s k t", macs="n g o i k t")

A word is an axis; the same word in two places is the same axis. ``(a b)`` is a row-major product, ``(a + b)`` a
concatenation, ``*s`` a run of axes, ``1`` a dimension of size one and ``_`` an operand (or ``?`` a dimension)
about which nothing is said. The roles of axes are keywords: ``opaque`` (order or identity matters: frozen),
``normalized`` (statistics are taken over it), ``ranked`` (its largest elements are picked: what is removed ranks
below all others), ``repeated`` (its elements are all equal) and ``macs`` (the axes whose
sizes multiply to the multiply-accumulates of the operator; a ``+`` between several such products).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias

from ..ir import Size
from ..reasons import Why


@dataclass(frozen=True, slots=True)
class Name:
    """One axis."""

    name: str


@dataclass(frozen=True, slots=True)
class Star:
    """A run of any number of axes."""

    name: str


@dataclass(frozen=True, slots=True)
class Composite:
    """A row-major product, or (``is_sum``) a concatenation, of terms."""

    terms: tuple[Term, ...]
    is_sum: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """A dimension of size one."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A dimension about which nothing is said."""


Term: TypeAlias = Name | Star | Composite | Unit | Unknown
Operand: TypeAlias = tuple[Term, ...] | None


@dataclass(frozen=True, slots=True)
class Notation:
    """A parsed signature: operands, results and the roles of their axes."""

    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    opaque: frozenset[str] = frozenset()
    normalized: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    ranked: frozenset[str] = frozenset()
    macs: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class SizeOf:
    """A number that the graph spells out and that follows a removal: ``sign * size(term)``."""

    term: Term
    sign: int = 1


@dataclass(frozen=True, slots=True)
class Renumber:
    """Indices into ``operand`` that select the elements of ``result``: both lose what is removed."""

    operand: Term
    result: Term
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Coordinates of all combinations of some indices, as ScatterND takes them: each axis is renumbered."""

    axes: tuple[Renumber, ...]


@dataclass(frozen=True, slots=True)
class Restride:
    """Indices computed at run time: each is ``k * size(operand)`` plus the number of an element of ``operand``.

    ``dims`` spells out the dimensions of the index tensor: both lose what is removed.
    """

    operand: Term
    dims: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Flags:
    """One truth value for each element of ``operand``, which says whether it is selected: it loses what is removed."""

    operand: Term
    flags: tuple[bool, ...]


Indices: TypeAlias = Renumber | Grid | Restride | Flags
"""An operand that says which elements are selected, and follows a removal."""

Follower: TypeAlias = SizeOf | int | None
"""An entry of a shape operand: a size that follows, a fixed number, or ``None`` for the number that it was."""


@dataclass(frozen=True, slots=True)
class ElementMap:
    """Element ``indices[k]`` of axis ``operand`` becomes element ``k`` of the dimension written ``result``."""

    operand: str
    result: str
    indices: tuple[int, ...]


DEFAULT_REASON = Why("order or identity matters")


GroupKind: TypeAlias = Literal["channels", "groups", "multiplier", "heads", "head_dim", "recurrent", "experts"]
"""The kind of group that an axis makes, as operators with channels, heads or recurrent states know it."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What an operator does to axes, for one node.

    ``sizes`` gives the sizes of axes that attributes or shapes fix. ``attributes`` and ``operands`` say which
    numbers of the node follow a removal: attribute name or operand position to entries (a single :class:`SizeOf`
    for a scalar). ``maps`` ties elements of two axes. ``untrained`` are operands whose
    constants are not parameters. ``pins`` are attributes and operands whose default depends on a size (the scale of an
    attention): when the node changes, they are spelled out with the value that they had. A ``stateful`` node passes
    its initial state into a body, and later the updated state. ``kinds`` gives the kind of group that axes make, by
    name; for axes that no operator names, it follows from how contractions use them. ``least`` says how many elements
    of an axis have to stay. ``chosen`` is the axis of a table whose rows a ranking picks: it is the one that is ranked.
    """

    notation: Notation
    sizes: Mapping[str, Size] = field(default_factory=dict)
    attributes: Mapping[str, SizeOf | tuple[Follower, ...]] = field(default_factory=dict)
    operands: Mapping[int, tuple[Follower, ...] | Indices] = field(default_factory=dict)
    maps: tuple[ElementMap, ...] = ()
    reason: Why = DEFAULT_REASON
    untrained: frozenset[int] = frozenset()
    pins: Mapping[str | int, float | tuple[int, ...]] = field(default_factory=dict)
    stateful: bool = False
    kinds: Mapping[str, GroupKind] = field(default_factory=dict)
    least: Mapping[str, int] = field(default_factory=dict)
    chosen: str = ""


def signature(
    text: str,
    *,
    opaque: Axes = (),
    normalized: Axes = (),
    repeated: Axes = (),
    ranked: Axes = (),
    macs: Axes = "",
    sizes: Mapping[str, int | str | Size] | None = None,
    attributes: Mapping[str, str | Sequence[Follower]] | None = None,
    operands: Mapping[int, Sequence[Follower] | Indices] | None = None,
    maps: Sequence[ElementMap] = (),
    reason: Why | str = DEFAULT_REASON,
    pins: Mapping[str, float] | Mapping[int | str, tuple[int, ...]] | None = None,
    stateful: bool = False,
    kinds: Mapping[str, GroupKind] | None = None,
    least: Mapping[str, int] | None = None,
    chosen: str = "",
) -> Signature:
    """Read a signature: the notation, the roles of its axes, and what else follows from a removal.

    ``opaque``, ``normalized``, ``repeated`` and ``ranked`` are axes, as words of one string or one by one. ``macs`` is
    a product of axes, or a sum of such products. ``attributes`` may name an axis for a scalar; ``reason`` says why
    opaque axes are frozen. Raises ``ValueError`` where the notation is not well formed (a bug in a table).
    """
    spelled: dict[int | str, float | tuple[int, ...]] = {}
    spelled.update(pins or {})
    follow = {
        name: SizeOf(term(value)) if isinstance(value, str) else tuple(value)
        for name, value in (attributes or {}).items()
    }
    return Signature(
        parse_notation(
            text,
            _words(opaque),
            _words(normalized),
            _words(repeated),
            macs if isinstance(macs, str) else " ".join(macs),
            _words(ranked),
        ),
        {name: Size.of(size) for name, size in (sizes or {}).items()},
        follow,
        {k: v if isinstance(v, (Renumber, Grid, Restride, Flags)) else tuple(v) for k, v in (operands or {}).items()},
        tuple(maps),
        Why(reason) if isinstance(reason, str) else reason,
        pins=spelled,
        stateful=stateful,
        kinds=kinds or {},
        least=least or {},
        chosen=chosen,
    )


_TOKEN = re.compile(r"\*?[A-Za-z_][A-Za-z_0-9]*|[()+?1]")


Axes: TypeAlias = str | Iterable[str]
"""Names of axes: words of one string, or one by one."""


def _words(axes: Axes) -> frozenset[str]:
    return frozenset(axes.split() if isinstance(axes, str) else axes)


@lru_cache(maxsize=4096)
def parse_notation(
    text: str,
    opaque: frozenset[str] = frozenset(),
    normalized: frozenset[str] = frozenset(),
    repeated: frozenset[str] = frozenset(),
    macs: str = "",
    ranked: frozenset[str] = frozenset(),
) -> Notation:
    """Parse the notation; raises ``ValueError`` for a signature that is not well formed (a bug in a table)."""
    left, arrow, right = text.partition("->")
    if not arrow:
        raise ValueError(f"signature {text!r}: expected '->'")
    return Notation(
        tuple(_operand(part) for part in left.split(",")) if left.strip() else (),
        tuple(_operand(part) for part in right.split(",")) if right.strip() else (),
        opaque,
        normalized,
        repeated,
        ranked,
        tuple(tuple(product.split()) for product in macs.split("+")) if macs else (),
    )


def _operand(text: str) -> Operand:
    if text.strip() == "_":
        return None
    leftover = _TOKEN.sub("", text).strip()
    if leftover:
        raise ValueError(f"operand {text!r}: cannot read {leftover!r}")
    tokens = _TOKEN.findall(text)
    terms: list[Term] = []
    while tokens:
        terms.append(_term(tokens))
    if sum(isinstance(t, Star) for t in terms) > 1:
        raise ValueError(f"operand {text!r}: more than one run of axes")
    return tuple(terms)


def _term(tokens: list[str]) -> Term:
    token = tokens.pop(0)
    if token == "1":
        return Unit()
    if token == "?":
        return Unknown()
    if token.startswith("*"):
        return Star(token[1:])
    if token != "(":
        return Name(token)
    terms: list[Term] = []
    is_sum = False
    while tokens and tokens[0] != ")":
        if tokens[0] == "+":
            tokens.pop(0)
            is_sum = True
        else:
            terms.append(_term(tokens))
    if not tokens:
        raise ValueError("unbalanced parenthesis in a signature")
    tokens.pop(0)
    return Composite(tuple(terms), is_sum)


def term(text: str) -> Term:
    """One dimension, as written inside a signature."""
    operand = _operand(text)
    if operand is None or len(operand) != 1:
        raise ValueError(f"expected one dimension, got {text!r}")
    return operand[0]


def names_of(item: Term) -> tuple[str, ...]:
    """The axes and runs that a term mentions."""
    if isinstance(item, (Name, Star)):
        return (item.name,)
    if isinstance(item, Composite):
        return tuple(name for inner in item.terms for name in names_of(inner))
    return ()
