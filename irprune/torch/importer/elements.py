"""Element-wise operators, reductions and selections."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import onnx_ir as oir
import torch
import torch.nn.functional as F
from torch import Tensor

from ...frontends.onnx import dtype_name
from .call import Function, OperatorCall, Result, torch_dtype


def unary(function: Callable[[Tensor], Tensor]) -> Function:
    return lambda call: function(call.tensor())


def binary(function: Callable[[Any, Any], Tensor]) -> Function:
    """A function of two tensors; one of them may be a number."""
    return lambda call: function(*call.operands())


def of_tensors(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    return lambda call: function(call.tensor(0), call.tensor(1))


def several(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    return lambda call: reduce(function, call.tensors())


def identity(call: OperatorCall) -> Result:
    return call.tensor()


def div(call: OperatorCall) -> Result:
    """Integers are divided toward zero."""
    if call.dtype(0).is_floating_point:
        left, right = call.operands()
        return left / right  # type: ignore[no-any-return]
    return torch.div(call.tensor(0), call.operand(1), rounding_mode="trunc")


def mod(call: OperatorCall) -> Result:
    left, right = call.tensor(0), call.operand(1)
    return torch.fmod(left, right) if call.int_of("fmod") else torch.remainder(left, right)


def power(call: OperatorCall) -> Result:
    """The result has the type of the base."""
    base, exponent = call.operands()
    result = torch.pow(base, exponent)
    return result if call.dtype(0).is_floating_point else result.to(call.dtype(0))


def bit_shift(call: OperatorCall) -> Result:
    left, right = call.operands()
    if call.str_of("direction") == "LEFT":
        return torch.bitwise_left_shift(left, right)
    return torch.bitwise_right_shift(left, right)


def mean(call: OperatorCall) -> Result:
    tensors = call.tensors()
    return reduce(torch.add, tensors) / len(tensors)


def extreme(function: Callable[[Tensor, Tensor], Tensor], bound: str) -> Function:
    """Max and Min: a number is a bound of ``torch.clamp``."""

    def compute(call: OperatorCall) -> Result:
        number = call.inlined(1) if len(call.node.inputs) == 2 else None
        if number is not None and call.dtype(0).is_floating_point:
            return torch.clamp(call.tensor(0), **{bound: number})
        return reduce(function, call.tensors())

    return compute


def clip(call: OperatorCall) -> Result:
    if call.opset < 11:
        return torch.clamp(call.tensor(), call.float_of("min", -math.inf), call.float_of("max", math.inf))
    x = call.tensor()
    for position, bound, function in ((1, "min", torch.maximum), (2, "max", torch.minimum)):
        if not call.has(position):
            continue
        number = call.number(position)
        x = function(x, call.tensor(position)) if number is None else torch.clamp(x, **{bound: number})
    return x


def where(call: OperatorCall) -> Result:
    yes, no = call.operands(1, 2)
    return torch.where(call.tensor(0), yes, no)


def cast(call: OperatorCall) -> Result:
    return call.tensor().to(onnx_dtype(call, call.int_of("to")))


def cast_like(call: OperatorCall) -> Result:
    return call.tensor().to(call.dtype(1))


def onnx_dtype(call: OperatorCall, number: int) -> torch.dtype:
    dtype = oir.DataType(number)
    call.require(dtype != oir.DataType.STRING, "tensors of strings are not supported")
    return torch_dtype(dtype_name(dtype))


def is_inf(call: OperatorCall) -> Result:
    x = call.tensor()
    if call.int_of("detect_negative", 1) and call.int_of("detect_positive", 1):
        return torch.isinf(x)
    return torch.isneginf(x) if call.int_of("detect_negative", 1) else torch.isposinf(x)


def prelu(call: OperatorCall) -> Result:
    x, slope = call.tensor(0), call.tensor(1)
    return torch.where(x >= 0, x, slope * x)


def hard_sigmoid(call: OperatorCall) -> Result:
    return torch.clamp(call.tensor() * call.float_of("alpha", 0.2) + call.float_of("beta", 0.5), 0.0, 1.0)


def shrink(call: OperatorCall) -> Result:
    x, bias, limit = call.tensor(), call.float_of("bias", 0.0), call.float_of("lambd", 0.5)
    zero = torch.zeros_like(x)
    return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, zero))


def selu(call: OperatorCall) -> Result:
    return F.elu(call.tensor(), call.float_of("alpha", 1.67326319217681884765625)) * call.float_of(
        "gamma", 1.0507010221481323
    )


def swish(call: OperatorCall) -> Result:
    x, alpha = call.tensor(), call.float_of("alpha", 1.0)
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(x * alpha)


def softmax(function: Callable[..., Tensor]) -> Function:
    """Before opset 13 everything from the axis on is one dimension."""

    def compute(call: OperatorCall) -> Result:
        x = call.tensor()
        if call.opset >= 13:
            return function(x, dim=call.int_of("axis", -1))
        axis = call.axis(1)
        if axis == call.rank() - 1:
            return function(x, dim=axis)
        return function(torch.flatten(x, axis), dim=axis).reshape(x.shape)

    return compute


def hard_max(x: Tensor, dim: int) -> Tensor:
    peak = torch.argmax(x, dim, keepdim=True)
    return torch.zeros_like(x).scatter(dim, peak, 1.0)


# -- reductions --------------------------------------------------------------------------------------------------------


def reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Function:
    def compute(call: OperatorCall) -> Result:
        axes = call.plain_ints("axes", 1)
        if not axes and call.int_of("noop_with_empty_axes"):
            return call.tensor()
        found = function(call.tensor(), axes or list(range(call.rank())), bool(call.int_of("keepdims", 1)))
        return found if call.dtype().is_floating_point else found.to(call.dtype())  # sums of integers are widened

    return compute


def reduce_prod(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    for axis in axes:
        x = torch.prod(x, axis, keepdim=True)
    return x if keepdim else torch.squeeze(x, axes)


def reduce_sum(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return torch.sum(x, axes, keepdim)


def reduce_mean(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return torch.mean(x, axes, keepdim)


def reduce_max(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return torch.amax(x, axes, keepdim)


def reduce_min(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return torch.amin(x, axes, keepdim)


def reduce_l1(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return torch.sum(torch.abs(x), axes, keepdim)


def reduce_l2(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(x, 2, axes, keepdim)
    return found


def reduce_sum_square(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return torch.sum(x * x, axes, keepdim)


def reduce_log_sum(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return torch.log(torch.sum(x, axes, keepdim))


def reduce_log_sum_exp(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return torch.logsumexp(x, axes, keepdim)


def arg_extreme(function: Callable[[Tensor, int, bool], Tensor]) -> Function:
    def compute(call: OperatorCall) -> Result:
        x, axis, keepdims = call.tensor(), call.int_of("axis"), bool(call.int_of("keepdims", 1))
        if not call.int_of("select_last_index"):
            return function(x, axis, keepdims)
        last: Tensor = call.size(0, axis) - 1 - function(torch.flip(x, (axis,)), axis, keepdims)
        return last

    return compute


def top_k(call: OperatorCall) -> Result:
    count = call.ints("k", 1)
    call.require(count is not None, "it has no k")
    largest, is_sorted = bool(call.int_of("largest", 1)), bool(call.int_of("sorted", 1))
    values, indices = torch.topk(call.tensor(), (count or [0])[0], call.int_of("axis", -1), largest, is_sorted)
    return values, indices


def cumulative_sum(call: OperatorCall) -> Result:
    x, axis = call.tensor(), call.number(1)
    call.require(isinstance(axis, int), "its axis is known only at run time")
    if call.int_of("reverse"):
        x = torch.flip(x, (axis,))
    total = torch.cumsum(x, axis, dtype=call.dtype(0))
    if call.int_of("exclusive"):
        total = total - x
    return torch.flip(total, (axis,)) if call.int_of("reverse") else total


def trilu(call: OperatorCall) -> Result:
    diagonal = call.scalar(1, 0)
    return torch.triu(call.tensor(), diagonal) if call.int_of("upper", 1) else torch.tril(call.tensor(), diagonal)


def einsum(call: OperatorCall) -> Result:
    return torch.einsum(call.str_of("equation").replace(" ", ""), *call.tensors())
