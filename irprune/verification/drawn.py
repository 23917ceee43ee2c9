"""Fixed numbers in the place of random ones, so that a model gives the same results in every run.

::

    y = RandomUniformLike(x)   ->   n = Range(0, Size(x)); u = n * phi - Floor(n * phi); y = Reshape(u, Shape(x))

Multiples of the golden ratio, less their whole part, are spread evenly over the interval from zero to one (Weyl), and
are the same numbers whatever else a run computes. Axes of random numbers are frozen, so a model and the smaller one get
the same. Instead of a normal distribution there is an even one of the same mean and variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..ir.core import Array
from ..runtime.executable import Executable
from ..signatures import traits_of

PREFIX = "irprune_drawn/"
_FIRST_OPSET = 11
"""Range came with it."""

_GOLDEN = (math.sqrt(5) - 1) / 2


def with_fixed_draws(model: Executable) -> tuple[Executable, tuple[str, ...]]:
    """The model with fixed numbers for the random ones that it draws, and a line on it; unchanged if it draws none."""
    drawn = any(_is_drawn(node) for graph in _graphs(model.proto.graph) for node in graph.node)
    if not drawn or _opset(model) < _FIRST_OPSET:
        return model, ()
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    count = sum(_settle(graph, _types(model.proto)) for graph in _graphs(proto.graph))
    line = f"{count} nodes draw random numbers: fixed ones took their place in every model that was run"
    return Executable(proto, model.data_folder, model.scratch), (line,)


def _opset(model: Executable) -> int:
    return max((entry.version for entry in model.proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def _types(proto: onnx.ModelProto) -> dict[str, int]:
    """The element types that inference finds, by name; one name in two bodies has one of their types."""
    inferred = onnx.shape_inference.infer_shapes(proto)
    found: dict[str, int] = {}
    for graph in _graphs(inferred.graph):
        for info in (*graph.input, *graph.value_info, *graph.output):
            found[info.name] = info.type.tensor_type.elem_type
        found.update((tensor.name, tensor.data_type) for tensor in graph.initializer)
    return found


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and the bodies of its control flow."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield current
        for node in current.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else attribute.graphs


def _is_drawn(node: onnx.NodeProto) -> bool:
    return traits_of(node.op_type, node.domain).random and node.op_type in _DRAWS


def _settle(graph: onnx.GraphProto, types: Mapping[str, int]) -> int:
    nodes: list[onnx.NodeProto] = []
    count = 0
    for node in graph.node:
        if _is_drawn(node):
            writer = _Writer(node, types)
            _DRAWS[node.op_type](writer)
            nodes += writer.nodes
            count += 1
        else:
            nodes.append(node)
    if count:
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
    return count


@dataclass
class _Writer:
    """Writes the nodes that take the place of one."""

    node: onnx.NodeProto
    types: Mapping[str, int]
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    @property
    def given(self) -> str:
        return str(self.node.input[0])

    def attribute(self, name: str, default: float) -> float:
        return next((float(helper.get_attribute_value(a)) for a in self.node.attribute if a.name == name), default)

    @property
    def dtype(self) -> int:
        given = self.types.get(self.given, 0) if self.node.input else 0
        return int(self.attribute("dtype", 0)) or given or TensorProto.FLOAT

    def add(self, op: str, *inputs: str, result: str = "", **attributes: int) -> str:
        name = result or f"{PREFIX}{self.node.output[0]}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"{PREFIX}{name}/{op}"))
        self.nodes[-1].attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        return name

    def constant(self, array: Array) -> str:
        name = f"{PREFIX}{self.node.output[0]}/{len(self.nodes)}"
        value = numpy_helper.from_array(array, name)
        self.nodes.append(helper.make_node("Constant", [], [name], name=f"{PREFIX}{name}/Constant", value=value))
        return name

    def even(self, low: float, high: float) -> str:
        """Numbers in double precision, from ``low`` up to ``high``, in the shape of the operand."""
        count = self.add("Size", self.given)
        numbers = self.add("Range", self.constant(np.array(0)), count, self.constant(np.array(1)))
        steps = self.add("Cast", numbers, to=TensorProto.DOUBLE)
        places = self.add("Mul", steps, self.constant(np.array(_GOLDEN)))
        parts = self.add("Sub", places, self.add("Floor", places))
        spread = self.add("Mul", parts, self.constant(np.array(high - low)))
        moved = self.add("Add", spread, self.constant(np.array(low)))
        return self.add("Reshape", moved, self.add("Shape", self.given))

    def finish(self, value: str) -> None:
        """Hand a value out as the result of the node, in its type."""
        self.add("Cast", value, result=self.node.output[0], to=self.dtype)


def _bounds(writer: _Writer, *, normal: bool) -> tuple[float, float]:
    if not normal:
        return writer.attribute("low", 0.0), writer.attribute("high", 1.0)
    mean, half = writer.attribute("mean", 0.0), math.sqrt(3) * writer.attribute("scale", 1.0)
    return mean - half, mean + half


def _like(normal: bool) -> Callable[[_Writer], None]:
    return lambda writer: writer.finish(writer.even(*_bounds(writer, normal=normal)))


def _shaped(normal: bool) -> Callable[[_Writer], None]:
    """Numbers in the shape that an attribute gives: a constant."""

    def write(writer: _Writer) -> None:
        shape = next(helper.get_attribute_value(a) for a in writer.node.attribute if a.name == "shape")
        low, high = _bounds(writer, normal=normal)
        numbers = low + (high - low) * (np.arange(math.prod(shape)) * _GOLDEN % 1.0)
        writer.finish(writer.constant(numbers.reshape(shape)))

    return write


def _chance(writer: _Writer) -> None:
    """Bernoulli: true where the number lies below the probability."""
    numbers = writer.even(0.0, 1.0)
    writer.finish(writer.add("Less", numbers, writer.add("Cast", writer.given, to=TensorProto.DOUBLE)))


_DRAWS: dict[str, Callable[[_Writer], None]] = {
    "Bernoulli": _chance,
    "RandomNormal": _shaped(normal=True),
    "RandomNormalLike": _like(normal=True),
    "RandomUniform": _shaped(normal=False),
    "RandomUniformLike": _like(normal=False),
}
