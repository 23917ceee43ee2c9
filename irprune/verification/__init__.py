"""Translation validation: is a pruned model what its plan says, and does it compute what that means?"""

from .report import (
    Divergence,
    Equivalence,
    Fidelity,
    OutputError,
    OutputFidelity,
    Report,
    Structure,
    junit_xml,
)

__all__ = [
    "Divergence",
    "Equivalence",
    "Fidelity",
    "OutputError",
    "OutputFidelity",
    "Report",
    "Structure",
    "junit_xml",
]
