"""What a user should know about a plan before it is used: facts, not errors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..analysis import Analysis, Mask, kept_mask
from ..analysis.states import State
from .aligned import width_cautions
from .document import Plan, removed_atoms


def cautions(analysis: Analysis, plan: Plan) -> list[str]:
    """One line for each thing to know."""
    removed = removed_atoms(plan, analysis)
    parted = [
        f"input '{before}' and output '{after}' have one shape and lose different channels: if the caller feeds the "
        f"output back, say so with --state {before}={after}"
        for before, after in _parted(analysis, removed)
    ]
    return [*parted, *width_cautions(analysis, plan)]


def _parted(analysis: Analysis, removed: Mask) -> Iterator[State]:
    """The pairs of an input and an output of one shape that no longer hold the same."""
    kept = analysis.kept(removed)
    for state in analysis.separate_states:
        ends = [analysis.coupling.dims[name] or () for name in state]
        sizes = [[kept_mask(axis, kept) for axis in dims] for dims in ends]
        if not all(map(np.array_equal, *sizes)):
            yield state
