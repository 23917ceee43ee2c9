"""The one way from an analyzed model to a plan, the smaller graph, and the slices of each tensor.

Pruning, applying a plan, the pass of that name, the Python API and the command line go this way, for ONNX models and
modules of PyTorch alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ..analysis import Analysis, Mask, analyze
from ..errors import InputError
from ..ir import Graph
from ..plans import ModelIdentity, Plan, Slice, make_plan, removed_atoms
from ..request import Request
from ..scoring import Scores, require_numbers
from ..versions import installed
from .changes import rewritten_nodes
from .slicing import remove_atoms


@dataclass(frozen=True)
class Smaller:
    """A plan with its slices, the graph that it leaves, and what each tensor keeps.

    ``plan.slices`` has the tensors that the model stores; ``slices`` those that it computes as well.
    """

    plan: Plan
    graph: Graph
    slices: Mapping[str, Slice]

    def __repr__(self) -> str:
        return f"Smaller({self.plan!r}, {self.graph!r})"

    def removed(self, analysis: Analysis) -> Mask:
        """The atoms that go, as a mask over those of the analysis that the plan was made for."""
        return removed_atoms(self.plan, analysis)

    def of(self, model: ModelIdentity) -> Smaller:
        """A copy whose plan names its model. Call it last: the digest is computed in the background meanwhile."""
        return replace(self, plan=self.plan.with_model(model))


def analyzed(graph: Graph, request: Request) -> Analysis:
    """The analysis of a graph, read as a request says: what may change its shape, and what is a state.

    Raises :class:`InputError` for a state that the graph does not have.
    """
    return analyze(graph, request.allow_io, request.states, request.ties)


def decide(
    analysis: Analysis,
    request: Request,
    scores: Scores | None = None,
    *,
    errors: Scores | None = None,
    by_norm: Collection[str] = (),
) -> Smaller:
    """Choose what goes, and carry it out; ``scores``, one number an atom, take the place of the request's criterion.

    ``errors`` are those of a criterion from data, ``by_norm`` names groups that they leave out (see
    :func:`~irprune.plans.make_plan`).

    Raises :class:`InputError` for a request that makes no sense on this model, or a weight that is NaN, and
    :class:`TargetError` for a target that cannot be met.
    """
    require_numbers(analysis, request.ranking)
    plan = make_plan(analysis, request, scores=scores, errors=errors, by_norm=by_norm)
    return carried_out(analysis, plan.model_copy(update={"versions": installed()}))


def replay(analysis: Analysis, plan: Plan) -> Smaller:
    """Carry out a plan that was made before.

    Raises :class:`InputError` where it does not fit the model, where its slices or rewritten nodes are others than its
    groups imply, or where a weight is NaN.
    """
    require_numbers(analysis)
    found = carried_out(analysis, plan)
    for name in sorted(plan.slices.keys() | found.plan.slices.keys()) if plan.slices else ():
        if plan.slices.get(name) != found.plan.slices.get(name):
            raise InputError(
                f"the plan contradicts itself: its slice of tensor '{name}' is not the one that its groups imply "
                "(where 'slices' is empty, they are computed)"
            )
    others = set(plan.rewritten or ()) ^ set(found.plan.rewritten or ())
    if plan.rewritten is not None and others:
        raise InputError(
            f"the plan contradicts itself: 'rewritten' is wrong on the node that makes '{min(others)}' "
            "(where 'rewritten' is left out, it is computed)"
        )
    return found


def carried_out(analysis: Analysis, plan: Plan) -> Smaller:
    """What removing the atoms of a plan leaves."""
    graph, slices = remove_atoms(analysis, removed_atoms(plan, analysis))
    stored = {name: part for name, part in slices.items() if not analysis.graph.constants[part.of or name].computed}
    rewritten = rewritten_nodes(analysis.graph, graph)
    done = plan.with_slices(stored, plan.updated).model_copy(update={"rewritten": rewritten})
    return Smaller(done, graph, slices)
