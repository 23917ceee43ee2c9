"""The values inside the bodies of loops and branches that can be compared: those that ONNX Runtime hands out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from ..analysis import Analysis
from ..ir.core import Array
from ..runtime.executable import Executable
from ..runtime.session import RunFailure
from .cases import Case
from .decisions import is_computed_float, values_before_decisions

_BUDGET = 1 << 28
"""Bytes of values from inside bodies that are held at a time."""

Fits = Callable[[str, Case, Array], bool]


def values_in_bodies(analysis: Analysis, outer: Collection[str]) -> tuple[str, ...]:
    """The float values that bodies hand out, and those before decisions in them, in the order of the graph."""
    wanted = {*values_before_decisions(analysis), *analysis.graph.yielded} - set(outer)
    made = (name for node in analysis.graph.nodes if not node.entry_of for name in node.outputs)
    return tuple(name for name in made if name in wanted and is_computed_float(name, analysis))


def readable_values(original: Executable, cases: Sequence[Case], names: Sequence[str], fits: Fits) -> tuple[str, ...]:
    """Those of ``names`` that a run gives in every case, as many as fit the memory set aside for them.

    A value is not to be had where its type is unknown, or where its shape differs from step to step of a loop.
    """
    bytes_of = dict.fromkeys(names, 0)
    for case in cases:
        found = _read(original, case, list(bytes_of), fits)
        bytes_of = {name: max(bytes_of[name], size) for name, size in found.items()}
    original.close()
    left, chosen = _BUDGET, []
    for name in names:
        if name in bytes_of and bytes_of[name] <= left:
            chosen.append(name)
            left -= bytes_of[name]
    return tuple(chosen)


def _read(original: Executable, case: Case, names: list[str], fits: Fits) -> dict[str, int]:
    """The sizes in bytes of the values that a run gives. Where it stops, each half of them is asked for on its own."""
    found: dict[str, int] = {}
    waiting = [names]
    while waiting:
        some = waiting.pop()
        if not some:
            continue
        try:
            values = original.run(case.feeds, also=some)
        except RunFailure:
            half = len(some) // 2
            waiting += [some[:half], some[half:]] if half else []
        else:
            arrays = {name: values[name] for name in some if isinstance(values[name], np.ndarray)}
            found.update({name: array.nbytes for name, array in arrays.items() if fits(name, case, array)})
    return found
