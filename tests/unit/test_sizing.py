"""Costs at the sizes of a run: compared with the shapes that ONNX Runtime shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import irprune
from irprune.analysis import Analysis
from irprune.api import analyze_model, graph_of, open_model
from irprune.cli import run
from irprune.cli.opt import sizes_of
from irprune.errors import InputError
from irprune.passes import State, parse_pipeline, run_pipeline
from irprune.passes.prune import Prune
from irprune.request import Request
from tests.golden.helpers.models import model_of

DETECTOR = """(float[batch, 3, height, width] image) => (float[batch, n, 4] boxes)
<float[8, 3, 3, 3] a, float[16, 8, 3, 3] b, float[16, 16, 1, 1] c, float[4, 32, 1, 1] d, float[4] scales = {1, 1, 2, 2},
 int64[3] flat = {0, 4, -1}>
{ p = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(image, a) q = Relu(p)
  r = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(q, b) s = Relu(r) t = Conv(s, c)
  u = Resize(t, , scales) v = Resize(s, , scales) w = Concat<axis = 1>(u, v) x = Conv(w, d)
  y = Reshape(x, flat) boxes = Transpose<perm = [0, 2, 1]>(y) }"""

ENCODER = """(float[batch, time, 6] x) => (float[batch, time, 6] y)
<float[6, 8] wq, float[6, 8] wk, float[6, 8] wv, float[8, 6] wo>
{ q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) kt = Transpose<perm = [0, 2, 1]>(k) s = MatMul(q, kt)
  p = Softmax(s) o = MatMul(p, v) y = MatMul(o, wo) }"""


def observed_macs(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> int:
    """What Conv and MatMul multiply in one run, from the shapes that ONNX Runtime shows."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    wanted = [node for node in model.graph.node if node.op_type in ("Conv", "MatMul")]
    names = {name for node in wanted for name in (node.input[0], node.output[0])} - feeds.keys()
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(names))
    session = ort.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    values = {**feeds, **dict(zip(sorted(names), session.run(sorted(names), feeds), strict=True))}
    total = 0
    for node in wanted:
        inner = np.prod(weights[node.input[1]][1:]) if node.op_type == "Conv" else values[node.input[0]].shape[-1]
        total += int(values[node.output[0]].size * inner)
    return total


def sized(model: onnx.ModelProto, **options: object) -> Analysis:
    return analyze_model(open_model(model), Request(**options))


@pytest.mark.parametrize("side", [(64, 64), (96, 160), (37, 50)])
def test_derived_sizes_are_those_of_a_run(side: tuple[int, int]) -> None:
    """Strides round, a Resize doubles, and a Reshape merges both sides."""
    model = model_of(DETECTOR)
    shape = (1, 3, *side)
    found = sized(model, shapes={"image": shape})
    assert found.at == {"image": shape}
    assert found.cost_model({}).macs == observed_macs(model, {"image": np.zeros(shape, np.float32)})


def test_products_of_activations_grow_with_the_square_of_an_open_size() -> None:
    model = model_of(ENCODER)
    short, long = (sized(model, sizes={"time": time}).cost_model({}).macs for time in (10, 20))
    assert short == observed_macs(model, {"x": np.zeros((1, 10, 6), np.float32)})
    assert long == observed_macs(model, {"x": np.zeros((1, 20, 6), np.float32)})
    assert long > 2 * short


def test_the_batch_counts_once() -> None:
    costs = [sized(model_of(ENCODER), shapes={"x": (batch, 10, 6)}) for batch in (1, 8)]
    assert costs[0].cost_model({}) == costs[1].cost_model({})
    assert costs[1].at == {"x": (1, 10, 6)}


def test_sizes_that_nobody_gave_are_such_that_the_model_runs() -> None:
    """Of a model with a fixed classifier only one size of the image does."""
    text = """(float[batch, 2, height, width] x) => (float[batch, 5] y)
        <float[4, 2, 3, 3] a, float[784, 5] b, int64[2] flat = {0, -1}>
        { c = Conv<strides = [16, 16], pads = [1, 1, 1, 1]>(x, a) r = Relu(c) f = Reshape(r, flat) y = MatMul(f, b) }"""
    model = model_of(text)
    found = sized(model)
    assert found.at == {"x": (1, 2, 224, 224)}
    assert found.cost_model({}).macs == observed_macs(model, {"x": np.zeros((1, 2, 224, 224), np.float32)})
    assert found.cost_model.unknown == frozenset()


def test_a_model_that_runs_at_no_size_that_is_tried_counts_them_as_one_and_names_them() -> None:
    text = """(float[1, 2, height, width] x) => (float[1, 5] y)
        <float[4, 2, 1, 1] a, float[396, 5] b, int64[2] flat = {1, -1}>
        { c = Conv(x, a) f = Reshape(c, flat) y = MatMul(f, b) }"""
    found = sized(model_of(text))
    assert (found.at, found.cost_model.unknown) == ({}, {"height", "width"})
    assert sized(model_of(text), shapes={"x": (1, 2, 9, 11)}).cost_model.unknown == frozenset()


def test_sizes_without_a_name() -> None:
    model = model_of(ENCODER)
    for dim in model.graph.input[0].type.tensor_type.shape.dim[:2]:
        dim.Clear()
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    named = sized(model_of(ENCODER), sizes={"time": 10}).cost_model({})
    assert sized(model, shapes={"x": (1, 10, 6)}).cost_model({}) == named
    assert sized(model, sizes={"x:1": 10}).cost_model({}) == named


def test_sizes_that_depend_on_data_are_read_from_a_run() -> None:
    text = """(float[rows, 6] x) => (float[count, 4] y) <float[6, 4] w, int64[2] shape = {-1, 6}>
        { i = NonZero(x) t = Transpose<perm = [1, 0]>(i) f = Cast<to = 1>(t) z = MatMul(f, v) g = Concat<axis = 1>(z, z)
          y = MatMul(g, w) }""".replace("float[6, 4] w", "float[6, 4] w, float[2, 3] v")
    found = sized(model_of(text), sizes={"rows": 7})
    assert found.cost_model({}).macs == 42 * 2 * 3 + 42 * 6 * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": {"z": (1, 2)}}, "there is no input of that name; the inputs are x"),
        ({"shapes": {"x": (1, 2)}}, r"expected 3 sizes, for \[batch, time, 6\], got \[1, 2\]"),
        ({"shapes": {"x": (1, 2, 7)}}, r"the model declares \[batch, time, 6\], got \[1, 2, 7\]"),
        ({"sizes": {"z": 3}}, "there is no open size of that name; the open sizes are batch, time"),
        ({"sizes": {"time": 3}, "shapes": {"x": (1, 2, 6)}}, "time is 3 elsewhere, got 2"),
    ],
)
def test_sizes_that_the_model_does_not_have(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sized(model_of(ENCODER), **options)


def test_a_detector_with_open_sides(shared_models: Path) -> None:
    """The published model has fixed ones: opened up, it costs the same where they are given."""
    path = shared_models / "dog-qiuqiu__FastestDet__FastestDet.onnx"
    fixed = sized(onnx.load(path)).cost_model({})
    model = onnx.load(path)
    sides = model.graph.input[0].type.tensor_type.shape.dim
    for dim, name in zip(sides, ("batch", None, "height", "width"), strict=True):
        if name:
            dim.dim_param = name
    found = sized(model, shapes={"input.1": (2, 3, 352, 352)})
    assert found.cost_model({}) == fixed
    assert fixed.macs > 100_000_000


def test_verification_runs_at_the_size_that_was_asked_for() -> None:
    """A model that runs at no other size can be verified there."""
    text = """(float[1, 2, height, width] x) => (float[1, 5] y)
        <float[4, 2, 1, 1] a, float[4, 4, 1, 1] c, float[396, 5] b, int64[2] flat = {1, -1}>
        { p = Conv(x, a) r = Relu(p) q = Conv(r, c) f = Reshape(q, flat) y = MatMul(f, b) }"""
    with pytest.raises(InputError, match="cannot run the original model"):
        irprune.prune(model_of(text), ratio=0.5)
    result = irprune.prune(model_of(text), ratio=0.5, shapes={"x": (1, 2, 9, 11)})
    assert result.report is not None
    assert result.report.ok
    assert any("height=9, width=11" in case for case in result.report.equivalence.cases)
    assert result.plan.request.shapes == {"x": (1, 2, 9, 11)}


def test_verification_adds_the_size_that_was_asked_for_to_its_own() -> None:
    result = irprune.prune(model_of(ENCODER), ratio=0.5, sizes={"time": 11})
    assert result.report is not None
    cases = " ".join(result.report.equivalence.cases)
    assert "time=11" in cases
    assert "time=8" in cases


def test_verify_runs_at_other_sizes_than_the_plan_names(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("model.onnx", "small.onnx", "plan.json", "report.json")]
    onnx.save(model_of(ENCODER), paths[0])
    result = irprune.prune(paths[0], paths[1], ratio=0.5, sizes={"time": 11})
    result.plan.save(paths[2])
    report = irprune.verify(paths[0], paths[1], result.plan, shapes={"x": (2, 13, 6)})
    assert any("batch=2, time=13" in case for case in report.equivalence.cases)
    options = ["--plan", str(paths[2]), "--json", str(paths[3]), "--size", "time=17"]
    assert run(["verify", str(paths[0]), str(paths[1]), *options]) == 0
    assert "time=17" in paths[3].read_text()
    assert run(["verify", str(paths[0]), str(paths[1]), "--plan", str(paths[2]), "--size", "tim=17"]) == 2


def test_a_pipeline_counts_at_sizes_too() -> None:
    source = open_model(model_of(ENCODER))
    passes = parse_pipeline("fold,prune{macs=0.5,sizes='time=10'}")
    sizes, at = sizes_of(source, graph_of(source), passes)
    done = run_pipeline(passes, State(graph_of(source), sizes=sizes, at=at))
    assert done.plan is not None
    assert done.plan.at == {"x": (1, 10, 6)}
    assert done.plan.cost_before == sized(model_of(ENCODER), sizes={"time": 10}).cost_model({})
    assert sizes_of(source, graph_of(source), parse_pipeline("fold")) == ({}, {})


def test_shapes_and_sizes_in_the_text_of_a_pipeline() -> None:
    text = "prune{macs=0.5,shapes=['x=1,3,4','y=2'],sizes='time=7'}"
    (made,) = parse_pipeline(text)
    assert isinstance(made, Prune)
    assert made.request.shapes == {"x": (1, 3, 4), "y": (2,)}
    assert made.request.sizes == {"time": 7}
    assert parse_pipeline(str(made)) == (made,)
