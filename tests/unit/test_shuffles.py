"""What channel shuffles may lose so that they stay shuffles, and what becomes of those that cannot."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir as oir
import pytest

from irprune import api
from irprune.analysis import Analysis, analyze, kept_indices
from irprune.analysis.atoms import Kept
from irprune.axes import AxisSystem, Leaf, product_of, sum_of
from irprune.frontends.onnx import import_model
from irprune.verification.driver import verify_models
from irprune.verification.masks import dimension_order, kept_part
from tests.golden.helpers.models import model_of
from tests.golden.helpers.removal import remove_elements

VIEWS = {"Reshape", "Transpose"}


def units(count: int, width: int) -> str:
    """ShuffleNet v2: one half of the channels goes through a layer, then both are shuffled."""
    halves = width // 2
    weights = "".join(f", float[{halves}, {halves}, 1, 1] w{k}" for k in range(count))
    body = "".join(
        f"""a{k}, b{k} = Split<axis = 1>(x{k}, half) c{k} = Conv(b{k}, w{k}) d{k} = Relu(c{k})
        e{k} = Concat<axis = 1>(a{k}, d{k}) r{k} = Reshape(e{k}, apart)
        t{k} = Transpose<perm = [0, 2, 1, 3, 4]>(r{k}) x{k + 1} = Reshape(t{k}, whole) """
        for k in range(count)
    )
    return f"""(float[N, 3, 4, 4] x) => (float[N, 5, 4, 4] y)
    <float[{width}, 3, 1, 1] stem, float[5, {width}, 1, 1] head, int64[2] half = {{{halves}, {halves}}},
    int64[5] apart = {{0, 2, {halves}, 4, 4}}, int64[4] whole = {{0, {width}, 4, 4}}{weights}>
    {{ x0 = Conv(x, stem) {body} y = Conv(x{count}, head) }}"""


def analysis(proto: onnx.ModelProto) -> Analysis:
    return analyze(import_model(oir.from_proto(proto)))


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.7])
def test_shuffles_stay_shuffles(count: int, ratio: float) -> None:
    proto = model_of(units(count, 48))
    result = api.prune(proto, ratio=ratio, align=1)
    assert result.report is not None and result.report.ok, result.report
    before, after = (Counter(node.op_type for node in graph.node) for graph in (proto.graph, result.model.graph))
    assert before == after
    kept = result.plan.cost_after.params / result.plan.cost_before.params
    assert kept == pytest.approx((1 - ratio) ** 2, abs=0.12)


def test_sizes_that_the_graph_computes_follow_by_themselves() -> None:
    """As exported with an open batch: all of the shape is computed."""
    proto = model_of(
        """(float[N, 3, 4, 4] x) => (float[N, 5, 4, 4] y)
        <float[16, 3, 1, 1] w, float[5, 16, 1, 1] u, int64[1] first = {0}, int64[1] second = {1}, int64[1] two = {2},
        int64[1] side = {4}>
        { h = Conv(x, w) s = Shape(h) n = Gather(s, first) c = Gather(s, second) d = Div(c, two)
        e = Cast<to = 6>(d) f = Cast<to = 7>(e) g = Concat<axis = 0>(n, two, f, side, side) r = Reshape(h, g)
        t = Transpose<perm = [0, 2, 1, 3, 4]>(r) k = Concat<axis = 0>(n, c, side, side) z = Reshape(t, k)
        y = Conv(z, u) }"""
    )
    result = api.prune(proto, ratio=0.5)
    assert result.report is not None and result.report.ok, result.report
    assert Counter(n.op_type for n in result.model.graph.node) == Counter(n.op_type for n in proto.graph.node)


def test_a_few_channels_go_one_by_one() -> None:
    """Four steps of a quarter each would round a small ratio to nothing."""
    proto = model_of(units(2, 8))
    result = api.prune(proto, ratio=0.15)
    assert result.report is not None and result.report.ok, result.report
    assert "Gather" not in {node.op_type for node in result.model.graph.node}


def test_every_step_of_a_stage_is_a_smaller_network() -> None:
    found = analysis(model_of(units(3, 32)))
    (shuffled,) = found.shuffled.values()
    assert shuffled.steps == 16
    for step in range(1, 16):
        wanted = shuffled.kept_of(step)
        assert wanted is not None
        kinds, counts = wanted
        known, available = np.unique(shuffled.kinds, return_counts=True)
        assert set(kinds) <= set(known)
        assert (counts <= available[np.searchsorted(known, kinds)]).all()


def test_halves_that_keep_different_numbers_become_runs() -> None:
    """Whoever chooses channels one by one gets slices, which every runtime has, and no lookup by index."""
    proto = model_of(units(2, 16))
    removal = remove_elements(proto, {"w0:0": [1, 2]})
    ops = Counter(node.op for node in removal.graph.nodes)
    assert ops["Gather"] == 0
    assert ops["Slice"] > 0
    report = verify_models(proto, removal.pruned, removal.plan)
    assert report.ok, report.failures()


def test_a_shuffle_that_a_caller_sees_keeps_its_order_and_is_named() -> None:
    proto = model_of(
        """(float[N, 3, 2, 2] x) => (float[N, 192, 2, 2] f)
        <float[192, 3, 1, 1] w, int64[5] s = {0, 2, 96, 2, 2}, int64[4] t = {0, 192, 2, 2}>
        { h = Conv(x, w) r = Reshape(h, s) p = Transpose<perm = [0, 2, 1, 3, 4]>(r) f = Reshape(p, t) }"""
    )
    result = api.prune(proto, ratio=0.5, allow_io=("f",))
    assert [node.op_type for node in result.model.graph.node] == ["Conv", "Gather"]
    assert result.report is not None and result.report.ok, result.report
    assert any("'f'" in note and "Gather" in note for note in result.report.structure.notes)


def test_an_order_runs_through_products_and_sums() -> None:
    system = AxisSystem()
    a, b = system.leaf(3, "a"), system.leaf(2, "b")
    assert isinstance(a, Leaf) and isinstance(b, Leaf)
    kept = Kept({a.number: np.array([True, False, True])}, lambda masks: {a.number: np.array([2, 0])})
    assert kept_indices(product_of([a, b]), kept).tolist() == [4, 5, 0, 1]
    assert kept_indices(product_of([b, a]), kept).tolist() == [2, 0, 5, 3]
    assert kept_indices(sum_of([b, a]), kept).tolist() == [0, 1, 4, 2]
    for axis in (a, product_of([a, b]), product_of([b, a]), sum_of([b, a]), sum_of([a, product_of([b, a])])):
        assert dimension_order(axis, kept, {}).tolist() == kept_indices(axis, kept).tolist()
    assert kept_part(np.arange(6), (product_of([b, a]),), kept, {}).tolist() == [2, 0, 5, 3]
