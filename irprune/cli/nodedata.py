"""Numbers by node of the original: by the name that the file gives it, and by its first output, which it always has."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..bench.bench import Bench
    from ..ir import Graph
    from ..plans import Plan


def kept_by_node(graph: Graph, plan: Plan) -> dict[str, float]:
    """The share of the elements of its sliced tensors that each node keeps."""
    found: dict[str, float] = {}
    of = _slices(plan)
    for node in graph.nodes:
        sliced = [name for name in dict.fromkeys(node.inputs) if name in of and name in graph.constants]
        whole = sum(graph.constants[name].size for name in sliced)
        if whole:
            found[node.name] = sum(graph.constants[name].size * of[name] for name in sliced) / whole
    return _named(graph, found)


def _slices(plan: Plan) -> dict[str, float]:
    """The kept share of each tensor of the original; of several copies the last one's."""
    return {
        part.of or name: prod(len(kept) / max(size, 1) for size, kept in part.axes.values())
        for name, part in plan.slices.items()
    }


def error_by_node(graph: Graph, plan: Plan) -> dict[str, float]:
    """The error of the cuts of all groups that each node's tensors belong to; empty for a plan made without data."""
    by_tensor: dict[str, dict[str, float]] = {}
    for group in plan.groups:
        curve = plan.curves.get(group.name)
        if curve is None:
            continue
        error = _at(curve.removed, curve.error, len(group.removed))
        for member in group.members:
            by_tensor.setdefault(member.rpartition(":")[0], {})[group.name] = error
    found: dict[str, float] = {}
    for node in graph.nodes:
        groups = {name: error for tensor in node.inputs for name, error in by_tensor.get(tensor, {}).items()}
        if groups:
            found[node.name] = sum(groups.values())
    return _named(graph, found)


def _at(removed: tuple[int, ...], error: tuple[float, ...], count: int) -> float:
    import numpy as np

    return float(np.interp(count, removed, error))


def ms_by_node(graph: Graph, bench: Bench | None) -> dict[str, float]:
    """Milliseconds of each node of the original that the runtime ran under its own name or that of its output."""
    profile = bench.models[0].profile if bench is not None else None
    if profile is None:
        return {}
    from ..bench.profile import BLOCKED

    names = {key: node.name for node in graph.nodes for key in (*node.outputs[:1], node.name)}
    found: dict[str, float] = {}
    for timed in profile.nodes:
        name = names.get(timed.name.partition(BLOCKED)[0])
        if name is not None:
            found[name] = found.get(name, 0.0) + timed.ms
    return _named(graph, found)


def _named(graph: Graph, values: Mapping[str, float]) -> dict[str, float]:
    return {
        key: values[node.name]
        for node in graph.nodes
        if node.name in values
        for key in dict.fromkeys((node.name, *node.outputs[:1]))
        if key
    }
