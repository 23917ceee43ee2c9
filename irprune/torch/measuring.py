"""Errors of removals, measured on data as a module computes it: criteria from data for PyTorch."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..analysis import Analysis
from ..calibration.measured import Measured
from ..calibration.moments import collect_batches, values_of
from ..calibration.points import find_points
from ..criteria import DATA_CRITERIA
from ..errors import InputError
from ..frontends.fx import as_array
from ..ir.core import Array
from ..request import Request
from ..runtime.feeds import AnyData
from ..scoring import Scores
from .cases import Case, given_cases
from .program import Program

_BATCH = 32


def errors_on(program: Program, analysis: Analysis, request: Request, data: AnyData) -> tuple[Scores, frozenset[str]]:
    """The error that the removal of each atom adds, by the request's criterion, and the groups that data do not reach.

    ``data`` are those of :func:`irprune.plan`, by the names of the arguments of ``forward``. Raises
    :class:`InputError` for data that do not fit, and for a criterion that the data say nothing about.
    """
    criterion = DATA_CRITERIA.get(request.ranking)
    if criterion is None:
        raise InputError(f"criterion '{request.ranking}' takes no data; those that do: {', '.join(DATA_CRITERIA)}")
    measured = measure(program, analysis, given_cases(program, data, batch=_BATCH), seed=request.seed)
    errors = criterion(measured)
    if not np.isfinite(errors).any():
        raise InputError(
            f"criterion '{request.ranking}': no contraction that the data reach sums over what may go; "
            "choose a criterion that needs no data (criterion='l2')"
        )
    return errors, measured.unreached_groups


def measure(program: Program, analysis: Analysis, cases: Collection[Case], *, seed: int = 0) -> Measured:
    """Run a captured module, and sum the moments of each contraction of its calls."""
    points = find_points(analysis)
    watched = frozenset(name for point in points for name in values_of(point))
    moments = collect_batches(points, _runs(program, cases, watched), len(cases), analysis.graph, seed)
    reached = tuple(point for point in points if moments[point.name].count)
    unreached = tuple(point for point in points if not moments[point.name].count)
    return Measured(analysis, reached, moments, unreached)


def _runs(program: Program, cases: Collection[Case], watched: frozenset[str]) -> Iterator[dict[str, Array]]:
    """The watched values of each case, in evaluation. A copy runs: calls may write to buffers."""
    with warnings.catch_warnings(action="ignore"):
        module = copy.deepcopy(program.module).eval()
    for case in cases:
        recorder = _Recorder(module, watched)
        with torch.no_grad():
            recorder.run(*_flat(case), enable_io_processing=False)
        yield recorder.found


def _flat(case: Case) -> list[Any]:
    return list(pytree.tree_leaves((case.args, dict(case.kwargs))))


class _Recorder(fx.Interpreter):
    """Keeps the values of some calls, by name."""

    def __init__(self, module: fx.GraphModule, watched: frozenset[str]) -> None:
        super().__init__(module)
        self.watched = watched
        self.found: dict[str, Array] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self.watched and isinstance(result, Tensor):
            self.found[n.name] = as_array(result.float() if result.is_floating_point() else result)
        return result
