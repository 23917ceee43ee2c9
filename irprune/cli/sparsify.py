"""``irprune sparsify``: zeros inside of weights."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..verification.floors import NO_FLOORS, Floors
from ..zeros import Sparsity
from . import options as o
from .checks import checks_from
from .exits import DONE, FAILED, complain, warn
from .progress import step

if TYPE_CHECKING:
    from ..sparsity.sparsify import Sparse
    from .work import Outcome

_BLOCK = 1 << 22
_SHOWN = 8
_NOTE = (
    "Zeros make the file smaller once it is compressed. They make it faster only where a runtime has kernels for the "
    "pattern (TensorRT for 2:4, OpenVINO with AMX); ONNX Runtime has none."
)


@o.takes(Floors)
@o.takes(Sparsity)
def sparsify(
    model: o.Model,
    output: o.Output,
    options: Sparsity,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="Unlabeled inputs to choose and adjust on: .npz, .npy, a folder, or FILE.py:FUNCTION.",
            rich_help_panel="What may go",
        ),
    ] = None,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Write the plan there as well.")
    ] = None,
    inputs: o.Inputs = None,
    labels: o.Labels = None,
    rtol: o.RTol = None,
    no_verify: o.NoVerify = False,
    floors: Floors = NO_FLOORS,
    as_json: o.AsJSON = False,
) -> None:
    """Make weights zero, single ones or in a pattern such as 2:4; all shapes stay as they are."""
    from ..runtime.files import open_file

    options = options.with_data(data is not None)
    source = None if data is None else open_file(data)
    checks = checks_from(floors, no_verify=no_verify, inputs=inputs, labels=labels, rtol=rtol, seed=options.seed)
    from ..request import Request
    from ..runtime.data import open_data
    from ..sparse import sparsified
    from .artifacts import OnnxFile
    from .work import carry_out, read

    given = read(
        model,
        Request(seed=options.seed),
        outputs=[output, plan_file],
        runnable=checks.verify or source is not None,
    )
    if not isinstance(given.artifact, OnnxFile):
        raise InputError(f"{model}: sparsify takes ONNX models; export the program first (torch.onnx.export)")
    with step("choosing zeros"):
        smaller, sparse, recovery, samples = sparsified(given.artifact.opened, given.analysis, options, source)
    for text in recovery.cautions() if recovery else ():
        warn(text)
    if checks.verify and checks.inputs is None and samples is not None and source is not None:
        held_out = open_data(samples.held_out, samples.inputs, f"{source.origin}, held out").source
        checks = replace(checks, inputs=held_out)
    outcome = carry_out(given, smaller.of(given.artifact.identity), output, checks, plan_file)
    outcome = replace(outcome, recovery=recovery)
    with step("compressing both files"):
        packed = (_compressed(given.artifact.files()), _compressed([output] if outcome.written else []))
    (_print_json if as_json else _show)(output, outcome, sparse, packed)
    if not outcome.ok:
        complain(f"{output} was not written: {outcome.refusal()}")
    raise typer.Exit(DONE if outcome.ok else FAILED)


def _compressed(files: Sequence[Path]) -> int:
    """The bytes of files when they are compressed with DEFLATE, as in a zip or a wheel."""
    total = 0
    for path in files:
        packer = zlib.compressobj()
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                total += len(packer.compress(block))
        total += len(packer.flush())
    return total


def _print_json(output: Path, outcome: Outcome, sparse: Sparse, packed: tuple[int, int]) -> None:
    document = {
        "format": "irprune.sparse/1",
        "ok": outcome.ok,
        "output": {"path": str(output), "bytes": outcome.size} if outcome.written else None,
        "zeros": sparse.share,
        "weights": [asdict(weight) for weight in sparse.weights],
        "skipped": [asdict(item) for item in sparse.skipped],
        "compressed": {"before": packed[0], "after": packed[1] if outcome.written else None},
        "recovery": None if outcome.recovery is None else asdict(outcome.recovery),
        "verification": None if outcome.report is None else outcome.report.as_json(),
    }
    print(json.dumps(document, indent=1))


def _show(output: Path, outcome: Outcome, sparse: Sparse, packed: tuple[int, int]) -> None:
    from rich.markup import escape

    from . import report

    out = report.console()
    largest = sorted(sparse.weights, key=lambda weight: -weight.size)[:_SHOWN]
    rows = [
        (escape(weight.tensor), report.number(weight.size), f"{weight.zeros / weight.size:.1%}", weight.method)
        for weight in largest
    ]
    rows.append(
        (
            f"all {len(sparse.weights)} weights",
            report.number(sum(weight.size for weight in sparse.weights)),
            f"{sparse.share:.1%}",
            "",
        )
    )
    out.print(
        report.table("Zeros, the largest weights", ("weight", "elements", "zeros", "chosen by"), rows, right=(1, 2))
    )
    if sparse.skipped:
        left = [(escape(item.tensor), item.why) for item in sparse.skipped[:_SHOWN]]
        out.print(report.table(f"Left as they are: {len(sparse.skipped)}", ("weight", "because"), left))
    if outcome.recovery is not None:
        out.print(report.recovered(outcome.recovery, "zeros alone", "the others adjusted"))
    if outcome.report is not None:
        out.print(report.judged(outcome.report))
    if outcome.written:
        out.print(f"compressed: {report.size(packed[0])} -> {report.size(packed[1])}. {_NOTE}", markup=False)
        kind = "verified" if outcome.report is not None else "not verified"
        out.print(f"wrote {output} ({kind})", markup=False)
