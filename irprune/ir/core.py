"""Values, nodes, constants and graphs. All are frozen: a pass returns a new graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from heapq import heappop, heappush
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import IRError
from .domains import qualified_operator
from .sizes import Size

Dim: TypeAlias = int | str | None
"""A static size, a symbolic size, or unknown."""

Array: TypeAlias = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Opaque:
    """An attribute that irprune carries through without looking inside (a subgraph, a type, a sparse tensor)."""

    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A tensor known at compile time, read only when :meth:`numpy` is called.

    ``read`` returns the array; ``origin`` is the name of the tensor in the original artifact that this constant is
    a copy or a slice of, ``None`` for one that a pass made. ``computed`` marks a table that the original artifact does
    not store but computes from plain numbers; it is not a parameter.
    """

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], Array] | None = None
    origin: str | None = None
    computed: bool = False

    @staticmethod
    def from_array(array: Array, dtype: str | None = None) -> Constant:
        return Constant(dtype or array.dtype.name, array.shape, lambda: array)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def numpy(self) -> Array:
        """The elements; raises :class:`IRError` for a constant parsed from text, which carries none."""
        if self.read is None:
            raise IRError(f"constant of shape {list(self.shape)} carries no data: it was parsed from text")
        return self.read()

    def take(self, kept: Mapping[int, NDArray[np.intp]]) -> Constant:
        """The slice that keeps, on each named axis, the given indices in order. Nothing is read yet."""
        if not kept:
            return self
        shape = tuple(len(kept[axis]) if axis in kept else size for axis, size in enumerate(self.shape))

        def read() -> Array:
            array = self.numpy()
            for axis, indices in kept.items():  # one axis at a time: take() then copies contiguous blocks
                array = array.take(indices, axis)
            return np.asarray(array)

        return replace(self, shape=shape, read=read)


Attribute: TypeAlias = (
    int | float | str | bytes | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | Constant | Opaque
)


@dataclass(frozen=True, slots=True)
class Value:
    """What flows along an edge: a tensor of known type and, as far as inference could tell, known shape."""

    name: str
    dtype: str | None = None
    shape: tuple[Dim, ...] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One operator application.

    ``name`` is unique in the graph and stable over passes: the emitter finds the node of the original artifact by
    it. Absent optional inputs are ``""``. The nodes of the bodies of control flow stand in the same list as all others,
    before the control node, whose last ``yields`` inputs are what its bodies yield. ``captures`` lists outer values
    that other subgraph attributes read, into which irprune does not look.

    ``entry_of`` names the control node whose bodies get their inputs from this node. ``mutated`` marks a node whose
    results are changed in place later on, ``writes`` one that changes an operand in place. ``refusal`` says why a
    frontend found no operator for a call that it imported as it stands.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domain: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    captures: tuple[str, ...] = ()
    yields: int = 0
    entry_of: str = ""
    mutated: bool = False
    writes: bool = False
    refusal: str = ""

    @property
    def qualified_op(self) -> str:
        return qualified_operator(self.op, self.domain)

    def ints(self, name: str, default: Iterable[int] | None = None) -> tuple[int, ...] | None:
        value = self.attributes.get(name)
        if value is None:
            return None if default is None else tuple(default)
        return tuple(int(v) for v in value) if isinstance(value, tuple) else (int(value),)  # type: ignore[arg-type]

    def int(self, name: str, default: int = 0) -> int:
        value = self.attributes.get(name, default)
        return int(value)  # type: ignore[arg-type]

    def str(self, name: str, default: str = "") -> str:
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class Graph:
    """A topologically sorted list of nodes over named values.

    ``constants`` holds initializers and the outputs of Constant nodes alike; their shapes are in ``values`` too.
    ``observed`` are the values whose shapes come from running the model, not from inference. ``twins`` are pairs of
    constants that are one weight: several models, read as one, store it once each.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    constants: Mapping[str, Constant]
    opsets: Mapping[str, int]
    observed: tuple[str, ...] = ()
    twins: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Name and numbers; :func:`irprune.ir.render` has everything."""
        return (
            f"Graph({self.name!r}, {len(self.nodes)} nodes, {len(self.constants)} constants, "
            f"inputs {list(self.inputs)}, outputs {list(self.outputs)})"
        )

    @cached_property
    def producers(self) -> dict[str, Node]:
        return {output: node for node in self.nodes for output in node.outputs if output}

    @cached_property
    def consumers(self) -> dict[str, tuple[tuple[Node, int], ...]]:
        """Per value, the nodes that read it with the position of the operand; captured values have position -1."""
        uses: dict[str, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, name in enumerate(node.inputs):
                if name:
                    uses.setdefault(name, []).append((node, position))
            for name in node.captures:
                uses.setdefault(name, []).append((node, -1))
        return {name: tuple(found) for name, found in uses.items()}

    def with_values(self, updated: Mapping[str, Array]) -> Graph:
        """The graph in which some constants have other values of the same shape and type."""
        constants = {name: replace(self.constants[name], read=partial(_same, array)) for name, array in updated.items()}
        return replace(self, constants={**self.constants, **constants})

    @cached_property
    def yielded(self) -> frozenset[str]:
        """Values that a body of control flow hands out: they have to be produced in that body."""
        return frozenset(name for node in self.nodes if node.yields for name in node.inputs[-node.yields :])

    @cached_property
    def entries(self) -> dict[str, str]:
        """Per control node whose bodies have inputs, the node that hands these in."""
        return {node.entry_of: node.name for node in self.nodes if node.entry_of}

    @cached_property
    def canonical(self) -> tuple[Node, ...]:
        """The nodes in a topological order that depends on their names alone, not on their order in the file."""
        needs = {
            node.name: {self.producers[name].name for name in (*node.inputs, *node.captures) if name in self.producers}
            for node in self.nodes
        }
        readers: dict[str, list[str]] = {}
        for name, sources in needs.items():
            for source in sources:
                readers.setdefault(source, []).append(name)
        missing = {name: len(sources) for name, sources in needs.items()}
        by_name = {node.name: node for node in self.nodes}
        ready = sorted(name for name, count in missing.items() if not count)
        order = []
        while ready:
            name = heappop(ready)
            order.append(by_name[name])
            for reader in readers.get(name, ()):
                missing[reader] -= 1
                if not missing[reader]:
                    heappush(ready, reader)
        return tuple(order)

    @cached_property
    def named_symbols(self) -> frozenset[str]:
        """The symbols that the inputs declare; shape inference and exporters invent others."""
        dims = [dim for name in self.inputs for dim in self.shape(name) or ()]
        return frozenset(symbol for dim in dims if dim is not None for symbol in Size.of(dim).symbols)

    def shape(self, name: str) -> tuple[Dim, ...] | None:
        return self.values[name].shape if name in self.values else None


def fresh_name(base: str, taken: Iterable[str]) -> str:
    """``base``, or ``base_1``, ``base_2``, ... whichever is the first that is not taken."""
    used = taken if isinstance(taken, (set, frozenset, dict)) else set(taken)
    if base not in used:
        return base
    number = 1
    while f"{base}_{number}" in used:
        number += 1
    return f"{base}_{number}"


class FreshNames:
    """Gives out unique names as :func:`fresh_name` does, in constant time also for many with the same base."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def take(self, base: str) -> str:
        """``base``, or ``base_1``, ``base_2``, ... whichever is the first that was not given away."""
        name, number = base, self._numbers.get(base, 0)
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        self._numbers[base] = number
        return name


def _same(array: Array) -> Array:
    return array
