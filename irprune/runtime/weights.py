"""Weights that stay in files: a model as a small message in which each large tensor is a range of a file.

ONNX Runtime maps such ranges, so that a session costs no copy of the weights. Parsing, copying and serializing the
message that holds them costs more than running most models.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import TensorProto

from ..frontends.wire import LARGE, locate_weights
from ..ir.core import Array

_BLOCK = 1 << 22
"""Bytes copied at a time."""

_BYTE = 8
"""Bits."""

_ALIGNMENT = 64

_SIZES = 1 << 16
"""Elements that a shape operand may have."""


def read_lean(path: Path) -> onnx.ModelProto:
    """The model in which tensors of the file itself are external data, at their place in this very file.

    External data of other files is left there. Their ``location`` is relative to ``path.parent``.
    """
    if onnx.serialization.registry.get_format_from_file_extension(path.suffix) not in (None, "protobuf"):
        return onnx.load(path, load_external_data=False)
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return onnx.load_model_from_string(b"")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            rest, places = locate_weights(data)
            proto = onnx.load_model_from_string(rest)
            for position, (start, end) in places.items():
                tensor = proto.graph.initializer[position]
                if _is_plain(tensor) and not _may_be_sizes(tensor):
                    refer(tensor, path.name, start, end - start)
                else:
                    tensor.raw_data = data[start:end]
    return proto


def _is_plain(tensor: TensorProto) -> bool:
    """Whether the elements of a tensor are whole bytes, as numpy reads them."""
    if not tensor.name or tensor.data_type == TensorProto.STRING:
        return False
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize * _BYTE == _bits(tensor)
    except KeyError:
        return False


def _may_be_sizes(tensor: TensorProto) -> bool:
    """Whether a tensor may be a shape operand: ONNX Runtime infers shapes from these, which must be inline."""
    return tensor.data_type == TensorProto.INT64 and len(tensor.dims) < 2 and math.prod(tensor.dims) <= _SIZES


def _bits(tensor: TensorProto) -> int:
    import onnx_ir as oir

    return oir.DataType(tensor.data_type).bitwidth


def refer(tensor: TensorProto, location: str, offset: int, length: int) -> None:
    """Let the data of a tensor be a range of a file."""
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


@dataclass(frozen=True)
class _Range:
    path: Path
    offset: int
    length: int

    @staticmethod
    def of(tensor: TensorProto, folder: Path | None) -> _Range:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        path = (folder or Path()) / entries["location"]
        offset = int(entries.get("offset", 0))
        return _Range(path, offset, int(entries["length"] if "length" in entries else path.stat().st_size - offset))


def read_tensor(tensor: TensorProto, folder: Path | None) -> Array:
    """The elements of a tensor, read from its file where they lie in one; nothing is kept in ``tensor``."""
    if not is_external(tensor):
        return onnx.numpy_helper.to_array(tensor)
    where = _Range.of(tensor, folder)
    if _is_plain(tensor):
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        count = int(np.prod(tensor.dims, dtype=np.int64))
        array = np.fromfile(where.path, np.uint8, count * dtype.itemsize, offset=where.offset)
        return array.view(dtype).reshape(tuple(tensor.dims))
    inline = TensorProto(dims=tensor.dims, data_type=tensor.data_type)
    with where.path.open("rb") as file:
        file.seek(where.offset)
        inline.raw_data = file.read(where.length)
    return onnx.numpy_helper.to_array(inline)


@dataclass
class Scratch:
    """A temporary folder with one file of tensors; it goes with the object."""

    _folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="irprune-")
    )
    _file: BinaryIO | None = None

    @property
    def name(self) -> str:
        """The name of the file, which no model's data has."""
        return f"{self.folder.name}.data"

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    def add(self, name: str, array: Array) -> TensorProto:
        """A tensor of these elements: large ones go to the file."""
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = TensorProto(name=name, dims=array.shape, data_type=kind)
        if array.nbytes <= LARGE or not _is_plain(tensor) or _may_be_sizes(tensor):
            return onnx.numpy_helper.from_array(array, name)
        file = self._aligned()
        refer(tensor, self.name, file.tell(), array.nbytes)
        file.write(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
        return tensor

    def adopt(self, tensors: Iterable[TensorProto], folder: Path | None) -> None:
        """Copy the data of external tensors that lie in ``folder`` into the file, and close it."""
        for tensor in tensors:
            where = _Range.of(tensor, folder)
            file = self._aligned()
            refer(tensor, self.name, file.tell(), where.length)
            _copy(where, file)
        if self._file is not None:
            self._file.close()
            self._file = None

    def holds(self, tensor: TensorProto) -> bool:
        """Whether the data of a tensor is in the file."""
        return any(entry.key == "location" and entry.value == self.name for entry in tensor.external_data)

    def _aligned(self) -> BinaryIO:
        if self._file is None:
            self._file = (self.folder / self.name).open("ab")
        self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
        return self._file


def _copy(where: _Range, target: BinaryIO) -> None:
    left = where.length
    with where.path.open("rb") as file:
        file.seek(where.offset)
        while left and (block := file.read(min(left, _BLOCK))):
            target.write(block)
            left -= len(block)


def tensors_of(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """The tensors of a graph and of all bodies in it: initializers, and attributes of nodes."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield from current.initializer
        for node in current.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                waiting += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
