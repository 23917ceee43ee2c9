"""Quantized operators, computed in floating point on the quantized numbers: fake quantization.

Rounding passes its gradient straight through, so that layers before it can be trained.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...signatures import traits_of
from .call import Operand, OperatorCall, Result
from .elements import onnx_dtype
from .layers import convolution

_RANGES = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
    "int4": (-8, 7),
    "uint4": (0, 15),
}


def rounded(x: Tensor) -> Tensor:
    """To the nearest integer, ties to even; the gradient is that of the identity."""
    return x + (torch.round(x) - x).detach()


def _along(call: OperatorCall, vector: Tensor, position: int, rank: int, default: int = 1) -> Tensor:
    """Scales or zero points of one axis, in a shape that broadcasts."""
    dims = call.dims(position)
    if dims is None or not dims or dims == (1,):
        return vector.reshape(()) if dims else vector
    call.require(len(dims) == 1 and not call.int_of("block_size"), "it is quantized in blocks")
    axis = call.int_of("axis", default) % rank
    return vector.reshape((1,) * axis + (-1,) + (1,) * (rank - axis - 1))


def quantize_linear(call: OperatorCall) -> Result:
    """Floats that hold integers where all readers scale them back, integers otherwise."""
    rank, name = call.rank(0), _quantized_type(call)
    low, high = _RANGES[name]
    scale = _along(call, call.tensor(1), 1, rank)
    y = rounded(call.tensor(0) / scale)
    if call.has(2):
        y = y + _along(call, call.tensor(2), 2, rank).to(call.dtype(0))
    y = torch.clamp(y, low, high)
    return y if _is_dequantized(call) else y.to(getattr(torch, name if name in ("int8", "uint8") else "int32"))


def _quantized_type(call: OperatorCall) -> str:
    name = (call.values.dtype(call.node.inputs[2]) if call.has(2) else None) or "uint8"
    if not call.has(2) and call.int_of("output_dtype"):
        name = str(onnx_dtype(call, call.int_of("output_dtype"))).removeprefix("torch.")
    call.require(name in _RANGES, f"quantization to {name} is not supported")
    return name


def _is_dequantized(call: OperatorCall) -> bool:
    readers = call.values.readers(call.node.outputs[0])
    return bool(readers) and all(traits_of(op).dequantizes for op in readers)


def dequantize_linear(call: OperatorCall) -> Result:
    rank, dtype = call.rank(0), call.dtype(1)
    x = call.tensor(0).to(dtype)
    if call.has(2):
        x = x - _along(call, call.tensor(2), 2, rank).to(dtype)
    return x * _along(call, call.tensor(1), 1, rank)


def dynamic_quantize_linear(call: OperatorCall) -> Result:
    """The range of the data and zero, in 255 steps."""
    x = call.tensor()
    low, high = torch.clamp(torch.amin(x), max=0.0), torch.clamp(torch.amax(x), min=0.0)
    scale = (high - low) / 255.0
    point = torch.clamp(torch.round(-low / scale), 0, 255)
    y = torch.clamp(torch.round(x / scale) + point, 0, 255)
    return y.to(torch.uint8), scale, point.to(torch.uint8)


def _centered(call: OperatorCall, position: int, point: int, axis: int) -> Tensor:
    """Quantized integers less their zero point, in double precision: sums of products are exact."""
    x = call.tensor(position).to(torch.float64)
    if not call.has(point):
        return x
    zero, dims = call.tensor(point).to(torch.float64), call.dims(point)
    if dims and dims != (1,):
        rank = call.rank(position)
        zero = zero.reshape((1,) * (axis % rank) + (-1,) + (1,) * (rank - axis % rank - 1))
    return x - zero


def matmul_integer(call: OperatorCall) -> Result:
    return torch.matmul(_centered(call, 0, 2, -2), _centered(call, 1, 3, -1)).to(torch.int32)


def conv_integer(call: OperatorCall) -> Result:
    return convolution(call, _centered(call, 0, 2, 0), _centered(call, 1, 3, 0), None).to(torch.int32)


def _scaled(call: OperatorCall, position: int, axis: int = 0) -> Tensor:
    """The dequantized value of an operand that is followed by its scale and its zero point."""
    rank, scale = call.rank(position), call.tensor(position + 1)
    dims = call.dims(position + 1)
    if dims and dims != (1,):
        scale = scale.reshape((1,) * (axis % rank) + (-1,) + (1,) * (rank - axis % rank - 1))
    return _centered(call, position, position + 2, axis) * scale.to(torch.float64)


def _requantized(call: OperatorCall, y: Tensor, position: int) -> Tensor:
    """A result in the scale and the zero point at two positions."""
    dtype = call.dtype(position + 1) if call.has(position + 1) else torch.uint8
    low, high = _RANGES[str(dtype).removeprefix("torch.")]
    point: Operand = call.tensor(position + 1).to(torch.float64) if call.has(position + 1) else 0.0
    return torch.clamp(torch.round(y / call.tensor(position).to(torch.float64)) + point, low, high).to(dtype)


def qlinear_matmul(call: OperatorCall) -> Result:
    return _requantized(call, torch.matmul(_scaled(call, 0, -2), _scaled(call, 3, -1)), 6)


def qlinear_conv(call: OperatorCall) -> Result:
    x, weight = _scaled(call, 0), _scaled(call, 3)
    bias: Any = None
    if call.has(8):
        bias = call.tensor(8).to(torch.float64) * (call.tensor(1) * call.tensor(4)).to(torch.float64).reshape(-1)
    return _requantized(call, convolution(call, x, weight, bias, 3), 6)


def qgemm(call: OperatorCall) -> Result:
    left, right = _scaled(call, 0), _scaled(call, 3, 0 if call.int_of("transB") else 1)
    left, alpha = left.t() if call.int_of("transA") else left, call.float_of("alpha", 1.0)
    y = torch.matmul(left, right.t() if call.int_of("transB") else right) * alpha
    if call.has(6):
        y = y + call.tensor(6).to(torch.float64) * (call.tensor(1) * call.tensor(4)).to(torch.float64) * alpha
    return _requantized(call, y, 7) if call.has(7) else y.to(call.dtype(1))


def qlinear_add(call: OperatorCall) -> Result:
    return _requantized(call, _scaled(call, 0) + _scaled(call, 3), 6)


def qlinear_mul(call: OperatorCall) -> Result:
    return _requantized(call, _scaled(call, 0) * _scaled(call, 3), 6)


def qlinear_global_average_pool(call: OperatorCall) -> Result:
    call.require(not call.int_of("channels_last"), "channels_last is not supported")
    mean = torch.mean(_scaled(call, 0), list(range(2, call.rank(0))), True)
    return _requantized(call, mean, 3)
