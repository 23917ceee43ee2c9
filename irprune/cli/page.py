"""``irprune report``: a pruned model on one page, and as numbers for the nodes of a graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from . import options as o
from .checks import checks_from, data_of
from .exits import FAILED, complain
from .outputs import require_distinct, require_writable, write_text

if TYPE_CHECKING:
    from ..bench.bench import Bench
    from ..plans import Plan
    from ..report.facts import Facts
    from .work import Outcome, Read


def report(
    original: o.Model,
    small: Annotated[Path, typer.Argument(metavar="SMALL", help="The smaller model.", show_default=False)],
    plan_file: Annotated[Path, typer.Option("--plan", metavar="PLAN", help="The plan that made it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PAGE", help="The page to write: one HTML file.")
    ] = None,
    node_data: Annotated[
        Path | None,
        typer.Option(
            "--node-data",
            metavar="FILE",
            help="Write the share that each node keeps, for Model Explorer; beside it its error and milliseconds.",
        ),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Measure the time of both models, and of their operators.")
    ] = False,
    threads: Annotated[int, typer.Option("--threads", metavar="N", help="The threads of an operator.")] = 1,
    inputs: o.InputsOfEach = None,
    labels: o.Labels = None,
    rtol: o.RTol = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Show no verdicts.", rich_help_panel="Verification")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="For the random inputs.")] = 0,
) -> None:
    """Show a pruned model on one page: costs, widths, errors, times, verdicts, the groups and what is frozen.

    The page is a single file that needs nothing else (report extra). Whether the model is right is checked anew.
    """
    source = data_of("--inputs", inputs, [original])
    checks = checks_from(no_verify=no_verify, inputs=source, labels=labels, rtol=rtol, seed=seed)
    if output is None and node_data is None:
        raise InputError("nothing to write: name a page with --output, or node data with --node-data")
    if output is not None:
        from ..report.page import require_pages

        require_pages()
    made = (output, *(node_files(node_data).values() if node_data is not None else ()))
    require_distinct(*made)
    for path in filter(None, made):
        require_writable(path, inputs=[original, small, plan_file])
    from ..plans import Plan
    from .artifacts import EXPORTED, require_readable
    from .work import examine, read

    plan = Plan.load(plan_file)
    if EXPORTED in (original.suffix, small.suffix):
        raise InputError("pages show ONNX models; export the program first (torch.onnx.export)")
    given = read(original, plan.request, runnable=checks.verify, plan=plan)
    require_readable(small)
    found = examine(given.artifact, small, plan, checks) if checks.verify else None
    bench = _measured(original, small, plan, threads) if profile else None
    if output is not None:
        from ..bench.bench import size_of
        from .facts import facts_of

        write_page(output, facts_of(given, small, plan, size_of(small), report=found, bench=bench))
    if node_data is not None:
        _write_node_data(given, plan, bench, node_data)
    if found is not None and not found.ok:
        complain(f"{small}: {found.refusal()}")
        raise typer.Exit(FAILED)


def page_of(output: Path, given: Read, small: Path, outcome: Outcome, bench: Bench | None) -> None:
    """The page of a model that was just made."""
    from .facts import facts_of

    plan, size = outcome.plan, outcome.size
    write_page(
        output, facts_of(given, small, plan, size, report=outcome.report, recovery=outcome.recovery, bench=bench)
    )


def write_page(output: Path, facts: Facts) -> None:
    """Write the page of a pruned model."""
    from ..report.page import page

    write_text(output, page(facts))
    print(f"wrote {output}")


def _measured(original: Path, small: Path, plan: Plan, threads: int) -> Bench:
    from ..bench.bench import Settings, bench
    from .progress import step

    return bench([original, small], Settings(threads=threads, profile=True), shapes=dict(plan.at), step=step)


def node_files(path: Path) -> dict[str, Path]:
    """The files of node data: the one that was named, and those beside it."""
    beside = {kind: path.with_name(f"{path.stem}-{kind}{path.suffix}") for kind in ("error", "ms")}
    return {"kept": path, **beside}


def _write_node_data(given: Read, plan: Plan, bench: Bench | None, path: Path) -> None:
    from ..report.nodes import node_data
    from .nodedata import error_by_node, kept_by_node, ms_by_node

    graph, files = given.analysis.graph, node_files(path)
    kinds = (
        ("kept", "kept share of weights", kept_by_node(graph, plan), True),
        ("error", "error of what is removed", error_by_node(graph, plan), False),
        ("ms", "milliseconds before", ms_by_node(graph, bench), False),
    )
    for kind, name, values, falling in kinds:
        if values or kind == "kept":
            write_text(files[kind], node_data(name, values, falling=falling))
            print(f"wrote {files[kind]}")
