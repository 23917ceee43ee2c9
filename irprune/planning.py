"""From a request to a decided plan and the graph that it leaves: what ONNX models and modules have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from .analysis import Analysis
from .ir import Graph
from .passes.slicing import remove_atoms
from .plans import Plan, Slice, make_plan, removed_atoms
from .request import Request
from .scoring import Scores, require_numbers


class Identified(Protocol):
    """A model that a plan can name: the digest of its file or its weights, and its bytes."""

    @property
    def sha256(self) -> str: ...

    @property
    def size(self) -> int: ...


def plan_for(source: Identified, analysis: Analysis, request: Request, scores: Scores | None = None) -> Plan:
    """The plan for a model that was analyzed before; ``scores``, one an atom, replace the criterion."""
    return with_model_identity(source, decide(analysis, request, scores)[0])


def with_model_identity(source: Identified, plan: Plan) -> Plan:
    """The plan with the model that it is for. The digest is computed beside other work: this is to come last."""
    return replace(plan, sha256=source.sha256, bytes=source.size)


def decide(analysis: Analysis, request: Request, scores: Scores | None = None) -> tuple[Plan, Graph, dict[str, Slice]]:
    """The plan, the graph without what it removes, and what each tensor keeps, in the model or computed by it."""
    require_numbers(analysis, request.criterion)
    decided = make_plan(analysis, request, scores=scores)
    graph, slices = remove_atoms(analysis, removed_atoms(decided, analysis))
    stored = {name: part for name, part in slices.items() if not analysis.graph.constants[part.of or name].computed}
    return replace(decided, slices=stored), graph, slices
