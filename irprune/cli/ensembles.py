"""``irprune compact`` for models that hold tree ensembles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from ..errors import TargetError
from .exits import DONE, FAILED, complain

if TYPE_CHECKING:
    from ..plans import Plan
    from ..trees.compact import Change
    from ..verification import Report


def compact_ensembles(
    model: Path, output: Path, plan_file: Path | None, *, seed: int, no_verify: bool, as_json: bool
) -> NoReturn:
    """Remove what decides nothing from the trees of a model, verify and write it; the exit code says how it ended."""
    from ..api import has_external_data, open_model
    from ..backends.onnx import save
    from ..backends.staging import staged
    from ..trees import compact as trees
    from .outputs import require_distinct, require_writable, staged_text
    from .progress import step

    wanted = [path for path in (output, plan_file) if path is not None]
    require_distinct(*wanted)
    for path in wanted:
        require_writable(path, inputs=[model])
    with step(f"reading {model.name}"):
        source = open_model(model)
    with step("finding what decides nothing"):
        changes = trees.compact(source.model)
    if all(change.after.size == change.before.size for change in changes):
        raise TargetError(f"{model}: nothing to compact: an input reaches every leaf, and no split has equal leaves")
    plan = trees.plan_of(changes, source.identity)
    source.model.metadata_props.update(plan.metadata)
    report = None
    with staged(output) as stage:
        with step("writing the model"):
            save(source.model, stage.path, external=has_external_data(source.model))
        size = stage.path.stat().st_size
        if not no_verify:
            with step("verifying it"):
                report = trees.verify(model, stage.path, changes, seed)
            plan = plan.with_verification(report.as_json())
        is_written = report is None or report.ok
        if is_written and plan_file is not None:
            with staged_text(plan_file, plan.dumps()) as beside:
                stage.commit()  # first: a plan without its model helps nobody
                beside.commit()
        elif is_written:
            stage.commit()
    if as_json:
        print(json.dumps(_document(model, output, plan, report, size, is_written=is_written), indent=1))
    else:
        _show(output, changes, report, is_written=is_written)
    if not is_written:
        assert report is not None
        complain(f"{output} was not written: {report.refusal()}")
    raise typer.Exit(DONE if is_written else FAILED)


def _document(
    model: Path, output: Path, plan: Plan, report: Report | None, size: int, *, is_written: bool
) -> dict[str, object]:
    body = plan.as_json()
    return {
        "format": "irprune.result/1",
        "ok": is_written,
        "verified": report is not None,
        "model": {"path": str(model), **body["model"]},
        "output": {"path": str(output), "bytes": size} if is_written else None,
        **{name: body[name] for name in ("request", "cost", "groups", "verification")},
    }


def _show(output: Path, changes: list[Change], report: Report | None, *, is_written: bool) -> None:
    from rich.table import Table

    from . import report as tables

    out = tables.console()
    table = Table(title="Trees")
    for heading in ("operator", "trees", "nodes before", "nodes after", "kept"):
        table.add_column(heading, justify="left" if heading == "operator" else "right")
    for change in changes:
        before, after = change.before.size, change.after.size
        table.add_row(change.label, str(len(change.after.roots)), f"{before:,}", f"{after:,}", f"{after / before:.1%}")
    out.print(table)
    if report is not None:
        out.print(tables.judged(report))
    if is_written:
        out.print(f"wrote {output} ({'verified' if report is not None else 'not verified'})", markup=False)
