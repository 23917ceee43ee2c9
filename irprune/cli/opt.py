"""``irprune opt`` and ``irprune passes``: pipelines given as text."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..backends.staging import staged
from ..errors import InputError
from . import options as o
from .checks import checks_from
from .progress import step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..api import OpenedModel
    from ..ir import Graph
    from ..passes import Pass
    from ..passes.pipeline import PassInfo
    from ..verification import Report
    from ..verification.trail import Trail


def opt(
    model: o.Model,
    pipeline: Annotated[
        str,
        typer.Option("--passes", metavar="PIPELINE", help='Such as "fold,prune{macs=0.5,criterion=l2},dce".'),
    ],
    output: o.Output,
    print_before: Annotated[
        list[str] | None,
        typer.Option("--print-before", metavar="PASS", help="Print the graph before this pass (all: any)."),
    ] = None,
    print_after: Annotated[
        list[str] | None,
        typer.Option("--print-after", metavar="PASS", help="Print the graph after this pass (all: any)."),
    ] = None,
    timings: Annotated[bool, typer.Option("--time", help="Print how long each pass takes.")] = False,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
) -> None:
    """Run a pipeline of passes; each one that changes the graph is verified on its own.

    Graphs and times are printed on standard error.
    """
    checks = checks_from(no_verify=no_verify, rtol=rtol)
    from ..api import emitted, has_external_data
    from ..backends.onnx import save
    from ..passes import State, parse_pipeline, run_pipeline
    from ..verification.trail import Trail
    from .artifacts import OnnxFile
    from .work import open_checked

    passes = parse_pipeline(pipeline)
    artifact = open_checked(model, [output], runnable=checks.verify).artifact
    if not isinstance(artifact, OnnxFile):
        raise InputError(f"{model}: passes run on ONNX models; 'irprune prune' takes exported programs")
    opened, graph = artifact.opened, artifact.graph
    with Trail(model, opened.model, graph, rtol) as trail, staged(output, keep=artifact.files()) as stage:
        sizes, at = sizes_of(opened, graph, passes)
        start = State(graph, model=opened.identity, context=trail, sizes=sizes, at=at)
        done = run_pipeline(
            passes,
            start,
            print_before=print_before or (),
            print_after=print_after or (),
            timings=timings,
            observer=trail.record,
        )
        with step("writing the model"):
            small = emitted(opened, graph, done.graph, done.plan)
            save(small, stage.path, external=has_external_data(opened.model))
        if checks.verify:
            with step("verifying on ONNX Runtime"):
                trail.validate()
        stage.commit()
    _show(trail, output, [len(graph.nodes), len(done.graph.nodes)], verified=checks.verify)


def sizes_of(
    opened: OpenedModel, graph: Graph, passes: Sequence[Pass]
) -> tuple[Mapping[str, int], Mapping[str, tuple[int, ...]]]:
    """Numbers for open sizes, and the shapes of the inputs they are for: where a pass counts costs."""
    from ..api import sized
    from ..passes.prune import Prune
    from ..rewriting import analyzed

    counting = next((each.request for each in passes if isinstance(each, Prune)), None)
    if counting is None:
        return {}, {}
    analysis = sized(opened, analyzed(graph, counting), counting)
    return analysis.sizes, analysis.at


def _show(trail: Trail, output: Path, nodes: list[int], *, verified: bool) -> None:
    from rich.markup import escape

    from . import report

    out = report.console()
    rows = [
        (escape(name), f"{found.equivalence.error:.1e}", ", ".join(_fidelity(found))) for name, found in trail.reports
    ]
    if rows:
        columns = ("pass", "error", "fidelity to the model before")
        out.print(report.table("Verified, pass by pass", columns, rows, right=(1,)))
    kind = "verified" if verified else "not verified"
    changed = "" if verified and not rows else f", {nodes[0]} -> {nodes[1]} operators"
    note = "; no pass changed anything" if verified and not rows else ""
    out.print(f"wrote {output} ({kind}{changed}{note})", markup=False)


def _fidelity(found: Report) -> list[str]:
    from ..verification.verdicts import verdicts

    return [line for verdict in verdicts(found) if verdict.name == "fidelity" for line in verdict.lines]


def passes(as_json: o.AsJSON = False) -> None:
    """List the passes and their options."""
    from ..verification.trail import describe_passes

    found = describe_passes()
    if as_json:
        print(json.dumps([_document(info) for info in found], indent=1))
        return
    from rich.markup import escape

    from . import report

    out = report.console()
    for info in found:
        out.print(f"[bold]{info.name}[/]  {escape(info.summary)}")
        if info.options:
            rows = [(option.name, option.type, _spell(option.default), escape(option.help)) for option in info.options]
            out.print(report.table("", ("option", "type", "default", ""), rows))


def _document(info: PassInfo) -> dict[str, object]:
    options = [asdict(option) for option in info.options]
    return {"name": info.name, "summary": info.summary, "details": info.details, "options": options}


def _spell(default: object) -> str:
    if isinstance(default, tuple):
        return "[" + ",".join(map(str, default)) + "]"
    return str(default).lower() if isinstance(default, bool) or default is None else str(default)
