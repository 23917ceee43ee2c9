"""Two models side by side, without a plan: their outputs, and the first tensor of one name in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..errors import InputError
from ..ir.core import Array
from ..runtime.executable import Executable
from ..runtime.feeds import AnyData, InputType, input_types
from ..runtime.session import Outputs, RunFailure
from .cases import Case, given_cases, random_cases
from .comparing import relative_error, tolerance_of
from .driver import Model, inlined
from .report import Divergence, OutputError

FORMAT = "irprune.comparison/1"

_AT_A_TIME = 32
"""Most values inside each graph that are compared."""


@dataclass(frozen=True)
class Compared:
    """What two models make of the same inputs.

    ``first`` is the first tensor, in the order of the first model, that differs among the ``shared`` tensors of one
    name; ``problems`` is what keeps outputs from being compared, ``notes`` how the user's inputs were changed.
    """

    outputs: tuple[OutputError, ...]
    cases: tuple[str, ...]
    problems: tuple[str, ...] = ()
    shared: int = 0
    first: Divergence | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems and all(output.ok for output in self.outputs)

    def failures(self) -> list[str]:
        """One line for each thing that differs."""
        lines = [output.failure("output", "the first model") for output in self.outputs if not output.ok]
        return [*self.problems, *lines, *([] if self.first is None else [str(self.first)])]

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "ok": self.ok,
            "outputs": [{**output.as_json(), "ok": output.ok} for output in self.outputs],
            "cases": list(self.cases),
            "problems": list(self.problems),
            "notes": list(self.notes),
            "shared_tensors": self.shared,
            "first": None if self.first is None else self.first.as_json(),
        }


def compare_models(
    left: Model, right: Model, *, inputs: AnyData | None = None, rtol: float | None = None, seed: int = 0, runs: int = 3
) -> Compared:
    """Run two models on ``inputs`` (see :mod:`irprune.runtime.feeds`), or on ``runs`` random ones, and compare.

    Outputs are compared by name; where no name is shared and there are as many, in their order. ``rtol`` replaces the
    tolerance of all float types.

    Raises :class:`InputError` for models with different inputs, and where the first does not run.
    """
    first, second = inlined(left), inlined(right)
    require_same_inputs(input_types(first.proto), input_types(second.proto))
    pairs, problems = paired_outputs(_outputs(first), _outputs(second))
    cases = random_cases(first, seed=seed, runs=runs) if inputs is None else given_cases(first, inputs)
    errors: dict[str, OutputError] = {}
    worst: Case | None = None
    for case in cases.items:
        try:
            found = second.run(case.feeds)
        except RunFailure as failure:
            problems.append(f"the second model does not run: {failure} ({case.label})")
            break
        for name, other in pairs:
            error = _error_of(name, case, case.outputs[name], found[other], rtol)
            if name not in errors or error.error > errors[name].error:
                errors[name] = error
            worst = worst or (None if error.ok else case)
    shared = shared_tensors(first, second)
    place = None if worst is None else _first_difference(first, second, shared, worst, rtol)
    labels = tuple(case.label for case in cases.items)
    return Compared(tuple(errors.values()), labels, tuple(problems), len(shared), place, cases.notes)


def _outputs(model: Executable) -> list[str]:
    return [output.name for output in model.proto.graph.output]


def require_same_inputs(left: Sequence[InputType], right: Sequence[InputType]) -> None:
    """Raise :class:`InputError` unless both models are fed alike: the same names, element types and ranks."""
    ours, theirs = ({spec.name: spec for spec in specs} for specs in (left, right))
    if ours.keys() != theirs.keys():
        raise InputError(
            f"the models have different inputs, {', '.join(ours) or 'none'} and {', '.join(theirs) or 'none'}: "
            "nothing can be fed to both"
        )
    for name, spec in ours.items():
        other = theirs[name]
        if spec.dtype != other.dtype:
            raise InputError(f"input '{name}' is {spec.dtype} in the first model and {other.dtype} in the second")
        ranks = [None if each.dims is None else len(each.dims) for each in (spec, other)]
        if None not in ranks and ranks[0] != ranks[1]:
            raise InputError(f"input '{name}' has rank {ranks[0]} in the first model and {ranks[1]} in the second")


def paired_outputs(left: Sequence[str], right: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Which outputs are compared, and what is said of the others."""
    if not set(left) & set(right) and len(left) == len(right):
        return list(zip(left, right, strict=True)), []
    problems = [f"output '{name}' is missing in the second model" for name in left if name not in right]
    problems += [f"output '{name}' is missing in the first model" for name in right if name not in left]
    return [(name, name) for name in left if name in right], problems


def _error_of(name: str, case: Case, ours: Array, theirs: Array, rtol: float | None) -> OutputError:
    is_array = isinstance(ours, np.ndarray)
    error = _difference(ours, theirs)
    tolerance = tolerance_of(ours, rtol) if is_array else 0.0
    return OutputError(name, ours.dtype.name if is_array else type(ours).__name__, error, tolerance, case.label)


def _difference(ours: Any, theirs: Any) -> float:
    """The relative error of arrays; of sequences the largest of their parts; of anything else whether it differs."""
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
        return relative_error(ours, theirs)
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return max((_difference(*pair) for pair in zip(ours, theirs, strict=True)), default=0.0)
    return 0.0 if type(ours) is type(theirs) and ours == theirs else float("inf")


# -- inside ------------------------------------------------------------------------------------------------------------


def shared_tensors(left: Executable, right: Executable) -> list[str]:
    """The values that nodes of both models make under one name, in the order of the first."""
    theirs = {name for node in right.proto.graph.node for name in node.output}
    ours = (name for node in left.proto.graph.node for name in node.output)
    return [name for name in dict.fromkeys(ours) if name and name in theirs]


def _first_difference(
    left: Executable, right: Executable, names: Sequence[str], case: Case, rtol: float | None
) -> Divergence | None:
    makers = {name: node for node in left.proto.graph.node for name in node.output}
    for name, ours, theirs in _values(left, right, names, case):
        error = relative_error(ours, theirs)
        if error > tolerance_of(ours, rtol):
            node = makers[name]
            return Divergence(name, node.name or node.op_type, error)
    return None


def _values(
    left: Executable, right: Executable, names: Sequence[str], case: Case
) -> Iterator[tuple[str, Array, Array]]:
    """Tensors of both models by name, in order; values that ONNX Runtime hands to nobody are passed over."""
    rest = iter(names)
    waiting = [list(islice(rest, _AT_A_TIME))]
    while waiting:
        some = waiting.pop()
        if not some:
            continue
        try:
            ours, theirs = (_inside(model, some, case) for model in (left, right))
        except RunFailure:
            half = len(some) // 2
            waiting += [some[half:], some[:half]] if half else []
        else:
            for name in some:
                if isinstance(ours[name], np.ndarray) and isinstance(theirs[name], np.ndarray):
                    yield name, ours[name], theirs[name]
        if not waiting:
            waiting.append(list(islice(rest, _AT_A_TIME)))


def _inside(model: Executable, names: Sequence[str], case: Case) -> Outputs:
    found: Outputs = {}
    for values in model.probe(case.feeds, names):
        found.update(values)
    return found
