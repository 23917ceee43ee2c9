"""``irprune compact``: remove what makes no difference, verify against the original itself, write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..request import Request
from . import options as o
from .artifacts import EXPORTED, OnnxFile
from .checks import checks_from, data_of
from .ensembles import compact_ensembles

RangeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--range",
        metavar="NAME=LO,HI",
        help="The least and the greatest number that an input holds; may be repeated. Any, by default.",
    ),
]


@o.takes(Request, "shapes", "sizes", "seed")
def compact(
    model: o.Model,
    output: o.Output,
    request: Request,
    ranges: RangeOption = None,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Write the plan there as well.")
    ] = None,
    inputs: o.InputsOfEach = None,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
    as_json: o.AsJSON = False,
) -> None:
    """Remove what makes no difference: the outputs stay what they were.

    These are channels that are zero or constant for every input; of tree ensembles branches that no input reaches, and
    splits between equal leaves. The smaller model is compared with the original itself. Where there is nothing to
    remove, nothing is written (exit code 1).
    """
    bounds = dict(map(_range, ranges or ()))
    if _has_ensembles(model):
        if bounds or inputs or rtol is not None:
            raise InputError(f"{model}: it holds tree ensembles, which take no --range, --inputs or --rtol")
        compact_ensembles(model, output, plan_file, seed=request.seed, no_verify=no_verify, as_json=as_json)
    checks = checks_from(no_verify=no_verify, inputs=data_of("--inputs", inputs, [model]), rtol=rtol, seed=request.seed)
    from ..compaction import compacted
    from .progress import step
    from .prune import finish
    from .work import carry_out, read

    given = read(model, request, outputs=[output, plan_file], runnable=checks.verify)
    if not isinstance(given.artifact, OnnxFile):
        raise InputError(f"{model}: compact reads ONNX models; export the program first (torch.onnx.export)")
    with step("finding what is constant"):
        smaller = compacted(given.analysis, request, bounds).of(given.artifact.identity)
    finish(given, output, carry_out(given, smaller, output, checks, plan_file), as_json=as_json)


def _has_ensembles(model: Path) -> bool:
    from ..frontends.files import load
    from ..trees.compact import ensembles

    return model.suffix != EXPORTED and bool(ensembles(load(model)))


def _range(text: str) -> tuple[str, tuple[float, float]]:
    """Raises :class:`InputError` for what is no range."""
    name, _, ends = text.rpartition("=")
    try:
        low, high = map(float, ends.split(","))
    except ValueError:
        raise InputError(f"--range: expected NAME=LO,HI, such as image=0,1, got '{text}'") from None
    if not name or not -float("inf") < low <= high < float("inf"):
        raise InputError(f"--range: expected NAME=LO,HI with LO at most HI, both finite, got '{text}'")
    return name, (low, high)
