"""Operands that spell sizes or indices out, counted again from the masks of the plan.

The shape of a Reshape, the bounds of a Slice, the repeats of a Tile, the parts of a Split, the indices of a Gather: the
signature says which entries follow which axis, and :mod:`.masks` counts what stays of it. The entries of the pruned
file are read where they are stored, and evaluated where they are computed from sizes, with the shapes that the masks
leave. This shares no code with the rewriter, and holds in branches that no run reaches.

An entry that cannot be evaluated before the model runs, and indices that are computed at run time, are judged by runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, Mask, MatchedNode
from ..axes import Axis, size_of
from ..ir import Graph, Integers, Node, Size
from ..ir.core import Array
from ..signatures import Flags, Follower, Grid, Renumber, Restride, SizeOf
from .masks import dimension_order, loses, size_left


def check_operands(analysis: Analysis, kept: Mapping[int, Mask], pruned: Graph) -> Iterator[str]:
    """Compare operands of the pruned graph that follow a removal with what is left. It needs no shapes of its own.

    View chains are left out: other nodes may stand for them.
    """
    return _Operands(analysis, kept, pruned).check()


@dataclass
class _Operands:
    analysis: Analysis
    kept: Mapping[int, Mask]
    pruned: Graph

    def check(self) -> Iterator[str]:
        nodes = {next((name for name in node.outputs if name), ""): node for node in self.pruned.nodes}
        in_chains = {name for region in self.analysis.coupling.regions for name in region.nodes}
        for matched in self.analysis.coupling.matched.values():
            node = nodes.get(next((name for name in matched.node.outputs if name), ""))
            if node is None or matched.node.name in in_chains or node.qualified_op != matched.node.qualified_op:
                continue
            for position in matched.signature.operands:
                problem = self._problem(matched, position, node)
                if problem:
                    yield f"the node that makes '{node.outputs[0]}': operand {position} of {node.op} {problem}"

    def _problem(self, matched: MatchedNode, position: int, node: Node) -> str:
        follower = matched.signature.operands[position]
        name = node.inputs[position] if position < len(node.inputs) else ""
        if isinstance(follower, tuple):
            return self._wrong_sizes(matched, position, follower, name)
        if isinstance(follower, Restride):
            return ""
        if isinstance(follower, Flags):
            return self._wrong_flags(matched, follower, name)
        lines = (follower,) if isinstance(follower, Renumber) else follower.axes
        if not any(loses(matched.dim(end), self.kept) for line in lines for end in (line.operand, line.result)):
            return ""
        found = self._stored(name)
        if found is None:
            return "has to be indices that the file stores, since what they select from is pruned"
        expected = self._indices(matched, follower)
        sizes = np.array([self._left(matched.dim(line.operand)).coefficient for line in lines])
        same_size = found.size == expected.size
        if not same_size or not np.array_equal(_from_the_front(found.reshape(expected.shape), sizes), expected):
            return f"holds indices: the plan leaves {_spell(expected)}, got {_spell(found)}"
        return ""

    def _wrong_flags(self, matched: MatchedNode, follower: Flags, name: str) -> str:
        axis, found = matched.dim(follower.operand), self._stored(name)
        if not loses(axis, self.kept):
            return ""
        expected = np.array(follower.flags)[dimension_order(axis, self.kept, {})]
        if found is not None and np.array_equal(found.astype(bool), expected):
            return ""
        return f"holds flags: the plan leaves {_spell(expected)}, got {'none' if found is None else _spell(found)}"

    # -- sizes ---------------------------------------------------------------------------------------------------

    def _wrong_sizes(self, matched: MatchedNode, position: int, entries: tuple[Follower, ...], name: str) -> str:
        changes = [isinstance(e, SizeOf) and loses(matched.dim(e.term), self.kept) for e in entries]
        expected = [self._expected(matched, entry) for entry in entries]
        if not name:
            return f"has to spell out {_sizes(expected)}" if any(changes) else ""
        found = self.after.entries(name)
        if found is None:
            return ""
        if found.size != len(entries):
            return f"has {found.size} entries, expected {len(entries)}"
        before = self._before(matched.node, position, len(entries))
        wanted = [old if size is None else size for size, old in zip(expected, before, strict=True)]
        rows = zip(wanted, before, changes, found.ravel(), strict=True)
        # A bound past the end of an axis that loses nothing may stay as it was written.
        if all(_agrees(want, got) or (not change and old == got) for want, old, change, got in rows):
            return ""
        return f"spells sizes out: the plan leaves {_sizes(wanted)}, got {_sizes(found.ravel().tolist())}"

    def _before(self, node: Node, position: int, count: int) -> list[object]:
        """The entries that the original spells out as plain numbers, ``None`` for others: these stay as they are."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        found = self.before.entries(name) if name and name in self.analysis.graph.constants else None
        return [None] * count if found is None or found.size != count else found.ravel().tolist()

    def _expected(self, matched: MatchedNode, entry: Follower) -> Size | None:
        if not isinstance(entry, SizeOf):
            return None if entry is None else Size(entry)
        return Size(entry.sign) * self._left(matched.dim(entry.term))

    def _left(self, axis: Axis) -> Size:
        return size_left(axis, self.kept)

    # -- indices -------------------------------------------------------------------------------------------------

    def _indices(self, matched: MatchedNode, follower: Renumber | Grid) -> NDArray[np.int64]:
        if isinstance(follower, Renumber):
            return self._line(matched, follower)
        lines = [self._line(matched, line) for line in follower.axes]
        return np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)

    def _line(self, matched: MatchedNode, line: Renumber) -> NDArray[np.int64]:
        """The places, among the elements of the operand that stay, of those that the result takes; -1 for one gone."""
        operand, result = (matched.dim(end) for end in (line.operand, line.result))
        stays = dimension_order(operand, self.kept, {})
        places = np.full(size_of(operand).coefficient, -1, dtype=np.int64)
        places[stays] = np.arange(len(stays))
        return places[np.asarray(line.indices, dtype=np.intp)[dimension_order(result, self.kept, {})]]

    def _stored(self, name: str) -> Array | None:
        constant = self.pruned.constants.get(name)
        if constant is not None:
            return constant.numpy()
        return self.after.array(name) if name else None

    # -- evaluation ----------------------------------------------------------------------------------------------

    @cached_property
    def before(self) -> Integers:
        return Integers(self.analysis.graph, self.analysis.coupling.sizes)

    @cached_property
    def after(self) -> Integers:
        return Integers(self.pruned, self._shape)

    def _shape(self, name: str) -> tuple[Size, ...] | None:
        """The shape that the masks leave; of a tensor that the file stores, its own."""
        constant = self.pruned.constants.get(name)
        if constant is not None:
            return tuple(map(Size, constant.shape))
        dims = self.analysis.coupling.dims.get(name)
        return None if dims is None else tuple(self._left(axis) for axis in dims)


def _agrees(expected: object, got: object) -> bool:
    """Whether an entry is as expected, where both are known; run-time sizes may go by several names."""
    if not isinstance(expected, Size) or not isinstance(got, Size):
        return True
    if expected.is_static != got.is_static or any(size.is_compound or not size.is_known for size in (expected, got)):
        return True
    return expected.coefficient == got.coefficient


def _from_the_front(indices: Array, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices counted from the front; ``sizes`` has one size, or one for each coordinate of the last axis."""
    plain = np.asarray(indices, dtype=np.int64)
    sizes = sizes if len(sizes) > 1 else sizes[0]
    return np.where(plain < 0, plain + sizes, plain)


def _sizes(entries: list[object] | list[Size | None]) -> str:
    return _shortened(", ".join("any" if entry is None else str(entry) for entry in entries))


def _spell(indices: Array) -> str:
    return _shortened(", ".join(map(str, indices.ravel()[:100].tolist())))


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
