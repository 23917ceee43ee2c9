"""``irprune compare``: any two models on the same inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from . import options as o
from .checks import checks_from
from .exits import FAILED, complain
from .progress import step

if TYPE_CHECKING:
    from ..verification.compare import Compared


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An ONNX model.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="The ONNX model to compare it with.", show_default=False)],
    inputs: o.Inputs = None,
    rtol: o.RTol = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="For the random inputs.")] = 0,
    as_json: o.AsJSON = False,
) -> None:
    """Compare the outputs of any two models on the same inputs; names the first tensor that differs."""
    checks = checks_from(inputs=inputs, rtol=rtol)
    from ..frontends.files import load
    from ..verification.compare import compare_models

    with step("reading the models"):
        for path in (first, second):
            if path.suffix == ".pt2":
                raise InputError(f"{path}: models are compared on ONNX Runtime; export the program to ONNX first")
            load(path)  # which says what is wrong with a file
    with step("running both models"):
        found = compare_models(first, second, inputs=checks.inputs, rtol=rtol, seed=seed)
    if as_json:
        print(json.dumps({"models": [str(first), str(second)], **found.as_json()}, indent=1))
    else:
        _show(found)
    if not found.ok:
        complain(f"{second} differs from {first}: {'; '.join(found.failures())}")
        raise typer.Exit(FAILED)


def _show(found: Compared) -> None:
    from rich.markup import escape

    from . import report

    rows = [
        (escape(output.name), output.dtype, f"{output.error:.1e}", f"{output.tolerance:.0e}", escape(output.case))
        for output in found.outputs
    ]
    columns = ("output", "type", "error", "allowed", "worst in")
    out = report.console()
    out.print(report.table("Outputs", columns, rows, right=(2, 3)))
    verdict = "equal within the tolerance" if found.ok else "different"
    runs = report.count(len(found.cases), "run")
    out.print(f"{verdict}; {runs}, {report.count(found.shared, 'tensor')} of one name", markup=False)
    for note in found.notes:
        out.print(note, markup=False)
