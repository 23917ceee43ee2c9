"""``irprune opt`` and ``irprune passes``: pipelines given as text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .checks import checks_from
from .outputs import staged
from .progress import step


def opt(
    model: o.Model,
    pipeline: Annotated[
        str,
        typer.Option("--passes", metavar="PIPELINE", help='Such as "fold,prune{macs=0.5,criterion=l2},dce".'),
    ],
    output: o.Output,
    print_before: Annotated[
        list[str] | None,
        typer.Option("--print-before", metavar="PASS", help="Print the graph before this pass (all: every pass)."),
    ] = None,
    print_after: Annotated[
        list[str] | None,
        typer.Option("--print-after", metavar="PASS", help="Print the graph after this pass (all: every pass)."),
    ] = None,
    timings: Annotated[bool, typer.Option("--time", help="Print how long each pass takes.")] = False,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
) -> None:
    """Run a pipeline of passes; each pass that changes the graph is verified on its own.

    Graphs are printed on standard output, times on standard error.
    """
    checks = checks_from(no_verify=no_verify, inputs=None, rtol=rtol)
    from ..api import has_external_data
    from ..backends.onnx import emit, save
    from ..passes import State, parse_pipeline, run_pipeline
    from ..verify.trail import Trail
    from .report import verified_passes
    from .work import read_graph

    passes = parse_pipeline(pipeline)
    given = read_graph(model, output=output, runnable=checks.verify)
    with Trail(model, given.source.model, given.graph, rtol) as trail, staged(output) as stage:
        start = State(given.graph, sha256=given.source.sha256, size=given.source.size, source=trail)
        done = run_pipeline(
            passes,
            start,
            print_before=print_before or (),
            print_after=print_after or (),
            observer=_Observer(trail.record, timings),
            write=sys.stdout.write,
        )
        with step("writing the model"):
            small = emit(given.source.model, given.graph, done.graph)
            save(small, stage.path, external=has_external_data(given.source.model))
        if checks.verify:
            with step("verifying each pass on ONNX Runtime"):
                trail.validate()
        stage.commit()
        verified_passes(trail.reports, f"wrote {output}", verified=checks.verify)
