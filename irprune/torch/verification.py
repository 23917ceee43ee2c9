"""A smaller module against the reference of its removal: in torch, and on ONNX Runtime after ``torch.onnx.export``."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from ..analysis import Analysis, Mask
from ..errors import InputError, VerificationError
from ..frontends.captured import tensors_of
from ..frontends.effects import mutated_nodes
from ..frontends.fx import Imported, as_array
from ..ir.core import Array
from ..plans import Plan
from ..runtime.executable import Executable
from ..runtime.feeds import fed_inputs
from ..runtime.session import RunFailure
from ..verification.comparing import has_other_nans, keep_worst, noise_of, relative_error, settled, tolerance_of
from ..verification.fidelity import measure_fidelity
from ..verification.floors import NO_FLOORS, Floors
from ..verification.masks import complete_sizes, input_sizes, kept_part
from ..verification.removal import Removal
from ..verification.report import Divergence, Equivalence, OutputError, Report, Stopwatch, Structure
from ..verification.structure import allowed_to_change
from .capture.module import quiet
from .cases import Case
from .noise import case_in_double, module_in_double, nearby_cases
from .reference import build_reference

Outputs: TypeAlias = dict[str, Array]


@dataclass
class Verification:
    """One original, one removal, one smaller module. ``kept`` is :meth:`Analysis.kept` of what the plan removes.

    ``traced`` is the module that the original was captured of, where there is one.
    """

    original: fx.GraphModule
    small: fx.GraphModule
    imported: Imported
    analysis: Analysis
    kept: Mapping[int, Mask]
    plan: Plan
    rtol: float | None = None
    traced: nn.Module | None = None

    def run(
        self,
        cases: Sequence[Case],
        *,
        runtime: bool = True,
        inputs: str = "",
        labels: Array | None = None,
        floors: Floors = NO_FLOORS,
    ) -> Report:
        """All answers; ``runtime`` adds the comparison of both exports on ONNX Runtime.

        ``inputs`` says what the user's inputs are, where the cases are these; ``labels`` are right decisions on them.
        """
        clock = Stopwatch()
        structure = self.check_structure()
        structure = replace(structure, problems=(*structure.problems, *self.check_capture(cases[0])))
        clock.lap("structure")
        equivalence, results, answers = self.compare(cases)
        clock.lap("equivalence")
        others = f", and {len(results) - 1} like them" if len(results) > 1 else ""
        described = inputs or f"the example inputs{others}"
        complete = len(results) == len(cases)
        fidelity = measure_fidelity(
            answers,
            results,
            labels if complete else None,
            inputs=described,
            is_random=not inputs,
            may_change=allowed_to_change(self.plan),
        )
        clock.lap("fidelity")
        found, note = self.compare_exports(cases[0]) if runtime and equivalence.ok else (None, "not asked for")
        clock.lap("on ONNX Runtime")
        return Report(structure, equivalence, fidelity, found, note, floors, clock.seconds)

    # -- structure ---------------------------------------------------------------------------------------------

    def check_structure(self) -> Structure:
        """Every parameter and buffer is the original's, or the slice of it that the plan names, bit for bit."""
        wrong: list[str] = []
        before, after = tensors_of(self.original), tensors_of(self.small)
        made = changed = 0
        alias = {other: name for name, others in self.imported.aliases.items() for other in others}
        for name, tensor in after.items():
            part = self.plan.slices.get(alias.get(name, name))
            origin = (part.of if part is not None else None) or name
            if origin not in before:
                made += 1
                if tensor.is_floating_point() or tensor.is_complex():  # the rewriter adds indices and sizes alone
                    wrong.append(f"tensor '{name}' of {tensor.dtype}: neither the original nor the plan has it")
                continue
            expected = as_array(before[origin])
            for axis, (_, indices) in (part.axes if part is not None else {}).items():
                expected = expected.take(np.asarray(indices, dtype=np.intp), axis=axis)
            if expected.shape != tuple(tensor.shape) or expected.tobytes() != as_array(tensor).tobytes():
                changed += 1
                wrong.append(f"tensor '{name}': expected the original's slice of shape {list(expected.shape)}")
        missing = [name for name in self.plan.slices if name not in after]
        problems = [*_contradictions(self.small.graph), *wrong]
        problems += [f"tensor '{name}' of the plan is missing" for name in missing]
        return Structure(tuple(problems), len(after), unchanged=len(after) - made - changed, made=made)

    def check_capture(self, case: Case) -> Iterator[str]:
        """Compare the captured calls with the module itself, unless running the module would change its state."""
        changes = any(node.op == "get_attr" for node in mutated_nodes(self.original.graph))
        if self.traced is None or self.traced.training or changes:
            return
        outputs = []
        for module in (self.traced, self.original):
            with torch.random.fork_rng():
                torch.manual_seed(0)
                outputs.append(self._run(module, case))
        for name, value in outputs[0].items():
            error = relative_error(value, outputs[1][name])
            if not error <= tolerance_of(value, self.rtol):
                yield f"output '{name}': what was captured of the module differs from the module by {error:.1e}"

    # -- in torch ----------------------------------------------------------------------------------------------

    def compare(self, cases: Sequence[Case]) -> tuple[Equivalence, list[Outputs], list[Outputs]]:
        """The verdict, the outputs of the smaller module, and those of the original."""
        worst: dict[str, OutputError] = {}
        doubles: dict[str, OutputError] = {}
        results: list[Outputs] = []
        answers: list[Outputs] = []
        rejected: list[str] = []
        problems: list[str] = []
        ran: list[str] = []
        wrong: Case | None = None
        for number, case in enumerate(cases):
            try:
                answer = self._run(self.original, case)
            except Exception as error:  # modules raise all kinds of errors for sizes that they do not take
                if number == 0:
                    said = f"{type(error).__name__}: {_first_line(error)}"
                    raise InputError(f"the model does not run on the {case.label}: {said}") from error
                rejected.append(f"{case.label}: {_first_line(error)}")
                continue
            ran.append(case.label)
            try:
                found = self._run(self.small, self._pruned(case))
            except Exception as error:  # and for sizes that contradict each other
                problems.append(f"the smaller module stops on {case.label}: {_first_line(error)}")
                wrong = wrong or case
                continue
            answers.append(answer)
            results.append(found)
            try:
                errors, in_double = self._without_noise(case, self._errors(case, self._expected(case, found), found))
            except VerificationError as error:
                problems.append(f"{error} ({case.label})")
                continue
            keep_worst(worst, errors)
            keep_worst(doubles, in_double)
            if any(not error.ok for error in errors):
                wrong = wrong or case
        first = None if wrong is None else self.first_divergence(wrong)
        equivalence = Equivalence(
            tuple(worst.values()),
            tuple(ran),
            tuple(rejected),
            tuple(problems),
            first,
            in_double=tuple(doubles.values()),
        )
        return equivalence, results, answers

    def _expected(self, case: Case, found: Outputs) -> Outputs:
        expected = self._run(self.reference(case), case)
        return self._run(self.reference(case, guard=True), case) if has_other_nans(expected, found) else expected

    def _errors(self, case: Case, expected: Outputs, found: Outputs) -> list[OutputError]:
        errors: list[OutputError] = []
        for name, wanted in self._kept(case, expected).items():
            error, tolerance = relative_error(wanted, found[name]), tolerance_of(wanted, self.rtol)
            errors.append(OutputError(name, wanted.dtype.name, error, tolerance, case.label))
        return errors

    def _kept(self, case: Case, outputs: Outputs) -> Outputs:
        """What the smaller module should have of the reference's outputs."""
        sizes, dims = self._sizes(case), self.analysis.coupling.dims
        return {name: kept_part(value, dims.get(name), self.kept, sizes) for name, value in outputs.items()}

    def _without_noise(self, case: Case, errors: list[OutputError]) -> tuple[list[OutputError], list[OutputError]]:
        """The errors with the noise that accounts for them, and those in float64."""
        if self.rtol is not None:
            return errors, []

        def noise() -> dict[str, float]:
            reference = self.reference(case)
            return noise_of(self._kept(case, self._tried(reference, near)) for near in nearby_cases(case))

        def in_double() -> list[OutputError]:
            wide, small = case_in_double(case), case_in_double(self._pruned(case))
            expected = self._tried(module_in_double(self.reference(case)), wide)
            return self._errors(wide, expected, self._tried(module_in_double(self.small), small))

        return settled(errors, noise, in_double)

    def _tried(self, module: nn.Module, case: Case) -> Outputs:
        """The outputs. Raises :class:`RunFailure`."""
        try:
            return self._run(module, case)
        except Exception as error:  # whatever a module raises
            raise RunFailure(_first_line(error)) from error

    def reference(self, case: Case, *, guard: bool = False) -> fx.GraphModule:
        """The reference for the sizes of a case."""
        removal = Removal(self.analysis, self.kept, guard)
        sizes = complete_sizes(self.analysis, removal.run_time_symbols(), self._sizes(case), self._probe(case))
        return build_reference(self.original, self.imported, self.analysis, self.kept, sizes, guard=guard)

    def _probe(self, case: Case) -> Callable[[list[str]], dict[str, Array]]:
        return lambda names: _watched(self.original, self._placeholders(case), names)

    def first_divergence(self, case: Case) -> Divergence | None:
        """The first tensor, in the order of the graph, whose kept part the smaller module does not compute."""
        makers = {name: node.name for node in self.analysis.graph.nodes for name in node.outputs if name}
        sizes = self._sizes(case)
        expected = _watched(self.reference(case), self._placeholders(case), list(makers))
        found = _watched(self.small, self._placeholders(self._pruned(case)), list(makers), until_it_stops=True)
        for name, maker in makers.items():
            if name not in expected or name not in found:
                continue
            wanted = kept_part(expected[name], self.analysis.coupling.dims.get(name), self.kept, sizes)
            error = relative_error(wanted, found[name])
            if not error <= tolerance_of(wanted, self.rtol):
                return Divergence(name, maker, error)
        return None

    # -- on ONNX Runtime ---------------------------------------------------------------------------------------

    def compare_exports(self, case: Case) -> tuple[Equivalence | None, str]:
        """Both modules exported and run; ``None`` and the reason where the reference cannot be exported."""
        if importlib.util.find_spec("onnxscript") is None:
            return None, "onnxscript is not installed, which torch.onnx.export needs"
        try:
            reference = export_onnx(self.reference(case), case)
        except Exception as error:  # the exporter raises errors of many kinds
            return None, f"torch.onnx.export cannot write the original: {_first_line(error)}"
        pruned = self._pruned(case)
        try:
            expected = self._run_onnx(reference, case)
        except RunFailure as error:
            return None, f"ONNX Runtime cannot run the original's export: {error}"
        try:
            found = self._run_onnx(export_onnx(self.small, pruned), pruned)
        except Exception as error:
            problem = f"the smaller module does not export or run: {_first_line(error)}"
            return Equivalence((), (case.label,), (), (problem,)), ""
        errors, in_double = self._without_noise(case, self._errors(case, expected, found))
        return Equivalence(tuple(errors), (case.label,), in_double=tuple(in_double)), ""

    def _run_onnx(self, proto: onnx.ModelProto, case: Case) -> Outputs:
        """Inputs and results by position: the exporter names them its own way."""
        leaves = [as_array(leaf) for leaf in self._placeholders(case) if isinstance(leaf, Tensor)]
        names = [value.name for value in fed_inputs(proto.graph)]
        results = Executable(proto).run(dict(zip(names, leaves, strict=True)), optimize=False)
        return dict(zip(self._output_names, results.values(), strict=True))

    # -- running -----------------------------------------------------------------------------------------------

    def _all_inputs(self) -> list[str]:
        return [n.name for n in self.original.graph.nodes if n.op == "placeholder" and _is_tensor(n)]

    @cached_property
    def _output_names(self) -> list[str]:
        """The value of each tensor among the results, in order."""
        output = next(n for n in self.original.graph.nodes if n.op == "output")
        leaves = pytree.tree_leaves(output.args[0])
        return [leaf.name for leaf in leaves if isinstance(leaf, fx.Node) and _is_tensor(leaf)]

    def _run(self, module: nn.Module, case: Case) -> Outputs:
        with torch.no_grad():
            results = module(*case.args, **case.kwargs)
        tensors = [leaf for leaf in pytree.tree_leaves(results) if isinstance(leaf, Tensor)]
        return {name: as_array(tensor) for name, tensor in zip(self._output_names, tensors, strict=True)}

    def _placeholders(self, case: Case) -> list[Any]:
        return list(pytree.tree_leaves((case.args, dict(case.kwargs))))

    def _sizes(self, case: Case) -> dict[str, int]:
        leaves = [leaf for leaf in self._placeholders(case) if isinstance(leaf, Tensor)]
        shapes = {name: tuple(leaf.shape) for name, leaf in zip(self._all_inputs(), leaves, strict=True)}
        return input_sizes(self.analysis, shapes)

    def _pruned(self, case: Case) -> Case:
        """The inputs of the smaller module: of those that may change shape, the kept part."""
        sizes, names = self._sizes(case), iter(self._all_inputs())

        def shrink(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            dims = self.analysis.coupling.dims.get(next(names))
            part = kept_part(as_array(leaf), dims, self.kept, sizes)
            return leaf if part.shape == tuple(leaf.shape) else torch.from_numpy(np.ascontiguousarray(part))

        args, kwargs = pytree.tree_map(shrink, (case.args, dict(case.kwargs)))
        return Case(case.label, args, kwargs)


def _contradictions(graph: fx.Graph) -> Iterator[str]:
    """What is malformed in a graph, such as a value that is read before it is computed."""
    try:
        graph.lint()
    except RuntimeError as error:
        yield f"the graph of the smaller module is broken: {_first_line(error)}"


def _is_tensor(node: fx.Node) -> bool:
    if node.op == "get_attr":
        return True
    return isinstance(node.meta.get("val"), Tensor)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _watched(
    module: fx.GraphModule, inputs: Sequence[Any], names: Sequence[str], *, until_it_stops: bool = False
) -> dict[str, Array]:
    """Values of a run by node name; with ``until_it_stops``, those computed before a failing run stopped."""
    wanted, seen = set(names), dict[str, Array]()

    class Watcher(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if n.name in wanted and isinstance(result, Tensor):
                seen[n.name] = as_array(result).copy()
            return result

    with torch.no_grad(), suppress(*([Exception] if until_it_stops else [])):
        Watcher(module).run(*inputs, enable_io_processing=False)
    return seen


def export_onnx(module: fx.GraphModule, case: Case, dynamic_shapes: Any = None) -> onnx.ModelProto:
    """The module as an ONNX model, at the sizes of the case where no dimensions vary.

    Without gradients: with them, tracing and decomposing give attention different memory layouts.
    """
    kwargs = dict(case.kwargs)
    with quiet(), redirect_stdout(io.StringIO()), torch.no_grad():
        program = torch.onnx.export(
            module, case.args, kwargs=kwargs, dynamo=True, verbose=False, dynamic_shapes=dynamic_shapes
        )
    assert program is not None
    return program.model_proto
