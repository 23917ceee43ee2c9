"""Groups that a request settles one by one: positions to drop or to keep, and shares of their own."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import irprune
from irprune.analysis import Analysis
from irprune.cli import run
from irprune.errors import InputError, TargetError
from irprune.plans import make_plan
from irprune.request import Request
from tests.golden.helpers.models import analysis_of, model_of
from tests.golden.passes_support import normal

TWO = """(float[N, 4] x) => (float[N, 3] y) <float[4, 16] a, float[16, 8] b, float[8, 3] c> {
    h = MatMul(x, a) i = Relu(h) j = MatMul(i, b) k = Relu(j) y = MatMul(k, c) }"""

DETECTOR = """(float[1, 4, 8, 8] x) => (float[1, 6, 80] scores)
    <float[8, 4, 1, 1] stem, float[6, 8, 1, 1] fine, float[6, 8, 1, 1] coarse, int64[3] flat = {1, 6, -1}> {
    s = Conv(x, stem) r = Relu(s) f = Conv(r, fine) p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
    g = Conv(p, coarse) u = Reshape(f, flat) v = Reshape(g, flat) scores = Concat<axis = 2>(u, v) }"""
"""Six classes at two scales: 64 and 16 places."""


@pytest.fixture
def two() -> Analysis:
    return analysis_of(TWO)


def removed(analysis: Analysis, **options: object) -> dict[str, list[int]]:
    plan = make_plan(analysis, Request(**options))  # type: ignore[arg-type]
    return {group.name: list(group.removed) for group in plan.groups}


def counts(analysis: Analysis, **options: object) -> dict[str, int]:
    return {name: len(gone) for name, gone in removed(analysis, **options).items()}


def test_positions_are_dropped_and_kept(two: Analysis) -> None:
    assert removed(two, drop={"a:1": [3, 15]}) == {"b:0": [3, 15]}
    assert removed(two, drop="a:1=15,3") == {"b:0": [3, 15]}
    assert removed(two, keep_only={"b:1": [0, 2]}) == {"c:0": [1, 3, 4, 5, 6, 7]}
    assert removed(two, drop={"a:1": [0]}, keep_only={"b:1": range(7)}) == {"b:0": [0], "c:0": [7]}  # type: ignore[dict-item]


def test_a_group_is_named_by_its_tensors_too(two: Analysis) -> None:
    assert removed(two, drop={"c": [1]}) == {"c:0": [1]}


def test_a_share_of_its_own_stands_beside_the_general_one(two: Analysis) -> None:
    assert counts(two, ratio=0.5) == {"b:0": 8, "c:0": 4}
    assert counts(two, ratio=["0.5", "a:1=0.25"]) == {"b:0": 4, "c:0": 4}
    assert counts(two, ratio=0.5, ratios={"a:1": 0.25}) == {"b:0": 4, "c:0": 4}
    assert counts(two, ratios={"a:1": 0.25}) == {"b:0": 4}
    assert counts(two, ratio=0.5, drop={"b:1": [0]}) == {"b:0": 8, "c:0": 1}


def test_a_budget_counts_what_was_chosen(two: Analysis) -> None:
    """4·16 + 16·8 + 8·3 multiply-accumulates: the chosen group alone leaves 4·16 + 16·2 + 2·3."""
    chosen = make_plan(two, Request(keep_only={"b:1": [0, 1]}))
    assert chosen.cost_after.macs == 4 * 16 + 16 * 2 + 2 * 3
    both = make_plan(two, Request(macs=0.3, keep_only={"b:1": [0, 1]}))
    assert both.cost_after.macs <= 0.3 * 216 * 1.01
    assert [len(group.removed) for group in both.groups if group.name == "c:0"] == [6]
    assert make_plan(two, Request(macs=0.9, keep_only={"b:1": [0, 1]})).cost_after == chosen.cost_after
    with pytest.raises(TargetError, match="macs cannot go below"):
        make_plan(two, Request(macs=0.3, only=("b:1",), drop={"b:1": [0]}))


def test_measured_errors_are_spread_over_the_groups_that_are_left(two: Analysis) -> None:
    """The cost is counted with what was chosen: 4·n + n·2 + 2·3 multiply-accumulates of 216."""
    errors = np.linspace(1, 2, two.atoms.count)
    plan = make_plan(two, Request(macs=0.3, align=1, keep_only={"b:1": [0, 1]}), errors=errors)
    assert {group.name: len(group.removed) for group in plan.groups} == {"b:0": 7, "c:0": 6}
    assert plan.cost_after.macs == 4 * 9 + 9 * 2 + 2 * 3 <= 0.3 * 216


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": {"z": [0]}}, "--drop 'z' matches no group, node or initializer"),
        ({"drop": {"b": [0]}}, "--drop 'b' could be any of 2 groups, such as 'b:0' and 'c:0': name one of them, or a "),
        ({"drop": {"a:1": [16]}}, "--drop 'a:1': group 'b:0' has positions 0 to 15, got 16"),
        ({"keep_only": {"y*": [0]}}, "--keep-only 'y*' matches no group, node or initializer"),
        ({"ratios": {"nothing": 0.5}}, "--ratio 'nothing' matches no group, node or initializer"),
        ({"drop": {"a:1": [0]}, "keep_only": {"a*": [1]}}, "group 'b:0' is named twice, by --drop 'a:1' and by "),
        ({"drop": {"a:1": []}}, "drop.a:1: tuple should have at least 1 item"),
        ({"drop": {"a:1": [-1]}}, "drop.a:1.0: input should be greater than or equal to 0, got -1"),
        ({"drop": "a:1"}, "drop: expected NAME=VALUE, once for each name, got 'a:1'"),
        ({"drop": "a:1=x"}, "drop: expected positions with commas between them, such as 3,17, got 'x'"),
        ({"ratio": ["0.5", "0.6"]}, "give one ratio for all groups, got 0.5, 0.6"),
        ({"ratio": ["a=high"]}, "--ratio: expected a share such as 0.5, got 'high'"),
        ({"ratio": ["a=1.5"]}, "ratios.a: input should be less than 1, got 1.5"),
        (
            {"ratio": 0.5, "macs": 0.5, "drop": {"a:1": [0]}},
            "give exactly one of ratio, params, macs, bytes and fidelity, got ratio",
        ),
    ],
)
def test_what_cannot_be_chosen(two: Analysis, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        removed(two, **options)
    assert message in str(caught.value)


def test_a_frozen_group_says_why() -> None:
    found = analysis_of(DETECTOR)
    with pytest.raises(InputError, match=r"^--drop 'fine:0': group '.*' is frozen: .*output 'scores'"):
        removed(found, drop={"fine:0": [1]})


def test_the_classes_of_a_detector_leave_every_scale(tmp_path: Path) -> None:
    """Against the original's own outputs: dropping classes takes rows, and changes no number."""
    weights = {"stem": normal(8, 4, 1, 1), "fine": normal(6, 8, 1, 1), "coarse": normal(6, 8, 1, 1)}
    proto = model_of(DETECTOR, 20, weights)
    onnx.save(proto, tmp_path / "m.onnx")
    out, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    arguments = ["prune", str(tmp_path / "m.onnx"), "-o", str(out), "--plan", str(plan)]
    assert run([*arguments, "--drop", "fine:0=1,4", "--allow-io", "scores"]) == 0
    (group,) = json.loads(plan.read_text())["groups"]
    assert group["removed"] == [1, 4]
    small = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(out).graph.initializer}
    for name in ("fine", "coarse"):
        np.testing.assert_array_equal(small[name], weights[name][[0, 2, 3, 5]])
    np.testing.assert_array_equal(small["stem"], weights["stem"])
    import onnxruntime as ort

    x = np.random.default_rng(0).standard_normal((1, 4, 8, 8), dtype=np.float32)
    old, new = (
        ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for path in (tmp_path / "m.onnx", out)
    )
    np.testing.assert_allclose(new, old[:, [0, 2, 3, 5]], rtol=1e-6)


def test_the_command_line_takes_shares_and_positions(tmp_path: Path) -> None:
    model, plan = tmp_path / "m.onnx", tmp_path / "plan.json"
    onnx.save(model_of(TWO, 20), model)
    assert run(["plan", str(model), "-o", str(plan), "--ratio", "0.5", "--ratio", "a:1=0.25"]) == 0
    body = json.loads(plan.read_text())
    assert {group["name"]: len(group["removed"]) for group in body["groups"]} == {"b:0": 4, "c:0": 4}
    assert (body["request"]["ratio"], body["request"]["ratios"]) == (0.5, {"a:1": 0.25})
    assert irprune.Plan.load(plan) == irprune.plan(model, ratio=0.5, ratios={"a:1": 0.25})
    assert run(["plan", str(model), "-o", str(plan), "--keep-only", "b:1=0,1", "--drop", "a:1=5"]) == 0
    assert json.loads(plan.read_text())["request"]["drop"] == {"a:1": [5]}
    out = tmp_path / "s.onnx"
    assert run(["opt", str(model), "-o", str(out), "--passes", 'prune{ratio=[0.5,"a:1=0.25"],drop=["b:1=0"]}']) == 0
