"""Data of any kind as feeds of a model.

A mapping of arrays by input name, an array (for a model of one input), an iterable of either, an onnxruntime
``CalibrationDataReader``, or a path: an ``.npz``, an ``.npy``, a folder of them, or ``FILE.py:FUNCTION``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, zip_longest
from typing import Any

from ..errors import InputError
from .feeds import AnyData, Data, DataSource, Inputs, Piece, as_piece, named_pieces, numbered
from .files import open_file


def open_data(given: AnyData, inputs: Inputs, origin: str = "the inputs") -> Data:
    """Data of any kind, as feeds of a model with these inputs.

    Raises :class:`InputError` for other objects, or files that cannot be read. Each piece is checked when it is read.
    """
    return open_source(given, origin).fed_to(inputs)


def open_source(given: AnyData, origin: str = "the inputs") -> DataSource:
    """Data of any kind. Raises :class:`InputError` for other objects, or files that cannot be read."""
    if isinstance(given, DataSource):
        return given
    if isinstance(given, (str, os.PathLike)):
        return open_file(given)
    if isinstance(given, Mapping) or hasattr(given, "__array__"):
        return DataSource(origin, lambda inputs: [(origin, as_piece(given, inputs, origin))])
    if hasattr(given, "get_next"):
        return DataSource(origin, _Replayed(_from_reader(given), origin), sized=False)
    if isinstance(given, Iterator):
        return DataSource(origin, _Replayed(given, origin), sized=False)
    if isinstance(given, Iterable):
        sized = isinstance(given, Sequence)
        return DataSource(origin, lambda inputs: numbered(given, inputs, origin), sized)
    raise InputError(
        f"{origin}: expected arrays by input name, an iterable of such, a CalibrationDataReader or a path, "
        f"got {type(given).__name__}"
    )


def merged_source(sources: Mapping[str, DataSource], separator: str, origin: str) -> DataSource:
    """Data of several models as those of one, whose inputs have the name of their model and ``separator`` in front.

    The pieces of all sources belong together, the first of each and so on. Raises :class:`InputError` where the numbers
    of pieces differ.
    """

    def pieces(inputs: Inputs) -> Iterator[tuple[str, Piece]]:
        parts = [_prefixed(source, inputs, f"{name}{separator}") for name, source in sources.items()]
        for number, each in enumerate(zip_longest(*parts), 1):
            short = [name for name, piece in zip(sources, each, strict=True) if piece is None]
            if short:
                raise InputError(f"{origin}: model '{short[0]}' has {number - 1} pieces of data, another one has more")
            yield (
                ", ".join(label for label, _ in each),
                {name: array for _, piece in each for name, array in piece.items()},
            )

    return DataSource(origin, pieces, all(source.sized for source in sources.values()))


def _prefixed(source: DataSource, inputs: Inputs, prefix: str) -> Iterator[tuple[str, Piece]]:
    own = tuple(replace(spec, name=spec.name.removeprefix(prefix)) for spec in inputs if spec.name.startswith(prefix))
    for label, piece in source.pieces(own):
        yield label, {f"{prefix}{name}": array for name, array in piece.items()}


class _Replayed:
    """The pieces of an iterator. It can be read only once, so they are remembered."""

    def __init__(self, given: Iterator[Any], origin: str) -> None:
        self._rest = named_pieces(given, origin)
        self._seen: list[tuple[str, Any]] = []

    def __call__(self, inputs: Inputs) -> Iterator[tuple[str, Piece]]:
        for position in count():
            if position == len(self._seen):
                found = next(self._rest, None)
                if found is None:
                    return
                self._seen.append(found)
            name, piece = self._seen[position]
            yield name, as_piece(piece, inputs, name)


def _from_reader(reader: Any) -> Iterator[Any]:
    while (feeds := reader.get_next()) is not None:
        yield feeds
