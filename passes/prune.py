"""Pruning as a pass: analyze, plan, remove."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..analysis import analyze
from ..errors import InputError
from ..plans import Request, make_plan, removed_atoms
from .base import Pass, State, register
from .slicing import remove_atoms


@register
@dataclass(frozen=True)
class Prune(Request, Pass):
    """Remove the least important channels until a target is met.

    ::

        y = W2 f(W1 x)   ->   y = W2[:, K] f(W1[K, :] x)      K: the channels that are kept

    Exactly one of the targets ``ratio``, ``params`` and ``macs`` is given. The plan records what goes.
    """

    name: ClassVar[str] = "prune"

    def run(self, state: State) -> State:
        if state.plan is not None:
            raise InputError("prune: the graph is pruned already; a pipeline has one plan, so prune once")
        analysis = analyze(state.graph, self.allow_io)
        plan = make_plan(analysis, self, sha256=state.sha256, size=state.size)
        graph, slices = remove_atoms(analysis, removed_atoms(plan, analysis))
        copies = [name for name, part in slices.items() if part.of in state.updated]
        planned = replace(state, plan=plan.with_slices(slices), base=state.graph)
        return planned.rewritten(graph, copies)
