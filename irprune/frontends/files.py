"""Reads ONNX files: bytes become an ``onnx_ir`` model after every check that a file may fail."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as oir
from google.protobuf.message import DecodeError
from onnx_ir.passes.common import InlinePass

from ..collector import without_gc
from ..errors import InputError
from ..ir.domains import plain_domain
from .calls import callees_first, name_nodes, require_bounded
from .definitions import require_single_definitions
from .external import data_folder, is_external, settle_external, tensors_of
from .wire import Weights, lift_weights

BYTE = 8
"""Bits."""

_ORT_FORMAT = b"ORTM"
"""The identifier of the flat buffers that ONNX Runtime saves."""

_FIRST_WITH_OPSETS = 3
"""The first IR version whose files say which opset they use."""

MAP_TYPES = "irprune.map_types"
"""Where a model keeps the types of its inputs and outputs that are maps."""


def load(path: str | os.PathLike[str]) -> oir.Model:
    """Read an ONNX file; external data is memory-mapped when a tensor is read.

    Raises :class:`InputError` for a file that is missing, is not ONNX, is truncated, has no nodes, or names external
    data that is missing or lies outside the model's folder.
    """
    return parse(read_file(path), path)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file; raises :class:`InputError` for one that is missing, a folder, or not to be read."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: it is a folder, expected an ONNX file")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror}") from error


@without_gc
def parse(data: bytes, path: str | os.PathLike[str]) -> oir.Model:
    """The model that the bytes of an ONNX file hold, as :func:`load`."""
    path = Path(path)
    if data[4:8] == _ORT_FORMAT:
        raise InputError(
            f"{path}: a model in ONNX Runtime's own format (.ort); prune the ONNX file that it was made of, "
            "and convert the result"
        )
    kind = onnx.serialization.registry.get_format_from_file_extension(path.suffix) or "protobuf"
    rest, weights = lift_weights(data) if kind == "protobuf" else (data, {})
    try:
        proto = onnx.load_model_from_string(rest, kind)
    except (DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not an ONNX file, or truncated ({error})") from error
    if proto.HasField("graph") and not proto.opset_import and 0 < proto.ir_version < _FIRST_WITH_OPSETS:
        raise InputError(
            f"{path}: a file of ONNX IR version {proto.ir_version} (2017), which names no opset; export the model again"
        )
    if not proto.HasField("graph") or not proto.opset_import:
        raise InputError(f"{path}: not an ONNX model: it has no graph or no opset")
    if not proto.graph.node:
        raise InputError(f"{path}: the graph has no nodes")
    if proto.graph.sparse_initializer:
        raise InputError(f"{path}: sparse initializers are not supported; make them dense first")
    _check_opset(proto, path)
    types = _lift_maps(proto.graph)
    require_single_definitions(proto.graph, str(path))
    for position, tensor in enumerate(tensors_of(proto)):  # initializers of the outermost graph come first
        _check_tensor(tensor, path, weights.get(position))
    settle_external(proto, path)
    try:
        _return_unusual(proto.graph, weights)
        model = oir.serde.deserialize_model(proto)
        for position, weight in weights.items():
            _attach(model.graph.initializers[proto.graph.initializer[position].name], weight)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InputError(f"{path}: the model is malformed: {error}") from error
    if types:
        model.meta[MAP_TYPES] = types
    if any(map(is_external, proto.graph.initializer)):
        _open_external(model, data_folder(path))
    return inline_functions(model)


def _open_external(model: oir.Model, folder: Path) -> None:
    """Let external tensors be read where they lie.

    onnx_ir refuses files with several hard links inside a base folder, which caches of downloads make: such a file is
    named without one. What a model may name was looked at before.
    """
    oir.external_data.set_base_dir(model.graph, folder)
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, oir.ExternalTensor) and os.stat(tensor.path).st_nlink > 1:
            value.const_value = oir.ExternalTensor(
                tensor.path,
                tensor.offset,
                tensor.length,
                tensor.dtype,
                shape=oir.Shape(tensor.shape.numpy()),
                name=str(tensor.name),
                doc_string=tensor.doc_string,
                metadata_props=dict(tensor.metadata_props),
            )


def _return_unusual(graph: onnx.GraphProto, weights: Weights) -> None:
    """Put back the data of tensors with elements of less than a byte, or without a name to find them by."""
    for position in list(weights):
        tensor = graph.initializer[position]
        if oir.DataType(tensor.data_type).bitwidth < BYTE or not tensor.name:
            tensor.raw_data = bytes(weights.pop(position))


def _attach(value: oir.Value, weight: memoryview) -> None:
    """Give an initializer the data that was lifted out of its tensor.

    It is a copy: in the file it stands at any address, and numpy copies what is not aligned each time it is used.
    """
    empty = value.const_value
    assert empty is not None
    array = np.frombuffer(weight, empty.dtype.numpy().newbyteorder("<")).reshape(static_shape(empty)).copy()
    array.flags.writeable = False
    value.const_value = oir.Tensor(
        array, empty.dtype, name=empty.name, doc_string=empty.doc_string, metadata_props=dict(empty.metadata_props)
    )


def inline_functions(model: oir.Model) -> oir.Model:
    """The model with calls of its own functions replaced by their bodies, in which axes can be followed.

    A model without functions is returned as it is. Raises :class:`InputError` for functions that call themselves,
    or that become too many nodes.
    """
    if not model.functions:
        return model
    calls = callees_first(model)
    try:
        copy = model.clone()
        copy.meta.update(model.meta)
        name_nodes(copy)
        require_bounded(copy, calls)
        InlinePass()(copy)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"the model's functions cannot be inlined: {root_cause(error)}") from error
    return copy


_COMPLEX = (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128)


def _check_tensor(tensor: onnx.TensorProto, path: Path, weight: memoryview | None) -> None:
    """Raise :class:`InputError` for a tensor of unknown type, with a negative size, or with too much or little data.

    ``weight`` is its data if that was taken out of the message.
    """
    where = f"{path}: tensor '{tensor.name}'"
    try:
        dtype = oir.DataType(tensor.data_type)
    except ValueError as error:
        raise InputError(f"{where} has the unknown element type {tensor.data_type}") from error
    if dtype == oir.DataType.UNDEFINED or any(dim < 0 for dim in tensor.dims):
        raise InputError(f"{where} has type {dtype.name.lower()} and dimensions {list(tensor.dims)}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL or dtype == oir.DataType.STRING:
        return
    count = math.prod(tensor.dims)
    if weight is not None or tensor.HasField("raw_data"):
        found = len(tensor.raw_data if weight is None else weight)
        expected, unit = -(-count * dtype.bitwidth // 8), "bytes"
    else:
        found, unit = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type))), "elements"
        expected = 2 * count if tensor.data_type in _COMPLEX else -(-count * min(dtype.bitwidth, 8) // 8)
    if found != expected:
        raise InputError(f"{where} of dimensions {list(tensor.dims)} holds {found} {unit}, expected {expected}")


def _check_opset(proto: onnx.ModelProto, path: Path) -> None:
    known = onnx.defs.onnx_opset_version()
    for entry in proto.opset_import:
        if not plain_domain(entry.domain) and entry.version > known:
            raise InputError(
                f"{path}: opset {entry.version} is newer than the newest one that the installed onnx knows ({known}); "
                "upgrade onnx, or convert the model"
            )


def _lift_maps(graph: onnx.GraphProto) -> dict[str, bytes]:
    """Take out the types of values that are maps, which onnx_ir cannot hold: those of inputs and outputs, by name.

    Scikit-learn's classifiers end in one.
    """
    lifted: dict[str, bytes] = {}
    for value in (*graph.input, *graph.output):
        if _holds_map(value.type):
            lifted[value.name] = value.type.SerializeToString()
            value.ClearField("type")
    stated = [value for value in graph.value_info if not _holds_map(value.type)]
    del graph.value_info[:]
    graph.value_info.extend(stated)
    return lifted


def _holds_map(kind: onnx.TypeProto) -> bool:
    while (inner := kind.WhichOneof("value")) in ("sequence_type", "optional_type"):
        kind = getattr(kind, inner).elem_type
    return bool(inner == "map_type")


def restore_maps(proto: onnx.ModelProto, model: oir.Model) -> None:
    """Give inputs and outputs that are maps the types that they have in the file that ``model`` was read from."""
    types: dict[str, bytes] = model.meta.get(MAP_TYPES, {})
    for value in (*proto.graph.input, *proto.graph.output):
        if value.name in types:
            value.type.ParseFromString(types[value.name])


def root_cause(error: BaseException) -> str:
    """The message of the first of a chain of errors, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300]


def static_shape(tensor: oir.TensorProtocol) -> tuple[int, ...]:
    """The dimensions of a tensor that has data."""
    return tuple(int(dim) for dim in tensor.shape)  # type: ignore[arg-type]
