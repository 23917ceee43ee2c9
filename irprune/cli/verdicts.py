"""The three verdicts in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..verification import Report
    from .checks import Checks


@dataclass(frozen=True)
class Verdict:
    """One of the three answers: ``ok`` is ``None`` where it is information alone."""

    name: str
    ok: bool | None
    words: str


def verdicts(report: Report, missed: list[str] | None = None) -> list[Verdict]:
    """The answers of a report; ``missed`` are the fidelity floors that were not reached."""
    structure, equivalence = report.structure, report.equivalence
    tensors = f"{structure.tensors} tensors are the original's, or its slices, bit for bit"
    fidelity = "; ".join(
        f"{output.name}: cosine {output.cosine:.4f}, SNR {_decibel(output.snr_db)}"
        for output in report.fidelity.outputs
    )
    if report.fidelity.top1 is not None:
        fidelity += "; top-1 {:.2%} -> {:.2%}".format(*report.fidelity.top1)
    found = [
        Verdict("structure", structure.ok, "; ".join(structure.problems[:3]) or tensors),
        Verdict("equivalence", equivalence.ok, _equivalence(report)),
    ]
    if report.exported is not None or report.note:
        found.append(
            Verdict("on ONNX Runtime", None if report.exported is None else report.exported.ok, _exported(report))
        )
    return [
        *found,
        Verdict("fidelity", False if missed else None, "; ".join([fidelity or "no outputs", *(missed or ())])),
    ]


def _equivalence(report: Report) -> str:
    equivalence = report.equivalence
    if equivalence.problems:
        return "; ".join(equivalence.problems)
    if not equivalence.ok:
        return "; ".join(line for line in report.failures() if line not in report.structure.problems)
    allowed = min((output.tolerance for output in equivalence.outputs), default=0.0)
    words = f"at most {equivalence.error:.1e} of the output's scale from the reference ({allowed:.0e} is allowed)"
    if equivalence.in_double:
        noise = max((output.noise for output in equivalence.outputs if output.noise is not None), default=0.0)
        rest = max(output.error for output in equivalence.in_double)
        words += f", where rounding noise accounts for {noise:.1e}; in float64 at most {rest:.1e}"
    how = "in torch" if report.exported is not None or report.note else "optimizations off and on"
    return f"{words}; {len(equivalence.cases)} runs, {how}"


def _exported(report: Report) -> str:
    if report.exported is None:
        return report.note
    words = f"after export at most {report.exported.error:.1e} of the output's scale from the reference"
    return words if report.exported.ok else "; ".join(report.failures())


def _decibel(value: float) -> str:
    return "infinite" if math.isinf(value) and value > 0 else f"{value:.1f} dB"


def missed_floors(report: Report, checks: Checks) -> list[str]:
    """What falls below a fidelity floor that the user set."""
    found = []
    for output in report.fidelity.outputs:
        floors = (
            ("cosine", output.cosine, checks.min_cosine),
            ("SNR in dB", output.snr_db, checks.min_snr),
        )
        for name, value, floor in floors:
            if floor is not None and not value >= floor:
                found.append(f"output '{output.name}': {name} {value:.4g}, at least {floor:g} was asked for")
    if not report.fidelity.outputs and (checks.min_cosine is not None or checks.min_snr is not None):
        found.append("fidelity could not be measured")
    return found
