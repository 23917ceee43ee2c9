"""``irprune bench``: how fast models run, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..request import Request
from . import options as o
from .progress import step

if TYPE_CHECKING:
    from rich.table import Table

    from ..bench.bench import Bench, Measured

_MEGA = 1e6


@o.takes(Request, "shapes", "sizes")
def bench(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="ONNX models.", show_default=False)],
    runtime: Annotated[
        str, typer.Option("--runtime", metavar="onnxruntime|openvino", help="What runs them.")
    ] = "onnxruntime",
    provider: Annotated[
        str, typer.Option("--provider", metavar="NAME", help="The execution provider, such as cpu or cuda.")
    ] = "cpu",
    threads: Annotated[int, typer.Option("--threads", metavar="N", help="The threads of an operator.")] = 1,
    runs: Annotated[int, typer.Option("--runs", metavar="N", help="Runs of each model that are measured.")] = 50,
    warm_up: Annotated[int, typer.Option("--warm-up", metavar="N", help="Runs before these.")] = 5,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also show the operators that take the time, and layout changes.")
    ] = False,
    as_json: o.AsJSON = False,
    *,
    request: Request,
) -> None:
    """Measure latency, peak memory and size of models, which take turns; all are compared with the first."""
    from ..bench.bench import Settings
    from ..bench.bench import bench as measured
    from ..frontends.files import load

    settings = Settings(runtime, provider, threads, runs, warm_up, profile=profile).require_valid()
    for path in models:
        if path.suffix == ".pt2":
            raise InputError(f"{path}: models are measured as ONNX files; export the program first")
        load(path)  # which says what is wrong with a file
    found = measured(models, settings, shapes=request.shapes, sizes=request.sizes, step=step)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        show(found)


def show(found: Bench) -> None:
    """Print the figures as tables."""
    from . import report

    out = report.console()
    out.print(latencies(found))
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in found.shapes.items())
    settings = found.settings
    where = f"{found.described['runtime']} {found.described['version']}, {found.described['provider']}"
    out.print(
        f"median and quartiles of {report.count(settings.runs, 'run')} in turns, "
        f"{report.count(settings.threads, 'thread')}; {where}; {shapes}",
        markup=False,
    )
    for model in found.models:
        if model.profile is not None:
            _show_profile(model, found.models[0])


def latencies(found: Bench) -> Table:
    """A row for each model."""
    from rich.markup import escape

    from . import report

    rows = []
    for model in found.models:
        times, against = model.latency, model.ratio
        rows.append(
            (
                escape(model.path.name),
                f"{times.median:.2f}",
                f"{times.low:.2f} to {times.high:.2f}",
                "" if against is None else f"{against.value:.2f} ({against.low:.2f} to {against.high:.2f})",
                "-" if model.peak is None else f"{model.peak / _MEGA:.0f}",
                f"{model.bytes / _MEGA:.1f}",
            )
        )
    columns = ("model", "ms", "quartiles", "times as fast (95 %)", "peak MB", "MB")
    return report.table("Measured", columns, rows, right=(1, 2, 3, 4, 5))


def _show_profile(model: Measured, first: Measured) -> None:
    from rich.markup import escape

    from ..bench.profile import widest
    from . import report

    assert model.profile is not None
    found, out = model.profile, report.console()
    rows = [
        (escape(share.name), str(share.nodes), f"{share.ms:.2f}", f"{share.ms / max(found.ms, 1e-9):.0%}")
        for share in widest(found.operators)
    ]
    out.print(report.table(f"{model.path.name} by operator", ("operator", "nodes", "ms", ""), rows, right=(1, 2, 3)))
    slowest = [(escape(share.name), f"{share.ms:.2f}") for share in found.slowest]
    out.print(report.table("", ("node", "ms"), slowest, right=(1,)))
    out.print(f"layout reorders: {found.reorders.nodes}, {found.reorders.ms:.2f} ms")
    if found.blocked:
        total = len(found.blocked) + len(found.plain)
        out.print(f"convolutions in the blocked layout: {len(found.blocked)} of {total}")
    lost = found.lost(first.profile) if first.profile is not None and model is not first else []
    if lost:
        out.print(f"lost it: {', '.join(lost)}", markup=False)
