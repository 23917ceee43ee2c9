"""Multiply-accumulates in bodies count once for each iteration, where the number of these is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import irprune
from irprune.api import analyze_model, open_model
from irprune.cli import run
from irprune.request import Request
from tests.golden.helpers.models import model_of

LOOP = """(float[1, 8] x, int64 n) => (float[1, 4] y) <float[8, 8] r, float[8, 4] o, int64 trips = {5}, bool go = {1}>
{ last = Loop (%s, %s, x) <body = b (int64 step, bool on, float[1, 8] state) => (bool again, float[1, 8] next)
    { again = Identity(on) m = MatMul(state, r) next = Tanh(m) }>
  y = MatMul(last, o) }"""

STOPS = """(float[1, 8] x) => (float[1, 4] y)
<float[8, 8] r, float[8, 4] o, int64 trips = {5}, bool go = {1}, float one = {1}>
{ last = Loop (trips, go, x) <body = b (int64 step, bool on, float[1, 8] state) => (bool again, float[1, 8] next)
    { m = MatMul(state, r) next = Tanh(m) most = ReduceMax<keepdims = 0>(next) again = Less(most, one) }>
  y = MatMul(last, o) }"""

SCAN = """(float[1, 8] h, float[T, 1, 6] x) => (float[1, 4] y) <float[6, 8] w, float[8, 8] r, float[8, 4] o>
{ last, all = Scan <num_scan_inputs = 1, body = b (float[1, 8] state, float[1, 6] part)
      => (float[1, 8] next, float[1, 8] seen)
    { a = MatMul(part, w) c = MatMul(state, r) s = Add(a, c) next = Tanh(s) seen = Identity(next) }> (h, x)
  y = MatMul(last, o) }"""

SIZED = """(float[T, 1, 8] x) => (float[1, 4] y) <float[8, 8] r, float[8, 4] o, bool go = {1}, int64 zero = {0},
    float[1, 8] first>
{ shape = Shape(x) trips = Gather(shape, zero)
  last = Loop (trips, go, first) <body = b (int64 step, bool on, float[1, 8] state) => (bool again, float[1, 8] next)
    { again = Identity(on) m = MatMul(state, r) next = Tanh(m) }>
  y = MatMul(last, o) }"""


def macs(text: str, **options: object) -> tuple[int, tuple[str, ...]]:
    analysis = analyze_model(open_model(model_of(text)), Request.given(options))
    return analysis.cost_model({}).macs, analysis.coupling.iterations.unknown


@pytest.mark.parametrize("condition", ["go", ""])
def test_a_loop_of_known_length(condition: str) -> None:
    assert macs(LOOP % ("trips", condition)) == (5 * 64 + 32, ())


@pytest.mark.parametrize("text", [LOOP % ("n", "go"), STOPS, (LOOP % ("trips", "go")).replace("{5}", "{-1}")])
def test_a_loop_whose_length_only_a_run_tells(text: str) -> None:
    found, unknown = macs(text)
    assert found == 64 + 32
    assert len(unknown) == 1


def test_a_scan_runs_once_for_each_element() -> None:
    assert macs(SCAN, sizes={"T": 7}) == (7 * (48 + 64) + 32, ())


def test_a_loop_as_long_as_an_input() -> None:
    assert macs(SIZED, sizes={"T": 9}) == (9 * 64 + 32, ())


def test_loops_in_loops() -> None:
    """Five times three."""

    def value(name: str, kind: int, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    flags = [value("i", onnx.TensorProto.INT64), value("on", onnx.TensorProto.BOOL)]

    def body(name: str, nodes: list[onnx.NodeProto], state: str, result: str) -> onnx.GraphProto:
        ends = (value(state, 1, 1, 8), value(result, 1, 1, 8))
        named = [onnx.ValueInfoProto.FromString(flag.SerializeToString()) for flag in flags]
        for flag in named:
            flag.name += name
        again = helper.make_node("Identity", [named[1].name], [f"again{name}"])
        result_flag = value(f"again{name}", onnx.TensorProto.BOOL)
        return helper.make_graph([again, *nodes], name, [*named, ends[0]], [result_flag, ends[1]])

    inner = body("inner", [helper.make_node("MatMul", ["s2", "r"], ["n2"])], "s2", "n2")
    outer = body("outer", [helper.make_node("Loop", ["three", "", "s1"], ["n1"], body=inner, name="in")], "s1", "n1")
    nodes = [helper.make_node("Loop", ["five", "", "x"], ["y"], body=outer, name="out")]
    weights = [
        numpy_helper.from_array(np.ones((8, 8), np.float32), "r"),
        numpy_helper.from_array(np.array(3, np.int64), "three"),
        numpy_helper.from_array(np.array(5, np.int64), "five"),
    ]
    graph = helper.make_graph(nodes, "g", [value("x", 1, 1, 8)], [value("y", 1, 1, 8)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    assert analyze_model(open_model(model)).cost_model({}).macs == 15 * 64


def test_a_target_counts_iterations() -> None:
    """With n channels the model has 7 (6 n + n n) + 4 n multiply-accumulates: of 8 channels 5 stay."""
    plan = irprune.plan(model_of(SCAN), macs=0.5, sizes={"T": 7}, allow_io="h", align=1)
    assert plan.cost["macs"] == (816, 405)


def test_what_counts_once_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(model_of(STOPS), tmp_path / "m.onnx")
    assert run(["inspect", str(tmp_path / "m.onnx")]) == 0
    assert "per iteration in 1 loop whose number of iterations" in " ".join(capsys.readouterr().out.split())
    assert run(["inspect", str(tmp_path / "m.onnx"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["counted_per_iteration"]) == 1
