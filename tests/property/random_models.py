"""Random models over the signature table: blocks of random sizes behind each other, drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.property.building import Building, Draw


@dataclass
class Builder(Building):
    """A graph that grows at its end. ``value`` is the current tensor, of shape ``(batch, *shape)``."""

    batch: int | str
    shape: list[int]
    start: tuple[int, ...]
    value: str = "x"

    @property
    def channels(self) -> int:
        return self.shape[0] if len(self.shape) == 3 else self.shape[-1]

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    def model(self) -> onnx.ModelProto:
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [self.batch, *self.start])
        result = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, [self.batch, *self.shape])
        return self.finish([given], [result])


# -- blocks of images ------------------------------------------------------------------------------------------------


def convolution(b: Builder) -> None:
    outer = b.integer(2, 6)
    kernel = 1 + 2 * b.integer(0, 1)
    bias = [b.weight(outer)] if b.integer(0, 1) else []
    b.value = b.op("Conv", b.value, b.weight(outer, b.channels, kernel, kernel), *bias, pads=[kernel // 2] * 4)
    b.shape[0] = outer


def grouped_convolution(b: Builder) -> None:
    groups = next(g for g in (3, 2, 1) if b.channels % g == 0)
    inner, each = b.channels // groups, b.integer(1, 3)
    b.value = b.op("Conv", b.value, b.weight(groups * each, inner, 1, 1), b.weight(groups * each), group=groups)
    b.shape[0] = groups * each


def depthwise_convolution(b: Builder) -> None:
    multiplier = b.integer(1, 2)
    c = b.channels
    b.value = b.op("Conv", b.value, b.weight(c * multiplier, 1, 3, 3), group=c, pads=[1] * 4)
    b.shape[0] = c * multiplier


def transposed_convolution(b: Builder) -> None:
    outer = b.integer(2, 5)
    b.value = b.op("ConvTranspose", b.value, b.weight(b.channels, outer, 1, 1), b.weight(outer))
    b.shape[0] = outer


def normalization(b: Builder) -> None:
    c = b.channels
    rest = (b.weight(c), b.weight(c), b.weight(c), b.weight(c, positive=True))
    b.value = b.op("BatchNormalization", b.value, *rest)


def activation(b: Builder) -> None:
    b.value = b.op(b.choice(("Relu", "Sigmoid", "Tanh", "HardSwish", "Exp", "Elu")), b.value)
    b.value = b.op("Tanh", b.value)  # keeps the numbers small


def scale_and_shift(b: Builder) -> None:
    shape = (1, b.channels, 1, 1) if b.is_image else (b.channels,)
    b.value = b.op("Mul", b.value, b.weight(*shape))
    b.value = b.op("Add", b.weight(*shape), b.value)


def residual(b: Builder) -> None:
    skip, c = b.value, b.channels
    other = b.op("Relu", b.value)
    other = b.op("Conv", other, b.weight(c, c, 1, 1), b.weight(c))
    b.value = b.op("Add", *((skip, other) if b.integer(0, 1) else (other, skip)))


def concatenation(b: Builder) -> None:
    extra = b.integer(1, 4)
    branch = b.op("Conv", b.value, b.weight(extra, b.channels, 1, 1))
    parts = [b.value, branch, b.value][: b.integer(2, 3)]
    b.value = b.op("Concat", *parts, axis=1)
    b.shape[0] = sum(extra if part == branch else b.channels for part in parts)


def split_and_join(b: Builder) -> None:
    """Two parts go different ways and come back in another order."""
    c = b.channels
    if c < 2:
        return
    first = b.integer(1, c - 1)
    left = b.op("Split", b.value, b.ints(first, c - first), outputs=2, axis=1)
    right = b.op("Relu", f"{left}_1")
    left = b.op("Conv", left, b.weight(first, first, 1, 1))
    b.value = b.op("Concat", right, left, axis=1)


def cut(b: Builder) -> None:
    c = b.channels
    low = b.integer(0, c - 1)
    high = b.integer(low + 1, c)
    if b.integer(0, 1):
        bounds = (b.ints(low), b.ints(high))
    else:
        bounds = (b.ints(low - c), b.ints(high - c if high < c else (1 << 63) - 1))
    b.value = b.op("Slice", b.value, *bounds, b.ints(1))
    b.shape[0] = high - low


def pick(b: Builder) -> None:
    count = b.integer(1, 5)
    indices = [b.integer(-b.channels, b.channels - 1) for _ in range(count)]
    b.value = b.op("Gather", b.value, b.ints(*indices), axis=1)
    b.shape[0] = count


def flip(b: Builder) -> None:
    b.value = b.op("Slice", b.value, b.ints(-1), b.ints(-(1 << 62)), b.ints(1), b.ints(-1))


def padding(b: Builder) -> None:
    low, high = b.integer(0, 2), b.integer(0, 2)
    b.value = b.op("Pad", b.value, b.ints(0, low, 0, 0, 0, high, 0, 0))
    b.shape[0] += low + high


def tile(b: Builder) -> None:
    b.value = b.op("Tile", b.value, b.ints(1, 2, 1, 1))
    b.shape[0] *= 2


def shuffle(b: Builder) -> None:
    c, h, w = b.shape
    groups = next(g for g in (3, 2, 1) if c % g == 0)
    split = b.op("Reshape", b.value, b.ints(0, groups, c // groups, h, w))
    moved = b.op("Transpose", split, perm=[0, 2, 1, 3, 4])
    b.value = b.op("Reshape", moved, b.ints(0, -1, h, w))


def gate(b: Builder) -> None:
    """Squeeze and excitation."""
    c, inner = b.channels, b.integer(1, 4)
    pooled = b.op("GlobalAveragePool", b.value)
    small = b.op("Relu", b.op("Conv", pooled, b.weight(inner, c, 1, 1), b.weight(inner)))
    scale = b.op("Sigmoid", b.op("Conv", small, b.weight(c, inner, 1, 1)))
    b.value = b.op("Mul", b.value, scale)


def pooling(b: Builder) -> None:
    b.value = b.op(b.choice(("MaxPool", "AveragePool")), b.value, kernel_shape=[1, 2], strides=[1, 1])
    b.shape[2] -= 1


def channel_mean(b: Builder) -> None:
    """A statistic over channels, as of spatial attention."""
    mean = b.op(b.choice(("ReduceMean", "ReduceMax", "ReduceSum")), b.value, b.ints(1), keepdims=1)
    b.value = b.op("Mul", b.value, b.op("Sigmoid", mean))


def space_to_depth(b: Builder) -> None:
    c, h, w = b.shape
    if h % 2 == 0 and w % 2 == 0:
        b.value, b.shape = b.op("SpaceToDepth", b.value, blocksize=2), [4 * c, h // 2, w // 2]
    elif c % 4 == 0:
        mode = b.choice(("DCR", "CRD"))
        b.value, b.shape = b.op("DepthToSpace", b.value, blocksize=2, mode=mode), [c // 4, 2 * h, 2 * w]


def group_normalization(b: Builder) -> None:
    """As exporters spell it: an instance normalization over a view of the groups."""
    c, h, w = b.shape
    groups = next(g for g in (3, 2, 1) if c % g == 0)
    view = b.op("Reshape", b.value, b.ints(0, groups, -1))
    normal = b.op("InstanceNormalization", view, b.weight(groups, positive=True), b.weight(groups))
    back = b.op("Reshape", normal, b.ints(0, c, h, w))
    b.value = b.op("Mul", back, b.weight(c, 1, 1))


# -- blocks of vectors -----------------------------------------------------------------------------------------------


def flatten(b: Builder) -> None:
    c, h, w = b.shape
    if b.integer(0, 1):
        b.value = b.op("Flatten", b.value)
    else:
        b.value = b.op("Reshape", b.value, b.ints(0, -1))
    b.shape = [c * h * w]


def flatten_by_shape(b: Builder) -> None:
    """The batch is read from the tensor, the rest is spelled out."""
    c, h, w = b.shape
    size = b.op("Shape", b.value)
    batch = b.op("Unsqueeze", b.op("Gather", size, b.scalar(0)), b.ints(0))
    b.value = b.op("Reshape", b.value, b.op("Concat", batch, b.ints(c * h * w), axis=0))
    b.shape = [c * h * w]


def to_tokens(b: Builder) -> None:
    c, h, w = b.shape
    b.value = b.op("Transpose", b.op("Reshape", b.value, b.ints(0, c, h * w)), perm=[0, 2, 1])
    b.shape = [h * w, c]


def linear(b: Builder) -> None:
    outer, inner = b.integer(2, 6), b.channels
    if len(b.shape) == 1 and b.integer(0, 1):
        transposed = b.integer(0, 1)
        shape = (outer, inner) if transposed else (inner, outer)
        b.value = b.op("Gemm", b.value, b.weight(*shape), b.weight(outer), transB=transposed)
    else:
        b.value = b.op("Add", b.op("MatMul", b.value, b.weight(inner, outer)), b.weight(outer))
    b.shape[-1] = outer


def layer_normalization(b: Builder) -> None:
    c = b.channels
    b.value = b.op("LayerNormalization", b.value, b.weight(c, positive=True), b.weight(c), axis=-1)


def spelled_normalization(b: Builder) -> None:
    """Layer normalization before it was an operator."""
    mean = b.op("ReduceMean", b.value, b.ints(-1))
    centered = b.op("Sub", b.value, mean)
    variance = b.op("ReduceMean", b.op("Mul", centered, centered), b.ints(-1))
    shifted = b.op("Add", variance, b.store(np.array(0.1, np.float32), "k"))
    b.value = b.op("Mul", b.op("Div", centered, b.op("Sqrt", shifted)), b.weight(b.channels))


def gated_unit(b: Builder) -> None:
    inner, c = b.integer(2, 5), b.channels
    both = b.op("MatMul", b.value, b.weight(c, 2 * inner))
    left = b.op("Split", both, outputs=2, axis=-1, num_outputs=2)
    hidden = b.op("Mul", b.op("Sigmoid", left), f"{left}_1")
    b.value = b.op("Add", b.value, b.op("MatMul", hidden, b.weight(inner, c)))


def heads_and_back(b: Builder) -> None:
    """A reshape into heads, something on them, and back."""
    c = b.channels
    heads = next(h for h in (3, 2, 1) if c % h == 0)
    rest = b.shape[:-1]
    split = b.op("Reshape", b.value, b.ints(0, *rest, heads, c // heads))
    moved = b.op("Mul", split, b.weight(c // heads))
    b.value = b.op("Reshape", moved, b.ints(0, *rest, -1))


def attention(b: Builder) -> None:
    if len(b.shape) != 2:
        return
    s, c = b.shape
    heads, size, values = b.integer(1, 3), b.integer(1, 3), b.integer(1, 3)

    def project(width: int, order: list[int]) -> str:
        made = b.op("MatMul", b.value, b.weight(c, heads * width))
        return b.op("Transpose", b.op("Reshape", made, b.ints(0, s, heads, width)), perm=order)

    query, key = project(size, [0, 2, 1, 3]), project(size, [0, 2, 3, 1])
    scores = b.op("Softmax", b.op("MatMul", query, key), axis=-1)
    mixed = b.op("Transpose", b.op("MatMul", scores, project(values, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    merged = b.op("Reshape", mixed, b.ints(0, s, heads * values))
    b.value = b.op("Add", b.value, b.op("MatMul", merged, b.weight(heads * values, c)))


def mean_over_tokens(b: Builder) -> None:
    if len(b.shape) == 2:
        b.value, b.shape = b.op("ReduceMean", b.value, b.ints(1), keepdims=0), b.shape[1:]


Block = Callable[[Builder], None]
IMAGE: tuple[Block, ...] = (
    convolution,
    convolution,
    grouped_convolution,
    depthwise_convolution,
    transposed_convolution,
    normalization,
    activation,
    scale_and_shift,
    residual,
    concatenation,
    split_and_join,
    cut,
    pick,
    flip,
    padding,
    tile,
    shuffle,
    gate,
    pooling,
    channel_mean,
    space_to_depth,
    group_normalization,
)
BRIDGES: tuple[Block, ...] = (flatten, flatten_by_shape, to_tokens)
VECTOR: tuple[Block, ...] = (
    linear,
    linear,
    activation,
    scale_and_shift,
    layer_normalization,
    spelled_normalization,
    gated_unit,
    heads_and_back,
    attention,
    mean_over_tokens,
)
EXACT = frozenset(IMAGE + VECTOR) - {
    channel_mean,
    group_normalization,
    layer_normalization,
    spelled_normalization,
    attention,
}
"""Blocks in which what a consumer ignores has no other effect: no statistics, no product of two activations."""


@st.composite
def models(draw: Draw, *, blocks: int = 6, exact: bool = False) -> onnx.ModelProto:
    """A model that begins and ends with a weight; ``exact`` leaves statistics out."""
    batch: int | str = "N" if draw(st.booleans()) else 2
    shape = [draw(st.integers(1, 3)), 2 * draw(st.integers(1, 2)), 2 * draw(st.integers(1, 2))]
    b = Builder(draw, batch, shape, tuple(shape))
    convolution(b)
    _extend(b, IMAGE, draw(st.integers(0, blocks)), exact)
    if draw(st.booleans()):
        BRIDGES[draw(st.integers(0, len(BRIDGES) - 1))](b)
        _extend(b, VECTOR, draw(st.integers(0, blocks)), exact)
        linear(b)
    else:
        convolution(b)
    return b.model()


def _extend(b: Builder, table: tuple[Block, ...], count: int, exact: bool) -> None:
    allowed = [block for block in table if not exact or block in EXACT]
    for _ in range(count):
        block = allowed[b.integer(0, len(allowed) - 1)]
        if block is pooling and b.shape[2] < 2:
            continue
        if np.prod(b.shape) <= 400:
            block(b)
