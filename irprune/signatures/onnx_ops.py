"""The ai.onnx table: every operator with a signature, one line each.

The rules it names live beside it: :mod:`.compute` (contractions, normalizations, pooling, element-wise),
:mod:`.layout` and :mod:`.elements` (views and element maps), :mod:`.attention`, :mod:`.recurrent`, :mod:`.quantized`,
:mod:`.indexing` and :mod:`.control`. https://onnx.ai/onnx/operators/ is the source for each.
"""

from __future__ import annotations

from . import attention, compute, control, elements, indexing, layout, quantized
from .grammar import signature
from .recurrent import recurrent
from .registry import register

_ELEMENTWISE = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Celu
Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN
LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink
Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
""".split()  # noqa: SIM905 (a table of names reads better)

register(dict.fromkeys(_ELEMENTWISE, compute.elementwise))
register(
    {
        # contractions
        "Conv": compute.conv,
        "ConvTranspose": compute.conv_transpose,
        "Gemm": compute.gemm,
        "MatMul": compute.matmul,
        "Einsum": compute.einsum,
        "Cast": compute.cast,
        "CastLike": compute.cast_like,
        # normalizations
        "BatchNormalization": compute.batch_normalization,
        "InstanceNormalization": signature("n c *s, c, c -> n c *s", normalized="s"),
        "LayerNormalization": compute.layer_normalization,
        "RMSNormalization": compute.layer_normalization,
        "GroupNormalization": compute.group_normalization,
        "LpNormalization": compute.lp_normalization,
        "MeanVarianceNormalization": compute.mean_variance_normalization,
        "LRN": signature("n c *s -> n c *s", normalized="c"),
        # pooling, reductions, selections
        "AveragePool": compute.pool,
        "MaxPool": compute.pool,
        "LpPool": compute.pool,
        "GlobalAveragePool": compute.global_pool,
        "GlobalMaxPool": compute.global_pool,
        "GlobalLpPool": compute.global_pool,
        "ReduceSum": compute.reduce,
        "ReduceMean": compute.reduce,
        "ReduceMax": compute.reduce,
        "ReduceMin": compute.reduce,
        "ReduceProd": compute.reduce,
        "ReduceL1": compute.reduce,
        "ReduceL2": compute.reduce,
        "ReduceSumSquare": compute.reduce,
        "ReduceLogSum": compute.reduce,
        "ReduceLogSumExp": compute.reduce,
        "ArgMax": compute.arg_reduce,
        "ArgMin": compute.arg_reduce,
        "TopK": compute.top_k,
        "Softmax": compute.softmax,
        "LogSoftmax": compute.softmax,
        "Hardmax": compute.softmax,
        "CumSum": compute.cumulative_sum,
        # quantization
        "QuantizeLinear": compute.quantize_linear,
        "DequantizeLinear": compute.quantize_linear,
        "DynamicQuantizeLinear": quantized.dynamic_quantize_linear,
        "QLinearConv": quantized.qlinear_conv,
        "QLinearMatMul": quantized.qlinear_matmul,
        "ConvInteger": quantized.conv_integer,
        "MatMulInteger": quantized.matmul_integer,
        "Dropout": compute.dropout,
        # recurrent cells and attention
        "LSTM": recurrent(4),
        "GRU": recurrent(3),
        "RNN": recurrent(1),
        "Attention": attention.attention,
        "RotaryEmbedding": attention.rotary_onnx,
        "SimplifiedLayerNormalization": compute.layer_normalization,
        # looked up at run time
        "GatherElements": indexing.gather_elements,
        "ScatterElements": indexing.scatter_elements,
        "GatherND": elements.gather_nd,
        "ScatterND": indexing.scatter_nd,
        "OneHot": indexing.one_hot,
        "Trilu": indexing.trilu,
        "ReverseSequence": indexing.reverse_sequence,
        "Bernoulli": indexing.drawn,
        "RandomNormalLike": indexing.drawn,
        "RandomUniformLike": indexing.drawn,
        "DFT": indexing.fourier_transform,
        "EyeLike": signature("a b -> a b", opaque="a b"),
        "NonZero": indexing.non_zero,
        "STFT": signature("n s *part, _, w, _ -> n t f parts", opaque="s t w f part parts"),
        "GridSample": signature("n c *s, n *t xy -> n c *t", opaque="s t xy"),
        "RoiAlign": signature("n c *s, _, _ -> r c u v", opaque="n s r u v"),
        "NonMaxSuppression": signature("b s _4, b c s, _, _, _ -> _", opaque="b s c _4"),
        # layout
        "Concat": elements.concat,
        "Split": elements.split,
        "Slice": elements.slice_,
        "Gather": elements.gather,
        "Pad": elements.pad,
        "Tile": layout.tile,
        "Expand": layout.expand,
        "Transpose": layout.transpose,
        "Reshape": layout.reshape,
        "Flatten": layout.flatten,
        "Squeeze": layout.squeeze,
        "Unsqueeze": layout.unsqueeze,
        "Resize": layout.resize,
        "Upsample": layout.resize,
        "DepthToSpace": layout.depth_to_space,
        "SpaceToDepth": layout.space_to_depth,
        # control flow, and the nodes that frontends put before its bodies
        "If": control.if_,
        "Loop": control.loop,
        "Scan": control.scan,
        "irprune::enter_Loop": control.enter_loop,
        "irprune::enter_Scan": control.enter_scan,
        # shape arithmetic: no axis flows through, its results are evaluated instead
        "Shape": layout.shape_only,
        "Size": layout.shape_only,
        "Range": layout.range_,
        "ConstantOfShape": layout.constant_of_shape,
    }
)
