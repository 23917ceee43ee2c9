"""Models that are long, wide or out of order: no recursion as deep as they are long, and no time that explodes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import irprune
from irprune.cli import run
from irprune.frontends.onnx import import_model

FRAMES = 90
"""Frames of Python that pruning, verifying and the libraries below may nest, whatever the model."""

LENGTH = FRAMES + 30


@contextmanager
def shallow() -> Iterator[None]:
    """Run with little more of the stack than the caller already has."""
    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + FRAMES)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Chain:
    """A model in the making: rows of ``width`` numbers go in, rows of four come out."""

    def __init__(self, width: int = 8) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.functions: list[onnx.FunctionProto] = []
        self.width = width

    def op(self, kind: str, *inputs: str, to: str = "", **attributes: object) -> str:
        name = to or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, *shape: int) -> str:
        array = self.random.standard_normal(shape) / np.sqrt(shape[0])
        return self.store(array.astype(np.float32))

    def ints(self, *values: int) -> str:
        return self.store(np.array(values, dtype=np.int64))

    def store(self, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(array, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def linear(self, value: str, before: int, after: int, to: str = "") -> str:
        return self.op("MatMul", value, self.weight(before, after), to=to)

    def model(self, last: str, width: int, shape: tuple[int | str, ...] = ("N", 4)) -> onnx.ModelProto:
        self.linear(last, width, 4, to="y")
        return self.ending(shape, ("N", self.width))

    def ending(self, shape: tuple[int | str, ...], entering: tuple[int | str, ...]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "long",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, entering)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
            self.weights,
        )
        opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid("own", 1)] if self.functions else [])]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=self.functions)


def plain(length: int) -> onnx.ModelProto:
    chain = Chain()
    value = chain.linear("x", 8, 8)
    for k in range(length):
        value = chain.op(("Relu", "Neg", "Abs")[k % 3], value)
    return chain.model(value, 8)


def residual(length: int) -> onnx.ModelProto:
    """Blocks whose result comes first in the sum: each ties a new axis to the one before."""
    chain = Chain()
    value = chain.linear("x", 8, 8)
    for _ in range(length):
        inner = chain.linear(chain.op("Relu", chain.linear(value, 8, 8)), 8, 8)
        value = chain.op("Add", inner, value)
    return chain.model(value, 8)


def post_norm(length: int) -> onnx.ModelProto:
    chain = Chain()
    value = chain.linear("x", 8, 8)
    for _ in range(length):
        added = chain.op("Add", chain.linear(value, 8, 8), value)
        value = chain.op("LayerNormalization", added, chain.weight(8), chain.weight(8))
    return chain.model(value, 8)


def parts(length: int) -> onnx.ModelProto:
    """One Split into many parts, and one Concat of them."""
    chain = Chain()
    value = chain.linear("x", 8, 2 * length)
    names = [f"part{k}" for k in range(length)]
    chain.nodes.append(helper.make_node("Split", [value, chain.ints(*[2] * length)], names, axis=1))
    return chain.model(chain.op("Concat", *names, axis=1), 2 * length)


def readers(length: int) -> onnx.ModelProto:
    """One value that many nodes read, and one node that reads all of their results."""
    chain = Chain()
    value = chain.linear("x", 8, 8)
    return chain.model(chain.op("Sum", *(chain.linear(value, 8, 4) for _ in range(length))), 4)


def loops(length: int) -> onnx.ModelProto:
    chain = Chain()
    value, trip = chain.linear("x", 8, 8), chain.store(np.array(2, dtype=np.int64))
    for k in range(length):
        state, step, on = f"state{k}", f"step{k}", f"on{k}"
        body = helper.make_graph(
            [
                helper.make_node("MatMul", [state, chain.weight(8, 8)], [f"m{k}"]),
                helper.make_node("Tanh", [f"m{k}"], [f"t{k}"]),
                helper.make_node("Identity", [on], [f"still{k}"]),
            ],
            "body",
            [
                helper.make_tensor_value_info(step, TensorProto.INT64, []),
                helper.make_tensor_value_info(on, TensorProto.BOOL, []),
                helper.make_tensor_value_info(state, TensorProto.FLOAT, ["N", 8]),
            ],
            [
                helper.make_tensor_value_info(f"still{k}", TensorProto.BOOL, []),
                helper.make_tensor_value_info(f"t{k}", TensorProto.FLOAT, ["N", 8]),
            ],
        )
        value = chain.op("Loop", trip, "", value, body=body)
    return chain.model(value, 8)


def sizes(length: int) -> onnx.ModelProto:
    """A shape operand at the end of a chain of shape arithmetic."""
    chain = Chain()
    value = chain.linear("x", 8, 8)
    size = chain.op("Shape", value)
    for k in range(length):
        size = chain.op("Add" if k % 2 else "Sub", size, chain.ints(1, 1))
    return chain.model(chain.op("Reshape", chain.op("Relu", value), size), 8)


def framing(frames: int, hop: int = 4) -> onnx.ModelProto:
    """Frames that overlap by half: two shifted slices of one signal, each viewed as frames, side by side."""
    chain = Chain((frames + 1) * hop)
    first = chain.op("Slice", "x", chain.ints(0), chain.ints(frames * hop), chain.ints(1))
    second = chain.op("Slice", "x", chain.ints(hop), chain.ints(1 << 62), chain.ints(1))
    view = chain.ints(-1, frames, hop)
    value = chain.op("Concat", chain.op("Reshape", first, view), chain.op("Reshape", second, view), axis=2)
    value = chain.op("Relu", chain.linear(value, 2 * hop, 16))
    return chain.model(value, 16, ("N", frames, 4))


def dense(length: int) -> onnx.ModelProto:
    chain = Chain()
    value = chain.linear("x", 8, 4)
    for k in range(length):
        value = chain.op("Concat", value, chain.op("Relu", chain.linear(value, 4 * (k + 1), 4)), axis=1)
    return chain.model(value, 4 * (length + 1))


def doubled(times: int, axis: int) -> onnx.ModelProto:
    """A value that is concatenated with itself, again and again; behind it, layers that have nothing to do with it."""
    chain = Chain()
    value = chain.linear("x", 8, 16)
    for _ in range(times):
        value = chain.op("Concat", value, value, axis=axis)
    largest = chain.op("ReduceMax", value, axes=[axis], keepdims=1)
    value = chain.op("Add", largest, chain.op("Relu", chain.linear("x", 8, 16)))
    return chain.model(value, 16)


def backwards(model: onnx.ModelProto) -> onnx.ModelProto:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


MODELS = {f.__name__: f for f in (plain, residual, post_norm, parts, readers, loops, sizes, framing)}


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Importing modules nests frames too; what the models need is imported by a small one."""
    irprune.prune(plain(3), ratio=0.5)


@pytest.mark.parametrize("kind", MODELS)
def test_no_recursion_is_as_deep_as_the_model_is_long(kind: str) -> None:
    model = MODELS[kind](LENGTH)
    with shallow():
        result = irprune.prune(model, ratio=0.5)
    assert result.report is not None and result.report.ok
    assert result.plan.cost_after.params < result.plan.cost_before.params


def test_nodes_out_of_order_take_no_longer() -> None:
    """Sorting in rounds took 24 s for 4,000 nodes, most of the time of the whole command."""

    def seconds(model: onnx.ModelProto) -> float:
        given = onnx_ir.from_proto(model)
        started = time.process_time()
        import_model(given)
        return time.process_time() - started

    seconds(plain(10))
    assert seconds(backwards(plain(3000))) < 10 * seconds(plain(3000)) + 2  # in rounds it was two hundred times


@pytest.mark.parametrize("make", [plain, loops])
def test_nodes_out_of_order_are_verified(make: Callable[[int], onnx.ModelProto], tmp_path: Path) -> None:
    """From a file, as the command line does it: what is read and what is compared are read apart."""
    onnx.save(backwards(make(6)), tmp_path / "model.onnx")
    words = ["prune", str(tmp_path / "model.onnx"), "-o", str(tmp_path / "small.onnx"), "--ratio", "0.5"]
    assert run([*words, "--align", "1"]) == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_values_that_double_take_no_time_that_doubles(axis: int) -> None:
    """Forty of them: two to the forty parts, or a sum of sizes with that many terms."""
    result = irprune.prune(doubled(40, axis), ratio=0.5, verify=False)  # parts in the trillions would not end
    assert result.plan.cost_after.params < result.plan.cost_before.params


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "length"),
    [("plain", 100_000), ("residual", 3000), ("post_norm", 3000), ("loops", 3000), ("framing", 20_000), ("dense", 500)],
)
def test_thousands(kind: str, length: int) -> None:
    model = {**MODELS, "dense": dense}[kind](length)
    result = irprune.prune(model, ratio=0.5, verify=False)
    assert result.plan.cost_after.params < result.plan.cost_before.params
