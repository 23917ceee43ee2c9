"""The Python API for torch: plan, apply, verify, prune.

A model is an ``nn.Module`` (with example inputs), a ``torch.export.ExportedProgram``, or the path of a saved one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor, fx
from torch.export import ExportedProgram

from ..analysis import Analysis
from ..backends.fx import emit_graph_module
from ..collector import without_gc
from ..errors import InputError, VerificationError
from ..plans import Plan, removed_atoms
from ..request import Request, RequestOptions, lists_options
from ..rewriting import Smaller, decide, replay
from ..runtime.data import open_source
from ..runtime.feeds import AnyData
from ..runtime.labels import AnyLabels, as_labels
from ..scoring import Scores
from ..verification.floors import NO_FLOORS, Floors
from ..verification.report import Report
from .capture.module import AnyModule, capture
from .cases import Inputs, cases_for, given_cases
from .program import Program

if TYPE_CHECKING:
    from typing_extensions import Unpack

AnyPath: TypeAlias = "str | os.PathLike[str]"


def trace(
    model: AnyModule | AnyPath,
    example_inputs: Sequence[Any] | Tensor | None = None,
    *,
    example_kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    trust: bool = False,
) -> Program:
    """Capture a model: an ``nn.Module`` with example inputs, an ``ExportedProgram``, or the path of a ``.pt2`` file.

    ``trust`` reads a file as ``torch.export.load`` does, which runs code that it may hold. Raises :class:`InputError`
    for a model that ``torch.export`` cannot capture, and for a file that cannot be read.
    """
    stored: Callable[[], Inputs] | None = None
    if isinstance(model, (str, os.PathLike)):
        from .exporting.files import load_program

        read = load_program(model, trust=trust)
        model, stored = read.program, read.example_inputs
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else example_inputs
    if inputs is not None or stored is None:
        if isinstance(model, ExportedProgram) and inputs is None and model.example_inputs is not None:
            inputs, example_kwargs = model.example_inputs
        given: Inputs = tuple(inputs or ()), dict(example_kwargs or {})
        stored = lambda: given  # noqa: E731
    captured = capture(model, inputs, example_kwargs, dynamic_shapes)
    traced = None if isinstance(model, ExportedProgram) else model
    return Program(captured, stored, traced)


def load(path: AnyPath, *, trust: bool = False) -> fx.GraphModule:
    """A saved ``.pt2`` as a module that trains, as the one that :func:`prune` gives.

    The ``ExportedProgram.module()`` of PyTorch refuses ``train()`` and ``eval()``; this one switches batch
    normalization and dropout by them. ``trust`` is that of :func:`trace`. Raises :class:`InputError` for another kind
    of file, and for one that is damaged or unsafe to read.
    """
    return trace(path, trust=trust).module


@lists_options
def plan(
    model: AnyModule | Program | AnyPath,
    example_inputs: Any = None,
    *,
    scores: Scores | None = None,
    data: AnyData | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    trust: bool = False,
    **options: Unpack[RequestOptions],
) -> Plan:
    """Decide what to remove; ``example_inputs``, ``example_kwargs``, ``dynamic_shapes`` and ``trust`` are those of
    :func:`trace`.

    ``scores``, one number per atom (:func:`irprune.torch.importance`), take the place of a criterion. With ``data``,
    unlabeled inputs by the names of the arguments, channels are chosen by what their removal does to the module on
    these (``criterion`` is ``obs`` then, ``flap`` or ``wanda``). No weight is refitted: the smaller module trains.
    """
    request = _request(options, scores, data)
    program = _traced(model, example_inputs, example_kwargs, dynamic_shapes, trust)
    return _decided(program, request, scores, data).of(program.identity).plan


def _request(options: Mapping[str, Any], scores: Scores | None, data: AnyData | None) -> Request:
    if scores is not None and data is not None:
        raise InputError("give scores or data, not both: each says which channels go")
    request = Request.given(options).require_target().with_data(data is not None, repairs=False)
    if request.fidelity is not None:
        raise InputError("fidelity is measured on refitted ONNX models (irprune.prune); give another target here")
    return request


def _decided(program: Program, request: Request, scores: Scores | None, data: AnyData | None) -> Smaller:
    analysis = program.analysis(request.allow_io, request.states)
    if data is None:
        return decide(analysis, request, scores)
    from .measuring import errors_on

    errors, by_norm = errors_on(program, analysis, request, data)
    return decide(analysis, request, errors=errors, by_norm=by_norm)


def apply(
    model: AnyModule | Program | AnyPath,
    plan: Plan,
    example_inputs: Any = None,
    *,
    analysis: Analysis | None = None,
    **options: Any,
) -> fx.GraphModule:
    """The smaller module; ``analysis`` saves doing it again.

    Raises :class:`InputError` for a plan that was made for another model.
    """
    program = model if isinstance(model, Program) else trace(model, example_inputs, **options)
    program.require_same(plan)
    smaller = replay(analysis or program.analysis(plan.request.allow_io, plan.request.states), plan)
    return emitted(program, smaller)


def emitted(program: Program, smaller: Smaller) -> fx.GraphModule:
    """The smaller module that a plan leaves of a program."""
    return emit_graph_module(program.current, program.imported, smaller.graph, smaller.slices)


def verify(
    model: AnyModule | Program | AnyPath,
    small: fx.GraphModule,
    plan: Plan,
    example_inputs: Any = None,
    *,
    runtime: bool = True,
    rtol: float | None = None,
    runs: int = 3,
    seed: int = 0,
    inputs: AnyData | None = None,
    labels: AnyLabels | None = None,
    floors: Floors = NO_FLOORS,
    **options: Any,
) -> Report:
    """Check ``small``, which ``plan`` made of ``model``: structure, equivalence in torch, and (``runtime``) on ONNX
    Runtime after ``torch.onnx.export`` of both.

    ``inputs``, ``labels`` and ``floors`` are those of :func:`irprune.verify`; inputs are named as in the captured
    graph. Without them the example inputs are taken, and ``runs`` in all that are like them.
    """
    from .verification import Verification

    floors.require_evidence(has_inputs=inputs is not None, has_labels=labels is not None)
    program = model if isinstance(model, Program) else trace(model, example_inputs, **options)
    analysis = program.analysis(plan.request.allow_io, plan.request.states)
    kept = analysis.kept(removed_atoms(plan, analysis))
    verification = Verification(program.module, small, program.imported, analysis, kept, plan, rtol, program.traced)
    if inputs is None:
        return verification.run(cases_for(program, runs, seed), runtime=runtime, floors=floors)
    source = open_source(inputs)
    cases = given_cases(program, source)
    wanted = None if labels is None else as_labels(labels)
    described = source.described(len(cases))
    return verification.run(cases, runtime=runtime, inputs=described, labels=wanted, floors=floors)


@dataclass(frozen=True)
class Result:
    """The smaller module, the plan that was carried out and what the verification found (``None``: turned off)."""

    model: fx.GraphModule
    plan: Plan
    report: Report | None
    program: Program = field(repr=False)

    def __repr__(self) -> str:
        """What it costs now, and whether it was verified."""
        found = "not verified" if self.report is None else "verified" if self.report.ok else "not equivalent"
        return f"Result({self.model!r}, {self.plan!r}, {found})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the smaller model: an exported program (``.pt2``) or an ONNX model (``.onnx``).

        The file appears whole or not at all.
        """
        from .exporting.files import save_module

        save_module(self.model, self.program, path, self.plan.metadata)


@lists_options
def prune(
    model: AnyModule | Program | AnyPath,
    example_inputs: Any = None,
    *,
    verify: bool = True,
    runtime: bool = True,
    rtol: float | None = None,
    scores: Scores | None = None,
    data: AnyData | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    trust: bool = False,
    **options: Unpack[RequestOptions],
) -> Result:
    """Plan, rewrite and verify; what :func:`plan` takes means the same here.

    ``runtime=False`` leaves out the verification on ONNX Runtime. Raises :class:`VerificationError` for a result
    that is not equivalent.
    """
    request = _request(options, scores, data)
    program = _traced(model, example_inputs, example_kwargs, dynamic_shapes, trust)
    decided, small = _smaller(program, request, scores, data)
    report = None
    if verify:
        report = _verify(program, small, decided, runtime=runtime, rtol=rtol, seed=request.seed)
        if not report.ok:
            raise VerificationError(report.refusal())
        decided = decided.with_verification(report.as_json())
    return Result(small, decided, report, program)


@without_gc
def _smaller(
    program: Program, request: Request, scores: Scores | None, data: AnyData | None
) -> tuple[Plan, fx.GraphModule]:
    smaller = _decided(program, request, scores, data).of(program.identity)
    return smaller.plan, emitted(program, smaller)


_verify = verify
"""The function, inside those that have an argument of that name."""


def _traced(
    model: AnyModule | Program | AnyPath,
    example_inputs: Any,
    example_kwargs: Mapping[str, Any] | None,
    dynamic_shapes: Any,
    trust: bool,
) -> Program:
    if isinstance(model, Program):
        return model
    return trace(model, example_inputs, example_kwargs=example_kwargs, dynamic_shapes=dynamic_shapes, trust=trust)
