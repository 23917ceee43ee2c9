"""Every operator of the PyTorch table, one node at a time, against ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper, numpy_helper

from irprune.errors import InputError
from irprune.torch import from_onnx
from irprune.torch.importer.functions import FUNCTIONS

TOLERANCE = 1e-5


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return np.abs(normal(*shape)) + 0.1


def small(*shape: int) -> np.ndarray:
    return np.clip(normal(*shape) / 4, -0.9, 0.9)


def ints(*values: Any) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def scalar(value: float, dtype: Any = np.float32) -> np.ndarray:
    return np.array(value, dtype=dtype)


def truth(*shape: int) -> np.ndarray:
    return normal(*shape, seed=9) > 0


def int8s(*shape: int, dtype: Any = np.int8) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(len(shape)).integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


@dataclass(frozen=True)
class Case:
    """A node: ``stored`` are the positions of operands that are initializers, all others are graph inputs."""

    op: str
    operands: tuple[np.ndarray | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    stored: tuple[int, ...] = ()
    opset: int = 20
    outputs: int = 1
    domain: str = ""
    tolerance: float = TOLERANCE

    def __str__(self) -> str:
        spelled = ",".join(f"{k}={v}" for k, v in self.attributes.items() if not isinstance(v, onnx.TensorProto))
        shapes = "x".join("-" if a is None else "_".join(map(str, a.shape)) or "0d" for a in self.operands)
        return f"{self.op}{self.opset}[{spelled}]{shapes}"

    def model(self, *, symbolic: bool = False) -> onnx.ModelProto:
        names = ["" if array is None else f"i{k}" for k, array in enumerate(self.operands)]
        node = helper.make_node(
            self.op, names, [f"o{k}" for k in range(self.outputs)], "the_node", domain=self.domain, **self.attributes
        )
        inputs, stored = [], []
        for k, array in enumerate(self.operands):
            if array is None:
                continue
            if k in self.stored:
                stored.append(numpy_helper.from_array(array, names[k]))
                continue
            dims = [f"i{k}d{axis}" if symbolic else size for axis, size in enumerate(array.shape)]
            inputs.append(helper.make_tensor_value_info(names[k], helper.np_dtype_to_tensor_dtype(array.dtype), dims))
        results = [onnx.ValueInfoProto(name=f"o{k}") for k in range(self.outputs)]
        graph = helper.make_graph([node], "g", inputs, results, stored)
        opsets = [helper.make_opsetid("", self.opset)] + ([helper.make_opsetid(self.domain, 1)] if self.domain else [])
        return helper.make_model(graph, opset_imports=opsets, ir_version=max(8, 10 if self.opset > 20 else 8))

    @property
    def feeds(self) -> dict[str, np.ndarray]:
        return {f"i{k}": a for k, a in enumerate(self.operands) if a is not None and k not in self.stored}


def of_runtime(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, feeds)
    return found


def of_torch(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    module = from_onnx(model)
    with torch.no_grad():
        found = module(**{module.meta["irprune.inputs"][k]: torch.from_numpy(v.copy()) for k, v in feeds.items()})
    return [value.numpy() for value in (found if isinstance(found, tuple) else (found,))]


def require_same(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float = TOLERANCE) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        scale = np.abs(other.astype(np.float64)).max(initial=0.0, where=np.isfinite(other))
        np.testing.assert_allclose(
            one.astype(np.float64), other.astype(np.float64), rtol=0, atol=tolerance * scale + 1e-30
        )


X = normal(2, 3, 4)
IMAGE = normal(2, 4, 7, 8)
UNARY = {
    **dict.fromkeys(
        ["Abs", "Atan", "Asinh", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Neg", "Relu", "Round"], X
    ),
    **dict.fromkeys(["Sigmoid", "Sign", "Sin", "Sinh", "Cosh", "Softplus", "Softsign", "Tan", "Tanh", "Identity"], X),
    **dict.fromkeys(["Celu", "Elu", "Gelu", "HardSigmoid", "LeakyRelu", "Selu", "Shrink", "ThresholdedRelu"], X * 2),
    **dict.fromkeys(["Mish", "Softmax", "LogSoftmax", "Hardmax", "LpNormalization"], X),
    **dict.fromkeys(["Acos", "Asin", "Atanh"], small(2, 5)),
    **dict.fromkeys(["Log", "Reciprocal", "Sqrt"], positive(2, 5)),
    "Acosh": positive(2, 5) + 1,
    "Not": truth(2, 3),
    "IsNaN": np.array([1.0, np.nan, np.inf], np.float32),
    "IsInf": np.array([1.0, np.nan, np.inf, -np.inf], np.float32),
    "BitwiseNot": ints(1, -2, 3),
    "NonZero": (normal(3, 4) > 0).astype(np.float32),
    "Dropout": X,
    "Flatten": IMAGE,
    "GlobalAveragePool": IMAGE,
    "GlobalMaxPool": IMAGE,
    "GlobalLpPool": IMAGE,
    "MeanVarianceNormalization": IMAGE,
    "EyeLike": normal(3, 4),
    "Transpose": X,
}
BINARY = ["Add", "Sub", "Mul", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min"]
REDUCTIONS = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]
W = normal(6, 4, 3, 3, seed=1)
B6 = normal(6, seed=2)
SCALE = positive(4)


def recurrent(op: str, gates: int, directions: int = 1, extra: int = 0, **attributes: Any) -> Case:
    t, b, i, h = 5, 2, 3, 4
    operands: list[np.ndarray | None] = [
        normal(t, b, i),
        normal(directions, gates * h, i) / 2,
        normal(directions, gates * h, h) / 2,
        normal(directions, 2 * gates * h) / 2,
    ]
    if extra:
        operands += [None, *(normal(directions, b, h, seed=k) for k in range(extra))]
    names = {"LSTM": 3}
    return Case(op, tuple(operands), {"hidden_size": h, **attributes}, (1, 2, 3), 14, names.get(op, 2))


CASES = [
    *(Case(op, (x,)) for op, x in UNARY.items()),
    *(Case(op, (X, normal(3, 1, seed=5))) for op in BINARY),
    *(Case(op, (X, scalar(0.5)), stored=(1,)) for op in BINARY),
    *(Case(op, (scalar(0.5), X), stored=(0,)) for op in (*BINARY, "Pow")),
    *(Case(op, (scalar(9, np.int64), ints(2, -4)), stored=(0,)) for op in ("Div", "Sub", "Mod", "Max", "Less")),
    *(Case(op, (ints(9, -9), scalar(2, np.int64)), stored=(1,)) for op in ("Div", "Sub", "Mod", "Max", "Less")),
    *(Case(op, (normal(4), scalar(0.5).reshape(1, 1)), stored=(1,)) for op in ("Add", "Max", "Less")),
    *(Case(op, (ints(7, -7, 9), ints(2, 2, -4))) for op in ("Div", "Mul", "Mod", "Equal", "Max")),
    *(Case(op, (truth(2, 3), truth(1, 3))) for op in ("And", "Or", "Xor")),
    *(Case(op, (ints(6, 3), ints(5, 1))) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    Case("BitShift", (np.array([8, 3], np.uint8), np.array([1, 2], np.uint8)), {"direction": "RIGHT"}),
    Case("BitShift", (np.array([8, 3], np.uint8), np.array([1, 2], np.uint8)), {"direction": "LEFT"}),
    Case("Mod", (X, normal(4) + 3), {"fmod": 1}),
    Case("Pow", (positive(2, 3), normal(3))),
    Case("Pow", (X, scalar(2.0)), stored=(1,)),
    Case("Pow", (ints(2, 3), scalar(2.0)), stored=(1,)),
    Case("PRelu", (X, normal(3, 1)), stored=(1,)),
    *(Case(op, (X, normal(4, seed=3), normal(3, 1))) for op in ("Sum", "Mean", "Max", "Min")),
    Case("Clip", (X, scalar(-0.3), scalar(0.4)), stored=(1, 2)),
    Case("Clip", (X, None, scalar(0.4))),
    Case("Clip", (X,), {"min": -0.2, "max": 0.3}, opset=7),
    Case("Where", (truth(3, 4), X, scalar(0.0)), stored=(2,)),
    Case("Where", (truth(3, 4), scalar(1.0), scalar(-2.0)), stored=(1, 2)),
    Case("Where", (truth(3, 4), ints(1), ints(2)), stored=(1, 2)),
    Case("Cast", (X * 3,), {"to": onnx.TensorProto.INT64}),
    Case("Cast", (truth(3),), {"to": onnx.TensorProto.FLOAT}),
    Case("CastLike", (X * 3, ints(1))),
    Case("Gelu", (X,), {"approximate": "tanh"}),
    Case("IsInf", (np.array([np.inf, -np.inf], np.float32),), {"detect_negative": 0}),
    Case("Shrink", (X,), {"bias": 0.2, "lambd": 0.4}),
    Case("Swish", (X,), {"alpha": 0.7}, opset=24),
    Case("Softmax", (X,), {"axis": 1}, opset=11),
    Case("LogSoftmax", (X,), {"axis": 1}, opset=11),
    Case("Hardmax", (X,), {"axis": 1}),
    *(Case(f"Reduce{n}", (positive(2, 3, 4), ints(0, -1)), {"keepdims": 0}, (1,)) for n in REDUCTIONS),
    *(Case(f"Reduce{n}", (positive(2, 3, 4),)) for n in REDUCTIONS),
    Case("ReduceMean", (X,), {"axes": [1]}, opset=13),
    *(Case(op, (np.array([[3, 4]], np.int32),)) for op in ("ReduceSum", "ReduceProd", "ReduceMax")),
    Case("LpNormalization", (np.zeros((2, 3), np.float32),)),
    Case("ReduceSum", (X,), {"noop_with_empty_axes": 1}),
    *(Case(op, (X,), {"axis": 1, "keepdims": 0}) for op in ("ArgMax", "ArgMin")),
    Case("ArgMax", (np.ones((2, 3), np.float32),), {"axis": 1, "select_last_index": 1}),
    Case("TopK", (X, ints(2)), {"axis": -1}, (1,), outputs=2),
    Case("TopK", (X, ints(2)), {"axis": 1, "largest": 0}, (1,), outputs=2),
    *(
        Case("CumSum", (X, scalar(1, np.int64)), a, (1,))
        for a in ({}, {"exclusive": 1}, {"reverse": 1, "exclusive": 1})
    ),
    Case("Trilu", (X, scalar(1, np.int64)), {}, (1,)),
    Case("Trilu", (X,), {"upper": 0}),
    # contractions
    Case("MatMul", (normal(2, 3, 4), normal(4, 5)), stored=(1,)),
    Case("Einsum", (normal(2, 3, 4), normal(2, 4, 5)), {"equation": "b i j, b j k -> b i k"}),
    Case("Gemm", (normal(3, 4), normal(5, 4), normal(5)), {"transB": 1}, (1, 2)),
    Case("Gemm", (normal(4, 3), normal(4, 5), normal(3, 1)), {"transA": 1, "alpha": 0.5, "beta": 2.0}, (1, 2)),
    Case("Conv", (IMAGE, W, B6), {"pads": [1, 1, 1, 1], "strides": [2, 1]}, (1, 2)),
    Case("Conv", (IMAGE, W), {"pads": [0, 1, 2, 1], "dilations": [2, 1]}, (1,)),
    *(
        Case("Conv", (IMAGE, W), {"auto_pad": p, "strides": [2, 3]}, (1,))
        for p in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    Case("Conv", (IMAGE, normal(4, 1, 3, 3)), {"group": 4}, (1,)),
    Case("Conv", (normal(1, 2, 9), normal(3, 2, 3)), {"pads": [2, 0]}, (1,)),
    Case("Conv", (normal(1, 2, 4, 5, 6), normal(3, 2, 2, 2, 2)), {}, (1,)),
    Case("ConvTranspose", (IMAGE, normal(4, 5, 3, 3), normal(5)), {"strides": [2, 2], "pads": [1, 1, 1, 1]}, (1, 2)),
    Case("ConvTranspose", (IMAGE, normal(4, 5, 3, 3)), {"strides": [2, 2], "pads": [0, 1, 1, 0]}, (1,)),
    Case("ConvTranspose", (IMAGE, normal(4, 2, 3, 3)), {"strides": [2, 2], "group": 2, "output_padding": [1, 1]}, (1,)),
    Case("ConvTranspose", (IMAGE, normal(4, 5, 3, 3)), {"strides": [2, 2], "output_shape": [14, 15]}, (1,)),
    Case("ConvTranspose", (IMAGE, normal(4, 5, 3, 3)), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, (1,)),
    Case("ConvTranspose", (IMAGE, normal(4, 5, 3, 3)), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}, (1,)),
    # normalizations
    Case("BatchNormalization", (IMAGE, SCALE, normal(4), normal(4, seed=3), positive(4)), {}, (1, 2, 3, 4)),
    Case("InstanceNormalization", (IMAGE, SCALE, normal(4)), {"epsilon": 1e-3}, (1, 2)),
    Case("LayerNormalization", (X, positive(4), normal(4)), {}, (1, 2)),
    Case("LayerNormalization", (X, positive(3, 4)), {"axis": 1}, (1,)),
    Case("RMSNormalization", (X, positive(4)), {}, (1,), opset=23),
    Case("RMSNormalization", (X, positive(3, 4)), {"axis": 1}, (1,), opset=23),
    Case("SimplifiedLayerNormalization", (X, positive(4)), {}, (1,)),
    Case("GroupNormalization", (IMAGE, SCALE, normal(4)), {"num_groups": 2}, (1, 2), opset=21),
    Case("GroupNormalization", (IMAGE, positive(2), normal(2)), {"num_groups": 2}, (1, 2), opset=18),
    Case("LRN", (IMAGE,), {"size": 3, "alpha": 0.2}),
    Case("LpNormalization", (X,), {"p": 1, "axis": 1}),
    # pooling
    Case("MaxPool", (IMAGE,), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("MaxPool", (IMAGE,), {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1}),
    Case("MaxPool", (IMAGE,), {"kernel_shape": [3, 3], "pads": [0, 1, 2, 1], "dilations": [2, 1]}),
    Case("MaxPool", (IMAGE,), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("MaxPool", (normal(1, 2, 9),), {"kernel_shape": [3]}),
    Case("MaxPool", (IMAGE,), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    Case("MaxPool", (IMAGE,), {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    *(
        Case("AveragePool", (IMAGE,), {"kernel_shape": [3, 3], "strides": [2, 2], "count_include_pad": c, **a})
        for c in (0, 1)
        for a in (
            {},
            {"pads": [1, 1, 1, 1]},
            {"pads": [1, 1, 1, 1], "ceil_mode": 1},
            {"pads": [0, 1, 1, 1]},
            {"auto_pad": "SAME_LOWER"},
            {"ceil_mode": 1},
        )
    ),
    Case("AveragePool", (normal(1, 2, 9),), {"kernel_shape": [3], "pads": [0, 1]}),
    Case("LpPool", (IMAGE,), {"kernel_shape": [3, 3], "p": 2}),
    # recurrent cells
    recurrent("LSTM", 4),
    recurrent("LSTM", 4, 2, 2, direction="bidirectional"),
    recurrent("LSTM", 4, 1, 2, direction="reverse"),
    recurrent("GRU", 3, linear_before_reset=1),
    recurrent("GRU", 3, 2, 1, direction="bidirectional", linear_before_reset=1),
    recurrent("RNN", 1),
    recurrent("RNN", 1, 2, 1, direction="bidirectional", activations=["Relu", "Relu"]),
    # layout
    Case("Reshape", (X, ints(0, -1, 2)), {}, (1,)),
    Case("Flatten", (IMAGE,), {"axis": 2}),
    Case("Flatten", (IMAGE,), {"axis": 0}),
    Case("Flatten", (IMAGE,), {"axis": -1}),
    Case("Transpose", (X,), {"perm": [1, 0, 2]}),
    Case("Squeeze", (normal(1, 3, 1),)),
    Case("Squeeze", (normal(1, 3, 1), ints(-1)), {}, (1,)),
    Case("Squeeze", (normal(1, 3, 1),), {"axes": [0]}, opset=11),
    Case("Unsqueeze", (X, ints(0, -1)), {}, (1,)),
    Case("Unsqueeze", (X,), {"axes": [1, 3]}, opset=11),
    Case("Concat", (X, normal(2, 1, 4)), {"axis": 1}),
    Case("Split", (X, ints(1, 2)), {"axis": 1}, (1,), outputs=2),
    Case("Split", (X,), {"axis": 1, "num_outputs": 2}, outputs=2),
    Case("Split", (X,), {"axis": 2}, opset=13, outputs=2),
    Case("Split", (X,), {"axis": 2, "split": [1, 3]}, opset=11, outputs=2),
    Case("Slice", (IMAGE, ints(1, 0), ints(-1, 9999), ints(2, -1), ints(2, 3)), {}, (1, 2, 3, 4)),
    Case("Slice", (IMAGE, ints(-1), ints(-(2**63) + 1), ints(3), ints(-1)), {}, (1, 2, 3, 4)),
    Case("Slice", (IMAGE, ints(5), ints(-7), ints(3), ints(-2)), {}, (1, 2, 3, 4)),
    Case("Slice", (IMAGE,), {"starts": [1, -3], "ends": [5, 1000], "axes": [2, 3]}, opset=9),
    Case("Pad", (IMAGE, ints(0, 0, 1, 2, 0, 0, 0, 1), scalar(0.7)), {}, (1, 2)),
    Case("Pad", (IMAGE, ints(1, -1, 0, 2), None, ints(1, 3)), {}, (1, 3)),
    Case("Pad", (IMAGE,), {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 0.3}, opset=10),
    *(Case("Pad", (IMAGE, ints(0, 0, 1, 2, 0, 0, 0, 1)), {"mode": m}, (1,)) for m in ("reflect", "edge", "wrap")),
    Case("Expand", (normal(3, 1), ints(2, 1, 4)), {}, (1,)),
    Case("Expand", (normal(2, 3, 4), ints(3, 1)), {}, (1,)),
    Case("Tile", (X, ints(1, 2, 3)), {}, (1,)),
    Case("DepthToSpace", (IMAGE,), {"blocksize": 2}),
    Case("DepthToSpace", (IMAGE,), {"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", (normal(1, 2, 4, 6),), {"blocksize": 2}),
    # resizing
    *(
        Case("Resize", (IMAGE, None, np.array([1, 1, 2, 3], np.float32)), a, (2,))
        for a in (
            {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
            {"coordinate_transformation_mode": "half_pixel"},
            {"mode": "linear"},
            {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
            {"mode": "cubic"},
        )
    ),
    Case("Resize", (IMAGE, None, None, ints(2, 4, 5, 11)), {"mode": "linear"}, (3,)),
    Case("Resize", (IMAGE, None, None, ints(5, 11)), {"mode": "linear", "axes": [2, 3]}, (3,)),
    Case("Resize", (IMAGE, None, np.array([1, 1, 0.6, 1.7], np.float32)), {"mode": "linear"}, (2,)),
    Case("Resize", (IMAGE, np.array([1, 1, 2, 3], np.float32)), {}, (1,), opset=10),
    Case("Upsample", (IMAGE, np.array([1, 1, 2, 2], np.float32)), {}, (1,), opset=9),
    Case("GridSample", (IMAGE, small(2, 5, 6, 2)), {}),
    Case("GridSample", (IMAGE, normal(2, 5, 6, 2)), {"align_corners": 1, "padding_mode": "border"}),
    Case("AffineGrid", (normal(2, 2, 3), ints(2, 4, 5, 6)), {}, (1,)),
    # looked up at run time
    Case("Gather", (normal(5, 4), ints([0, 3], [4, 1])), {}, (0,)),
    Case("Gather", (normal(5, 4), ints([0, -1])), {}, (1,)),
    Case("Gather", (normal(5, 4), ints([0, 2], [-1, 1])), {}, (1,)),
    Case("Gather", (X, ints([0, -1])), {"axis": 1}, (1,)),
    Case("Gather", (X, ints(2, 0)), {"axis": 2}, (1,)),
    Case("Gather", (X, scalar(1, np.int64)), {"axis": 1}, (1,)),
    Case("Gather", (X, ints([0, 2], [1, 1])), {"axis": -2}),
    Case("GatherElements", (X, ints([[0, 1, -1, 2]], [[0, 0, 0, 1]])), {"axis": 1}),
    Case("GatherND", (X, ints([0, 1], [1, 2]))),
    Case("GatherND", (X, ints([[1], [0]], [[2], [2]])), {"batch_dims": 1}),
    *(
        Case("ScatterElements", (X, ints([[0], [-1]], [[1], [1]]), normal(2, 2, 1)), {"axis": 1, "reduction": r})
        for r in ("none", "add", "mul", "max", "min")
    ),
    *(Case("ScatterND", (X, ints([0, 1], [1, 2]), normal(2, 4)), {"reduction": r}) for r in ("none", "add")),
    Case("OneHot", (ints(0, 2, -1), scalar(3, np.int64), np.array([0.0, 1.0], np.float32)), {}, (1, 2)),
    Case("OneHot", (ints([0, 2]), ints(3), np.array([-1.0, 5.0], np.float32)), {"axis": 1}, (1, 2)),
    Case("Compress", (X, np.array([True, False, True])), {"axis": 1}, (1,)),
    # made from shapes
    Case("Shape", (X,)),
    Case("Shape", (X,), {"start": 1, "end": -1}),
    Case("Size", (X,)),
    Case("Range", (scalar(1, np.int64), scalar(9, np.int64), scalar(3, np.int64)), {}, (0, 1, 2)),
    Case("Range", (scalar(1.0), scalar(2.5), scalar(0.5)), {}, (0, 1, 2)),
    Case("ConstantOfShape", (ints(2, 3),), {"value": numpy_helper.from_array(np.array([7.5], np.float32))}, (0,)),
    # attention
    Case("Attention", (normal(2, 4, 5, 8), normal(2, 2, 6, 8), normal(2, 2, 6, 8)), {}, opset=23),
    Case("Attention", (normal(2, 4, 5, 8), normal(2, 4, 5, 8), normal(2, 4, 5, 8)), {"is_causal": 1}, opset=23),
    Case(
        "Attention",
        (normal(2, 5, 32), normal(2, 6, 16), normal(2, 6, 16), normal(5, 6)),
        {"q_num_heads": 4, "kv_num_heads": 2, "scale": 0.3},
        opset=23,
    ),
    Case(
        "Attention",
        (normal(2, 4, 5, 8), normal(2, 4, 6, 8), normal(2, 4, 6, 8), None, normal(2, 4, 3, 8), normal(2, 4, 3, 8)),
        {"softcap": 2.0},
        opset=23,
        outputs=3,
    ),
    Case("RotaryEmbedding", (normal(2, 3, 5, 8), normal(2, 5, 4), normal(2, 5, 4)), {}, opset=23),
    Case(
        "RotaryEmbedding",
        (normal(2, 5, 24), normal(9, 2), normal(9, 2), ints([0, 1, 2, 3, 4], [2, 3, 4, 5, 6])),
        {"num_heads": 3, "rotary_embedding_dim": 4, "interleaved": 1},
        (1, 2),
        opset=23,
    ),
    # quantization
    Case("QuantizeLinear", (X, scalar(0.02), scalar(3, np.int8)), {}, (1, 2)),
    Case("QuantizeLinear", (IMAGE, positive(4) / 50, np.zeros(4, np.uint8)), {"axis": 1}, (1, 2)),
    Case("DequantizeLinear", (int8s(4, 3), positive(3), np.array([1, 2, 3], np.int8)), {"axis": 1}, (0, 1, 2)),
    Case("DynamicQuantizeLinear", (X,), outputs=3),
    Case("MatMulInteger", (int8s(3, 4, dtype=np.uint8), int8s(4, 5), scalar(120, np.uint8)), {}, (1, 2)),
    Case("ConvInteger", (int8s(1, 4, 5, 5, dtype=np.uint8), int8s(6, 4, 3, 3), scalar(120, np.uint8)), {}, (1, 2)),
    Case(
        "QLinearMatMul",
        (
            int8s(3, 4, dtype=np.uint8),
            scalar(0.02),
            scalar(128, np.uint8),
            int8s(4, 5),
            scalar(0.03),
            scalar(0, np.int8),
            scalar(0.5),
            scalar(128, np.uint8),
        ),
        {},
        tuple(range(1, 8)),
    ),
    Case(
        "QLinearConv",
        (
            int8s(1, 4, 5, 5, dtype=np.uint8),
            scalar(0.02),
            scalar(128, np.uint8),
            int8s(6, 4, 3, 3),
            positive(6),
            np.zeros(6, np.int8),
            scalar(5.0),
            scalar(128, np.uint8),
            np.arange(6, dtype=np.int32),
        ),
        {},
        tuple(range(1, 9)),
    ),
]

MICROSOFT = [
    Case("Gelu", (X,)),
    Case("BiasGelu", (X, normal(4)), {}, (1,)),
    Case("FastGelu", (X, normal(4)), {}, (1,)),
    Case("FastGelu", (X,)),
    Case("QuickGelu", (X,), {"alpha": 1.5}),
    Case("SkipLayerNormalization", (X, normal(2, 3, 4, seed=4), SCALE, normal(4), normal(4, seed=8)), {}, (2, 3, 4)),
    Case("SkipSimplifiedLayerNormalization", (X, normal(2, 3, 4, seed=4), SCALE), {}, (2,)),
    Case("FusedConv", (IMAGE, W, B6), {"activation": "Relu"}, (1, 2)),
    Case("FusedConv", (IMAGE, W, B6), {"activation": "LeakyRelu", "activation_params": [0.2]}, (1, 2)),
    Case("FusedGemm", (normal(3, 4), normal(5, 4), normal(5)), {"transB": 1, "activation": "Relu"}, (1, 2)),
    Case("FusedMatMul", (X, normal(2, 5, 4)), {"transB": 1, "alpha": 0.5}),
    Case("Attention", (normal(2, 5, 8), normal(8, 24), normal(24)), {"num_heads": 2}, (1, 2)),
    Case(
        "Attention",
        (normal(2, 5, 8), normal(8, 24), normal(24), np.array([[1] * 5, [1, 1, 1, 0, 0]], np.int32)),
        {"num_heads": 2, "unidirectional": 0},
        (1, 2),
    ),
    Case("Attention", (normal(2, 5, 8), normal(8, 24), normal(24)), {"num_heads": 2, "unidirectional": 1}, (1, 2)),
    Case("MultiHeadAttention", (normal(2, 5, 8), normal(2, 6, 8), normal(2, 6, 8)), {"num_heads": 2}),
    Case(
        "MultiHeadAttention",
        (normal(2, 5, 8), normal(2, 6, 8), normal(2, 6, 8), normal(24)),
        {"num_heads": 2, "scale": 0.4},
        (3,),
    ),
    Case(
        "RotaryEmbedding",
        (normal(2, 5, 24), ints([0, 1, 2, 3, 4], [2, 3, 4, 5, 6]), normal(9, 4), normal(9, 4)),
        {},
        (2, 3),
    ),
    Case("RotaryEmbedding", (normal(2, 3, 5, 8), ints(1), normal(9, 4), normal(9, 4)), {"interleaved": 1}, (2, 3)),
    Case(
        "EmbedLayerNormalization",
        (
            np.array([[0, 1, 2], [3, 4, 5]], np.int32),
            np.array([[0, 1, 0], [0, 0, 1]], np.int32),
            normal(6, 4),
            normal(7, 4),
            normal(2, 4),
            SCALE,
            normal(4),
        ),
        {},
        (2, 3, 4, 5, 6),
        outputs=2,
    ),
]
A8, B8 = int8s(2, 4, 3, 3, dtype=np.uint8), int8s(1, 4, 1, 1, dtype=np.uint8)
QUANTIZED_A = (A8, scalar(0.02), scalar(128, np.uint8))
QUANTIZED_B = (B8, scalar(0.03), scalar(100, np.uint8))
RESULT = (scalar(0.0517), scalar(110, np.uint8))
MICROSOFT += [
    Case("QuantizeLinear", (X, scalar(0.02), scalar(3, np.int8)), {}, (1, 2)),
    Case("DequantizeLinear", (int8s(4, 3), scalar(0.1), scalar(3, np.int8)), {}, (0, 1, 2)),
    Case("QLinearAdd", (*QUANTIZED_A, *QUANTIZED_B, *RESULT), {}, (1, 2, 4, 5, 6, 7)),
    Case("QLinearMul", (*QUANTIZED_A, *QUANTIZED_B, *RESULT), {}, (1, 2, 4, 5, 6, 7)),
    Case("QLinearGlobalAveragePool", (*QUANTIZED_A, *RESULT), {}, (1, 2, 3, 4)),
    Case(
        "QGemm",
        (
            int8s(3, 4, dtype=np.uint8),
            scalar(0.02),
            scalar(128, np.uint8),
            int8s(5, 4),
            scalar(0.03),
            scalar(0, np.int8),
            np.arange(5, dtype=np.int32),
        ),
        {"transB": 1},
        tuple(range(1, 7)),
    ),
]
MICROSOFT = [Case(c.op, c.operands, c.attributes, c.stored, 17, c.outputs, "com.microsoft") for c in MICROSOFT]


@pytest.mark.parametrize("case", [*CASES, *MICROSOFT], ids=str)
def test_one_node_is_what_onnx_runtime_computes(case: Case) -> None:
    model = case.model()
    require_same(of_torch(model, case.feeds), of_runtime(model, case.feeds), case.tolerance)


DYNAMIC = [case for case in CASES if case.stored and case.feeds]


@pytest.mark.parametrize("case", DYNAMIC, ids=str)
def test_sizes_that_are_open_are_no_obstacle(case: Case) -> None:
    """Where they are, the refusal says which size has to be known; wrong numbers it never gives."""
    model = case.model(symbolic=True)
    try:
        found = of_torch(model, case.feeds)
    except InputError as error:
        assert "the_node" in str(error)
        assert "run time" in str(error)
        return
    require_same(found, of_runtime(model, case.feeds), case.tolerance)


def test_every_operator_of_the_table_is_tested() -> None:
    known = {f"{c.domain}::{c.op}" if c.domain else c.op for c in [*CASES, *MICROSOFT]}
    assert set(FUNCTIONS) - known == set()


# -- what is refused, and how the graph looks --------------------------------------------------------------------------

REFUSED = [
    (Case("Unique", (X,)), "operator Unique has no PyTorch equivalent here; replace it"),
    (Case("Conv", (normal(1, 2, 3, 3, 3, 3), normal(1, 2, 1, 1, 1, 1)), {}, (1,)), "it has 4 spatial dimensions"),
    (Case("LRN", (IMAGE,), {"size": 2}), "an even size"),
    (Case("MaxPool", (IMAGE,), {"kernel_shape": [2, 2]}, outputs=2), "its indices count over the whole tensor"),
    (Case("Resize", (IMAGE, None, np.array([1, 1, 0.5, 0.5], np.float32)), {}, (2,)), "it rounds down"),
    (
        Case("Resize", (IMAGE, None, np.array([1, 2, 1, 1], np.float32)), {"mode": "linear"}, (2,)),
        "it resizes the batch or the channels",
    ),
    (Case("Pad", (IMAGE, ints(0, 1, 0, 0, 0, 0, 0, 0)), {"mode": "edge"}, (1,)), "for spatial dimensions alone"),
    (recurrent("GRU", 3), "linear_before_reset=0"),
    (recurrent("LSTM", 4, clip=1.0), "its cells are clipped"),
    (recurrent("RNN", 1, activations=["Sigmoid"]), "its activations are not those of PyTorch"),
]


@pytest.mark.parametrize(("case", "message"), REFUSED, ids=str)
def test_what_has_no_equivalent_is_refused_by_name(case: Case, message: str) -> None:
    with pytest.raises(InputError, match="'the_node'") as refusal:
        from_onnx(case.model())
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def parsed(body: str, opset: int = 20, **numbers: np.ndarray) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {body}')
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in numbers.items())
    return proto


def test_control_flow_is_refused() -> None:
    body = "agraph (bool c, float[2] x) => (float[2] y) { y = If (c) <"
    body += "then_branch = t () => (float[2] a) { a = Neg (x) }, else_branch = e () => (float[2] b) { b = Abs (x) }> }"
    with pytest.raises(InputError, match="is control flow, which has no PyTorch equivalent here: export the model"):
        from_onnx(parsed(body))


def targets(module: torch.fx.GraphModule) -> list[str]:
    return [getattr(node.target, "__name__", str(node.target)) for node in module.graph.nodes]


SHAPES = """
agraph (float[batch, length, 12] x) => (float[?, ?, ?, ?] y) {
  s = Shape (x)
  b = Gather (s, zero)
  n = Gather (s, one)
  half = Div (n, two)
  doubled = Mul (half, two)
  b1 = Unsqueeze (b, axes)
  n1 = Unsqueeze (doubled, axes)
  target = Concat <axis = 0> (b1, n1, heads)
  known = Slice (x, start, n1, axis_one)
  y = Reshape (known, target)
}"""


def test_shape_arithmetic_stays_in_python_integers() -> None:
    model = parsed(
        SHAPES,
        zero=scalar(0, np.int64),
        one=scalar(1, np.int64),
        two=scalar(2, np.int64),
        axes=ints(0),
        start=ints(0),
        axis_one=ints(1),
        heads=ints(3, 4),
    )
    module = from_onnx(model)
    assert targets(module) == ["x", "size", "size", "floordiv", "mul", "getitem", "reshape", "output"]
    assert list(module.buffers()) == []
    for batch, length in ((2, 5), (3, 6)):
        feeds = {"x": normal(batch, length, 12)}
        require_same(of_torch(model, feeds), of_runtime(model, feeds))


LEARNED = """
agraph (int64[b, t] ids, float[b, t, t] bias) => (float[?, ?, ?] y) {
  words = Gather (table, ids)
  placed = Add (words, positions)
  angles = MatMul (ramp, frequencies)
  turned = Cos (angles)
  rotated = Mul (placed, turned)
  scaled = Mul (rotated, factor)
  transposed = Transpose <perm = [1, 0]> (weight)
  projected = MatMul (scaled, transposed)
  masked = Add (projected, mask)
  y = Clip (masked, low)
}"""


def test_weights_are_told_from_other_constants() -> None:
    model = parsed(
        LEARNED,
        table=normal(9, 4),
        positions=normal(1, 3, 4),
        ramp=normal(3, 1),
        frequencies=normal(1, 4),
        factor=scalar(0.5),
        weight=normal(3, 4),
        mask=np.array([[0, -10000.0, 0]], np.float32).repeat(3, 0),
        low=scalar(-3.0),
    )
    module = from_onnx(model)
    assert {name for name, _ in module.named_parameters()} == {"table", "positions", "weight"}
    assert {name for name, _ in module.named_buffers()} == {"ramp", "frequencies", "mask"}


TURNED = """
agraph (float[2, 6] x) => (float[2, 6] y) {
  a = Mul (x, cosines)
  b = Mul (x, sines)
  c = Add (a, b)
  d = Add (c, positions)
  e = Add (d, none)
  y = Mul (e, scales)
}"""


def test_tables_of_sines_and_cosines_are_not_learned() -> None:
    angles = positive(2, 6)
    positions = np.concatenate([np.sin(angles[:, :3]), np.cos(angles[:, :3])], 1)
    model = parsed(
        TURNED,
        cosines=np.cos(angles),
        sines=np.sin(angles),
        positions=positions,
        none=np.zeros((2, 6), np.float32),
        scales=small(2, 6),
    )
    assert [name for name, _ in from_onnx(model).named_parameters()] == ["scales"]


def test_names_become_paths_that_python_accepts() -> None:
    nodes = [
        helper.make_node("Add", ["in.0", "a.b/c:0"], ["t0"]),
        helper.make_node("Add", ["t0", "a"], ["t1"]),
        helper.make_node("Add", ["t1", "a.b"], ["t2"]),
        helper.make_node("Add", ["t2", "training"], ["t3"]),
        helper.make_node("Sub", ["t3", "class"], ["out"]),
    ]
    inputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 3]) for name in ("in.0", "class")]
    names = ["a.b/c:0", "a", "a.b", "training"]
    stored = [numpy_helper.from_array(normal(2, 3, seed=k), name) for k, name in enumerate(names)]
    graph = helper.make_graph(nodes, "g", inputs, [onnx.ValueInfoProto(name="out")], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8)
    module = from_onnx(model)
    paths = module.meta["irprune.initializers"]
    assert module.meta["irprune.inputs"] == {"in.0": "in_0", "class": "input_class"}
    assert set(paths) == set(names)
    assert len(set(paths.values())) == len(names)
    assert dict(module.named_parameters()).keys() == set(paths.values())
    feeds = {"in.0": normal(2, 3, seed=7), "class": normal(2, 3, seed=8)}
    require_same(of_torch(model, feeds), of_runtime(model, feeds))


def test_fake_quantization_hands_gradients_through() -> None:
    body = """agraph (float[2, 3] x) => (float[2, 4] y) {
      q = QuantizeLinear (weight, scale, point)
      w = DequantizeLinear (q, scale, point)
      y = MatMul (x, w)
    }"""
    model = parsed(body, weight=normal(3, 4), scale=scalar(0.02), point=scalar(0, np.int8))
    module = from_onnx(model)
    module(torch.from_numpy(normal(2, 3))).sum().backward()
    (weight,) = module.parameters()
    assert weight.grad is not None
    assert bool((weight.grad != 0).any())
