"""Sparsifying as a pass: zeros by magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..options import options_of
from ..request import Request
from ..rewriting import analyzed
from ..sparsity.sparsify import sparsify_weights
from ..zeros import Sparsity
from .base import Pass, PassOption, State, register


@register
@dataclass(frozen=True)
class Sparsify(Pass):
    """Make the smallest weights zero.

    ::

        W x   ->   (W * M) x      M: 0 for the least elements, or for all but N of every M in a row

    ``ratio`` or ``pattern`` says how many; only ``method=magnitude`` works without data.
    """

    name: ClassVar[str] = "sparsify"
    changes_values: ClassVar[bool] = True

    request: Sparsity

    @classmethod
    def options(cls) -> tuple[PassOption, ...]:
        """The options of :class:`irprune.Sparsity`."""
        return tuple(
            PassOption(option.name, option.type, option.default, option.help) for option in options_of(Sparsity)
        )

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Sparsify:
        """Raises :class:`InputError` for options that make no sense."""
        return cls(Sparsity.given(values).with_data(False))

    def option(self, name: str) -> object:
        """The value of an option; the method is always the one that needs no data."""
        return None if name == "method" else getattr(self.request, name)

    def run(self, state: State) -> State:
        found = sparsify_weights(analyzed(state.graph, Request()), self.request)
        return state.rewritten(state.graph.with_values(found.values), found.values)
