"""Pruning as a pass: analyze, plan, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import InputError
from ..options import options_of
from ..request import Request, spelled
from ..rewriting import analyzed, decide
from .base import Pass, PassOption, State, register


@register
@dataclass(frozen=True)
class Prune(Pass):
    """Remove the least important channels until a target is met.

    ::

        y = W2 f(W1 x)   ->   y = W2[:, K] f(W1[K, :] x)      K: the channels that are kept

    Exactly one target is given: ``ratio``, ``params``, ``macs`` or ``bytes``; with data, also ``fidelity``. The plan
    records what goes.
    """

    name: ClassVar[str] = "prune"

    request: Request

    @classmethod
    def options(cls) -> tuple[PassOption, ...]:
        """The options of a request."""
        return tuple(
            PassOption(option.name, option.type, () if option.default == {} else option.default, option.help)
            for option in options_of(Request)
        )

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Prune:
        """Raises :class:`InputError` for a request that makes no sense."""
        return cls(Request.given(values).require_target())

    def option(self, name: str) -> object:
        """The value as a pipeline spells it: of a mapping, texts ``NAME=VALUE``."""
        value = getattr(self.request, name)
        return spelled(value) if isinstance(value, dict) else value

    def run(self, state: State) -> State:
        if state.plan is not None:
            raise InputError("prune: the graph is pruned already; a pipeline has one plan, so prune once")
        analysis = replace(analyzed(state.graph, self.request), sizes=state.sizes, at=state.at)
        smaller = decide(analysis, self.request).of(state.model)
        copies = [name for name, part in smaller.slices.items() if part.of in state.updated]
        planned = replace(state, plan=smaller.plan.with_slices(smaller.slices), base=state.graph)
        return planned.rewritten(smaller.graph, copies)
