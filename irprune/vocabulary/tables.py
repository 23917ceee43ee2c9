"""Which tables are looked up by token ids, and which outputs have one number for each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..analysis import Analysis, Group, analyze
from ..axes import Leaf
from ..errors import InputError, TargetError
from ..ir import Graph, Node
from ..ir.dtypes import is_integer
from ..request import Request
from ..rewriting import Smaller, decide
from ..signatures import traits_of


@dataclass(frozen=True)
class Vocabulary:
    """``ids`` are the inputs of token ids, ``logits`` the outputs with an axis of tokens, and which axis that is.

    ``groups`` are the groups of :attr:`analysis` that hold the tokens: one if heads are tied to embeddings.
    """

    size: int
    ids: tuple[str, ...]
    logits: dict[str, int]
    analysis: Analysis
    groups: tuple[Group, ...]

    def cut(self, kept: Sequence[int], seed: int = 0) -> Smaller:
        """The graph of these tokens alone, in increasing order, and its plan."""
        request = Request(
            keep_only={group.name: tuple(kept) for group in self.groups}, allow_io=tuple(self.logits), seed=seed
        )
        return decide(self.analysis, request)


@dataclass(frozen=True)
class _Lookup:
    node: Node
    size: int


def find_vocabulary(graph: Graph, ids: Sequence[str] = ()) -> Vocabulary:
    """The vocabulary of a model: by default that of its largest table that integers look up.

    Raises :class:`InputError` where there is none, or where token ids are read in another way (compared, counted):
    other ids would have another meaning there. Raises :class:`TargetError` where something else needs all tokens.
    """
    found = {name: _lookups(graph, name) for name in ids or _integers(graph)}
    sizes = {name: max((lookup.size for lookup in of), default=0) for name, of in found.items()}
    size = max(sizes.values(), default=0)
    if not size:
        raise InputError("no table of constants is looked up by an integer input: the model has no vocabulary to cut")
    chosen = tuple(name for name, of in sizes.items() if of == size)
    for name in chosen:
        _require_lookups_alone(graph, name, size)
    nodes = {lookup.node.name for name in chosen for lookup in found[name] if lookup.size == size}
    logits = {name: axis for name in graph.outputs for axis in _axes_of(graph, name, size)}
    analysis = analyze(graph, allow_io=tuple(logits), remapped=nodes)
    leaves = [_rows(analysis, node) for node in graph.nodes if node.name in nodes]
    leaves += [(analysis.coupling.dims[name] or ())[axis] for name, axis in logits.items()]
    groups: dict[str, Group] = {}
    for leaf in leaves:
        group = _group_of(analysis, leaf, size)
        groups[group.name] = group
    return Vocabulary(size, chosen, logits, analysis, tuple(groups.values()))


def _integers(graph: Graph) -> list[str]:
    values = ((name, graph.values.get(name)) for name in graph.inputs)
    return [name for name, value in values if value is not None and value.dtype and is_integer(value.dtype)]


def _lookups(graph: Graph, name: str) -> list[_Lookup]:
    """Nodes that look up constant tables by the elements of an input."""
    found, waiting, seen = [], [name], {name}
    while waiting:
        for node, position in graph.consumers.get(waiting.pop(), ()):
            traits = traits_of(node.qualified_op)
            for table in traits.lookups.get(position, ()):
                shape = graph.shape(node.inputs[table]) if table < len(node.inputs) else None
                rows = shape[node.int(traits.lookup_axis, 0)] if shape else None
                if isinstance(rows, int):
                    found.append(_Lookup(node, rows))
            if traits.hands_on(position):
                fresh = [output for output in node.outputs if output and output not in seen]
                seen.update(fresh)
                waiting += fresh
    return found


def _require_lookups_alone(graph: Graph, name: str, size: int) -> None:
    """Raise :class:`InputError` where ids are read in any way but as rows of tables of this size."""
    waiting, seen = [name], {name}
    while waiting:
        value = waiting.pop()
        if value in graph.outputs:
            raise InputError(f"input '{name}' reaches output '{value}': its ids would be others there")
        for node, position in graph.consumers.get(value, ()):
            traits = traits_of(node.qualified_op)
            if traits.reads_sizes:
                continue
            others = [node.inputs[k] for k in range(len(node.inputs)) if traits.hands_on(k)]
            if traits.hands_on(position) and all(other in seen for other in others):
                fresh = [output for output in node.outputs if output and output not in seen]
                seen.update(fresh)
                waiting += fresh
            elif not any(lookup.node is node and lookup.size == size for lookup in _lookups(graph, value)):
                raise InputError(
                    f"input '{name}' is read by node '{node.name}' ({node.qualified_op}) as well: "
                    "token ids have a meaning there that other ids would change"
                )


def _axes_of(graph: Graph, name: str, size: int) -> list[int]:
    """The last axis of an output of this size, if it has one."""
    shape = graph.shape(name) or ()
    return [axis for axis in range(len(shape)) if shape[axis] == size][-1:]


def _rows(analysis: Analysis, node: Node) -> object:
    traits = traits_of(node.qualified_op)
    table = next(iter(next(iter(traits.lookups.values()))))
    dims = analysis.coupling.operand(node, table) or ()
    return dims[node.int(traits.lookup_axis, 0)]


def _group_of(analysis: Analysis, axis: object, size: int) -> Group:
    if not isinstance(axis, Leaf):
        raise TargetError("the axis of tokens is a product of others: it cannot be cut")
    atoms = analysis.atoms.of_leaf(axis)
    for group in analysis.groups:
        if axis in group.leaves:
            if group.frozen or not np.array_equal(group.atoms, atoms) or group.size != size:
                why = "; ".join(str(reason) for reason in group.reasons[:2]) or "its elements belong to others"
                raise TargetError(f"the {size} tokens of '{group.name}' cannot be cut: {why}")
            return group
    raise TargetError(f"the {size} tokens of axis '{axis.name}' belong to no weight")
