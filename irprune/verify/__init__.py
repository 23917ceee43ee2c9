"""Translation validation: is a pruned model what its plan says, and does it compute what that means?"""

from .driver import verify_models
from .equivalence import TOLERANCE
from .reference import PREFIX, build_reference
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
    "PREFIX",
    "TOLERANCE",
    "Divergence",
    "Equivalence",
    "Fidelity",
    "OutputError",
    "OutputFidelity",
    "Report",
    "Structure",
    "build_reference",
    "junit_xml",
    "verify_models",
]
