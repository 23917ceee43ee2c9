"""``irprune inspect``: what could be pruned, what is frozen, and why."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..reasons import Kind, condensed
from ..request import READING, Request
from . import options as o

if TYPE_CHECKING:
    from ..analysis import Analysis, Group
    from ..analysis.states import State
    from .work import Read

INSPECTION_FORMAT = "irprune.inspection/1"


@o.takes(Request, *READING)
def inspect(
    model: o.Model,
    request: Request,
    everything: Annotated[bool, typer.Option("--all", help="List every frozen group with all of its reasons.")] = False,
    as_json: o.AsJSON = False,
) -> None:
    """List the groups that can be pruned, and what is frozen, with the reason in words."""
    from .work import read

    given = read(model, request)
    _require_matches(given, request.allow_io)
    if as_json:
        print(json.dumps(_document(given), indent=1))
    else:
        _show(given, everything)


def _require_matches(given: Read, allow_io: tuple[str, ...]) -> None:
    from ..plans.planner import require_io

    require_io(given.analysis, allow_io)


def unsupported(given: Read) -> Counter[str]:
    """Operators of the graph without a signature, and how often they occur."""
    operators = {node.name: node.qualified_op for node in given.analysis.graph.nodes}
    refused = given.analysis.coupling.refused
    return Counter(operators[name] for name, reason in refused.items() if reason.kind is Kind.NO_SIGNATURE)


def _document(given: Read) -> dict[str, Any]:
    analysis = given.analysis
    cost = analysis.cost_model({})
    return {
        "format": INSPECTION_FORMAT,
        "model": {"path": str(given.path), **given.source.identity.as_json()},
        "nodes": len(analysis.graph.nodes),
        "cost": {"params": cost.params, "macs": cost.macs, "bytes": cost.bytes, "tables": cost.tables},
        "at": {name: list(shape) for name, shape in analysis.at.items()},
        "counted_as_one": sorted(analysis.cost_model.unknown),
        "counted_per_iteration": list(analysis.coupling.iterations.unknown),
        "groups": [_group(group) for group in analysis.groups if not group.frozen],
        "frozen": [{**_group(group), **_reasons(group)} for group in analysis.groups if group.frozen],
        "unsupported": dict(unsupported(given)),
        "refused": list(map(str, analysis.coupling.refused.values())),
        "observed": list(analysis.graph.observed),
        "states": [list(state) for state in analysis.coupling.states],
        "possible_states": [list(state) for state in possible_states(analysis)],
    }


def possible_states(analysis: Analysis) -> list[State]:
    """Inputs and outputs that are states by their names and shapes, and that nobody declared."""
    from ..analysis.states import found_states

    graph = analysis.graph
    known = {name for state in analysis.coupling.states for name in state}
    inputs, outputs = ([name for name in names if name not in known] for names in (graph.inputs, graph.outputs))
    return found_states(graph, inputs, outputs)


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "kind": group.kind,
        "atoms": group.size,
        "members": [f"{member.tensor}:{member.axis}" for member in group.members],
        "exact": group.exact,
    }


def _reasons(group: Group) -> dict[str, Any]:
    """The reasons in words, and taken apart for programs."""
    causes = [{"op": r.op, "node": r.node, "why": r.why, "kind": r.kind.value} for r in group.reasons]
    return {"reasons": list(map(str, group.reasons)), "causes": causes}


def _show(given: Read, everything: bool) -> None:
    from rich.markup import escape

    from . import report
    from .reasons import summarize

    out = report.console()
    analysis = given.analysis
    cost = analysis.cost_model({})
    free = [group for group in analysis.groups if not group.frozen]
    frozen = [group for group in analysis.groups if group.frozen]
    tables = f" and {report.number(cost.tables)} numbers in tables" if cost.tables else ""
    totals = (
        f"{len(analysis.graph.nodes)} operators, {report.number(cost.params)} parameters{tables} "
        f"({report.size(cost.bytes)}), {report.number(cost.macs)} multiply-accumulates"
    )
    sizes = report.sizes_of_costs(analysis)
    out.print(f"{given.path.name}: {totals}{f' ({sizes})' if sizes else ''}", markup=False)
    rows = [
        (escape(g.name), g.kind, str(g.size), report.members(g), "yes" if g.exact else "no, normalized") for g in free
    ]
    title = f"{report.count(len(free), 'group')} can be pruned"
    out.print(report.table(title, ("group", "kind", "atoms", "in", "exact"), rows, right=(2,)))
    if everything:
        listed = [(escape(g.name), escape(condensed(g.reasons) or "none of its elements may go")) for g in frozen]
        title = f"{report.count(len(frozen), 'group')} frozen"
        out.print(report.table(title, ("group", "because"), listed))
    elif frozen:
        out.print(report.frozen(summarize(frozen)))
    for before, after in analysis.coupling.states:
        out.print(f"state: '{after}' becomes '{before}'", markup=False)
    if found := possible_states(analysis):
        spelled = " ".join(f"--state {before}={after}" for before, after in found)
        out.print(f"by their names these are states, which may be pruned if you say so: {spelled}", markup=False)
    if analysis.graph.observed:
        from ..verification.observed import note

        out.print(note(analysis.graph), markup=False)
    missing = unsupported(given)
    if missing:
        operators = [(escape(name), str(times)) for name, times in missing.most_common()]
        out.print(report.table("Operators without a signature", ("operator", "nodes"), operators, right=(1,)))
