"""Compaction as a pass: what is zero or constant for every input goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..compaction import compacted
from ..errors import InputError, TargetError
from ..request import Request
from ..rewriting import analyzed
from .base import Pass, State, register


@register
@dataclass(frozen=True)
class Compact(Pass):
    """Remove channels that are zero or constant for every input; the outputs stay what they were.

    ::

        y = W [x_K, c] + b   ->   y = W[:, K] x_K + (b + W[:, C] c)      c: channels that are constant

    A graph that has none stays as it is.
    """

    name: ClassVar[str] = "compact"

    def run(self, state: State) -> State:
        if state.plan is not None:
            raise InputError("compact: the graph is pruned already; a pipeline has one plan, so compact first")
        request = Request()
        analysis = replace(analyzed(state.graph, request), sizes=state.sizes, at=state.at)
        try:
            smaller = compacted(analysis, request).of(state.model)
        except TargetError:
            return state
        copies = [name for name, part in smaller.slices.items() if part.of in state.updated]
        planned = replace(state, plan=smaller.plan, base=state.graph)
        return planned.rewritten(smaller.graph, [*copies, *smaller.plan.updated])
