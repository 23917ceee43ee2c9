"""A captured model: its IR, its analysis and its identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import nn

from ..analysis import Analysis, Cost, analyze
from ..backends.module import TrainableModule
from ..errors import InputError
from ..frontends.captured import Captured, state_of
from ..frontends.fx import Imported, import_calls
from ..plans import ModelIdentity, Plan
from .cases import Inputs
from .digest import digest_of
from .sizing import at_example


@dataclass(frozen=True)
class Program:
    """A captured model with its IR; ``traced`` is the module, where it was captured from one.

    ``example_inputs`` gives the inputs that it was captured with; those of a file are read when they are first needed.
    """

    captured: Captured
    example_inputs: Callable[[], Inputs] = field(repr=False)
    traced: nn.Module | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Program({len(self.captured.graph.nodes)} calls, {len(self.captured.tensors)} parameters and buffers)"

    @cached_property
    def _inputs(self) -> Inputs:
        return self.example_inputs()

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments of the example; raises :class:`InputError` where a file's cannot be read."""
        return self._inputs[0]

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """The named arguments of the example; raises :class:`InputError` where a file's cannot be read."""
        return self._inputs[1]

    @cached_property
    def imported(self) -> Imported:
        """The IR of the calls."""
        return import_calls(self.captured)

    @cached_property
    def module(self) -> TrainableModule:
        """The captured model as a module, which may be trained: it holds the model's own parameters."""
        return TrainableModule.of(self.captured)

    @property
    def current(self) -> Captured:
        """The captured model with the current state of its module."""
        if "module" not in vars(self):
            return self.captured
        return replace(self.captured, state=state_of(self.module, self.captured.graph, {}))

    def analysis(self, allow_io: Sequence[str] = (), states: Sequence[str] = ()) -> Analysis:
        """The analysis of the model's graph; costs are those at the sizes that it was captured with."""
        return at_example(analyze(self.imported.graph, allow_io, states), self.captured.graph)

    @property
    def sha256(self) -> str:
        """The digest of the model: of its calls, and of all parameters and buffers."""
        return digest_of(self.current)

    @property
    def cost(self) -> Cost:
        """Parameters, multiply-accumulates for one element of the batch where it varies, and bytes."""
        return self.analysis().cost_model({})

    def require_same(self, plan: Plan) -> None:
        """Raise :class:`InputError` for a plan that was made for another model."""
        if not plan.sha256:
            raise InputError("the plan does not say which model it is for: its sha256 is empty")
        if plan.sha256 != self.sha256:
            raise InputError("the plan was made for another model, or for other weights of this one")

    @property
    def identity(self) -> ModelIdentity:
        """What a plan for this model names."""
        return ModelIdentity(sha256=self.sha256, bytes=self.size)

    @property
    def size(self) -> int:
        """Bytes of all parameters and buffers."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.current.tensors.values())
