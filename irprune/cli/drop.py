"""``irprune drop``: take residual branches out, repair, verify, write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..dropping.options import Depth
from ..errors import InputError
from ..request import Request
from . import options as o
from .artifacts import OnnxFile
from .checks import checks_from
from .exits import DONE, FAILED, complain, warn
from .progress import step


@o.takes(Depth)
def drop(
    model: o.Model,
    output: o.Output,
    options: Depth,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="Unlabeled inputs to choose and repair on: .npz, .npy, a folder, or FILE.py:FUNCTION.",
        ),
    ] = None,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Write the plan there as well.")
    ] = None,
    inputs: o.Inputs = None,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="For the samples and the inputs.")] = 0,
    as_json: o.AsJSON = False,
) -> None:
    """Drop residual branches whole: y = x + F(x) becomes y = x.

    With --data those go whose removal changes the outputs least, and the others are refitted; else those with the
    smallest weights. The result is compared with the original in which these branches are multiplied by zero.
    """
    options = options.require_one()
    from ..depth import dropped
    from ..runtime.data import open_data
    from ..runtime.files import open_file
    from .summary import as_document, show
    from .work import carry_out, read

    source = None if data is None else open_file(data)
    checks = checks_from(no_verify=no_verify, inputs=inputs, rtol=rtol, seed=seed)
    request = Request(seed=seed)
    runnable = checks.verify or source is not None
    given = read(model, request, outputs=[output, plan_file], runnable=runnable)
    if not isinstance(given.artifact, OnnxFile):
        raise InputError(f"{model}: drop takes ONNX models; export the program first (torch.onnx.export)")
    with step("choosing branches"):
        smaller, recovery, samples = dropped(given.artifact.opened, given.analysis, options, request, source)
    for text in recovery.cautions() if recovery else ():
        warn(text)
    if checks.verify and checks.inputs is None and samples is not None and source is not None:
        held_out = open_data(samples.held_out, samples.inputs, f"{source.origin}, held out").source
        checks = replace(checks, inputs=held_out)
    outcome = carry_out(given, smaller.of(given.artifact.identity), output, checks, plan_file)
    outcome = replace(outcome, recovery=recovery)
    if as_json:
        body = [branch.model_dump() for branch in outcome.plan.dropped]
        print(json.dumps({**as_document(given, output, outcome), "dropped": body}, indent=1))
    else:
        show(given, output, outcome)
    if not outcome.ok:
        complain(f"{output} was not written: {outcome.refusal()}")
    raise typer.Exit(DONE if outcome.ok else FAILED)
