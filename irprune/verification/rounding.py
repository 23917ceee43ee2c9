"""Quantized models without their rounding, so that they can be compared tightly.

    y = DequantizeLinear(QuantizeLinear(x, s, z), s, z)   becomes   y = min(max(x, s * (low - z)), s * (high - z))

A sum added up in another order may land on the other side of a rounding, and one such flip sets off others. Measured
on an int8 ResNet-20: of 120 correct removals 13 (optimizations off) and 20 (on) differ from the reference by one step
of the output or two, while 5 of 21 planted faults stay within two steps. No number of steps tells them apart. Without
the rounding, and with the saturation kept, both sides are continuous and the tolerance of their float type applies.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from ..ir.core import Array
from ..runtime.weights import read_tensor
from ..signatures import traits_of

_PREFIX = "irprune_rounding/"


def is_rounded(graph: onnx.GraphProto) -> bool:
    """Whether activations are rounded to a few levels anywhere in a graph, its bodies apart."""
    others = [node for node in graph.node if node.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    traits = [traits_of(node.op_type, node.domain) for node in others]
    return bool(_rounded(graph)) or any(facts.quantization or facts.zero_points for facts in traits)


def without_rounding(proto: onnx.ModelProto, folder: Path | None) -> onnx.ModelProto | None:
    """The model with every rounded activation only saturated.

    Rounded values may be moved before they reach DequantizeLinear (int8 models converted from TFLite): floats are moved
    in the same way then. ``None`` where nothing is rounded, or where rounded values are used in any other way, or are
    scaled along an axis or by a number known only at run time: such models are compared as they are.
    """
    rounded = _rounded(proto.graph)
    moved = _moved(proto.graph, rounded)
    if not rounded or moved is None:
        return None
    rounded |= moved
    if rounded & {output.name for output in proto.graph.output}:
        return None
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.node[:], copy.graph.value_info[:]
    for node in proto.graph.node:
        if node.op_type == "QuantizeLinear" and node.output[0] in rounded:
            if any(name and name not in constants for name in node.input[1:]):
                return None
            operands = [read_tensor(constants[n], folder) for n in node.input[1:] if n]
            if operands[0].size != 1 or (len(operands) > 1 and operands[1].dtype.kind not in "iu"):
                return None
            _saturate(copy.graph, node, operands)
        elif node.op_type == "DequantizeLinear" and node.input[0] in rounded:
            copy.graph.node.append(
                onnx.helper.make_node("Identity", [node.input[0]], list(node.output), name=node.name)
            )
        else:
            copy.graph.node.append(node)
    for node in copy.graph.node:
        if node.op_type == "Pad" and node.input[0] in rounded and _mode(node, "constant") == "constant":
            fill = _fill(proto.graph, node, constants, folder)
            if fill is None:
                return None
            fill.name = f"{_PREFIX}{node.output[0]}/fill"
            copy.graph.initializer.append(fill)
            names = [*node.input[:2], fill.name, *node.input[3:]]
            del node.input[:]
            node.input.extend(names)
    return copy


def _moved(graph: onnx.GraphProto, rounded: set[str]) -> set[str] | None:
    """Rounded values that were moved on their way to DequantizeLinear; ``None`` where they are used otherwise."""
    moved = set[str]()
    for node in graph.node:
        held = [name in rounded or name in moved for name in node.input]
        if not any(held) or node.op_type == "DequantizeLinear":
            continue
        traits = traits_of(node.op_type, node.domain)
        data = len(held) if traits.combines == "join" else 1
        nearest = node.op_type == "Resize" and _mode(node, "nearest") == "nearest"
        # A greater integer stands for a greater number: what picks the greatest moves it.
        moves = traits.hands_on(0) or traits.hides == "pick" or nearest
        if not moves or not all(held[:data]) or any(held[data:]):
            return None
        moved |= set(node.output)
    return moved


def _mode(node: onnx.NodeProto, default: str) -> str:
    return next((attribute.s.decode() for attribute in node.attribute if attribute.name == "mode"), default)


def _fill(
    graph: onnx.GraphProto, node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], folder: Path | None
) -> onnx.TensorProto | None:
    """The number that the integer stands for with which Pad fills; ``None`` where that is not known."""
    makers = {name: maker for maker in graph.node for name in maker.output}
    maker = makers.get(node.input[0])
    while maker is not None and maker.op_type != "QuantizeLinear":
        maker = makers.get(maker.input[0])
    given = [name for name in node.input[2:3] if name]
    if maker is None or not all(name in constants for name in (*maker.input[1:3], *given)):
        return None
    scale, *point = (read_tensor(constants[name], folder) for name in maker.input[1:3])
    zero = int(point[0].item()) if point else 0
    filled = int(read_tensor(constants[given[0]], folder).item()) if given else 0
    value = (filled - zero) * scale.reshape(()).astype(np.float64)
    return numpy_helper.from_array(np.asarray(value, scale.dtype))


def _rounded(graph: onnx.GraphProto) -> set[str]:
    """Values that QuantizeLinear computes from activations; quantized constants are the same numbers in every model."""
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    return {node.output[0] for node in quantizers if node.input[0] not in constants}


def _saturate(graph: onnx.GraphProto, node: onnx.NodeProto, operands: list[Array]) -> None:
    scale = operands[0]
    point = operands[1] if len(operands) > 1 else np.zeros((), np.uint8)
    limits = np.iinfo(str(point.dtype))
    below, name = f"{_PREFIX}{node.output[0]}", node.output[0]
    for op, limit, operand, result in (("Max", limits.min, node.input[0], below), ("Min", limits.max, below, name)):
        bound = scale.astype(np.float64) * (limit - point.astype(np.float64))
        shaped = bound.astype(scale.dtype).reshape(())
        graph.initializer.append(numpy_helper.from_array(shaped, f"{result}{_PREFIX}{op}"))
        graph.node.append(onnx.helper.make_node(op, [operand, f"{result}{_PREFIX}{op}"], [result]))
