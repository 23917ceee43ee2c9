"""The report of ``prune`` and ``apply``: as tables, and as one JSON document."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .reasons import Frozen, summarize

if TYPE_CHECKING:
    from rich.console import Console

    from ..analysis import Analysis
    from ..plans import Plan
    from ..torch.distill import Tuned
    from .work import Outcome, Read

RESULT_FORMAT = "irprune.result/1"


def left_alone(analysis: Analysis, plan: Plan) -> list[Frozen]:
    """Groups that stay as they are: the frozen ones by reason, then those that the plan does not touch."""
    touched = {group.name for group in plan.groups}
    idle = [group for group in analysis.groups if not group.frozen and group.name not in touched]
    found = summarize(group for group in analysis.groups if group.frozen)
    if idle:
        found.insert(0, Frozen("the request left them whole", len(idle), idle[0].name))
    return found


def as_document(given: Read, output: Path, outcome: Outcome) -> dict[str, Any]:
    """The result as plain JSON values; slices are in the plan file alone."""
    from ..plans.aligned import unaligned

    plan = outcome.plan
    body = plan.as_json()
    return {
        "format": RESULT_FORMAT,
        "ok": outcome.ok,
        "verified": outcome.report is not None,
        "model": {"path": str(given.path), **body["model"]},
        "output": {"path": str(output), "bytes": outcome.size} if outcome.written else None,
        "request": body["request"],
        "cost": body["cost"],
        "groups": body["groups"],
        "unaligned": [item.as_json() for item in unaligned(given.analysis, plan)],
        "frozen": [item.as_json() for item in left_alone(given.analysis, outcome.plan)],
        "recovery": None if outcome.recovery is None else asdict(outcome.recovery),
        "verification": body["verification"],
        "missed": [] if outcome.report is None else list(outcome.report.missed),
    }


def show(given: Read, output: Path, outcome: Outcome, tuned: Tuned | None = None) -> None:
    """Print the result as tables."""
    from . import report

    out = report.console()
    tables(out, given, outcome)
    if tuned is not None:
        from .training import show_effect

        show_effect(out, tuned)
    if outcome.written:
        kind = "verified" if outcome.report is not None else "not verified"
        out.print(f"wrote {output} ({kind})", markup=False)


def tables(out: Console, given: Read, outcome: Outcome) -> None:
    """Costs, groups, what stays, and the verdicts."""
    from ..plans.aligned import unaligned
    from . import report

    plan = outcome.plan
    files = (sum(part.stat().st_size for part in given.artifact.files()), outcome.size)
    removed = {group.name: len(group.removed) for group in plan.groups}
    out.print(report.costs(given.analysis, plan.cost_before, plan.cost_after, files))
    if plan.dropped:
        out.print(report.dropped(plan))
    else:
        out.print(report.pruned_groups(given.analysis, removed))
    if unread := report.unread(given.analysis, removed):
        out.print(unread, markup=False)
    if odd := unaligned(given.analysis, plan):
        out.print(report.unaligned(odd))
    idle = [] if plan.dropped else left_alone(given.analysis, plan)
    if idle:
        out.print(report.frozen(idle))
    if outcome.recovery is not None:
        out.print(report.recovered(outcome.recovery))
    if outcome.report is not None:
        out.print(report.judged(outcome.report))
