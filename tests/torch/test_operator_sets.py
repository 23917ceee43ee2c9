"""The operators that signatures, the importer of ONNX files and the rules for tensors without data know."""

from __future__ import annotations

import torch

from irprune.frontends.aten import TABLE, aten_operator
from irprune.signatures import OPERATORS
from irprune.torch.capture.meta_rules import known_operators
from irprune.torch.importer.functions import FUNCTIONS

_DRAWN = "PyTorch draws other numbers from the same seed"
_INTEGERS = "it computes with integers, which do not train"
_PACKED = "its weights are packed into bits, which do not train"
_SEQUENCE = "a sequence is not a tensor of a traced module"
_NOT_WRITTEN = "PyTorch has calls for it, but no function is written yet"
_NO_BODY = "control flow is not a call of a traced module"
_VISION = "it is a function of torchvision, which irprune does not need"

NOT_IMPORTED = {
    "Bernoulli": _DRAWN,
    "RandomNormalLike": _DRAWN,
    "RandomUniformLike": _DRAWN,
    "If": _NO_BODY,
    "Loop": _NO_BODY,
    "Scan": _NO_BODY,
    "DeformConv": _VISION,
    "MaxRoiPool": _VISION,
    "NonMaxSuppression": _VISION,
    "RoiAlign": _VISION,
    "DFT": "PyTorch gives complex numbers, which the importer has no type for",
    "STFT": "PyTorch gives complex numbers, which the importer has no type for",
    "ReverseSequence": "no PyTorch function reverses each row up to a length of its own",
    **dict.fromkeys(
        ("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceErase", "SequenceInsert"), _SEQUENCE
    ),
    **dict.fromkeys(("SequenceLength", "SplitToSequence"), _SEQUENCE),
    **dict.fromkeys(("CenterCropPad", "Col2Im", "CumProd", "Det", "MaxUnpool", "SwiGLU"), _NOT_WRITTEN),
    **dict.fromkeys(("BitCast", "CausalConvWithState", "Scatter"), _NOT_WRITTEN),
    **dict.fromkeys(("Optional", "OptionalGetElement", "OptionalHasElement"), _SEQUENCE),
    **dict.fromkeys(
        (f"com.microsoft::{name}" for name in ("GatherND", "GridSample", "Inverse", "ScaledSiLU", "TransposeMatMul")),
        _NOT_WRITTEN,
    ),
    **dict.fromkeys((f"com.microsoft::{name}" for name in ("GroupNorm", "NhwcConv", "Trilu")), _NOT_WRITTEN),
    **dict.fromkeys((f"com.microsoft::{name}" for name in ("BiasSplitGelu", "GemmFastGelu")), _NOT_WRITTEN),
    **dict.fromkeys((f"com.microsoft::{name}" for name in ("NhwcMaxPool", "QLinearWhere")), _INTEGERS),
    **dict.fromkeys(
        (name for name in OPERATORS if name.startswith(("qonnx.", "onnx.brevitas"))),
        "PyTorch has no rounding that passes gradients on",
    ),
    "TensorScatter": "it writes into caches that the caller holds",
    "com.microsoft::BiasAdd": "ONNX Runtime has no CPU kernel of it to compare with",
    "com.microsoft::GroupQueryAttention": "it writes into caches that the caller holds",
    **dict.fromkeys(("LinearAttention", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"), _NOT_WRITTEN),
    **dict.fromkeys(
        (f"com.microsoft::{name}" for name in ("BranchwiseRMSNorm", "CDist", "ExpandDims", "GatedAdd", "GatedRMSNorm")),
        _NOT_WRITTEN,
    ),
    **dict.fromkeys(
        (f"com.microsoft::{name}" for name in ("CausalConvWithState", "LinearAttention", "LinearAttentionGate", "MoE")),
        _NOT_WRITTEN,
    ),
    **dict.fromkeys(
        (f"com.microsoft::{name}" for name in ("ConvTransposeWithDynamicPads", "MRotaryEmbedding", "UnfoldTensor")),
        _NOT_WRITTEN,
    ),
    "com.microsoft::CropAndResize": _NOT_WRITTEN,
    "com.microsoft::RelativePositionBias": "ONNX Runtime has no CPU kernel of it to compare with",
    "com.microsoft::QEmbedLayerNormalization": _INTEGERS,
    "com.microsoft::MatMulInteger16": _INTEGERS,
    "com.microsoft::MatMulBnb4": _PACKED,
    "com.microsoft::QMoE": _PACKED,
    "com.microsoft::GatherBlockQuantized": _PACKED,
    "com.microsoft::MatMulNBits": _PACKED,
    "com.microsoft::DynamicQuantizeLSTM": _INTEGERS,
    "com.microsoft::DynamicQuantizeMatMul": _INTEGERS,
    "com.microsoft::MatMulIntegerToFloat": _INTEGERS,
    "com.microsoft::QAttention": _INTEGERS,
    "com.microsoft::QLinearAveragePool": _INTEGERS,
    "com.microsoft::QLinearConcat": _INTEGERS,
    "com.microsoft::QLinearConv": _INTEGERS,
    "com.microsoft::QLinearLeakyRelu": _INTEGERS,
    "com.microsoft::QLinearSigmoid": _INTEGERS,
    "com.microsoft::QLinearSoftmax": _INTEGERS,
}
"""Operators with a signature that ``from_onnx`` refuses."""

WITHOUT_SIGNATURE = {
    "AffineGrid": "its result holds coordinates, no channels: it is frozen",
}
"""Operators that ``from_onnx`` reads, and that have no signature."""

NUMBERS = {
    "aten::linspace": "it has no operands: what it gives is computed when the module is captured",
}
"""Operators with a rule for tensors without data that are not in the ATen table."""


def test_the_importer_reads_what_has_a_signature() -> None:
    signatures = {
        name
        for name, operator in OPERATORS.items()
        if operator.rule is not None and not name.startswith(("aten::", "irprune::"))
    }
    assert signatures - FUNCTIONS.keys() == NOT_IMPORTED.keys()
    assert FUNCTIONS.keys() - signatures == WITHOUT_SIGNATURE.keys()


def test_what_has_a_rule_without_data_has_a_signature() -> None:
    """The other way round there is no need: what has no rule is asked of PyTorch, which takes longer."""
    rules = {
        (str(func._schema.name), str(func._overloadname), torch.Tag.pointwise in func.tags)
        for func in known_operators()
    }
    missing = {
        name
        for name, overload, is_pointwise in rules
        if not is_pointwise and aten_operator(name.partition("::")[2], overload).lowering is None
    }
    assert len(rules) >= 40
    assert missing == NUMBERS.keys()


def test_an_operator_of_the_table_is_one_of_pytorch() -> None:
    """A misspelled entry would never be read. Some are methods, or functions of ``torch.nn``, in graphs of fx."""
    places = (torch.ops.aten, torch.Tensor, torch.nn.functional)
    names = {key.partition(".")[0] for key in TABLE}
    forms = {name: (name, f"{name}_") for name in names}
    found = {name for name, both in forms.items() for form in both for place in places if hasattr(place, form)}
    assert names - found == set()
