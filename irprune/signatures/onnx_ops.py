"""The ai.onnx table: every operator with a signature, one line each.

The rules it names live beside it: :mod:`.compute` (contractions, normalizations, pooling, element-wise),
:mod:`.layout` and :mod:`.elements` (views and element maps), :mod:`.attention`, :mod:`.recurrent`, :mod:`.quantized`,
:mod:`.indexing` and :mod:`.control`. https://onnx.ai/onnx/operators/ is the source for each.
"""

from __future__ import annotations

from . import attention, compute, control, elements, fused, indexing, layout, quantized, sequences
from .grammar import signature
from .recurrent import recurrent
from .registry import Operator, register
from .traits import EVERY

_ELEMENTWISE = """
Acos Asin Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cosh Gelu HardSwish IsInf IsNaN Mish Shrink
SwiGLU Swish Tan
""".split()  # noqa: SIM905 (a table of names reads better)

_MONOTONE = "Asinh Atan Celu Elu Erf LeakyRelu Mean Selu Sinh Softsign Sum".split()  # noqa: SIM905

_OF_WEIGHTS = "Exp Neg Softplus Sqrt".split()  # noqa: SIM905
"""Functions by which models keep a weight positive or within bounds."""

_BOUNDING = "Clip Max Min Tanh".split()  # noqa: SIM905
"""The same, over part of whose operand the result hardly changes."""

_ROUNDING = "Ceil Floor Round Sign".split()  # noqa: SIM905
_SATURATING = "HardSigmoid ThresholdedRelu".split()  # noqa: SIM905

register(dict.fromkeys(_ELEMENTWISE, compute.elementwise))
register(dict.fromkeys(_MONOTONE, Operator(compute.elementwise, monotone=True)))
register(
    dict.fromkeys(_BOUNDING, Operator(compute.elementwise, passes_through=True, hides="saturation", monotone=True))
)
register(dict.fromkeys(_SATURATING, Operator(compute.elementwise, hides="saturation", monotone=True)))
register(dict.fromkeys(_ROUNDING, Operator(compute.elementwise, hides="decision", monotone=True)))
register(dict.fromkeys(_OF_WEIGHTS, Operator(compute.elementwise, passes_through=True, monotone=True)))
register(
    {
        # element-wise
        "BitCast": Operator(compute.elementwise, keeps_shape=True),
        "Identity": Operator(compute.elementwise, identity=True, copies=True, takes_type=True, keeps_shape=True),
        "Cast": Operator(compute.cast, copies=True, keeps_shape=True, type_attribute="to"),
        "CastLike": Operator(compute.cast_like, copies=True, keeps_shape=True),
        "Dropout": Operator(compute.dropout, copies=True, keeps_shape=True, training_operand=2),
        "Abs": Operator(compute.elementwise, passes_through=True),
        "Relu": Operator(compute.elementwise, passes_through=True, rectifies=True, hides="saturation", monotone=True),
        "Sin": Operator(compute.elementwise, of_angle="sine"),
        "Cos": Operator(compute.elementwise, of_angle="cosine"),
        "Sigmoid": Operator(
            compute.elementwise, passes_through=True, hides="saturation", probability="independent", monotone=True
        ),
        "Add": Operator(compute.elementwise, combines="arithmetic", sums=True, monotone=True),
        "Sub": Operator(compute.elementwise, combines="arithmetic", monotone=True),
        "Mul": Operator(compute.elementwise, combines="arithmetic", monotone=True, annihilates=True),
        "Div": Operator(compute.elementwise, combines="arithmetic", singular_at_zero=True, divisor=1),
        "Mod": Operator(compute.elementwise, singular_at_zero=True, divisor=1),
        "Log": Operator(compute.elementwise, passes_through=True, singular_at_zero=True),
        **dict.fromkeys(("Acosh", "Pow", "Reciprocal"), Operator(compute.elementwise, singular_at_zero=True)),
        "Equal": Operator(compute.elementwise, asks="equality", hides="decision"),
        **dict.fromkeys(
            ("Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
            Operator(compute.elementwise, asks="order", hides="decision"),
        ),
        **dict.fromkeys(("And", "Not", "Or", "Xor"), Operator(compute.elementwise, asks="logic")),
        "PRelu": Operator(compute.elementwise, weights=(1,)),
        "Where": Operator(compute.elementwise, moves=(1, 2), hides="pick"),
        # contractions
        "Conv": Operator(compute.conv, weights=(1, 2), window="forward"),
        "ConvTranspose": Operator(compute.conv_transpose, weights=(1, 2), window="transposed"),
        "CausalConvWithState": Operator(compute.causal_conv, weights=(1, 2)),
        "DeformConv": Operator(compute.deform_conv, weights=(1, 3)),
        "Gemm": Operator(compute.gemm, combines="product", weights=(0, 1, 2)),
        "MatMul": Operator(compute.matmul, combines="product"),
        "Einsum": Operator(compute.einsum, combines="product"),
        # normalizations
        "BatchNormalization": Operator(
            compute.batch_normalization, weights=(1, 2), channel_scale=1, running_statistics=(3, 4), monotone=True
        ),
        "InstanceNormalization": Operator(signature("n c *s, c, c -> n c *s", normalized="s"), weights=(1, 2)),
        "LayerNormalization": Operator(compute.layer_normalization, weights=(1, 2)),
        "RMSNormalization": Operator(compute.layer_normalization, weights=(1,)),
        "SimplifiedLayerNormalization": Operator(compute.layer_normalization, weights=(1,)),
        "GroupNormalization": Operator(compute.group_normalization, weights=(1, 2)),
        "LpNormalization": compute.lp_normalization,
        "MeanVarianceNormalization": Operator(compute.mean_variance_normalization, singular_at_zero=True),
        "LRN": signature("n c *s -> n c *s", normalized="c"),
        # pooling, reductions, selections
        "AveragePool": Operator(compute.pool, within=True),
        "MaxPool": Operator(compute.pool, hides="pick", within=True),
        "MaxUnpool": Operator(compute.max_unpool, shape_operands=(2,)),
        "LpPool": Operator(compute.pool, keeps_zero=True),
        "GlobalAveragePool": Operator(compute.global_pool, within=True),
        "GlobalMaxPool": Operator(compute.global_pool, hides="pick", within=True),
        "GlobalLpPool": Operator(compute.global_pool, keeps_zero=True),
        "ReduceSum": Operator(compute.reduce_sum, passes_through=True, keeps_zero=True),
        "ReduceMean": Operator(compute.reduce, passes_through=True, within=True),
        "ReduceMax": Operator(compute.reduce, hides="pick", within=True),
        "ReduceMin": Operator(compute.reduce, hides="pick", within=True),
        "ReduceProd": compute.reduce,
        **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare"), Operator(compute.reduce_sum, keeps_zero=True)),
        "ReduceLogSum": Operator(compute.reduce, singular_at_zero=True),
        "ReduceLogSumExp": compute.reduce,
        "ArgMax": Operator(compute.arg_reduce, hides="decision"),
        "ArgMin": Operator(compute.arg_reduce, hides="decision"),
        "TopK": Operator(compute.top_k, shape_operands=(1,), positions=1, hides="decision"),
        "Softmax": Operator(compute.softmax, hides="saturation", probability="categorical"),
        "LogSoftmax": Operator(compute.softmax, hides="saturation", probability="categorical"),
        "Hardmax": Operator(compute.softmax, hides="decision"),
        "CumSum": Operator(compute.cumulative_sum, keeps_zero=True),
        "CumProd": compute.cumulative_sum,
        # quantization
        "QuantizeLinear": quantized.QUANTIZE,
        "DequantizeLinear": quantized.DEQUANTIZE,
        "DynamicQuantizeLinear": Operator(quantized.dynamic_quantize_linear, quantization=True),
        "QLinearConv": Operator(quantized.qlinear_conv, zero_points={0: 2, 3: 5}, integers=quantized.CONV_INTEGERS),
        "QLinearMatMul": Operator(
            quantized.qlinear_matmul, zero_points={0: 2, 3: 5}, integers=quantized.MATMUL_INTEGERS
        ),
        "ConvInteger": Operator(
            quantized.conv_integer, zero_points={0: 2, 1: 3}, integers=quantized.BARE_CONV_INTEGERS
        ),
        "MatMulInteger": Operator(quantized.matmul_integer, zero_points={0: 2, 1: 3}, integers=quantized.BARE_INTEGERS),
        # recurrent cells and attention
        "LSTM": Operator(recurrent(4), weights=(1, 2, 3, 7), lengths=4, cell="LSTM", idle_gate=3),
        "GRU": Operator(
            recurrent(3), weights=(1, 2, 3), lengths=4, cell="GRU", reset="linear_before_reset", idle_gate=2
        ),
        "RNN": Operator(recurrent(1), weights=(1, 2, 3), lengths=4, cell="RNN", idle_gate=0),
        "Attention": attention.attention,
        "LinearAttention": fused.linear_attention,
        "RotaryEmbedding": Operator(attention.rotary_onnx, lookups={3: (1, 2)}),
        # looked up at run time
        "GatherElements": Operator(indexing.gather_elements, moves=(0,), lookups={1: (0,)}, hides="pick"),
        "ScatterElements": Operator(indexing.scatter_elements, hides="pick"),
        "GatherND": Operator(elements.gather_nd, moves=(0,), lookups={1: (0,)}, hides="pick"),
        "ScatterND": Operator(indexing.scatter_nd, hides="pick"),
        "Compress": Operator(indexing.compress, moves=(0,), bounded=True, hides="decision"),
        "Scatter": Operator(indexing.scatter_elements, hides="pick"),
        "TensorScatter": Operator(indexing.tensor_scatter, moves=(0, 1)),
        "OneHot": indexing.one_hot,
        "Trilu": indexing.trilu,
        "ReverseSequence": Operator(indexing.reverse_sequence, copies=True, lengths=1),
        **dict.fromkeys(("Bernoulli", "RandomNormalLike", "RandomUniformLike"), Operator(indexing.drawn, random=True)),
        **dict.fromkeys(
            ("Multinomial", "RandomNormal", "RandomUniform"), Operator(reason="random numbers are drawn", random=True)
        ),
        "DFT": indexing.fourier_transform,
        "EyeLike": signature("a b -> a b", opaque="a b"),
        "NonZero": Operator(indexing.non_zero, bounded=True, hides="decision"),
        "Unique": Operator(reason="it keeps one of equal elements each", bounded=True, hides="decision"),
        "STFT": signature("n s *part, _, w, _ -> n t f parts", opaque="s t w f part parts"),
        "AffineGrid": Operator(reason="a grid of positions is made of it"),
        "GridSample": signature("n c *s, n *t xy -> n c *t", opaque="s t xy"),
        "RoiAlign": Operator(signature("n c *s, _, _ -> r c u v", opaque="n s r u v"), hides="pick"),
        "MaxRoiPool": Operator(signature("n c *s, r _5 -> r c u v", opaque="n s r _5 u v"), hides="pick"),
        "Det": signature("*b m k -> *b", opaque="m k"),
        "NonMaxSuppression": Operator(signature("b s _4, b c s, _, _, _ -> _", opaque="b s c _4"), hides="decision"),
        **dict.fromkeys(
            ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"), Operator(fused.loss, lookups={1: (0,)})
        ),
        **dict.fromkeys(
            ("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix"),
            Operator(reason="it makes the table of a transform"),
        ),
        **dict.fromkeys(
            ("ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"),
            Operator(reason="it reads text or a file"),
        ),
        # layout
        "Concat": Operator(elements.concat, moves=EVERY, combines="join"),
        "Split": Operator(elements.split, moves=(0,), implied={"split": "num_outputs", 1: "num_outputs"}),
        "Slice": Operator(elements.slice_, moves=(0,), shape_operands=(1, 2, 3, 4)),
        "Gather": Operator(elements.gather, moves=(0,), lookups={1: (0,)}, hides="pick"),
        "Pad": Operator(elements.pad, moves=(0,), shape_operands=(1,), fill=2),
        "Tile": Operator(layout.tile, moves=(0,), shape_operands=(1,)),
        "Expand": Operator(layout.expand, moves=(0,), shape_operands=(1,)),
        "Transpose": Operator(layout.transpose, copies=True, permutation="perm"),
        "Reshape": Operator(layout.reshape, copies=True, shape_operands=(1,)),
        "Flatten": Operator(layout.flatten, copies=True),
        "Squeeze": Operator(layout.squeeze, copies=True),
        "Unsqueeze": Operator(layout.unsqueeze, copies=True),
        "Resize": Operator(layout.resize, shape_operands=(1, 2, 3), within=True),
        "Upsample": Operator(layout.resize, shape_operands=(1,), within=True),
        "Col2Im": Operator(layout.col2im, shape_operands=(1, 2)),
        "CenterCropPad": Operator(layout.center_crop_pad, moves=(0,), shape_operands=(1,), fill=2),
        "DepthToSpace": Operator(layout.depth_to_space, copies=True),
        "SpaceToDepth": Operator(layout.space_to_depth, copies=True),
        # sequences
        "SequenceEmpty": Operator(reason="nothing says which axes the elements will have"),
        "SequenceConstruct": Operator(sequences.construct, moves=EVERY),
        "SequenceAt": Operator(sequences.element, moves=(0,)),
        "SequenceErase": Operator(sequences.element, moves=(0,)),
        "SequenceInsert": Operator(sequences.insert, moves=(0, 1)),
        "SequenceLength": Operator(sequences.length, reads_sizes=True),
        "SplitToSequence": Operator(sequences.split_to_sequence, moves=(0,)),
        "ConcatFromSequence": Operator(sequences.concat_from_sequence, moves=(0,)),
        "Optional": Operator("*v -> *v", moves=(0,)),
        "OptionalGetElement": Operator("*v -> *v", moves=(0,)),
        "OptionalHasElement": Operator(sequences.has_element, reads_sizes=True),
        # maps
        **dict.fromkeys(
            ("ai.onnx.ml::ZipMap", "ai.onnx.ml::CastMap", "ai.onnx.ml::DictVectorizer"),
            Operator(reason="it makes or reads a map", makes_map=True),
        ),
        # control flow, and the nodes that frontends put before its bodies
        "If": Operator(control.if_, control="branches"),
        "Loop": Operator(control.loop, control="loop"),
        "Scan": Operator(control.scan, control="scan"),
        "irprune::enter_Loop": control.enter_loop,
        "irprune::enter_Scan": control.enter_scan,
        # shape arithmetic: no axis flows through, its results are evaluated instead
        "Shape": Operator(layout.shape_only, reads_sizes=True),
        "Size": Operator(layout.shape_only, reads_sizes=True),
        "Range": Operator(layout.range_, shape_operands=(0, 1, 2)),
        "ConstantOfShape": Operator(
            layout.constant_of_shape, shape_operands=(0,), takes_type=True, type_attribute="value", fill=1
        ),
    }
)
