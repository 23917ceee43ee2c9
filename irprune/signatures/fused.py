"""Rules of operators, most of them of com.microsoft, that fuse several steps: norms, attention, mixtures of experts."""

from __future__ import annotations

import math

from ..ir import Size
from ..ir.sizes import ONE
from . import compute
from .causes import LOOKED_UP, SEQUENCE, WINDOWED
from .compute import letters, operand_list
from .grammar import Signature, signature
from .registry import NoSignature, RuleContext

PAIRED = "a rotation pairs it"
PACKED = "weights of experts are packed along it"


def causal_conv(ctx: RuleContext) -> Signature:
    """com.microsoft CausalConvWithState: as that of ai.onnx, over one spatial axis."""
    if ctx.node.int("ndim", 1) != 1 or ctx.node.int("channels_last") or ctx.node.int("state_window"):
        raise NoSignature("it has several spatial axes, channels last, or a window of states")
    return compute.causal_conv(ctx)


def conv_transpose(ctx: RuleContext) -> Signature:
    """com.microsoft ConvTransposeWithDynamicPads: ``n (g i) *s, (g i) o *k, _, (g o) -> n (g o) *t``."""
    found = compute.conv_transpose(ctx)
    operands = operand_list(ctx, "n (g i) *s", "(g i) o *k", "_", "(g o)")
    result = compute.window_results(ctx)
    return signature(
        f"{operands} -> n (g o) {result}",
        opaque=found.notation.opaque,
        macs="n g o i k s",
        sizes={"g": ctx.node.int("group", 1)},
        attributes={"group": "g"},
        reason=found.reason,
        kinds=found.kinds,
    )


def gated_rms_norm(ctx: RuleContext) -> Signature:
    """com.microsoft GatedRMSNorm: ``*b (h c), c, *b (h c) -> *b (h c)``, statistics over c."""
    return _by_branch(ctx, "*b (h c), c, *b (h c) -> *b (h c)", ctx.static(1, 0))


def branchwise_rms_norm(ctx: RuleContext) -> Signature:
    """com.microsoft BranchwiseRMSNorm: ``*b (h c), .. -> *b (h c)`` or ``*b h c, .. -> *b h c``."""
    branches = ctx.node.int("num_branches")
    whole = "(h c)" if branches else "h c"
    scale = ""
    if ctx.has(1):
        flat = branches and ctx.shape(1) == (ctx.shape(0)[-1],)
        scale = ", (h c)" if flat else ", h c" if ctx.rank(1) == 2 else ", c"
        if ctx.rank(1) == 1 and not branches and ctx.shape(1)[0] != ctx.shape(0)[-1]:
            scale = ", (h c)"
    text = f"*b {whole}{scale} -> *b {whole}"
    if not branches:
        return signature(text, normalized="c")
    size = ctx.static(0, ctx.rank() - 1)
    if size % branches:
        raise NoSignature(f"{size} channels are not a multiple of {branches} branches")
    return _by_branch(ctx, text, size // branches, {"num_branches": "h"})


def _by_branch(ctx: RuleContext, text: str, size: int, attributes: dict[str, str] | None = None) -> Signature:
    whole = ctx.static(0, ctx.rank() - 1)
    if not size or whole % size:
        raise NoSignature(f"{whole} channels are not a multiple of {size}")
    return signature(text, normalized="c", sizes={"c": size, "h": whole // size}, attributes=attributes)


def linear_attention(ctx: RuleContext) -> Signature:
    """LinearAttention of ai.onnx and com.microsoft; ``d`` channels of keys, ``e`` of values.

    ``b t (kv r d), b t (kv d), b t (kv e), b kv d e, b t (kv d), b t kv -> b t (kv r e), b kv d e``. The default scale
    is one over the square root of ``d``; it is pinned.
    """
    heads, kv = ctx.node.int("q_num_heads"), ctx.node.int("kv_num_heads")
    if kv < 1 or heads < kv or heads % kv or ctx.node.int("state_window"):
        raise NoSignature(f"{heads} heads of queries for {kv} of keys, or a window of states")
    size = ctx.static(0, 2) // heads
    decay = beta = ""
    if ctx.has(4):
        decay = "b t kv" if ctx.shape(4)[2] == Size(kv) else "b t (kv d)"
    if ctx.has(5):
        beta = "b t 1" if ctx.shape(5)[2] == ONE else "b t kv"
    operands = operand_list(ctx, "b t (kv r d)", "b t (kv d)", "b t (kv e)", "b kv d e", decay, beta)
    results = ["b t (kv r e)", "b kv d e"][: len(ctx.node.outputs)]
    return signature(
        f"{operands} -> {', '.join(results)}",
        opaque="t",
        macs="b t kv r d e + b t kv d e",
        sizes={"kv": kv, "r": heads // kv, "d": size},
        attributes={"q_num_heads": "(kv r)", "kv_num_heads": "kv"},
        pins={} if ctx.node.attributes.get("scale") else {"scale": 1.0 / math.sqrt(size)},
        reason=SEQUENCE,
        kinds={"kv": "heads", "r": "heads", "d": "head_dim", "e": "head_dim"},
    )


def linear_attention_gate(ctx: RuleContext) -> Signature:
    """com.microsoft LinearAttentionGate: ``b t h, h, h, b t h -> b t h, b t h``, one number for each head."""
    operands = operand_list(ctx, "b t h", "h", "h", "b t h")
    return signature(f"{operands} -> {', '.join(['b t h'] * len(ctx.node.outputs))}")


def multimodal_rotary(ctx: RuleContext) -> Signature:
    """com.microsoft MRotaryEmbedding: sections of a head turn by three kinds of positions, so a head stays whole."""
    if ctx.rank() == 4:
        return signature("b h s d, _, _, _ -> b h s d", opaque="s d", reason=PAIRED)
    heads = ctx.node.int("num_heads")
    if heads < 1:
        raise NoSignature("attribute num_heads is missing")
    return signature(
        "b s (h d), _, _, _ -> b s (h d)",
        opaque="s d",
        sizes={"h": heads},
        attributes={"num_heads": "h"},
        kinds={"h": "heads", "d": "head_dim"},
        reason=PAIRED,
    )


def quantized_embed_layer_normalization(ctx: RuleContext) -> Signature:
    """com.microsoft QEmbedLayerNormalization: as EmbedLayerNormalization, with a scale and zero point per table."""
    operands = operand_list(ctx, "b s", "b s", "v h", "p h", "g h", "h", "h", *["_"] * 11)
    results = ["b s h", "_"][: len(ctx.node.outputs)]
    return signature(f"{operands} -> {', '.join(results)}", opaque="s v p g", normalized="h", reason=LOOKED_UP)


def unfold(ctx: RuleContext) -> Signature:
    """com.microsoft UnfoldTensor: ``n a s -> n windows s window``."""
    names = letters(ctx.rank())
    axis = ctx.axis("dim", -1)
    result = ["windows" if k == axis else name for k, name in enumerate(names)]
    text = f"{' '.join(names)} -> {' '.join(result)} window"
    return signature(text, opaque=[names[axis], "windows", "window"], reason=WINDOWED)


def matmul_bnb4(ctx: RuleContext) -> Signature:
    """com.microsoft MatMulBnb4: ``*b (blocks block), (n blocks byte), (n blocks) -> *b n``; blocks stay whole."""
    depth, width, block = ctx.node.int("K"), ctx.node.int("N"), ctx.node.int("block_size")
    if block < 2 or depth % block or not ctx.node.int("transB", 1) or ctx.rank(1) != 1:
        raise NoSignature(f"blocks of {block} do not fit columns of {depth}")
    return signature(
        "*b (blocks block), (n blocks byte), (n blocks) -> *b n",
        opaque="block byte",
        macs="b n blocks block",
        sizes={"blocks": depth // block, "block": block, "n": width, "byte": block // 2},
        attributes={"K": "(blocks block)", "N": "n"},
        reason="a block of weights shares a scale",
    )


def mixture_of_experts(ctx: RuleContext) -> Signature:
    """com.microsoft MoE: ``*b h, t e, e (f i) h, e (f i), e h i, e h, e i h, e i -> *b h``.

    The operator takes the largest ``k`` of ``e``. ``f`` is two where gate and value of each expert are fused: in turn
    (``swiglu_fusion=1``) or one behind the other.
    """
    fusion = ctx.node.int("swiglu_fusion")
    inner = {0: "i", 1: "(i f)", 2: "(f i)"}.get(fusion)
    if inner is None:
        raise NoSignature(f"swiglu_fusion={fusion} is none of 0, 1 and 2")
    tokens = "t" if ctx.rank() == 2 else "b s"
    rows = tokens if ctx.rank() == 2 else "(b s)"
    operands = operand_list(
        ctx, f"{tokens} h", f"{rows} e", f"e {inner} h", f"e {inner}", "e h i", "e h", "e i h", "e i"
    )
    return signature(
        f"{operands} -> {tokens} h",
        opaque="f" if fusion else (),
        ranked="e",
        least={"e": ctx.node.int("k", 1)},
        macs=" + ".join([f"{tokens} {'f ' if fusion else ''}i h", f"{tokens} h i"]),
        sizes={"f": 2} if fusion else None,
        reason="gate and value stand side by side",
        kinds={"i": "channels", "e": "experts"},
    )


def quantized_mixture_of_experts(ctx: RuleContext) -> Signature:
    """com.microsoft QMoE: as MoE; channels are packed in bytes and in blocks with a scale, so they stay whole."""
    tokens = "t" if ctx.rank() == 2 else "b s"
    stacks = [
        f"e {' '.join(letters(ctx.rank(k) - 1, f'w{k}'))}" if ctx.has(k) and ctx.rank(k) else "" for k in range(2, 14)
    ]
    spelled = [f"{tokens} h", f"{tokens if ctx.rank() == 2 else '(b s)'} e", *stacks]
    if any(ctx.has(k) for k in range(14, len(ctx.node.inputs))):
        raise NoSignature("router weights or scales of activations are operands")
    frozen = {name for text in stacks for name in text.split()} - {"e"} | {"h"}
    return signature(
        f"{operand_list(ctx, *spelled)} -> {tokens} h",
        opaque=frozen,
        ranked="e",
        least={"e": ctx.node.int("k", 1)},
        kinds={"e": "experts"},
        macs=f"{tokens} h",
        reason=PACKED,
    )


def loss(ctx: RuleContext) -> Signature:
    """SoftmaxCrossEntropyLoss and NegativeLogLikelihoodLoss: ``n c *s, n *s, c -> n *s``; labels pick of ``c``.

    Unless the losses are handed out one by one, they are averaged or added up over everything else.
    """
    places = " ".join(letters(ctx.rank() - 2, "s"))
    single = ctx.node.str("reduction", "mean") == "none"
    operands = operand_list(ctx, f"n c {places}", f"n {places}", "c")
    result = f"n {places}" if single else ""
    more = f", n c {places}" if len(ctx.node.outputs) > 1 else ""
    opaque = ["c"] if single else ["c", "n", *places.split()]
    return signature(f"{operands} -> {result}{more}", opaque=opaque, reason="labels count along it")
