"""The Python API: plan, apply, verify, prune.

A model is a path, an ``onnx.ModelProto``, an ``onnx_ir.Model`` or a ``gs.Graph``.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import onnx
import onnx_ir as oir

from .analysis import Analysis
from .backends.onnx import emit, save, to_proto
from .dropping.drop import replay
from .errors import InputError, VerificationError
from .frontends.branches import without_dead_branches
from .frontends.files import inline_functions, load, parse, read_file
from .frontends.onnx import import_model
from .identity import identify, require_same
from .ir import Graph
from .plans import ModelIdentity, Plan
from .plans.cautions import cautions
from .request import Request, RequestOptions, lists_options
from .rewriting import analyzed, decide
from .runtime.feeds import AnyData
from .runtime.labels import AnyLabels
from .scoring import Scores
from .verification.floors import NO_FLOORS, Floors
from .versions import IRPRUNE

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .bench.search import Reached
    from .calibration.calibrate import Samples
    from .repair.recover import Recovery
    from .rewriting import Smaller
    from .runtime.executable import Executable
    from .verification import Report

OnProgress: TypeAlias = Callable[[str], object]
AnyModel: TypeAlias = Any
"""A path, an ``onnx.ModelProto``, an ``onnx_ir.Model`` or an ``onnx_graphsurgeon.Graph``."""

M = TypeVar("M")
T = TypeVar("T")


@dataclass(frozen=True)
class OpenedModel:
    """A model as it was given, its ``onnx_ir`` form, and what identifies it."""

    given: AnyModel
    model: oir.Model
    size: int
    identifying: Future[ModelIdentity] = field(repr=False)

    def __repr__(self) -> str:
        given = os.fspath(self.given) if self.is_path else type(self.given).__name__
        return f"OpenedModel({given!r}, {self.size} bytes)"

    @property
    def identity(self) -> ModelIdentity:
        """Identifies the model; computed beside the work on it."""
        return self.identifying.result()

    @property
    def is_path(self) -> bool:
        return isinstance(self.given, (str, os.PathLike))


def open_model(model: AnyModel) -> OpenedModel:
    """Read a model of any kind. Raises :class:`InputError` for any other object or file."""
    if isinstance(model, (str, os.PathLike)):
        data = read_file(model)
        read = parse(data, model)
    else:
        data = as_proto(model).SerializeToString(deterministic=True)
        read = inline_functions(model) if isinstance(model, oir.Model) else parse(data, "the model")
    return OpenedModel(model, without_dead_branches(read), len(data), identify(read, data))


def as_proto(model: AnyModel) -> onnx.ModelProto:
    """A model of any kind as a protobuf message."""
    if isinstance(model, onnx.ModelProto):
        return model
    if isinstance(model, oir.Model):
        return to_proto(model)
    if isinstance(model, (str, os.PathLike)):
        return to_proto(load(model))
    if type(model).__module__.startswith("onnx_graphsurgeon"):
        import onnx_graphsurgeon as gs

        return cast(onnx.ModelProto, gs.export_onnx(model))
    raise InputError(
        f"expected a path, onnx.ModelProto, onnx_ir.Model or onnx_graphsurgeon.Graph, got {type(model).__name__}"
    )


def like_given(
    opened: OpenedModel, given: M, model: oir.Model, output: str | os.PathLike[str] | None, suffix: str = "pruned"
) -> M:
    """The model in the kind of the one that was given; a path is answered with the path of a new file."""
    if isinstance(given, (str, os.PathLike)):
        path = Path(output) if output is not None else Path(given).with_name(f"{Path(given).stem}-{suffix}.onnx")
        if path.exists() and os.path.samefile(path, given):
            raise InputError(f"{path} is the input as well; choose another name for the output")
        save(model, path, external=has_external_data(opened.model))
        return cast(M, path if isinstance(given, Path) else str(path))
    if output is not None:
        save(model, output, external=False)
    if isinstance(given, oir.Model):
        return cast(M, model)
    proto = to_proto(model)
    if isinstance(given, onnx.ModelProto):
        return proto
    import onnx_graphsurgeon as gs

    return gs.import_onnx(proto)  # type: ignore[no-any-return]


def has_external_data(model: oir.Model) -> bool:
    """Whether any weight of the model lies in a file of its own."""
    return any(isinstance(value.const_value, oir.ExternalTensor) for value in model.graph.initializers.values())


def analyze_model(opened: OpenedModel, request: Request | None = None) -> Analysis:
    """Import a model and analyze it, as a request says; costs are those at its sizes, or at sizes that it runs at."""
    request = request or Request()
    return sized(opened, analyzed(graph_of(opened), request), request)


def sized(opened: OpenedModel, analysis: Analysis, request: Request) -> Analysis:
    """The analysis with numbers for the open sizes of the model (see :mod:`irprune.verification.sizing`)."""
    if not (analysis.cost_model.unknown or request.shapes or request.sizes):
        return analysis
    from .verification.driver import inlined
    from .verification.sizing import at_sizes

    with tempfile.TemporaryDirectory(prefix="irprune-") as folder:

        def executable() -> Executable:
            return inlined(_runnable(opened.given, Path(folder) / "model.onnx"))

        return at_sizes(analysis, opened.model, executable, shapes=request.shapes, sizes=request.sizes)


def graph_of(opened: OpenedModel) -> Graph:
    """The graph of a model; shapes that inference leaves open are read from runs on ONNX Runtime."""
    graph = import_model(opened.model)
    if not any(graph.shape(name) is None for name in graph.producers):
        return graph
    from .verification.driver import inlined
    from .verification.observed import with_observed_shapes

    with tempfile.TemporaryDirectory(prefix="irprune-") as folder:
        return with_observed_shapes(graph, inlined(_runnable(opened.given, Path(folder) / "model.onnx")))


def _unheard(stage: str) -> None:
    """Nobody asked for progress."""


@lists_options
def plan(
    model: AnyModel,
    *,
    scores: Scores | None = None,
    on_progress: OnProgress | None = None,
    data: AnyData | None = None,
    **options: Unpack[RequestOptions],
) -> Plan:
    """Decide what to remove.

    With ``data``, unlabeled inputs, channels are chosen by what their removal does to the model on these. ``scores``,
    one number per atom, take the place of a criterion. ``on_progress`` is called with the name of each stage when it
    begins. The options are those of :class:`irprune.Request`.
    """
    wanted = Request.given(options).require_target().with_data(data is not None, repairs=False)
    begin = on_progress or _unheard
    begin("reading")
    opened = open_model(model)
    begin("analyzing")
    analysis = analyze_model(opened, wanted)
    begin("deciding")
    found, _, _ = decided_by(opened, analysis, wanted, scores, data)
    smaller = found.of(opened.identity)
    _caution(analysis, smaller.plan)
    return smaller.plan


def _caution(analysis: Analysis, plan: Plan) -> None:
    """Warn of what a user should know about a plan."""
    for text in cautions(analysis, plan):
        warnings.warn(text, stacklevel=3)


def apply(model: M, plan: Plan, output: str | os.PathLike[str] | None = None) -> M:
    """The smaller model, of the same kind as ``model``; for a path, the path of the file written (``output``).

    Raises :class:`InputError` for a plan that was made for another model.
    """
    opened = open_model(model)
    return like_given(opened, model, apply_to(opened, plan), output)


def apply_to(opened: OpenedModel, plan: Plan, analysis: Analysis | None = None) -> oir.Model:
    """The smaller model as ``onnx_ir``; ``analysis`` saves doing it again."""
    require_same(opened.identity, plan)
    if analysis is None:
        analysis = analyze_model(opened, plan.request)
    smaller = replay(analysis, plan)
    return emitted(opened, analysis.graph, smaller.graph, smaller.plan)


def emitted(opened: OpenedModel, before: Graph, after: Graph, plan: Plan | None) -> oir.Model:
    """The model with another graph. Its metadata names the version of irprune, and the plan where there is one."""
    model = emit(opened.model, before, after)
    model.metadata_props.update({"irprune.version": IRPRUNE} if plan is None else plan.metadata)
    return model


def verify(
    model: AnyModel,
    small: AnyModel,
    plan: Plan,
    *,
    inputs: AnyData | None = None,
    rtol: float | None = None,
    seed: int = 0,
    runs: int = 3,
    labels: AnyLabels | None = None,
    floors: Floors = NO_FLOORS,
    tuned: bool = False,
    shapes: Mapping[str, Sequence[int]] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Report:
    """Check ``small``, which ``plan`` made of ``model``, on ONNX Runtime: structure, equivalence and fidelity.

    ``inputs`` (arrays by input name, an iterable of such, a ``CalibrationDataReader`` or a path, see
    :mod:`irprune.runtime.data`) take the place of ``runs`` random ones; with ``labels`` the report has the accuracy of
    both models. ``floors`` are the least fidelity for which the report is ok. Tensors that the plan
    lists as updated must have the digests that it gives, and the reference has their values in the places that stayed
    (:func:`irprune.torch.write_back` makes such plans); with ``tuned``, any weight may have changed after the plan was
    written. ``shapes`` of inputs and open ``sizes`` by their symbols are among the random inputs, in place of those of
    the plan. Raises :class:`InputError` for a plan that was made for another model.
    """
    require_same(open_model(model).identity, plan)
    checks = {"inputs": inputs, "rtol": rtol, "seed": seed, "runs": runs, "labels": labels, "floors": floors}
    return verify_opened(model, small, plan.at_sizes(shapes or {}, sizes or {}), tuned=tuned, **checks)


def verify_opened(model: AnyModel, small: AnyModel, plan: Plan, **checks: Any) -> Report:
    """:func:`verify`, for a model that is known to be the plan's."""
    with tempfile.TemporaryDirectory(prefix="irprune-") as folder:
        original = _runnable(model, Path(folder) / "original.onnx")
        pruned = _runnable(small, Path(folder) / "pruned.onnx")
        from .verification.driver import verify_models

        return verify_models(original, pruned, plan, **checks)


def _runnable(model: AnyModel, spare: Path) -> onnx.ModelProto | Path:
    """A path or a proto with all of its data; an ``onnx_ir`` model may have it elsewhere, and is written down."""
    if isinstance(model, (str, os.PathLike)):
        return Path(model)
    if isinstance(model, oir.Model):
        save(model, spare, external=has_external_data(model))
        return spare
    return as_proto(model)


@dataclass(frozen=True)
class Result:
    """What :func:`prune` made: the smaller model, the plan that was carried out and what the verification found.

    ``model`` is of the kind that was given; for a path it is the path of the file that was written, or, where none
    was asked for, an ``onnx_ir.Model``. ``report`` is ``None`` where verification was turned off, ``recovery`` where no
    weights were refitted.
    """

    model: AnyModel
    plan: Plan
    report: Report | None
    recovery: Recovery | None
    _small: oir.Model = field(repr=False)
    _external: bool = field(repr=False)
    latency: Reached | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the smaller model; weights go to a file of their own where the original's did."""
        save(self._small, path, external=self._external)

    def __repr__(self) -> str:
        """What it costs now, and what the verification found."""
        before, after = self.plan.cost_before, self.plan.cost_after
        lines = [
            f"{name}: {old} -> {new} ({new / max(old, 1):.1%})"
            for name, old, new in (
                ("parameters", before.params, after.params),
                ("multiply-accumulates", before.macs, after.macs),
            )
        ]
        if self.report is None:
            return "\n".join([*lines, "not verified"])
        from .verification.verdicts import verdicts

        fidelity = next(verdict.words for verdict in verdicts(self.report) if verdict.name == "fidelity")
        error = f"equivalent to the reference within {self.report.equivalence.error:.1e}"
        return "\n".join([*lines, error, f"fidelity to the original: {fidelity}"])


@lists_options
def prune(
    model: AnyModel,
    output: str | os.PathLike[str] | None = None,
    *,
    verify: bool = True,
    inputs: AnyData | None = None,
    rtol: float | None = None,
    labels: AnyLabels | None = None,
    floors: Floors = NO_FLOORS,
    scores: Scores | None = None,
    on_progress: OnProgress | None = None,
    data: AnyData | None = None,
    **options: Unpack[RequestOptions],
) -> Result:
    """Plan, rewrite and verify; ``output`` is where to write the smaller model, if anywhere.

    ``data`` are unlabeled inputs (see :mod:`irprune.runtime.data`): with them channels are chosen by what their removal
    does to the model on these inputs, and the weights that stay are refitted. About a fifth is held out, never fitted,
    and tells in ``result.recovery`` what that did. ``scores``, one number per atom, take the place of a criterion.
    ``on_progress`` is called with the name of each stage when it begins (``reading``, ``analyzing``, ``deciding``,
    ``rewriting``, ``verifying``, ``writing``). The options are those of :class:`irprune.Request`, the others those of
    :func:`verify`. Raises :class:`VerificationError`, and writes nothing, for a result that is not equivalent, or below
    a floor.
    """
    wanted, begin = Request.given(options).require_target().with_data(data is not None), on_progress or _unheard
    begin("reading")
    opened = open_model(model)
    begin("analyzing")
    analysis = analyze_model(opened, wanted)
    begin("deciding")
    reached = None if wanted.latency is None else _meet_latency(opened, analysis, wanted, scores, data)
    wanted = wanted if reached is None else wanted.at_macs(reached.macs)
    found, recovery, samples = decided_by(opened, analysis, wanted, scores, data)
    for text in recovery.cautions() if recovery else ():
        warnings.warn(text, stacklevel=2)
    inputs = samples.held_out if inputs is None and samples else inputs
    smaller = found.of(opened.identity)
    _caution(analysis, smaller.plan)
    begin("rewriting")
    small, decided = emitted(opened, analysis.graph, smaller.graph, smaller.plan), smaller.plan
    report = None
    if verify:
        begin("verifying")
        checks = {"inputs": inputs, "rtol": rtol, "seed": wanted.seed, "labels": labels, "floors": floors}
        report = verify_opened(model, small, decided, graph=analysis.graph, **checks)
        if not report.ok:
            raise VerificationError(report.refusal())
        decided = decided.with_verification(report.as_json())
    begin("writing")
    like = small if opened.is_path and output is None else like_given(opened, model, small, output)
    return Result(like, decided, report, recovery, small, has_external_data(opened.model), reached)


def smaller_at(
    opened: OpenedModel, analysis: Analysis, request: Request, data: AnyData | None, scores: Scores | None = None
) -> Smaller:
    """What a request leaves of a model, without a word on it: a candidate that is measured."""
    return decided_by(opened, analysis, request, scores, data)[0]


def _meet_latency(
    opened: OpenedModel, analysis: Analysis, request: Request, scores: Scores | None, data: AnyData | None
) -> Reached:
    """The share of multiply-accumulates that meets the latency of a request."""
    from .bench.search import meet_latency

    latency = request.latency
    assert latency is not None

    def write(share: float, path: Path) -> None:
        smaller = smaller_at(opened, analysis, request.at_macs(share), data, scores)
        save(emitted(opened, analysis.graph, smaller.graph, None), path, external=has_external_data(opened.model))

    with tempfile.TemporaryDirectory(prefix="irprune-") as folder:
        original = _runnable(opened.given, Path(folder) / "model.onnx")
        if isinstance(original, onnx.ModelProto):
            path = Path(folder) / "model.onnx"
            onnx.save(original, path)
            original = path
        return meet_latency(original, write, latency, threads=request.threads or 1, at=analysis.at)


def decided_by(
    opened: OpenedModel, analysis: Analysis, request: Request, scores: Scores | None, data: AnyData | None
) -> tuple[Smaller, Recovery | None, Samples | None]:
    """What goes by scores, by a criterion, or by data; see :func:`recovered`.

    Raises :class:`InputError` where both scores and data are given.
    """
    if data is None:
        return decide(analysis, request, scores), None, None
    if scores is not None:
        raise InputError("give scores or data, not both: each says which channels go")
    return recovered(opened, analysis, request, data)


def recovered(
    opened: OpenedModel, analysis: Analysis, request: Request, data: AnyData
) -> tuple[Smaller, Recovery | None, Samples]:
    """The smaller model that data lead to, the effect of the refit, and the samples, some of them held out.

    Open sizes have those of the samples, unless the request gives others.

    Raises :class:`InputError` for data that do not fit the model.
    """
    from .repair.recover import recover

    samples = open_samples(opened, data)
    if not (request.shapes or request.sizes):
        request = request.model_copy(update={"shapes": samples.shapes})
        analysis = sized(opened, analysis, request)
    return (*recover(opened.model, analysis, request, samples), samples)


def measured_errors(opened: OpenedModel, analysis: Analysis, request: Request, data: AnyData) -> Scores:
    """What the removal of each atom costs on data, see :func:`irprune.repair.recover.errors_on`; infinite where the
    data say nothing.

    Raises :class:`InputError` for data that do not fit the model.
    """
    from .repair.recover import errors_on

    return errors_on(opened.model, analysis, request.with_data(True), open_samples(opened, data))[0]


def open_samples(opened: OpenedModel, data: AnyData) -> Samples:
    """The samples of data, some of them held out. Raises :class:`InputError` for data that do not fit the model."""
    from .calibration.calibrate import Samples
    from .runtime.data import open_data
    from .runtime.feeds import input_types

    return Samples.of(open_data(data, input_types(to_proto(opened.model)), "the data"))
