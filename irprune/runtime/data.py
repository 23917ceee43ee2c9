"""Data of any kind as feeds of a model.

A mapping of arrays by input name, an array (for a model of one input), an iterable of either, an onnxruntime
``CalibrationDataReader``, or a path: an ``.npz``, an ``.npy``, a folder of them, or ``FILE.py:FUNCTION``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
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
