"""Prune with data: calibrate, choose, allocate, rewrite, refit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx_ir as oir

from ..analysis import Analysis
from ..backends.onnx import emit, to_whole_proto
from ..calibration.calibrate import Samples, measure
from ..calibration.cells import uncovered
from ..calibration.contractions import has_quantized_weights
from ..calibration.integers import in_units_of_their_own
from ..calibration.routing import taken
from ..calibration.stepwise import MEMORY
from ..criteria import DATA_CRITERIA
from ..errors import InputError
from ..ir import Graph
from ..ir.core import Array
from ..plans.digests import digest_of_values
from ..request import Request
from ..rewriting import Smaller, analyzed, decide
from ..runtime.session import RunFailure
from ..scoring import Scores
from .effect import agreement, outputs, samples_in, squared_error
from .refit import Refit, refit, smaller_feeds
from .search import largest_cut

FEW_SAMPLES = 64
"""With fewer samples than this, a fit may not generalize."""


@dataclass(frozen=True)
class Recovery:
    """The effect of a refit: samples used, and errors on samples held out, as shares of the variance of the outputs.

    ``agreement`` is the share of equal decisions, ``None`` where the outputs decide nothing.
    """

    fitted: int
    held_out: int
    error_sliced: float
    error: float
    agreement_sliced: float | None
    agreement: float | None
    changes: tuple[Refit, ...]
    cells: tuple[tuple[str, str], ...] = ()
    """Recurrent cells, or parts of them, that the data say nothing about, and why."""
    integers: tuple[str, ...] = ()
    """Nodes that multiply integers in units that other nodes know: chosen on the data, but not refitted."""
    by_norm: tuple[str, ...] = ()
    """Groups in branches that no sample takes: they shrink by their norms, and nothing there was refitted."""

    def fidelity(self, asked: float) -> float:
        """What a request for fidelity is about: up to 1 the agreement, above the signal-to-noise ratio in dB.

        Raises :class:`InputError` where a model that makes no decisions is asked for equal ones.
        """
        if asked > 1:
            return float(-10 * np.log10(max(self.error, 1e-30)))
        if self.agreement is None:
            raise InputError(
                f"fidelity {asked:g} is a share of equal decisions, and the model makes none; "
                "give a signal-to-noise ratio in dB, such as 20"
            )
        return self.agreement

    def cautions(self) -> list[str]:
        """Warnings about the result, one line each."""
        found = []
        if self.by_norm:
            found.append(
                f"no sample takes the branches with {len(self.by_norm)} of the groups, such as '{self.by_norm[0]}': "
                "they were chosen by norm and not refitted; give data that take every branch"
            )
        found += [
            f"recurrent cell '{name}': {reason}; what the data do not cover there is neither measured nor refitted"
            for name, reason in self.cells
        ]
        if self.integers:
            found.append(
                f"integers with a scale that is found at run time are multiplied in {len(self.integers)} places, such "
                f"as node '{self.integers[0]}': channels were chosen on the data there, weights were not refitted"
            )
        found += self._few_positions()
        if self.fitted + self.held_out >= FEW_SAMPLES:
            return found
        return [
            *found,
            f"only {self.fitted + self.held_out} samples: the result may not hold for others; "
            f"give at least {FEW_SAMPLES}, better several hundred",
        ]

    def _few_positions(self) -> list[str]:
        """Contractions that sum over more than the data determine."""
        few = [change for change in self.changes if change.positions < change.columns]
        if not few:
            return []
        worst = max(few, key=lambda change: change.columns / max(change.positions, 1))
        needed = -(-worst.columns * (self.fitted + self.held_out) // max(worst.positions, 1))
        return [
            f"the samples have fewer positions than columns at {len(few)} of {len(self.changes)} refitted nodes, "
            f"such as '{worst.node}' ({worst.positions} for {worst.columns}): they are held close to their old "
            f"weights; {needed} samples would determine them"
        ]


def recover(
    model: oir.Model, analysis: Analysis, request: Request, samples: Samples
) -> tuple[Smaller, Recovery | None]:
    """Choose removals on data and refit the remaining weights; the recovery is ``None`` without a repair.

    ``model`` is the analyzed model. Raises :class:`InputError` if ONNX Runtime fails on the data, and the errors of
    :func:`~irprune.rewriting.decide`.
    """
    proto = to_whole_proto(model)
    memory = int(request.data_memory or MEMORY)
    try:
        errors, by_norm = None, frozenset[str]()
        if request.ranking in DATA_CRITERIA:
            errors, by_norm = _errors(proto, analysis, request, samples, memory // 2)

        def attempt(request: Request) -> tuple[Smaller, Recovery]:
            smaller = decide(analysis, request, errors=errors, by_norm=by_norm)
            smaller, found = repaired(model, proto, analysis, request, samples, smaller, memory=memory)
            return smaller, replace(
                found,
                by_norm=tuple(sorted(by_norm)),
                cells=tuple(uncovered(analysis).items()),
                integers=in_units_of_their_own(analysis),
            )

        if request.fidelity is not None:
            return largest_cut(attempt, request)
        if request.repair == "none":
            return decide(analysis, request, errors=errors, by_norm=by_norm), None
        return attempt(request)
    except RunFailure as error:
        raise InputError(f"ONNX Runtime cannot run the model on the given data: {error}") from error


def _with_experts(
    errors: Scores, proto: onnx.ModelProto, analysis: Analysis, request: Request, samples: Samples
) -> Scores:
    """The errors, with how often each expert is taken where experts are to go."""
    if not request.experts:
        return errors
    counts, scored = taken(analysis, proto, samples.fitted), errors.copy()
    for number, own in counts.items():
        atoms = analysis.incidence.get(number, np.full(len(own), -1))
        scored[atoms[atoms >= 0]] = own[atoms >= 0]
    return scored


def errors_on(
    model: oir.Model, analysis: Analysis, request: Request, samples: Samples
) -> tuple[Scores, frozenset[str]]:
    """The error that the removal of each atom adds on data, and the groups in branches that no sample takes.

    Errors are shares of the variance of what contractions compute, by the request's criterion; infinite for atoms that
    the data say nothing about. Raises :class:`InputError` if ONNX Runtime fails on the data, or they say nothing.
    """
    try:
        return _errors(to_whole_proto(model), analysis, request, samples, int(request.data_memory or MEMORY))
    except RunFailure as error:
        raise InputError(f"ONNX Runtime cannot run the model on the given data: {error}") from error


def _errors(
    proto: onnx.ModelProto, analysis: Analysis, request: Request, samples: Samples, memory: int
) -> tuple[Scores, frozenset[str]]:
    measured = measure(analysis, proto, samples.fitted, seed=request.seed, memory=memory)
    errors = _with_experts(DATA_CRITERIA[request.ranking](measured), proto, analysis, request, samples)
    if not np.isfinite(errors).any():
        raise InputError(
            f"criterion '{request.ranking}': {_nothing_to_measure(analysis)}; "
            "choose a criterion that needs no data (--criterion l2)"
        )
    return errors, measured.unreached_groups


def _nothing_to_measure(analysis: Analysis) -> str:
    if has_quantized_weights(analysis):
        return "the model's weights are quantized, and criteria from data read float weights"
    for name, reason in uncovered(analysis).items():
        return f"the data do not cover recurrent cell '{name}': {reason}"
    return "no contraction that the data reach sums over what may go"


def repaired(
    model: oir.Model,
    proto: onnx.ModelProto,
    analysis: Analysis,
    request: Request,
    samples: Samples,
    smaller: Smaller,
    *,
    memory: int = MEMORY,
) -> tuple[Smaller, Recovery]:
    """A smaller model with its weights refitted, unless the request asks for none, and the effect on samples held out.

    New weights are kept where they lower the error of the outputs.
    """
    small = to_whole_proto(emit(model, analysis.graph, smaller.graph))
    after = analyzed(smaller.graph, request)
    kept = analysis.kept(smaller.removed(analysis))
    unseen = [smaller_feeds(analysis, kept, feeds) for feeds in samples.held_out]
    updated: dict[str, Array] = {}
    changes: list[Refit] = []
    if request.repair != "none":
        updated, changes = refit(
            proto,
            small,
            analysis,
            after,
            kept,
            samples.fitted,
            samples.held_out,
            seed=request.seed,
            memory=memory // 2,
        )
    tuned = smaller.graph.with_values(updated)
    wanted = outputs(proto, samples.held_out)
    sliced = outputs(small, unseen)
    refitted = outputs(to_whole_proto(emit(model, analysis.graph, tuned)), unseen)
    before, now = squared_error(wanted, sliced), squared_error(wanted, refitted)
    if now < before:
        smaller = replace(smaller, graph=tuned, plan=smaller.plan.with_updated(_digests(tuned, updated)))
    else:
        refitted, now = sliced, before
    found = Recovery(
        samples_in(samples.fitted),
        samples_in(samples.held_out),
        before,
        now,
        agreement(wanted, sliced),
        agreement(wanted, refitted),
        tuple(changes),
    )
    return smaller, found


def _digests(graph: Graph, names: Mapping[str, Array]) -> dict[str, str]:
    return {name: digest_of_values(graph.constants[name].numpy()) for name in names}
