"""What a verification found: three separate answers, as plain data, JSON and JUnit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree


@dataclass(frozen=True)
class Structure:
    """The checker's findings and the comparison of every tensor; ``notes`` are no failures."""

    problems: tuple[str, ...]
    tensors: int
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "tensors": self.tensors,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class OutputError:
    """The worst error of one output over all runs, relative to its scale, and where it was found.

    ``noise`` is the error that rounding accounts for (a multiple of what the reference differs from itself by). It is
    given only where it was needed, and where the models do not differ in float64.
    """

    name: str
    dtype: str
    error: float
    tolerance: float
    case: str
    noise: float | None = None

    @property
    def ok(self) -> bool:
        return self.error <= max(self.tolerance, self.noise or 0.0)

    def as_json(self) -> dict[str, Any]:
        document = {
            "name": self.name,
            "dtype": self.dtype,
            "error": _finite(self.error),
            "tolerance": self.tolerance,
            "case": self.case,
        }
        return document if self.noise is None else {**document, "noise": self.noise}


@dataclass(frozen=True)
class Divergence:
    """The first tensor, in the order of the graph, in which the pruned model leaves the reference."""

    tensor: str
    node: str
    error: float

    def as_json(self) -> dict[str, Any]:
        return {"tensor": self.tensor, "node": self.node, "error": _finite(self.error)}


@dataclass(frozen=True)
class Equivalence:
    """``rejected`` are sizes at which the original itself does not run.

    For a quantized model ``outputs`` compares without rounding, and ``as_is``, which decides nothing, with it.
    ``in_double`` compares in float64, in those cases in which an error could be rounding noise.
    """

    outputs: tuple[OutputError, ...]
    cases: tuple[str, ...]
    rejected: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    first: Divergence | None = None
    as_is: tuple[OutputError, ...] = ()
    in_double: tuple[OutputError, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems and all(output.ok for output in (*self.outputs, *self.in_double))

    @property
    def error(self) -> float:
        """The largest error of any output."""
        return max((output.error for output in self.outputs), default=0.0)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "error": _finite(self.error),
            "outputs": [output.as_json() for output in self.outputs],
            "cases": list(self.cases),
            "rejected": list(self.rejected),
            "problems": list(self.problems),
            "as_is": [{"name": found.name, "error": _finite(found.error)} for found in self.as_is],
            "in_double": [output.as_json() for output in self.in_double],
            "first": None if self.first is None else self.first.as_json(),
        }


@dataclass(frozen=True)
class OutputFidelity:
    """How far an output is from the original's: cosine similarity and signal-to-noise ratio in dB."""

    name: str
    cosine: float
    snr_db: float

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "cosine": _finite(self.cosine), "snr_db": _finite(self.snr_db)}


@dataclass(frozen=True)
class Fidelity:
    """Information, not pass or fail. ``top1`` is the accuracy of the original and of the pruned model."""

    outputs: tuple[OutputFidelity, ...]
    top1: tuple[float, float] | None = None

    @property
    def ok(self) -> bool:
        return True

    def as_json(self) -> dict[str, Any]:
        top1 = None if self.top1 is None else {"original": self.top1[0], "pruned": self.top1[1]}
        return {"outputs": [output.as_json() for output in self.outputs], "top1": top1}


@dataclass(frozen=True)
class Report:
    """The three answers of a verification.

    A torch module is compared a second time, after its export, on ONNX Runtime (``exported``); where it is not,
    ``note`` says why.
    """

    structure: Structure
    equivalence: Equivalence
    fidelity: Fidelity
    exported: Equivalence | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.structure.ok and self.equivalence.ok and (self.exported is None or self.exported.ok)

    def as_json(self) -> dict[str, Any]:
        document = {
            "structure": self.structure.as_json(),
            "equivalence": self.equivalence.as_json(),
            "fidelity": self.fidelity.as_json(),
        }
        if self.exported is not None:
            document["exported"] = self.exported.as_json()
        return {**document, "note": self.note} if self.note else document

    def failures(self) -> list[str]:
        """One line for each thing that is wrong."""
        lines = [*self.structure.problems, *self.equivalence.problems]
        for output in (*self.equivalence.outputs, *self.equivalence.in_double):
            if not output.ok:
                lines.append(
                    f"output '{output.name}' ({output.dtype}) differs from the reference by {output.error:.2e} of "
                    f"its scale, at most {output.tolerance:.0e} is allowed ({output.case})"
                )
        first = self.equivalence.first
        if first is not None:
            lines.append(f"the first tensor that differs is '{first.tensor}', made by node '{first.node}'")
        if self.exported is not None:
            exported = Report(Structure((), 0), self.exported, self.fidelity)
            lines += [f"after export, on ONNX Runtime: {line}" for line in exported.failures()]
        return lines


def junit_xml(report: Report) -> str:
    """The report as a JUnit test suite of three test cases."""
    suite = ElementTree.Element("testsuite", name="irprune verify", tests="3")
    failed = 0
    parts: Mapping[str, Structure | Equivalence | Fidelity] = {
        "structure": report.structure,
        "equivalence": report.equivalence,
        "fidelity": report.fidelity,
    }
    for name, part in parts.items():
        case = ElementTree.SubElement(suite, "testcase", classname="irprune.verify", name=name)
        if not part.ok:
            failed += 1
            lines = _failures_of(report, name)
            failure = ElementTree.SubElement(case, "failure", message=lines[0])
            failure.text = "\n".join(lines)
        output = ElementTree.SubElement(case, "system-out")
        output.text = "\n".join(f"{key}: {value}" for key, value in part.as_json().items())
    suite.set("failures", str(failed))
    suite.set("errors", "0")
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _failures_of(report: Report, name: str) -> list[str]:
    if name == "structure":
        return list(report.structure.problems)
    return Report(Structure((), 0), report.equivalence, report.fidelity).failures()


def _finite(number: float) -> float | str:
    """JSON has no infinities."""
    return number if math.isfinite(number) else str(number)
