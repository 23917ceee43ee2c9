"""Pipelines, validated pass by pass: each pass that changed the graph is checked against the model before it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import onnx_ir as oir

from ..analysis import Cost
from ..backends.onnx import emit, save
from ..errors import InputError, VerificationError
from ..ir import Graph
from ..passes.base import Pass, State, register
from ..passes.pipeline import PassInfo, Step
from ..passes.pipeline import describe_passes as describe_known
from ..plans import Plan, costs
from ..plans.digests import digest_of_values
from ..request import Request
from .driver import verify_models
from .report import Report


@dataclass
class Trail:
    """The steps of a pipeline over one model file, and what was found in each; a context manager.

    ``imported`` is the graph of ``model``, which was read from ``path``. Hand :meth:`record` to
    :func:`irprune.passes.run_pipeline` as its observer, and the trail itself to the first state as its ``context``.
    """

    path: Path
    model: oir.Model
    imported: Graph
    rtol: float | None = None
    reports: list[tuple[str, Report]] = field(default_factory=list)
    _waiting: list[Step] = field(default_factory=list)
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _last: Path | None = None

    def __repr__(self) -> str:
        return f"Trail({str(self.path)!r}, {len(self.reports)} passes verified, {len(self._waiting)} waiting)"

    def __enter__(self) -> Trail:
        self._folder = tempfile.TemporaryDirectory(prefix="irprune-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def record(self, step: Step) -> None:
        """Remember a pass that has run, if it changed anything."""
        if step.after.graph is not step.before.graph:
            self._waiting.append(step)

    def validate(self) -> None:
        """Check the passes since the last call; raises :class:`VerificationError` naming the first that is wrong."""
        assert self._folder is not None
        while self._waiting:
            step = self._waiting.pop(0)
            before = self._last or self.path
            after = Path(self._folder.name) / f"{len(self.reports)}.onnx"
            save(emit(self.model, self.imported, step.after.graph), after)
            graph = self.imported if self._last is None else None  # later ones are read as they were written
            report = verify_models(before, after, _plan_of(step), rtol=self.rtol, nodes=_removes(step), graph=graph)
            self.reports.append((str(step.applied), report))
            if not report.ok:
                raise VerificationError(f"pass '{step.applied}': {report.refusal()}")
            self._last = after


def _removes(step: Step) -> bool:
    return step.after.plan is not None and step.before.plan is None


def _plan_of(step: Step) -> Plan:
    """The plan of a pass that removes, or an empty plan for one that only rewrites."""
    made = step.after.plan
    if made is not None and _removes(step):
        return made.with_slices(made.slices)
    nothing = costs(Cost(0, 0, 0), Cost(0, 0, 0))
    names = tuple({**step.before.graph.constants, **step.after.graph.constants})
    # Inputs and outputs that a removal changed keep their new shapes from then on.
    request = Request() if made is None else Request(allow_io=made.request.allow_io, states=made.request.states)
    plan = Plan(request=request, groups=(), cost=nothing).with_updated(dict.fromkeys(names, ""))
    return plan.with_updated(_new_values(step)) if step.applied.changes_values else plan


def _new_values(step: Step) -> dict[str, str]:
    """The digests of the tensors to which a pass gave values that the reference has to take as well."""
    before, after = step.before.graph.constants, step.after.graph.constants
    changed = [name for name, constant in after.items() if name in before and constant is not before[name]]
    return {name: digest_of_values(after[name].numpy()) for name in changed}


@register
@dataclass(frozen=True)
class Verify(Pass):
    """Verify every pass of the pipeline so far on ONNX Runtime."""

    name: ClassVar[str] = "verify"

    def run(self, state: State) -> State:
        if not isinstance(state.context, Trail):
            raise InputError("verify: the pipeline was started without a model file to compare with")
        state.context.validate()
        return state


def describe_passes() -> tuple[PassInfo, ...]:
    """Every pass by name, the one that verifies among them."""
    return describe_known()
