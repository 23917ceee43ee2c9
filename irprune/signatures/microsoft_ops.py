"""The com.microsoft table: ONNX Runtime's fused and quantized operators.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md is the source for each.
"""

from __future__ import annotations

from . import attention, compute, quantized, recurrent
from .grammar import Signature
from .registry import Rule, register

_TABLE: dict[str, Rule | Signature | str] = {
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
    "QGemm": quantized.qgemm,
    "QAttention": attention.quantized_attention,
    "QLinearConv": quantized.qlinear_conv,
    "GatherBlockQuantized": quantized.gather_block_quantized,
    "MatMulNBits": quantized.matmul_nbits,
    "MatMulIntegerToFloat": quantized.matmul_integer_to_float,
    "DynamicQuantizeMatMul": quantized.dynamic_quantize_matmul,
    "DynamicQuantizeLSTM": recurrent.dynamic_quantize_lstm,
    "QLinearAdd": quantized.qlinear_elementwise,
    "QLinearMul": quantized.qlinear_elementwise,
    "QLinearSigmoid": quantized.qlinear_unary,
    "QLinearLeakyRelu": quantized.qlinear_unary,
    "QLinearSoftmax": quantized.qlinear_softmax,
    "QLinearGlobalAveragePool": quantized.qlinear_global_pool,
    "QLinearAveragePool": quantized.qlinear_pool,
    "QLinearConcat": quantized.qlinear_concat,
    "QuantizeLinear": compute.quantize_linear,
    "DequantizeLinear": compute.quantize_linear,
}

register({f"com.microsoft::{name}": rule for name, rule in _TABLE.items()})
