"""Nodes that return their first operand: ``y = op(x)`` with ``y == x``, bit for bit.

Each rule returns if the node is one, and raises :class:`Refused` with the reason if it is not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..ir import Dim, Node
from ..ir.core import Array
from .draft import Draft, Refused


def _always(draft: Draft, node: Node) -> None:
    """``Identity(x) = x``"""


def _dropout(draft: Draft, node: Node) -> None:
    """``Dropout(x) = x`` outside training; its mask must be unread."""
    if len(node.outputs) > 1 and node.outputs[1] and draft.uses(node.outputs[1]):
        raise Refused("its mask is read")
    if len(node.inputs) > 2 and node.inputs[2]:
        training = _known(draft, node, 2)
        if training is None or training.any():
            raise Refused("it may be in training mode")


def _cast(draft: Draft, node: Node) -> None:
    """``Cast(x, to=type of x) = x``"""
    import onnx_ir as oir

    from ..frontends.onnx import dtype_name

    dtype, target = draft.dtype(node.inputs[0]), dtype_name(oir.DataType(node.int("to")))
    if dtype != target:
        raise Refused(f"it casts {dtype or 'an unknown type'} to {target}")


def _transpose(draft: Draft, node: Node) -> None:
    """``Transpose(x, perm=[0, 1, ...]) = x``"""
    perm = node.ints("perm")
    if perm is None:
        shape = draft.shape(node.inputs[0])
        perm = (1, 0) if shape is None else tuple(reversed(range(len(shape))))
    if perm != tuple(range(len(perm))):
        raise Refused(f"it permutes axes: {list(perm)}")


def _same_elements(draft: Draft, node: Node) -> None:
    """``Reshape(x) = x`` where the shape stays; all but one size being equal, the last one is too."""
    before, after = _shapes(draft, node)
    open_dims = [k for k, (a, b) in enumerate(zip(before, after, strict=True)) if not _equal(a, b)]
    static = all(isinstance(size, int) and size > 0 for k, size in enumerate(before) if k not in open_dims)
    unsure = all(not (isinstance(before[k], int) and isinstance(after[k], int)) for k in open_dims)
    if open_dims and not (len(open_dims) == 1 and static and unsure):
        raise Refused(f"the shape changes: {_text(before)} to {_text(after)}")


def _same_shape(draft: Draft, node: Node) -> None:
    """``Expand(x) = x`` and ``Tile(x) = x`` where every size is static and stays."""
    before, after = _shapes(draft, node)
    if not all(_equal(a, b) for a, b in zip(before, after, strict=True)):
        raise Refused(f"the shape changes, or is not static: {_text(before)} to {_text(after)}")


def _slice(draft: Draft, node: Node) -> None:
    """``Slice(x) = x`` where it takes everything, forwards."""
    _same_shape(draft, node)
    if len(node.inputs) > 4 and node.inputs[4]:
        steps = _known(draft, node, 4)
        if steps is None or (steps != 1).any():
            raise Refused("its steps are not all 1")


def _pad(draft: Draft, node: Node) -> None:
    """``Pad(x, pads=0) = x``"""
    pads = node.ints("pads")
    known = np.array(pads) if pads is not None else _known(draft, node, 1)
    if known is None or known.any():
        raise Refused("its pads are not all zero")


def _single(draft: Draft, node: Node) -> None:
    """``Concat(x) = Sum(x) = Max(x) = Min(x) = Mean(x) = x``"""
    if len(node.inputs) != 1:
        raise Refused(f"it has {len(node.inputs)} operands")


IDENTITIES: dict[str, Callable[[Draft, Node], None]] = {
    "Identity": _always,
    "Dropout": _dropout,
    "Cast": _cast,
    "Transpose": _transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _same_elements),
    **dict.fromkeys(("Expand", "Tile"), _same_shape),
    "Slice": _slice,
    "Pad": _pad,
    **dict.fromkeys(("Concat", "Sum", "Max", "Min", "Mean"), _single),
}


def remove_identity(draft: Draft, node: Node) -> None:
    """Remove a node that changes nothing; raises :class:`Refused` for any other."""
    rule = IDENTITIES.get(node.qualified_op)
    if rule is None:
        raise Refused(f"{node.qualified_op} computes something")
    rule(draft, node)
    draft.bypass(node)


def _known(draft: Draft, node: Node, position: int) -> Array | None:
    constant = draft.constants.get(node.inputs[position]) if position < len(node.inputs) else None
    return None if constant is None or constant.read is None else constant.numpy()


def _shapes(draft: Draft, node: Node) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    before, after = draft.shape(node.inputs[0]), draft.shape(node.outputs[0])
    if before is None or after is None:
        raise Refused("a shape is unknown")
    if len(before) != len(after):
        raise Refused(f"the shape changes: {_text(before)} to {_text(after)}")
    return before, after


def _equal(left: Dim, right: Dim) -> bool:
    return isinstance(left, int) and left == right


def _text(shape: tuple[Dim, ...]) -> str:
    return f"[{', '.join('?' if dim is None else str(dim) for dim in shape)}]"
