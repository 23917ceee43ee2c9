"""``irprune plan``, ``apply`` and ``verify``: the same work as ``prune``, one step at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..request import Request
from ..verification.floors import NO_FLOORS, Floors
from . import options as o
from .checks import Checks, checks_from, data_of
from .exits import FAILED, complain
from .outputs import require_apart, require_distinct, require_writable, write_text

if TYPE_CHECKING:
    from ..plans import Plan
    from ..verification import Report

ModelsAndPlan = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL... PLAN",
        help="The model that the plan was made for (all of them, if it was made for several), then the plan file.",
        show_default=False,
    ),
]


@o.takes(Request)
def plan(
    models: o.Models,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PLAN", help="The plan file to write.")],
    request: Request,
    data: o.DataOfEach = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as well, and no tables.")] = False,
) -> None:
    """Decide what to remove and write the plan; no model is written.

    With --data channels are chosen on data. A plan holds no weights: to refit them as well, use prune.
    """
    request = request.require_target().with_data(data is not None, repairs=False)
    from .work import decide, read_models, recover

    require_writable(output, inputs=models)
    source = data_of("--data", data, models)
    given = read_models(models, request, output, runnable=source is not None)
    decided = (decide(given, request) if source is None else recover(given, request, source)[0]).plan
    write_text(output, decided.dumps())
    if as_json:
        print(decided.dumps(), end="")
        return
    from . import report

    out = report.console()
    out.print(report.costs(given.analysis, decided.cost_before, decided.cost_after))
    removed = {group.name: len(group.removed) for group in decided.groups}
    out.print(report.pruned_groups(given.analysis, removed))
    out.print(f"wrote {output}", markup=False)


def require_no_refit(decided: Plan, path: Path) -> None:
    """Raise :class:`InputError` for a plan whose model has other weights too: a plan does not hold them."""
    if any(decided.updated.values()) and not decided.is_lossless:
        raise InputError(
            f"{path}: {len(decided.updated)} tensors were refitted on data, and a plan does not hold their values; "
            "run 'irprune prune' with --data again, or plan with --repair none"
        )


@o.takes(Floors)
def apply(
    files: ModelsAndPlan,
    output: o.Output,
    inputs: o.InputsOfEach = None,
    labels: o.Labels = None,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
    floors: Floors = NO_FLOORS,
    as_json: o.AsJSON = False,
) -> None:
    """Carry out a plan on the model that it was made for, verify the result and write it.

    A plan of several models is carried out on all of them: irprune apply A.onnx B.onnx PLAN -o FOLDER.
    """
    *models, plan_file = files
    if not models:
        raise InputError(f"expected a model and then its plan, got {plan_file} alone")
    source = data_of("--inputs", inputs, models)
    checks = checks_from(floors, no_verify=no_verify, inputs=source, labels=labels, rtol=rtol)
    decided = read_plan(plan_file)
    from .prune import finish
    from .work import carry_out, read_models, replay

    require_apart([output], [plan_file])
    require_no_refit(decided, plan_file)
    _require_several(models, decided)
    given = read_models(models, decided.request, output, runnable=checks.verify, plan=decided)
    finish(given, output, carry_out(given, replay(given, decided), output, checks), as_json=as_json)


@o.takes(Floors)
@o.takes(Request, "shapes", "sizes")
def verify(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="ORIGINAL... PRUNED...",
            help="The model before and the smaller one; of several models all before, then all smaller ones in "
            "the same order, or their folder.",
            show_default=False,
        ),
    ],
    plan_file: Annotated[Path, typer.Option("--plan", metavar="PLAN", help="The plan that was carried out.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the report there as JSON.")
    ] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the report there as JUnit XML.")
    ] = None,
    inputs: o.InputsOfEach = None,
    labels: o.Labels = None,
    rtol: o.RTol = None,
    floors: Floors = NO_FLOORS,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="For the random inputs.")] = 0,
    tuned: Annotated[
        bool, typer.Option("--tuned", help="Weights may have changed after the plan was written; compare all else.")
    ] = False,
    *,
    request: Request,
) -> None:
    """Check a pruned model against the original and the plan; names the first tensor that differs."""
    from .several import pairs

    originals, pruned = pairs(models)
    source = data_of("--inputs", inputs, originals)
    checks = checks_from(floors, inputs=source, labels=labels, rtol=rtol, seed=seed, tuned=tuned)
    require_distinct(json_file, junit_file)
    for made in (json_file, junit_file):
        if made is not None:
            require_writable(made, inputs=[*originals, *pruned, plan_file])
    decided = read_plan(plan_file)
    _require_several(originals, decided)
    report = _examine(originals, pruned, decided.at_sizes(request.shapes, request.sizes), checks)
    _write(report, json_file, junit_file)
    _show(report)
    if not report.ok:
        complain(f"{', '.join(map(str, pruned))}: {report.refusal()}")
        raise typer.Exit(FAILED)


def _require_several(models: Sequence[Path], decided: Plan) -> None:
    """Raise :class:`InputError` for one model with the plan of several."""
    if len(models) == 1 and decided.model.models:
        names = ", ".join(decided.model.models)
        raise InputError(f"the plan was made for several models ({names}): give all of them, got {models[0]}")


def _examine(originals: Sequence[Path], pruned: Sequence[Path], decided: Plan, checks: Checks) -> Report:
    from .artifacts import open_artifact, require_readable
    from .progress import step
    from .several import OnnxFiles
    from .work import examine

    several = len(originals) > 1
    with step("reading the models"):
        artifact = OnnxFiles.open(originals) if several else open_artifact(originals[0])
        artifact.require_same(decided)
        for path in pruned:
            require_readable(path)
        artifact.require_runnable()
    if isinstance(artifact, OnnxFiles):
        with step("verifying them"):
            names = (path.stem for path in originals)
            return artifact.examine_files(dict(zip(names, pruned, strict=True)), decided, checks)
    return examine(artifact, pruned[0], decided, checks)


def _write(report: Report, json_file: Path | None, junit_file: Path | None) -> None:
    from ..verification import junit_xml

    if json_file is not None:
        write_text(json_file, json.dumps(report.as_json(), indent=1) + "\n")
    if junit_file is not None:
        write_text(junit_file, junit_xml(report))


def _show(report: Report) -> None:
    from . import report as tables

    tables.console().print(tables.judged(report))


def read_plan(path: Path) -> Plan:
    """Raises :class:`InputError` for a file that is missing or not a plan."""
    from ..plans import Plan

    return Plan.load(path)
