"""The sizes for cost figures: those that the user gives, or the first ones that the model runs at.

Multiply-accumulates count for one element of the batch. All other open sizes have the value that ``--shape`` and
``--size`` give them; without these, the first of verification's trial sizes that ONNX Runtime accepts. Sizes that
follow from the inputs (the height of a feature map, the length of a sequence after strides) are read from shape
inference with fixed inputs, or from a run if inference leaves them open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as oir

from ..analysis import Analysis
from ..analysis.cost import mac_axes, symbols_in
from ..errors import InputError
from ..frontends.onnx import import_model
from ..runtime.executable import Executable
from ..runtime.session import RunFailure
from .cases import InputSpec, further_sizes, input_specs, random_feeds, symbols_of_dim, trial_sizes
from .masks import input_sizes, solved, symbols_of

Shapes = Mapping[str, Sequence[int]]

_BATCH = re.compile(r"n|b|bs|batch\w*|\w*_batch|\w*batch_?size", re.IGNORECASE)


def requested_sizes(specs: Sequence[InputSpec], shapes: Shapes, sizes: Mapping[str, int]) -> dict[str, int]:
    """The values of the inputs' symbols that the user's shapes and sizes give.

    Raises :class:`InputError` for inputs and symbols that the model does not have, and for sizes that contradict the
    model or each other.
    """
    known = {symbol for spec in specs for symbol in spec.symbols}
    found: dict[str, int] = {}
    for symbol, size in sizes.items():
        if symbol not in known:
            there_are = f"the open sizes are {', '.join(sorted(known))}" if known else "the model has no open size"
            raise InputError(f"--size {symbol}={size}: there is no open size of that name; {there_are}")
        found[symbol] = size
    by_name = {spec.name: spec for spec in specs}
    for name, shape in shapes.items():
        if name not in by_name:
            raise InputError(f"--shape {name}: there is no input of that name; the inputs are {', '.join(by_name)}")
        _read_shape(by_name[name], shape, found)
    for name, shape in shapes.items():  # sizes that depend on others, such as past + 1
        spec = by_name[name]
        if all(symbol in found for symbol in spec.symbols) and spec.shape(found) != tuple(shape):
            raise InputError(f"--shape {name}: {_spell(shape)} contradicts {_spell(spec.dims)} elsewhere")
    return found


def _read_shape(spec: InputSpec, shape: Sequence[int], found: dict[str, int]) -> None:
    if len(shape) != len(spec.dims):
        raise InputError(
            f"--shape {spec.name}: expected {len(spec.dims)} sizes, for {_spell(spec.dims)}, got {_spell(shape)}"
        )
    for dim, size in zip(spec.dims, shape, strict=True):
        if isinstance(dim, int) and dim != size:
            raise InputError(f"--shape {spec.name}: the model declares {_spell(spec.dims)}, got {_spell(shape)}")
        if isinstance(dim, str) and symbols_of_dim(dim) == [dim] and found.setdefault(dim, size) != size:
            raise InputError(f"--shape {spec.name}: {dim} is {found[dim]} elsewhere, got {size}")


def batch_symbols(specs: Sequence[InputSpec]) -> frozenset[str]:
    """The open sizes that count elements of the batch: by name, otherwise the first dimensions of inputs."""
    named = {symbol for spec in specs for symbol in spec.symbols if _BATCH.fullmatch(symbol)}
    first = {spec.dims[0] for spec in specs if len(spec.dims) > 1 and isinstance(spec.dims[0], str)}
    return frozenset(named or first)


def at_sizes(
    analysis: Analysis,
    model: oir.Model,
    executable: Callable[[], Executable],
    *,
    shapes: Shapes | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Analysis:
    """The analysis with numbers for open sizes, so that its costs are those of a run.

    ``executable`` opens the model on ONNX Runtime; it is called only if sizes are not known otherwise.

    Raises :class:`InputError` for shapes and sizes that the model does not have, or does not run at.
    """
    wanted = symbols_in(axis for axes in mac_axes(analysis.coupling) for axis in axes)
    if not (wanted or shapes or sizes):
        return analysis
    specs = _declared_inputs(model)
    given = requested_sizes(specs, shapes or {}, sizes or {})
    named = {symbol for symbol in batch_symbols(specs) if symbol not in given or _BATCH.fullmatch(symbol)}
    fixed = {**given, **dict.fromkeys(named, 1)}
    symbols = _completed(executable, specs, fixed, is_asked=bool(given))
    if symbols is None:
        return analysis
    inputs = {spec.name: spec.shape(symbols) for spec in specs}
    known = input_sizes(analysis, inputs)
    if wanted - known.keys():
        known = _solve(analysis, _inferred(model, inputs), known)
    if left := wanted - known.keys():
        known = _solve(analysis, _observed(analysis, executable(), symbols, left), known)
    return replace(analysis, sizes=known, at=inputs)


def run_sizes(model: Executable, shapes: Shapes, sizes: Mapping[str, int]) -> dict[str, int]:
    """Values for all open sizes of a model: those of a request, a batch of one, and others that the model runs at.

    Raises :class:`InputError` for shapes and sizes that the model does not have, or does not run at.
    """
    specs = input_specs(model.proto)
    given = requested_sizes(specs, shapes, sizes)
    fixed = {**dict.fromkeys(batch_symbols(specs) - given.keys(), 1), **given}
    found = _completed(lambda: model, specs, fixed, is_asked=bool(given))
    if found is None:
        raise InputError("the model runs at none of the sizes that were tried; give them with --shape or --size")
    return found


def _declared_inputs(model: oir.Model) -> list[InputSpec]:
    """The inputs that have to be fed, if the model declares their types."""
    found: list[InputSpec] = []
    for value in model.graph.inputs:
        if value.name in model.graph.initializers or value.shape is None or value.dtype is None:
            continue
        dims = tuple(
            dim if isinstance(dim, int) and dim >= 0 else getattr(dim, "value", None) or f"{value.name}:{k}"
            for k, dim in enumerate(value.shape)
        )
        found.append(InputSpec(str(value.name), np.dtype(value.dtype.numpy()), dims))
    return found


def _completed(
    executable: Callable[[], Executable], specs: Sequence[InputSpec], fixed: Mapping[str, int], *, is_asked: bool
) -> dict[str, int] | None:
    """Values for all open sizes of the inputs: the fixed ones, and for others the first that the model runs at.

    ``None`` if the model runs at no trial size and the user gave none.
    """
    trials = [{**sizes, **fixed} for sizes in (*trial_sizes(specs), *further_sizes(specs))] or [dict(fixed)]
    if trials[0].keys() == fixed.keys():
        return trials[0]
    failure, model = "", executable()
    specs = input_specs(model.proto)
    for sizes in _distinct(trials):
        try:
            model.run(random_feeds(specs, sizes, 0))
        except RunFailure as error:
            failure = failure or str(error)
        else:
            return sizes
    if is_asked:
        raise InputError(f"the model does not run at the sizes that were given: {failure}")
    return None


def _distinct(trials: Iterable[dict[str, int]]) -> list[dict[str, int]]:
    return [dict(items) for items in dict.fromkeys(tuple(sorted(sizes.items())) for sizes in trials)]


def _inferred(model: oir.Model, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int | None, ...]]:
    """The shapes that inference finds when the inputs have these; ``None`` for a size that it leaves open."""
    graph = import_model(model, inputs)
    found: dict[str, tuple[int | None, ...]] = {}
    for name, value in graph.values.items():
        if value.shape is not None:
            found[name] = tuple(dim if isinstance(dim, int) else None for dim in value.shape)
    return found


def _observed(
    analysis: Analysis, executable: Executable, symbols: Mapping[str, int], left: set[str]
) -> dict[str, tuple[int | None, ...]]:
    """The shapes, in a run, of values whose dimensions determine some symbols; empty if the model does not run."""
    inside = {name for node in executable.proto.graph.node for name in node.output}
    telling = [
        name
        for name, dims in analysis.coupling.dims.items()
        if name in inside and any(symbols_of(axis) & left for axis in dims or ())
    ]
    found: dict[str, tuple[int | None, ...]] = {}
    if telling:
        try:
            for values in executable.probe(random_feeds(input_specs(executable.proto), symbols, 0), telling):
                found.update({name: value.shape for name, value in values.items() if hasattr(value, "shape")})
        except RunFailure:
            return found
    return found


def _solve(
    analysis: Analysis, shapes: Mapping[str, tuple[int | None, ...]], known: Mapping[str, int]
) -> dict[str, int]:
    """The known symbols, and those determined by shapes of values."""
    sizes = dict(known)
    open_dims = dict.fromkeys(
        (axis, actual)
        for name, dims in analysis.coupling.dims.items()
        for axis, actual in zip(dims or (), shapes.get(name, ()), strict=False)
        if actual is not None and symbols_of(axis)
    )
    waiting = list(open_dims)
    while True:
        before = len(sizes)
        for axis, actual in waiting:
            sizes.update(solved(axis, actual, sizes))
        if len(sizes) == before:
            return sizes
        waiting = [(axis, actual) for axis, actual in waiting if symbols_of(axis) - sizes.keys()]


def _spell(dims: Iterable[int | str]) -> str:
    return f"[{', '.join(map(str, dims))}]"
