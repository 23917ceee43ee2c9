"""A normalization by fixed statistics is an affine map per channel, which can be folded into the operator before it.

::

    y = BatchNormalization(Conv(x, W, b), gamma, beta, mean, var)   ->   y = Conv(x, W', b')

    s  = gamma / sqrt(var + epsilon)
    W' = W * s                         along the output channels of W
    b' = (b - mean) * s + beta

The output channels of W are axis 0 of a convolution, ``group`` times axis 1 of a transposed one (whose axis 0
is ``(group in_channels)``), and the rows (``transB=1``) or columns of the matrix of a Gemm; there b is
``beta * C``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..ir import Constant, Node
from ..ir.core import Array
from ..ir.dtypes import is_native_float
from ..signatures import traits_of
from .draft import Draft, Refused

_Vector = NDArray[np.float64]


def fold_batchnorm(draft: Draft, node: Node) -> None:
    """Fold a BatchNormalization into the operator before it; raises :class:`Refused` with the reason."""
    if traits_of(node.qualified_op).running_statistics is None:
        raise Refused("it has no running statistics")
    producer = _producer(draft, node)
    scale, shift = _affine(draft, node)
    weight_name, weight = _weight(draft, producer)
    scaled = _SCALED[producer.op].weight(producer, weight, scale)
    bias = _bias(draft, producer, len(scale)) * scale + shift
    dtype = weight.dtype
    with np.errstate(over="ignore"):
        new_weight, new_bias = scaled.astype(dtype), bias.astype(dtype)
    if not (np.isfinite(new_weight).all() and np.isfinite(new_bias).all()):
        raise Refused(f"the folded weights are out of the range of {dtype}")
    name = _bias_name(draft, producer, node)
    draft.set_constant(weight_name, replace(Constant.from_array(new_weight), origin=weight.origin))
    draft.set_constant(name, Constant.from_array(new_bias))
    attributes = {k: v for k, v in producer.attributes.items() if k != _SCALED[producer.op].bias_factor}
    folded = replace(producer, inputs=(*producer.inputs[:2], name), attributes=attributes)
    draft.replace(folded)
    draft.rename_result(folded, 0, node)


def _producer(draft: Draft, node: Node) -> Node:
    if node.int("training_mode") or any(name and draft.uses(name) for name in node.outputs[1:]):
        raise Refused("it is in training mode")
    if node.int("spatial", 1) != 1:
        raise Refused("it normalizes every position by statistics of its own")
    operand = node.inputs[0]
    producer = draft.producer(operand)
    if producer is None or producer.qualified_op not in _SCALED:
        raise Refused(f"its operand comes from no {', '.join(_SCALED)}")
    if draft.uses(operand) != 1:
        raise Refused(f"'{operand}' is read elsewhere too")
    if node.outputs[0] in draft.captured:
        raise Refused(f"a subgraph reads '{node.outputs[0]}'")
    return producer


def _affine(draft: Draft, node: Node) -> tuple[_Vector, _Vector]:
    """``s`` and ``beta - mean * s``."""
    gamma, beta, mean, variance = (_vector(draft, name) for name in node.inputs[1:5])
    epsilon = node.attributes.get("epsilon", 1e-5)
    assert isinstance(epsilon, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = gamma / np.sqrt(variance + epsilon)
    if not (np.isfinite(scale).all() and np.isfinite(mean).all() and np.isfinite(beta).all()):
        raise Refused("its statistics give no finite scale")
    return scale, beta - mean * scale


def _vector(draft: Draft, name: str) -> _Vector:
    constant = draft.constants.get(name)
    if constant is None or constant.read is None:
        raise Refused(f"'{name}' is computed at run time")
    if not is_native_float(constant.dtype) or len(constant.shape) != 1:
        raise Refused(f"'{name}' is {constant.dtype}{list(constant.shape)}, expected a vector of floats")
    return constant.numpy().astype(np.float64)


def _weight(draft: Draft, producer: Node) -> tuple[str, Constant]:
    name = producer.inputs[1]
    constant = draft.constants.get(name)
    if constant is None or constant.read is None:
        raise Refused(f"weight '{name}' is computed at run time")
    if not is_native_float(constant.dtype):
        raise Refused(f"weight '{name}' has type {constant.dtype}")
    if draft.uses(name) != 1:
        raise Refused(f"weight '{name}' is used elsewhere too")
    return name, constant


def _bias(draft: Draft, producer: Node, channels: int) -> _Vector:
    name = producer.inputs[2] if len(producer.inputs) > 2 else ""
    if not name:
        return np.zeros(channels)
    constant = draft.constants.get(name)
    if constant is None or constant.read is None:
        raise Refused(f"bias '{name}' is computed at run time")
    per_channel = constant.size in (1, channels) and all(dim == 1 for dim in constant.shape[:-1])
    if not is_native_float(constant.dtype) or not per_channel:
        found = f"{constant.dtype}{list(constant.shape)}"
        raise Refused(f"bias '{name}' is {found}, expected one number a channel")
    factor = producer.attributes.get(_SCALED[producer.op].bias_factor, 1.0)
    assert isinstance(factor, (int, float))
    return np.broadcast_to(constant.numpy().astype(np.float64).ravel() * factor, (channels,))


def _bias_name(draft: Draft, producer: Node, node: Node) -> str:
    """The name of the new bias: that of the old bias or of the shift, if nothing else reads it."""
    own = producer.inputs[2] if len(producer.inputs) > 2 else ""
    for name in (own, node.inputs[2]):
        if name and draft.uses(name) == 1:
            return name
    return draft.fresh(f"{producer.inputs[1]}_bias")


def _convolution(producer: Node, weight: Constant, scale: _Vector) -> _Vector:
    array = weight.numpy().astype(np.float64)
    _require(len(array), scale)
    return array * _along(scale, 0, array)


def _transposed(producer: Node, weight: Constant, scale: _Vector) -> _Vector:
    array = weight.numpy().astype(np.float64)
    groups = producer.int("group", 1)
    _require(groups * array.shape[1], scale)
    grouped = array.reshape(groups, -1, *array.shape[1:])  # group, inputs, outputs, ...
    factors = scale.reshape(groups, 1, -1, *(1,) * (array.ndim - 2))
    scaled: _Vector = (grouped * factors).reshape(array.shape)
    return scaled


def _matrix(producer: Node, weight: Constant, scale: _Vector) -> _Vector:
    array = weight.numpy().astype(np.float64)
    axis = 0 if producer.int("transB") else 1
    _require(array.shape[axis], scale)
    return array * _along(scale, axis, array)


@dataclass(frozen=True)
class _Scaled:
    """How an operator takes a scale per output channel: its new weight, and the attribute that multiplies its bias."""

    weight: Callable[[Node, Constant, _Vector], _Vector]
    bias_factor: str = ""


_SCALED = {
    "Conv": _Scaled(_convolution),
    "ConvTranspose": _Scaled(_transposed),
    "Gemm": _Scaled(_matrix, bias_factor="beta"),
}


def _along(scale: _Vector, axis: int, array: Array) -> _Vector:
    return scale.reshape([-1 if k == axis else 1 for k in range(array.ndim)])


def _require(channels: int, scale: _Vector) -> None:
    if channels != len(scale):
        raise Refused(f"the weight makes {channels} channels, {len(scale)} are normalized")
