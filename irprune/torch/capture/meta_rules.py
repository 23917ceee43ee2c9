"""Rules for the shape and type of the results of common operators, given tensors on the ``meta`` device.

The rules cover tensors that are contiguous, as nearly all are. In other cases they return ``None``, and PyTorch's
FakeTensor computes the result. ``_RULES`` notes how much time each rule saves. Output sizes follow the documentation of
the layers in ``torch.nn``. The tests compare every rule with ``FakeTensor``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ...frontends.aten import aten_operator, is_elementwise

Operator: TypeAlias = "torch._ops.OpOverload[Any, Any]"
Shape: TypeAlias = Sequence[int]
Rule: TypeAlias = "Callable[..., Shape | None]"

_ATEN = torch.ops.aten


def meta_rule_of(func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | tuple[Tensor, ...] | None:
    """The results of an operator as ``meta`` tensors, or ``None`` if no rule covers the call."""
    if func in _WHOLE_RULES:
        return _WHOLE_RULES[func](*args, **kwargs)
    if _is_elementwise(func):
        return _elementwise(func, args, kwargs)
    rule = _RULES.get(func)
    tensors = list(_tensors(args))
    if rule is None or kwargs or not _are_of_one_type(tensors):
        return None
    order = _order_of(func, tensors)
    shape = rule(*args)
    return None if shape is None or order is None else _empty(shape, tensors[0].dtype, order)


def known_operators() -> frozenset[Operator]:
    """The operators that a rule names; element-wise ones need none."""
    return frozenset(_RULES) | frozenset(_WHOLE_RULES)


def _are_of_one_type(tensors: Sequence[Tensor]) -> bool:
    """Whether all floating-point operands have one type."""
    return {tensor.dtype for tensor in tensors if tensor.dtype.is_floating_point} == {tensors[0].dtype}


def _order_of(func: Operator, tensors: Sequence[Tensor]) -> torch.memory_format | None:
    """The memory format of the result, or ``None`` if no rule knows it."""
    layout = aten_operator(_name_of(func), func._overloadname).layout
    if layout == "contiguous" or all(tensor.is_contiguous() for tensor in tensors):
        return torch.contiguous_format
    lie_so = all(t.is_contiguous() or t.is_contiguous(memory_format=torch.channels_last) for t in tensors)
    return torch.channels_last if layout == "channels_last" and lie_so else None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _empty(shape: Shape, dtype: torch.dtype, order: torch.memory_format = torch.contiguous_format) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype, device="meta", memory_format=order)


def _range(func: Operator, *args: Any, **kwargs: Any) -> Tensor:
    """The shape and type of the range that the CPU makes."""
    made = func(*args, **{**kwargs, "device": "cpu"})
    return _empty(made.shape, made.dtype)


# -- elementwise ------------------------------------------------------------------------------------------------------


@cache
def _is_elementwise(func: Operator) -> bool:
    is_view = any(made.alias_info is not None for made in func._schema.returns)
    if func._schema.is_mutable or is_view or torch.Tag.nondeterministic_seeded in func.tags:
        return False
    return is_elementwise(_name_of(func), func._overloadname, torch.Tag.pointwise in func.tags)


def _name_of(func: Operator) -> str:
    return str(func._schema.name).partition("::")[2]


def _elementwise(func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The broadcast shape; the type is found by a run on one element."""
    if any(isinstance(value, (Tensor, torch.memory_format)) for value in kwargs.values()):
        return None
    tensors = [value for value in args if isinstance(value, Tensor)]
    try:
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
        one = func(*(_one(a.dim(), a.dtype) if isinstance(a, Tensor) else a for a in args), **kwargs)
    except (RuntimeError, ValueError, NotImplementedError):
        return None  # shapes that do not broadcast, types without kernels: FakeTensor reports the error
    if not tensors or not isinstance(one, Tensor):
        return None
    return _laid_out(shape, tensors, one.dtype)


def _laid_out(shape: Shape, tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor | None:
    """The result has the strides of the first operand of its shape, if the others are scalars or vectors."""
    if all(tensor.is_contiguous() for tensor in tensors):
        return _empty(shape, dtype)
    whole = [tensor for tensor in tensors if tensor.shape == shape]
    others = [tensor for tensor in tensors if tensor.shape != shape]
    if not whole or any(tensor.numel() != max(tensor.shape, default=1) for tensor in others):
        return None
    made = torch.empty_like(whole[0], dtype=dtype)
    return made if made.stride() == whole[0].stride() else None  # otherwise there are gaps in memory


@cache
def _one(rank: int, dtype: torch.dtype) -> Tensor:
    return torch.ones([1] * rank, dtype=dtype)


# -- layers -----------------------------------------------------------------------------------------------------------


def _like(data: Tensor, *_: Any) -> Shape:
    return data.shape


def _linear(data: Tensor, weight: Tensor, bias: Tensor | None = None) -> Shape | None:
    fits = weight.dim() == 2 and data.dim() > 0 and data.shape[-1] == weight.shape[1]
    return (*data.shape[:-1], weight.shape[0]) if fits else None


def _matmul(left: Tensor, right: Tensor) -> Shape | None:
    if left.dim() != right.dim() or left.dim() < 2 or left.shape[-1] != right.shape[-2]:
        return None
    return (*left.shape[:-1], right.shape[-1]) if left.shape[:-2] == right.shape[:-2] else None


def _addmm(bias: Tensor, left: Tensor, right: Tensor) -> Shape | None:
    return _matmul(left, right)


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor | None:
    """The CPU kernel gives its result the memory layout of the query."""
    same = query.dim() == 4 and query.shape[:2] == key.shape[:2] == value.shape[:2]
    fits = same and query.shape[3] == key.shape[3] == value.shape[3] and key.shape[2] == value.shape[2]
    return torch.empty_like(query) if fits else None


def _embedding(table: Tensor, indices: Tensor, *_: Any) -> Shape:
    return (*indices.shape, table.shape[1])


def _each(numbers: int | Sequence[int], count: int) -> Sequence[int]:
    """One number per axis; a single number holds for all axes."""
    given = [numbers] if isinstance(numbers, int) else list(numbers)
    return given * count if len(given) == 1 else given


def _convolution(
    data: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Shape | None:
    if data.dim() != weight.dim() or data.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        return None
    axes = data.dim() - 2
    if isinstance(padding, str):
        if padding == "same":
            return (data.shape[0], weight.shape[0], *data.shape[2:])
        padding = 0
    numbers = (_each(each, axes) for each in (stride, padding, dilation))
    sizes = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(data.shape[2:], weight.shape[2:], *numbers, strict=True)
    ]
    return (data.shape[0], weight.shape[0], *sizes) if min(sizes) > 0 else None


def _transposed_convolution(
    data: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Shape | None:
    if data.dim() != weight.dim() or data.shape[1] != weight.shape[0]:
        return None
    numbers = (_each(each, data.dim() - 2) for each in (stride, padding, output_padding, dilation))
    sizes = [
        (size - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for size, k, s, p, extra, d in zip(data.shape[2:], weight.shape[2:], *numbers, strict=True)
    ]
    return (data.shape[0], weight.shape[1] * groups, *sizes) if min(sizes) > 0 else None


def _recurrent(
    data: Tensor,
    states: Tensor | Sequence[Tensor],
    weights: Sequence[Tensor],
    has_biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    both_ways: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """In memory the steps always come first."""
    given = [states] if isinstance(states, Tensor) else states
    width = given[0].shape[-1] * (2 if both_ways else 1)
    steps, batch = data.shape[1::-1] if batch_first else data.shape[:2]
    result = _empty((steps, batch, width), data.dtype)
    return (result.transpose(0, 1) if batch_first else result, *(_empty(s.shape, s.dtype) for s in given))


# -- pooling and resizing ---------------------------------------------------------------------------------------------


def _pooled(data: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> Shape | None:
    axes = data.dim() - 2
    kernel = _each(kernel, axes)
    numbers = kernel, _each(stride or kernel, axes), _each(padding, axes), _each(dilation, axes)
    sizes = []
    for size, k, s, p, d in zip(data.shape[2:], *numbers, strict=True):
        count = (size + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil else 0)) // s + 1
        sizes.append(count - 1 if ceil and (count - 1) * s >= size + p else count)
    return (*data.shape[:2], *sizes) if min(sizes) > 0 else None


def _max_pool(
    data: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Shape | None:
    return _pooled(data, kernel, stride, padding, dilation, ceil) if data.dim() == 4 else None


def _average_pool(
    data: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, ceil: bool = False, *_: Any
) -> Shape | None:
    return _pooled(data, kernel, stride, padding, 1, ceil) if data.dim() == 4 else None


def _adaptive_pool(data: Tensor, sizes: Sequence[int]) -> Shape:
    return (*data.shape[: data.dim() - len(sizes)], *sizes)


def _nearest(data: Tensor, sizes: Sequence[int] | None, factors: Sequence[float] | None) -> Shape:
    scaled = sizes or [int(size * factor) for size, factor in zip(data.shape[2:], factors or (), strict=True)]
    return (*data.shape[:2], *scaled)


def _interpolated(
    data: Tensor, sizes: Sequence[int] | None, align: bool, factors: Sequence[float] | None = None
) -> Shape:
    return _nearest(data, sizes, factors)


def _pixel_shuffle(data: Tensor, factor: int) -> Shape | None:
    if data.dim() != 4 or data.shape[1] % factor**2:
        return None
    return (data.shape[0], data.shape[1] // factor**2, *(size * factor for size in data.shape[2:]))


# -- reductions and movement ------------------------------------------------------------------------------------------


def _reduced(data: Tensor, dims: Sequence[int] | None = None, keep: bool = False) -> Shape | None:
    if not dims or data.dim() == 0:
        return None
    gone = {dim % data.dim() for dim in dims}
    return [1 if axis in gone else size for axis, size in enumerate(data.shape) if keep or axis not in gone]


def _joined(tensors: Sequence[Tensor], dim: int = 0) -> Shape | None:
    first = tensors[0]
    if any(tensor.dim() != first.dim() or not tensor.dtype.is_floating_point for tensor in tensors) or not first.dim():
        return None
    axis = dim % first.dim()
    others = {(*tensor.shape[:axis], *tensor.shape[axis + 1 :]) for tensor in tensors}
    if len(others) > 1:
        return None
    return (*first.shape[:axis], sum(tensor.shape[axis] for tensor in tensors), *first.shape[axis + 1 :])


_WHOLE_RULES: dict[Operator, Callable[..., Tensor | tuple[Tensor, ...] | None]] = {
    # 43 % (lstm_tagger)
    **dict.fromkeys((_ATEN.lstm.input, _ATEN.gru.input, _ATEN.rnn_tanh.input, _ATEN.rnn_relu.input), _recurrent),
    # 9 % (vit)
    **{func: partial(_range, func) for func in (_ATEN.arange.default, _ATEN.arange.start, _ATEN.arange.start_step)},
    _ATEN.linspace.default: partial(_range, _ATEN.linspace.default),
    _ATEN.scaled_dot_product_attention.default: _attention,  # 6 % (bert)
}
"""Rules that give the results themselves; the numbers are those of ``_RULES``."""

_RULES: dict[Operator, Rule] = {
    # 66 % (densenet121)
    **dict.fromkeys((_ATEN.batch_norm.default, _ATEN.layer_norm.default, _ATEN.instance_norm.default), _like),
    **dict.fromkeys((_ATEN.group_norm.default, _ATEN.rms_norm.default, _ATEN.prelu.default), _like),
    **dict.fromkeys((_ATEN.matmul.default, _ATEN.mm.default, _ATEN.bmm.default), _matmul),  # 13 % (maxvit_tiny)
    # 83 % (resnet50)
    **dict.fromkeys((_ATEN.conv1d.default, _ATEN.conv2d.default, _ATEN.conv3d.default), _convolution),
    **dict.fromkeys((_ATEN.conv1d.padding, _ATEN.conv2d.padding, _ATEN.conv3d.padding), _convolution),
    # 2 % (autoencoder)
    **dict.fromkeys((_ATEN.conv_transpose1d.default, _ATEN.conv_transpose2d.input), _transposed_convolution),
    # 6 % (efficientnet_b0)
    **dict.fromkeys((_ATEN.adaptive_avg_pool2d.default, _ATEN.adaptive_avg_pool1d.default), _adaptive_pool),
    **dict.fromkeys((_ATEN.mean.dim, _ATEN.sum.dim_IntList, _ATEN.amax.default), _reduced),  # 3 % (attention_cbam)
    _ATEN.linear.default: _linear,  # 50 % (vit)
    _ATEN.addmm.default: _addmm,  # 20 % (gpt2)
    _ATEN.embedding.default: _embedding,  # 16 % (lstm_tagger)
    _ATEN.max_pool2d.default: _max_pool,  # 7 % (vgg16_bn)
    _ATEN.avg_pool2d.default: _average_pool,  # 3 % (shufflenet_v1)
    _ATEN.upsample_nearest2d.vec: _nearest,  # 5 % (yolov8)
    _ATEN.upsample_bilinear2d.vec: _interpolated,  # 84 % (unet_bilinear)
    _ATEN.pixel_shuffle.default: _pixel_shuffle,  # 26 % (espcn)
    _ATEN.cat.default: _joined,  # 9 % (densenet121)
}
"""Beside each rule stands how much of a capture it saves, in the model where that is most, against FakeTensor.

Measured by ``python -m benchmarks.meta_rules`` on two CPU cores with torch 2.13, after one capture for warming up. A
rule that saves less than 1 % anywhere is removed. Element-wise operators save up to 38 % (t5).
"""
