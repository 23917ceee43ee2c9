"""``irprune sweep``: several targets of one model, and the trade-off between them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from ..options import options_of
from ..request import COSTS, TARGETS, Request
from ..versions import IRPRUNE
from . import options as o
from .exits import FAILED, complain, warn
from .outputs import require_writable, write_text
from .progress import step

if TYPE_CHECKING:
    from ..sweep.task import Task

BY = (*COSTS, "latency")
_SINGLE = (*TARGETS, "latency", "ratios", "drop", "keep_only", "ties")
"""Options of a request that the targets of a sweep stand for, or that are for several models."""

_SHARED = tuple(option.name for option in options_of(Request) if option.name not in _SINGLE)


@o.takes(Request, *_SHARED)
def sweep(
    model: o.Model,
    targets: Annotated[
        str, typer.Option("--targets", metavar="R,R,...", help="The shares to keep, one model for each.")
    ],
    folder: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="The folder for models, plans and results."),
    ],
    request: Request,
    by: Annotated[str, typer.Option("--by", metavar="|".join(BY), help="What the shares are of.")] = "macs",
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DATA", help="Unlabeled inputs to choose and repair on, as for prune."),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option("--inputs", metavar="DATA", help="Judge on these inputs instead of the part of --data held out."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE.npy", help="The right decisions for --inputs, else for --data."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="M", help="Train each model so long towards the original (torch extra)."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Processes that work at a time.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Hand the tasks to the Dask cluster there (dask extra)."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="PAGE", help="Write a page on the result as well (report extra).")
    ] = None,
    as_json: o.AsJSON = False,
) -> None:
    """Prune a model to several targets, and show what each is worth.

    Started again with the same folder, a sweep that was interrupted goes on: what is done is not done again.
    """
    shares = _shares(targets)
    if by not in BY:
        raise InputError(f"--by takes {', '.join(BY)}, got {by}")
    if workers < 1:
        raise InputError(f"--workers must be at least 1, got {workers}")
    if minutes is not None and not (minutes > 0 and data is not None):
        raise InputError(f"--minutes takes a number above 0 and trains on --data, got {minutes:g}")
    request.with_data(data is not None)  # which refuses what needs data
    if labels is not None and data is None and inputs is None:
        raise InputError("--labels needs the inputs that they belong to: give --data or --inputs")
    if html is not None:
        from ..report.page import require_pages

        require_pages()
        require_writable(html, inputs=[model])
    from ..sweep.folder import Folder, digest_of_data
    from ..sweep.task import Task
    from ..sweep.workers import run_tasks

    options = request.as_json()
    place = Folder(folder.resolve())
    named = {"data": data, "inputs": inputs, "labels": None if labels is None else str(labels)}
    with step("reading the model and the data"):
        _require_readable(data, inputs, labels)
        digests = {name: digest_of_data(given) for name, given in named.items() if given is not None}
        place.claim({**_identity(model), **digests, "options": options, "version": IRPRUNE})
    paths = {name: None if given is None else str(Path(given).resolve()) for name, given in named.items()}
    tasks = [
        Task(str(model.resolve()), str(place.path), by, share, options, **paths, minutes=minutes) for share in shares
    ]
    found = {task.name: done for task in tasks if (done := place.finished(task.name)) is not None}
    rest = [task for task in tasks if task.name not in found]

    def tell(task: Task, result: dict[str, Any]) -> None:
        found[task.name] = result
        if not as_json:
            print(f"{task.name}: {_said(result)}", flush=True)
        for text in result["warnings"]:
            warn(f"{task.name}: {text}")

    with step("pruning"):
        run_tasks(rest, tell, workers=workers, scheduler=scheduler)
    _finish(place.path, by, [found[task.name] for task in tasks], html, as_json=as_json)


def _shares(text: str) -> list[float]:
    """Shares as they are given, the largest first. Raises :class:`InputError` for anything else."""
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--targets takes shares with commas between them, such as 0.7,0.5, got '{text}'") from None
    if not all(0 < share < 1 for share in shares):
        raise InputError(f"--targets must lie between 0 and 1 (both excluded), got '{text}'")
    if len(set(shares)) < len(shares):
        raise InputError(f"--targets names each share once, got '{text}'")
    return sorted(shares, reverse=True)


def _require_readable(data: str | None, inputs: str | None, labels: Path | None) -> None:
    from ..runtime.data import open_source
    from ..runtime.labels import as_labels

    for given in (data, inputs):
        if given is not None:
            open_source(given)
    if labels is not None:
        as_labels(labels)


def _identity(model: Path) -> dict[str, Any]:
    """The digests of a model and of its weights.

    Raises :class:`InputError` for anything but an ONNX file, and for one that does not run.
    """
    from .artifacts import EXPORTED, open_artifact

    if model.suffix == EXPORTED:
        raise InputError(f"{model}: a sweep is for ONNX models; export the program first (torch.onnx.export)")
    artifact = open_artifact(model)
    artifact.require_runnable()
    identity = artifact.identity
    return {"model": identity.sha256, **({"weights": identity.data} if identity.data else {})}


def _said(result: dict[str, Any]) -> str:
    if not result["ok"]:
        return str(result["error"])
    parts = [f"{name} {after / max(before, 1):.1%}" for name, (before, after) in result["cost"].items() if before]
    if result["latency"] is not None:
        parts.append(f"{result['latency']['measured']:.2f} ms")
    if result["agreement"] is not None:
        parts.append(f"{result['agreement']:.1%} of the decisions agree")
    if result["accuracy"] is not None:
        parts.append("accuracy {:.2%} -> {:.2%}".format(*result["accuracy"]))
    return ", ".join(parts)


def _finish(folder: Path, by: str, found: Sequence[dict[str, Any]], html: Path | None, *, as_json: bool) -> None:
    """Write the table and the picture, and print the table; exit with 1 where a target was not met."""
    from ..report.pictures import tradeoff
    from ..sweep.results import COLUMNS, as_csv, row_of, tradeoff_of
    from . import report
    from .invocation import command

    rows = [row_of(item) for item in found]
    points, axes = tradeoff_of(found, by)
    write_text(folder / "sweep.csv", as_csv(rows))
    if points:
        write_text(folder / "tradeoff.svg", tradeoff(points, *axes, alone=True))
    cells = [[_cell(name, row[name]) for name in COLUMNS] for row in rows]
    if html is not None:
        from ..report.page import sweep_page

        write_text(html, sweep_page(f"Sweep of {folder.name}", command(), COLUMNS, cells, points, axes))
    if as_json:
        print(json.dumps({"format": "irprune.sweep.result/1", "folder": str(folder), "models": rows}, indent=1))
    else:
        from rich.markup import escape

        shown = [[escape(cell) for cell in row] for row in cells]
        report.console().print(report.table("", COLUMNS, shown, right=range(1, len(COLUMNS) - 1)))
        print(f"wrote {folder}")
    missed = [f"{item['by']} {item['target']:g}: {item['error']}" for item in found if not item["ok"]]
    if missed:
        complain(missed[0] + (f" (and {len(missed) - 1} more)" if len(missed) > 1 else ""))
        raise typer.Exit(FAILED)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in ("agreement", "accuracy"):
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
