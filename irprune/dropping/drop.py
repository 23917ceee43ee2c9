"""From residual branches to the shallower graph.

y = x + F(x)   ->   y = x
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..analysis import Analysis
from ..analysis.residuals import Residual, find_blocks, find_residuals
from ..calibration.contractions import contractions
from ..compaction import replay as replay_removal
from ..errors import InputError, TargetError
from ..ir import Graph
from ..plans import Plan, costs
from ..plans.document import DroppedBranch
from ..request import Request
from ..rewriting import Smaller, analyzed
from ..rewriting.changes import rewritten_nodes
from ..rewriting.draft import Draft, Refused
from ..signatures import traits_of
from ..versions import installed
from .options import Depth

Blocks = tuple[tuple[Residual, ...], ...]
Judge = Callable[[Sequence[tuple[Residual, ...]]], int]
"""Chooses the next block to go: its position among those that are left."""


def droppable(analysis: Analysis) -> tuple[Residual, ...]:
    """The residual branches that can go: the sum's other summand can take the place of its result."""
    return tuple(each for each in find_residuals(analysis) if _can_go(analysis.graph, each))


def _can_go(graph: Graph, residual: Residual) -> bool:
    try:
        without_branches(graph, [residual])
    except Refused:
        return False
    return True


def without_branches(graph: Graph, residuals: Sequence[Residual]) -> Graph:
    """The graph in which each sum is its skip. Raises :class:`Refused` where an output's name stands in the way."""
    draft = Draft(graph)
    for each in residuals:
        node = draft.nodes[each.node]
        skip = next(name for name in node.inputs if name != each.branch)
        changed = replace(node, inputs=(skip, each.branch))
        draft.replace(changed)
        draft.bypass(changed)
    return draft.finish()


def drop_blocks(analysis: Analysis, options: Depth, judge: Judge, request: Request | None = None) -> Smaller:
    """Take out as many blocks as the options say, one after the other, as ``judge`` chooses.

    Raises :class:`InputError` for a model without residual branches, and :class:`TargetError` where more blocks are to
    go than there are, or none.
    """
    options.require_one()
    residuals = droppable(analysis)
    if not residuals:
        raise InputError("there is no residual branch with weights whose ends agree: nothing can be dropped")
    single = options.branches is not None
    blocks = tuple((each,) for each in residuals) if single else find_blocks(analysis, residuals)
    what = "branches" if single else "blocks"
    count = options.branches or options.blocks or round((1 - (options.depth or 0.0)) * len(blocks))
    if count >= len(blocks):
        raise TargetError(f"{count} {what} are to go, and there are {len(blocks)}; one has to stay")
    if count == 0:
        raise TargetError(f"--depth {options.depth}: that rounds to none of {len(blocks)} blocks")
    left = list(blocks)
    gone: list[Residual] = []
    for _ in range(count):
        gone += left.pop(judge(left))
    order = {each.result: k for k, each in enumerate(residuals)}
    return carried_out(analysis, sorted(gone, key=lambda each: order[each.result]), request or Request())


def carried_out(analysis: Analysis, residuals: Sequence[Residual], request: Request) -> Smaller:
    """The graph without some branches, and its plan."""
    graph = without_branches(analysis.graph, residuals)
    after = replace(analyzed(graph, request), sizes=analysis.sizes, at=analysis.at)
    plan = Plan(
        kind="drop",
        dropped=tuple(DroppedBranch(result=r.result, branch=r.branch, skip=r.skip) for r in residuals),
        request=request,
        groups=(),
        cost=costs(analysis.cost_model({}), after.cost_model({})),
        at=dict(analysis.at),
        versions=installed(),
        rewritten=rewritten_nodes(analysis.graph, graph),
    )
    return Smaller(plan, graph, {})


def planned(analysis: Analysis, plan: Plan) -> list[Residual]:
    """The branches that a plan drops. Raises :class:`InputError` for one that the model does not have."""
    known = {(each.result, each.branch, each.skip): each for each in droppable(analysis)}
    found = []
    for each in plan.dropped:
        residual = known.get((each.result, each.branch, each.skip))
        if residual is None:
            raise InputError(f"the plan drops '{each.branch}' from '{each.result}', which is no residual branch")
        found.append(residual)
    return found


def replay(analysis: Analysis, plan: Plan) -> Smaller:
    """Carry out a plan of any kind. Raises :class:`InputError` where it does not fit the model."""
    if plan.kind != "drop":
        return replay_removal(analysis, plan)
    made = carried_out(analysis, planned(analysis, plan), plan.request)
    if plan.rewritten is not None and plan.rewritten != made.plan.rewritten:
        raise InputError("the plan contradicts itself: 'rewritten' is not what dropping its branches changes")
    same = {"model": plan.model, "versions": plan.versions, "verification": plan.verification}
    return replace(made, plan=made.plan.model_copy(update=same))


def graph_left(analysis: Analysis, plan: Plan) -> Graph | None:
    """The graph of a plan that does more than to remove atoms; ``None`` for any other."""
    if plan.kind == "drop":
        return without_branches(analysis.graph, planned(analysis, plan))
    return replay_removal(analysis, plan).graph if plan.kind == "compact" else None


def norm_scores(analysis: Analysis) -> Judge:
    """Chooses by weights: the geometric mean of their root mean squares, summed over the branches of a block.

    Weights are what contractions sum with, and scales that multiply a whole value (layer scale).
    """

    constants = analysis.graph.constants
    weighted = contractions(analysis)

    def score(residual: Residual) -> float:
        found = [item.read(constants) for name, item in weighted.items() if name in residual.nodes]
        for node in analysis.graph.nodes:
            if node.name in residual.nodes and traits_of(node.qualified_op).annihilates:
                stored = [constants[name] for name in node.inputs if name in constants]
                found += [each.numpy() for each in stored if each.size > 1 and each.read is not None]
        sizes = [float(np.sqrt(np.square(np.asarray(array, np.float64)).mean())) for array in found]
        return float(np.exp(np.mean(np.log(sizes)))) if sizes and min(sizes) > 0 else 0.0

    known: dict[str, float] = {}

    def judge(blocks: Sequence[tuple[Residual, ...]]) -> int:
        sums = []
        for block in blocks:
            for each in block:
                if each.result not in known:
                    known[each.result] = score(each)
            sums.append(sum(known[each.result] for each in block))
        return int(np.argmin(sums))

    return judge
