"""``irprune prune``: plan, rewrite, verify, write."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..errors import InputError
from ..request import Request
from ..tuning import NO_TUNING, Tuning
from ..verification.floors import NO_FLOORS, Floors
from . import options as o
from .artifacts import EXPORTED
from .checks import checks_from, data_of
from .exits import DONE, FAILED, complain, warn

if TYPE_CHECKING:
    from ..bench.bench import Bench
    from ..bench.search import Reached
    from ..torch.distill import Tuned
    from .work import Outcome, Read


@o.takes(Floors)
@o.takes(Tuning)
@o.takes(Request)
def prune(
    models: o.Models,
    output: o.Output,
    request: Request,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Write the plan there as well.")
    ] = None,
    data: o.DataOfEach = None,
    tuning: Tuning = NO_TUNING,
    inputs: o.InputsOfEach = None,
    labels: o.Labels = None,
    trees: Annotated[
        str | None,
        typer.Option(
            "--trees",
            metavar="RULE",
            help="Of a tree ensemble, with --data and --labels: keep this share of the trees (0.5); "
            "reduced-error; or nodes=R, the share of nodes that cost-complexity pruning leaves.",
            rich_help_panel="What may go",
        ),
    ] = None,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
    floors: Floors = NO_FLOORS,
    bench: Annotated[
        bool | None,
        typer.Option(
            "--bench/--no-bench",
            help="Compare the latency of both models on ONNX Runtime; by default only of small ones, for a warning.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="PAGE", help="Write a page on the result as well (report extra).")
    ] = None,
    as_json: o.AsJSON = False,
) -> None:
    """Plan, rewrite, verify and write the smaller model. One that fails is not written.

    With --data weights are refitted; with --minutes they are trained as well, as irprune finetune does it.

    Several models that share axes are pruned as one: --tie A:present_*=B:past_* says what they share.
    """
    if trees is not None:
        from .ensembles import prune_trees

        if request.targets or request.ratios or inputs or bench:
            raise InputError("--trees is a target of its own: no other one, no --inputs and no --bench beside it")
        if tuning != NO_TUNING:
            raise InputError("--trees is not followed by training: no --steps and no --minutes beside it")
        prune_trees(
            models, output, trees, data, labels, plan_file, seed=request.seed, no_verify=no_verify, as_json=as_json
        )
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
    from .training import training_of
    from .work import carry_out, decide, read_models, recover

    training = training_of(tuning, source, request.seed)
    if html is not None:
        _require_page(models, output)
    given = read_models(models, request, output, plan_file, html, runnable=checks.verify or source is not None)
    if training is not None:
        training.require_possible(given)
    reached = None
    if request.latency is not None:
        from .latency import at_latency

        request, reached = at_latency(given, request, source)
    if source is None:
        outcome = carry_out(given, decide(given, request), output, checks, plan_file)
        caution(request, outcome)
    else:
        smaller, recovery, held_out = recover(given, request, source)
        checks = checks if checks.inputs is not None or not checks.verify else replace(checks, inputs=held_out)
        write = None if training is None else partial(training.write, given, smaller, output=output)
        outcome = replace(carry_out(given, smaller, output, checks, plan_file, write), recovery=recovery)
    measured = _compared(models, given, request, output, outcome, bench)
    if html is not None and outcome.written:
        from .page import page_of

        page_of(html, given, output, outcome, measured)
    finish(given, output, outcome, measured, reached, training.found if training else None, as_json=as_json)


def _require_page(models: list[Path], output: Path) -> None:
    """Raise :class:`InputError` where no page can be made of the result."""
    from ..report.page import require_pages

    require_pages()
    if len(models) > 1 or EXPORTED in (models[0].suffix, output.suffix):
        raise InputError("--html shows a single ONNX model")


def _compared(
    models: list[Path], given: Read, request: Request, output: Path, outcome: Outcome, asked: bool | None
) -> Bench | None:
    """The latency of both models, where they are ONNX files and it is asked for, or cheap."""
    if len(models) == 1 and models[0].suffix != EXPORTED and output.suffix != EXPORTED:
        from .slower import compare_latency

        return compare_latency(given, request, output, outcome, asked)
    if asked:
        raise InputError("--bench compares a single ONNX model with the smaller one; irprune bench takes several")
    return None


def caution(request: Request, outcome: Outcome) -> None:
    """Say of a model that was written that a choice by norm alone rarely keeps the accuracy of a trained one."""
    if not outcome.ok or not (request.targets or request.ratios or request.experts):
        return
    warn(
        "channels are chosen without data: a trained model rarely keeps its accuracy that way. "
        "With --data INPUTS (unlabeled, .npz) they are chosen on data, and the weights that stay are refitted."
    )


def finish(
    given: Read,
    output: Path,
    outcome: Outcome,
    measured: Bench | None = None,
    reached: Reached | None = None,
    tuned: Tuned | None = None,
    *,
    as_json: bool,
) -> NoReturn:
    """Print what was done; exit with 1 where nothing was written."""
    from .summary import as_document, show
    from .training import in_numbers

    if as_json:
        said = {"bench": measured, "latency": reached}
        more = {name: item.as_json() for name, item in said.items() if item is not None}
        more |= {"training": in_numbers(tuned)} if tuned is not None else {}
        print(json.dumps({**as_document(given, output, outcome), **more}, indent=1))
    else:
        show(given, output, outcome, tuned)
        if reached is not None:
            print(reached)
        if measured is not None:
            from .bench import show as show_latency

            show_latency(measured)
    if not outcome.ok:
        complain(f"{output} was not written: {outcome.refusal()}")
        raise typer.Exit(FAILED)
    raise typer.Exit(DONE)
