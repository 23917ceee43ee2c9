"""``irprune finetune``: train a pruned model towards the original, without labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..tuning import NO_TUNING, PANEL, Tuning
from ..verification.floors import NO_FLOORS, Floors
from . import options as o
from .checks import Checks, checks_from
from .exits import DONE, FAILED, complain
from .training import checkpoint_of, in_numbers, show_effect, shown_steps

if TYPE_CHECKING:
    from ..torch.distill import Tuned
    from ..verification import Report


@o.takes(Floors)
@o.takes(Tuning)
def finetune(
    original: o.Model,
    pruned: Annotated[Path, typer.Argument(metavar="PRUNED", help="The smaller model.", show_default=False)],
    data: Annotated[
        Path,
        typer.Option("--data", metavar="DATA", help="Unlabeled inputs: .npz, .npy, a folder, or FILE.py:FUNCTION."),
    ],
    output: o.Output,
    plan_file: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="The plan that made PRUNED: more values can be compared, and the result is verified by it.",
        ),
    ] = None,
    tuned_plan: Annotated[
        Path | None,
        typer.Option(
            "--write-plan",
            metavar="FILE",
            help="Write the plan there with the digests of the trained weights; needs --plan.",
        ),
    ] = None,
    options: Tuning = NO_TUNING,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="For the order of the samples.", rich_help_panel=PANEL)
    ] = 0,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
    floors: Floors = NO_FLOORS,
    as_json: o.AsJSON = False,
) -> None:
    """Train what is left of a pruned model towards the original: no labels are needed (torch extra).

    The graph stays as it is, weights change. A run that was interrupted goes on from OUT.checkpoint when it is
    started again.
    """
    from ..runtime.data import open_data
    from ..runtime.files import open_file
    from .outputs import require_distinct, require_writable
    from .plans import read_plan

    if tuned_plan is not None and plan_file is None:
        raise InputError("--write-plan needs --plan, the plan that made the smaller model")
    read = [path for path in (original, pruned, plan_file) if path is not None]
    require_distinct(*(path for path in (output, tuned_plan) if path is not None))
    for made in filter(None, (output, tuned_plan)):
        require_writable(made, inputs=read)
    plan = None if plan_file is None else read_plan(plan_file)
    source = open_file(data)
    checks = checks_from(floors, no_verify=no_verify, inputs=None if no_verify else source, rtol=rtol, seed=seed)
    if plan is None and (floors.asked or rtol is not None):
        raise InputError(f"{(*floors.asked, '--rtol')[0]} needs --plan: without it the result is not verified")
    from ..torch import finetune as train

    with shown_steps() as on_step:
        found = train(
            original,
            pruned,
            source,
            plan=plan,
            seed=seed,
            checkpoint=checkpoint_of(output),
            on_step=on_step,
            **options.as_options(),
        )
    held_out = open_data(found.samples.held_out, found.samples.inputs, f"{source.origin}, held out").source
    report, written = _write(original, output, found, replace(checks, inputs=held_out), tuned_plan)
    (_print_json if as_json else _show)(output, found, report, written=written)
    if not written:
        assert report is not None
        complain(f"{output} was not written: {report.refusal()}")
    raise typer.Exit(DONE if written else FAILED)


def _write(
    original: Path, output: Path, found: Tuned, checks: Checks, tuned_plan: Path | None
) -> tuple[Report | None, bool]:
    """Verify the very file that is to be the output, and put it in its place if it passed."""
    from ..backends.staging import staged
    from .artifacts import open_artifact
    from .outputs import staged_text
    from .progress import step
    from .work import examine

    report, plan = None, found.plan
    with staged(output) as stage:
        with step("writing the model"):
            found.save(stage.path)
        if plan is not None and checks.verify:
            report = examine(open_artifact(original), stage.path, plan, checks)
            if not report.ok:
                return report, False
            plan = plan.with_verification(report.as_json())
        if tuned_plan is None or plan is None:
            stage.commit()
        else:
            with staged_text(tuned_plan, plan.dumps()) as beside:
                stage.commit()  # first: a plan without its model helps nobody
                beside.commit()
    return report, True


def _print_json(output: Path, found: Tuned, report: Report | None, *, written: bool) -> None:
    document = {
        "format": "irprune.finetune/1",
        "ok": written,
        "output": str(output) if written else None,
        **in_numbers(found),
        "verification": None if report is None else report.as_json(),
    }
    print(json.dumps(document, indent=1))


def _show(output: Path, found: Tuned, report: Report | None, *, written: bool) -> None:
    from . import report as tables

    out = tables.console()
    show_effect(out, found)
    if report is not None:
        out.print(tables.judged(report))
    if written:
        kind = "verified" if report is not None else "not verified"
        out.print(f"wrote {output} ({kind})", markup=False)
