"""What a verification found: three separate answers and one verdict, as plain data and JSON."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .floors import NO_FLOORS, Floors


@dataclass(frozen=True)
class Structure:
    """The findings of the checker, and the comparison of every tensor and of every node; ``notes`` are not failures.

    Of the ``tensors``, ``unchanged`` are the original's or its slices, bit for bit, ``updated`` have the digests that
    the plan gives, ``other_values`` have values that the plan does not record, and ``made`` are shapes and indices that
    the original lacks. The rest are problems. ``nodes`` were compared (none for a pass that makes other nodes).
    ``rewritten`` are the results of those that are what the plan makes of the original's.
    """

    problems: tuple[str, ...]
    tensors: int
    notes: tuple[str, ...] = ()
    nodes: int = 0
    rewritten: tuple[str, ...] = ()
    unchanged: int = 0
    updated: int = 0
    other_values: int = 0
    made: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "tensors": self.tensors,
            "unchanged": self.unchanged,
            "updated": self.updated,
            "other_values": self.other_values,
            "made": self.made,
            "nodes": self.nodes,
            "rewritten": list(self.rewritten),
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

    def failure(self, kind: str, other: str, note: str = "") -> str:
        """One line for a value that differs from that of another model."""
        return (
            f"{kind} '{self.name}' ({self.dtype}){note} differs from {other} by {self.error:.2e} of its scale, "
            f"at most {self.tolerance:.0e} is allowed ({self.case})"
        )

    def as_json(self) -> dict[str, Any]:
        document = {
            "name": self.name,
            "dtype": self.dtype,
            "error": _finite(self.error),
            "tolerance": self.tolerance,
            "case": self.case,
        }
        return document if self.noise is None else {**document, "noise": _finite(self.noise)}


@dataclass(frozen=True)
class Divergence:
    """The first tensor, in the order of the graph, in which the pruned model leaves the reference."""

    tensor: str
    node: str
    error: float

    def __str__(self) -> str:
        return f"the first tensor that differs is '{self.tensor}', made by node '{self.node}'"

    def as_json(self) -> dict[str, Any]:
        return {"tensor": self.tensor, "node": self.node, "error": _finite(self.error)}


@dataclass(frozen=True)
class Coverage:
    """How many of the float values before the outputs the comparison reaches.

    ``compared`` were compared themselves, the outputs included. The differences of ``shown``, which include these, show
    in a compared value: no decision, saturation or control flow lies between. ``of`` is the number of all float values
    that nodes of the main graph compute on the way to an output. ``in_bodies`` is the number of those inside bodies of
    control flow, and ``shown_in_bodies`` how many of these were compared or show in what was; the others are compared
    by structure, and as far as the results of their node show them.
    """

    compared: int
    shown: int
    of: int
    in_bodies: int
    shown_in_bodies: int = 0

    def __str__(self) -> str:
        words = f"{self.shown} of {self.of} float values before the outputs were compared"
        if self.compared < self.shown:
            words += f" ({self.compared} themselves, the others in values that show them)"
        if self.in_bodies:
            words += f"; {self.shown_in_bodies} of {self.in_bodies} more inside bodies"
        if self.shown_in_bodies < self.in_bodies:
            words += ", the others by structure and the results of their nodes alone"
        return words


@dataclass(frozen=True)
class Equivalence:
    """``rejected`` are sizes at which the original itself does not run.

    For a quantized model ``outputs`` compares without rounding, and ``as_is``, which decides nothing, with it.
    ``in_double`` compares in float64, in those cases in which an error could be rounding noise.
    ``before`` are float values inside the graph, from which decisions are made and what saturates is computed;
    ``hidden`` is how many more of these there are, which were not compared. ``inside`` are other float values, which
    the bodies of loops and branches hand out. ``coverage`` counts the float values before the outputs. ``notes`` say
    what else was not compared.
    """

    outputs: tuple[OutputError, ...]
    cases: tuple[str, ...]
    rejected: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    first: Divergence | None = None
    as_is: tuple[OutputError, ...] = ()
    in_double: tuple[OutputError, ...] = ()
    before: tuple[OutputError, ...] = ()
    hidden: int = 0
    coverage: Coverage | None = None
    notes: tuple[str, ...] = ()
    inside: tuple[OutputError, ...] = ()

    @property
    def ok(self) -> bool:
        found = (*self.outputs, *self.before, *self.inside, *self.in_double)
        return not self.problems and all(error.ok for error in found)

    @property
    def error(self) -> float:
        """The largest error of any output."""
        return max((output.error for output in self.outputs), default=0.0)

    def failures(self) -> list[str]:
        """One line for each thing that is wrong."""
        outputs, other = (*self.outputs, *self.in_double), "the reference"
        lines = [output.failure("output", other) for output in outputs if not output.ok]
        lines += [found.failure("value", other, ", which outputs hide,") for found in self.before if not found.ok]
        lines += [found.failure("value", other, ", inside a body,") for found in self.inside if not found.ok]
        return [*self.problems, *lines, *([] if self.first is None else [str(self.first)])]

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "error": _finite(self.error),
            "outputs": [output.as_json() for output in self.outputs],
            "cases": list(self.cases),
            "rejected": list(self.rejected),
            "problems": list(self.problems),
            "as_is": [{"name": found.name, "error": _finite(found.error)} for found in self.as_is],
            "before_decisions": {
                "compared": len(self.before),
                "of": len(self.before) + self.hidden,
                "values": [found.as_json() for found in self.before],
            },
            "in_bodies": [found.as_json() for found in self.inside],
            "in_double": [output.as_json() for output in self.in_double],
            "float_values": None if self.coverage is None else asdict(self.coverage),
            "first": None if self.first is None else self.first.as_json(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class OutputFidelity:
    """How far an output is from the original's.

    ``cosine`` is ``None`` for an output of one number a sample, ``snr_db`` is the signal-to-noise ratio in dB (for one
    number a sample, of its variance). ``error`` is the root mean square error in units of the standard deviation of the
    original's values, ``None`` where these do not vary. ``agreement`` is the share of decisions that are the
    original's, which are made as ``decides`` says. ``remark`` says what the numbers hide, ``note`` why there are none.
    With ``may_change`` the request allows the output another shape, so that no floor needs its numbers.
    """

    name: str
    cosine: float | None
    snr_db: float
    error: float | None = None
    agreement: float | None = None
    decides: str = ""
    remark: str = ""
    note: str = ""
    is_float: bool = True
    may_change: bool = False

    def as_json(self) -> dict[str, Any]:
        if self.note:
            return {"name": self.name, "note": self.note}
        numbers = {"cosine": self.cosine, "snr_db": self.snr_db, "error": self.error} if self.is_float else {}
        document: dict[str, Any] = {"name": self.name, **{key: _finite(value) for key, value in numbers.items()}}
        if self.agreement is not None:
            document |= {"agreement": self.agreement, "decides": self.decides}
        return document | ({"remark": self.remark} if self.remark else {})


@dataclass(frozen=True)
class Fidelity:
    """Information, not pass or fail. ``inputs`` says on what inputs it was measured, in words.

    ``accuracy`` is the share of right decisions of the original and of the pruned model, where labels were given.
    """

    outputs: tuple[OutputFidelity, ...]
    accuracy: tuple[float, float] | None = None
    inputs: str = ""
    is_random: bool = False

    def as_json(self) -> dict[str, Any]:
        both = None if self.accuracy is None else {"original": self.accuracy[0], "pruned": self.accuracy[1]}
        return {
            "inputs": self.inputs,
            "random": self.is_random,
            "outputs": [output.as_json() for output in self.outputs],
            "accuracy": both,
        }


@dataclass(frozen=True)
class Report:
    """The answers of a verification, and the verdict: everything that shows one asks ``ok``.

    A torch module is compared a second time, after its export, on ONNX Runtime (``exported``); where it is not,
    ``note`` says why. ``floors`` are what the user asks of the fidelity. ``seconds`` is how long each part took.
    """

    structure: Structure
    equivalence: Equivalence
    fidelity: Fidelity
    exported: Equivalence | None = None
    note: str = ""
    floors: Floors = NO_FLOORS
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def ok(self) -> bool:
        return self.is_equivalent and not self.missed

    @property
    def is_equivalent(self) -> bool:
        """Whether the pruned model is what the plan says, however far from the original that may be."""
        return self.structure.ok and self.equivalence.ok and (self.exported is None or self.exported.ok)

    @property
    def missed(self) -> tuple[str, ...]:
        """The floors that the fidelity does not reach, one line each."""
        return self.floors.missed(self.fidelity)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values. The same verification gives the same document: times are left out."""
        document = {
            "ok": self.ok,
            "structure": self.structure.as_json(),
            "equivalence": self.equivalence.as_json(),
            "fidelity": {
                "ok": not self.missed,
                **self.fidelity.as_json(),
                "floors": self.floors.as_json(),
                "missed": list(self.missed),
            },
        }
        if self.exported is not None:
            document["exported"] = self.exported.as_json()
        return {**document, "note": self.note} if self.note else document

    def failures(self) -> list[str]:
        """One line for each thing that is wrong; none exactly where the report is ok."""
        lines = [*self.structure.problems, *self.equivalence.failures()]
        if self.exported is not None:
            lines += [f"after export, on ONNX Runtime: {line}" for line in self.exported.failures()]
        return [*lines, *self.missed]

    def refusal(self) -> str:
        """The first failures in one line, and how many more there are."""
        lines = self.failures()
        more = len(lines) - _SAID
        rest = f" (and {more} more {'finding' if more == 1 else 'findings'})" if more > 0 else ""
        return "; ".join(lines[:_SAID]) + rest


_SAID = 3
"""Failures in one line; a report lists all of them."""


class Stopwatch:
    """How long parts of a verification take."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, part: str) -> None:
        """What happened since the last call was this part."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now


def _finite(number: float | None) -> float | str | None:
    """JSON has no infinities."""
    return number if number is None or math.isfinite(number) else str(number)
