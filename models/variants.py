"""Other forms in which models arrive: fused, quantized, in half precision, and with channels last."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Quantization = Literal["dynamic", "qdq", "qop"]
Array = NDArray[Any]


@contextmanager
def _quiet() -> Iterator[None]:
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)


def fuse(source: Path, target: Path, kind: str, heads: int, hidden: int) -> None:
    """Write the model with the fused operators of ONNX Runtime's transformer optimizer for its kind."""
    from onnxruntime.transformers.optimizer import optimize_model

    with _quiet():
        optimized = optimize_model(str(source), kind, num_heads=heads, hidden_size=hidden, opt_level=0)
    onnx.save(optimized.model, target)


def half(source: Path, target: Path) -> None:
    """Write the model with its inputs, outputs, weights and arithmetic in half precision."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source)), target)


def quantize(
    source: Path,
    target: Path,
    kind: Quantization,
    samples: Sequence[Mapping[str, Array]] = (),
    operators: Sequence[str] | None = None,
) -> None:
    """Write the model in 8-bit integers: with scales found as it runs, or calibrated on samples.

    ``qdq`` puts quantizing and dequantizing nodes around float operators, ``qop`` uses integer operators.
    ``operators`` limits either to these types; the mask of a transformer, for one, has no useful range.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    class Samples(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(samples)

        def get_next(self) -> Mapping[str, Array] | None:
            return next(self.left, None)

    with _quiet():
        if kind == "dynamic":
            quantize_dynamic(source, target, op_types_to_quantize=operators, weight_type=QuantType.QInt8)
        else:
            quantize_static(
                source,
                target,
                Samples(),
                quant_format=QuantFormat.QDQ if kind == "qdq" else QuantFormat.QOperator,
                op_types_to_quantize=operators,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )


class _Nodes:
    """Nodes and weights in the style of TensorFlow's converter: every activation has its channels last."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, value: Array) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def normal(self, name: str, shape: tuple[int, ...], scale: float) -> str:
        return self.weight(name, (scale * self.random.standard_normal(shape)).astype(np.float32))

    def positive(self, name: str, channels: int) -> str:
        return self.weight(name, self.random.uniform(0.5, 1.5, channels).astype(np.float32))

    def add(self, kind: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}:0"], name=name, **attributes))
        return f"{name}:0"

    def convolution(
        self,
        name: str,
        x: str,
        cin: int,
        cout: int,
        kernel: int,
        stride: int = 1,
        group: int = 1,
    ) -> str:
        x = self.add("Transpose", f"{name}/to_nchw", [x], perm=[0, 3, 1, 2])
        fan_in = cin // group * kernel**2
        kernels = self.normal(f"{name}/kernel", (cout, cin // group, kernel, kernel), (2 / fan_in) ** 0.5)
        x = self.add(
            "Conv",
            f"{name}/Conv2D",
            [x, kernels],
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            group=group,
            auto_pad="SAME_UPPER",
        )
        return self.add("Transpose", f"{name}/to_nhwc", [x], perm=[0, 2, 3, 1])

    def normalization(self, name: str, x: str, channels: int) -> str:
        x = self.add("Transpose", f"{name}/to_nchw", [x], perm=[0, 3, 1, 2])
        statistics = [
            self.positive(f"{name}/gamma", channels),
            self.normal(f"{name}/beta", (channels,), 0.1),
            self.normal(f"{name}/moving_mean", (channels,), 0.1),
            self.positive(f"{name}/moving_variance", channels),
        ]
        x = self.add("BatchNormalization", f"{name}/FusedBatchNormV3", [x, *statistics], epsilon=1e-3)
        return self.add("Transpose", f"{name}/to_nhwc", [x], perm=[0, 2, 3, 1])

    def relu6(self, name: str, x: str) -> str:
        return self.add("Clip", name, [x, "zero", "six"])

    def dense(self, name: str, x: str, cin: int, cout: int) -> str:
        kernel = self.normal(f"{name}/kernel", (cin, cout), (2 / cin) ** 0.5)
        x = self.add("MatMul", f"{name}/MatMul", [x, kernel])
        return self.add("Add", f"{name}/BiasAdd", [x, self.normal(f"{name}/bias", (cout,), 0.1)])


def channels_last(seed: int = 0) -> onnx.ModelProto:
    """A convolutional network as Keras exports it: channels last, with transposes around every convolution.

    An inverted residual block with a depthwise convolution, a concatenation of two branches, and two dense
    layers, the first over the flattened map.
    """
    net = _Nodes(seed)
    net.weight("zero", np.array(0, dtype=np.float32))
    net.weight("six", np.array(6, dtype=np.float32))

    x = net.convolution("stem", "image", 3, 16, 3, stride=2)
    stem = net.relu6("stem/relu", net.normalization("stem/bn", x, 16))

    x = net.convolution("expand", stem, 16, 32, 1)
    x = net.relu6("expand/relu", net.normalization("expand/bn", x, 32))
    x = net.convolution("depthwise", x, 32, 32, 3, group=32)
    x = net.relu6("depthwise/relu", net.normalization("depthwise/bn", x, 32))
    x = net.normalization("project/bn", net.convolution("project", x, 32, 16, 1), 16)
    block = net.add("Add", "block/add", [x, stem])

    left = net.convolution("left", block, 16, 12, 3, stride=2)
    left = net.add("Add", "left/BiasAdd", [left, net.normal("left/bias", (12,), 0.1)])
    right = net.add("Transpose", "pool/to_nchw", [block], perm=[0, 3, 1, 2])
    right = net.add("MaxPool", "pool/MaxPool", [right], kernel_shape=[2, 2], strides=[2, 2])
    right = net.add("Transpose", "pool/to_nhwc", [right], perm=[0, 2, 3, 1])
    x = net.add("Relu", "join/relu", [net.add("Concat", "join/concat", [left, right], axis=3)])

    x = net.normalization("head/bn", net.convolution("head", x, 28, 20, 1), 20)
    x = net.add("Relu", "head/relu", [x])
    x = net.add("Reshape", "flatten/Reshape", [x, net.weight("flatten/shape", np.array([-1, 4 * 4 * 20]))])
    x = net.add("Relu", "hidden/relu", [net.dense("hidden", x, 4 * 4 * 20, 32)])
    net.add("Softmax", "probabilities", [net.dense("classes", x, 32, 10)], axis=-1)

    graph = helper.make_graph(
        net.nodes,
        "keras",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 16, 16, 3])],
        [helper.make_tensor_value_info("probabilities:0", TensorProto.FLOAT, ["batch", 10])],
        net.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
