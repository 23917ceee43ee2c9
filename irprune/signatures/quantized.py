"""Rules of operators on quantized tensors. Scales and zero points are one a tensor, or one along an axis."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..ir.sizes import ONE
from ..reasons import Kind, Why
from .causes import CONVOLVED, POOLED, SOFTMAX
from .compute import broadcast, letters, matmul_notation, operand_list, quantize_linear, window_kinds, window_results
from .grammar import Signature, signature
from .registry import NoSignature, Operator, RuleContext
from .traits import Integers

QUANTIZE = Operator(quantize_linear, keeps_shape=True, passes_through=True, keeps_zero=True, quantization=True)
DEQUANTIZE = replace(QUANTIZE, zero_points={0: 2}, dequantizes=True)
"""Those of ai.onnx and of com.microsoft."""

CONV_INTEGERS = Integers(data=(0, 1, 2), weight=(3, 4, 5), result=(6, 7), bias=8, slides=True)
MATMUL_INTEGERS = Integers(data=(0, 1, 2), weight=(3, 4, 5), result=(6, 7))
GEMM_INTEGERS = Integers(data=(0, 1, 2), weight=(3, 4, 5), result=(7, 8), bias=6)
BARE_INTEGERS = Integers(data=(0, None, 2), weight=(1, None, 3))
BARE_CONV_INTEGERS = replace(BARE_INTEGERS, slides=True)
FLOAT_INTEGERS = Integers(data=(0, 2, 4), weight=(1, 3, 5), bias=6, makes_floats=True)
DYNAMIC_INTEGERS = Integers(data=(0, None, None), weight=(1, 2, 3), bias=4, makes_floats=True)


def scale_of(ctx: RuleContext, position: int, axis: str) -> str:
    """A scale or zero point: one per tensor, or one per element of ``axis``."""
    if not ctx.has(position):
        return "_"
    shape = ctx.shape(position)
    if all(size == ONE for size in shape):
        return " ".join("1" for _ in shape)
    if len(shape) != 1:
        raise NoSignature(f"operand {position}: scales of rank {len(shape)}")
    return axis


def qlinear_conv(ctx: RuleContext) -> Signature:
    """``n (g i) *s, .., (g o) i *k, .. -> n (g o) *t``; scales of the weight may be one an output channel.

    That of com.microsoft may have ``channels_last``, with weights in the same order as ever.
    """
    windows = window_results(ctx)
    last = bool(ctx.node.int("channels_last"))
    operand, result = ("n *s (g i)", f"n {windows} (g o)") if last else ("n (g i) *s", f"n (g o) {windows}")
    operands = operand_list(
        ctx,
        operand,
        *(scale_of(ctx, k, "(g o)") for k in (1, 2)),
        "(g o) i *k",
        *(scale_of(ctx, k, "(g o)") for k in (4, 5, 6, 7)),
        "(g o)",
    )
    return signature(
        f"{operands} -> {result}",
        opaque=f"s k {windows}",
        macs=f"n g o i k {windows}",
        sizes={"g": ctx.node.int("group", 1)},
        attributes={"group": "g"},
        reason=CONVOLVED,
        kinds=window_kinds(ctx, ctx.shape(3)[1]),
    )


def conv_integer(ctx: RuleContext) -> Signature:
    """``n (g i) *s, (g o) i *k -> n (g o) *t``."""
    result = window_results(ctx)
    operands = operand_list(ctx, "n (g i) *s", "(g o) i *k", scale_of(ctx, 2, "(g i)"), scale_of(ctx, 3, "(g o)"))
    return signature(
        f"{operands} -> n (g o) {result}",
        opaque=f"s k {result}",
        macs=f"n g o i k {result}",
        sizes={"g": ctx.node.int("group", 1)},
        attributes={"group": "g"},
        reason=CONVOLVED,
        kinds=window_kinds(ctx, ctx.shape(1)[1]),
    )


def matmul_integer(ctx: RuleContext) -> Signature:
    """As MatMul, with zero points per tensor, per row of the left or per column of the right operand."""
    left, right, result, macs = matmul_notation(ctx, 0, 1)
    operands = operand_list(ctx, left, right, scale_of(ctx, 2, "m"), scale_of(ctx, 3, "n"))
    return signature(f"{operands} -> {result}", macs=macs)


def qlinear_matmul(ctx: RuleContext) -> Signature:
    """As MatMul over operands 0 and 3, each with scale and zero point."""
    left, right, result, macs = matmul_notation(ctx, 0, 3)
    operands = operand_list(
        ctx,
        left,
        *(scale_of(ctx, k, "m") for k in (1, 2)),
        right,
        *(scale_of(ctx, k, "n") for k in (4, 5)),
        *(scale_of(ctx, k, "n") for k in (6, 7)),
    )
    return signature(f"{operands} -> {result}", macs=macs)


def qgemm(ctx: RuleContext) -> Signature:
    """com.microsoft QGemm: ``m k, .., k n, .., n -> m n``."""
    left = "k m" if ctx.node.int("transA") else "m k"
    right = "n k" if ctx.node.int("transB") else "k n"
    operands = operand_list(
        ctx,
        left,
        *(scale_of(ctx, k, "m") for k in (1, 2)),
        right,
        *(scale_of(ctx, k, "n") for k in (4, 5)),
        _bias(ctx, 6),
        *(scale_of(ctx, k, "n") for k in (7, 8)),
    )
    return signature(f"{operands} -> m n", macs="m n k")


def _bias(ctx: RuleContext, position: int) -> str:
    if not ctx.has(position):
        return "_"
    shape = ctx.shape(position)
    return " ".join(
        "1" if size == ONE else name for name, size in zip(["m", "n"][2 - len(shape) :], shape, strict=True)
    )


def dynamic_quantize_linear(ctx: RuleContext) -> Signature:
    """Scale and zero point are statistics over the whole tensor."""
    names = " ".join(letters(ctx.rank()))
    return signature(f"{names} -> {names}, _, _", normalized=names)


def dynamic_quantize_matmul(ctx: RuleContext) -> Signature:
    """com.microsoft DynamicQuantizeMatMul: the left operand is quantized on the fly, over all of it."""
    left, right, result, macs = matmul_notation(ctx, 0, 1)
    operands = operand_list(ctx, left, right, scale_of(ctx, 2, "n"), scale_of(ctx, 3, "n"), "n")
    return signature(f"{operands} -> {result}", normalized="k", macs=macs)


def matmul_integer_to_float(ctx: RuleContext) -> Signature:
    """com.microsoft MatMulIntegerToFloat: both operands quantized, the result is not."""
    left, right, result, macs = matmul_notation(ctx, 0, 1)
    operands = operand_list(
        ctx,
        left,
        right,
        scale_of(ctx, 2, "m"),
        scale_of(ctx, 3, "n"),
        scale_of(ctx, 4, "m"),
        scale_of(ctx, 5, "n"),
        "n",
    )
    return signature(f"{operands} -> {result}", macs=macs)


@dataclass(frozen=True)
class _Blocks:
    """How a signature writes the blocks of a dimension: blocks whose zero points share a byte are one unit."""

    text: str
    points: str
    sizes: dict[str, int]
    opaque: list[str]

    @staticmethod
    def of(count: int, shared: int) -> _Blocks:
        """``count`` blocks, whose zero points share bytes, ``shared`` in each. Blocks of a partly filled byte stay."""
        if shared == 1:
            return _Blocks("blocks", "blocks", {"blocks": count}, [])
        if count % shared:
            return _Blocks("blocks", "bytes", {"blocks": count, "bytes": count // shared + 1}, ["blocks", "bytes"])
        return _Blocks("bytes points", "bytes", {"bytes": count // shared, "points": shared}, ["points"])


def matmul_nbits(ctx: RuleContext) -> Signature:
    """com.microsoft MatMulNBits: ``*b (blocks block), n blocks blob, n blocks -> *b n``; blocks stay whole."""
    size, bits = ctx.node.int("block_size"), ctx.node.int("bits", 4)
    depth, width = ctx.node.int("K"), ctx.node.int("N")
    if depth % size:
        raise NoSignature(f"the last block of {size} is not full (K={depth})")
    packed = ctx.has(3) and bits < 8 and ctx.shape(3) != ctx.shape(2)
    blocks = _Blocks.of(depth // size, 8 // bits if packed else 1)
    operands = operand_list(
        ctx,
        f"*b ({blocks.text} block)",
        f"n ({blocks.text}) blob",
        f"(n {blocks.text})" if ctx.rank(2) == 1 else f"n ({blocks.text})",
        f"(n {blocks.points})" if ctx.has(3) and ctx.rank(3) == 1 else f"n ({blocks.points})",
        "_",
        "n",
    )
    return signature(
        f"{operands} -> *b n",
        opaque=f"block blob {' '.join(blocks.opaque)}",
        macs=f"b n {blocks.text} block",
        sizes={**blocks.sizes, "block": size, "n": width},
        attributes={"K": f"({blocks.text} block)", "N": "n"},
        reason="a block of weights shares a scale",
    )


def gather_block_quantized(ctx: RuleContext) -> Signature:
    """com.microsoft GatherBlockQuantized: ``rows (blocks block), j*, rows blocks -> j* (blocks block)``.

    Elements of few bits may share bytes along the last axis, and so may zero points; blocks stay whole.
    """
    block = ctx.node.int("block_size", 128)
    rows, along = ctx.axis("gather_axis"), ctx.axis("quantize_axis", default=1)
    count, stored = ctx.static(2, along), ctx.static(0, along)
    shared = count * block // stored if stored else 0
    if rows == along or shared not in (1, 2, 4) or count * block != stored * shared:
        raise NoSignature(f"the scales do not fit whole blocks of {block} along dimension {along}")
    blocks = _Blocks.of(count, -(-count // max(ctx.static(3, along), 1)) if ctx.has(3) else 1)
    scale, index = letters(ctx.rank()), letters(ctx.rank(1), "j")

    def with_along(text: str) -> list[str]:
        return [text if k == along else name for k, name in enumerate(scale)]

    result = with_along(f"({blocks.text} part share)")
    result[rows : rows + 1] = index
    operands = operand_list(
        ctx,
        " ".join(with_along(f"({blocks.text} part)")),
        " ".join(index),
        " ".join(with_along(f"({blocks.text})")),
        " ".join(with_along(f"({blocks.points})")),
    )
    opaque = [scale[rows], "part", "share", *blocks.opaque]
    return signature(
        f"{operands} -> {' '.join(result)}",
        opaque=opaque,
        sizes={**blocks.sizes, "part": block // shared, "share": shared},
        reason=Why("it is looked up by index, or a block of it shares a scale", Kind.LOOKUP),
    )


def qlinear_elementwise(ctx: RuleContext) -> Signature:
    """com.microsoft QLinearAdd and QLinearMul: two operands, each with scale and zero point."""
    operands, result = broadcast(ctx, positions=(0, 3))
    spelled = [operands[0], "", "", operands[1], "", "", "", ""]
    text = operand_list(ctx, *spelled)
    return signature(f"{text} -> {' '.join(result)}")


def qlinear_where(ctx: RuleContext) -> Signature:
    """com.microsoft QLinearWhere: a condition and two operands, each of these with scale and zero point."""
    operands, result = broadcast(ctx, positions=(0, 1, 4))
    text = operand_list(ctx, operands[0], operands[1], "", "", operands[2], "", "", "", "")
    return signature(f"{text} -> {' '.join(result)}")


def qlinear_unary(ctx: RuleContext) -> Signature:
    """com.microsoft QLinearSigmoid, QLinearLeakyRelu: element-wise with scales per tensor."""
    names = " ".join(letters(ctx.rank()))
    return signature(f"{operand_list(ctx, names, '', '', '', '')} -> {names}")


def qlinear_softmax(ctx: RuleContext) -> Signature:
    """com.microsoft QLinearSoftmax: Softmax of the version in its attribute, with scales per tensor."""
    names = letters(ctx.rank())
    axis = ctx.axis(default=-1)
    over = [names[axis]] if ctx.node.int("opset", 1) >= 13 else names[axis:]
    text = " ".join(names)
    return signature(
        f"{operand_list(ctx, text, '', '', '', '')} -> {text}",
        opaque=over,
        reason=SOFTMAX,
    )


def qlinear_global_pool(ctx: RuleContext) -> Signature:
    """com.microsoft QLinearGlobalAveragePool."""
    last = bool(ctx.node.int("channels_last"))
    ones = " ".join("1" for _ in range(ctx.rank() - 2))
    operand, result = ("n *s c", f"n {ones} c") if last else ("n c *s", f"n c {ones}")
    return signature(f"{operand_list(ctx, operand, '', '', '', '')} -> {result}", normalized="s")


def qlinear_pool(ctx: RuleContext) -> Signature:
    """com.microsoft QLinearAveragePool."""
    positions = window_results(ctx)
    last = bool(ctx.node.int("channels_last"))
    operand, result = ("n *s c", f"n {positions} c") if last else ("n c *s", f"n c {positions}")
    operands = operand_list(ctx, operand, "", "", "", "")
    return signature(f"{operands} -> {result}", opaque=f"s {positions}", reason=POOLED)


def qlinear_concat(ctx: RuleContext) -> Signature:
    """com.microsoft QLinearConcat: scale and zero point of the result, then triples of operand, scale, zero point."""
    positions = list(range(2, len(ctx.inputs), 3))
    rank = ctx.rank(positions[0])
    names = letters(rank)
    axis = ctx.axis(rank=rank)
    parts = ["1" if ctx.shape(k)[axis] == ONE else f"p{k}" for k in positions]
    spelled = ["", ""]
    for part in parts:
        spelled += [" ".join(part if k == axis else name for k, name in enumerate(names)), "", ""]
    total = f"({' + '.join(parts)})" if len(parts) > 1 else parts[0]
    result = " ".join(total if k == axis else name for k, name in enumerate(names))
    return signature(f"{', '.join(spelled)} -> {result}")
