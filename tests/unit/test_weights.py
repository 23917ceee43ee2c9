"""Weights as their contraction reads them, and the way back into the tensors that the model stores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as oir
import pytest

import irprune
from irprune.analysis import analyze
from irprune.calibration.contractions import Contraction, contractions
from irprune.calibration.weights import NotStored, stored_weight
from irprune.frontends.onnx import import_model
from irprune.ir import Graph
from irprune.runtime.executable import Executable
from tests.golden.helpers.models import model_of

MOVED = """(float[2, 4] x) => (float[] y) <float[6, 4] w>
{ from = Constant<value_ints = [0]>() middle = Constant<value_ints = [2]>() to = Constant<value_ints = [6]>()
  a = Slice(w, middle, to, from) b = Slice(w, from, middle, from) c = Concat<axis = 0>(a, b)
  t = Transpose<perm = [1, 0]>(c) y = MatMul(x, t) }"""
QUANTIZED = """(float[2, 4] x) => (float[] y) <int8[4, 6] q, float[6] scale, int8[6] z>
{ w = DequantizeLinear<axis = 1>(q, scale, z) y = MatMul(x, w) }"""
SCALED = """(float[2, 4] x) => (float[] y) <float[4, 6] w, float[6] s> { v = Mul(w, s) y = MatMul(x, v) }"""
SHARED = """(float[2, 4] x) => (float[] y) <int8[4, 4] q, float scale>
{ w = DequantizeLinear(q, scale) h = MatMul(x, w) y = MatMul(h, w) }"""


def only(model: onnx.ModelProto) -> tuple[Graph, Contraction]:
    graph = import_model(oir.from_proto(model))
    (item,) = contractions(analyze(graph, ("*",))).values()
    return graph, item


@pytest.mark.parametrize("text", [MOVED, QUANTIZED], ids=["moved", "quantized"])
def test_the_weight_is_the_operand_that_onnx_runtime_computes(text: str) -> None:
    model = model_of(text)
    graph, item = only(model)
    x = np.random.default_rng(1).standard_normal((2, 4)).astype(np.float32)
    wanted = Executable(model).run({"x": x}, also=[item.constant])[item.constant]
    np.testing.assert_allclose(item.read(graph.constants), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("text", [MOVED, QUANTIZED], ids=["moved", "quantized"])
def test_what_is_written_is_read_again(text: str) -> None:
    """To half a step of the scales, where integers are stored."""
    model = model_of(text)
    graph, item = only(model)
    old = item.read(graph.constants)
    wanted = old[::-1].copy() if item.stored and item.stored.is_quantized else old + 1.0
    wanted = np.clip(wanted, old.min(), old.max()) if item.stored and item.stored.is_quantized else wanted
    (changed,) = item.write(wanted, graph.constants).items()
    for tensor in model.graph.initializer:
        if tensor.name == changed[0]:
            tensor.CopyFrom(onnx.numpy_helper.from_array(changed[1], tensor.name))
    again, same = only(model)
    steps = 1e-6 if item.stored is None or item.stored.scale is None else item.stored.scale / 2 + 1e-6
    assert (np.abs(same.read(again.constants) - wanted) <= steps).all()
    assert changed[1].dtype == graph.constants[changed[0]].numpy().dtype


def test_a_weight_that_is_computed_otherwise_is_none() -> None:
    assert contractions(analyze(import_model(oir.from_proto(model_of(SCALED))), ("*",))) == {}


def test_elements_that_two_nodes_read_are_not_changed() -> None:
    graph = import_model(oir.from_proto(model_of(SHARED)))
    assert [item.is_alone(graph) for item in contractions(analyze(graph, ("*",))).values()] == [False, False]
    graph, item = only(model_of(QUANTIZED))
    assert item.is_alone(graph)


def test_a_quantized_model_is_chosen_and_refitted_in_its_own_integers() -> None:
    rng = np.random.default_rng(0)
    text = """(float[N, 8] x) => (float[] y)
    <int8[8, 24] a, float[24] as, int8[24] az, float[24] ab, int8[24, 4] b, float[4] bs, int8[4] bz>
    { w = DequantizeLinear<axis = 1>(a, as, az) h = MatMul(x, w) k = Add(h, ab) r = Relu(k)
      v = DequantizeLinear<axis = 1>(b, bs, bz) y = MatMul(r, v) }"""
    numbers = {
        "a": rng.integers(-127, 128, (8, 24)).astype(np.int8),
        "b": rng.integers(-60, 60, (24, 4)).astype(np.int8),
        "as": np.full(24, 0.01, np.float32),
        "bs": np.full(4, 0.01, np.float32),
        "az": np.zeros(24, np.int8),
        "bz": np.zeros(4, np.int8),
    }
    model = model_of(text, numbers=numbers)
    feeds = [{"x": rng.standard_normal((64, 8)).astype(np.float32)} for _ in range(12)]
    results = [irprune.prune(model, macs=0.6, data=feeds[:10], align=1, repair=r) for r in ("reconstruct", "none")]
    errors = []
    for result in results:
        pairs = [[Executable(m).run(feed)["y"] for m in (model, result.model)] for feed in feeds[10:]]
        errors.append(np.mean([np.square(one - other).mean() for one, other in pairs]))
    assert "b" in results[0].plan.updated
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize(
    "way",
    [
        "i = Cast<to = 6>(w) v = Cast<to = 1>(i)",
        "s = SequenceConstruct(w, w) v = SequenceAt(s, z)",
        "train = Cast<to = 9>(z) v = Dropout(w, , train)",
    ],
)
def test_a_weight_that_is_rounded_in_a_sequence_or_drawn_is_not_stored(way: str) -> None:
    """The first is not what is stored; of the second ONNX Runtime makes a list, in which no element has a number."""
    text = f"(float[2, 4] x) => (float[] y) <float[4, 6] w, int64 z = {{1}}> {{ {way} y = MatMul(x, v) }}"
    graph = import_model(oir.from_proto(model_of(text)))
    with pytest.raises(NotStored):
        stored_weight(graph, "v")


def test_dropout_that_does_not_train_hands_the_weight_on() -> None:
    text = """(float[2, 4] x) => (float[] y) <float[4, 6] w, bool no = {0}> { v = Dropout(w, , no) y = MatMul(x, v) }"""
    assert stored_weight(import_model(oir.from_proto(model_of(text))), "v").tensors == ("w",)


def test_a_weight_whose_elements_change_places_is_not_read_in_the_old_order() -> None:
    graph = import_model(oir.from_proto(model_of(SCALED.replace("v = Mul(w, s)", "v = Identity(w)"))))
    (node,) = (node for node in graph.nodes if "v" in node.outputs)
    turned = replace(node, op="flipped", domain="aten", attributes={"axes": (0,)})
    graph = replace(graph, nodes=tuple(turned if each is node else each for each in graph.nodes))
    with pytest.raises(NotStored):
        stored_weight(graph, "v")
