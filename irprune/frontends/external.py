"""External data of tensors: which files a model may name, and how they are read.

An untrusted model may name any file of the machine. So all names, in every scope, are checked before anything is read.
A data file has to lie in the model's folder, or be a link there into the folder that the model itself is a link into
(the cache of Hugging Face keeps a folder of links into a folder of blobs). ONNX Runtime accepts the same files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as oir

from ..errors import InputError


@dataclass(frozen=True)
class Place:
    """The location of a tensor's data: the real path of a file, and the range in it."""

    path: Path
    offset: int
    size: int


def tensors_of(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of every scope; the initializers of the outermost graph come first, in order."""
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        yield from _node_tensors(function.node)
    for training in proto.training_info:
        yield from _graph_tensors(training.initialization)
        yield from _graph_tensors(training.algorithm)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (
                *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
                *attribute.sparse_tensors,
            ):
                yield from (sparse.values, sparse.indices)
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graph_tensors(graph)


def is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL


def settle_external(proto: onnx.ModelProto, path: Path) -> None:
    """Check all external data, and rewrite its locations relative to :func:`data_folder`.

    Initializers of the outermost graph stay in their files; the data of all other tensors is read into the message.
    Raises :class:`InputError` for files that the model may not name, that are missing or too short.
    """
    external = [tensor for tensor in tensors_of(proto) if is_external(tensor)]
    files: dict[str, tuple[Path, int]] = {}
    places = [_place_of(tensor, path, files) for tensor in external]
    outermost = {id(tensor) for tensor in proto.graph.initializer}
    folder = data_folder(path)
    for tensor, place in zip(external, places, strict=True):
        if id(tensor) in outermost and place.path.is_relative_to(folder):
            set_location(tensor, str(place.path.relative_to(folder)))
        else:
            _embed(tensor, read_bytes(place))


def data_folder(path: Path) -> Path:
    """The real folder of a model, with all links followed: its data files lie there."""
    return path.resolve().parent


def _place_of(tensor: onnx.TensorProto, path: Path, files: dict[str, tuple[Path, int]]) -> Place:
    """The place of an external tensor's data; ``files`` caches locations that were checked."""
    who = f"{path}: tensor '{tensor.name}'"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if location not in files:
        files[location] = _file_of(location, path, who)
    real, size = files[location]
    expected = data_size(tensor)
    offset = _number(entries, "offset", 0, who)
    length = _number(entries, "length", expected, who)
    if length != expected:
        raise InputError(
            f"{who} of dimensions {list(tensor.dims)} names {length} bytes of external data, expected {expected}"
        )
    if size < offset + expected:
        raise InputError(
            f"{path}: external data of tensor '{tensor.name}' is truncated: "
            f"{real} has {size} bytes, expected at least {offset + expected}"
        )
    return Place(real, offset, expected)


def _file_of(location: str, path: Path, who: str) -> tuple[Path, int]:
    """The file that a location leads to, and its size in bytes."""
    real = _real_path(location, path, who)
    try:
        size = real.stat().st_size
    except OSError as error:
        raise InputError(f"{who} names external data that is missing: {str(real)[:500]}") from error
    if not real.is_file():
        raise InputError(f"{who} names external data that is not a file: {real}")
    return real, size


def _real_path(location: str, path: Path, who: str) -> Path:
    """The file that a location leads to. Raises :class:`InputError` if the model may not name it."""
    folder = Path(os.path.abspath(path.parent))
    named = Path(os.path.normpath(folder / location))
    try:
        real = named.resolve()
        allowed = (folder.resolve(), data_folder(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{who} names external data at an invalid path: {location!r}") from error
    if "\0" in location or not named.is_relative_to(folder) or not any(map(real.is_relative_to, allowed)):
        raise InputError(f"{who} names external data outside the model's folder: {real}")
    return real


def _number(entries: dict[str, str], key: str, default: int, who: str) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{who} has external data of {key} {text!r}, expected a number of bytes")
    return int(text)


def data_size(tensor: onnx.TensorProto) -> int:
    """The bytes of a tensor's elements. Raises :class:`InputError` for text, which has no size."""
    dtype = oir.DataType(tensor.data_type)
    if dtype == oir.DataType.STRING:
        raise InputError(f"tensor '{tensor.name}' holds text, which cannot be external data")
    return int(-(-math.prod(tensor.dims) * dtype.bitwidth // 8))


def read_bytes(place: Place) -> bytes:
    with place.path.open("rb") as file:
        file.seek(place.offset)
        return file.read(place.size)


def set_location(tensor: onnx.TensorProto, location: str) -> None:
    """Change the file of an external tensor."""
    for entry in tensor.external_data:
        if entry.key == "location":
            entry.value = location


def _embed(tensor: onnx.TensorProto, data: bytes) -> None:
    tensor.ClearField("external_data")
    tensor.data_location = onnx.TensorProto.DEFAULT
    tensor.raw_data = data


def make_relative(proto: onnx.ModelProto, folder: Path | None) -> None:
    """Make the locations of initializers relative to ``folder``: ONNX Runtime takes no absolute paths."""
    for tensor in proto.graph.initializer:
        if is_external(tensor):
            entries = {entry.key: entry.value for entry in tensor.external_data}
            set_location(
                tensor,
                os.path.relpath(entries["location"], folder)
                if os.path.isabs(entries["location"])
                else entries["location"],
            )
