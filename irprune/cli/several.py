"""``irprune prune`` with several models: they are pruned as one and written into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .artifacts import EXPORTED
from .checks import Checks, require_runnable
from .outputs import require_distinct, require_writable, write_text
from .progress import step

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..plans import ModelIdentity
    from ..request import Request
    from ..rewriting import Smaller
    from ..several import Together
    from .work import Outcome


@dataclass(frozen=True)
class Files:
    """What plans and summaries ask of the source of a model."""

    paths: Sequence[Path]
    identity: ModelIdentity

    def files(self) -> list[Path]:
        return list(self.paths)


@dataclass(frozen=True)
class ReadTogether:
    """Models that were read as one and analyzed; takes the place of a single model in summaries."""

    path: Path
    source: Files
    analysis: Analysis
    together: Together


def read_together(paths: Sequence[Path], request: Request, plan_file: Path | None, checks: Checks) -> ReadTogether:
    """Read and analyze models as one. Raises :class:`InputError` for files that are no ONNX models."""
    from ..api import analyze_model
    from ..several import Together

    for path in paths:
        if path.suffix == EXPORTED:
            raise InputError(f"{path}: several models are pruned together as ONNX files, not as exported programs")
    if checks.inputs is not None:
        raise InputError("--inputs is for a single model; several are compared on random inputs")
    if plan_file is not None:
        require_distinct(plan_file, *paths)
        require_writable(plan_file, inputs=list(paths))
    with step("reading the models"):
        together = Together.of(paths)
    if checks.verify:
        with step("making sure that they run"):
            for path in paths:
                require_runnable(path)
    with step("finding what is coupled"):
        analysis = analyze_model(together.source, request)
    return ReadTogether(Path("+".join(together.parts)), Files(paths, together.source.identity), analysis, together)


def carry_out_together(
    given: ReadTogether, smaller: Smaller, output: Path, checks: Checks, plan_file: Path | None
) -> Outcome:
    """Write the smaller models, verify these very files, and put them in their place if they passed."""
    from ..several import carry_out
    from .work import Outcome

    found = carry_out(
        given.together,
        given.analysis,
        smaller,
        output,
        verify=checks.verify,
        rtol=checks.rtol,
        seed=checks.seed,
        floors=checks.floors,
        step=step,
    )
    if found.ok and plan_file is not None:
        write_text(plan_file, found.plan.dumps())
    return Outcome(found.plan, found.ok, found.bytes, found.report)
