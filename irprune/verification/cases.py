"""Inputs for comparing models: random ones, at sizes that the original accepts."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import onnx

from ..errors import InputError
from ..runtime.data import open_data
from ..runtime.executable import Executable
from ..runtime.feeds import AnyData, Feeds, fed_inputs, input_types
from ..runtime.session import Outputs, RunFailure
from .affordable import by_cost
from .ranges import choices, index_bounds, masks


@dataclass(frozen=True)
class InputSpec:
    """A graph input: its element type and its dimensions; an unnamed one is called ``<input>:<position>``.

    ``bound`` is the size of the table that it indexes, ``is_mask`` says that it chooses what counts, ``points`` that it
    indexes another input (the edges of a graph do). ``choices`` are the values of a single number between which the
    graph distinguishes. ``ends`` are the least and the greatest number that it may hold, where these are given.
    """

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int | str, ...]
    matched: int | None = None
    is_mask: bool = False
    points: bool = False
    choices: tuple[int, ...] = ()
    ends: tuple[float, float] | None = None

    @property
    def symbols(self) -> list[str]:
        """The open sizes that its dimensions depend on."""
        return [symbol for dim in self.dims if isinstance(dim, str) for symbol in symbols_of_dim(dim)]

    def shape(self, symbols: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(dim if isinstance(dim, int) else _evaluate(dim, symbols) for dim in self.dims)


def input_specs(proto: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]] | None = None) -> list[InputSpec]:
    """The inputs that have to be fed; ``ranges`` bound some of them.

    Raises :class:`InputError` for one that is not a numeric tensor.
    """
    bounds, chosen, compared = index_bounds(proto.graph), masks(proto.graph), choices(proto.graph)
    return [
        replace(
            _input_spec(info),
            matched=bounds.get(info.name),
            is_mask=info.name in chosen,
            choices=compared.get(info.name, ()),
            ends=(ranges or {}).get(info.name),
        )
        for info in fed_inputs(proto.graph)
    ]


def _input_spec(info: onnx.ValueInfoProto) -> InputSpec:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape") or tensor.elem_type in (
        onnx.TensorProto.STRING,
        onnx.TensorProto.UNDEFINED,
    ):
        raise InputError(f"input '{info.name}' is not a numeric tensor of known rank: give --inputs")
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    dims = tuple(
        int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or f"{info.name}:{k}"
        for k, dim in enumerate(tensor.shape.dim)
    )
    return InputSpec(info.name, dtype, dims)


def _parse(dim: str) -> ast.expr | None:
    """``past + 1`` as an expression; ``None`` for text that is not one, such as ``None`` or ``N//0``."""
    try:
        tree = ast.parse(dim, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    nodes = list(ast.walk(tree))
    computes = any(isinstance(node, ast.Name) for node in nodes) and all(map(_is_arithmetic, nodes))
    return tree if computes and len(dim) <= _LONGEST else None


_LONGEST = 200
"""Characters of an expression; what is longer is one symbol."""


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
        return isinstance(node.right, ast.Name) or (isinstance(node.right, ast.Constant) and bool(node.right.value))
    return isinstance(node, (ast.BinOp, ast.Name, ast.Load, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv))


def symbols_of_dim(dim: str) -> list[str]:
    """The symbols of ``past + 1``: those that it is computed of."""
    tree = _parse(dim)
    return [dim] if tree is None else [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def _evaluate(dim: str, symbols: Mapping[str, int]) -> int:
    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Name):
            return symbols[node.id]
        if isinstance(node, ast.Constant):
            return node.value  # type: ignore[return-value]
        assert isinstance(node, ast.BinOp)
        left, right = value(node.left), value(node.right)
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.FloorDiv):
            return left // right
        return left + right if isinstance(node.op, ast.Add) else left - right

    tree = _parse(dim)
    return symbols[dim] if tree is None else value(tree)


_TRIALS = (
    # batch, a side of an image or volume, anything else (a sequence)
    (1, 64, 8),
    (3, 96, 5),
    (1, 96, 5),
    (3, 64, 8),
    (1, 224, 16),
    (2, 32, 4),
    (1, 299, 2),
    (1, 512, 128),
    (2, 16, 1),
    (1, 1, 1),
)
_DISTINCT_SIZES = 2

_LONG = (256, 512, 1024, 4096)
"""Lengths for models that run at none of the above: windows of sound, or the minimum of a reflecting Pad."""

_LONGEST_SIDE = 640


def trial_sizes(specs: Sequence[InputSpec]) -> list[dict[str, int]]:
    """Trial sizes of the symbols, the most informative first; a single empty one for static inputs."""
    kinds = _kinds(specs)
    return _distinct({symbol: trial[kind] for symbol, kind in kinds.items()} for trial in _TRIALS)


def long_sizes(specs: Sequence[InputSpec]) -> list[dict[str, int]]:
    """Larger sizes, for models that run at no smaller ones: in all dimensions except the batch, then in one only.

    Dimensions without a name may be equal although nothing says so (a batch, and that of a recurrent state): one long
    dimension among ones fits them too.
    """
    kinds = _kinds(specs)
    if not kinds:
        return []
    trials: list[dict[str, int]] = []
    for length in _LONG:
        trials += [
            {symbol: (batch, min(length, _LONGEST_SIDE), length)[kind] for symbol, kind in kinds.items()}
            for batch in (1, 2)
        ]
        trials += [{symbol: length if symbol == long else 1 for symbol in kinds} for long in kinds if kinds[long] == 2]
    return _distinct(trials)


def further_sizes(specs: Sequence[InputSpec]) -> list[dict[str, int]]:
    """Sizes for models that run at no usual ones: one is the sum of two others, or they are long."""
    return [*summed_sizes(specs), *long_sizes(specs)]


def summed_sizes(specs: Sequence[InputSpec]) -> list[dict[str, int]]:
    """Sizes where one is the sum of two others: a mask that covers the past and what is new.

    A sequence comes before the sides of what may be an image, since masks have no more than two dimensions.
    """
    kinds = _kinds(specs)
    free = sorted((symbol for symbol, kind in kinds.items() if kind), key=lambda symbol: -kinds[symbol])
    found: list[dict[str, int]] = []
    for batch, side, length in _TRIALS[:_SUMMED]:
        values = {symbol: (batch, side, length)[kind] for symbol, kind in kinds.items()}
        sums = sorted({values[a] + values[b] for a, b in combinations(free, 2)})
        found += [{**values, symbol: total} for symbol in free for total in sums]
    return _distinct(found)[:_MOST_SUMS]


_SUMMED = 2
"""How many sums of sizes are tried."""

_MOST_SUMS = 100


def _kinds(specs: Sequence[InputSpec]) -> dict[str, int]:
    """Per symbol its column in the trials."""
    kinds: dict[str, int] = {}
    for spec in specs:
        for k, dim in enumerate(spec.dims):
            for symbol in symbols_of_dim(dim) if isinstance(dim, str) else ():
                kind = 0 if k == 0 else 1 if k >= 2 and len(spec.dims) >= 4 else 2
                kinds[symbol] = min(kind, kinds.get(symbol, kind))
    return kinds


def _distinct(trials: Iterable[dict[str, int]]) -> list[dict[str, int]]:
    found: list[dict[str, int]] = []
    for sizes in trials:
        if sizes not in found:
            found.append(sizes)
    return found


_ATTEMPTS = 5
"""Seeds that are tried for a case at sizes that the original runs at."""

_INTEGER_BOUND = 8
"""Bound of random integers that the graph does not constrain."""


def random_feeds(specs: Sequence[InputSpec], sizes: Mapping[str, int], seed: int) -> Feeds:
    """Normal floats, integers that index what they look up, random booleans; masks are all ones.

    Where the ends of a range are given, numbers are spread evenly between them.
    """
    rng = np.random.default_rng(seed)
    smallest = max(1, min((size for spec in specs for size in spec.shape(sizes)), default=1))
    feeds: Feeds = {}
    for spec in specs:
        shape = spec.shape(sizes)
        if spec.ends is not None and spec.dtype.kind != "b":
            drawn = rng.uniform(*spec.ends, shape)
            feeds[spec.name] = (np.rint(drawn) if spec.dtype.kind in "iu" else drawn).astype(spec.dtype)
        elif spec.dtype.kind in "iub" and spec.matched is None and (spec.is_mask or "mask" in spec.name.lower()):
            feeds[spec.name] = np.ones(shape, dtype=spec.dtype)
        elif spec.dtype.kind in "iub":
            unknown = min(smallest, _INTEGER_BOUND) if spec.points else _INTEGER_BOUND
            matched = 2 if spec.dtype.kind == "b" else spec.matched or unknown
            feeds[spec.name] = rng.integers(0, matched, shape).astype(spec.dtype)
        else:
            feeds[spec.name] = rng.standard_normal(shape).astype(spec.dtype)
    return feeds


# -- cases -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Inputs on which models are compared, with the outputs of the original."""

    label: str
    feeds: Feeds
    outputs: Outputs


@dataclass(frozen=True)
class Cases:
    """``rejected`` says which sizes the original does not run at, ``notes`` how the user's inputs were changed."""

    items: tuple[Case, ...]
    rejected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def random_cases(
    original: Executable,
    *,
    seed: int,
    runs: int,
    asked: Mapping[str, int] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Cases:
    """Seeded random inputs, at two sizes where sizes are symbolic and the original accepts two.

    ``asked`` gives open sizes (by symbol) that the first case has, ``ranges`` the ends of inputs.
    If the graph compares an input number with constants, there is one more case for each of them, so that every branch
    is taken.

    Raises :class:`InputError` where the original runs at none, or not at those that were asked for.
    """
    specs = input_specs(original.proto, ranges)
    first = _asked_case(original, specs, asked or {}, seed)
    trials = by_cost(original.proto, specs, trial_sizes(specs))
    accepted, rejected, why = _accepted(original, specs, trials, seed)
    if not (accepted or first):
        accepted, longer, last = _accepted(original, specs, further_sizes(specs), seed)
        rejected, why = rejected + longer, last or why
    accepted = _distinct_first([*first, *accepted])
    if not accepted and any(spec.dtype.kind in "iu" and spec.matched is None for spec in specs):
        specs = [replace(spec, points=True) for spec in specs]
        accepted, _, _ = _accepted(original, specs, trial_sizes(specs), seed)
    if not accepted:
        raise InputError(f"ONNX Runtime cannot run the original model on random inputs: {why}")
    cases = [case for _, case in accepted][:runs]
    for k in range(len(cases), runs):
        seeds = range(seed + k, seed + k + _ATTEMPTS * runs, runs)
        cases.append(_first_case(original, specs, accepted[k % len(accepted)][0], seeds))
    sizes = [sizes for sizes, _ in accepted]
    cases += _chosen_cases(original, specs, _distinct([*sizes, *trials, *further_sizes(specs)]), tuple(cases))
    return Cases(tuple(cases), tuple(rejected))


def _first_case(
    original: Executable, specs: Sequence[InputSpec], sizes: Mapping[str, int], seeds: Sequence[int]
) -> Case:
    """The case of the first seed that the original runs with: at some numbers, as no step of a loop, it may not run."""
    for seed in seeds[:-1]:
        try:
            return _random_case(original, specs, sizes, seed)
        except RunFailure:
            continue
    return _random_case(original, specs, sizes, seeds[-1])


def _asked_case(
    original: Executable, specs: Sequence[InputSpec], asked: Mapping[str, int], seed: int
) -> list[tuple[dict[str, int], Case]]:
    """A case at the sizes that were asked for, others being the first that the original takes with them."""
    if not asked:
        return []
    trials = _distinct({**sizes, **asked} for sizes in (*trial_sizes(specs), *further_sizes(specs)))
    accepted, _, why = _accepted(original, specs, trials, seed, count=1)
    if not accepted:
        raise InputError(f"ONNX Runtime cannot run the original model at {_spell(asked)}: {why}")
    return accepted


def _distinct_first(accepted: Iterable[tuple[dict[str, int], Case]]) -> list[tuple[dict[str, int], Case]]:
    """The first cases of different sizes."""
    found: list[tuple[dict[str, int], Case]] = []
    for sizes, case in accepted:
        if all(sizes != other for other, _ in found) and len(found) < _DISTINCT_SIZES:
            found.append((sizes, case))
    return found


def _chosen_cases(
    original: Executable, specs: Sequence[InputSpec], trials: Sequence[dict[str, int]], cases: Sequence[Case]
) -> Iterator[Case]:
    """A case for each choice that no case covers yet, at the first sizes at which the original runs."""
    for spec in specs:
        for choice in spec.choices:
            if any((case.feeds[spec.name] == choice).all() for case in cases):
                continue
            for sizes in trials:
                try:
                    yield _random_case(original, specs, sizes, 0, {spec.name: choice})
                except RunFailure:
                    continue
                break


def _accepted(
    original: Executable,
    specs: Sequence[InputSpec],
    trials: Iterable[dict[str, int]],
    seed: int,
    count: int = _DISTINCT_SIZES,
) -> tuple[list[tuple[dict[str, int], Case]], list[str], str]:
    """The first sizes that the original runs at, with a case each; those it does not run at, and why it stopped."""
    accepted: list[tuple[dict[str, int], Case]] = []
    rejected: list[str] = []
    why = ""
    for sizes in trials:
        try:
            accepted.append((sizes, _random_case(original, specs, sizes, seed + len(accepted))))
        except RunFailure as error:
            rejected.append(_spell(sizes))
            why = str(error)
        if len(accepted) == count:
            break
    return accepted, rejected, why


def _random_case(
    original: Executable,
    specs: Sequence[InputSpec],
    sizes: Mapping[str, int],
    seed: int,
    chosen: Mapping[str, int] | None = None,
) -> Case:
    feeds = random_feeds(specs, sizes, seed)
    for name, choice in (chosen or {}).items():
        feeds[name] = np.full_like(feeds[name], choice)
    words = (f"seed {seed}", _spell(sizes), _spell(chosen or {}))
    return Case(", ".join(filter(None, words)), feeds, original.run(feeds))


def _spell(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{symbol}={size}" for symbol, size in sizes.items())


def given_cases(original: Executable, inputs: AnyData) -> Cases:
    """The user's inputs, of any kind that :func:`open_data` takes; what exceeds a fixed batch is fed one at a time.

    Raises :class:`InputError` for inputs that do not fit the model, or that the original does not run on.
    """
    data = open_data(inputs, input_types(original.proto))
    try:
        items = [
            Case(f"given inputs, part {number}", feeds, original.run(feeds)) for number, feeds in enumerate(data, 1)
        ]
    except RunFailure as error:
        raise InputError(f"ONNX Runtime cannot run the original model on the given inputs: {error}") from error
    return Cases(tuple(items), notes=data.notes)
