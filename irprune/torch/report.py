"""The answers of a verification on the torch side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..verify.report import Equivalence, Fidelity, Report, Structure


@dataclass(frozen=True)
class TorchReport:
    """Structure, equivalence in torch and on ONNX Runtime, and fidelity to the original.

    ``runtime`` is ``None`` where the exported models were not compared; ``note`` says why.
    """

    structure: Structure
    equivalence: Equivalence
    fidelity: Fidelity
    runtime: Equivalence | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.structure.ok and self.equivalence.ok and (self.runtime is None or self.runtime.ok)

    def failures(self) -> list[str]:
        """One line for each thing that is wrong."""
        lines = Report(self.structure, self.equivalence, self.fidelity).failures()
        if self.runtime is not None:
            on_runtime = Report(Structure((), 0), self.runtime, self.fidelity).failures()
            lines += [f"on ONNX Runtime: {line}" for line in on_runtime]
        return lines

    def as_json(self) -> dict[str, Any]:
        return {
            "structure": self.structure.as_json(),
            "equivalence": self.equivalence.as_json(),
            "runtime": None if self.runtime is None else self.runtime.as_json(),
            "fidelity": self.fidelity.as_json(),
            "note": self.note,
        }
