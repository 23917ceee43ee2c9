"""Contractions, normalizations and pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .call import Function, Int, OperatorCall, Result

_CONV: Sequence[Callable[..., Tensor]] = (torch.conv1d, torch.conv2d, torch.conv3d)
_CONV_TRANSPOSE: Sequence[Callable[..., Tensor]] = (
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
)
_MAX_POOL: Sequence[Callable[..., Tensor]] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
_AVERAGE_POOL: Sequence[Callable[..., Tensor]] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


class Window:
    """Kernel, strides, dilations and padding of a convolution or a pooling; one entry a spatial dimension."""

    def __init__(self, call: OperatorCall, kernel: Sequence[int]) -> None:
        self.call = call
        self.kernel = list(kernel)
        self.rank = len(self.kernel)
        call.require(1 <= self.rank <= 3, f"it has {self.rank} spatial dimensions, PyTorch has 1 to 3")
        self.strides = call.plain_ints("strides") or [1] * self.rank
        self.dilations = call.plain_ints("dilations") or [1] * self.rank
        self.begins, self.ends = self._pads()

    def extent(self, k: int) -> int:
        """How far the window reaches in a dimension."""
        return (self.kernel[k] - 1) * self.dilations[k] + 1

    def _pads(self) -> tuple[list[Int], list[Int]]:
        mode = self.call.str_of("auto_pad", "NOTSET")
        if mode == "NOTSET":
            pads = self.call.plain_ints("pads") or [0] * (2 * self.rank)
            return list(pads[: self.rank]), list(pads[self.rank :])
        if mode == "VALID":
            return [0] * self.rank, [0] * self.rank
        totals = [self._same_total(k) for k in range(self.rank)]
        halves = [total // 2 for total in totals]
        others = [total - half for total, half in zip(totals, halves, strict=True)]
        return (halves, others) if mode == "SAME_UPPER" else (others, halves)

    def _same_total(self, k: int) -> Int:
        """The padding that makes the output size ``ceil(input / stride)``."""
        size, stride = self.call.size(0, k + 2), self.strides[k]
        if stride == 1:
            return self.extent(k) - 1
        steps = (size + (stride - 1)) // stride - 1
        return torch.sym_max(steps * stride + self.extent(k) - size, 0)  # type: ignore[no-untyped-call]

    @property
    def is_symmetric(self) -> bool:
        pairs = zip(self.begins, self.ends, strict=True)
        return all(a is b or (isinstance(a, int) and isinstance(b, int) and a == b) for a, b in pairs)

    @property
    def is_padded(self) -> bool:
        return any(not isinstance(pad, int) or pad for pad in (*self.begins, *self.ends))

    def pad(self, x: Tensor, value: float = 0.0) -> Tensor:
        """The input with its padding spelled out."""
        pads = [pad for k in reversed(range(self.rank)) for pad in (self.begins[k], self.ends[k])]
        return F.pad(x, pads, value=value) if self.is_padded else x


def conv(call: OperatorCall) -> Result:
    return convolution(call, call.tensor(0), call.tensor(1), call.optional(2))


def convolution(call: OperatorCall, x: Tensor, weight: Tensor, bias: Tensor | None, position: int = 1) -> Tensor:
    """A convolution with the attributes of the node, whose weight is the operand at ``position``."""
    window = Window(call, call.plain_ints("kernel_shape") or call.static(position)[2:])
    padding = window.begins
    if not window.is_symmetric:
        x, padding = window.pad(x), [0] * window.rank
    function = _CONV[window.rank - 1]
    return function(x, weight, bias, window.strides, padding, window.dilations, call.int_of("group", 1))


def conv_transpose(call: OperatorCall) -> Result:
    """Padding of a transposed convolution crops its result."""
    window = Window(call, call.plain_ints("kernel_shape") or call.static(1)[2:])
    extra = call.plain_ints("output_padding") or [0] * window.rank
    begins, ends = _cut(call, window, extra)
    padding = list(begins)
    is_symmetric = begins == ends
    if not is_symmetric:
        padding = [0] * window.rank
    function = _CONV_TRANSPOSE[window.rank - 1]
    bias = call.optional(2)
    x, weight, group = call.tensor(0), call.tensor(1), call.int_of("group", 1)
    y = function(x, weight, bias, window.strides, padding, extra, group, window.dilations)
    if is_symmetric:
        return y
    index = [slice(begin, -end if end else None) for begin, end in zip(begins, ends, strict=True)]
    call.require(all(pad >= 0 for pad in (*begins, *ends)), "its padding is negative")
    return y[(..., *index)]


def _cut(call: OperatorCall, window: Window, extra: list[int]) -> tuple[list[int], list[int]]:
    mode, shape = call.str_of("auto_pad", "NOTSET"), call.plain_ints("output_shape")
    if shape is None and mode in ("NOTSET", "VALID"):
        return window.begins, window.ends
    totals = []
    for k in range(window.rank):
        reach = extra[k] + window.extent(k) - window.strides[k]
        if shape is None:
            totals.append(reach)  # the output is the input times the stride
            continue
        totals.append(window.strides[k] * call.static_size(0, k + 2) + reach - shape[-window.rank :][k])
    call.require(all(total >= 0 for total in totals), "its output_shape needs padding")
    halves = [total // 2 for total in totals]
    others = [total - half for total, half in zip(totals, halves, strict=True)]
    return (halves, others) if mode == "SAME_UPPER" else (others, halves)


def gemm(call: OperatorCall) -> Tensor:
    left, right, bias = call.tensor(0), call.tensor(1), call.optional(2)
    alpha, beta = call.float_of("alpha", 1.0), call.float_of("beta", 1.0)
    if call.int_of("transA"):
        left = left.t()
    if alpha == beta == 1.0 and call.int_of("transB") and (bias is None or call.rank(2) == 1):
        return F.linear(left, right, bias)
    product = torch.matmul(left, right.t() if call.int_of("transB") else right)
    if alpha != 1.0:
        product = product * alpha
    if bias is None or beta == 0.0:
        return product
    return product + (bias if beta == 1.0 else bias * beta)


# -- normalizations ----------------------------------------------------------------------------------------------------


def batch_normalization(call: OperatorCall) -> Result:
    """Always uses the running statistics, as the exported model does."""
    call.require(not call.int_of("training_mode") and not call.wants(1), "it was exported in training mode")
    call.require(call.int_of("spatial", 1) == 1, "spatial=0 is not supported")
    x, scale, bias, mean, variance = (call.tensor(k) for k in range(5))
    return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, call.float_of("epsilon", 1e-5))


def instance_normalization(call: OperatorCall) -> Result:
    x, scale, bias = (call.tensor(k) for k in range(3))
    return F.instance_norm(x, weight=scale, bias=bias, eps=call.float_of("epsilon", 1e-5))


def layer_normalization(call: OperatorCall) -> Result:
    call.require(not call.wants(1) and not call.wants(2), "only its first output is supported")
    scale, axis = call.static(1), call.int_of("axis", -1)
    axes = -axis if axis < 0 else call.rank() - axis
    call.require(len(scale) == axes, "its scale does not cover the normalized dimensions")
    return F.layer_norm(call.tensor(0), scale, call.tensor(1), call.optional(2), call.float_of("epsilon", 1e-5))


def rms_normalization(call: OperatorCall) -> Result:
    call.require(not call.wants(1), "only its first output is supported")
    axis = call.int_of("axis", -1)
    count = -axis if axis < 0 else call.rank() - axis
    return rms_norm(call.tensor(0), call.tensor(1), call.float_of("epsilon", 1e-5), count)


def rms_norm(x: Tensor, scale: Tensor, epsilon: float, count: int = 1) -> Tensor:
    """The last ``count`` dimensions over the root of the mean of their squares."""
    axes = list(range(-count, 0))
    return x * torch.rsqrt(torch.mean(x * x, axes, True) + epsilon) * scale


def group_normalization(call: OperatorCall) -> Result:
    """Scale and bias are per channel since opset 21, per group before."""
    x, scale, bias, groups = call.tensor(0), call.tensor(1), call.tensor(2), call.int_of("num_groups")
    if call.opset < 21:
        channels = call.size(0, 1)
        scale, bias = (v.repeat_interleave(channels // groups) for v in (scale, bias))
    return F.group_norm(x, groups, scale, bias, call.float_of("epsilon", 1e-5))


def local_response_normalization(call: OperatorCall) -> Result:
    size = call.int_of("size")
    call.require(size % 2 == 1, "an even size is not centered the same way in PyTorch")
    alpha, beta, bias = call.float_of("alpha", 1e-4), call.float_of("beta", 0.75), call.float_of("bias", 1.0)
    return F.local_response_norm(call.tensor(), size, alpha, beta, bias)


_TINY = 1e-30
"""Zeros divided by a norm of zero stay zeros."""


def lp_normalization(call: OperatorCall) -> Result:
    return F.normalize(call.tensor(), float(call.int_of("p", 2)), call.int_of("axis", -1), _TINY)


def mean_variance_normalization(call: OperatorCall) -> Result:
    x, axes = call.tensor(), call.plain_ints("axes") or [0, 2, 3]
    centered = x - torch.mean(x, axes, True)
    return centered / (torch.sqrt(torch.mean(centered * centered, axes, True)) + 1e-9)


# -- pooling -----------------------------------------------------------------------------------------------------------


def _window(call: OperatorCall) -> Window:
    return Window(call, call.plain_ints("kernel_shape") or [])


def max_pool(call: OperatorCall) -> Result:
    call.require(not call.wants(1), "its indices count over the whole tensor, PyTorch's over a plane")
    window, x = _window(call), call.tensor()
    padding = window.begins
    fits = all(isinstance(pad, int) and 2 * pad <= size for pad, size in zip(padding, window.kernel, strict=True))
    if not (window.is_symmetric and fits):
        call.require(call.dtype().is_floating_point, "integers with this padding are not supported")
        call.require(not call.int_of("ceil_mode"), "sizes are rounded up with this padding")
        x, padding = window.pad(x, -math.inf), [0] * window.rank
    function = _MAX_POOL[window.rank - 1]
    return function(x, window.kernel, window.strides, padding, window.dilations, bool(call.int_of("ceil_mode")))


def average_pool(call: OperatorCall) -> Result:
    window = _window(call)
    call.require(set(window.dilations) == {1}, "dilations are not supported")
    return _average(call, window, call.tensor(), bool(call.int_of("count_include_pad")))


def _average(call: OperatorCall, window: Window, x: Tensor, counts_pads: bool) -> Tensor:
    function, ceil = _AVERAGE_POOL[window.rank - 1], bool(call.int_of("ceil_mode"))
    fits = all(isinstance(pad, int) and 2 * pad <= n for pad, n in zip(window.begins, window.kernel, strict=True))
    if window.is_symmetric and fits:
        return function(x, window.kernel, window.strides, window.begins, ceil, counts_pads)
    call.require(not ceil, "sizes are rounded up with this padding")
    padded = function(window.pad(x), window.kernel, window.strides, 0, ceil)
    if counts_pads:
        return padded
    ones = torch.ones_like(x[:1, :1])
    return padded / function(window.pad(ones), window.kernel, window.strides, 0, ceil)


def lp_pool(call: OperatorCall) -> Result:
    window, p = _window(call), call.int_of("p", 2)
    call.require(set(window.dilations) == {1}, "dilations are not supported")
    total = _average(call, window, torch.pow(torch.abs(call.tensor()), p), True) * math.prod(window.kernel)
    return torch.pow(total, 1.0 / p)


def over_space(function: Callable[[Tensor, list[int]], Tensor]) -> Function:
    """Global pooling: every dimension behind the channels becomes one."""
    return lambda call: function(call.tensor(), list(range(2, call.rank())))


def global_average_pool(x: Tensor, axes: list[int]) -> Tensor:
    return torch.mean(x, axes, True)


def global_max_pool(x: Tensor, axes: list[int]) -> Tensor:
    return torch.amax(x, axes, True)


def global_lp_pool(call: OperatorCall) -> Result:
    axes = list(range(2, call.rank()))
    found: Tensor = torch.linalg.vector_norm(call.tensor(), call.int_of("p", 2), axes, True)
    return found
