"""Groups, parameters and the closed-form cost: what the planner, the passes and the reports ask of an analysis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from ..axes import Axis, Leaf, Product, leaves_of, resolve
from ..collector import without_gc
from ..ir import Constant, Graph, Node, fresh_name
from .atoms import Atoms, Mask, find_atoms, kept_mask
from .coupling import Coupling, couple
from .roles import Roles

FIXED_SYMBOL_SIZE = 1
"""Symbolic sizes count as one in multiply-accumulates: the figure is per element of the batch."""


@dataclass(frozen=True)
class Parameter:
    """A constant as one operand sees it: ``use`` is ``None``, or the node and position it is analyzed for alone.

    ``trainable`` is false for stored statistics (the mean and variance of batch normalization) and plain numbers.
    """

    tensor: str
    use: tuple[str, int] | None
    dims: tuple[Axis, ...]
    constant: Constant
    trainable: bool = True


@dataclass(frozen=True)
class Member:
    """A dimension of a parameter that belongs to a group."""

    tensor: str
    axis: int


@dataclass(frozen=True)
class Group:
    """Leaves whose elements can only be removed together, atom by atom.

    ``atoms`` are numbers into :class:`Atoms`; ``kind`` is one of ``channels``, ``heads``, ``head_dim``, ``groups``,
    ``multiplier``, ``recurrent``, ``hidden``, ``mlp`` and ``unread`` (rows of a table that nothing reads); ``exact``
    says that no statistics are taken over it; ``reasons`` says why nothing of it can go.
    """

    name: str
    kind: str
    leaves: tuple[Leaf, ...]
    atoms: NDArray[np.intp]
    members: tuple[Member, ...]
    exact: bool
    reasons: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return len(self.atoms)

    @property
    def frozen(self) -> bool:
        return len(self.atoms) == 0


@dataclass(frozen=True)
class Cost:
    """Learned parameters, multiply-accumulates for one element of the batch, and bytes of all stored weights."""

    params: int
    macs: int
    bytes: int


@dataclass(frozen=True)
class Analysis:
    """Everything that is known about a graph before a decision is made."""

    graph: Graph
    coupling: Coupling
    atoms: Atoms

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Constants that hold weights, once for every way they are analyzed."""
        coupling = self.coupling
        found: list[Parameter] = []
        per_use: dict[str, list[tuple[tuple[str, int], tuple[Axis, ...]]]] = {}
        for use, dims in coupling.uses.items():
            if self._reads(self._nodes[use[0]]):
                per_use.setdefault(self._nodes[use[0]].inputs[use[1]], []).append((use, dims))
        for name, constant in sorted(self.graph.constants.items()):
            if constant.dtype in _NOT_WEIGHTS or constant.computed or name not in self.graph.consumers:
                continue
            uses = per_use.get(name, [])
            found += [
                Parameter(name, use, dims, constant, bool(dims) and not self._is_statistic(use)) for use, dims in uses
            ]
            tied = coupling.dims.get(name)
            if tied is not None and self._is_read(name):
                found.append(Parameter(name, None, tied, constant, bool(tied) and self._is_trainable(name)))
        return tuple(found)

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.graph.nodes}

    def _reads(self, node: Node) -> bool:
        """Whether more of a node's operands matters than their sizes."""
        return not self.graph.read.isdisjoint(node.outputs)

    def _is_statistic(self, use: tuple[str, int]) -> bool:
        matched = self.coupling.matched.get(use[0])
        return matched is not None and use[1] in matched.signature.statistics

    def _is_read(self, name: str) -> bool:
        """Whether a node that has no axes of its own for a tensor reads it."""
        own = self.coupling.uses
        uses = [node for node, position in self.graph.consumers[name] if (node.name, position) not in own]
        return name in self.graph.outputs or any(map(self._reads, uses))

    def _is_trainable(self, name: str) -> bool:
        """Whether an operator takes a tensor for more than plain numbers, such as the scales of an image."""
        uses = [(self.coupling.matched.get(node.name), k) for node, k in self.graph.consumers[name]]
        return any(
            matched is None or (matched.has_axes(k) and k not in matched.signature.statistics) for matched, k in uses
        )

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Prunable groups first to last in the order of the graph; then frozen ones."""
        return _find_groups(self)

    @cached_property
    def incidence(self) -> dict[int, NDArray[np.intp]]:
        """Per free leaf number, the atom of every element."""
        return {leaf.number: self.atoms.of_leaf(leaf) for leaf in self.atoms.leaves if leaf.number in self.atoms.offset}

    def kept(self, removed: NDArray[np.bool_]) -> dict[int, Mask]:
        """Per leaf that loses something, which of its elements stay; ``removed`` is a mask over atoms."""
        table = np.append(~removed, True)
        masks = {number: table[atom] for number, atom in self.incidence.items()}
        masks = {number: mask for number, mask in masks.items() if not mask.all()}
        for number, uses in self._repeated.items():
            count = max(int(kept_mask(axis, masks).sum()) for axis in uses)
            if count < len(self.incidence[number]):
                masks[number] = np.arange(len(self.incidence[number])) < count
        return masks

    @cached_property
    def _repeated(self) -> dict[int, list[Axis]]:
        """Free repeated axes by leaf number, with the axes of their uses, the largest of which they have to serve."""
        related = {
            leaf.number for r in self.coupling.system.relations for s in (r.left, r.right) for leaf in leaves_of(s)
        }
        found: dict[int, list[Axis]] = {}
        for axis, use in self.coupling.repeated:
            if (
                isinstance(axis, Leaf)
                and axis.number in self.atoms.offset
                and axis.number not in related
                and use is not axis
            ):
                found.setdefault(axis.number, []).append(use)
        return found

    @cached_property
    def cost_model(self) -> CostModel:
        return CostModel(self)


_NOT_WEIGHTS = {"int64", "bool", "string"}
"""Element types of constants that are shapes, indices or masks."""


@without_gc
def analyze(graph: Graph, allow_io: Sequence[str] = ()) -> Analysis:
    """Couple the dimensions of a graph and find its atoms."""
    coupling = couple(graph, allow_io)
    live = [axis for dims in coupling.dims.values() for axis in dims or ()]
    live += [axis for dims in coupling.uses.values() for axis in dims]
    return Analysis(graph, coupling, find_atoms(coupling.system, live))


# -- cost ----------------------------------------------------------------------------------------------------------


class CostModel:
    """Parameters and multiply-accumulates as a function of the kept elements of every leaf."""

    def __init__(self, analysis: Analysis) -> None:
        formulas: dict[int, _Formula] = {}

        def formula(axis: Axis) -> _Formula:  # dimensions share settled expressions, which live as long as the analysis
            if id(axis) not in formulas:
                formulas[id(axis)] = _formula(axis)
            return formulas[id(axis)]

        tensors: dict[str, list[Parameter]] = {}
        for parameter in analysis.parameters:
            tensors.setdefault(parameter.tensor, []).append(parameter)
        self._tensors = [
            (
                {tuple(map(formula, parameter.dims)): parameter.dims for parameter in uses},
                _item_bytes(uses[0].constant),
                any(parameter.trainable for parameter in uses),
            )
            for uses in tensors.values()
        ]
        self._macs = [
            tuple(formula(axis) for name in factors for axis in matched.axes.get(name, ()))
            for matched in analysis.coupling.matched.values()
            for factors in matched.signature.notation.macs
        ]

    def __call__(self, kept: Mapping[int, Mask]) -> Cost:
        """The cost when of each leaf number in ``kept`` these elements stay, and of every other leaf all."""
        sizes = {number: int(mask.sum()) for number, mask in kept.items()}
        memo: dict[_Formula, int] = {}

        def size(formula: _Formula) -> int:
            if formula not in memo:
                memo[formula] = formula.evaluate(sizes)
            return memo[formula]

        def volume(dims: Iterable[_Formula]) -> int:
            total = 1
            for dim in dims:
                total *= size(dim)
            return total

        def distinct(uses: Mapping[tuple[_Formula, ...], tuple[Axis, ...]]) -> Iterable[tuple[_Formula, ...]]:
            if len(uses) == 1:
                return uses
            # uses that keep the same elements share one tensor
            return {tuple(kept_mask(axis, kept).tobytes() for axis in dims): use for use, dims in uses.items()}.values()

        params, stored = 0, 0.0
        for uses, item, trainable in self._tensors:
            elements = sum(map(volume, distinct(uses)))
            params += elements if trainable else 0
            stored += elements * item
        return Cost(params, sum(volume(term) for term in self._macs), int(stored))


@dataclass(frozen=True, slots=True, eq=False)  # hashed often, and dimensions that are the same share one
class _Formula:
    """The size of an axis expression: a leaf number and its size, or a product or a sum of formulas."""

    leaf: int | None
    constant: int
    terms: tuple[_Formula, ...] = ()
    is_sum: bool = False

    def evaluate(self, sizes: Mapping[int, int]) -> int:
        if self.leaf is not None:
            return sizes.get(self.leaf, self.constant)
        if self.is_sum:
            return sum(term.evaluate(sizes) for term in self.terms)
        total = 1
        for term in self.terms:
            total *= term.evaluate(sizes)
        return total


def _formula(axis: Axis) -> _Formula:
    axis = resolve(axis)
    if isinstance(axis, Leaf):
        size = axis.size.coefficient if axis.size.is_static else axis.size.coefficient * FIXED_SYMBOL_SIZE
        return _Formula(axis.number, size)
    if isinstance(axis, Product):
        return _Formula(None, 1, tuple(map(_formula, axis.factors)))
    return _Formula(None, 0, tuple(map(_formula, axis.parts)), is_sum=True)


def _item_bytes(constant: Constant) -> float:
    bits = {"int4": 4, "uint4": 4, "float4e2m1fn": 4, "int2": 2, "uint2": 2}.get(constant.dtype)
    if bits is not None:
        return bits / 8
    digits = "".join(c for c in constant.dtype.split("e")[0].removeprefix("b") if c.isdigit())
    return int(digits) / 8 if digits else 1.0


# -- groups ----------------------------------------------------------------------------------------------------------


def _find_groups(analysis: Analysis) -> tuple[Group, ...]:
    atoms = analysis.atoms
    graph: nx.Graph[tuple[str, int]] = nx.Graph()
    first_leaf = np.full(atoms.count, -1, dtype=np.intp)
    for leaf in atoms.leaves:
        graph.add_node(("leaf", leaf.number))
        if leaf.number not in atoms.offset:
            continue
        own = atoms.of_leaf(leaf)
        own = own[own >= 0]
        seen = first_leaf[own]
        first_leaf[own[seen < 0]] = leaf.number
        if seen.max(initial=-1) >= 0:
            graph.add_edges_from((("leaf", leaf.number), ("leaf", int(other))) for other in np.unique(seen[seen >= 0]))
    roles = Roles(analysis.coupling)
    by_number = {leaf.number: leaf for leaf in atoms.leaves}
    members = _members(analysis)
    groups: list[Group] = []
    names: set[str] = set()
    for component in nx.connected_components(graph):
        leaves = tuple(by_number[number] for _, number in sorted(component))
        found = tuple(dict.fromkeys(m for leaf in leaves for m in members.get(leaf.number, ())))
        if not found:
            continue
        own = _distinct([atoms.of_leaf(leaf) for leaf in leaves])
        name = fresh_name(_group_name(found), names)
        names.add(name)
        reasons = tuple(dict.fromkeys(r for leaf in leaves for r in atoms.reasons.get(leaf.number, ())))
        exact = not any(leaf.number in roles.normalized for leaf in leaves)
        groups.append(Group(name, roles.kind(leaves), leaves, own, found, exact, reasons if not len(own) else ()))
    return tuple(sorted(groups, key=lambda g: (g.frozen, g.leaves[0].number)))


def _distinct(atoms: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    """The atoms in increasing order, without those that are frozen (-1)."""
    own = np.concatenate(atoms)
    if len(atoms) == 1 and own.min(initial=0) >= 0 and (own[1:] > own[:-1]).all():
        return own
    own = np.unique(own)
    return own[own >= 0]


def _group_name(members: Sequence[Member]) -> str:
    """The group is named after the first tensor of two or more dimensions that produces it, else the first at all."""
    outer = next((m for m in members if m.axis == 0), members[0])
    return f"{outer.tensor}:{outer.axis}"


def _members(analysis: Analysis) -> dict[int, list[Member]]:
    members: dict[int, list[Member]] = {}
    for parameter in sorted(analysis.parameters, key=lambda p: -sum(size > 1 for size in p.constant.shape)):
        for k, axis in enumerate(parameter.dims):
            for leaf in leaves_of(axis):
                members.setdefault(leaf.number, []).append(Member(parameter.tensor, k))
    return members
