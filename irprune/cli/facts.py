"""What a page shows of a pruned model, gathered from the plan, the analysis of the original and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..options import options_of
from ..report.facts import Cost, CurveFact, Facts, GroupFact, Judged, Left, Operator
from ..report.words import share, spell
from ..request import Request, spelled
from .invocation import command

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..bench.bench import Bench
    from ..bench.profile import Profile
    from ..plans import Plan
    from ..repair.recover import Recovery
    from ..verification import Report
    from .work import Read

_OPERATORS = 12
"""Types of operators that are drawn, the slowest."""


def facts_of(
    given: Read,
    small: Path,
    plan: Plan,
    size: int,
    *,
    report: Report | None = None,
    recovery: Recovery | None = None,
    bench: Bench | None = None,
) -> Facts:
    """The facts of a model ``small`` of ``size`` bytes that a plan made of the analyzed one."""
    from .summary import left_alone

    files = sum(part.stat().st_size for part in given.artifact.files())
    return Facts(
        original=given.path.name,
        small=small.name,
        command=command(),
        costs=(*_costs(plan, (files, size)), *_latency(bench)),
        groups=tuple(_groups(given.analysis, plan)),
        settings=tuple(_settings(plan.request)),
        notes=tuple(_notes(given, plan)),
        curves=tuple(_curves(plan)),
        operators=tuple(_operators(bench)),
        timing=tuple(_timing(bench)),
        verdicts=_verdicts(report),
        inputs=report.equivalence.cases if report is not None else (),
        repaired=_repaired(recovery),
        left=tuple(
            Left(item.count, item.why + (f" (as at '{item.example}')" if item.example else ""))
            for item in left_alone(given.analysis, plan)
        ),
        identity=tuple(_identity(plan)),
    )


def _costs(plan: Plan, files: tuple[int, int]) -> Iterator[Cost]:
    before, after = plan.cost_before, plan.cost_after
    yield Cost("parameters", before.params, after.params)
    if before.tables:
        yield Cost("numbers in tables", before.tables, after.tables)
    yield Cost("multiply-accumulates", before.macs, after.macs)
    yield Cost("bytes of weights", before.bytes, after.bytes, "B")
    yield Cost("bytes of the file", *files, "B")


def _latency(bench: Bench | None) -> Iterator[Cost]:
    if bench is not None:
        first, second = bench.models
        yield Cost("time of a run", first.latency.median, second.latency.median, "ms")
        if first.peak is not None and second.peak is not None:
            yield Cost("peak memory", first.peak, second.peak, "B")


def _notes(given: Read, plan: Plan) -> Iterator[str]:
    from ..plans.aligned import unaligned
    from . import report

    if sizes := report.sizes_of_costs(given.analysis):
        yield f"Multiply-accumulates {sizes}."
    odd = unaligned(given.analysis, plan)
    for item in odd[: report.LARGEST]:
        yield f"{item.group} keeps {item.kept} of {item.size}, no multiple of {item.multiple}: {item.why}."
    if len(odd) > report.LARGEST:
        yield f"{len(odd) - report.LARGEST} more groups are off their multiples."


def _groups(analysis: Analysis, plan: Plan) -> Iterator[GroupFact]:
    removed = {group.name: len(group.removed) for group in plan.groups}
    for group in analysis.groups:
        if group.frozen:
            continue
        members = tuple(f"{member.tensor}:{member.axis}" for member in group.members)
        kept = group.size - removed.get(group.name, 0)
        yield GroupFact(group.name, group.kind, group.size, kept, members, group.exact)


def _curves(plan: Plan) -> Iterator[CurveFact]:
    groups = {group.name: group for group in plan.groups}
    for name, found in plan.curves.items():
        group = groups.get(name)
        if group is not None and len(found.removed) > 1:
            yield CurveFact(name, group.size, found.removed, found.error, len(group.removed))


def _settings(request: Request) -> Iterator[tuple[str, str]]:
    said = request.as_json()
    for option in options_of(Request):
        if option.name in said:
            value = said[option.name]
            text = ", ".join(spelled(value)) if isinstance(value, dict) else _plain(value)
            yield (option.flag if option.flag.startswith("--") else option.name), text


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _identity(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "original, SHA-256", plan.sha256
    yield "plan, SHA-256", plan.digest
    yield from plan.versions.items()


def _verdicts(report: Report | None) -> tuple[Judged, ...]:
    if report is None:
        return ()
    from ..verification.verdicts import verdicts

    return tuple(Judged(verdict.name, verdict.ok, verdict.lines) for verdict in verdicts(report))


def _repaired(recovery: Recovery | None) -> tuple[tuple[str, str, str], ...]:
    if recovery is None:
        return ()
    rows = (
        ("removed, weights as they were", recovery.error_sliced, recovery.agreement_sliced),
        ("weights refitted", recovery.error, recovery.agreement),
    )
    return tuple((name, share(error, 1), "–" if same is None else share(same, 1)) for name, error, same in rows)


# -- time --------------------------------------------------------------------------------------------------------------


def _profiles(bench: Bench | None) -> tuple[Profile, Profile] | None:
    found = [model.profile for model in bench.models] if bench is not None else []
    return (found[0], found[1]) if len(found) == 2 and found[0] is not None and found[1] is not None else None


def _operators(bench: Bench | None) -> list[Operator]:
    both = _profiles(bench)
    if both is None:
        return []
    before, after = ({part.name: part.ms for part in profile.operators} for profile in both)
    names = sorted(before.keys() | after.keys(), key=lambda name: (-before.get(name, 0) - after.get(name, 0), name))
    listed = [Operator(name, before.get(name, 0.0), after.get(name, 0.0)) for name in names[:_OPERATORS]]
    rest = names[_OPERATORS:]
    old, new = (sum(times.get(name, 0.0) for name in rest) for times in (before, after))
    return [*listed, Operator(f"{len(rest)} others", old, new)] if rest else listed


def _timing(bench: Bench | None) -> Iterator[str]:
    if bench is None:
        return
    ratio, said = bench.models[1].ratio, bench.described
    where = f"{said['runtime']} {said['version']}, {said['provider']}, threads: {bench.settings.threads}"
    if ratio is not None:
        yield f"{ratio.value:.2f} times as fast ({ratio.low:.2f} to {ratio.high:.2f}, 95 %) on {where}."
    if (both := _profiles(bench)) is None:
        return
    old, new = (f"{profile.reorders.nodes} ({spell(profile.reorders.ms, 'ms')})" for profile in both)
    yield f"Nodes that only change the layout: {old} before, {new} after."
    if lost := both[1].lost(both[0]):
        yield f"Convolutions that lost the blocked layout: {_first(lost)}."


def _first(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
