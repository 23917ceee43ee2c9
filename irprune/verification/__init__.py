"""Translation validation: is a pruned model what its plan says, and does it compute the right outputs?"""

from .floors import Floors
from .junit import junit_xml
from .report import (
    Divergence,
    Equivalence,
    Fidelity,
    OutputError,
    OutputFidelity,
    Report,
    Structure,
)

__all__ = [
    "Divergence",
    "Equivalence",
    "Fidelity",
    "Floors",
    "OutputError",
    "OutputFidelity",
    "Report",
    "Structure",
    "junit_xml",
]
