"""``irprune compact`` for models that hold tree ensembles, and ``irprune prune --trees``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from ..errors import InputError, TargetError
from .exits import DONE, FAILED, complain
from .progress import step

if TYPE_CHECKING:
    from ..api import OpenedModel
    from ..plans import Plan
    from ..trees.compact import Change
    from ..trees.prune import Pruned
    from ..verification import Report


def compact_ensembles(
    model: Path, output: Path, plan_file: Path | None, *, seed: int, no_verify: bool, as_json: bool
) -> NoReturn:
    """Remove what decides nothing from the trees of a model, verify and write it; the exit code says how it ended."""
    from ..trees import compact as trees

    opened = _open(model, output, plan_file)
    with step("finding what decides nothing"):
        changes = trees.compact(opened.model)
    if all(change.after.size == change.before.size for change in changes):
        raise TargetError(f"{model}: nothing to compact: an input reaches every leaf, and no split has equal leaves")

    def judge(made: Path) -> Report:
        return trees.verify(model, made, changes, seed)

    _write(opened, model, output, plan_file, changes, None if no_verify else judge, as_json=as_json)


def prune_trees(
    models: Sequence[Path],
    output: Path,
    rule: str,
    data: Sequence[str] | None,
    labels: Path | None,
    plan_file: Path | None,
    *,
    seed: int,
    no_verify: bool,
    as_json: bool,
) -> NoReturn:
    """Prune the tree ensemble of a model on labeled data, verify and write it."""
    from ..runtime.files import read_array
    from ..trees import prune as trees
    from .checks import data_of

    parsed = trees.Rule.parse(rule)
    if len(models) != 1:
        raise InputError("--trees prunes one model at a time")
    given = data_of("--data", data, list(models))
    if given is None or labels is None:
        raise InputError("--trees needs --data and --labels; without them irprune compact removes what decides nothing")
    (model,) = models
    opened = _open(model, output, plan_file, labels)
    node = trees.the_ensemble(opened.model)
    with step("pruning on the data"):
        pruned = trees.prune(node, trees.features_of(model, node, given), read_array(labels), parsed)

    def judge(made: Path) -> Report:
        return trees.verify(made, pruned, seed)

    _write(opened, model, output, plan_file, [pruned.change], None if no_verify else judge, pruned, as_json=as_json)


def _open(model: Path, output: Path, plan_file: Path | None, *read: Path) -> OpenedModel:
    from ..api import open_model
    from .outputs import require_distinct, require_writable

    wanted = [path for path in (output, plan_file) if path is not None]
    require_distinct(*wanted)
    for path in wanted:
        require_writable(path, inputs=[model, *read])
    with step(f"reading {model.name}"):
        return open_model(model)


def _write(
    opened: OpenedModel,
    model: Path,
    output: Path,
    plan_file: Path | None,
    changes: Sequence[Change],
    judge: Callable[[Path], Report] | None,
    pruned: Pruned | None = None,
    *,
    as_json: bool,
) -> NoReturn:
    """Write the model, verify the very file that is to be the output, and put it in its place if it passed."""
    from ..api import has_external_data
    from ..backends.onnx import save
    from ..backends.staging import staged
    from ..trees.compact import plan_of
    from .outputs import staged_text

    plan = plan_of(changes, opened.identity)
    opened.model.metadata_props.update(plan.metadata)
    report = None
    with staged(output) as stage:
        with step("writing the model"):
            save(opened.model, stage.path, external=has_external_data(opened.model))
        size = stage.path.stat().st_size
        if judge is not None:
            with step("verifying it"):
                report = judge(stage.path)
            plan = plan.with_verification(report.as_json())
        is_written = report is None or report.ok
        if is_written and plan_file is not None:
            with staged_text(plan_file, plan.dumps()) as beside:
                stage.commit()  # first: a plan without its model helps nobody
                beside.commit()
        elif is_written:
            stage.commit()
    if as_json:
        body = _document(model, output, plan, report, size, is_written=is_written)
        print(json.dumps(body if pruned is None else {**body, "judged": _judged(pruned)}, indent=1))
    else:
        _show(output, changes, report, pruned, is_written=is_written)
    if not is_written:
        assert report is not None
        complain(f"{output} was not written: {report.refusal()}")
    raise typer.Exit(DONE if is_written else FAILED)


def _judged(pruned: Pruned) -> dict[str, object]:
    before, after = pruned.judged
    return {"measure": pruned.measure, "before": before, "after": after, "samples": pruned.samples}


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


def _show(
    output: Path, changes: Sequence[Change], report: Report | None, pruned: Pruned | None, *, is_written: bool
) -> None:
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
    if pruned is not None:
        was, now = pruned.judged
        out.print(f"{pruned.measure} on {pruned.samples} samples held out: {was:.4f} before, {now:.4f} after")
    if report is not None:
        out.print(tables.judged(report))
    if is_written:
        out.print(f"wrote {output} ({'verified' if report is not None else 'not verified'})", markup=False)
