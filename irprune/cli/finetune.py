"""``irprune finetune``: train a pruned model towards the original, without labels."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..verification.floors import NO_FLOORS, Floors
from . import options as o
from .checks import Checks, checks_from
from .exits import DONE, FAILED, complain

if TYPE_CHECKING:
    from ..torch.distill import Progress, Tuned
    from ..torch.distill.training import OnStep
    from ..verification import Report

_PANEL = "Training"


@o.takes(Floors)
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
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            help="Steps of the whole network. [dim]\\[default: 1000][/dim]",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", metavar="M", help="As many steps as fit these minutes; printed.", rich_help_panel=_PANEL
        ),
    ] = None,
    block_steps: Annotated[
        int,
        typer.Option("--block-steps", metavar="N", help="Steps of each block before that.", rich_help_panel=_PANEL),
    ] = 600,
    flip: Annotated[
        bool, typer.Option("--flip", help="Train on mirrored images as well.", rich_help_panel=_PANEL)
    ] = False,
    mixup: Annotated[
        bool, typer.Option("--mixup", help="Train on means of two inputs as well.", rich_help_panel=_PANEL)
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="For the order of the samples.", rich_help_panel=_PANEL)
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

    with _shown() as on_step:
        found = train(
            original,
            pruned,
            source,
            plan=plan,
            steps=steps,
            minutes=minutes,
            block_steps=block_steps,
            flip=flip,
            mixup=mixup,
            seed=seed,
            checkpoint=output.with_name(f"{output.name}.checkpoint"),
            on_step=on_step,
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
        "block_steps": found.block_steps,
        "steps": found.steps,
        "before": asdict(found.before),
        "after": asdict(found.after),
        "verification": None if report is None else report.as_json(),
    }
    print(json.dumps(document, indent=1))


def _show(output: Path, found: Tuned, report: Report | None, *, written: bool) -> None:
    from rich.table import Table

    from . import report as tables

    out = tables.console()
    table = Table(title="On samples that were not trained on")
    for heading in ("", "before", "after"):
        table.add_column(heading, justify="right" if heading else "left")
    if found.before.agreement is not None and found.after.agreement is not None:
        table.add_row("equal decisions", f"{found.before.agreement:.1%}", f"{found.after.agreement:.1%}")
    table.add_row("error (1: the average answer)", f"{found.before.error:.4f}", f"{found.after.error:.4f}")
    out.print(table)
    out.print(f"{found.block_steps} steps of blocks, {found.steps} of the whole network (--steps {found.steps})")
    if report is not None:
        out.print(tables.judged(report))
    if written:
        kind = "verified" if report is not None else "not verified"
        out.print(f"wrote {output} ({kind})", markup=False)


@contextmanager
def _shown() -> Iterator[OnStep | None]:
    """A line on stderr with loss, fidelity and the time that is left, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("preparing", total=None)

        def on_step(now: Progress) -> None:
            equal = "" if now.fidelity.agreement is None else f", {now.fidelity.agreement:.1%} equal decisions"
            text = f"{now.stage}: loss {now.loss:.4f}, error {now.fidelity.error:.4f}{equal}"
            bar.update(line, description=text, completed=now.step, total=now.steps)

        yield on_step
