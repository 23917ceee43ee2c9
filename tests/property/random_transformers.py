"""Random transformers, and what of them has to be prunable: :mod:`.random_attention` between norms and MLPs."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.property.building import Draw
from tests.property.random_attention import LONGEST, Net, Size, attention

VOCABULARY = 11


@dataclass(frozen=True)
class Made:
    """A model, and the dimensions of its weights where something has to be prunable."""

    proto: onnx.ModelProto
    free: tuple[tuple[str, int], ...]


# -- norms and MLPs ----------------------------------------------------------------------------------------------------


def _norm(b: Net, x: str, form: str) -> str:
    if form == "none":
        return x
    scale = b.weight(b.hidden, positive=True)
    if form == "operator":
        return b.op("LayerNormalization", x, scale, *([b.weight(b.hidden)] if b.flip() else []), axis=-1)
    if form == "layer":
        x = b.op("Sub", x, b.op("ReduceMean", x, b.ints(-1)))
    squared = b.op("Mul", x, x) if b.flip() else b.op("Pow", x, b.number(2.0))
    root = b.op("Sqrt", b.op("Add", b.op("ReduceMean", squared, b.ints(-1)), b.number(1e-2)))
    normal = b.op("Div", x, root) if b.flip() else b.op("Mul", x, b.op("Reciprocal", root))
    scaled = b.op("Mul", *((normal, scale) if b.flip() else (scale, normal)))
    return b.op("Add", scaled, b.weight(b.hidden)) if form == "layer" else scaled


def _gelu(b: Net, x: str) -> str:
    erf = b.op("Erf", b.op("Div", x, b.number(2**0.5)))
    return b.op("Mul", b.op("Mul", x, b.op("Add", erf, b.number(1.0))), b.number(0.5))


def _silu(b: Net, x: str) -> str:
    return b.op("Mul", x, b.op("Sigmoid", x))


def _mlp(b: Net, x: str) -> str:
    inner = b.integer(2, 6)
    form = b.choice(("plain", "gated", "fused", "sliced", "woven"))
    if form == "plain":
        made = b.linear(x, b.hidden, inner)
        hidden = _gelu(b, made) if b.flip() else b.op("Relu", made)
        return b.linear(hidden, inner, b.hidden, is_free=False)
    if form == "gated":
        gate, up = b.linear(x, b.hidden, inner), b.linear(x, b.hidden, inner)
    else:
        both = b.linear(x, b.hidden, 2 * inner)
        gate, up = _halves(b, both, inner, form)
    hidden = b.op("Mul", _silu(b, gate), up)
    return b.linear(hidden, inner, b.hidden, is_free=False)


def _halves(b: Net, both: str, inner: int, form: str) -> tuple[str, str]:
    end = (1 << 63) - 1
    if form == "fused":
        first = b.op("Split", both, b.ints(inner, inner), outputs=2, axis=-1)
        return first, f"{first}_1"
    if form == "sliced":
        low = b.op("Slice", both, b.ints(0), b.ints(inner), b.ints(-1))
        return low, b.op("Slice", both, b.ints(inner), b.ints(end), b.ints(-1))
    even, odd = (b.op("Slice", both, b.ints(k), b.ints(end), b.ints(2), b.ints(2)) for k in (0, 1))
    return even, odd


# -- whole models ------------------------------------------------------------------------------------------------------


def _positions(b: Net, x: str) -> str:
    """Learned positions: as many as are spelled out, cut at run time, or looked up with a range."""
    if isinstance(b.length, int):
        return b.op("Add", x, b.weight(1, b.length, b.hidden))
    table, end = b.weight(LONGEST, b.hidden), b.sizes(x, 1)[0]
    if b.flip():
        return b.op("Add", x, b.op("Slice", table, b.ints(0), end, b.ints(0)))
    steps = b.op("Range", b.scalar(0), b.op("Squeeze", end, b.ints(0)), b.scalar(1))
    return b.op("Add", x, b.op("Gather", table, steps, axis=0))


def _enter(b: Net) -> tuple[str, str, onnx.ValueInfoProto]:
    """Tokens looked up, features projected, or patches of an image; with the name of the embedding, if any."""
    if b.integer(0, 3) == 0:
        return _patches(b), "", helper.make_tensor_value_info("x", TensorProto.FLOAT, [b.batch, 3, 4, 4])
    if b.flip():
        table = b.weight(VOCABULARY, b.hidden)
        given = helper.make_tensor_value_info("x", TensorProto.INT64, [b.batch, b.length])
        return b.op("Gather", table, "x", axis=0), table, given
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [b.batch, b.length, 3])
    return b.linear("x", 3, b.hidden), "", given


def _patches(b: Net) -> str:
    """Four patches of an image behind a token that is learned."""
    weight = b.weight(b.hidden, 3, 2, 2)
    b.free.append((weight, 0))
    made = b.op("Conv", "x", weight, b.weight(b.hidden), strides=[2, 2])
    flat = b.op("Reshape", made, b.ints(0, b.choice_of(0, b.hidden), -1))
    token = b.weight(1, 1, b.hidden)
    target = b.op("Concat", b.sizes(made, 0)[0], b.ints(1, b.choice_of(1, b.hidden)), axis=0)
    first = b.op("Expand", token, target)
    b.length = 5
    return b.op("Concat", first, b.op("Transpose", flat, perm=[0, 2, 1]), axis=1)


def _leave(b: Net, x: str, table: str) -> tuple[str, list[Size]]:
    """A head over all tokens (tied to the embedding, perhaps), their mean, or the first one."""
    if table and b.flip():
        if b.flip():
            return b.op("MatMul", x, b.op("Transpose", table, perm=[1, 0])), [b.batch, b.length, VOCABULARY]
        return b.op("Einsum", x, table, equation="bsc,vc->bsv"), [b.batch, b.length, VOCABULARY]
    form = b.choice(("tokens", "mean", "first", "cut"))
    if form == "tokens":
        return b.linear(x, b.hidden, 4, is_free=False), [b.batch, b.length, 4]
    if form == "mean":
        x = b.op("ReduceMean", x, b.ints(1), keepdims=0)
    elif form == "first":
        x = b.op("Gather", x, b.scalar(0), axis=1)
    else:
        x = b.op("Squeeze", b.op("Slice", x, b.ints(0), b.ints(1), b.ints(1)), b.ints(1))
    return b.op("Gemm", x, b.weight(4, b.hidden), b.weight(4), transB=1), [b.batch, 4]


def _layer(
    b: Net, x: str, norm: str, pre: bool, context: tuple[str, int, Size] | None, style: tuple[bool, bool]
) -> str:
    """Attention, cross-attention where there is a context, and an MLP, behind each other or side by side."""

    def around(x: str, block: str) -> str:
        inner = _norm(b, x, norm) if pre else x
        if block == "mlp":
            made = _mlp(b, inner)
        elif block == "self":
            made = attention(b, inner, inner, b.hidden, b.length, rotary=style[0], grouped=style[1])
        else:
            assert context is not None
            name, width, source = context
            made = attention(b, inner, name, width, source, rotary=False, grouped=style[1])
        summed = b.op("Add", *((x, made) if b.flip() else (made, x)))
        return summed if pre else _norm(b, summed, norm)

    if pre and context is None and b.integer(0, 3) == 0:
        inner = _norm(b, x, norm)
        both = attention(b, inner, inner, b.hidden, b.length, rotary=style[0], grouped=style[1]), _mlp(b, inner)
        return b.op("Add", x, b.op("Add", *both))
    for block in ("self", *(("cross",) if context else ()), "mlp"):
        x = around(x, block)
    return x


@st.composite
def transformers(draw: Draw) -> Made:
    """One or two layers over an embedding or a projection, with a head."""
    batch: Size = "N" if draw(st.booleans()) else 2
    length: Size = "S" if draw(st.booleans()) else draw(st.integers(2, 4))
    b = Net(draw, batch, length, draw(st.integers(2, 7)))
    x, table, given = _enter(b)
    inputs = [given]
    if table:
        b.free.append((table, 1))
    rotary, grouped = b.flip(), b.flip()
    if not rotary and b.flip():
        x = _positions(b, x)
    context: tuple[str, int, Size] | None = None
    if b.integer(0, 3) == 0:
        source: Size = "T" if b.flip() else b.integer(2, 4)
        inputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, source, 3]))
        context = ("y", 3, source)
        if b.flip():
            width = b.integer(2, 5)
            context = (b.linear("y", 3, width), width, source)
    norm, pre = b.choice(("operator", "layer", "root", "none")), b.flip()
    for _ in range(b.integer(1, 2)):
        x = _layer(b, x, norm, pre, context, (rotary, grouped))
    x, shape = _leave(b, _norm(b, x, norm) if pre else x, table)
    result = helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)
    return Made(b.finish(inputs, [result]), tuple(b.free))
