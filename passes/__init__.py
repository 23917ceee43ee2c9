"""The passes of the compiler, one per file."""

from . import compact, dce, fold, prune, sparsify
from .base import PASSES, Pass, State, register
from .pipeline import describe_passes, parse_pipeline, run_pipeline

__all__ = [
    "PASSES",
    "Pass",
    "State",
    "compact",
    "dce",
    "describe_passes",
    "fold",
    "parse_pipeline",
    "prune",
    "register",
    "run_pipeline",
    "sparsify",
]
