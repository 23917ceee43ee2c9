"""Feeds of a model: data of the user, checked against the inputs of the graph.

Data is a mapping of arrays by input name, an array (for a model of one input), an iterable of either, an onnxruntime
``CalibrationDataReader``, or a path; :mod:`irprune.runtime.data` opens any of them. It is read when it is iterated, in
the order in which it was given, and again by the next iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from ..errors import InputError
from ..ir.core import Array

if TYPE_CHECKING:
    import onnx

Feeds: TypeAlias = dict[str, Array]

AnyData: TypeAlias = Any
"""A mapping, an array, an iterable of either, a ``CalibrationDataReader`` or a path (:mod:`irprune.runtime.data`)."""

_LARGEST = 1e19
"""Larger numbers overflow float32 when they are squared; outputs would be meaningless."""


class Stored(Protocol):
    """An array that is read in part, along its first axis."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, rows: slice) -> Array: ...


Piece: TypeAlias = Mapping[str, Stored]
"""Arrays by input name that belong together; they may be unread files."""


@dataclass(frozen=True)
class InputType:
    """An input of a graph: its element type and its dimensions, open ones as a name or ``None``.

    ``dtype`` is ``None`` for inputs other than tensors, ``dims`` if the rank is unknown.
    """

    name: str
    dtype: np.dtype[Any] | None
    dims: tuple[int | str | None, ...] | None

    @property
    def first(self) -> int | None:
        """The first dimension, where it is fixed."""
        return self.dims[0] if self.dims and isinstance(self.dims[0], int) else None


def input_types(proto: onnx.ModelProto) -> tuple[InputType, ...]:
    """The inputs of a model that have to be fed, in its order."""
    return tuple(map(_input_type, fed_inputs(proto.graph)))


def fed_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs of a graph that are not initializers as well, whose values a caller need not give."""
    stored = {tensor.name for tensor in graph.initializer}
    return [info for info in graph.input if info.name not in stored]


def _input_type(info: onnx.ValueInfoProto) -> InputType:
    from onnx.helper import tensor_dtype_to_np_dtype

    tensor = info.type.tensor_type
    if not info.type.HasField("tensor_type") or not tensor.elem_type:
        return InputType(info.name, None, None)
    dtype = np.dtype(tensor_dtype_to_np_dtype(tensor.elem_type))
    if not tensor.HasField("shape"):
        return InputType(info.name, dtype, None)
    dims = (dim.dim_value if dim.dim_value > 0 else dim.dim_param or None for dim in tensor.shape.dim)
    return InputType(info.name, dtype, tuple(dims))


Inputs: TypeAlias = Sequence[InputType]


@dataclass(frozen=True)
class DataSource:
    """Data before its model is known. ``origin`` names it in messages ("cats.npz", "the inputs")."""

    origin: str
    pieces: Callable[[Inputs], Iterable[tuple[str, Piece]]] = field(repr=False)
    """Each piece with its own name for messages; an array without a name is the only input's."""
    sized: bool = True
    """Whether the pieces can be counted without computing or reading them."""

    def described(self, runs: int) -> str:
        """What the data is, in words; folders are left out."""
        return f"{Path(self.origin).name} ({runs} {'run' if runs == 1 else 'runs'})"

    def fed_to(self, inputs: Inputs) -> Data:
        """The feeds of a model with these inputs."""
        return Data(self, tuple(inputs))


@dataclass(frozen=True)
class Data:
    """Checked feeds of one model.

    Iterating gives feeds, each for one run: what was given as one piece is one feed, unless the first dimension of an
    input is fixed and the piece holds several of them. Raises :class:`InputError` for data that does not fit the
    model, and for numbers on which no comparison can rest (NaN, infinities, 1e38).
    """

    source: DataSource
    inputs: tuple[InputType, ...]
    converted: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    """By input, the dtype of floats in the data that the model takes in another one; known once the data is read."""

    @property
    def notes(self) -> tuple[str, ...]:
        """A line on inputs that were rounded to another dtype, if there are any."""
        if not self.converted:
            return ()
        types = {spec.name: spec.dtype for spec in self.inputs}
        name, dtype = next(iter(self.converted.items()))
        more = f" and {len(self.converted) - 1} more" if len(self.converted) > 1 else ""
        return (f"input '{name}'{more}: the data is {dtype}, converted to the model's {types[name]}",)

    def __iter__(self) -> Iterator[Feeds]:
        return self._feeds(None)

    def batches(self, size: int) -> Iterator[Feeds]:
        """Feeds of at most ``size`` samples each, where the first dimension of every input is open.

        A fixed first dimension is kept, and a piece that has an input without a first dimension of samples stays whole.
        """
        if size < 1:
            raise InputError(f"the size of a batch must be at least 1, got {size}")
        return self._feeds(size)

    @property
    def samples(self) -> int | None:
        """How many samples there are, counted along the first axis; ``None`` where only reading them would tell."""
        if not self.source.sized:
            return None
        return sum(_layout(self._checked(name, piece), self.inputs, name).samples for name, piece in self._pieces())

    def first(self) -> Feeds:
        """The first feed: that it exists and fits is what a command checks before its work."""
        return next(iter(self))

    def _feeds(self, size: int | None) -> Iterator[Feeds]:
        empty = True
        for name, piece in self._pieces():
            piece = self._checked(name, piece)
            for part in _layout(piece, self.inputs, name).parts(size):
                empty = False
                self.converted.update(
                    (spec.name, part[spec.name].dtype.name)
                    for spec in self.inputs
                    if spec.dtype is not None
                    and _kind(spec.dtype) == "float"
                    and part[spec.name].dtype.itemsize > spec.dtype.itemsize
                )
                yield {spec.name: _values(spec, part[spec.name], name) for spec in self.inputs}
        if empty:
            raise InputError(f"{self.source.origin}: holds no samples")

    def _pieces(self) -> Iterable[tuple[str, Piece]]:
        return self.source.pieces(self.inputs)

    def _checked(self, name: str, piece: Piece) -> Piece:
        """The piece, where names, types and shapes fit the inputs."""
        known = [spec.name for spec in self.inputs]
        for missing in (spec for spec in known if spec not in piece):
            given = _listed(list(piece), "none")
            raise InputError(f"{name}: input '{missing}' is missing; the model has {_listed(known)}, the data {given}")
        for unknown in (given for given in piece if given not in known):
            raise InputError(f"{name}: the model has no input '{unknown}'; it has {_listed(known)}")
        for spec in self.inputs:
            _require_type(spec, piece[spec.name], name)
            _require_shape(spec, piece[spec.name].shape, name)
        return piece


def numbered(given: Iterable[Any], inputs: Inputs, origin: str) -> Iterator[tuple[str, Piece]]:
    """The pieces that an iterable gives; what it raises becomes an :class:`InputError`."""
    for name, piece in named_pieces(given, origin):
        yield name, as_piece(piece, inputs, name)


def named_pieces(given: Iterable[Any], origin: str) -> Iterator[tuple[str, Any]]:
    """What an iterable gives, with names for messages; what it raises becomes an :class:`InputError`."""
    pieces = iter(given)
    for number in count(1):
        name = f"{origin}, part {number}"
        try:
            piece = next(pieces)
        except StopIteration:
            return
        except InputError:
            raise
        except Exception as error:  # the user's own code
            raise InputError(f"{name}: {type(error).__name__}: {error}") from error
        yield name, piece


def as_piece(given: Any, inputs: Inputs, origin: str) -> Piece:
    """Arrays by input name; a single array stands for the only input. Raises :class:`InputError` for anything else."""
    if not isinstance(given, Mapping):
        if not hasattr(given, "__array__"):
            raise InputError(f"{origin}: expected arrays by input name, got {type(given).__name__}")
        given = {only_input(inputs, origin): given}
    return {str(name): _as_array(value, f"{origin}: input '{name}'") for name, value in given.items()}


def only_input(inputs: Inputs, origin: str) -> str:
    """The name of the only input. Raises :class:`InputError` for a model that has several."""
    if len(inputs) != 1:
        names = _listed([spec.name for spec in inputs])
        raise InputError(f"{origin}: holds one array without a name, the model has {len(inputs)} inputs: {names}")
    return inputs[0].name


def _as_array(value: Any, where: str) -> Array:
    try:
        array = np.asarray(value)
    except Exception as error:  # a tensor on another device, a ragged list
        raise InputError(f"{where}: not an array: {error}") from error
    if array.dtype == object and not all(isinstance(item, str) for item in array.flat):
        raise InputError(f"{where}: expected an array of numbers, got one of Python objects")
    return array


_LISTED = 10
"""Names in a message."""


def _listed(names: Sequence[str], nothing: str = "no inputs") -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(f"'{name}'" for name in names[:_LISTED]) + more or nothing


# -- types, shapes, numbers --------------------------------------------------------------------------------------------


def _require_type(spec: InputType, array: Stored, origin: str) -> None:
    if spec.dtype is None:
        raise InputError(f"{origin}: input '{spec.name}' is not a tensor, and files of arrays hold tensors only")
    kinds = _kind(spec.dtype), _kind(array.dtype)
    if kinds[0] != kinds[1]:
        expected = "strings" if kinds[0] == "string" else spec.dtype.name
        raise InputError(f"{origin}: input '{spec.name}' has dtype {array.dtype.name}, expected {expected}")


def _kind(dtype: np.dtype[Any]) -> str:
    """Types of one kind are converted into each other, where no value changes but by rounding."""
    if dtype.kind in "OUST":
        return "string"
    if dtype.kind in "iu" or dtype.name in ("int4", "uint4", "int2", "uint2"):
        return "integer"
    return "float" if dtype.kind in "fV" else dtype.name


def _require_shape(spec: InputType, shape: tuple[int, ...], origin: str) -> None:
    if spec.dims is None:
        return
    expected = "[" + ", ".join(str(dim or "?") for dim in spec.dims) + "]"
    fits = len(shape) == len(spec.dims) and all(
        not isinstance(dim, int) or size == dim or (axis == 0 and size % dim == 0)
        for axis, (size, dim) in enumerate(zip(shape, spec.dims, strict=False))
    )
    if not fits:
        raise InputError(f"{origin}: input '{spec.name}' has shape {list(shape)}, expected {expected}")
    if shape and shape[0] == 0:
        raise InputError(f"{origin}: input '{spec.name}' has shape {list(shape)}: it holds no samples")


def _values(spec: InputType, given: Stored, origin: str) -> Array:
    """The array as the model takes it."""
    assert spec.dtype is not None
    array = np.ascontiguousarray(given[:]) if given.shape else np.asarray(given)
    kind = _kind(spec.dtype)
    if kind == "float":
        _require_numbers(spec, array, origin)
    if kind == "string":
        return array.astype(object)
    with np.errstate(over="ignore"):
        converted = array.astype(spec.dtype, copy=False)
    if kind == "integer" and not np.array_equal(converted, array):
        raise InputError(f"{origin}: input '{spec.name}' holds numbers that do not fit into {spec.dtype.name}")
    if kind == "float" and array.dtype != spec.dtype:
        _require_range(spec, array, converted, origin)
    return converted


def _require_range(spec: InputType, given: Array, converted: Array, origin: str) -> None:
    """Raise :class:`InputError` where a narrower type has no room for a number; masks may hold the least of all."""
    lost = np.isinf(converted.astype(np.float32)) & np.isfinite(given.astype(np.float64))
    lost &= ~(_is_mask(spec) & (given.astype(np.float64) < 0))
    if lost.any():
        number = float(given[lost].flat[0])
        raise InputError(f"{origin}: input '{spec.name}' holds {number:.3g}, which does not fit into {spec.dtype}")


def _require_numbers(spec: InputType, array: Array, origin: str) -> None:
    """No NaN, no infinity, nothing huge; a mask that is added to scores may hold the least number there is."""
    wide = array if array.dtype.kind == "f" and array.dtype.itemsize >= 4 else array.astype(np.float32)
    if wide.size == 0:
        return
    largest, least = float(wide.max()), float(wide.min())
    if np.isnan(largest) or np.isnan(least):
        problem = "NaN"
    elif np.isinf(largest) or (np.isinf(least) and not _is_mask(spec)):
        problem = "infinities"
    elif largest > _LARGEST or (least < -_LARGEST and not _is_mask(spec)):
        problem = f"{max(largest, -least):.2g}, whose square overflows"
    else:
        return
    raise InputError(f"{origin}: input '{spec.name}' holds {problem}: no comparison can rest on that")


def _is_mask(spec: InputType) -> bool:
    return "mask" in spec.name.lower()


# -- samples -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """How a piece is divided into feeds: ``runs`` of fixed size; ``stacked`` inputs are cut, others repeated.

    ``samples`` is the size of the first axis of what is stacked, or else of the first input that has axes.
    """

    piece: Piece
    runs: int
    stacked: tuple[str, ...]
    samples: int
    is_open: bool

    def parts(self, size: int | None) -> Iterator[Piece]:
        """The feeds of the piece; with ``size``, at most so many samples in each where the number is open."""
        if self.is_open and size is not None:
            starts = range(0, self.samples, size)
            yield from ({name: self._rows(name, k, k + size) for name in self.piece} for k in starts)
            return
        for run in range(self.runs):
            yield {name: self._part(name, run) for name in self.piece}

    def _part(self, name: str, run: int) -> Stored:
        array = self.piece[name]
        if self.runs == 1 or name not in self.stacked:
            return array
        step = array.shape[0] // self.runs
        return array[run * step : (run + 1) * step]

    def _rows(self, name: str, start: int, stop: int) -> Stored:
        array = self.piece[name]
        return array[start:stop] if array.shape else array


def _layout(piece: Piece, inputs: Inputs, origin: str) -> _Layout:
    """Raises :class:`InputError` where inputs hold different numbers of samples."""
    sizes = {spec.name: piece[spec.name].shape[0] for spec in inputs if piece[spec.name].shape}
    fixed = {spec.name: sizes[spec.name] // spec.first for spec in inputs if spec.first and spec.name in sizes}
    runs = max(fixed.values(), default=1)
    stacked = [name for name in sizes if fixed.get(name, runs) != 1]
    if runs == 1:
        is_open = bool(sizes) and not fixed and len(set(sizes.values())) == 1
        return _Layout(piece, 1, tuple(stacked), next(iter(sizes.values()), 1), is_open)
    for name in stacked:
        if fixed.get(name, runs) != runs or sizes[name] % runs:
            other = next(other for other in fixed if fixed[other] == runs)
            raise InputError(
                f"{origin}: input '{name}' holds {sizes[name]} along its first axis, input '{other}' {sizes[other]}"
            )
    return _Layout(piece, runs, tuple(stacked), sizes[stacked[0]], False)
