"""``irprune prune``: plan, rewrite, verify, write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..request import Request
from ..verification.floors import NO_FLOORS, Floors
from . import options as o
from .checks import checks_from, data_of
from .exits import DONE, FAILED, complain, warn

if TYPE_CHECKING:
    from .work import Outcome, Read


@o.takes(Floors)
@o.takes(Request)
def prune(
    models: o.Models,
    output: o.Output,
    request: Request,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Write the plan there as well.")
    ] = None,
    data: o.DataOfEach = None,
    inputs: o.InputsOfEach = None,
    labels: o.Labels = None,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
    floors: Floors = NO_FLOORS,
    as_json: o.AsJSON = False,
) -> None:
    """Plan, rewrite, verify and write the smaller model. One that fails is not written.

    Several models that share axes are pruned as one: --tie A:present_*=B:past_* says what they share.
    """
    request = request.require_target().with_data(data is not None)
    source = data_of("--data", data, models)
    checks = checks_from(
        floors,
        no_verify=no_verify,
        inputs=data_of("--inputs", inputs, models),
        labels=labels,
        rtol=rtol,
        seed=request.seed,
    )
    from .work import carry_out, decide, read_models, recover

    given = read_models(models, request, output, plan_file, runnable=checks.verify or source is not None)
    if source is None:
        outcome = carry_out(given, decide(given, request), output, checks, plan_file)
        caution(request, outcome)
    else:
        smaller, recovery, held_out = recover(given, request, source)
        checks = checks if checks.inputs is not None or not checks.verify else replace(checks, inputs=held_out)
        outcome = replace(carry_out(given, smaller, output, checks, plan_file), recovery=recovery)
    finish(given, output, outcome, as_json=as_json)


def caution(request: Request, outcome: Outcome) -> None:
    """Say of a model that was written that a choice by norm alone rarely keeps the accuracy of a trained one."""
    if not outcome.ok or not (request.targets or request.ratios):
        return
    warn(
        "channels are chosen without data: a trained model rarely keeps its accuracy that way. "
        "With --data INPUTS (unlabeled, .npz) they are chosen on data, and the weights that stay are refitted."
    )


def finish(given: Read, output: Path, outcome: Outcome, *, as_json: bool) -> NoReturn:
    """Print what was done; exit with 1 where nothing was written."""
    from .summary import as_document, show

    if as_json:
        print(json.dumps(as_document(given, output, outcome), indent=1))
    else:
        show(given, output, outcome)
    if not outcome.ok:
        complain(f"{output} was not written: {outcome.refusal()}")
        raise typer.Exit(FAILED)
    raise typer.Exit(DONE)
