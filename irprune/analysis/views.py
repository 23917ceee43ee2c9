"""View chains: reshapes and transposes whose net effect is a permutation, or a selection, along one dimension.

``(N, 116, H, W) -> (N, 2, 58, H, W) -> (N, 58, 2, H, W) -> (N, 116, H, W)`` is a channel shuffle. Read node by node it
ties the halves of the dimension to each other, and a stack of such blocks ties everything to everything. Read as a
whole it moves elements, and leaves every element as removable as it was. The rewriter keeps the chain, with another
size in place of 58, where the kept elements allow it (:mod:`.shuffles`), and emits one Gather elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..axes import Indices
from ..ir import Graph, Integers, Node, Size
from ..ir.sizes import ONE
from ..signatures.refine import refine

_MAX_NODES = 16


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor of the permuted dimension: ``size`` elements of it, ``stride`` apart."""

    size: int
    stride: int

    def covers(self, stride: int) -> bool:
        return self.stride <= stride < self.stride * self.size


@dataclass(frozen=True, slots=True)
class Resizing:
    """The factor at ``stride`` of a permuted dimension shrinks from ``old`` to ``new`` elements."""

    stride: int
    old: int
    new: int

    def factor(self, factor: Factor) -> Factor:
        size = factor.size // self.old * self.new if factor.covers(self.stride) else factor.size
        return Factor(size, self.distance(factor.stride))

    def distance(self, stride: int) -> int:
        return stride if stride <= self.stride else stride // self.old * self.new


@dataclass(frozen=True)
class Region:
    """A view chain: element ``results[name][k]`` of dimension ``axis`` of ``operand`` is element ``k`` of ``name``.

    ``factors`` gives, for every value of the chain and each of its dimensions, the factors of ``axis`` that stand
    there; ``fixed`` the factors along which a result is a single coordinate.
    """

    first: str
    operand: str
    axis: int
    nodes: frozenset[str]
    results: dict[str, tuple[int, ...]]
    factors: Mapping[str, tuple[tuple[Factor, ...], ...]]
    fixed: Mapping[str, tuple[tuple[Factor, int], ...]]

    def resizings(self, size: int, new_size: int) -> Iterator[Resizing]:
        """The ways to give the permuted dimension another size by shrinking one factor, the largest factor first."""
        bounds = sorted({1, size, *(bound for f in self._all_factors() for bound in (f.stride, f.stride * f.size))})
        if any(upper % lower for lower, upper in pairwise(bounds)):
            return  # two results take the dimension apart in two ways
        finest = [Factor(upper // lower, lower) for lower, upper in pairwise(bounds)]
        for factor in sorted(finest, key=lambda f: (-f.size, f.stride)):
            selected = any(f.covers(factor.stride) for parts in self.fixed.values() for f, _ in parts)
            if not selected and new_size * factor.size % size == 0 and new_size:
                yield Resizing(factor.stride, factor.size, new_size * factor.size // size)

    def indices(self, name: str, resizing: Resizing) -> Indices:
        """As ``results[name]``, for another size of the permuted dimension."""
        start = sum(coordinate * resizing.distance(f.stride) for f, coordinate in self.fixed[name])
        index = np.array([start], dtype=np.intp)
        for factor in map(resizing.factor, self.factors[name][self.axis]):
            index = (index[:, None] + np.arange(factor.size) * factor.stride).ravel()
        return index

    def _all_factors(self) -> Iterator[Factor]:
        for dims in self.factors.values():
            for factors in dims:
                yield from factors
        for parts in self.fixed.values():
            yield from (factor for factor, _ in parts)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A factor of a dimension of the operand: its size, the dimension and the distance of neighbors in it."""

    size: Size
    dim: int
    stride: Size


@dataclass(frozen=True, slots=True)
class _View:
    """Cells of each dimension of a value, and the cells along which one coordinate was selected."""

    dims: tuple[tuple[_Cell, ...], ...]
    fixed: tuple[tuple[_Cell, int], ...] = ()


Shapes = Callable[[str], "tuple[Size, ...] | None"]


def find_region(graph: Graph, node: Node, shape_of: Shapes, integers: Integers) -> Region | None:
    """The view chain that starts at ``node``, or ``None``. Every path from its operand has to end inside it."""
    if _RULES.get(node.qualified_op) is not _Search.reshape or node.inputs[0] in graph.constants:
        return None
    shape = shape_of(node.inputs[0])
    if shape is None or len(graph.consumers.get(node.outputs[0], ())) == 0:
        return None
    start = _View(tuple((_Cell(size, k, ONE),) if size != ONE else () for k, size in enumerate(shape)))
    return _Search(graph, node, shape, integers).run(start)


class _Search:
    def __init__(self, graph: Graph, node: Node, shape: tuple[Size, ...], integers: Integers) -> None:
        self.graph = graph
        self.first = node
        self.shape = shape
        self.integers = integers
        self.nodes: set[str] = set()
        self.results: dict[str, tuple[int, ...]] = {}
        self.axes: set[int] = set()
        self.views: dict[str, _View] = {}

    def run(self, start: _View) -> Region | None:
        if not self._step(self.first, start, is_first=True) or len(self.axes) != 1:
            return None
        (axis,) = self.axes
        factors = {
            name: tuple(tuple(_factor(cell) for cell in cells if cell.dim == axis) for cells in view.dims)
            for name, view in self.views.items()
        }
        fixed = {
            name: tuple((_factor(cell), coordinate) for cell, coordinate in self.views[name].fixed)
            for name in self.results
        }
        return Region(self.first.name, self.first.inputs[0], axis, frozenset(self.nodes), self.results, factors, fixed)

    def _step(self, node: Node, view: _View, is_first: bool = False) -> bool:
        """Follow one node; false where the chain runs into something that is not a view."""
        rule = _RULES.get(node.qualified_op)
        if rule is None or len(self.nodes) >= _MAX_NODES or len(node.outputs) != 1:
            return False
        after = rule(self, node, view)
        if after is None:
            return False
        self.nodes.add(node.name)
        output = node.outputs[0]
        self.views[output] = after
        ending = None if is_first else self._ending(after)
        if ending is not None:
            axis, indices = ending
            self.axes.add(axis)
            self.results[output] = indices
            return True
        uses = self.graph.consumers.get(output, ())
        if output in self.graph.outputs or not uses:
            return False
        return all(position == 0 and self._step(user, after) for user, position in uses)

    def _ending(self, view: _View) -> tuple[int, tuple[int, ...]] | None:
        """The permuted dimension and its index map, if every other dimension is unchanged and in its place."""
        if len(view.dims) != len(self.shape):
            return None
        moved = [
            k
            for k, cells in enumerate(view.dims)
            if (self.shape[k] == ONE) != (not cells) or (cells and not _is_whole(cells, k, self.shape[k]))
        ]
        if len(moved) > 1:
            return None
        touched = moved[0] if moved else next((cell.dim for cell, _ in view.fixed), self._refined(view))
        if touched is None or any(cell.dim != touched for cell, _ in view.fixed):
            return None
        cells = view.dims[touched]
        if any(cell.dim != touched or not (cell.size.is_static and cell.stride.is_static) for cell in cells):
            return None
        offset = sum(coordinate * cell.stride.coefficient for cell, coordinate in view.fixed)
        index = np.array([offset], dtype=np.intp)
        for cell in cells:
            steps = np.arange(cell.size.coefficient) * cell.stride.coefficient
            index = (index[:, None] + steps[None, :]).ravel()
        return touched, tuple(index.tolist())

    def _refined(self, view: _View) -> int | None:
        return next((k for k, cells in enumerate(view.dims) if len(cells) > 1), None)

    # -- the views ---------------------------------------------------------------------------------------------

    def reshape(self, node: Node, view: _View) -> _View | None:
        target = self._target(node, view)
        if target is None:
            return None
        cells = [cell for dim in view.dims for cell in dim]
        found = refine([cell.size for cell in cells], target)
        if any(group is None for group in (*found.left, *found.right)):
            return None
        pieces: dict[int, _Cell] = {}
        for cell, group in zip(cells, found.left, strict=True):
            stride = cell.stride
            for k in reversed(group or ()):
                pieces[k] = _Cell(found.cells[k], cell.dim, stride)
                stride = stride * found.cells[k]
        dims = tuple(tuple(pieces[k] for k in group or ()) for group in found.right)
        return _View(dims, view.fixed)

    def _target(self, node: Node, view: _View) -> list[Size] | None:
        entries = self.integers.entries(node.inputs[1]) if len(node.inputs) > 1 else None
        if entries is None or any(not isinstance(entry, Size) for entry in entries.ravel()):
            return None
        target = list(entries.ravel())
        if node.int("allowzero") == 0:
            sizes = [_total(dim) for dim in view.dims]
            target = [sizes[k] if t.coefficient == 0 and k < len(sizes) else t for k, t in enumerate(target)]
        wild = [k for k, t in enumerate(target) if t.coefficient == -1]
        if len(wild) == 1:
            total, known = ONE, ONE
            for dim in view.dims:
                total = total * _total(dim)
            for k, size in enumerate(target):
                known = known * size if k not in wild else known
            rest = total.divided_by(known)
            if rest is None:
                return None
            target[wild[0]] = rest
        return target if all(t.coefficient > 0 for t in target) else None

    def transpose(self, node: Node, view: _View) -> _View | None:
        order = node.ints("perm") or tuple(reversed(range(len(view.dims))))
        if sorted(order) != list(range(len(view.dims))):
            return None
        return _View(tuple(view.dims[k] for k in order), view.fixed)

    def select(self, node: Node, view: _View) -> _View | None:
        """Gather with one constant index: the dimension goes, its coordinate is fixed."""
        index = self.integers.array(node.inputs[1])
        axis = node.int("axis") % len(view.dims)
        if index is None or index.ndim or len(view.dims[axis]) != 1:
            return None
        cell = view.dims[axis][0]
        if not cell.size.is_static or not cell.stride.is_static:
            return None
        coordinate = int(index) % cell.size.coefficient
        return _View(view.dims[:axis] + view.dims[axis + 1 :], (*view.fixed, (cell, coordinate)))

    def same(self, node: Node, view: _View) -> _View | None:
        return view


def _total(dim: tuple[_Cell, ...]) -> Size:
    total = ONE
    for cell in dim:
        total = total * cell.size
    return total


def _factor(cell: _Cell) -> Factor:
    return Factor(cell.size.coefficient, cell.stride.coefficient)


def _is_whole(cells: tuple[_Cell, ...], dim: int, size: Size) -> bool:
    """Whether the cells, in order, make up one whole dimension of the operand."""
    stride = ONE
    for cell in reversed(cells):
        if cell.dim != dim or cell.stride != stride:
            return False
        stride = stride * cell.size
    return stride == size


_RULES: dict[str, Callable[[_Search, Node, _View], _View | None]] = {
    "Reshape": _Search.reshape,
    "Transpose": _Search.transpose,
    "Gather": _Search.select,
    "Identity": _Search.same,
}
