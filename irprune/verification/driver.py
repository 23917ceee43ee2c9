"""The three answers, one after the other."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import onnx
import onnx_ir as oir

from ..backends.onnx import to_proto
from ..dropping.drop import graph_left
from ..errors import InputError, VerificationError
from ..frontends.branches import FIRST_WITH_CONSTANT_INITIALIZERS, without_dead_branches
from ..frontends.external import make_relative
from ..frontends.files import inline_functions, load
from ..frontends.onnx import import_model
from ..frontends.scopes import is_control
from ..ir import Graph
from ..plans import Plan, removed_atoms
from ..rewriting import analyzed
from ..runtime.data import open_source
from ..runtime.executable import Executable
from ..runtime.feeds import AnyData, fed_inputs
from ..runtime.labels import AnyLabels, as_labels
from ..runtime.session import Outputs, RunFailure
from .branches import with_zero_branches
from .cases import Cases, given_cases, input_specs, random_cases
from .comparing import relative_error, tolerance_of
from .cutting import runnable_part
from .equivalence import Comparison
from .fidelity import measure_fidelity
from .floors import NO_FLOORS, Floors
from .nodes import check_nodes, with_nodes
from .observed import note, with_observed_shapes
from .report import Equivalence, Report, Stopwatch
from .sizing import requested_sizes
from .steps import with_steps
from .structure import allowed_to_change, check_structure
from .tuned import with_tuned_weights
from .untaken import untaken_branches

Model: TypeAlias = onnx.ModelProto | str | os.PathLike[str]


def verify_models(
    original: Model,
    pruned: Model,
    plan: Plan,
    *,
    inputs: AnyData | None = None,
    rtol: float | None = None,
    seed: int = 0,
    runs: int = 3,
    labels: AnyLabels | None = None,
    floors: Floors = NO_FLOORS,
    graph: Graph | None = None,
    tuned: bool = False,
    nodes: bool = True,
) -> Report:
    """Verify ``pruned`` against ``original`` and the plan that says what was removed.

    Models are compared on ``inputs`` (see :mod:`irprune.runtime.data`), or on ``runs`` random ones. ``rtol`` replaces
    the tolerance of all float types. ``labels`` (right decisions, with ``inputs``) adds the accuracy of both models.
    ``floors`` are the least fidelity for which the report is ok.

    The reference has the values of tensors that the plan lists as updated, which must have their digests. With
    ``tuned``, it has those of all tensors: any of them may have changed after the plan was written.
    ``graph`` is the import of ``original`` where that was made already. Without ``nodes``, as for passes that make
    other nodes, these are not compared one by one.

    That the plan was made for this original is for the caller to check (:func:`irprune.identity.require_same`).
    Raises :class:`InputError` where the original does not run.
    """
    if runs < 1:
        raise InputError(f"runs must be at least 1, got {runs}")
    floors.require_evidence(has_inputs=inputs is not None, has_labels=labels is not None)
    wanted = None if labels is None else as_labels(labels)
    source = None if inputs is None else open_source(inputs)
    clock = Stopwatch()
    whole, smaller = inlined(original), _executable(pruned)
    structure = check_structure(whole, smaller, plan, tuned=tuned)
    before, lines = runnable_part(whole, free=inputs is None)
    after = smaller
    if lines:
        after, _ = runnable_part(smaller, free=inputs is None)
        structure = replace(structure, notes=(*structure.notes, *lines))
    before, after = with_constant_initializers(before), with_constant_initializers(after)
    clock.lap("structure")
    if graph is None:
        graph = with_observed_shapes(import_model(_ir_model(whole)), before)
    if graph.observed:
        structure = replace(structure, notes=(*structure.notes, note(graph)))
    analysis = analyzed(graph, plan.request)
    removed = removed_atoms(plan, analysis)
    kept = analysis.kept(removed)
    if nodes:
        wanted_graph = graph_left(analysis, plan)
        structure = with_nodes(
            structure, check_nodes(whole, smaller, analysis, removed, plan.updated, plan.rewritten, wanted_graph)
        )
    try:
        if source is None:
            asked = requested_sizes(input_specs(before.proto), plan.request.shapes, plan.request.sizes)
            cases = random_cases(before, seed=seed, runs=runs, asked=asked, ranges=plan.ranges)
        else:
            cases = given_cases(before, source)
    except RunFailure as error:
        raise InputError(f"ONNX Runtime cannot run the original model: {error}") from error
    structure = replace(
        structure, notes=(*structure.notes, *untaken_branches(before, cases.items, structure.rewritten))
    )
    before.close()
    equivalence, outputs = _compared(
        Comparison(before, after, analysis, kept, rtol, plan.keeps_channels, plan.ranges), cases, plan, tuned=tuned
    )
    # A quantized model rounds otherwise with optimizations on, and float64 is a verdict that needs no float32.
    if not (equivalence.ok or equivalence.as_is or equivalence.in_double):
        require_repeatable(before, cases, rtol)
    equivalence = replace(equivalence, notes=(*cases.notes, *equivalence.notes))
    clock.lap("equivalence")
    answers = [case.outputs for case in cases.items]
    complete = len(outputs) == len(answers)
    described = f"{len(answers)} random inputs" if source is None else source.described(len(answers))
    fidelity = measure_fidelity(
        answers,
        outputs,
        wanted if complete else None,
        inputs=described,
        is_random=source is None,
        may_change=allowed_to_change(plan),
    )
    clock.lap("fidelity")
    return Report(structure, equivalence, fidelity, floors=floors, seconds=clock.seconds)


def _compared(comparison: Comparison, cases: Cases, plan: Plan, *, tuned: bool) -> tuple[Equivalence, list[Outputs]]:
    """What the comparison finds; models that cannot be compared are not equivalent.

    The reference is built from the original with the updated weights of the smaller model; of a lossless removal it is
    the original.
    """
    sides = comparison.original, comparison.pruned
    names = [[output.name for output in side.proto.graph.output] for side in sides]
    problem = f"the outputs are {names[1]}, expected {names[0]}" if names[0] != names[1] else ""
    if not problem:
        try:
            if not plan.is_lossless:
                updated = with_tuned_weights(*sides, plan, every=tuned)
                zeroed = with_zero_branches(updated, plan, comparison.analysis.graph)
                comparison = replace(comparison, original=zeroed)
            found, outputs = comparison.run(cases)
            return with_steps(comparison, cases, found), outputs
        except VerificationError as error:
            problem = str(error)
    return Equivalence((), tuple(case.label for case in cases.items), cases.rejected, (problem,)), []


def require_repeatable(model: Executable, cases: Cases, rtol: float | None) -> None:
    """Raise :class:`InputError` where the original disagrees with itself: there is nothing to compare with then."""
    for case in cases.items:
        first = model.run(case.feeds, optimize=False)
        for optimize, what in ((False, "run twice"), (True, "with ONNX Runtime's optimizations on and off")):
            try:
                again = model.run(case.feeds, optimize=optimize)
            except RunFailure as failure:
                why = f"the original model does not run {what}: {failure}"
                raise InputError(f"nothing can be verified: {why}") from failure
            for name, value in first.items():
                error = relative_error(value, again[name])
                if error > max(tolerance_of(value, None), rtol or 0.0):
                    raise InputError(
                        f"nothing can be verified: {what}, the original model gives values of output '{name}' that "
                        f"differ by {error:.1e} of their scale ({case.label})"
                    )


def inlined(model: Model) -> Executable:
    """The model, without functions and dead branches: they hide what is inside."""
    found = _executable(model)
    if not found.proto.functions and not any(is_control(n.domain, n.op_type) for n in found.proto.graph.node):
        return found
    given = _ir_model(found)
    plain = without_dead_branches(given)
    if plain is given and not found.proto.functions:
        return found
    proto = to_proto(plain)
    make_relative(proto, found.data_folder)
    return Executable(proto, found.data_folder)


def with_constant_initializers(model: Executable) -> Executable:
    """The model without inputs that replace initializers: no run gives them other values.

    ONNX Runtime (1.31) fuses a normalization whose epsilon is such an input into one with an epsilon of 1e-5.
    """
    kept = fed_inputs(model.proto.graph)
    if model.proto.ir_version < FIRST_WITH_CONSTANT_INITIALIZERS or len(kept) == len(model.proto.graph.input):
        return model
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    return Executable(proto, model.data_folder, model.scratch)


def _executable(model: Model) -> Executable:
    return Executable(model if isinstance(model, onnx.ModelProto) else Path(model))


def _ir_model(model: Executable) -> oir.Model:
    return load(model.model) if isinstance(model.model, Path) else inline_functions(oir.from_proto(model.model))
