"""From scores to a plan: targets, limits, selectors, and that the same question has the same answer."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import onnx_ir as oir
import pytest

from irprune.analysis import Analysis, analyze
from irprune.errors import InputError, TargetError
from irprune.frontends.onnx import import_model
from irprune.plans import ModelIdentity, Plan, make_plan, removed_atoms
from irprune.plans.planner import cost_of
from irprune.request import Request
from irprune.rewriting import remove_atoms
from irprune.scoring import CRITERIA
from tests.golden.helpers.models import model_of
from tests.golden.helpers.removal import random_atoms

NET = """(float[N, 3, 8, 8] x) => (float[] y)
<float[16, 3, 3, 3] a, float[16] ab, float[16] g, float[16] b, float[16] m, float[16] var,
float[32, 16, 3, 3] c, float[10, 32] d, float[10] db>
{ h = Conv(x, a, ab) n = BatchNormalization(h, g, b, m, var) r = Relu(n) k = Conv(r, c) p = GlobalAveragePool(k)
f = Flatten(p) y = Gemm<transB = 1>(f, d, db) }"""
# of the two groups, a:0 has 16 channels and c:0 has 32
A, C = "a:0", "c:0"

PARAMS = 16 * 27 + 16 + 2 * 16 + 32 * 16 * 9 + 320 + 10
MACS = 16 * 27 * 36 + 32 * 16 * 9 * 16 + 320


def ramp(shape: tuple[int, ...], axis: int, order: np.ndarray) -> np.ndarray:
    """Weights that grow along an axis in the given order: element ``order[0]`` is the smallest."""
    rank = np.empty(shape[axis])
    rank[order] = np.arange(1, shape[axis] + 1)
    return (np.ones(shape) * rank.reshape([-1 if k == axis else 1 for k in range(len(shape))])).astype(np.float32)


ORDER_A = np.random.default_rng(1).permutation(16)
ORDER_C = np.random.default_rng(2).permutation(32)


@pytest.fixture(scope="module")
def net() -> Analysis:
    """Channel ORDER_A[k] of the first convolution is the k-th smallest, and so are those of the second."""
    numbers = {
        "a": ramp((16, 3, 3, 3), 0, ORDER_A),
        "c": ramp((32, 16, 3, 3), 0, ORDER_C) * ramp((32, 16, 3, 3), 1, ORDER_A),
        "d": ramp((10, 32), 1, ORDER_C),
        "g": ramp((16,), 0, ORDER_A[::-1]),
    }
    return analyze(import_model(oir.from_proto(model_of(NET, numbers=numbers))))


def analysis_of(text: str, **options: Any) -> Analysis:
    return analyze(import_model(oir.from_proto(model_of(text))), **options)


def any_width(**options: Any) -> Request:
    """A request that does not care for multiples."""
    return Request(align=1, **options)


def removed(plan: Plan) -> dict[str, list[int]]:
    return {group.name: sorted(group.removed) for group in plan.groups}


def counts(plan: Plan) -> dict[str, int]:
    return {group.name: len(group.removed) for group in plan.groups}


# -- cost --------------------------------------------------------------------------------------------------------------


def test_cost_is_a_closed_formula(net: Analysis) -> None:
    cost = net.cost_model({})
    assert (cost.params, cost.macs) == (PARAMS, MACS)
    assert cost.bytes == 4 * (PARAMS + 32)  # mean and variance are stored, not learned


def test_cost_after_a_removal_is_that_of_the_smaller_graph(net: Analysis) -> None:
    gone = random_atoms(net, np.random.default_rng(0))
    small, _ = remove_atoms(net, gone)
    assert analyze(small).cost_model({}) == cost_of(net, gone)


def test_one_vector_for_two_groups_becomes_two_where_they_keep_other_channels() -> None:
    text = """(float[N, 3, 8, 8] x) => (float[] y) <float[4, 3, 3, 3] a, float[4, 4, 3, 3] b, float[2, 4] d,
    float[4] one, float[4] zero> { h = Conv(x, a) i = InstanceNormalization(h, one, zero) k = Conv(i, b)
    j = InstanceNormalization(k, one, zero) p = GlobalAveragePool(j) f = Flatten(p) y = Gemm<transB = 1>(f, d) }"""
    net = analysis_of(text)
    first, second = (group.atoms for group in net.groups if not group.frozen)
    for other, vectors in ((second[:2], 1), (second[1:3], 2)):
        gone = np.zeros(net.atoms.count, dtype=bool)
        gone[first[:2]] = gone[other] = True
        small, _ = remove_atoms(net, gone)
        assert analyze(small).cost_model({}) == cost_of(net, gone)
        assert sum(constant.shape == (2,) for constant in small.constants.values()) == 2 * vectors


# -- targets -----------------------------------------------------------------------------------------------------------


def test_the_smallest_go_first(net: Analysis) -> None:
    plan = make_plan(net, any_width(ratio=0.25))
    assert removed(plan) == {A: sorted(ORDER_A[:4].tolist()), C: sorted(ORDER_C[:8].tolist())}
    assert [(group.kind, group.size, group.exact) for group in plan.groups] == [
        ("channels", 16, True),
        ("channels", 32, True),
    ]
    assert plan.cost_before.params == PARAMS
    assert plan.cost_after.params == 12 * 27 + 12 + 2 * 12 + 24 * 12 * 9 + 240 + 10
    assert plan.request.as_json() == {
        "ratio": 0.25,
        "criterion": "l2",
        "scope": "local",
        "align": 1,
        "target": "ort-cpu",
        "max_ratio": 0.9,
        "min_channels": 1,
        "exact": False,
        "seed": 0,
    }


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.75, 0.95])
def test_a_ratio_is_a_ratio_of_every_group(net: Analysis, ratio: float) -> None:
    assert counts(make_plan(net, any_width(ratio=ratio))) == {
        name: min(int(ratio * size + 1e-9), size - 1) for name, size in ((A, 16), (C, 32))
    }


WIDE = """(float[N, 3, 8, 8] x) => (float[] y)
<float[64, 3, 3, 3] a, float[64] ab, float[96, 64, 3, 3] c, float[128, 96, 1, 1] e, float[10, 128] d, float[10] db>
{ h = Conv(x, a, ab) r = Relu(h) k = Conv(r, c) s = Relu(k) l = Conv(s, e) p = GlobalAveragePool(l)
f = Flatten(p) y = Gemm<transB = 1>(f, d, db) }"""


@pytest.fixture(scope="module")
def wide() -> Analysis:
    return analysis_of(WIDE)


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97])
@pytest.mark.parametrize("what", ["params", "macs"])
@pytest.mark.parametrize("scope", ["local", "global"])
def test_budgets_are_met_within_a_percent(wide: Analysis, what: str, share: float, scope: str) -> None:
    plan = make_plan(wide, any_width(scope=scope, **{what: share}))  # type: ignore[arg-type]
    before, after = getattr(plan.cost_before, what), getattr(plan.cost_after, what)
    assert abs(after - share * before) <= 0.01 * share * before
    assert after == getattr(cost_of(wide, removed_atoms(plan, wide)), what)


@pytest.mark.parametrize("share", [0.35, 0.5, 0.9])
def test_where_one_atom_is_worth_more_than_a_percent_the_budget_holds(net: Analysis, share: float) -> None:
    """The cost stays below the target, and by no more than the dearest atom (a channel of the first convolution)."""
    plan = make_plan(net, any_width(params=share))
    assert share * PARAMS - (27 + 3 + 32 * 9) < plan.cost_after.params <= 1.01 * share * PARAMS


def test_a_budget_that_cannot_be_met(net: Analysis) -> None:
    message = r"^macs cannot go below 2[0-9.]+% of the original \(5\.0% was asked for\): 2 groups may be pruned, "
    with pytest.raises(TargetError, match=message + r"each by at most 50% \(--max-ratio\)$"):
        make_plan(net, any_width(macs=0.05, max_ratio=0.5))


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("align", [2, 4, 8])
def test_alignment(net: Analysis, align: int) -> None:
    """What stays is a multiple; rounding keeps more, never fewer."""
    gone = counts(make_plan(net, Request(ratio=0.6, align=align)))
    for name, size in ((A, 16), (C, 32)):
        left = size - gone.get(name, 0)
        assert left % align == 0
        assert 0 <= left - (size - int(0.6 * size)) < align


def test_max_ratio(net: Analysis) -> None:
    plan = make_plan(net, any_width(params=0.3, max_ratio=0.5))
    assert counts(plan) == {A: 8, C: 16}


def test_a_ratio_is_meant_even_above_the_default_limit(net: Analysis) -> None:
    assert counts(make_plan(net, any_width(ratio=0.94))) == {A: 15, C: 30}


def test_min_channels(net: Analysis) -> None:
    assert counts(make_plan(net, any_width(ratio=0.75, min_channels=10))) == {A: 6, C: 22}


def test_a_group_below_the_minimum_is_left_alone(net: Analysis) -> None:
    assert counts(make_plan(net, any_width(ratio=0.5, min_channels=20))) == {C: 12}


# -- selectors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"only": (A,)}, {A}),
        ({"only": ("c",)}, {A, C}),  # the tensor c belongs to both: its inputs and its outputs
        ({"only": ("c:0",)}, {C}),
        ({"only": ("Conv:h",)}, {A}),  # a node: the groups of its weights
        ({"only": ("kind:chan*",)}, {A, C}),
        ({"only": ("a*", "d")}, {A, C}),
        ({"keep": (A,)}, {C}),
        ({"keep": ("d",)}, {A}),
        ({"keep": ("g",), "only": ("kind:channels",)}, {C}),
    ],
)
def test_selectors(net: Analysis, options: dict[str, Any], expected: set[str]) -> None:
    assert set(counts(make_plan(net, any_width(ratio=0.5, **options)))) == expected


@pytest.mark.parametrize("option", ["only", "keep"])
@pytest.mark.parametrize("pattern", ["nothing", "kind:heads", "a:7"])
def test_a_selector_that_matches_nothing(net: Analysis, option: str, pattern: str) -> None:
    message = f"^--{option} '{re.escape(pattern)}' matches no group, node or initializer; irprune inspect lists them$"
    with pytest.raises(InputError, match=message):
        make_plan(net, any_width(ratio=0.5, **{option: (pattern,)}))  # type: ignore[arg-type]


def test_selectors_that_leave_nothing(net: Analysis) -> None:
    with pytest.raises(TargetError, match=r"^nothing to remove: --keep leave no prunable group$"):
        make_plan(net, any_width(ratio=0.5, keep=("*",)))


NORMALIZED = """(float[N, 4] x) => (float[] y)
<float[4, 8] a, float[8] g, float[8] b, float[8, 6] c, float[6, 5] d>
{ h = MatMul(x, a) n = LayerNormalization(h, g, b) k = MatMul(n, c) y = MatMul(k, d) }"""


def test_exact_leaves_statistics_alone() -> None:
    found = analysis_of(NORMALIZED)
    every, exact = (make_plan(found, any_width(ratio=0.5, exact=flag)) for flag in (False, True))
    assert sorted(group.exact for group in every.groups) == [False, True]
    assert [(group.size, group.exact) for group in exact.groups] == [(6, True)]


def test_inputs_and_outputs_that_may_change(net: Analysis) -> None:
    found = analysis_of(NORMALIZED, allow_io=("y",))
    plan = make_plan(found, any_width(ratio=0.4, only=("d:1",), allow_io=("y",)))
    assert [(group.size, len(group.removed)) for group in plan.groups] == [(5, 2)]
    with pytest.raises(InputError, match=r"^--allow-io 'z\*' matches no input or output; there are x, y$"):
        make_plan(net, any_width(ratio=0.5, allow_io=("z*",)))


def test_one_factor_of_a_dimension_is_pruned() -> None:
    """Of heads and what is in a head, heads go; of a grouped convolution, the channels of a group."""
    found = analysis_of(
        """(float[N, S, 6] x) => (float[N, S, 6] y)
        <float[6, 12] q, float[6, 12] k, float[6, 12] v, int64[4] s = {0, 0, 4, 3}, int64[3] t = {0, 0, 12},
        float[12, 6] o>
        { a = MatMul(x, q) b = MatMul(x, k) c = MatMul(x, v) d = Reshape(a, s) e = Reshape(b, s) f = Reshape(c, s)
        g = Einsum<equation = "bshd,bthd->bhst">(d, e) p = Softmax(g)
        m = Einsum<equation = "bhst,bthd->bshd">(p, f) n = Reshape(m, t) y = MatMul(n, o) }"""
    )
    assert sorted(group.kind for group in found.groups if not group.frozen) == ["head_dim", "head_dim", "heads"]
    plan = make_plan(found, any_width(ratio=0.5))
    assert [(group.kind, group.size, len(group.removed)) for group in plan.groups] == [("heads", 4, 2)]


# -- scope, order, ties ------------------------------------------------------------------------------------------------


def test_global_scope_compares_groups() -> None:
    """One group has two channels that hardly matter, the other none: both of the first go."""
    text = """(float[N, 4] x) => (float[] y) <float[4, 6] a, float[6, 6] b, float[6, 5] c>
    { h = MatMul(x, a) r = Relu(h) k = MatMul(r, b) y = MatMul(k, c) }"""
    weak = np.array([1, 1, 0.01, 1, 1, 0.01], np.float32)
    numbers = {"a": np.ones((4, 6), np.float32) * weak, "b": np.ones((6, 6), np.float32) * weak[:, None]}
    numbers["c"] = np.ones((6, 5), np.float32)
    found = analyze(import_model(oir.from_proto(model_of(text, numbers=numbers))))
    shared = make_plan(found, any_width(ratio=2 / 12, scope="global"))
    assert [(group.size, group.removed) for group in shared.groups] == [(6, (2, 5))]
    alike = make_plan(found, any_width(ratio=2 / 12))
    assert [len(group.removed) for group in alike.groups] == [1, 1]


def test_ties_go_to_the_first() -> None:
    numbers = {"a": np.ones((4, 6), np.float32), "b": np.ones((6, 5), np.float32)}
    text = "(float[N, 4] x) => (float[] y) <float[4, 6] a, float[6, 5] b> { h = MatMul(x, a) y = MatMul(h, b) }"
    found = analyze(import_model(oir.from_proto(model_of(text, numbers=numbers))))
    (group,) = make_plan(found, any_width(ratio=0.5)).groups
    assert group.removed == (0, 1, 2)


def test_random_is_a_matter_of_the_seed(net: Analysis) -> None:
    plans = [make_plan(net, any_width(ratio=0.5, criterion="random", seed=seed)) for seed in (0, 0, 1)]
    assert removed(plans[0]) == removed(plans[1]) != removed(plans[2])


def test_batch_norm_scales_are_a_criterion_of_their_own(net: Analysis) -> None:
    """They grow in the other order here."""
    plan = make_plan(net, any_width(ratio=0.25, criterion="bn-scale", only=(A,)))
    assert removed(plan) == {A: sorted(ORDER_A[::-1][:4].tolist())}


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name != "bn-scale"])
def test_every_criterion_makes_a_plan(net: Analysis, criterion: str) -> None:
    assert counts(make_plan(net, any_width(ratio=0.5, criterion=criterion))) == {A: 8, C: 16}


def test_planning_twice_is_planning_once(net: Analysis) -> None:
    model = ModelIdentity(sha256="0a" * 32, bytes=3, opset=20)
    first, second = (make_plan(net, any_width(macs=0.5)).with_model(model) for _ in range(2))
    assert first.dumps() == second.dumps()
    assert Plan.loads(first.dumps()) == first
    assert json.loads(first.dumps())["model"] == {"sha256": "0a" * 32, "bytes": 3, "opset": 20}


# -- requests that make no sense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give exactly one of ratio, params, macs, bytes and fidelity, got none"),
        ({"ratio": 0.5, "macs": 0.5}, "give exactly one of ratio, params, macs, bytes and fidelity, got ratio, macs"),
        ({"ratio": 0.0}, "ratio must lie between 0 and 1 (both excluded), got 0.0"),
        ({"params": 1.0}, "params must lie between 0 and 1 (both excluded), got 1.0"),
        ({"ratio": 0.5, "max_ratio": 1.5}, "max_ratio must lie between 0 and 1 (both excluded), got 1.5"),
        ({"ratio": 0.5, "align": 0}, "align: expected auto or a whole number of at least 1, got 0"),
        ({"ratio": 0.5, "min_channels": 0}, "min_channels must be at least 1, got 0"),
        ({"ratio": 0.5, "scope": "half"}, "unknown scope 'half'; known: local, global"),
        (
            {"ratio": 0.5, "criterion": "l3"},
            "unknown criterion 'l3'; known: l1, l2, bn-scale, fpgm, random, obs, flap, wanda",
        ),
    ],
)
def test_requests_that_make_no_sense(net: Analysis, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        make_plan(net, Request(**options))


def test_a_target_that_rounds_to_nothing(net: Analysis) -> None:
    message = (
        r"nothing to remove: the target rounds to no atom{} in any of 2 groups \('[^']*' has \d+, '[^']*' has \d+\)$"
    )
    with pytest.raises(TargetError, match=message.format("")):
        make_plan(net, Request(ratio=0.01, align=1))
    with pytest.raises(TargetError, match=message.format(" at widths that --align auto allows")):
        make_plan(net, Request(ratio=0.01))


def test_a_model_in_which_everything_is_frozen() -> None:
    found = analysis_of("(float[N, 4] x) => (float[] y) <float[4, 6] w> { y = MatMul(x, w) }")
    with pytest.raises(TargetError, match=r"^nothing to remove: everything is frozen\. ") as caught:
        make_plan(found, Request(ratio=0.5))
    assert "graph input 'x'" in str(caught.value)
    assert "graph output 'y'" in str(caught.value)


# -- replaying ---------------------------------------------------------------------------------------------------------


def test_a_plan_is_replayed(net: Analysis) -> None:
    plan = make_plan(net, Request(ratio=0.5))
    gone = removed_atoms(plan, net)
    assert gone.sum() == 24
    assert cost_of(net, gone) == plan.cost_after


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"name": "a:0"', '"name": "z:0"', r"^the plan names group 'z:0', which the model does not have$"),
        ('"size": 16', '"size": 17', r"^group 'a:0' has 16 atoms in the model, 17 in the plan$"),
        (
            '"removed": [\n',
            '"removed": [99,\n',
            r"^plan: malformed plan: groups\.0: the removed positions of group 'a:0' lie between 0 and 15, got 99$",
        ),
    ],
)
def test_a_plan_for_another_model(net: Analysis, old: str, new: str, message: str) -> None:
    text = make_plan(net, Request(ratio=0.5, only=(A,))).dumps()
    assert old in text
    with pytest.raises(InputError, match=message):
        removed_atoms(Plan.loads(text.replace(old, new, 1)), net)


def test_a_plan_that_leaves_nothing(net: Analysis) -> None:
    text = make_plan(net, Request(ratio=0.5, only=(A,))).as_json()
    text["groups"][0]["removed"] = list(range(16))
    with pytest.raises(InputError, match=r"^the plan removes all 16 elements of axis '"):
        removed_atoms(Plan.loads(json.dumps(text)), net)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"^plan: not JSON: "),
        ("[]", r"^plan: not a plan: its format is None, expected 'irprune\.plan/1'$"),
        ('{"format": "irprune.plan/9"}', r"^plan: not a plan: its format is 'irprune\.plan/9', expected "),
        ('{"format": "irprune.plan/1"}', r"^plan: malformed plan: request is missing$"),
    ],
)
def test_what_is_no_plan(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Plan.loads(text)
