"""Groups, parameters and cost: what the planner, the passes and the reports ask of an analysis."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..axes import Axis, Indices, Leaf, leaves_of
from ..collector import without_gc
from ..ir import FreshNames, Graph, Node
from ..ir.dtypes import is_weight_like
from ..reasons import Reason
from ..signatures import traits_of
from .atoms import Atoms, Kept, Mask, find_atoms, kept_mask
from .cost import CostModel
from .coupling import Coupling, couple
from .parameters import Classifier, Parameter
from .roles import Roles
from .shuffles import Shuffled, find_shuffled
from .states import State, possible_states
from .transforms import is_transform


@dataclass(frozen=True)
class Member:
    """A dimension of a parameter that belongs to a group."""

    tensor: str
    axis: int


@dataclass(frozen=True)
class Group:
    """Leaves whose elements can only be removed together, atom by atom.

    ``atoms`` are numbers into :class:`Atoms`; ``kind`` is one of ``channels``, ``heads``, ``head_dim``, ``groups``,
    ``multiplier``, ``recurrent``, ``experts`` (of a mixture), ``hidden``, ``mlp``, ``unread`` (rows of a table that
    nothing reads), ``transform`` (the basis of a transform, or a filter bank, is among its members) and, of frozen
    groups, ``positions`` (of a kernel, an image or a sequence); ``exact`` says that no statistics are taken over it;
    ``reasons`` says why nothing of it can go.
    """

    name: str
    kind: str
    leaves: tuple[Leaf, ...]
    atoms: NDArray[np.intp]
    members: tuple[Member, ...]
    exact: bool
    reasons: tuple[Reason, ...] = ()

    @property
    def size(self) -> int:
        return len(self.atoms)

    @property
    def frozen(self) -> bool:
        return len(self.atoms) == 0


@dataclass(frozen=True)
class Analysis:
    """Everything that is known about a graph before a decision is made.

    Costs are evaluated at ``sizes``, which gives symbols of open sizes; ``at`` are the shapes of the inputs there.
    Symbols that it lacks count as one (:attr:`.CostModel.unknown`).
    """

    graph: Graph
    coupling: Coupling
    atoms: Atoms
    sizes: Mapping[str, int] = field(default_factory=dict)
    at: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Analysis({self.graph!r}, {sum(not group.frozen for group in self.groups)} groups)"

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Constants that hold weights, once for every way they are analyzed."""
        coupling, classifier = self.coupling, Classifier(self.coupling)
        found: list[Parameter] = []
        per_use: dict[str, list[tuple[tuple[str, int], tuple[Axis, ...]]]] = {}
        for use, dims in coupling.uses.items():
            if self._reads(self._nodes[use[0]]):
                per_use.setdefault(self._nodes[use[0]].inputs[use[1]], []).append((use, dims))
        for name, constant in sorted(self.graph.constants.items()):
            if not is_weight_like(constant.dtype) or constant.computed or name not in self.graph.consumers:
                continue
            uses = per_use.get(name, [])
            is_table = classifier.is_table(name)
            found += [
                Parameter(name, use, dims, constant, *_status(dims, not self._is_untrained(use), is_table))
                for use, dims in uses
            ]
            tied = coupling.dims.get(name)
            if tied is not None and self._is_read(name):
                found.append(Parameter(name, None, tied, constant, *_status(tied, self._is_trainable(name), is_table)))
        return tuple(found)

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.graph.nodes}

    def _reads(self, node: Node) -> bool:
        """Whether the outputs depend on the elements of a node's operands, not only on their shapes."""
        return not self._read_values.isdisjoint(node.outputs)

    @cached_property
    def _read_values(self) -> frozenset[str]:
        """Values whose elements the outputs depend on. Of all others at most the shape matters.

        Nodes that write into an operand are read through it.
        """
        graph = self.graph
        found = {*graph.outputs, *graph.yielded, *(name for node in graph.nodes for name in node.captures)}
        for node in reversed(graph.nodes):
            sizes_only = traits_of(node.qualified_op).reads_sizes
            if node.writes or not (sizes_only or found.isdisjoint(node.outputs)):
                found.update((*node.inputs, *node.outputs))
        return frozenset(found)

    def _is_untrained(self, use: tuple[str, int]) -> bool:
        matched = self.coupling.matched.get(use[0])
        return matched is not None and matched.is_untrained(use[1])

    def _is_read(self, name: str) -> bool:
        """Whether a node reads the tensor by its shared axes, not by axes of its own use."""
        own = self.coupling.uses
        uses = [node for node, position in self.graph.consumers[name] if (node.name, position) not in own]
        return name in self.graph.outputs or any(map(self._reads, uses))

    def _is_trainable(self, name: str) -> bool:
        """Whether some operator reads the tensor along axes. The scales of a resize, for one, are plain numbers."""
        uses = [(self.coupling.matched.get(node.name), k) for node, k in self.graph.consumers[name]]
        return any(matched is None or (matched.has_axes(k) and not matched.is_untrained(k)) for matched, k in uses)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Prunable groups first to last in the order of the graph; then frozen ones."""
        return _find_groups(self)

    @cached_property
    def separate_states(self) -> tuple[State, ...]:
        """Inputs and outputs of one shape that are not declared as a state, and that may lose different elements."""
        coupling = self.coupling
        tied = {name for state in coupling.states for name in state}
        inputs, outputs = (
            [name for name in names if name in coupling.changeable - tied]
            for names in (self.graph.inputs, self.graph.outputs)
        )
        return tuple(
            (before, after)
            for before, after in possible_states(self.graph, inputs, outputs)
            if any(
                one != other and self._is_free(one) and self._is_free(other)
                for one, other in zip(coupling.dims[before] or (), coupling.dims[after] or (), strict=False)
            )
        )

    def _is_free(self, axis: Axis) -> bool:
        """Whether any element of a dimension can go."""
        return any((self.atoms.of_leaf(leaf) >= 0).any() for leaf in leaves_of(axis))

    @cached_property
    def incidence(self) -> dict[int, NDArray[np.intp]]:
        """Per free leaf number, the atom of every element."""
        return {leaf.number: self.atoms.of_leaf(leaf) for leaf in self.atoms.leaves if leaf.number in self.atoms.offset}

    @cached_property
    def shuffled(self) -> dict[str, Shuffled]:
        """The groups, by name, that view chains relate and that can shrink so that the chains stay."""
        ends = (*self.graph.inputs, *self.graph.outputs)
        seen = {leaf.number for name in ends for axis in self.coupling.dims.get(name) or () for leaf in leaves_of(axis)}
        free = [group for group in self.groups if group.exact and not seen & {leaf.number for leaf in group.leaves}]
        return dict(find_shuffled(self.coupling, self.atoms, free))

    def _orders(self, kept: Mapping[int, Mask]) -> dict[int, Indices]:
        found: dict[int, Indices] = {}
        for shuffled in self.shuffled.values():
            found.update(shuffled.orders(kept))
        return found

    def kept(self, removed: NDArray[np.bool_]) -> Kept:
        """Per leaf that loses something, which of its elements stay; ``removed`` is a mask over atoms."""
        table = np.append(~removed, True)
        masks = {number: table[atom] for number, atom in self.incidence.items()}
        masks = {number: mask for number, mask in masks.items() if not mask.all()}
        for number, uses in self._repeated.items():
            count = max(int(kept_mask(axis, masks).sum()) for axis in uses)
            if count < len(self.incidence[number]):
                masks[number] = np.arange(len(self.incidence[number])) < count
        return Kept(masks, self._orders)

    @cached_property
    def _repeated(self) -> dict[int, list[Axis]]:
        """Free repeated axes by leaf number, with the axes of their uses: the largest use decides how many are kept."""
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
        return CostModel(self.coupling, self.parameters, self.sizes)

    @cached_property
    def least(self) -> Mapping[str, int]:
        """The number of elements that the groups of a choice have to keep, by the name of the group."""
        counts: dict[int, int] = {}
        for matched in self.coupling.matched.values():
            for letter, count in matched.signature.least.items():
                for leaf in (leaf for axis in matched.axes.get(letter, ()) for leaf in leaves_of(axis)):
                    counts[leaf.number] = max(count, counts.get(leaf.number, 0))
        found = {group.name: max(counts.get(leaf.number, 0) for leaf in group.leaves) for group in self.groups}
        return {name: count for name, count in found.items() if count}

    @cached_property
    def transforms(self) -> frozenset[str]:
        """Constants that are the basis of a transform, or a bank of filters."""
        return frozenset(p.tensor for p in self.parameters if p.trainable and is_transform(p.constant))


def _status(dims: tuple[Axis, ...], is_trainable: bool, is_table: bool) -> tuple[bool, bool]:
    """Whether a parameter is trainable, and whether it is a table; a scalar is neither."""
    return bool(dims) and is_trainable and not is_table, bool(dims) and is_table


@without_gc
def analyze(
    graph: Graph,
    allow_io: Sequence[str] = (),
    states: Sequence[str] = (),
    ties: Sequence[str] = (),
    remapped: Collection[str] = (),
) -> Analysis:
    """Couple the dimensions of a graph and find its atoms; the options are those of :func:`.coupling.couple`."""
    coupling = couple(graph, allow_io, states, ties, remapped)
    live = [axis for dims in coupling.dims.values() for axis in dims or ()]
    live += [axis for dims in coupling.uses.values() for axis in dims]
    return Analysis(graph, coupling, find_atoms(coupling.system, live))


# -- groups ----------------------------------------------------------------------------------------------------------


def _find_groups(analysis: Analysis) -> tuple[Group, ...]:
    atoms = analysis.atoms
    shared: list[tuple[int, int]] = []
    first_leaf = np.full(atoms.count, -1, dtype=np.intp)
    for leaf in atoms.leaves:
        if leaf.number not in atoms.offset:
            continue
        own = atoms.of_leaf(leaf)
        own = own[own >= 0]
        seen = first_leaf[own]
        first_leaf[own[seen < 0]] = leaf.number
        if seen.max(initial=-1) >= 0:
            shared += [(leaf.number, int(other)) for other in np.unique(seen[seen >= 0])]
    roles = Roles(analysis.coupling)
    by_number = {leaf.number: leaf for leaf in atoms.leaves}
    members = _members(analysis)
    groups: list[Group] = []
    names = FreshNames()
    for component in _connected([leaf.number for leaf in atoms.leaves], shared):
        leaves = tuple(by_number[number] for number in sorted(component))
        found = tuple(dict.fromkeys(m for leaf in leaves for m in members.get(leaf.number, ())))
        if not found:
            continue
        own = _distinct([atoms.of_leaf(leaf) for leaf in leaves])
        name = names.take(_group_name(found))
        reasons = tuple(dict.fromkeys(r for leaf in leaves for r in atoms.reasons.get(leaf.number, ())))
        exact = not any(leaf.number in roles.normalized for leaf in leaves)
        reasons = () if len(own) else reasons
        kind = "transform" if any(m.tensor in analysis.transforms for m in found) else roles.kind(leaves, reasons)
        groups.append(Group(name, kind, leaves, own, found, exact, reasons))
    return tuple(sorted(groups, key=lambda g: (g.frozen, g.leaves[0].number)))


def _connected(numbers: Sequence[int], pairs: Sequence[tuple[int, int]]) -> Iterable[Iterable[int]]:
    """The numbers, joined by the pairs; networkx takes longer to load than most models to analyze."""
    if not pairs:
        return ([number] for number in numbers)
    import networkx as nx

    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(numbers)
    graph.add_edges_from(pairs)
    return nx.connected_components(graph)


def _distinct(atoms: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    """The atoms in increasing order, without those that are frozen (-1)."""
    own = np.concatenate(atoms)
    if len(atoms) == 1 and own.min(initial=0) >= 0 and (own[1:] > own[:-1]).all():
        return own
    own = np.unique(own)
    return own[own >= 0]


def _group_name(members: Sequence[Member]) -> str:
    """The group is named after the first tensor with the group on its axis 0, or else after its first member."""
    outer = next((m for m in members if m.axis == 0), members[0])
    return f"{outer.tensor}:{outer.axis}"


def _members(analysis: Analysis) -> dict[int, list[Member]]:
    members: dict[int, list[Member]] = {}
    for parameter in sorted(analysis.parameters, key=lambda p: -sum(size > 1 for size in p.constant.shape)):
        for k, axis in enumerate(parameter.dims):
            for leaf in leaves_of(axis):
                members.setdefault(leaf.number, []).append(Member(parameter.tensor, k))
    return members
