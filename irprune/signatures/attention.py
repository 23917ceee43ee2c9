"""Rules of the attention family: ai.onnx Attention and RotaryEmbedding, and com.microsoft's fused forms.

Letters: ``h`` heads (``kv`` key-value heads times ``r`` query heads for each), ``d`` channels of a head in queries and
keys, ``e`` in values, ``s`` and ``t`` positions, ``p`` cached positions. The default scale of the scores is one over
the square root of the head size; it is pinned, since what is removed from a head does not change the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..ir import Size
from ..ir.sizes import ONE
from .causes import LOOKED_UP, SEQUENCE
from .compute import operand_list
from .grammar import Follower, Signature, SizeOf, signature, term
from .quantized import scale_of
from .registry import NoSignature, RuleContext

_KERNEL_BLOCK = 8


def _heads(ctx: RuleContext, attribute: str) -> int:
    heads = ctx.node.int(attribute)
    if heads <= 0:
        raise NoSignature(f"attribute {attribute} is missing")
    return heads


def _pins(ctx: RuleContext, size: Size | None) -> dict[str, float]:
    if size is None or not size.is_static:
        return {}
    return {"scale": 1.0 / math.sqrt(size.coefficient)}


def _divided(size: Size, count: int, what: str) -> int:
    if not size.is_static or size.coefficient % count:
        raise NoSignature(f"{what} {size} is not a multiple of {count} heads")
    return size.coefficient // count


def _bias(ctx: RuleContext, position: int, heads: str) -> str:
    """A mask or bias that broadcasts against the scores ``b h s t``."""
    if not ctx.has(position):
        return "_"
    shape = ctx.shape(position)
    names = ["b", heads, "s", "t"][4 - len(shape) :]
    return " ".join("1" if size == ONE else name for name, size in zip(names, shape, strict=True))


def attention(ctx: RuleContext) -> Signature:
    """ai.onnx Attention (opset 23): separate heads (rank 4) or heads within the last dimension (rank 3)."""
    if ctx.rank() == 4:
        kv = ctx.static(1, 1)
        ratio = _divided(ctx.shape(0)[1], kv, "query heads")
        head_size = ctx.shape(0)[3]
        query, key, value = "b (kv r) s d", "b kv t d", "b kv t e"
        result, attributes = "b (kv r) s e", {}
    else:
        kv = _heads(ctx, "kv_num_heads")
        ratio = _heads(ctx, "q_num_heads") // kv
        head_size = Size(_divided(ctx.shape(0)[2], kv * ratio, "query size"))
        query, key, value = "b s (kv r d)", "b t (kv d)", "b t (kv e)"
        result, attributes = "b s (kv r e)", {"q_num_heads": "(kv r)", "kv_num_heads": "kv"}
    operands = operand_list(ctx, query, key, value, _bias(ctx, 3, "(kv r)"), "b kv p d", "b kv p e")
    results = [result, "b kv tt d", "b kv tt e", "b (kv r) s tt"][: len(ctx.node.outputs)]
    extra = " tt" if len(results) > 1 else ""
    cached = " p" if ctx.has(4) else ""
    return signature(
        f"{operands} -> {', '.join(results)}",
        opaque=f"s t{cached}{extra}",
        macs="b kv r s t d + b kv r s t e",
        sizes={"kv": kv, "r": ratio},
        attributes=attributes,
        pins=_pins(ctx, head_size),
        reason=SEQUENCE,
        kinds={"kv": "heads", "r": "heads", "d": "head_dim", "e": "head_dim"},
    )


def rotary(ctx: RuleContext, cache: int) -> Signature:
    """Rotation of pairs: halves ``(two r)`` of a head, or neighbors ``(r two)``; the tables hold one r each."""
    pair = "(r two)" if ctx.node.int("interleaved") else "(two r)"
    tables = " ".join(["*m", "r"])
    table_size = ctx.static(cache, ctx.rank(cache) - 1)
    heads = ctx.node.int("num_heads")
    partial = ctx.node.int("rotary_embedding_dim")
    head = pair
    sizes = {"two": 2, "r": table_size}
    if partial:
        total = ctx.static(0, 3) if ctx.rank() == 4 else _divided(ctx.shape(0)[2], max(heads, 1), "size")
        head = f"({pair} + rest)" if total > partial else pair
        sizes["rest"] = total - partial
    if ctx.rank() == 4:
        data = f"b h s {head}"
    else:
        count = heads or _divided(ctx.shape(0)[2], 2 * table_size, "size")
        sizes["h"] = ctx.static(0, 2) // (2 * table_size) if not heads else count
        data = f"b s (h {head})"
    others = {1: "_", cache: tables, cache + 1: tables} if cache == 2 else {1: tables, 2: tables, 3: "_"}
    operands = operand_list(ctx, data, *(others[k] for k in sorted(others)))
    attributes = {"num_heads": "h"} if heads else None
    if partial:
        attributes = {**(attributes or {}), "rotary_embedding_dim": pair}
    return signature(
        f"{operands} -> {data}",
        opaque="two s m",
        sizes=sizes,
        attributes=attributes,
        reason="a rotation pairs it",
        kinds={"h": "heads", "two": "head_dim", "r": "head_dim", "rest": "head_dim"},
    )


def rotary_onnx(ctx: RuleContext) -> Signature:
    """ai.onnx RotaryEmbedding: X, cos, sin, position ids."""
    return rotary(ctx, cache=1)


def rotary_microsoft(ctx: RuleContext) -> Signature:
    """com.microsoft RotaryEmbedding: X, position ids, cos, sin."""
    return rotary(ctx, cache=2)


def packed_attention(ctx: RuleContext) -> Signature:
    """com.microsoft Attention: one weight makes queries, keys and values, laid end to end."""
    heads = _heads(ctx, "num_heads")
    hidden = ctx.node.ints("qkv_hidden_sizes")
    total = ctx.static(1, 1)
    query = hidden[0] if hidden else total // 3
    value = hidden[2] if hidden else total // 3
    weight = "((h d) + (h d) + (h e))" if hidden else "((h d) + (h d) + (h d))"
    result = "b s (h e)" if hidden else "b s (h d)"
    operands = operand_list(ctx, "b s i", f"i {weight}", weight, "_", "_", "_")
    if ctx.has(4):
        raise NoSignature("cached keys and values are packed in one tensor")
    attributes: dict[str, str | Sequence[Follower]] = {"num_heads": "h"}
    if hidden:
        attributes["qkv_hidden_sizes"] = [SizeOf(term(part)) for part in ("(h d)", "(h d)", "(h e)")]
    return signature(
        f"{operands} -> {result}",
        opaque="s",
        macs="b s i h d + b s i h d + b s i h d",
        sizes={"h": heads, "d": query // heads, "e": value // heads},
        attributes=attributes,
        pins=_pins(ctx, Size(query // heads)),
        reason=SEQUENCE,
        kinds={"h": "heads", "d": "head_dim", "e": "head_dim"},
    )


def quantized_attention(ctx: RuleContext) -> Signature:
    """com.microsoft QAttention: as :func:`packed_attention`, with scales and zero points of input and weight."""
    heads = _heads(ctx, "num_heads")
    size = _divided(ctx.shape(1)[1], 3 * heads, "the width of the weight")
    if ctx.has(8):
        raise NoSignature("cached keys and values are packed in one tensor")
    weight = "((h d) + (h d) + (h d))"
    scales = [scale_of(ctx, position, weight) for position in (4, 7)]
    operands = operand_list(ctx, "b s i", f"i {weight}", weight, "", scales[0], "_", "", scales[1])
    return signature(
        f"{operands} -> b s (h d)",
        opaque="s",
        macs="b s i h d + b s i h d + b s i h d",
        sizes={"h": heads, "d": size},
        attributes={"num_heads": "h"},
        pins=_pins(ctx, Size(size)),
        reason=SEQUENCE,
        kinds={"h": "heads", "d": "head_dim"},
    )


def multi_head_attention(ctx: RuleContext) -> Signature:
    """com.microsoft MultiHeadAttention with separate queries, keys and values."""
    heads = _heads(ctx, "num_heads")
    if not ctx.has(1) or not ctx.has(2) or ctx.rank(0) != 3:
        raise NoSignature("queries, keys and values are packed")
    head_size = _divided(ctx.shape(0)[2], heads, "query size")
    keys, values = ("b t (h d)", "b t (h e)") if ctx.rank(1) == 3 else ("b h t d", "b h t e")
    operands = operand_list(
        ctx,
        "b s (h d)",
        keys,
        values,
        "((h d) + (h d) + (h e))",
        "_",
        _bias(ctx, 5, "h"),
        "b h p d",
        "b h p e",
    )
    results = ["b s (h e)", "b h tt d", "b h tt e"][: len(ctx.node.outputs)]
    extra = (" tt" if len(results) > 1 else "") + (" p" if ctx.has(6) else "")
    return signature(
        f"{operands} -> {', '.join(results)}",
        opaque=f"s t{extra}",
        macs="b h s t d + b h s t e",
        sizes={"h": heads},
        attributes={"num_heads": "h"},
        pins=_pins(ctx, Size(head_size)),
        reason=SEQUENCE,
        kinds={"h": "heads", "d": "head_dim", "e": "head_dim"},
    )


def group_query_attention(ctx: RuleContext) -> Signature:
    """com.microsoft GroupQueryAttention; with ``do_rotary`` the channels of a head go in pairs.

    ONNX Runtime takes no head size that is not a multiple of eight (sixteen where it rotates): channels go in blocks.
    """
    heads, kv = _heads(ctx, "num_heads"), _heads(ctx, "kv_num_heads")
    if not ctx.has(1) or not ctx.has(2):
        raise NoSignature("queries, keys and values are packed")
    head_size = _divided(ctx.shape(0)[2], heads, "query size")
    rotates = bool(ctx.node.int("do_rotary"))
    half = head_size // 2 if rotates else head_size
    block = math.gcd(half, _KERNEL_BLOCK)
    channels = "d block"
    if rotates:
        channels = "d block two" if ctx.node.int("rotary_interleaved") else "two d block"
    operands = operand_list(
        ctx,
        f"b s (kv r {channels})",
        f"b t (kv {channels})",
        f"b t (kv {channels})",
        f"b kv p ({channels})",
        f"b kv p ({channels})",
        "_",
        "_",
        "m (d block)",
        "m (d block)",
    )
    results = [f"b s (kv r {channels})", f"b kv tt ({channels})", f"b kv tt ({channels})"][: len(ctx.node.outputs)]
    opaque = ["s", "t", "block"] + (["tt"] if len(results) > 1 else []) + (["p"] if ctx.has(3) else [])
    opaque += ["two"] if rotates else []
    opaque += ["m"] if ctx.has(7) else []
    return signature(
        f"{operands} -> {', '.join(results)}",
        opaque=opaque,
        macs=f"b kv r s t {channels}",
        sizes={"kv": kv, "r": heads // kv, "two": 2, "d": half // block, "block": block},
        attributes={"num_heads": "(kv r)", "kv_num_heads": "kv"},
        pins=_pins(ctx, Size(head_size)),
        reason=SEQUENCE,
        kinds={"kv": "heads", "r": "heads", "d": "head_dim", "block": "head_dim", "two": "head_dim"},
    )


def skip_layer_normalization(ctx: RuleContext) -> Signature:
    """com.microsoft SkipLayerNormalization: ``x + skip (+ bias)``, normalized over h; the sum is a result too."""
    skip = "*b h" if ctx.rank(1) == ctx.rank(0) else "s h"
    data = "*b h" if ctx.rank(1) == ctx.rank(0) else "b s h"
    operands = operand_list(ctx, data, skip, "h", "h", "h")
    results = [data, "_", "_", data][: len(ctx.node.outputs)]
    return signature(f"{operands} -> {', '.join(results)}", normalized="h")


def embed_layer_normalization(ctx: RuleContext) -> Signature:
    """com.microsoft EmbedLayerNormalization: a sum of looked-up rows, normalized over h."""
    operands = operand_list(ctx, "b s", "b s", "v h", "p h", "g h", "h", "h", "_", "_")
    results = ["b s h", "_", "b s h"][: len(ctx.node.outputs)]
    return signature(f"{operands} -> {', '.join(results)}", opaque="s v p g", normalized="h", reason=LOOKED_UP)
