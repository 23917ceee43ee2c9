"""What every generator of random models shares: nodes, weights and draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper

Draw = Callable[[st.SearchStrategy[int]], int]
OPSET = 20


@dataclass
class Building:
    """Nodes and weights of a graph in the making, and where its random numbers come from."""

    draw: Draw
    nodes: list[onnx.NodeProto] = field(default_factory=list, kw_only=True)
    weights: list[onnx.TensorProto] = field(default_factory=list, kw_only=True)
    serial: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.integer(0, 1 << 16))

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def choice(self, options: Sequence[str]) -> str:
        return options[self.integer(0, len(options) - 1)]

    def choice_of(self, *numbers: int) -> int:
        return numbers[self.integer(0, len(numbers) - 1)]

    def weight(self, *shape: int, positive: bool = False) -> str:
        scale = 1.0 / np.sqrt(max(1, int(np.prod(shape[1:]))))
        array = self.random.uniform(0.5, 1.5, shape) if positive else self.random.standard_normal(shape) * scale
        return self.store(array.astype(np.float32), "w")

    def ints(self, *values: int) -> str:
        return self.store(np.array(values, dtype=np.int64), "k")

    def scalar(self, value: int) -> str:
        return self.store(np.array(value, dtype=np.int64), "k")

    def store(self, array: np.ndarray, prefix: str) -> str:
        name = f"{prefix}{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def op(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node with one result, whose name is returned; with more, names are ``name``, ``name_1``, ..."""
        name, self.serial = f"v{self.serial}", self.serial + 1
        results = [name, *(f"{name}_{k}" for k in range(1, outputs))]
        self.nodes.append(helper.make_node(op, list(inputs), results, f"{name}_{op}", **attributes))
        return name

    def finish(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "random", inputs, outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
