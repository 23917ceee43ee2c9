"""Rules of operators that compute: contractions, normalizations, pooling, reductions and element-wise families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from string import ascii_lowercase

import numpy as np

from ..ir import Size
from ..ir.sizes import ONE
from .causes import CONVOLVED, POOLED, SOFTMAX
from .grammar import GroupKind, Name, Signature, SizeOf, signature
from .registry import NoSignature, RuleContext

_LETTERS = [*ascii_lowercase, *(f"{c}{c}" for c in ascii_lowercase)]

_SIZES = (6, 7)
"""The element types of sizes, int32 and int64, as ONNX numbers them."""


def letters(count: int, prefix: str = "") -> list[str]:
    """``count`` distinct axis names."""
    return [prefix + name for name in _LETTERS[:count]]


def operand_list(ctx: RuleContext, *operands: str) -> str:
    """The operands of a node: ``_`` for an absent one, nothing behind the last one present."""
    present = [text if ctx.has(k) else "_" for k, text in enumerate(operands)]
    while present and present[-1] == "_":
        present.pop()
    return ", ".join(present)


def window_results(ctx: RuleContext) -> str:
    """Names of the spatial axes of a result: as many as the operand has, even if no size is inferred."""
    return " ".join(f"t{k}" for k in range(ctx.rank() - 2))


def conv(ctx: RuleContext) -> Signature:
    """``n (g i) *s, (g o) i *k, (g o) -> n (g o) *t``, and the group attribute is the size of g.

    Along a dimension whose window is one element wide and does not jump, positions are carried. com.microsoft FusedConv
    adds a fourth operand to the result, and an activation.
    """
    kernel = ctx.inputs[1] if len(ctx.inputs) > 1 else None
    stays = _points(ctx, [] if kernel is None else [size == ONE for size in kernel[2:]])
    positions, results, moved = _positions(stays)
    windows = ["1" if still else f"k{k}" for k, still in enumerate(stays)]
    moved += [name for name in windows if name != "1"]
    result = " ".join(results)
    operands = operand_list(
        ctx, f"n (g i) {' '.join(positions)}", f"(g o) i {' '.join(windows)}", "(g o)", f"n (g o) {result}"
    )
    macs = " ".join(["n g o i", *(name for name in windows if name != "1"), result])
    return signature(
        f"{operands} -> n (g o) {result}",
        opaque=moved,
        macs=macs,
        sizes={"g": ctx.node.int("group", 1)},
        attributes={"group": "g"},
        reason=CONVOLVED,
        kinds=window_kinds(ctx, None if kernel is None else kernel[1]),
    )


def window_kinds(ctx: RuleContext, inner: Size | None) -> dict[str, GroupKind]:
    """The kinds of ``g``, ``i`` and ``o`` of a convolution; ``inner`` is the size of ``i``, the inputs of one group.

    Groups of one input each are a depthwise convolution: the groups are its channels, and ``o`` multiplies them.
    """
    if ctx.node.int("group", 1) == 1:
        return {"i": "channels", "o": "channels"}
    if inner == ONE:
        return {"g": "channels", "o": "multiplier"}
    return {"g": "groups", "i": "channels", "o": "channels"}


def _points(ctx: RuleContext, single: Sequence[bool]) -> list[bool]:
    """Along which dimensions a window is one element wide (``single``), without strides or padding."""
    count = ctx.rank() - 2
    steps = ctx.node.ints("strides", (1,) * count) or ()
    pads = ctx.node.ints("pads", (0,) * count) or ()
    return [
        single[k : k + 1] == [True]
        and steps[k : k + 1] == (1,)
        and not any(pads[k::count] if len(pads) >= count else pads)
        for k in range(count)
    ]


def _positions(stays: Sequence[bool]) -> tuple[list[str], list[str], list[str]]:
    """Names of the positions of operand and result, and those over which a window slides."""
    operand = [f"p{k}" if still else f"s{k}" for k, still in enumerate(stays)]
    result = [f"p{k}" if still else f"t{k}" for k, still in enumerate(stays)]
    slides = [name for names in (operand, result) for name, still in zip(names, stays, strict=True) if not still]
    return operand, result, slides


def causal_conv(ctx: RuleContext) -> Signature:
    """``n c s, c 1 k, c, n c p -> n c s, n c p``: each channel has a kernel of its own, and past positions."""
    operands = operand_list(ctx, "n c s", "c 1 k", "c", "n c p")
    results = ", ".join(["n c s", "n c p"][: len(ctx.node.outputs)])
    return signature(f"{operands} -> {results}", opaque="s k p", macs="n c s k", reason=CONVOLVED)


def conv_channels_last(ctx: RuleContext) -> Signature:
    """com.microsoft NhwcConv: ``n *s (g i), (g o) *k i, (g o) -> n *t (g o)``."""
    kernel = ctx.shape(1)
    results = " ".join(f"t{k}" for k in range(len(kernel) - 2))
    operands = operand_list(ctx, "n *s (g i)", "(g o) *k i", "(g o)")
    return signature(
        f"{operands} -> n {results} (g o)",
        opaque=f"s k {results}",
        macs=f"n g o i k {results}",
        sizes={"g": ctx.node.int("group", 1)},
        attributes={"group": "g"},
        reason=CONVOLVED,
        kinds=window_kinds(ctx, kernel[-1]),
    )


def deform_conv(ctx: RuleContext) -> Signature:
    """``n (g i) *s, (g o) i *k, n (p q) *t, (g o), n (p r) *t -> n (g o) *t``.

    The offsets and the mask of a window are not channels. Where there are several sets of them, each is for a block of
    channels of the operand, which then is a product of blocks and channels as well.
    """
    groups, blocks = ctx.node.int("group", 1), ctx.node.int("offset_group", 1)
    if groups > 1 and blocks > 1:
        raise NoSignature(f"its channels are in {groups} groups and in {blocks} blocks of offsets")
    kernel, result = " ".join(f"k{k}" for k in range(ctx.rank() - 2)), window_results(ctx)
    channels, inner = ("(b i)", "(b i)") if blocks > 1 else ("(g i)", "i")
    outer = "o" if blocks > 1 else "(g o)"
    offsets = f"n offset {result}"
    operands = operand_list(ctx, f"n {channels} *s", f"{outer} {inner} {kernel}", offsets, outer, f"n mask {result}")
    return signature(
        f"{operands} -> n {outer} {result}",
        opaque=f"s offset {kernel} {result}" + (" mask" if ctx.has(4) else "") + (" b" if blocks > 1 else ""),
        macs=f"n {'b i' if blocks > 1 else 'g i'} o {kernel} {result}",
        sizes={"b": blocks} if blocks > 1 else {"g": groups},
        attributes={} if blocks > 1 else {"group": "g"},
        kinds=window_kinds(ctx, ctx.shape(1)[1]) if blocks == 1 else {"i": "channels", "o": "channels"},
        reason=CONVOLVED,
    )


def conv_transpose(ctx: RuleContext) -> Signature:
    """``n (g i) *s, (g i) o *k, (g o) -> n (g o) *t``."""
    operands = operand_list(ctx, "n (g i) *s", "(g i) o *k", "(g o)")
    result = window_results(ctx)
    return signature(
        f"{operands} -> n (g o) {result}",
        opaque=f"s k {result}",
        macs="n g o i k s",
        sizes={"g": ctx.node.int("group", 1)},
        attributes={"group": "g"},
        reason=CONVOLVED,
        kinds=window_kinds(ctx, ctx.shape(1)[0].divided_by(Size(ctx.node.int("group", 1)))),
    )


def gemm(ctx: RuleContext) -> Signature:
    """``m k, k n, <broadcast> -> m n`` with either factor transposed."""
    left = "k m" if ctx.node.int("transA") else "m k"
    right = "n k" if ctx.node.int("transB") else "k n"
    bias = "_"
    if ctx.has(2):
        shape = ctx.shape(2)
        names = ["m", "n"][2 - len(shape) :]
        bias = " ".join("1" if size == ONE else name for name, size in zip(names, shape, strict=True))
    operands = f"{left}, {right}" + (f", {bias}" if ctx.has(2) else "")
    return signature(f"{operands} -> m n", macs="m n k")


def matmul(ctx: RuleContext) -> Signature:
    """``*b m k, *b k n -> *b m n``, batch axes broadcast, as numpy.matmul."""
    left, right, result, macs = matmul_notation(ctx, 0, 1)
    return signature(f"{left}, {right} -> {result}", macs=macs)


def matmul_with_bias(ctx: RuleContext) -> Signature:
    """com.microsoft GemmFastGelu: ``*b i, i o, o -> *b o``, then an activation."""
    return signature(f"{operand_list(ctx, '*b i', 'i o', 'o')} -> *b o", macs="b i o")


def matmul_notation(ctx: RuleContext, first: int, second: int) -> tuple[str, str, str, str]:
    """Left and right operand, result and the axes of the cost of a matrix product of two operands."""
    left, right = ctx.shape(first), ctx.shape(second)
    if not left or not right:
        raise NoSignature("an operand is a scalar")
    batch = max(len(left), len(right)) - 2
    names = letters(max(batch, 0), "b")
    a = _aligned(left[:-2], names) + (["m"] if len(left) > 1 else []) + ["k"]
    b = _aligned(right[:-2], names) + (["k", "n"] if len(right) > 1 else ["k"])
    result = names + (["m"] if len(left) > 1 else []) + (["n"] if len(right) > 1 else [])
    result = _only_known([a, b], result)
    macs = " ".join([*names, "m" if len(left) > 1 else "", "n" if len(right) > 1 else "", "k"])
    return " ".join(a), " ".join(b), " ".join(result), macs


def fused_matmul(ctx: RuleContext) -> Signature:
    """com.microsoft FusedMatMul: MatMul with either factor transposed."""
    if ctx.node.int("transBatchA") or ctx.node.int("transBatchB"):
        raise NoSignature("batch axes are transposed")
    left, right, result, macs = matmul_notation(ctx, 0, 1)
    if ctx.node.int("transA"):
        left = left.removesuffix("m k") + "k m"
    if ctx.node.int("transB"):
        right = right.removesuffix("k n") + "n k"
    return signature(f"{left}, {right} -> {result}", macs=macs)


def _aligned(shape: Sequence[Size], names: Sequence[str]) -> list[str]:
    """Names for the trailing dimensions of a broadcast operand; ``1`` where it has size one."""
    tail = names[len(names) - len(shape) :]
    return ["1" if size == ONE else name for size, name in zip(shape, tail, strict=True)]


def _only_known(operands: Sequence[Sequence[str]], result: Sequence[str]) -> list[str]:
    """A result dimension that is of size one in every operand is of size one."""
    known = {name for operand in operands for name in operand}
    return [name if name in known else "1" for name in result]


def broadcast(ctx: RuleContext, positions: Sequence[int] | None = None) -> tuple[list[str], list[str]]:
    """Operands (all, or those at ``positions``) and result of a numpy broadcast."""
    chosen = range(len(ctx.inputs)) if positions is None else positions
    shapes = {k: ctx.shape(k) for k in chosen if ctx.has(k)}
    names = letters(max((len(shape) for shape in shapes.values()), default=0))
    operands = [_aligned(shapes[k], names) if k in shapes else ["_"] for k in chosen]
    return [" ".join(operand) for operand in operands], _only_known(operands, names)


def elementwise(ctx: RuleContext) -> Signature:
    """Numpy broadcasting: dimensions are aligned from the last, one of size one stretches."""
    if ctx.version < 7 and ctx.node.int("broadcast"):
        raise NoSignature("broadcasting by attribute (opset 6 and older)")
    operands, result = broadcast(ctx)
    return signature(f"{', '.join(operands)} -> {' '.join(result)}")


def cast(ctx: RuleContext) -> Signature:
    """Element-wise. A cast to an integer type yields sizes, not weights: some exporters compute shapes in float."""
    found = elementwise(ctx)
    return replace(found, untrained=frozenset({0})) if ctx.node.int("to") in _SIZES else found


def cast_like(ctx: RuleContext) -> Signature:
    """Element-wise in the first operand; of the second only the type is used."""
    names = " ".join(letters(ctx.rank()))
    return signature(f"{names}, {' '.join('?' * ctx.rank(1))} -> {names}")


def einsum(ctx: RuleContext) -> Signature:
    """The node's own equation."""
    equation = ctx.node.str("equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    operands = left.split(",")
    for k, operand in enumerate(operands):
        if any(operand.count(c) > 1 for c in operand if c != "."):
            raise NoSignature(f"the diagonal of operand {k} is taken ('{operand}')")
    if not arrow:
        flat = "".join(operands).replace("...", "")
        right = ("..." if "..." in left else "") + "".join(sorted(c for c in set(flat) if flat.count(c) == 1))
    ranks = [len(ctx.shape(k)) - len(op.replace("...", "")) for k, op in enumerate(operands) if "..." in op]
    run = letters(max(ranks, default=0), "z_")

    def spell(text: str, shape: tuple[Size, ...] | None) -> list[str]:
        head, dots, tail = text.partition("...")
        names = [f"x{c}" for c in head]
        if dots:
            stretch = run if shape is None else run[len(run) - (len(shape) - len(head) - len(tail)) :]
            names += stretch
        names += [f"x{c}" for c in tail]
        if shape is None:
            return names
        return ["1" if size == ONE else name for name, size in zip(names, shape, strict=True)]

    spelled = [spell(operand, ctx.shape(k)) for k, operand in enumerate(operands)]
    result = _only_known(spelled, spell(right, None))
    used = sorted({name for operand in spelled for name in operand if name != "1"})
    text = f"{', '.join(' '.join(s) for s in spelled)} -> {' '.join(result)}"
    return signature(text, macs=used)


def batch_normalization(ctx: RuleContext) -> Signature:
    """``n c *s, c, c, c, c -> n c *s``; statistics are stored, so nothing is taken over c. A vector has one channel.

    In training mode, statistics are taken over the other axes and are results as well (weight standardization).
    """
    names = "n c *s" if ctx.rank() > 1 else "n"
    if ctx.node.int("training_mode"):
        over = names.replace("c *", "")
        return signature(f"{names}, c, c, c, c -> {names}, c, c", normalized=over)
    if len([o for o in ctx.node.outputs if o]) > 1:
        raise NoSignature("training mode")
    return signature(f"{names}, c, c, c, c -> {names}")


def layer_normalization(ctx: RuleContext) -> Signature:
    """``*b h, h, h -> *b h``; statistics are taken over h, which may be several dimensions."""
    rank = ctx.rank()
    axis = ctx.axis(default=-1)
    outer, inner = letters(axis, "b"), letters(rank - axis, "h")
    scale, bias = (
        " ".join(_aligned(ctx.shape(k), [*outer, *inner])) if ctx.has(k) and ctx.rank(k) else "" for k in (1, 2)
    )
    operands = f"{' '.join(outer + inner)}, {scale}" + (f", {bias}" if ctx.has(2) else "")
    statistics = " ".join(outer + ["1"] * len(inner))
    return signature(f"{operands} -> {' '.join(outer + inner)}, {statistics}, {statistics}", normalized=inner)


def group_normalization(ctx: RuleContext) -> Signature:
    """``n (g c) *s, (g c), (g c) -> n (g c) *s``; until opset 20 scale and bias are one a group."""
    affine = "g" if ctx.version < 21 else "(g c)"
    return signature(
        f"n (g c) *s, {affine}, {affine} -> n (g c) *s",
        normalized="c s",
        sizes={"g": ctx.node.int("num_groups")},
        attributes={"num_groups": "g"},
    )


def fused_group_norm(ctx: RuleContext) -> Signature:
    """com.microsoft GroupNorm: ``n *s (g c), (g c), (g c) -> n *s (g c)``, or channels second."""
    data = "n *s (g c)" if ctx.node.int("channels_last", 1) else "n (g c) *s"
    return signature(
        f"{data}, (g c), (g c) -> {data}",
        normalized="c s",
        sizes={"g": ctx.node.int("groups")},
        attributes={"groups": "g"},
    )


def lp_normalization(ctx: RuleContext) -> Signature:
    """Statistics over one axis."""
    names = letters(ctx.rank())
    axis = ctx.axis(default=-1)
    return signature(f"{' '.join(names)} -> {' '.join(names)}", normalized=names[axis])


def mean_variance_normalization(ctx: RuleContext) -> Signature:
    """Statistics over the axes of the attribute (all but the channels by default)."""
    names = letters(ctx.rank())
    axes = ctx.node.ints("axes", (0, 2, 3)) or ()
    normalized = [names[axis] for axis in axes]
    return signature(f"{' '.join(names)} -> {' '.join(names)}", normalized=normalized)


def pool(ctx: RuleContext) -> Signature:
    """``n c *s -> n c *t``; the window slides over s, save where it is one element wide.

    Positions of maxima count through all channels: they are carried where they only lead back through MaxUnpool, into
    tensors of as many channels.
    """
    if any(reader != ("MaxUnpool", 1) for reader in ctx.readers(1)):
        raise NoSignature("the indices of the maxima count channels")
    stays = _points(ctx, [width == 1 for width in ctx.node.ints("kernel_shape", ()) or ()])
    positions, results, moved = _positions(stays)
    result = f"n c {' '.join(results)}"
    return signature(
        f"n c {' '.join(positions)} -> {', '.join([result] * len(ctx.node.outputs))}",
        opaque=moved,
        reason=POOLED,
    )


def pool_channels_last(ctx: RuleContext) -> Signature:
    """com.microsoft NhwcMaxPool: ``n *s c -> n *t c``."""
    results = " ".join(f"t{k}" for k in range(ctx.rank() - 2))
    return signature(f"n *s c -> n {results} c", opaque=f"s {results}", reason=POOLED)


def max_unpool(ctx: RuleContext) -> Signature:
    """``n c *s, n c *s, _ -> n c *t``: maxima go back to where a MaxPool found them; a spelled-out shape follows."""
    result = window_results(ctx)
    entries = ctx.entries(2) if ctx.has(2) else None
    if ctx.has(2) and (entries is None or len(entries) != ctx.rank() or entries[1] is None):
        raise NoSignature("its shape is computed at run time")
    return signature(
        f"n c *s, n c *s{', _' if ctx.has(2) else ''} -> n c {result}",
        opaque=f"s {result}",
        sizes={f"t{k}": size for k, size in enumerate((entries or ())[2:]) if size is not None},
        operands={2: [None, SizeOf(Name("c")), *([None] * (ctx.rank() - 2))]} if ctx.has(2) else None,
        reason=POOLED,
    )


def global_pool(ctx: RuleContext) -> Signature:
    """``n c *s -> n c 1 1 ...``; statistics over s."""
    ones = " ".join("1" for _ in range(ctx.rank() - 2))
    return signature(f"n c *s -> n c {ones}", normalized="s")


def reduced_axes(ctx: RuleContext) -> tuple[int, ...]:
    """The axes a reduction runs over, from attribute or operand, counted from the front."""
    rank = ctx.rank()
    axes = ctx.ints("axes", 1)
    if axes is None or not axes:
        return () if ctx.node.int("noop_with_empty_axes") else tuple(range(rank))
    return tuple(sorted(axis % rank for axis in axes))


def reduce(ctx: RuleContext) -> Signature:
    """Statistics over the reduced axes: means, extrema and the like."""
    return _reduction(ctx, normalized=True)


def reduce_sum(ctx: RuleContext) -> Signature:
    """Sums, to which zeros add nothing: the reduced axes are contracted."""
    return _reduction(ctx, normalized=False)


def _reduction(ctx: RuleContext, normalized: bool) -> Signature:
    names = letters(ctx.rank())
    axes = reduced_axes(ctx)
    keep = ctx.node.int("keepdims", 1)
    result = [("1" if k in axes else name) for k, name in enumerate(names) if keep or k not in axes]
    over = [names[k] for k in axes] if normalized else ()
    return signature(f"{' '.join(names)} -> {' '.join(result)}", normalized=over)


def arg_reduce(ctx: RuleContext) -> Signature:
    """Positions along the axis are the result: its order matters."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    keep = ctx.node.int("keepdims", 1)
    result = [("1" if k == axis else name) for k, name in enumerate(names) if keep or k != axis]
    text = f"{' '.join(names)} -> {' '.join(result)}"
    return signature(text, opaque=names[axis], reason="the positions of its extrema are the result")


def top_k(ctx: RuleContext) -> Signature:
    """The axis is sorted. The one largest element, where nothing reads its position, is a statistic over it.

    Where the positions only pick experts, those that are removed rank below all others.
    """
    names = letters(ctx.rank())
    axis = ctx.axis(default=-1)
    count = ctx.node.int("k") if ctx.version < 10 and not ctx.has(1) else ctx.read(1)
    if count is not None and np.size(count) == 1 and int(np.ravel(count)[0]) == 1 and not ctx.is_read(1):
        result = " ".join("1" if k == axis else name for k, name in enumerate(names))
        return signature(f"{' '.join(names)}, _ -> {result}, {result}", normalized=names[axis])
    result = " ".join("top" if k == axis else name for k, name in enumerate(names))
    text = f"{' '.join(names)}, _ -> {result}, {result}"
    if ctx.routed and count is not None and ctx.node.int("largest", 1):
        least, kinds = {names[axis]: int(np.ravel(count)[0])}, dict[str, GroupKind]({names[axis]: "experts"})
        return signature(text, opaque="top", ranked=names[axis], least=least, kinds=kinds, reason="it is sorted")
    return signature(text, opaque=[names[axis], "top"], reason="it is sorted")


def softmax(ctx: RuleContext) -> Signature:
    """``*b k -> *b k``; before opset 13 all axes from ``axis`` on are normalized together.

    Over experts it is taken over those that stay.
    """
    names = letters(ctx.rank())
    axis = ctx.axis(default=-1 if ctx.version >= 13 else 1)
    over = names[axis:] if ctx.version < 13 else [names[axis]]
    text = f"{' '.join(names)} -> {' '.join(names)}"
    if ctx.routed and len(over) == 1:
        return signature(text, normalized=over)
    return signature(text, opaque=over, reason=SOFTMAX)


def cumulative_sum(ctx: RuleContext) -> Signature:
    """The axis is ordered."""
    names = letters(ctx.rank())
    axis = int(ctx.constant(1, "axis").ravel()[0]) % ctx.rank()
    return signature(
        f"{' '.join(names)}, _ -> {' '.join(names)}", opaque=names[axis], reason="a running sum is taken over it"
    )


def quantize_linear(ctx: RuleContext) -> Signature:
    """Element-wise; scale and zero point are per tensor, per element of one axis, or per block of one axis."""
    if ctx.node.int("block_size"):
        return _quantize_blocks(ctx, ctx.node.int("block_size"))
    names = letters(ctx.rank())

    def side(position: int) -> str:
        shape = ctx.shape(position) if ctx.has(position) else ()
        if len(shape) == 0 or not names:
            return " ".join("1" for _ in shape)
        return "1" if shape[0] == ONE else names[ctx.axis(default=1)]

    return signature(f"{operand_list(ctx, ' '.join(names), side(1), side(2))} -> {' '.join(names)}")


def _quantize_blocks(ctx: RuleContext, block: int) -> Signature:
    """``*b (blocks block) *c, *b blocks *c, *b blocks *c -> *b (blocks block) *c``; blocks stay whole."""
    axis = ctx.axis(default=1)
    size, blocks = ctx.shape(0)[axis], ctx.shape(1)
    if len(blocks) != ctx.rank() or block < 0 or size != blocks[axis] * Size.of(block):
        raise NoSignature(f"the scales do not fit whole blocks of {block} along dimension {axis}")
    scale = letters(ctx.rank())
    element = list(scale)
    element[axis] = f"({scale[axis]} block)"
    operands = operand_list(ctx, " ".join(element), " ".join(scale), " ".join(scale))
    return signature(
        f"{operands} -> {' '.join(element)}",
        opaque="block",
        sizes={"block": block},
        reason="a block of elements shares a scale",
    )


def dropout(ctx: RuleContext) -> Signature:
    """Identity at inference; the mask has the same axes."""
    names = " ".join(letters(ctx.rank()))
    return signature(f"{names} -> {names}, {names}")
