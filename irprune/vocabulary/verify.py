"""Proof that a model of fewer tokens is the original on these: kept rows bit for bit, outputs to rounding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from ..frontends.files import load
from ..ir.core import Array
from ..plans import Plan
from ..runtime.executable import Executable
from ..runtime.feeds import Feeds
from ..runtime.session import RunFailure
from ..verification.cases import random_cases
from ..verification.comparing import relative_error, tolerance_of
from ..verification.report import Equivalence, Fidelity, OutputError, Report, Structure
from .tables import Vocabulary


def verify(
    original: Path,
    smaller: Path,
    plan: Plan,
    vocabulary: Vocabulary,
    kept: Sequence[int],
    *,
    seed: int = 0,
    rtol: float | None = None,
) -> Report:
    """Run both on the same tokens, under the ids that each has for them, and compare the logits of kept tokens."""
    problems = list(_structure(original, smaller, plan))
    first, second = Executable(original), Executable(smaller)
    generator = np.random.default_rng(seed)
    tokens = np.asarray(kept)
    errors: dict[str, OutputError] = {}
    cases = random_cases(first, seed=seed, runs=3)
    failures: list[str] = []
    for case in cases.items:
        ours: Feeds = dict(case.feeds)
        theirs: Feeds = dict(case.feeds)
        for name in vocabulary.ids:
            places = generator.integers(len(tokens), size=np.shape(ours[name]))
            ours[name] = tokens[places].astype(case.feeds[name].dtype)
            theirs[name] = places.astype(case.feeds[name].dtype)
        try:
            wanted, found = first.run(ours), second.run(theirs)
        except RunFailure as error:
            failures.append(f"{error} ({case.label})")
            break
        for name, array in wanted.items():
            if name in vocabulary.logits:
                array = np.take(array, tokens, axis=vocabulary.logits[name])
            worst = _error(name, array, found[name], case.label, rtol)
            if name not in errors or worst.error > errors[name].error:
                errors[name] = worst
    labels = tuple(case.label for case in cases.items)
    equivalence = Equivalence(tuple(errors.values()), labels, cases.rejected, tuple(failures))
    structure = Structure(tuple(problems), len(plan.slices), unchanged=len(plan.slices))
    return Report(structure, equivalence, Fidelity(()))


def _error(name: str, wanted: Array, found: Array, label: str, rtol: float | None) -> OutputError:
    tolerance = tolerance_of(wanted, rtol)
    error = relative_error(wanted, found) if wanted.shape == found.shape else float("inf")
    return OutputError(name, str(wanted.dtype), error, tolerance, label)


def _structure(original: Path, smaller: Path, plan: Plan) -> Iterator[str]:
    """What is wrong with the tensors of the smaller file: each has to be the original's, or its slice, bit for bit."""
    try:
        onnx.checker.check_model(str(smaller), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        yield f"the ONNX checker refuses the model: {' '.join(str(error).split())[:200]}"
    before, after = (load(path).graph.initializers for path in (original, smaller))
    for name, value in after.items():
        part = plan.slices.get(name)
        source = before.get(part.of or name if part is not None else name)
        if source is None or source.const_value is None or value.const_value is None:
            continue  # made by the rewriter: the runs show what it does
        if part is None and len(value.const_value.shape) < 2 and value.const_value.dtype.is_integer():
            continue  # a size that follows
        wanted = source.const_value.numpy()
        for axis, (_, places) in part.axes.items() if part is not None else ():
            wanted = wanted.take(places, axis=axis)
        if wanted.tobytes() != value.const_value.numpy().tobytes():
            yield f"tensor '{name}' is not the original's at the kept places"
