"""Widths that a target computes fast: the table, the multiple of each layer, and what becomes of narrow groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as oir
import pytest

from irprune.allocation.steps import convolution_block, steps_for
from irprune.allocation.widths import Widths, steps_of
from irprune.analysis import Analysis, analyze
from irprune.frontends.onnx import import_model
from irprune.plans import Plan, make_plan
from irprune.plans.aligned import unaligned, width_cautions
from irprune.request import Request
from irprune.runtime.session import open_session
from tests.golden.helpers.models import model_of

HEAD = "p = GlobalAveragePool(z) f = Flatten(p) y = Gemm<transB = 1>(f, d) }"


def analysis_of(text: str) -> Analysis:
    return analyze(import_model(oir.from_proto(model_of(text))))


def chain(*widths: int) -> Analysis:
    """Dense convolutions of these widths, one after the other."""
    sources = zip((3, *widths), widths, strict=False)
    weights = ", ".join(f"float[{o}, {i}, 3, 3] w{k}" for k, (i, o) in enumerate(sources))
    names = ["x", *(f"h{k}" for k in range(len(widths) - 1)), "z"]
    nodes = " ".join(f"{names[k + 1]} = Conv({names[k]}, w{k})" for k in range(len(widths)))
    return analysis_of(
        f"(float[N, 3, 32, 32] x) => (float[] y) <{weights}, float[10, {widths[-1]}] d> {{ {nodes} {HEAD}"
    )


def kept(plan: Plan, analysis: Analysis) -> dict[str, int]:
    """What each prunable group keeps, by the name of its first tensor."""
    gone = {group.name: len(group.removed) for group in plan.groups}
    return {g.name.split(":")[0]: g.size - gone.get(g.name, 0) for g in analysis.groups if not g.frozen}


def widths_of(analysis: Analysis, target: str = "ascend", **options: Any) -> dict[str, int]:
    return kept(make_plan(analysis, Request(target=target, **options)), analysis)  # type: ignore[arg-type]


def steps(analysis: Analysis, target: str) -> dict[str, int]:
    """The multiple of each prunable group."""
    found = steps_of(analysis, steps_for(target))
    return {
        group.name.split(":")[0]: max(
            found[leaf.number].multiple if leaf.number in found else 1 for leaf in group.leaves
        )
        for group in analysis.groups
        if not group.frozen
    }


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_block_is_the_one_that_onnx_runtime_pads_to(tmp_path: Any) -> None:
    """Of three channels, the optimized graph says how many a block has."""
    proto = model_of(
        "(float[1, 3, 8, 8] x) => (float[1, 4, 8, 8] y) <float[4, 3, 1, 1] w> { y = Conv(x, w) }",
        numbers={"w": np.ones((4, 3, 1, 1), np.float32)},
    )
    path = tmp_path / "optimized.onnx"
    open_session(proto.SerializeToString(), optimize=True, written=path)
    (conv,) = (node for node in onnx.load(path).graph.node if node.op_type == "Conv")
    assert conv.domain == "com.microsoft.nchwc"
    (weight,) = (tensor for tensor in onnx.load(path).graph.initializer if tensor.name == conv.input[1])
    assert weight.dims[0] == convolution_block()


SEPARABLE = (
    """(float[N, 3, 32, 32] x) => (float[] y)
<float[64, 3, 3, 3] a, float[64, 1, 3, 3] b, float[96, 64, 1, 1] c, float[10, 96] d>
{ h = Conv(x, a) k = Conv<group = 64>(h, b) z = Conv(k, c) """
    + HEAD
)


@pytest.mark.parametrize(
    ("target", "separable", "dense"),
    [("none", 1, 1), ("openvino", 1, 1), ("ncnn", 4, 4), ("tensorrt", 8, 8), ("ort-cuda", 8, 8), ("ascend", 16, 16)],
)
def test_the_multiple_of_a_layer(target: str, separable: int, dense: int) -> None:
    assert steps(analysis_of(SEPARABLE), target) == {"a": separable, "c": dense}


def test_this_machine_is_the_default() -> None:
    block = convolution_block()
    assert Request().target == "ort-cpu"
    assert steps(analysis_of(SEPARABLE), "ort-cpu") == {"a": block, "c": max(block, 16)}  # c is read by a Gemm's rows


def test_wide_matrix_products_are_free_and_narrow_ones_are_not() -> None:
    net = analysis_of(
        """(float[N, 8] x) => (float[N, 10] y) <float[8, 200] a, float[200, 48] b, float[48, 10] c>
        { h = MatMul(x, a) r = Relu(h) k = MatMul(r, b) s = Relu(k) y = MatMul(s, c) }"""
    )
    assert widths_of(net, "ort-cpu", ratio=0.37) == {"b": 126, "c": 32}
    assert widths_of(net, "none", ratio=0.37) == {"b": 126, "c": 31}


def test_convolutions_of_signals_are_products() -> None:
    """The blocked layout is for images."""
    net = analysis_of(
        """(float[N, 3, 64] x) => (float[N, 5, 64] y) <float[96, 3, 1] a, float[5, 96, 1] b>
        { h = Conv(x, a) r = Relu(h) y = Conv(r, b) }"""
    )
    assert widths_of(net, "ort-cpu", ratio=0.31) == {"a": 67}


def test_integers_have_a_multiple_of_their_own() -> None:
    net = analysis_of(
        """(float[N, 3, 8, 8] x) => (float[] y) <float[64, 3, 3, 3] a, int8[64, 64, 3, 3] q, float s = {0.1},
        int8 zero = {0}, float[10, 64] d> { h = Conv(x, a) w = DequantizeLinear(q, s, zero) z = Conv(h, w) """
        + HEAD
    )
    assert steps(net, "tensorrt") == {"a": 32, "q": 32}
    assert steps(net, "openvino") == {"a": 16, "q": 16}


def test_a_product_of_axes_needs_a_part_of_the_multiple() -> None:
    """Of 4 x c channels c has to be a multiple of 4 for a multiple of 16."""
    net = analysis_of(
        """(float[N, 3, 8, 8] x) => (float[] y) <float[128, 3, 1, 1] a, float[48, 32, 1, 1] b, float[10, 48] d>
        { h = Conv(x, a) s = DepthToSpace<blocksize = 2, mode = "CRD">(h) z = Conv(s, b) """
        + HEAD
    )
    assert steps(net, "ascend") == {"a": 16, "b": 16}


# -- narrow groups -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "ratio", "left"),
    [(64, 0.5, 32), (64, 0.3, 48), (32, 0.5, 16), (24, 0.5, 16), (16, 0.5, 8), (8, 0.5, 4), (6, 0.5, 4), (3, 0.5, 2)],
)
def test_a_group_without_a_smaller_multiple_takes_a_half_of_it(size: int, ratio: float, left: int) -> None:
    assert widths_of(chain(size, 64), ratio=ratio, only=("w0",)) == {"w0": left, "w1": 64}


def test_a_small_share_is_removed_in_finer_steps_rather_than_not_at_all() -> None:
    assert widths_of(chain(32, 64), ratio=0.2) == {"w0": 28, "w1": 56}


def test_each_part_of_a_concat_is_a_multiple() -> None:
    net = analysis_of(
        """(float[N, 3, 32, 32] x) => (float[] y)
        <float[48, 3, 3, 3] a, float[80, 3, 3, 3] b, float[64, 128, 1, 1] c, float[10, 64] d>
        { h = Conv(x, a) k = Conv(x, b) j = Concat<axis = 1>(h, k) z = Conv(j, c) """
        + HEAD
    )
    found = widths_of(net, ratio=0.4)
    assert found == {"a": 32, "b": 48, "c": 48}


def test_a_target_in_reach_of_finer_steps_alone_is_met_with_those() -> None:
    """Multiples of 16 cannot go below a ninth."""
    net = chain(48, 48)
    plan = make_plan(net, Request(target="ascend", macs=0.07, max_ratio=0.95))
    assert plan.cost_after.macs <= 0.0707 * plan.cost_before.macs
    assert {item.why for item in unaligned(net, plan)} == {"the request cannot be met with multiples alone"}


# -- with data -----------------------------------------------------------------------------------------------------


def errors_of(analysis: Analysis) -> Any:
    return np.random.default_rng(0).random(analysis.atoms.count)


def test_data_let_narrow_groups_choose_among_finer_widths() -> None:
    net = chain(32, 256)
    request = Request(target="ascend", macs=0.5, criterion="obs")
    assert kept(make_plan(net, request, errors=errors_of(net)), net)["w0"] % 4 == 0
    widths = Widths.of(net, request)
    assert sorted({step.multiple for step in widths.steps.values()}) == [4, 16]
    assert {step.multiple for step in Widths.of(net, Request(target="ascend", macs=0.5)).steps.values()} == {16}


def test_a_narrow_network_has_any_width_but_in_depthwise_convolutions() -> None:
    request = Request(target="ascend", macs=0.5, criterion="obs")
    assert Widths.of(chain(16, 64), request).steps == {}
    narrow = analysis_of(SEPARABLE.replace("96", "64"))
    assert {step.multiple for step in Widths.of(narrow, request).steps.values()} == {4}


def test_the_parts_of_a_concat_stay_whole_blocks() -> None:
    net = analysis_of(
        """(float[N, 3, 32, 32] x) => (float[] y)
        <float[32, 3, 3, 3] a, float[32, 3, 3, 3] b, float[256, 64, 1, 1] c, float[10, 256] d>
        { h = Conv(x, a) k = Conv(x, b) j = Concat<axis = 1>(h, k) z = Conv(j, c) """
        + HEAD
    )
    assert {
        step.multiple for step in Widths.of(net, Request(target="ascend", macs=0.5, criterion="obs")).steps.values()
    } == {16}


# -- what is said ------------------------------------------------------------------------------------------------------


def test_groups_that_are_not_aligned_are_listed_with_the_reason() -> None:
    net = chain(16, 64)
    plan = make_plan(net, Request(target="ascend", ratio=0.5))
    (item,) = unaligned(net, plan)
    assert item.as_json() == {
        "group": "w0:0",
        "size": 16,
        "kept": 8,
        "multiple": 16,
        "why": "of 16 channels no smaller multiple is left",
    }


def test_a_target_that_is_missed_for_the_multiples_is_told() -> None:
    net = chain(48, 48)
    plan = make_plan(net, Request(target="ascend", macs=0.47))
    (text,) = width_cautions(net, plan)
    assert text.startswith(f"{plan.cost_after.macs / plan.cost_before.macs:.1%} of the multiply-accumulates are kept")
    assert not list(width_cautions(net, make_plan(net, Request(macs=0.47, align=1, target="none"))))


def test_widths_off_the_layout_are_told() -> None:
    net = chain(64, 64)
    (text,) = width_cautions(net, make_plan(net, Request(ratio=0.3, align=1)))
    assert text.startswith("2 of 2 pruned widths are not multiples that ort-cpu computes fast")
    assert not list(width_cautions(net, make_plan(net, Request(ratio=0.5, align=1))))
