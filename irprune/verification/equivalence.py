"""Does the pruned model compute what the reference computes?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..analysis import Analysis, Mask
from ..errors import VerificationError
from ..frontends.scopes import proto_scopes, qualified
from ..ir.core import Array
from ..runtime.executable import Executable
from ..runtime.feeds import Feeds
from ..runtime.session import Outputs, RunFailure
from .bodies import readable_values, values_in_bodies
from .cases import Case, Cases
from .comparing import has_other_nans, keep_worst, noise_of, relative_error, settled, tolerance_of
from .decisions import values_before_decisions, values_before_outputs, values_shown_by
from .masks import complete_sizes, input_sizes, kept_part
from .noise import nearby_runs, run_in_double
from .reference import build
from .removal import Removal
from .report import Coverage, Divergence, Equivalence, OutputError
from .rounding import is_rounded, without_rounding

_CASES_AT_A_TIME = 16
"""Cases per session: the outputs of so many cases are held at a time."""


@dataclass
class _Run:
    """One case: the outputs of the pruned model and their errors, or the failure."""

    case: Case
    outputs: Outputs = field(default_factory=dict)
    errors: list[OutputError] = field(default_factory=list)
    as_is: list[OutputError] = field(default_factory=list)
    failure: str | None = None


def _grouped(models: Sequence[Executable]) -> Iterator[tuple[Executable, list[int]]]:
    """Each model once, with the positions at which it stands."""
    members: dict[int, list[int]] = {}
    for k, model in enumerate(models):
        members.setdefault(id(model), []).append(k)
    for found in members.values():
        yield models[found[0]], found


@dataclass
class _Findings:
    """The findings so far: the worst error of each output."""

    cases: Cases
    outputs: dict[str, OutputError] = field(default_factory=dict)
    as_is: dict[str, OutputError] = field(default_factory=dict)
    in_double: dict[str, OutputError] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    """Values inside the graph that decisions are made from."""
    inside: tuple[str, ...] = ()
    """Values that bodies hand out, and no decision is made from."""

    def add(self, errors: list[OutputError], as_is: list[OutputError], in_double: list[OutputError]) -> None:
        keep_worst(self.outputs, errors)
        keep_worst(self.as_is, as_is)
        keep_worst(self.in_double, in_double)

    def stopped(self, problem: str) -> Equivalence:
        outputs, *_ = self._apart()
        return Equivalence(outputs, self._labels(), self.cases.rejected, (problem,))

    def verdict(self, first: Divergence | None = None) -> Equivalence:
        outputs, before, inside = self._apart()
        as_is, in_double = (tuple(found.values()) for found in (self.as_is, self.in_double))
        return Equivalence(
            outputs, self._labels(), self.cases.rejected, (), first, as_is, in_double, before, inside=inside
        )

    def _apart(self) -> tuple[tuple[OutputError, ...], ...]:
        """What was found of the outputs, of the values before decisions, and of those that bodies hand out."""
        others = {*self.before, *self.inside}
        return (
            tuple(error for name, error in self.outputs.items() if name not in others),
            tuple(error for name, error in self.outputs.items() if name in self.before),
            tuple(error for name, error in self.outputs.items() if name in self.inside),
        )

    def _labels(self) -> tuple[str, ...]:
        return tuple(case.label for case in self.cases.items)


@dataclass
class Comparison:
    """One original, one removal, one pruned model. References are built once per input size at most.

    Where ``is_reference``, the original is the reference as it stands. ``ranges`` bound random inputs.
    """

    original: Executable
    pruned: Executable
    analysis: Analysis
    kept: Mapping[int, Mask]
    rtol: float | None = None
    is_reference: bool = False
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    _references: dict[tuple[object, ...], Executable] = field(default_factory=dict)
    _sizes_of: dict[tuple[bool, int], tuple[Case, dict[str, int]]] = field(default_factory=dict)
    _twins: dict[int, tuple[Executable, Executable | None]] = field(default_factory=dict)
    _inside: tuple[str, ...] = ()
    """Values inside bodies that are compared too."""

    def run(self, cases: Cases) -> tuple[Equivalence, list[Outputs]]:
        """The verdict, and the outputs of the pruned model in each case (optimizations off)."""
        self._inside = self._readable_inside(cases.items)
        decided = set(values_before_decisions(self.analysis))
        before = tuple(name for name in self.compared_inside if name in decided)
        found = _Findings(cases, before=before, inside=tuple(name for name in self._inside if name not in decided))
        outputs: list[Outputs] = []
        for start in range(0, len(cases.items), _CASES_AT_A_TIME):
            some = cases.items[start : start + _CASES_AT_A_TIME]
            runs = self._measure(some)
            if self._inside and any(run.failure is not None for run in runs):
                self._inside = ()  # the original hands them out, another model does not
                runs = self._measure(some)
            for run in runs:
                if run.failure is not None:
                    return found.stopped(f"ONNX Runtime stops in the {run.failure} ({run.case.label})"), outputs
                outputs.append(run.outputs)
                errors, in_double = self.without_noise(run.case, run.errors)
                found.add(errors, run.as_is, in_double)
                if any(not error.ok for error in errors):
                    return found.verdict(self.first_divergence(run.case)), outputs
        verdict = found.verdict()
        seen = {error.name for error in (*verdict.outputs, *verdict.before, *verdict.inside)}
        hidden = len(decided - seen)
        return replace(verdict, hidden=hidden, coverage=self._coverage(seen)), outputs

    def _coverage(self, compared: set[str]) -> Coverage:
        values = values_before_outputs(self.analysis)
        outer = values & self._own
        shown = values_shown_by(compared, self.analysis) & values
        in_bodies = len(values) - len(outer), len(shown - outer)
        return Coverage(len(outer & compared), len(shown & outer), len(outer), *in_bodies)

    @property
    def compared_inside(self) -> tuple[str, ...]:
        """The values inside the graph that are compared besides the outputs, in runs without optimizations.

        None of a model that rounds on the way to them, since a rounding falls to either side.
        """
        return (*self._outside, *self._inside)

    def _readable_inside(self, cases: Sequence[Case]) -> tuple[str, ...]:
        """The values inside bodies that are compared; none of a model that rounds."""
        scopes = {scope: graph for scope, graph in proto_scopes(self.pruned.proto.graph) if scope}
        if not scopes or any(is_rounded(graph) for graph in (self.pruned.proto.graph, *scopes.values())):
            return ()
        known = {
            qualified(scope, name) for scope, graph in scopes.items() for node in graph.node for name in node.output
        }
        wanted = values_in_bodies(self.analysis, self._own)
        comparable = known - self._inside_chains()
        return readable_values(self.original, cases, [name for name in wanted if name in comparable], self._fits)

    def _fits(self, name: str, case: Case, value: Array) -> bool:
        """Whether the kept part of a value is known, at the sizes that it has in a run."""
        try:
            self._kept(name, value, self._sizes(case))
        except VerificationError:
            return False
        return True

    @cached_property
    def _own(self) -> frozenset[str]:
        """The values that nodes of the main graph make."""
        return frozenset(name for node in self.original.proto.graph.node for name in node.output)

    @cached_property
    def _outside(self) -> tuple[str, ...]:
        """The values of the main graph from which decisions are made, and that both models have."""
        if is_rounded(self.pruned.proto.graph) and self._twin(self.pruned) is None:
            return ()
        outputs = {output.name for output in self.pruned.proto.graph.output}
        comparable = {name for name, _ in self._comparable()} - outputs
        return tuple(
            name for name in values_before_decisions(self.analysis) if name in comparable and name in self._own
        )

    def _measure(self, cases: Sequence[Case]) -> list[_Run]:
        """The errors of each case; of a quantized model those without rounding, and those as it is beside them."""
        runs = [_Run(case) for case in cases]
        also = () if is_rounded(self.pruned.proto.graph) else self.compared_inside
        self._sweep(runs, [(self.pruned, self.reference(case)) for case in cases], also)
        if any(run.failure is not None for run in runs):
            return runs
        rounded = [self.sides(run.case) for run in runs]
        if any(pruned is not self.pruned for pruned, _ in rounded):
            for run in runs:
                run.as_is, run.errors = run.errors, []
            self._sweep(runs, rounded, self.compared_inside)
        return runs

    def _sweep(self, runs: Sequence[_Run], sides: Sequence[tuple[Executable, Executable]], also: Sequence[str]) -> None:
        """Run each model on all of its cases before the next one is opened: one session at a time."""
        self.original.close()
        for optimize, inside in ((False, also), (True, ())):
            results: list[Outputs] = [{} for _ in runs]
            for pruned, members in _grouped([pruned for pruned, _ in sides]):
                for k in members:
                    results[k] = self._run_pruned(runs[k], pruned, optimize, inside)
                pruned.close()
            for reference, members in _grouped([reference for _, reference in sides]):
                for k in members:
                    self._compare(runs[k], reference, results[k], optimize, inside)
                    results[k] = {}
                reference.close()

    def _run_pruned(self, run: _Run, pruned: Executable, optimize: bool, also: Sequence[str]) -> Outputs:
        if run.failure is not None:
            return {}
        try:
            feeds = self.pruned_feeds(run.case, self._sizes(run.case))
            got = pruned.run(feeds, optimize=optimize, also=also)
        except RunFailure as error:
            run.failure = f"pruned model: {error}"
            return {}
        run.outputs = run.outputs or {name: value for name, value in got.items() if name not in also}
        return got

    def _compare(self, run: _Run, reference: Executable, got: Outputs, optimize: bool, also: Sequence[str]) -> None:
        if run.failure is not None:
            return
        try:
            expected = self._expected(run.case, reference, got, optimize, also)
        except RunFailure as error:
            run.failure = f"reference of the removal: {error}"
            return
        sizes = self._sizes(run.case)
        where = f"{run.case.label}, optimizations {'on' if optimize else 'off'}"
        run.errors += [self._output(name, expected[name], got[name], where, sizes) for name in self._ran(expected, got)]

    def sides(self, case: Case) -> tuple[Executable, Executable]:
        """The pruned model and its reference; of a quantized model both without rounding."""
        plain = self.pruned, self.reference(case)
        pruned, reference = (self._twin(model) for model in plain)
        return plain if pruned is None or reference is None else (pruned, reference)

    def without_noise(self, case: Case, errors: list[OutputError]) -> tuple[list[OutputError], list[OutputError]]:
        """The errors with the noise that accounts for them, and those in float64, which are asked for last."""
        if self.rtol is not None:
            return errors, []
        return settled(errors, lambda: self._noise(case), lambda: self._errors_in_double(case))

    def _noise(self, case: Case) -> dict[str, float]:
        """Per output the error that rounding accounts for."""
        sizes = self._sizes(case)
        runs = nearby_runs(self.sides(case)[1], case.feeds, self.compared_inside)
        return noise_of({name: self._kept(name, value, sizes) for name, value in run.items()} for run in runs)

    def _errors_in_double(self, case: Case) -> list[OutputError]:
        sizes = self._sizes(case)
        pruned, reference = self.sides(case)
        expected = run_in_double(reference, case.feeds, self.compared_inside)
        got = run_in_double(pruned, self.pruned_feeds(case, sizes), self.compared_inside)
        where = f"{case.label}, float64"
        return [self._output(name, expected[name], got[name], where, sizes) for name in self._ran(expected, got)]

    def _ran(self, expected: Outputs, got: Outputs) -> list[str]:
        """The values to compare: not those in bodies that neither model runs."""
        return [name for name in got if name not in self._inside or expected[name].size or got[name].size]

    def _twin(self, model: Executable) -> Executable | None:
        """The model without rounding; ``None`` for one that is not quantized."""
        if id(model) not in self._twins:
            proto = without_rounding(model.proto, model.data_folder)
            self._twins[id(model)] = (model, None if proto is None else Executable(proto, model.data_folder))
        return self._twins[id(model)][1]

    def _output(self, name: str, expected: Array, got: Array, where: str, sizes: Mapping[str, int]) -> OutputError:
        expected = self._kept(name, expected, sizes)
        return OutputError(
            name, got.dtype.name, relative_error(expected, got), tolerance_of(expected, self.rtol), where
        )

    def errors_of(self, case: Case, expected: Outputs, got: Outputs) -> list[OutputError]:
        """How far outputs of the pruned model are from the kept parts of those of the reference."""
        sizes = self._sizes(case)
        return [self._output(name, expected[name], got[name], case.label, sizes) for name in got]

    def _kept(self, name: str, value: Array, sizes: Mapping[str, int]) -> Array:
        dims = self.analysis.coupling.dims.get(name)
        if name in self._own or name not in self.analysis.graph.producers:
            return kept_part(value, dims, self.kept, sizes)
        if not value.size:
            return value  # the body does not run
        return kept_part(value, dims, self.kept, sizes, steps=value.ndim - len(dims or ()))

    def _expected(
        self, case: Case, reference: Executable, got: Outputs, optimize: bool, also: Sequence[str]
    ) -> Outputs:
        """What the reference computes; where only it has NaNs, with activations masked at all contractions."""
        expected = reference.run(case.feeds, optimize=optimize, also=also)
        if has_other_nans(expected, got):
            guarded = self.reference(case, guard=True)
            twin = None if reference is self.reference(case) else self._twin(guarded)
            reference.close()
            expected = (twin or guarded).run(case.feeds, optimize=optimize, also=also)
            (twin or guarded).close()
        return expected

    def _sizes(self, case: Case) -> dict[str, int]:
        return input_sizes(self.analysis, {name: array.shape for name, array in case.feeds.items()})

    def pruned_feeds(self, case: Case, sizes: Mapping[str, int] | None = None) -> Feeds:
        """The inputs of a case as the pruned model takes them."""
        sizes = self._sizes(case) if sizes is None else sizes
        dims = self.analysis.coupling.dims
        return {name: kept_part(array, dims.get(name), self.kept, sizes) for name, array in case.feeds.items()}

    def close(self) -> None:
        """Close all sessions; the next run opens others."""
        twins = [twin for model, twin in self._twins.values() if twin is not None]
        for model in (self.original, self.pruned, *self._references.values(), *twins):
            model.close()

    def reference(self, case: Case, *, guard: bool = False) -> Executable:
        """The reference for the sizes of a case, built when first asked for."""
        if self.is_reference:
            return self.original
        if (guard, None) in self._references:
            return self._references[guard, None]
        sizes = self._run_time_sizes(case, guard)
        shapes = tuple((name, array.shape) for name, array in sorted(case.feeds.items()))
        key = guard, (shapes, frozenset(sizes.items())) if sizes else None
        if key not in self._references:
            known = {**self._sizes(case), **sizes}
            self._references[key] = build(self.original, self.analysis, self.kept, sizes=known, guard=guard)
        return self._references[key]

    def _run_time_sizes(self, case: Case, guard: bool) -> dict[str, int]:
        """The open sizes that the reference depends on. Values of inputs may decide them, as the steps of a loop."""
        key = guard, id(case)
        if key not in self._sizes_of:

            def probe(names: list[str]) -> dict[str, Array]:
                return {k: v for part in self.original.probe(case.feeds, names) for k, v in part.items()}

            wanted = Removal(self.analysis, self.kept, guard).run_time_symbols()
            found = complete_sizes(self.analysis, wanted, self._sizes(case), probe)
            self._sizes_of[key] = case, {symbol: found[symbol] for symbol in wanted}
        return self._sizes_of[key][1]

    def first_divergence(self, case: Case) -> Divergence | None:
        """The first tensor, in the order of the graph, whose kept part the pruned model does not compute."""
        makers = dict(self._comparable())
        names = list(makers)
        sizes = self._sizes(case)
        pruned, reference = self.sides(case)
        parts = zip(
            reference.probe(case.feeds, names),
            pruned.probe(self.pruned_feeds(case, sizes), names),
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
