"""The protobuf wire format, as far as needed to read and write weights without copying them.

Protobuf copies every weight of a model several times. Here large weights are read directly from the bytes of a file,
or written directly to one; only the rest of the model goes through protobuf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from mmap import mmap
from typing import TypeAlias

_PATH = (7, 5, 9)
"""The numbers of ``ModelProto.graph``, ``GraphProto.initializer`` and ``TensorProto.raw_data``."""

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
_CONTINUES = 128
LARGE = 1024
"""Weights above this many bytes are kept out of protobuf."""

Weights: TypeAlias = dict[int, memoryview]
"""The data of initializers, by their position in the graph."""

Places: TypeAlias = dict[int, tuple[int, int]]
"""Where the data of initializers begins and ends, by their position in the graph."""

Piece: TypeAlias = memoryview | bytes | int
"""Bytes of a message, or the position of the initializer whose data belongs there."""

_Replace: TypeAlias = Callable[[int, int, int], tuple[list[Piece], int] | None]
"""Maps an initializer and the bounds of its data to new data with its length, or ``None`` to keep the old."""


def lift_weights(data: bytes) -> tuple[bytes, Weights]:
    """A serialized model without the data of its large initializers, and that data.

    Malformed messages are returned unchanged: the parser reports what is wrong.
    """
    rest, places = locate_weights(data)
    return rest, {position: memoryview(data)[start:end] for position, (start, end) in places.items()}


def locate_weights(data: bytes | mmap) -> tuple[bytes, Places]:
    """A serialized model without the data of its large initializers, and where in ``data`` each begins and ends.

    Malformed messages are returned unchanged.
    """
    places: Places = {}

    def locate(position: int, start: int, end: int) -> tuple[list[Piece], int] | None:
        if position in places:
            raise ValueError("data given twice")
        if end - start <= LARGE:
            return None
        places[position] = (start, end)
        return [], 0

    try:
        pieces = _rewritten(data, locate)
    except (IndexError, ValueError):
        return bytes(data), {}
    return b"".join(piece for piece in pieces if not isinstance(piece, int)), places


def fill_weights(data: bytes, sizes: Mapping[int, int]) -> list[Piece]:
    """The pieces of a model whose initializers get data of these sizes; in ``data`` their data is empty."""
    return _rewritten(data, lambda position, *_: ([position], sizes[position]) if position in sizes else None)


def _rewritten(data: bytes | mmap, replace: _Replace) -> list[Piece]:
    changed = _Rewriter(data, replace).message(0, len(data), _PATH)
    return [memoryview(data)] if changed is None else changed[0]


class _Rewriter:
    """Replaces the data of initializers, and the lengths of the messages around it."""

    def __init__(self, data: bytes | mmap, replace: _Replace) -> None:
        self.data = data
        self.view = memoryview(data)
        self.replace = replace
        self.position = 0

    def message(self, start: int, end: int, path: tuple[int, ...]) -> tuple[list[Piece], int] | None:
        """The pieces and the length of a message in which the fields at the end of ``path`` are replaced."""
        pieces: list[Piece] = []
        total, copied = 0, start
        for number, at, body, stop in self._fields(start, end):
            if number != path[0]:
                continue
            rest = path[1:]
            inner = self.message(body, stop, rest) if rest else self.replace(self.position, body, stop)
            self.position += len(rest) == 1
            if inner is None:
                continue
            head, length = self.view[copied : at + 1], _encoded(inner[1])
            pieces += [head, length, *inner[0]]
            total += len(head) + len(length) + inner[1]
            copied = stop
        if not pieces:
            return None
        return [*pieces, self.view[copied:end]], total + end - copied

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, beginning, beginning of the value and end of each field; 0 for numbers that take several bytes."""
        at = start
        while at < end:
            tag, body = self._varint(at)
            kind = tag & 7
            if kind == _BYTES:
                length, body = self._varint(body)
                stop = body + length
            elif kind == _VARINT:
                _, stop = self._varint(body)
            elif kind in _FIXED:
                stop = body + _FIXED[kind]
            else:
                raise ValueError(f"wire type {kind}")
            if stop > end:
                raise ValueError("truncated")
            yield tag >> 3 if kind == _BYTES and self.data[at] < _CONTINUES else 0, at, body, stop
            at = stop

    def _varint(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self.data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < _CONTINUES:
                return value, at
            shift += 7


def _encoded(number: int) -> bytes:
    """A number as a varint."""
    found = bytearray()
    while number >= _CONTINUES:
        found.append(number & 127 | _CONTINUES)
        number >>= 7
    found.append(number)
    return bytes(found)
