"""From an analysis to the compact graph, and from a plan of one to the same graph again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..analysis import Analysis, Mask
from ..errors import InputError, TargetError
from ..ir import Constant, Graph
from ..ir.core import Array
from ..plans import Plan, costs, planned_groups, removed_atoms
from ..plans.digests import digest_of_values
from ..plans.planner import cost_of
from ..request import Request
from ..rewriting import Smaller, carried_out
from ..rewriting import replay as replay_removal
from ..rewriting.changes import rewritten_nodes
from ..rewriting.draft import Draft
from ..scoring import require_numbers
from ..versions import installed
from .interpret import Facts, Ranges
from .removable import Removable


def compacted(analysis: Analysis, request: Request | None = None, ranges: Ranges | None = None) -> Smaller:
    """Remove every atom that is zero or constant for all inputs within ``ranges``, and adjust biases for them.

    Raises :class:`TargetError` where there is none, and :class:`InputError` for a range of what is no input, or a
    weight that is NaN.
    """
    ranges = dict(ranges or {})
    require_ranges(analysis.graph, ranges)
    require_numbers(analysis)
    found = Removable(analysis, Facts(analysis, ranges))
    removed = found.atoms()
    if not removed.any():
        raise TargetError("nothing to compact: no channel is zero or constant for all inputs")
    plan = Plan(
        kind="compact",
        ranges={name: (float(low), float(high)) for name, (low, high) in ranges.items()},
        request=request or Request(),
        groups=planned_groups(analysis, removed),
        cost=costs(analysis.cost_model({}), cost_of(analysis, removed)),
        at=dict(analysis.at),
        versions=installed(),
    )
    return _carried_out(analysis, plan, removed, found)


def replay(analysis: Analysis, plan: Plan) -> Smaller:
    """Carry out a plan of any kind.

    Raises :class:`InputError` where it does not fit the model, or removes what is not known to be constant.
    """
    if plan.kind != "compact":
        return replay_removal(analysis, plan)
    require_ranges(analysis.graph, plan.ranges)
    require_numbers(analysis)
    removed = removed_atoms(plan, analysis)
    found = Removable(analysis, Facts(analysis, plan.ranges))
    for group in analysis.groups:
        wrong = np.flatnonzero(removed[group.atoms] & found.blocked[group.atoms])
        if len(wrong):
            raise InputError(
                f"the plan says it is lossless, and removes position {wrong[0]} of group '{group.name}', which is "
                "neither zero nor constant for all inputs"
            )
    return _carried_out(analysis, plan, removed, found)


def require_ranges(graph: Graph, ranges: Ranges) -> None:
    """Raise :class:`InputError` for a range of what is no input."""
    for name in ranges:
        if name not in graph.inputs:
            raise InputError(f"--range '{name}' is no input; there are {', '.join(graph.inputs)}")


def _carried_out(analysis: Analysis, plan: Plan, removed: Mask, found: Removable) -> Smaller:
    updated = found.biases(removed)
    smaller = carried_out(replace(analysis, graph=analysis.graph.with_values(updated)), plan)
    graph, made = _with_biases(smaller.graph, found.new_biases(removed))
    slices = smaller.slices
    origins = {name: slices[name].of or name if name in slices else name for name in graph.constants}
    changed = [name for name, origin in origins.items() if origin in updated or name in made]
    digests = {name: digest_of_values(graph.constants[name].numpy()) for name in changed}
    rewritten = rewritten_nodes(analysis.graph, graph)
    done = smaller.plan.model_copy(update={"updated": digests, "rewritten": rewritten})
    return replace(smaller, plan=done, graph=graph)


def _with_biases(graph: Graph, biases: Mapping[str, Array]) -> tuple[Graph, set[str]]:
    """The graph in which some nodes have a bias that had none; the names of the new constants."""
    draft, made = Draft(graph), set[str]()
    for name, bias in biases.items():
        node = draft.nodes.get(name)
        if node is not None:
            constant = draft.fresh(f"{node.outputs[0]}_bias")
            draft.set_constant(constant, Constant.from_array(bias))
            draft.replace(replace(node, inputs=(*node.inputs[:2], constant)))
            made.add(constant)
    return draft.finish(), made
