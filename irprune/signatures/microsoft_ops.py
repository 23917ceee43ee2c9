"""The com.microsoft table: ONNX Runtime's fused and quantised operators.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md is the source for each.
"""

from __future__ import annotations

from . import attention, compute, quantised, recurrent
from .registry import Rule, register

_TABLE: dict[str, Rule | str] = {
    "Attention": attention.packed_attention,
    "MultiHeadAttention": attention.multi_head_attention,
    "GroupQueryAttention": attention.group_query_attention,
    "RotaryEmbedding": attention.rotary_microsoft,
    "SkipLayerNormalization": attention.skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": attention.skip_layer_normalization,
    "EmbedLayerNormalization": attention.embed_layer_normalization,
    "BiasGelu": compute.elementwise,
    "FastGelu": compute.elementwise,
    "Gelu": compute.elementwise,
    "QuickGelu": compute.elementwise,
    "BiasAdd": compute.elementwise,
    "FusedConv": compute.conv,
    "FusedMatMul": compute.fused_matmul,
    "FusedGemm": compute.gemm,
    "QGemm": quantised.qgemm,
    "QAttention": attention.quantised_attention,
    "QLinearConv": quantised.qlinear_conv,
    "GatherBlockQuantized": quantised.gather_block_quantized,
    "MatMulNBits": quantised.matmul_nbits,
    "MatMulIntegerToFloat": quantised.matmul_integer_to_float,
    "DynamicQuantizeMatMul": quantised.dynamic_quantize_matmul,
    "DynamicQuantizeLSTM": recurrent.dynamic_quantize_lstm,
    "QLinearAdd": quantised.qlinear_elementwise,
    "QLinearMul": quantised.qlinear_elementwise,
    "QLinearSigmoid": quantised.qlinear_unary,
    "QLinearLeakyRelu": quantised.qlinear_unary,
    "QLinearSoftmax": quantised.qlinear_softmax,
    "QLinearGlobalAveragePool": quantised.qlinear_global_pool,
    "QLinearAveragePool": quantised.qlinear_pool,
    "QLinearConcat": quantised.qlinear_concat,
    "QuantizeLinear": compute.quantize_linear,
    "DequantizeLinear": compute.quantize_linear,
}

register({f"com.microsoft::{name}": rule for name, rule in _TABLE.items()})
