"""The three answers, one after the other."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
import onnx_ir as oir

from ..analysis import analyze
from ..backends.onnx import to_proto
from ..errors import InputError
from ..frontends.files import inline_functions, load
from ..frontends.onnx import import_model
from ..ir import Graph
from ..ir.core import Array
from ..plans import Plan, removed_atoms
from ..runtime.executable import Executable
from ..runtime.feeds import AnyData
from ..runtime.session import RunFailure
from .cases import Cases, given_cases, random_cases
from .equivalence import Comparison, relative_error, tolerance_of
from .fidelity import measure_fidelity
from .observed import note, with_observed_shapes
from .report import Report
from .structure import check_structure

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
    labels: Array | None = None,
    graph: Graph | None = None,
) -> Report:
    """Verify ``pruned`` against ``original`` and the plan that says what was removed.

    Models are compared on ``inputs`` (see :mod:`irprune.runtime.feeds`), or on ``runs`` random ones. ``rtol`` replaces
    the tolerance of all float types. ``labels`` (with ``inputs``) adds the top-1 accuracy of both models.

    ``graph`` is the import of ``original`` where that was made already.

    That the plan was made for this original is for the caller to check (:func:`irprune.identity.require_same`).
    Raises :class:`InputError` where the original does not run.
    """
    if runs < 1:
        raise InputError(f"runs must be at least 1, got {runs}")
    if labels is not None and inputs is None:
        raise InputError("labels need the inputs that they belong to")
    before, after = inlined(original), _executable(pruned)
    structure = check_structure(before, after, plan)
    if graph is None:
        graph = with_observed_shapes(import_model(_ir_model(before)), before)
    if graph.observed:
        structure = replace(structure, notes=(*structure.notes, note(graph)))
    analysis = analyze(graph, plan.request.allow_io)
    kept = analysis.kept(removed_atoms(plan, analysis))
    try:
        cases = random_cases(before, seed=seed, runs=runs) if inputs is None else given_cases(before, inputs)
    except RunFailure as error:
        raise InputError(f"ONNX Runtime cannot run the original model: {error}") from error
    before.close()
    equivalence, outputs = Comparison(before, after, analysis, kept, rtol).run(cases)
    # A quantized model rounds otherwise with optimizations on, and float64 is a verdict that needs no float32.
    if not (equivalence.ok or equivalence.as_is or equivalence.in_double):
        require_repeatable(before, cases, rtol)
    answers = [case.outputs for case in cases.items]
    complete = labels is not None and len(outputs) == len(answers)
    fidelity = measure_fidelity(answers, outputs, np.asarray(labels) if complete else None)
    return Report(structure, equivalence, fidelity)


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
    """The model, without functions: calls of them hide what is inside."""
    found = _executable(model)
    return Executable(to_proto(_ir_model(found)), found.data_folder) if found.proto.functions else found


def _executable(model: Model) -> Executable:
    return Executable(model if isinstance(model, onnx.ModelProto) else Path(model))


def _ir_model(model: Executable) -> oir.Model:
    return load(model.model) if isinstance(model.model, Path) else inline_functions(oir.from_proto(model.model))
