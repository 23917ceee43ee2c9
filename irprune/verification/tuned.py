"""Verify models whose weights were changed after pruning.

Removal and a change of weights commute. So the tuned weights of the smaller model are scattered back into the kept
places of the original, and the reference is built from the result. Elements in removed places do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx

from ..errors import VerificationError
from ..frontends.scopes import proto_scopes, qualified
from ..ir.core import Array
from ..ir.domains import is_stored_tensor
from ..plans import Plan, Slice
from ..runtime.executable import Executable
from ..runtime.weights import Scratch, is_external, read_tensor, tensors_of
from .structure import Readers, same_bits, tensors


def with_tuned_weights(original: Executable, tuned: Executable, plan: Plan, *, every: bool = False) -> Executable:
    """The original with weights of the smaller model in the places that the plan keeps.

    These are the weights that the plan lists as updated, or with ``every`` all float weights. Without any, the original
    itself is returned.

    Raises :class:`VerificationError` if a weight does not fit its places, or two weights give one place different
    values.
    """
    after = tensors(tuned)
    parts = _parts([name for name in after if every or plan.updated.get(name)], plan)
    if not parts:
        return original
    proto = onnx.ModelProto()
    proto.CopyFrom(original.proto)
    scratch = Scratch()
    for name, tensor in _weights(proto.graph):
        if name in parts:
            before = read_tensor(tensor, original.data_folder)
            scattered = _scattered(name, before, parts[name], after, plan)
            if not same_bits(before, scattered):
                tensor.CopyFrom(scratch.add(tensor.name, scattered))
    others = [tensor for tensor in tensors_of(proto.graph) if is_external(tensor) and not scratch.holds(tensor)]
    scratch.adopt(others, original.data_folder)
    return Executable(proto, scratch.folder, scratch)


def _parts(names: Iterable[str], plan: Plan) -> dict[str, list[tuple[str, Slice]]]:
    """For each tensor of the original, the tensors of the smaller model that are slices of it."""
    found: dict[str, list[tuple[str, Slice]]] = {}
    for name in names:
        part = plan.slices.get(name, Slice({}))
        found.setdefault(part.of or name, []).append((name, part))
    return found


def _weights(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Initializers and the tensors of Constant nodes, with the names that plans use."""
    for scope, body in proto_scopes(graph):
        for tensor in body.initializer:
            yield qualified(scope, tensor.name), tensor
        for node in body.node:
            if is_stored_tensor(node.op_type, node.domain):
                for attribute in node.attribute:
                    if attribute.name == "value":
                        yield qualified(scope, node.output[0]), attribute.t


def _scattered(name: str, before: Array, parts: list[tuple[str, Slice]], after: Readers, plan: Plan) -> Array:
    """``before`` with every part in its place; of integers and flags, parts that the plan has digests of."""
    result = before.copy()
    written = np.zeros(before.shape, dtype=bool) if len(parts) > 1 else None
    for part_name, part in parts:
        values = after[part_name]()
        if values.dtype != before.dtype or (values.dtype.kind in "iubOUS" and not plan.updated.get(part_name)):
            return before  # the structure check reports it
        places = _places(name, before, part)
        shape = tuple(len(indices) for indices in places)
        if values.shape != shape:
            raise VerificationError(
                f"tensor '{part_name}' has shape {list(values.shape)}, the plan keeps {list(shape)} of '{name}'"
            )
        where = np.ix_(*places)
        if written is not None:
            both = written[where]
            if not same_bits(result[where][both], values[both]):
                raise VerificationError(
                    f"tensor '{part_name}' is a part of '{name}', and another part has other values: "
                    "there is no original to compare with"
                )
            written[where] = True
        result[where] = values
    return result


def _places(name: str, before: Array, part: Slice) -> list[Array]:
    """The kept indices of each axis."""
    places: list[Array] = [np.arange(size) for size in before.shape]
    for axis, (size, kept) in part.axes.items():
        if axis >= before.ndim or before.shape[axis] != size:
            raise VerificationError(f"tensor '{name}': the plan's axis {axis} ({size}) does not fit {before.shape}")
        places[axis] = np.asarray(kept, dtype=np.intp)
    return places
