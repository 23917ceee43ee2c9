"""The com.microsoft table: ONNX Runtime's fused and quantized operators.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md is the source for each.
"""

from __future__ import annotations

from . import attention, compute, elements, fused, indexing, layout, quantized, recurrent
from .causes import LOOKED_UP
from .grammar import signature
from .registry import Entry, Operator, register

_TABLE: dict[str, Entry] = {
    "Attention": Operator(attention.packed_attention, weights=(1, 2)),
    "MultiHeadAttention": Operator(attention.multi_head_attention, weights=(3,)),
    "GroupQueryAttention": attention.group_query_attention,
    "RotaryEmbedding": Operator(attention.rotary_microsoft, lookups={1: (2, 3)}),
    "SkipLayerNormalization": Operator(attention.skip_layer_normalization, weights=(2, 3, 4)),
    "SkipSimplifiedLayerNormalization": Operator(attention.skip_layer_normalization, weights=(2, 3)),
    "EmbedLayerNormalization": Operator(
        attention.embed_layer_normalization, weights=(2, 3, 4, 5, 6), lookups={0: (2,), 1: (4,), 8: (3,)}
    ),
    "BiasGelu": Operator(compute.elementwise, weights=(1,)),
    "FastGelu": Operator(compute.elementwise, weights=(1,)),
    "Gelu": compute.elementwise,
    "QuickGelu": compute.elementwise,
    "BiasAdd": Operator(compute.elementwise, weights=(1,)),
    "FusedConv": Operator(compute.conv, weights=(1, 2), window="forward"),
    "GemmFastGelu": Operator(compute.matmul_with_bias, combines="product", weights=(1, 2)),
    "BiasSplitGelu": Operator(signature("n s (h h2), (h h2) -> n s h2", sizes={"h": 2}, opaque="h"), weights=(1,)),
    "ScaledSiLU": "*v -> *v",
    "GroupNorm": Operator(compute.fused_group_norm, weights=(1, 2)),
    "NhwcConv": Operator(compute.conv_channels_last, weights=(1, 2), window="forward"),
    "NhwcMaxPool": Operator(compute.pool_channels_last, hides="pick"),
    "TransposeMatMul": Operator(compute.fused_matmul, combines="product"),
    "FusedMatMul": Operator(compute.fused_matmul, combines="product"),
    "FusedGemm": Operator(compute.gemm, combines="product", weights=(0, 1, 2)),
    "QGemm": Operator(quantized.qgemm, zero_points={0: 2, 3: 5}, integers=quantized.GEMM_INTEGERS),
    "QAttention": Operator(attention.quantized_attention, weights=(2,), zero_points={0: 6, 1: 7}),
    "QLinearConv": Operator(quantized.qlinear_conv, zero_points={0: 2, 3: 5}, integers=quantized.CONV_INTEGERS),
    "GatherBlockQuantized": Operator(quantized.gather_block_quantized, lookups={1: (0,)}, lookup_axis="gather_axis"),
    "MatMulNBits": quantized.matmul_nbits,
    "MatMulIntegerToFloat": Operator(
        quantized.matmul_integer_to_float, weights=(6,), zero_points={0: 4, 1: 5}, integers=quantized.FLOAT_INTEGERS
    ),
    "DynamicQuantizeMatMul": Operator(
        quantized.dynamic_quantize_matmul, weights=(4,), zero_points={1: 3}, integers=quantized.DYNAMIC_INTEGERS
    ),
    "DynamicQuantizeLSTM": Operator(
        recurrent.dynamic_quantize_lstm, weights=(3, 7), lengths=4, zero_points={1: 9, 2: 11}
    ),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), Operator(quantized.qlinear_elementwise, zero_points={0: 2, 3: 5})),
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu"), Operator(quantized.qlinear_unary, zero_points={0: 2})),
    "QLinearSoftmax": Operator(quantized.qlinear_softmax, zero_points={0: 2}),
    "QLinearGlobalAveragePool": Operator(quantized.qlinear_global_pool, zero_points={0: 2}),
    "QLinearAveragePool": Operator(quantized.qlinear_pool, zero_points={0: 2}),
    "QLinearWhere": Operator(quantized.qlinear_where, zero_points={1: 3, 4: 6}, hides="pick"),
    "QLinearConcat": quantized.qlinear_concat,
    "QuantizeLinear": quantized.QUANTIZE,
    "DequantizeLinear": quantized.DEQUANTIZE,
    "GatherND": Operator(elements.gather_nd, moves=(0,), lookups={1: (0,)}, hides="pick"),
    "GridSample": signature("n c *s, n *t xy -> n c *t", opaque="s t xy"),
    "Inverse": Operator(
        signature("*b i k -> *b i k", opaque="i k", reason="a matrix is inverted"), singular_at_zero=True
    ),
    "Trilu": indexing.trilu,
    "CDist": "m n, k n -> m k",
    "ExpandDims": Operator(layout.unsqueeze, copies=True),
    "GatedAdd": compute.elementwise,
    "GatedRMSNorm": Operator(fused.gated_rms_norm, weights=(1,)),
    "BranchwiseRMSNorm": Operator(fused.branchwise_rms_norm, weights=(1,)),
    "LinearAttention": fused.linear_attention,
    "LinearAttentionGate": Operator(fused.linear_attention_gate, weights=(1, 2)),
    "CausalConvWithState": Operator(fused.causal_conv, weights=(1, 2)),
    "ConvTransposeWithDynamicPads": Operator(fused.conv_transpose, weights=(1, 3), window="transposed"),
    "MRotaryEmbedding": fused.multimodal_rotary,
    "QEmbedLayerNormalization": Operator(
        fused.quantized_embed_layer_normalization,
        weights=(2, 3, 4, 5, 6),
        lookups={0: (2,), 1: (4,)},
        zero_points={2: 13, 3: 14, 4: 15, 5: 16, 6: 17},
    ),
    "MatMulInteger16": Operator(compute.matmul, combines="product"),
    "MatMulBnb4": fused.matmul_bnb4,
    "MatMulFpQ4": Operator(reason="its weights are packed for one kernel"),
    "MoE": Operator(fused.mixture_of_experts, weights=(2, 3, 4, 5, 6, 7)),
    "QMoE": Operator(fused.quantized_mixture_of_experts, weights=(2, 3, 4, 5, 6, 7, 8, 9, 10)),
    "UnfoldTensor": Operator(fused.unfold, moves=(0,)),
    "CropAndResize": signature("n c h w, r _4, r, _ -> r c u v", opaque="n h w r _4 u v", reason=LOOKED_UP),
    "RelativePositionBias": Operator(signature("v h, _, _ -> 1 h s t", opaque="v s t", reason=LOOKED_UP), weights=(0,)),
    "SparseAttention": Operator(reason="layouts of blocks repeat over its heads"),
    "WordConvEmbedding": Operator(reason="it looks characters up and takes the largest of each word"),
    "AttnLSTM": Operator(reason="its cell reads a memory by attention"),
    **dict.fromkeys(
        ("Unique", "MurmurHash3", "NGramHashMapping", "NGramRepeatBlock", "BifurcationDetector", "DynamicTimeWarping"),
        Operator(reason="the identity of its elements matters"),
    ),
    "Tokenizer": Operator(reason="it reads text"),
}

register({f"com.microsoft::{name}": rule for name, rule in _TABLE.items()})
