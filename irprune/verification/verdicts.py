"""The answers of a report in words, for the command line and for JUnit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .report import Equivalence, Fidelity, OutputFidelity, Report, Structure

_SHOWN = 3


@dataclass(frozen=True)
class Verdict:
    """One of the answers: ``ok`` is ``None`` where it is information alone, or was not asked for."""

    name: str
    ok: bool | None
    lines: tuple[str, ...]

    @property
    def words(self) -> str:
        """The lines as one."""
        return "; ".join(self.lines)


def verdicts(report: Report) -> list[Verdict]:
    """The answers of a report. One of them is ``False`` exactly where the report is not ok."""
    found = [
        Verdict("structure", report.structure.ok, tuple(_structure(report))),
        Verdict("equivalence", report.equivalence.ok, tuple(_equivalence(report))),
    ]
    if report.exported is not None or report.note:
        is_ok = None if report.exported is None else report.exported.ok
        found.append(Verdict("on ONNX Runtime", is_ok, tuple(_exported(report.exported, report.note))))
    is_reached = None if not report.floors.asked else not report.missed
    return [*found, Verdict("fidelity", is_reached, (*_fidelity(report.fidelity), *report.missed))]


def _structure(report: Report) -> Iterator[str]:
    problems = report.structure.problems
    yield from problems[:_SHOWN]
    if len(problems) > _SHOWN:
        yield f"... and {len(problems) - _SHOWN} more problems"
    if not problems:
        yield from _tensors(report.structure)
        yield from report.structure.notes


def _tensors(structure: Structure) -> Iterator[str]:
    count = structure.unchanged
    yield f"{count} {'tensor is' if count == 1 else 'tensors are'} the original's, or its slices, bit for bit"
    for count, what in (
        (structure.updated, "updated values that the plan has digests of"),
        (structure.other_values, "values that the plan does not record"),
        (structure.made, "shapes or indices that the original lacks"),
    ):
        if count:
            yield f"{count} with {what}"


def _equivalence(report: Report) -> Iterator[str]:
    equivalence = report.equivalence
    if not equivalence.ok:
        yield from equivalence.failures()
        return
    allowed = min((output.tolerance for output in equivalence.outputs), default=0.0)
    words = f"at most {equivalence.error:.1e} of the output's scale from the reference ({allowed:.0e} is allowed)"
    if equivalence.in_double:
        noise = max((output.noise for output in equivalence.outputs if output.noise is not None), default=0.0)
        rest = max(output.error for output in equivalence.in_double)
        words += f", where rounding noise accounts for {noise:.1e}; in float64 at most {rest:.1e}"
    yield words
    if equivalence.before or equivalence.hidden:
        yield _before_decisions(equivalence)
    if equivalence.coverage is not None:
        yield str(equivalence.coverage)
    how = "in torch" if report.exported is not None or report.note else "optimizations off and on"
    yield f"{len(equivalence.cases)} runs, {how}"
    yield from equivalence.notes


def _before_decisions(equivalence: Equivalence) -> str:
    compared = len(equivalence.before)
    return f"{compared} of {compared + equivalence.hidden} float values before decisions were compared"


def _exported(exported: Equivalence | None, note: str) -> Iterator[str]:
    if exported is None:
        yield note
    elif exported.ok:
        yield f"after export at most {exported.error:.1e} of the output's scale from the reference"
    else:
        yield from (f"after export: {line}" for line in exported.failures())


def _fidelity(fidelity: Fidelity) -> Iterator[str]:
    if not fidelity.outputs:
        yield "not measured"
        return
    for output in fidelity.outputs:
        yield f"{output.name}: {output.note or ', '.join(_measures(output))}"
    if fidelity.accuracy is not None:
        yield "accuracy {:.2%} -> {:.2%}".format(*fidelity.accuracy)
    yield f"on {fidelity.inputs}"


def _measures(output: OutputFidelity) -> Iterator[str]:
    if output.is_float and output.cosine is not None:
        yield f"cosine {output.cosine:.4f}"
    elif output.is_float:
        yield "error unknown" if output.error is None else f"error {output.error:.3g} of the spread"
    if output.is_float:
        yield f"SNR {_decibel(output.snr_db)}"
    if output.agreement is not None:
        yield f"{output.agreement:.1%} of the decisions agree ({output.decides})"
    if output.remark:
        yield output.remark


def _decibel(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    return "infinite" if math.isinf(value) and value > 0 else f"{value:.1f} dB"
