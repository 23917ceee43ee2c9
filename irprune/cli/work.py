"""The steps that commands share: read a model, analyze it, and write a smaller one that was verified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..errors import InputError
from .artifacts import Artifact, open_artifact
from .checks import Checks
from .exits import warn
from .outputs import require_apart, require_distinct, require_writable, staged_text
from .progress import step

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..ir import Graph
    from ..plans import Plan
    from ..repair.recover import Recovery
    from ..request import Request
    from ..rewriting import Smaller
    from ..runtime.feeds import DataSource
    from ..verification import Report


@dataclass(frozen=True)
class Opened:
    """A model file that was read, and its graph."""

    path: Path
    artifact: Artifact

    @property
    def graph(self) -> Graph:
        return self.artifact.graph


@dataclass(frozen=True)
class Read(Opened):
    """A model file, read and analyzed."""

    analysis: Analysis


def open_checked(
    path: Path, outputs: Sequence[Path | None], *, runnable: bool = False, plan: Plan | None = None
) -> Opened:
    """Read a model file, once it is certain that the outputs can be written.

    With ``runnable`` the model has to run on ONNX Runtime; ``plan`` has to be made for it.
    """
    wanted = [made for made in outputs if made is not None]
    require_distinct(*wanted)
    for made in wanted:
        require_writable(made, inputs=[path])
    with step(f"reading {path.name}"):
        artifact = open_artifact(path)
        if plan is not None:
            artifact.require_same(plan)
        require_apart(wanted, artifact.files())
    if runnable:
        with step("making sure that it runs"):
            artifact.require_runnable()
    return Opened(path, artifact)


def read(
    path: Path,
    request: Request | None = None,
    *,
    outputs: Sequence[Path | None] = (),
    runnable: bool = False,
    plan: Plan | None = None,
) -> Read:
    """:func:`open_checked`, then the analysis."""
    opened = open_checked(path, outputs, runnable=runnable, plan=plan)
    return _analyzed(opened, request)


def read_models(
    paths: Sequence[Path],
    request: Request,
    output: Path,
    *others: Path | None,
    runnable: bool = False,
    plan: Plan | None = None,
) -> Read:
    """:func:`read`, of one model or of several as one; the output of several is a folder."""
    if len(paths) == 1:
        if request.ties:
            raise InputError("--tie is for several models; of one model, --state ties an output to an input")
        return read(paths[0], request, outputs=[output, *others], runnable=runnable, plan=plan)
    from .several import OnnxFiles

    for made in filter(None, others):
        require_writable(made, inputs=paths)
    with step("reading the models"):
        artifact = OnnxFiles.open(paths)
        if plan is not None:
            artifact.require_same(plan)
        require_apart([made for made in others if made is not None], artifact.files())
    if runnable:
        with step("making sure that they run"):
            artifact.require_runnable()
    return _analyzed(Opened(artifact.name, artifact), request)


def _analyzed(opened: Opened, request: Request | None) -> Read:
    with step("finding what is coupled"):
        from ..request import Request
        from ..rewriting import analyzed

        request = request or Request()
        analysis = opened.artifact.sized(analyzed(opened.graph, request), request)
        _ = analysis.groups
    return Read(opened.path, opened.artifact, analysis)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a plan: whether the model was written, its bytes, and the report (``None``: not verified)."""

    plan: Plan
    written: bool
    size: int
    report: Report | None = None
    recovery: Recovery | None = None

    @property
    def ok(self) -> bool:
        return self.report is None or self.report.ok

    def refusal(self) -> str:
        """Why nothing was written."""
        assert self.report is not None
        return self.report.refusal()


Write: TypeAlias = "Callable[[Path], Plan]"
"""Writes a model; its plan."""


def carry_out(
    given: Read,
    smaller: Smaller,
    output: Path,
    checks: Checks,
    plan_file: Path | None = None,
    write: Write | None = None,
) -> Outcome:
    """Write a smaller model, verify the very file that is to be the output, and put it in its place if it passed.

    ``write`` writes another model in the place of the smaller one, with the same graph.
    """
    with given.artifact.staged(output) as stage:
        plan = (write or partial(write_smaller, given, smaller))(stage.path)
        size = sum(made.stat().st_size for made in stage.folder.iterdir())
        report = None
        if checks.verify:
            report = examine(given.artifact, stage.path, plan, checks)
            plan = plan.with_verification(report.as_json())
        outcome = Outcome(plan, False, size, report)
        if not outcome.ok:
            return outcome
        if plan_file is None:
            stage.commit()
        else:
            with staged_text(plan_file, plan.dumps()) as beside:
                stage.commit()  # first: a plan without its model helps nobody
                beside.commit()
    return replace(outcome, written=True)


def write_smaller(given: Read, smaller: Smaller, target: Path) -> Plan:
    """Write a smaller model as it is."""
    with step("writing the model"):
        given.artifact.write_smaller(smaller, given.analysis, target)
    return smaller.plan


def examine(original: Artifact, pruned: Path, plan: Plan, checks: Checks) -> Report:
    """Verify a smaller model against the one that a plan was made for."""
    with step("verifying it"):
        return original.examine(pruned, plan, checks)


def decide(given: Read, request: Request) -> Smaller:
    """The plan, and the smaller graph."""
    with step("deciding what to remove"):
        from ..plans.cautions import cautions
        from ..rewriting import decide

        smaller = decide(given.analysis, request).of(given.artifact.identity)
        found = cautions(given.analysis, smaller.plan)
    for text in found:
        warn(text)
    return smaller


def recover(given: Read, request: Request, data: DataSource) -> tuple[Smaller, Recovery | None, DataSource]:
    """What to remove and what the rest becomes, by data; and the samples that were held out.

    Raises :class:`InputError` for data that do not fit the model, and for a model that is not an ONNX file.
    """
    from ..api import recovered
    from ..runtime.data import open_data
    from .artifacts import OnnxFile
    from .several import OnnxFiles

    if not isinstance(given.artifact, (OnnxFile, OnnxFiles)):
        raise InputError(f"{given.path}: --data is for ONNX models; export the program first (torch.onnx.export)")
    with step("calibrating, choosing and refitting on data"):
        from ..plans.cautions import cautions

        smaller, recovery, samples = recovered(given.artifact.opened, given.analysis, request, data)
        found = cautions(given.analysis, smaller.plan)
    for text in (*(recovery.cautions() if recovery else ()), *found):
        warn(text)
    held_out = open_data(samples.held_out, samples.inputs, f"{data.origin}, held out")
    return smaller.of(given.artifact.identity), recovery, held_out.source


def replay(given: Read, plan: Plan) -> Smaller:
    """The graph that a plan leaves."""
    with step("rewriting the graph"):
        from ..dropping.drop import replay

        return replay(given.analysis, plan)
