"""Does the pruned model compute what the reference computes?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..analysis import Analysis, Mask
from ..ir.core import Array
from .masks import input_sizes, kept_part
from .reference import Reference, build
from .report import Divergence, Equivalence, OutputError
from .rounding import without_rounding
from .runner import Case, Cases, Executable, Feeds, Outputs, RunFailure

TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "float16": 4e-3, "bfloat16": 3.2e-2}
"""Largest error relative to the scale of a tensor (the largest magnitude in the reference), by element type.

Sums of different length are added up in a different order. Measured on exported CNNs and one FSMN: correct removals
differ by at most 1e-5 in float32 and 8e-5 in float16; a float16 Llama of two layers differs by 1.0e-3, which is one
unit in the last place of its largest output. The half precisions are given four such units (2**-10 and 2**-7 each).
Of 92 planted faults (the inputs of one weight row rotated), 85 show in an output as 2.5e-3 or more; 7 do not show
beyond 3e-5, and what catches those is the bitwise comparison of weights, not this one. float64 is a choice: ONNX
Runtime's CPU kernels run too little of it to measure. Types that are no floats are compared exactly.
"""

_FLOOR = 1e-6
"""A tensor whose largest magnitude is below this is compared as if it were this."""


def relative_error(reference: Array, pruned: Array) -> float:
    """The largest difference over the scale of the reference; infinite where shapes, NaNs or infinities differ."""
    if reference.shape != pruned.shape or reference.dtype != pruned.dtype:
        return float("inf")
    if not is_float(reference):
        return 0.0 if np.array_equal(reference, pruned) else float("inf")
    if reference.dtype not in (np.float32, np.float64):
        reference, pruned = reference.astype(np.float32), pruned.astype(np.float32)
    finite = np.isfinite(reference)
    if not finite.all():
        if not np.array_equal(reference[~finite], pruned[~finite], equal_nan=True):
            return float("inf")
        reference, pruned = reference[finite], pruned[finite]
    if reference.size == 0:
        return 0.0
    scale = max(float(np.abs(reference).max()), _FLOOR)
    error = float(np.abs(np.asarray(reference, np.float64) - np.asarray(pruned, np.float64)).max()) / scale
    return error if np.isfinite(error) else float("inf")


def is_float(array: Array) -> bool:
    return array.dtype.name in TOLERANCE or array.dtype.kind == "f"


def tolerance_of(array: Array, rtol: float | None) -> float:
    """The tolerance for a tensor; zero for what is no float."""
    if not is_float(array):
        return 0.0
    return TOLERANCE.get(array.dtype.name, TOLERANCE["bfloat16"]) if rtol is None else rtol


class _ReferenceFailure(RunFailure):
    """It is the reference that ONNX Runtime stops in."""


@dataclass
class Comparison:
    """One original, one removal, one pruned model. References are built once per input size at most."""

    original: Executable
    pruned: Executable
    analysis: Analysis
    kept: Mapping[int, Mask]
    rtol: float | None = None
    _references: dict[tuple[object, ...], Executable] = field(default_factory=dict)
    _twins: dict[int, tuple[Executable, Executable | None]] = field(default_factory=dict)

    def run(self, cases: Cases) -> tuple[Equivalence, list[Outputs]]:
        """The verdict, and what the pruned model computes in each case (optimisations off)."""
        worst: dict[str, OutputError] = {}
        rounded: dict[str, OutputError] = {}
        outputs: list[Outputs] = []
        labels = tuple(case.label for case in cases.items)
        for case in cases.items:
            try:
                results, errors, as_is = self._compare(case)
            except RunFailure as error:
                stopped = "reference of the removal" if isinstance(error, _ReferenceFailure) else "pruned model"
                problem = f"ONNX Runtime stops in the {stopped} ({case.label}): {error}"
                return Equivalence(tuple(worst.values()), labels, cases.rejected, (problem,)), outputs
            outputs.append(results)
            _keep_worst(worst, errors)
            _keep_worst(rounded, as_is)
            if any(not found.ok for found in errors):
                first = self.first_divergence(case)
                return self._verdict(worst, rounded, cases, first), outputs
        return self._verdict(worst, rounded, cases, None), outputs

    def _verdict(
        self,
        worst: Mapping[str, OutputError],
        rounded: Mapping[str, OutputError],
        cases: Cases,
        first: Divergence | None,
    ) -> Equivalence:
        labels = tuple(case.label for case in cases.items)
        outputs, as_is = tuple(worst.values()), tuple(rounded.values())
        return Equivalence(outputs, labels, cases.rejected, (), first, as_is)

    def _compare(self, case: Case) -> tuple[Outputs, list[OutputError], list[OutputError]]:
        """What the pruned model computes, the errors that count, and for a quantised model those with rounding."""
        results, errors = self._errors(case, self.pruned, self.reference(case))
        pruned, reference = self._twin(self.pruned), self._twin(self.reference(case))
        if pruned is None or reference is None:
            return results, errors, []
        return results, self._errors(case, pruned, reference)[1], errors

    def _errors(self, case: Case, pruned: Executable, reference: Executable) -> tuple[Outputs, list[OutputError]]:
        errors: list[OutputError] = []
        results: Outputs = {}
        sizes = self._sizes(case)
        feeds = self._pruned_feeds(case, sizes)
        for optimise in (False, True):
            got = pruned.run(feeds, optimise=optimise)
            expected = self._expected(case, reference, got, optimise)
            results = results or got
            where = f"{case.label}, optimisations {'on' if optimise else 'off'}"
            errors += [self._output(name, expected[name], got[name], where, sizes) for name in got]
        return results, errors

    def _twin(self, model: Executable) -> Executable | None:
        """The model without rounding; ``None`` for one that is not quantised."""
        if id(model) not in self._twins:
            proto = without_rounding(model.proto, model.data_folder)
            self._twins[id(model)] = (model, None if proto is None else Executable(proto, model.data_folder))
        return self._twins[id(model)][1]

    def _output(self, name: str, expected: Array, got: Array, where: str, sizes: Mapping[str, int]) -> OutputError:
        expected = kept_part(expected, self.analysis.coupling.dims.get(name), self.kept, sizes)
        return OutputError(
            name, got.dtype.name, relative_error(expected, got), tolerance_of(expected, self.rtol), where
        )

    def _expected(self, case: Case, reference: Executable, got: Outputs, optimise: bool) -> Outputs:
        """What the reference computes; where only it has NaNs, with activations masked at all contractions."""
        try:
            expected = reference.run(case.feeds, optimise=optimise)
        except RunFailure as error:
            raise _ReferenceFailure(str(error)) from error
        if any(_has_nan(value) and not _has_nan(got[name]) for name, value in expected.items()):
            guarded = self.reference(case, guard=True)
            twin = None if reference is self.reference(case) else self._twin(guarded)
            expected = (twin or guarded).run(case.feeds, optimise=optimise)
        return expected

    def _sizes(self, case: Case) -> dict[str, int]:
        return input_sizes(self.analysis, {name: array.shape for name, array in case.feeds.items()})

    def _pruned_feeds(self, case: Case, sizes: Mapping[str, int]) -> Feeds:
        dims = self.analysis.coupling.dims
        return {name: kept_part(array, dims.get(name), self.kept, sizes) for name, array in case.feeds.items()}

    def reference(self, case: Case, *, guard: bool = False) -> Executable:
        """The reference for the sizes of a case, built when first asked for."""
        shapes = tuple((name, array.shape) for name, array in sorted(case.feeds.items()))
        for key in ((guard, None), (guard, shapes)):
            if key in self._references:
                return self._references[key]

        def probe(names: list[str]) -> dict[str, Array]:
            return {k: v for part in self.original.probe(case.feeds, names) for k, v in part.items()}

        built: Reference = build(
            self.original.proto, self.analysis, self.kept, sizes=self._sizes(case), probe=probe, guard=guard
        )
        executable = Executable(built.proto, self.original.data_folder)
        self._references[guard, shapes if built.depends_on_sizes else None] = executable
        return executable

    def first_divergence(self, case: Case) -> Divergence | None:
        """The first tensor, in the order of the graph, whose kept part the pruned model does not compute."""
        makers = dict(self._comparable())
        names = list(makers)
        sizes = self._sizes(case)
        reference, pruned = self.reference(case), self.pruned
        twins = self._twin(reference), self._twin(pruned)
        if twins[0] is not None and twins[1] is not None:
            reference, pruned = twins[0], twins[1]
        parts = zip(
            reference.probe(case.feeds, names),
            pruned.probe(self._pruned_feeds(case, sizes), names),
            strict=True,
        )
        for expected, got in parts:
            for name in expected:
                found = self._output(name, expected[name], got[name], "", sizes)
                if not found.ok:
                    return Divergence(name, makers[name], found.error)
        return None

    def _comparable(self) -> Iterator[tuple[str, str]]:
        """Values of both graphs with the node that makes them; the inside of a view chain has no counterpart."""
        inside = self._inside_chains()
        known = {name for node in self.pruned.proto.graph.node for name in node.output}
        for node in self.analysis.graph.nodes:
            for name in node.outputs:
                if name in known and name not in inside and self._is_tensor(name):
                    yield name, node.name

    def _is_tensor(self, name: str) -> bool:
        """Shape operands are meant to differ, and sequences cannot be compared."""
        value = self.analysis.graph.values.get(name)
        return value is not None and value.dtype is not None and value.dtype not in ("int64", "string")

    def _inside_chains(self) -> set[str]:
        return {
            output
            for region in self.analysis.coupling.regions
            for node in self.analysis.graph.nodes
            if node.name in region.nodes
            for output in node.outputs
            if output not in region.results
        }


def _keep_worst(worst: dict[str, OutputError], errors: list[OutputError]) -> None:
    for found in errors:
        if found.name not in worst or not found.error <= worst[found.name].error:
            worst[found.name] = found


def _has_nan(value: Array) -> bool:
    return isinstance(value, np.ndarray) and is_float(value) and bool(np.isnan(value.astype(np.float32)).any())
