"""Shapes that inference leaves open, read from runs of the model at two sizes.

Shape inference does not know the rank of any value behind an operator without a schema, or a branch. ONNX Runtime does,
since it runs the model. A size is a plain number only if it stays the same while every symbolic size of the inputs
changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..ir import Dim, Graph, Value
from ..ir.core import Array
from ..runtime.executable import Executable
from ..runtime.session import RunFailure
from .cases import Case, input_specs, random_cases
from .cutting import runnable_part

_RUNS = 2

Shape = tuple[int, ...]


def with_observed_shapes(graph: Graph, original: Executable) -> Graph:
    """The graph, with shapes for values of the main graph whose rank inference does not know.

    The graph is returned unchanged if there are none, or if the model does not run.
    """
    made = [name for node in graph.nodes for name in node.outputs if name and graph.shape(name) is None]
    if not made:
        return graph
    try:
        original, _ = runnable_part(original)
        inside = {name for node in original.proto.graph.node for name in node.output}
        cases = random_cases(original, seed=0, runs=_RUNS).items
        runs = [_arrays(original, case, [name for name in made if name in inside]) for case in cases]
    except (InputError, RunFailure):
        return graph
    symbols = [_symbols(original, case) for case in cases]
    values: dict[str, Value] = {}
    for name in made:
        seen = [run[name] for run in runs if name in run]
        shape = _common([array.shape for array in seen], symbols) if len(seen) == len(runs) else None
        if shape is not None:
            values[name] = Value(name, seen[0].dtype.name, shape)
    return replace(graph, values={**graph.values, **values}, observed=tuple(values))


def note(graph: Graph) -> str:
    """A line on the observed shapes, for reports."""
    return f"inference leaves {len(graph.observed)} shapes open; they were read from runs of the model"


def _arrays(original: Executable, case: Case, names: Sequence[str]) -> dict[str, Array]:
    """The tensors among some values, as arrays that hold one element."""
    found: dict[str, Array] = {}
    for values in original.probe(case.feeds, names):
        tensors = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        found.update({name: np.broadcast_to(np.zeros((), value.dtype), value.shape) for name, value in tensors.items()})
    return found


def _symbols(original: Executable, case: Case) -> dict[str, int]:
    """The sizes of the named dimensions of the inputs."""
    return {
        dim: size
        for spec in input_specs(original.proto)
        for dim, size in zip(spec.dims, case.feeds[spec.name].shape, strict=True)
        if isinstance(dim, str)
    }


def _common(shapes: Sequence[Shape], symbols: Sequence[dict[str, int]]) -> tuple[Dim, ...] | None:
    """The shape that holds at all sizes; ``None`` if ranks differ."""
    if len({len(shape) for shape in shapes}) != 1:
        return None
    all_vary = all(len({sizes[name] for sizes in symbols}) == len(symbols) for name in symbols[0])
    return tuple(_dim(sizes, symbols, all_vary=all_vary) for sizes in zip(*shapes, strict=True))


def _dim(sizes: Sequence[int], symbols: Sequence[dict[str, int]], *, all_vary: bool) -> Dim:
    if len(set(sizes)) == 1:
        return sizes[0] if all_vary else None
    named = [name for name in symbols[0] if [run[name] for run in symbols] == list(sizes)]
    return named[0] if len(named) == 1 else None
