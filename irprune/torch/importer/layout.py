"""Operators that move elements: shapes, slices, look-ups, padding, resizing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .call import Int, OperatorCall, Result
from .elements import onnx_dtype


def reshape(call: OperatorCall) -> Result:
    shape = call.ints("shape", 1)
    assert shape is not None
    if not call.int_of("allowzero"):
        zeros = [k for k, size in enumerate(shape) if isinstance(size, int) and size == 0]
        shape = [call.size(0, k) if k in zeros else size for k, size in enumerate(shape)]
    return torch.reshape(call.tensor(), tuple(shape))


def flatten(call: OperatorCall) -> Result:
    axis, rank = call.axis(1), call.rank()
    if axis == 1 and rank > 1:
        return torch.flatten(call.tensor(), 1)
    rows: Int = reduce(lambda a, b: a * b, call.sizes()[:axis], 1)
    columns: Int = reduce(lambda a, b: a * b, call.sizes()[axis:], 1)
    return torch.reshape(call.tensor(), (rows, columns))


def transpose(call: OperatorCall) -> Result:
    order = call.plain_ints("perm") or list(reversed(range(call.rank())))
    return torch.permute(call.tensor(), order)


def squeeze(call: OperatorCall) -> Result:
    axes = call.plain_ints("axes", 1)
    return torch.squeeze(call.tensor()) if axes is None else torch.squeeze(call.tensor(), axes)


def unsqueeze(call: OperatorCall) -> Result:
    """Negative axes count in the result."""
    axes = call.plain_ints("axes", 1) or []
    if any(axis < 0 for axis in axes):
        rank = call.rank() + len(axes)
        axes = [axis % rank for axis in axes]
    return reduce(torch.unsqueeze, sorted(axes), call.tensor())


def concat(call: OperatorCall) -> Result:
    return torch.cat(call.tensors(), call.int_of("axis"))


def split(call: OperatorCall) -> Result:
    sizes, axis, parts = call.ints("split", 1), call.int_of("axis"), len(call.node.outputs)
    if sizes is None:
        size = call.size(0, axis)
        chunk = size // parts if call.opset < 18 else (size + (parts - 1)) // parts
        sizes = [chunk] * (parts - 1)
        sizes.append(size - chunk * (parts - 1))
    pieces = torch.split(call.tensor(), sizes, axis)
    return [pieces[k] for k in range(parts)]


_FAR = (1 << 31) - 2
"""Bounds beyond this mean the end, or the beginning."""


def slice_(call: OperatorCall) -> Result:
    starts, ends = call.ints("starts", 1), call.ints("ends", 2)
    assert starts is not None and ends is not None
    axes = call.plain_ints("axes", 3) or list(range(len(starts)))
    steps = call.plain_ints("steps", 4) or [1] * len(starts)
    x = call.tensor()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        x = _sliced(call, x, axis, start, end, step)
    return x


def _sliced(call: OperatorCall, x: Tensor, axis: int, start: Int, end: Int, step: int) -> Tensor:
    if step == -1 and isinstance(end, int) and end < -_FAR and isinstance(start, int) and start == -1:
        return torch.flip(x, (axis,))
    if step < 0:
        size = call.size(0, axis)
        call.require(all(isinstance(v, int) for v in (size, start, end)), "it steps back over sizes of the run time")
        past = end < -size
        kept = range(size)[slice(start, None if past else end, step)]
        return torch.index_select(x, axis, call.buffer(np.array(kept, dtype=np.int64)))
    first = None if isinstance(start, int) and (start == 0 or start < -_FAR) else start
    last = None if isinstance(end, int) and end > _FAR else end
    if first is None and last is None and step == 1:
        return x
    index = slice(first, last, None if step == 1 else step)
    if axis >= 0:
        return x[(slice(None),) * axis + (index,)]
    return x[(..., index) + (slice(None),) * (-axis - 1)]


def gather(call: OperatorCall) -> Result:
    axis, number, dims = call.int_of("axis"), call.number(1), call.dims(1)
    if number is not None and dims == ():
        return torch.select(call.tensor(), axis, number)
    data, indices = call.tensor(0), call.tensor(1)
    if axis == 0 and call.rank() == 2 and call.dtype(0).is_floating_point and not _counts_from_end(call):
        return F.embedding(indices, data)
    if dims is not None and len(dims) == 1 and _are_positions(call, 1):
        return torch.index_select(data, axis, indices)
    return data[(slice(None),) * call.axis() + (indices,)]


def _are_positions(call: OperatorCall, position: int) -> bool:
    """Whether all indices are known and none is negative."""
    numbers = call.values.numbers(call.node.inputs[position])
    return numbers is not None and all(isinstance(n, int) and n >= 0 for n in numbers)


def _counts_from_end(call: OperatorCall) -> bool:
    """Whether some of the indices in operand 1 are known to be negative."""
    numbers = call.values.numbers(call.node.inputs[1]) or []
    return any(isinstance(n, int) and n < 0 for n in numbers)


def gather_elements(call: OperatorCall) -> Result:
    return torch.gather(call.tensor(0), call.int_of("axis"), _from_front(call, call.int_of("axis")))


def _from_front(call: OperatorCall, axis: int) -> Tensor:
    """The indices in operand 1 along an axis, with those that count from the end made to count from the front."""
    indices = call.tensor(1)
    constant = call.values.constant(call.node.inputs[1])
    if constant is not None and (constant.astype(np.int64) >= 0).all():
        return indices.to(torch.int64)
    return torch.where(indices < 0, indices + call.size(0, axis), indices).to(torch.int64)


def gather_nd(call: OperatorCall) -> Result:
    batch, depth = call.int_of("batch_dims"), call.static_size(1, -1)
    indices = call.tensor(1)
    coordinates = [indices[..., k] for k in range(depth)]
    return call.tensor(0)[tuple(_batch_positions(call, batch) + coordinates)]


def _batch_positions(call: OperatorCall, batch: int) -> list[Tensor]:
    """Positions in leading dimensions that data and indices share, in the shape of the indices."""
    rank = call.rank(1) - 1
    found = []
    for axis in range(batch):
        positions = torch.arange(call.size(0, axis), device=call.device)
        found.append(positions.reshape((1,) * axis + (-1,) + (1,) * (rank - axis - 1)))
    return found


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def scatter_elements(call: OperatorCall) -> Result:
    axis, how = call.int_of("axis"), call.str_of("reduction", "none")
    data, indices, updates = call.tensor(0), _from_front(call, axis), call.tensor(2)
    if how == "none":
        return torch.scatter(data, axis, indices, updates)
    return torch.scatter_reduce(data, axis, indices, updates, _REDUCTIONS[how], include_self=True)


def scatter_nd(call: OperatorCall) -> Result:
    how, indices = call.str_of("reduction", "none"), call.tensor(1)
    call.require(how in ("none", "add"), f"reduction={how} is not supported")
    coordinates = tuple(indices[..., k] for k in range(call.static_size(1, -1)))
    return torch.index_put(call.tensor(0), coordinates, call.tensor(2), how == "add")


def one_hot(call: OperatorCall) -> Result:
    depth, values = call.number(1), call.tensor(2)
    call.require(depth is not None, "its depth is known only at run time")
    indices, axis = call.tensor(0), call.int_of("axis", -1)
    rank = call.rank() + 1
    axis %= rank
    indices = torch.where(indices < 0, indices + depth, indices).unsqueeze(axis)
    positions = torch.arange(depth, device=call.device).reshape((-1,) + (1,) * (rank - axis - 1))
    return torch.where(indices == positions, values[1], values[0])


def expand(call: OperatorCall) -> Result:
    """Broadcasting goes both ways: a size of one in the shape keeps that of the tensor."""
    shape, dims = call.ints("shape", 1), call.dims(0)
    assert shape is not None
    if dims is not None and len(dims) <= len(shape):
        own = [1] * (len(shape) - len(dims)) + list(dims)
        wanted: list[Int] = [_expanded(dim, size) for dim, size in zip(own, shape, strict=True)]
        if not any(size is None for size in wanted):
            return call.tensor().expand(tuple(wanted))
    x = call.tensor()
    both: list[Tensor] = torch.broadcast_tensors(x, x.new_empty(tuple(shape)))  # type: ignore[no-untyped-call]
    return both[0]


def _expanded(dim: int | str | None, size: Int) -> Int | None:
    """The size that a dimension takes, -1 where it keeps its own; ``None`` where that depends on the run time."""
    if dim == 1:
        return size
    if isinstance(dim, int) or (isinstance(size, int) and size == 1):
        return -1
    return None


def tile(call: OperatorCall) -> Result:
    repeats = call.ints("repeats", 1)
    assert repeats is not None
    return call.tensor().repeat(tuple(repeats))


def range_(call: OperatorCall) -> Result:
    start, end, step = (call.number(k) for k in range(3))
    if start is None or end is None or step is None:
        start, end, step = (call.scalar(k, 0) for k in range(3))
        start, end, step = (v if call.number(k) is not None else v.item() for k, v in enumerate((start, end, step)))
    return torch.arange(start, end, step, dtype=call.dtype(0), device=call.device)


def constant_of_shape(call: OperatorCall) -> Result:
    fill = call.attribute("value")
    array = np.zeros(1, np.float32) if fill is None else fill
    shape = call.ints("input", 0)
    assert shape is not None
    dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
    return torch.full(tuple(shape), array.ravel()[0].item(), dtype=dtype, device=call.device)


def shape(call: OperatorCall) -> Result:
    raise call.error("the rank of its operand is unknown")


def eye_like(call: OperatorCall) -> Result:
    dtype = onnx_dtype(call, call.int_of("dtype")) if "dtype" in call.node.attributes else call.dtype(0)
    diagonal = torch.ones_like(call.tensor(), dtype=dtype)
    offset = call.int_of("k")
    return torch.triu(torch.tril(diagonal, offset), offset)


def non_zero(call: OperatorCall) -> Result:
    return torch.nonzero(call.tensor()).t()


def compress(call: OperatorCall) -> Result:
    chosen = call.values.constant(call.node.inputs[1])
    if chosen is None:
        raise call.error("what it keeps is known only at run time")
    kept = call.buffer(np.flatnonzero(chosen))
    if "axis" not in call.node.attributes:
        return torch.index_select(torch.flatten(call.tensor()), 0, kept)
    return torch.index_select(call.tensor(), call.int_of("axis"), kept)


def depth_to_space(call: OperatorCall) -> Result:
    x, block = call.tensor(), call.int_of("blocksize")
    if call.str_of("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, block)
    n, c, h, w = call.sizes()
    apart = torch.reshape(x, (n, block, block, c // (block * block), h, w))
    return torch.reshape(torch.permute(apart, (0, 3, 4, 1, 5, 2)), (n, c // (block * block), h * block, w * block))


def space_to_depth(call: OperatorCall) -> Result:
    x, block = call.tensor(), call.int_of("blocksize")
    n, c, h, w = call.sizes()
    apart = torch.reshape(x, (n, c, h // block, block, w // block, block))
    return torch.reshape(torch.permute(apart, (0, 3, 5, 1, 2, 4)), (n, c * block * block, h // block, w // block))


_PAD_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def pad(call: OperatorCall) -> Result:
    mode, rank = call.str_of("mode", "constant"), call.rank()
    pads = call.ints("pads", 1)
    assert pads is not None
    axes = call.plain_ints("axes", 3) or list(range(rank))
    count = len(axes)
    by_axis = {axis % rank: (pads[k], pads[k + count]) for k, axis in enumerate(axes)}
    padded = [axis for axis, pair in by_axis.items() if any(not isinstance(p, int) or p for p in pair)]
    if not padded:
        return call.tensor()
    first = min(padded)
    if mode == "constant":
        return F.pad(call.tensor(), _trailing(by_axis, first, rank), value=_fill(call))
    call.require(mode in _PAD_MODES, f"mode={mode} is not supported")
    spatial = min(2, rank - 1)
    call.require(2 <= rank <= 5 and first >= spatial, f"PyTorch has mode={mode} for spatial dimensions alone")
    return F.pad(call.tensor(), _trailing(by_axis, spatial, rank), _PAD_MODES[mode])


def _fill(call: OperatorCall) -> float:
    if "value" in call.node.attributes or not call.has(2):
        return call.float_of("value", 0.0)
    number = call.number(2)
    call.require(isinstance(number, (int, float)), "its value is known only at run time")
    return float(number)


def _trailing(by_axis: dict[int, tuple[Int, Int]], first: int, rank: int) -> list[Int]:
    """Padding as PyTorch has it: from the last dimension to the first that is padded."""
    return [pad for axis in reversed(range(first, rank)) for pad in by_axis.get(axis, (0, 0))]


# -- resizing ----------------------------------------------------------------------------------------------------------


def upsample(call: OperatorCall) -> Result:
    """The forerunner of Resize, with its operands and modes of opset 10."""
    return _resized(call, is_old=True)


def resize(call: OperatorCall) -> Result:
    return _resized(call, is_old=call.opset < 11)


def _resized(call: OperatorCall, is_old: bool) -> Result:
    rank = call.rank()
    axes = [axis % rank for axis in call.plain_ints("axes") or range(rank)]
    scales, sizes = _targets(call, is_old)
    call.require(call.str_of("keep_aspect_ratio_policy", "stretch") == "stretch", "it keeps the aspect ratio")
    targets: Sequence[Int] = scales if scales else sizes
    call.require(len(targets) == len(axes), "its scales or sizes do not match its axes")
    for axis, target in zip(axes, targets, strict=True):
        call.require(axis > 1 or _keeps(call, axis, target, bool(scales)), "it resizes the batch or the channels")
    chosen = [target for axis, target in zip(axes, targets, strict=True) if axis > 1]
    whole = {axis: k for k, axis in enumerate(a for a in axes if a > 1)}
    space: list[Any] = [
        chosen[whole[a]] if a in whole else (1.0 if scales else call.size(0, a)) for a in range(2, rank)
    ]
    if call.str_of("coordinate_transformation_mode") == "pytorch_half_pixel":
        is_wide = all(isinstance(t, (int, float)) and (t >= 1 if scales else t > 1) for t in space)
        call.require(is_wide, "coordinates pytorch_half_pixel of a single element are not those of PyTorch")
    mode, align = _interpolation(call, is_old, space if scales else None)
    kwargs = {} if align is None else {"align_corners": align}
    if scales:
        return F.interpolate(call.tensor(), scale_factor=space, mode=mode, **kwargs)
    return F.interpolate(call.tensor(), size=space, mode=mode, **kwargs)


def _targets(call: OperatorCall, is_old: bool) -> tuple[list[float], list[Int]]:
    if is_old:
        return call.floats("scales", 1) or [], []
    scales = (call.floats("scales", 2) or []) if call.has(2) else []
    return scales, [] if scales else call.ints("sizes", 3) or []


def _keeps(call: OperatorCall, axis: int, target: Int, is_scale: bool) -> bool:
    """Whether a target leaves a dimension as it is."""
    if is_scale:
        return bool(target == 1.0)
    size = call.size(0, axis)
    return not isinstance(target, int) or not isinstance(size, int) or target == size


def _interpolation(call: OperatorCall, is_old: bool, scales: Sequence[float] | None) -> tuple[str, bool | None]:
    """The mode of ``F.interpolate`` and whether corners are aligned. Raises where it has no such mode."""
    mode = call.str_of("mode", "nearest")
    where = "asymmetric" if is_old else call.str_of("coordinate_transformation_mode", "half_pixel")
    call.require(not call.int_of("antialias") and not call.int_of("exclude_outside"), "it is antialiased")
    unsupported = f"mode={mode} with coordinates {where} is not in PyTorch"
    if mode == "nearest":
        rounding = "floor" if is_old else call.str_of("nearest_mode", "round_prefer_floor")
        is_whole = scales is not None and all(float(s).is_integer() and s >= 1 for s in scales)
        if where == "asymmetric" and rounding == "floor":
            return "nearest", None
        if where in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round"):
            call.require(rounding == "round_prefer_ceil" or is_whole, f"{unsupported}: it rounds down")
            return "nearest-exact", None
        raise call.error(f"{unsupported} (rounded by {rounding})")
    rank = call.rank()
    is_cubic = mode == "cubic"
    name = {3: "linear", 4: "bicubic" if is_cubic else "bilinear", 5: "trilinear"}.get(rank, "")
    call.require(bool(name) and not (is_cubic and rank != 4), f"mode={mode} of rank {rank} is not in PyTorch")
    if is_cubic:
        call.require(math.isclose(call.float_of("cubic_coeff_a", -0.75), -0.75), "its cubic coefficient is not -0.75")
    call.require(where in ("half_pixel", "pytorch_half_pixel", "align_corners"), unsupported)
    return name, where == "align_corners"


def grid_sample(call: OperatorCall) -> Result:
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(call.str_of("mode", "linear"), call.str_of("mode", "linear"))
    padding, align = call.str_of("padding_mode", "zeros"), bool(call.int_of("align_corners"))
    return F.grid_sample(call.tensor(0), call.tensor(1), mode, padding, align)


def affine_grid(call: OperatorCall) -> Result:
    size = call.ints("size", 1)
    assert size is not None
    return F.affine_grid(call.tensor(0), size, bool(call.int_of("align_corners")))
