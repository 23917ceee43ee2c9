"""The rewriter: given the atoms to remove, it makes the physically smaller graph.

One channel's way: its atom gives a mask over the leaves of its axes; the mask of a dimension follows from its axis
expression; every constant is taken at the kept indices of its dimensions, every number that spells a size out
(attributes, shape operands, gather indices) is recomputed from the same masks, and every value's shape follows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, Mask, MatchedNode, Region, Resizing, kept_indices, kept_mask
from ..axes import Axis, Leaf, Product, leaves_of, resolve, size_of
from ..collector import without_gc
from ..errors import IRError
from ..ir import Attribute, Constant, Dim, Graph, Integers, Node, Size, Value, fresh_name
from ..ir.dtypes import is_integer
from ..ir.integers import Entries
from ..ir.sizes import product, total
from ..plans import Slice
from ..signatures import Composite, Flags, Follower, Grid, Indices, Renumber, Restride, SizeOf, traits_of
from .liveness import without_orphans

_Kept: TypeAlias = tuple[tuple[int, tuple[int, ...]], ...]
"""Per changed axis the kept indices: two uses of a constant that agree in it can share one."""

_MOST_RUNS = 32
"""A view chain that takes more runs of its operand than this is written as a Gather."""


@without_gc
def remove_atoms(analysis: Analysis, removed: Mask) -> tuple[Graph, dict[str, Slice]]:
    """The graph without the atoms in ``removed``, and what each tensor keeps, by its name in the new graph."""
    return _Rewriter(analysis, removed).run()


@dataclass
class _Rewriter:
    analysis: Analysis
    removed: Mask
    slices: dict[str, Slice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph = self.analysis.graph
        self.kept = self.analysis.kept(self.removed)
        self.constants: dict[str, Constant] = dict(graph.constants)
        self.values: dict[str, Value] = dict(graph.values)
        self.inputs: dict[str, list[str]] = {node.name: list(node.inputs) for node in graph.nodes}
        self.taken = set(self.values) | {node.name for node in graph.nodes}
        self.added: dict[str, list[Node]] = {}
        self.changed: dict[Axis, bool] = {}
        self.indices: dict[Axis, tuple[int, ...]] = {}
        self.arrays: dict[tuple[int, ...], NDArray[np.intp]] = {}

    def run(self) -> tuple[Graph, dict[str, Slice]]:
        graph = self.analysis.graph
        self._slice_constants()
        self._reshape_values()
        self.before = Integers(graph, self._old_shape)
        self.integers = Integers(graph, self._new_shape)
        replaced = self._replace_regions()
        nodes: list[Node] = []
        for node in graph.nodes:
            rewritten = [] if node.name in replaced else [self._rewrite(node)]
            nodes += [*self.added.get(node.name, ()), *rewritten]
        rewritten_graph = replace(graph, nodes=tuple(nodes), values=self.values, constants=self.constants)
        small = without_orphans(graph, rewritten_graph)
        return small, {name: part for name, part in self.slices.items() if name in small.constants}

    # -- sizes ---------------------------------------------------------------------------------------------------

    def _changes(self, axis: Axis) -> bool:
        """Whether a dimension loses anything. Values share axis expressions: each is looked at once."""
        known = self.changed.get(axis)
        if known is None:
            known = self.changed[axis] = any(leaf.number in self.kept for leaf in leaves_of(axis))
        return known

    def _size(self, axis: Axis) -> Size:
        """The size of a dimension after the removal."""
        axis = resolve(axis)
        if isinstance(axis, Leaf):
            mask = self.kept.get(axis.number)
            return axis.size if mask is None else Size(int(mask.sum()))
        if isinstance(axis, Product):
            return product(self._size(factor) for factor in axis.factors)
        return total(self._size(part) for part in axis.parts)

    def _old_shape(self, name: str) -> tuple[Size, ...] | None:
        constant = self.analysis.graph.constants.get(name)
        return tuple(map(Size.of, constant.shape)) if constant is not None else self.analysis.coupling.sizes(name)

    def _new_shape(self, name: str) -> tuple[Size, ...] | None:
        if name in self.analysis.graph.constants and name not in self.analysis.coupling.dims:
            return tuple(map(Size.of, self.analysis.graph.constants[name].shape))
        dims = self.analysis.coupling.dims.get(name)
        return None if dims is None else tuple(map(self._size, dims))

    def _reshape_values(self) -> None:
        for name, dims in self.analysis.coupling.dims.items():
            value = self.values.get(name)
            if dims is None or value is None or value.shape is None or name in self.constants:
                continue
            if len(value.shape) != len(dims):  # inference and the signature disagree: the model declares nonsense
                continue
            if not any(map(self._changes, dims)):
                continue
            pairs = zip(value.shape, dims, strict=True)
            shape = tuple(self._size(axis).as_dim() if self._changes(axis) else dim for dim, axis in pairs)
            self.values[name] = Value(name, value.dtype, shape)

    # -- constants -----------------------------------------------------------------------------------------------

    def _slice_constants(self) -> None:
        coupling = self.analysis.coupling
        wanted: dict[str, dict[_Kept, list[tuple[str, int]]]] = {}
        for node in self.analysis.graph.nodes:
            for position, name in enumerate(node.inputs):
                if name in self.constants:
                    dims = coupling.uses.get((node.name, position)) or coupling.dims.get(name) or ()
                    wanted.setdefault(name, {}).setdefault(self._kept_axes(dims), []).append((node.name, position))
        for name, variants in wanted.items():
            self._slice_constant(name, variants)

    def _kept_axes(self, dims: Iterable[Axis]) -> _Kept:
        return tuple((k, self._indices(axis)) for k, axis in enumerate(dims) if self._changes(axis))

    def _indices(self, axis: Axis) -> tuple[int, ...]:
        known = self.indices.get(axis)
        if known is None:
            known = self.indices[axis] = tuple(kept_indices(axis, self.kept).tolist())
        return known

    def _array(self, indices: tuple[int, ...]) -> NDArray[np.intp]:
        """Indices to take: many constants are sliced alike."""
        if indices not in self.arrays:
            self.arrays[indices] = np.array(indices, dtype=np.intp)
        return self.arrays[indices]

    def _slice_constant(self, name: str, variants: dict[_Kept, list[tuple[str, int]]]) -> None:
        """The variant with the most uses keeps the name, the others become private copies."""
        if variants.keys() == {()}:
            return  # unchanged for all uses
        original = self.constants[name]
        ranked = sorted(variants.items(), key=lambda item: (-len(item[1]), item[0]))
        for k, (kept, uses) in enumerate(ranked):
            target = name if k == 0 else self._fresh(name)
            sliced = original.take({axis: self._array(indices) for axis, indices in kept})
            self.constants[target] = sliced
            self.values[target] = Value(target, self.values[name].dtype, sliced.shape)
            for node, position in uses:
                self.inputs[node][position] = target
            if kept or k > 0:
                axes = {axis: (original.shape[axis], indices) for axis, indices in kept}
                self.slices[target] = Slice(axes, None if target == name else name)

    def _fresh(self, base: str) -> str:
        name = fresh_name(base, self.taken)
        self.taken.add(name)
        return name

    def _new_constant(self, base: str, array: NDArray[np.generic]) -> str:
        name = self._fresh(base)
        self.constants[name] = Constant.from_array(array)
        self.values[name] = Value(name, array.dtype.name, array.shape)
        return name

    # -- view chains ---------------------------------------------------------------------------------------------

    def _replace_regions(self) -> set[str]:
        """A chain that loses elements keeps its nodes with new sizes; else its results are taken from its operand."""
        gone: set[str] = set()
        for region in self.analysis.coupling.regions:
            operand = self.analysis.coupling.dims[region.operand]
            assert operand is not None
            if not self._changes(operand[region.axis]):
                continue
            resizing = self._resizing(region, operand[region.axis])
            if resizing is not None:
                self._resize(region, resizing)
            else:
                gone |= region.nodes
                self.added[region.first] = self._taken(region, operand[region.axis])
        return gone

    def _resizing(self, region: Region, operand: Axis) -> Resizing | None:
        """The factor of the chain's dimension to shrink so that it moves the kept elements to their places."""
        pairs = region.results.items()
        indices = {name: self._renumbered(operand, self._result(region, name), whole) for name, whole in pairs}
        for resizing in region.resizings(size_of(operand).coefficient, self._size(operand).coefficient):
            if all(np.array_equal(region.indices(name, resizing), wanted) for name, wanted in indices.items()):
                return resizing
        return None

    def _resize(self, region: Region, resizing: Resizing) -> None:
        """Write the new size of a factor wherever the chain spells it out."""
        nodes = self.analysis.graph.producers
        for name, dims in region.factors.items():
            shrinks = [any(factor.covers(resizing.stride) for factor in factors) for factors in dims]
            value, node = self.values[name], nodes[name]
            if name not in region.results and value.shape is not None and len(value.shape) == len(dims):
                pairs = zip(value.shape, shrinks, strict=True)
                shape = tuple(_shrunk_dim(dim, resizing) if shrunk else dim for dim, shrunk in pairs)
                self.values[name] = replace(value, shape=shape)
            if 1 not in traits_of(node.qualified_op).shape_operands:
                continue
            entries = self.before.entries(node.inputs[1])
            assert entries is not None
            wanted = [_shrunk_entry(e, resizing, shrunk) for e, shrunk in zip(entries.ravel(), shrinks, strict=True)]
            if any(size is not None for size in wanted):
                self.inputs[node.name][1] = self._fix(node, node.inputs[1], wanted)

    def _result(self, region: Region, name: str) -> Axis:
        dims = self.analysis.coupling.dims[name]
        assert dims is not None
        return dims[region.axis]

    def _taken(self, region: Region, operand: Axis) -> list[Node]:
        """The results of a chain as runs of its operand laid end to end, or by indices where there are many runs."""
        pairs = region.results.items()
        indices = {name: self._renumbered(operand, self._result(region, name), whole) for name, whole in pairs}
        runs = {name: _runs(wanted) for name, wanted in indices.items()}
        if sum(map(len, runs.values())) > _MOST_RUNS:
            return [self._gather(region, name, wanted) for name, wanted in indices.items()]
        nodes: list[Node] = []
        pieces = {(0, self._size(operand).coefficient): region.operand}
        for name, own in runs.items():
            for run in own:
                if run not in pieces:
                    pieces[run] = self._fresh(f"{name}_part")
                    nodes.append(self._slice(region, run, pieces[run]))
            op, attributes = ("Concat", {"axis": region.axis}) if len(own) > 1 else ("Identity", {})
            node = self._fresh(f"{region.first}_{op.lower()}")
            nodes.append(Node(node, op, tuple(pieces[run] for run in own), (name,), attributes=attributes))
        return nodes

    def _slice(self, region: Region, run: tuple[int, int], result: str) -> Node:
        value = self.values[region.operand]
        shape = value.shape and (*value.shape[: region.axis], run[1] - run[0], *value.shape[region.axis + 1 :])
        self.values[result] = replace(value, name=result, shape=shape)
        name = self._fresh(f"{region.first}_slice")
        numbers = {"starts": run[0], "ends": run[1], "axes": region.axis}
        if self.analysis.graph.opsets.get("", 0) < 10:
            return Node(name, "Slice", (region.operand,), (result,), attributes={k: (v,) for k, v in numbers.items()})
        operands = [self._new_constant(f"{result}_{k}", np.array([v], dtype=np.int64)) for k, v in numbers.items()]
        return Node(name, "Slice", (region.operand, *operands), (result,))

    def _gather(self, region: Region, result: str, indices: NDArray[np.int64]) -> Node:
        name = self._fresh(f"{region.first}_gather")
        operand = self._new_constant(f"{result}_indices", indices)
        return Node(name, "Gather", (region.operand, operand), (result,), attributes={"axis": region.axis})

    def _renumbered(self, operand: Axis, result: Axis, indices: Iterable[int]) -> NDArray[np.int64]:
        """The indices that are kept, renumbered among the kept elements of the axis that they index."""
        stays = kept_indices(operand, self.kept)
        rank = np.full(size_of(operand).coefficient, -1, dtype=np.int64)
        rank[stays] = np.arange(len(stays))
        picked = rank[np.asarray(tuple(indices), dtype=np.intp)[kept_indices(result, self.kept)]]
        if picked.min(initial=0) < 0:
            raise IRError("an index points at an element that goes")
        return picked

    # -- nodes ---------------------------------------------------------------------------------------------------

    def _rewrite(self, node: Node) -> Node:
        matched = self.analysis.coupling.matched.get(node.name)
        attributes = dict(node.attributes)
        self._narrow_uses(node)
        in_chain = traits_of(node.qualified_op).shape_operands  # those of a chain that stays are written already
        self._hold_numbers(node, matched.signature.operands.keys() if matched is not None else in_chain)
        if matched is not None:
            for name, follower in matched.signature.attributes.items():
                self._follow_attribute(matched, name, follower, attributes)
            for position, entries in matched.signature.operands.items():
                self._follow_operand(matched, position, entries, attributes)
            if matched.signature.pins and any(self._changes(axis) for dims in matched.axes.values() for axis in dims):
                self._pin(matched, attributes)
        inputs = tuple(self.inputs[node.name])
        stays = inputs == node.inputs and attributes == node.attributes
        return node if stays else replace(node, inputs=inputs, attributes=attributes)

    def _narrow_uses(self, node: Node) -> None:
        """A use that keeps fewer elements of a repeated axis takes the first ones: all are equal."""
        narrow: dict[tuple[str, int, int], str] = {}
        for position, original in enumerate(node.inputs):
            own, dims = (
                self.analysis.coupling.uses.get((node.name, position)),
                self.analysis.coupling.dims.get(original),
            )
            if own is None or dims is None or original in self.analysis.graph.constants:
                continue
            for k, (axis, use) in enumerate(zip(dims, own, strict=True)):
                size, wanted = self._size(axis), self._size(use)
                if size == wanted:
                    continue
                name = self.inputs[node.name][position]
                if wanted.coefficient > size.coefficient:
                    raise IRError(f"'{original}' keeps {size} equal elements, node '{node.name}' needs {wanted}")
                key = name, k, wanted.coefficient
                if key not in narrow:
                    first = self._new_constant(f"{original}_kept", np.arange(wanted.coefficient, dtype=np.int64))
                    narrow[key] = self._add(
                        node, "Gather", [name, first], name, {"axis": k}, sizes={k: wanted.coefficient}
                    )
                self.inputs[node.name][position] = narrow[key]

    def _pin(self, matched: MatchedNode, attributes: dict[str, Attribute]) -> None:
        """Spell defaults out: attributes by name, operands by position."""
        for key, value in matched.signature.pins.items():
            if isinstance(key, str):
                attributes.setdefault(key, value)
            else:
                self._append_operand(matched.node, key, np.array(value, dtype=np.int64))

    def _append_operand(self, node: Node, position: int, array: NDArray[np.generic]) -> None:
        """A new constant for an operand that the node leaves out."""
        self.inputs[node.name] += [""] * (position + 1 - len(self.inputs[node.name]))
        self.inputs[node.name][position] = self._new_constant(f"{node.outputs[0]}_sizes", array)

    def _hold_numbers(self, node: Node, followed: Collection[int]) -> None:
        """Keep values that are computed from a size but are not shapes, such as the scale of an attention.

        ``1 / Sqrt(Cast(Shape(q)[-1]))   ->   1 / Sqrt(Cast(64))``, however many channels of a head are kept.
        """
        if any(self._is_integer(output) and self.before.entries(output) is not None for output in node.outputs):
            return  # shape arithmetic: decided where its result is read
        for position, name in enumerate(node.inputs[: len(node.inputs) - node.yields]):
            if position in followed or name in self.analysis.graph.constants or not self._is_integer(name):
                continue
            old = self.before.entries(name)
            if old is None or _agree(old, self.integers.entries(name)):
                continue
            if not any(map(self._changes, self.analysis.coupling.operand(node, position) or ())):
                wanted = [entry if isinstance(entry, Size) and entry.is_static else None for entry in old.ravel()]
                self.inputs[node.name][position] = self._fix(node, name, wanted)

    def _is_integer(self, name: str) -> bool:
        return bool(name) and is_integer(self.analysis.graph.values[name].dtype or "")

    def _entry(self, matched: MatchedNode, follower: Follower) -> Size | None:
        """The new value of an entry; ``None`` if it stays as it is."""
        if not isinstance(follower, SizeOf):
            return None if follower is None else Size(follower)
        size = Size(follower.sign) * self._size(matched.dim(follower.term))
        if self._entry_changes(matched, follower) or not size.is_compound:
            return size
        return None  # a sum that is still computed at run time

    def _entry_changes(self, matched: MatchedNode, follower: Follower) -> bool:
        return isinstance(follower, SizeOf) and self._changes(matched.dim(follower.term))

    def _follow_attribute(
        self, matched: MatchedNode, name: str, follower: SizeOf | tuple[Follower, ...], attributes: dict[str, Attribute]
    ) -> None:
        entries = follower if isinstance(follower, tuple) else (follower,)
        if not any(self._entry_changes(matched, entry) for entry in entries):
            return
        sizes = [self._entry(matched, entry) for entry in entries]
        if not isinstance(follower, tuple):
            assert sizes[0] is not None
            attributes[name] = sizes[0].coefficient
            return
        old = matched.node.ints(name) or (0,) * len(sizes)
        attributes[name] = tuple(o if s is None else s.coefficient for o, s in zip(old, sizes, strict=True))
        attributes.pop(traits_of(matched.node.qualified_op).implied.get(name, ""), None)

    def _follow_operand(
        self,
        matched: MatchedNode,
        position: int,
        entries: tuple[Follower, ...] | Indices,
        attributes: dict[str, Attribute],
    ) -> None:
        node = matched.node
        name = node.inputs[position] if position < len(node.inputs) else ""
        if isinstance(entries, Renumber):
            self._follow_indices(matched, position, entries)
            return
        if isinstance(entries, Grid):
            self._follow_grid(matched, position, entries)
            return
        if isinstance(entries, Flags):
            self._follow_flags(matched, position, entries)
            return
        if isinstance(entries, Restride):
            self._follow_strides(matched, position, entries)
            return
        changes = [self._entry_changes(matched, entry) for entry in entries]
        if not any(changes) and (not name or name in self.analysis.graph.constants):
            return
        wanted = [self._entry(matched, entry) for entry in entries]
        if not any(changes):
            wanted = self._still_wanted(name, wanted)
        elif not name:
            vector = np.array([size.coefficient for size in wanted if size is not None], dtype=np.int64)
            self._append_operand(node, position, vector)
            attributes.pop(traits_of(node.qualified_op).implied.get(position, ""), None)
            return
        self.inputs[node.name][position] = self._fix(node, name, wanted)

    def _still_wanted(self, name: str, wanted: list[Size | None]) -> list[Size | None]:
        """Sizes that stay the same but are computed from sizes that change."""
        found = self.integers.entries(name)
        if found is None:
            return [None] * len(wanted)
        pairs = zip(found.ravel(), wanted, strict=True)
        known = [isinstance(entry, Size) and entry.is_static and w is not None and w.is_static for entry, w in pairs]
        return [w if both else None for w, both in zip(wanted, known, strict=True)]

    def _follow_indices(self, matched: MatchedNode, position: int, follower: Renumber) -> None:
        operand, result = matched.dim(follower.operand), matched.dim(follower.result)
        if not self._changes(operand) and not self._changes(result):
            return
        indices = self._renumbered(operand, result, follower.indices)
        name = matched.node.inputs[position]
        old, found = self.analysis.graph.values[name], self.before.entries(name)
        dims = (len(indices),) if found is None else found.shape
        terms = follower.result.terms if isinstance(follower.result, Composite) else (follower.result,)
        sizes = iter(self._size(matched.dim(inner)).coefficient for inner in terms)
        shape = [1 if dim == 1 else next(sizes) for dim in dims]
        array = indices.reshape(shape).astype(old.dtype or "int64")
        self.inputs[matched.node.name][position] = self._new_constant(name, array)

    def _follow_grid(self, matched: MatchedNode, position: int, follower: Grid) -> None:
        ends = [(matched.dim(axis.operand), matched.dim(axis.result)) for axis in follower.axes]
        if not any(self._changes(axis) for pair in ends for axis in pair):
            return
        lines = [self._renumbered(*pair, axis.indices) for pair, axis in zip(ends, follower.axes, strict=True)]
        name = matched.node.inputs[position]
        grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
        self.inputs[matched.node.name][position] = self._new_constant(name, grid)

    def _follow_flags(self, matched: MatchedNode, position: int, follower: Flags) -> None:
        axis = matched.dim(follower.operand)
        if self._changes(axis):
            flags = np.array(follower.flags)[kept_indices(axis, self.kept)]
            name = matched.node.inputs[position]
            self.inputs[matched.node.name][position] = self._new_constant(name, flags)

    def _follow_strides(self, matched: MatchedNode, position: int, follower: Restride) -> None:
        """``index -> index / size * kept size + rank[index % size]``, of the indices that stay."""
        node, operand = matched.node, matched.dim(follower.operand)
        if not self._changes(operand):
            return
        name = node.inputs[position]
        dtype = self.values[name].dtype or "int64"
        for k, dim in enumerate(map(matched.dim, follower.dims)):
            if self._changes(dim):
                kept = self._new_constant(f"{name}_kept", np.array(self._indices(dim), dtype=np.int64))
                name = self._add(node, "Gather", [name, kept], name, {"axis": k}, sizes={k: self._size(dim).as_dim()})
        mask, stays = kept_mask(operand, self.kept), kept_indices(operand, self.kept)
        places = np.cumsum(mask) - 1
        places[stays] = np.arange(len(stays))
        rank = self._new_constant(f"{name}_rank", places.astype(dtype))
        before = self._new_constant(f"{name}_old", np.array(mask.size, dtype=dtype))
        after = self._new_constant(f"{name}_new", np.array(len(stays), dtype=dtype))
        block = self._add(node, "Div", [name, before], name, {})
        element = self._add(node, "Mod", [name, before], name, {})
        element = self._add(node, "Gather", [rank, element], name, {"axis": 0})
        block = self._add(node, "Mul", [block, after], name, {})
        self.inputs[node.name][position] = self._add(node, "Add", [block, element], name, {})

    # -- shape operands ------------------------------------------------------------------------------------------

    def _fix(self, node: Node, name: str, wanted: list[Size | None]) -> str:
        """The name of a tensor with the wanted entries (``None``: any value); the old tensor if it has them.

        Known entries become a constant, a Concat is rebuilt from fixed pieces, and an entry computed at run time is
        rescaled: that it is a multiple of the old size is known from its symbolic value.
        """
        found = self.integers.entries(name)
        found = (
            self.before.entries(name) if found is None else found
        )  # entries that no longer evaluate become constants
        if found is None and not any(wanted):
            return name
        if found is None and not all(size is not None and size.is_static for size in wanted):
            raise IRError(f"node '{node.name}': shape operand '{name}' cannot be evaluated")
        if found is None:  # a list too long for shape arithmetic, such as the parts of a large Split
            found = np.full(len(wanted), None, dtype=object)
        flat = [entry if isinstance(entry, Size) else None for entry in found.ravel()]
        goal = [flat[k] if size is None else size for k, size in enumerate(wanted)]
        if flat == goal:
            return name
        dtype = self.analysis.graph.values[name].dtype or "int64"
        if all(size is not None and size.is_static for size in goal):
            plain = np.array([size.coefficient for size in goal if size is not None], dtype=dtype)
            return self._new_constant(name, plain.reshape(found.shape))
        producer = self.analysis.graph.producers.get(name)
        if producer is not None and producer.op == "Concat":
            return self._fix_concat(node, producer, name, wanted)
        if producer is not None and producer.qualified_op == "irprune::sizes":
            entries = tuple(f"?{name}.{k}" if size is None else str(size) for k, size in enumerate(goal))
            return self._add(node, "sizes", [], name, {"entries": entries}, domain="irprune")
        return self._rescale(node, name, flat, goal, dtype)

    def _fix_concat(self, node: Node, producer: Node, name: str, wanted: list[Size | None]) -> str:
        pieces: list[str] = []
        offset = 0
        for piece in producer.inputs:
            entries = self.integers.entries(piece)
            width = 1 if entries is None else entries.size
            goal = wanted[offset : offset + width]
            pieces.append(self._fix(node, piece, goal) if any(size is not None for size in goal) else piece)
            offset += width
        return self._add(node, "Concat", pieces, name, {"axis": 0})

    def _rescale(self, node: Node, name: str, found: list[Size | None], goal: list[Size | None], dtype: str) -> str:
        old, new = np.ones(len(goal), dtype=dtype), np.ones(len(goal), dtype=dtype)
        for k, (have, want) in enumerate(zip(found, goal, strict=True)):
            if have == want:
                continue
            if have is not None and want is not None and have.coefficient == want.coefficient:
                continue  # two names for one run-time size, which is still computed
            if have is None or want is None or have.symbols != want.symbols:
                raise IRError(f"node '{node.name}': entry {k} of shape operand '{name}' is {have}, expected {want}")
            old[k], new[k] = have.coefficient, want.coefficient
        quotient = self._add(node, "Div", [name, self._new_constant(f"{name}_old", old)], name, {})
        return self._add(node, "Mul", [quotient, self._new_constant(f"{name}_new", new)], name, {})

    def _add(
        self,
        node: Node,
        op: str,
        inputs: list[str],
        like: str,
        attributes: dict[str, Attribute],
        *,
        domain: str = "",
        sizes: Mapping[int, int | str] | None = None,
    ) -> str:
        """A new node before ``node``; its result has the type of the value ``like``, except for ``sizes``."""
        name = self._fresh(like)
        shape = self.values[like].shape
        if shape is not None:
            shape = tuple((sizes or {}).get(k, dim) for k, dim in enumerate(shape))
        self.values[name] = replace(self.values[like], name=name, shape=shape)
        self.added.setdefault(node.name, []).append(
            Node(self._fresh(f"{name}_{op.lower()}"), op, tuple(inputs), (name,), domain, attributes)
        )
        return name


def _runs(indices: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Indices as runs of consecutive ones, each with its end excluded."""
    pieces = np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)
    return [(int(piece[0]), int(piece[-1]) + 1) for piece in pieces if len(piece)]


def _shrunk_dim(dim: Dim, resizing: Resizing) -> Dim:
    size = None if dim is None else Size.of(dim)
    if size is None or size.coefficient % resizing.old:
        return None
    return Size(size.coefficient // resizing.old * resizing.new, size.symbols).as_dim()


def _shrunk_entry(entry: object, resizing: Resizing, shrinks: bool) -> Size | None:
    """An entry of a shape operand, ``None`` for one that takes what is there."""
    if not isinstance(entry, Size) or entry.coefficient <= 0:
        return None
    if not shrinks:
        return entry if entry.is_static else None
    return Size(entry.coefficient // resizing.old * resizing.new, entry.symbols)


def _agree(old: Entries, new: Entries | None) -> bool:
    return new is not None and old.shape == new.shape and all(a == b for a, b in zip(old.flat, new.flat, strict=True))
