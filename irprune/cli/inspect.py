"""``irprune inspect``: what could be pruned, what is frozen, and why."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ..errors import InputError
from ..reasons import Kind, condensed
from ..request import FROM_DATA, READING, Request
from . import options as o
from .checks import data_of
from .progress import step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from ..analysis import Analysis, Group
    from ..analysis.states import State
    from ..runtime.feeds import DataSource
    from .work import Read

INSPECTION_FORMAT = "irprune.inspection/1"
SHARES = (0.25, 0.5, 0.75)
"""Of a group's atoms, removed in the order of their errors."""

Curves: TypeAlias = "Mapping[str, tuple[float | None, ...]]"
"""By group, the error after each of the shares; ``None`` where the data say nothing."""


@o.takes(Request, *READING, "criterion", "data_memory", "seed")
def inspect(
    model: o.Model,
    request: Request,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="Unlabeled inputs: lists what the removal of parts of each group costs on them.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List every frozen group with all of its reasons.")] = False,
    as_json: o.AsJSON = False,
) -> None:
    """List the groups that can be pruned, and what is frozen, with the reason in words."""
    from .work import read

    source = None if data is None else data_of("--data", [str(data)], [model])
    if source is None and request.criterion is not None:
        raise InputError("--criterion ranks channels, and inspect lists what they cost on data alone; give --data")
    if source is not None and request.criterion not in (None, *FROM_DATA):
        raise InputError(f"criterion '{request.criterion}' measures nothing on data; {', '.join(FROM_DATA)} do")
    given = read(model, request, runnable=source is not None)
    _require_matches(given, request.allow_io)
    curves = None if source is None else _curves(given, request, source)
    if as_json:
        print(json.dumps(_document(given, curves), indent=1))
    else:
        _show(given, everything, curves)


def _curves(given: Read, request: Request, data: DataSource) -> Curves:
    """The errors of groups that could be pruned: summed over their cheapest atoms."""
    import numpy as np

    from ..api import measured_errors
    from .artifacts import OnnxFile

    if not isinstance(given.artifact, OnnxFile):
        raise InputError(f"{given.path}: --data is for ONNX models; export the program first (torch.onnx.export)")
    with step("measuring on data"):
        errors = measured_errors(given.artifact.opened, given.analysis, request, data)
    found: dict[str, tuple[float | None, ...]] = {}
    for group in given.analysis.groups:
        if group.frozen:
            continue
        after = np.cumsum(np.sort(errors[group.atoms]))
        counts = [int(share * group.size) for share in SHARES]
        totals = [float(after[count - 1]) if count else 0.0 for count in counts]
        found[group.name] = tuple(float(f"{total:.6g}") if np.isfinite(total) else None for total in totals)
    return found


def _require_matches(given: Read, allow_io: tuple[str, ...]) -> None:
    from ..plans.planner import require_io

    require_io(given.analysis, allow_io)


def unsupported(given: Read) -> Counter[str]:
    """Operators of the graph without a signature, and how often they occur."""
    operators = {node.name: node.qualified_op for node in given.analysis.graph.nodes}
    refused = given.analysis.coupling.refused
    return Counter(operators[name] for name, reason in refused.items() if reason.kind is Kind.NO_SIGNATURE)


def _document(given: Read, curves: Curves | None) -> dict[str, Any]:
    analysis = given.analysis
    cost = analysis.cost_model({})
    return {
        "format": INSPECTION_FORMAT,
        "model": {"path": str(given.path), **given.artifact.identity.as_json()},
        "nodes": len(analysis.graph.nodes),
        "cost": {"params": cost.params, "macs": cost.macs, "bytes": cost.bytes, "tables": cost.tables},
        "at": {name: list(shape) for name, shape in analysis.at.items()},
        "counted_as_one": sorted(analysis.cost_model.unknown),
        "counted_per_iteration": list(analysis.coupling.iterations.unknown),
        "groups": [{**_group(group), **_errors(group, curves)} for group in analysis.groups if not group.frozen],
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


def _errors(group: Group, curves: Curves | None) -> dict[str, Any]:
    if curves is None:
        return {}
    return {"errors": {f"{share:g}": error for share, error in zip(SHARES, curves[group.name], strict=True)}}


def _reasons(group: Group) -> dict[str, Any]:
    """The reasons in words, and taken apart for programs."""
    causes = [{"op": r.op, "node": r.node, "why": r.why, "kind": r.kind.value} for r in group.reasons]
    return {"reasons": list(map(str, group.reasons)), "causes": causes}


def _costs_on_data(curves: Curves) -> Table:
    from rich.markup import escape

    from . import report

    columns = ("group", *(f"{share:.0%} removed" for share in SHARES))
    spelled = {
        name: ["not measured" if error is None else f"{error:.2g}" for error in errors]
        for name, errors in curves.items()
    }
    rows = [(escape(name), *errors) for name, errors in spelled.items()]
    return report.table("Error on the data, as a share of the variance", columns, rows, right=(1, 2, 3))


def _show(given: Read, everything: bool, curves: Curves | None) -> None:
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
    if curves is not None:
        out.print(_costs_on_data(curves))
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
