"""What compaction may remove, and its refusing twins: each case runs on ONNX Runtime before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as oir
import onnxruntime as ort
import pytest

from irprune.analysis import Analysis, analyze
from irprune.backends.onnx import emit
from irprune.compaction import compacted, replay
from irprune.errors import InputError, TargetError
from irprune.frontends.onnx import import_model
from irprune.plans import Plan, PlannedGroup
from tests.golden.passes_support import Numbers, model_of, normal

Array = np.ndarray

CONVS = """
    g (float[N, 3, 6, 6] x) => (float[N, 4, A, B] y) {
        h = Conv<kernel_shape = [1, 1]>(x, w, b)
        r = Relu(h)
        y = Conv<kernel_shape = [3, 3], pads = [PADS]>(r, v, c)
    }
"""


def convs(pads: str = "1, 1, 1, 1", **changed: Array) -> onnx.ModelProto:
    numbers = {"w": normal(6, 3, 1, 1), "b": normal(6), "v": normal(4, 6, 3, 3), "c": normal(4)}
    return model_of(CONVS.replace("PADS", pads), {**numbers, **changed})


def with_rows(array: Array, rows: list[int], value: float = 0.0) -> Array:
    array = array.copy()
    array[rows] = value
    return array


def dead(rows: list[int], value: float = 0.0) -> Numbers:
    """Weights of the first convolution whose rows give one value."""
    return {"w": with_rows(normal(6, 3, 1, 1), rows), "b": with_rows(normal(6), rows, value)}


def analyzed(proto: onnx.ModelProto) -> Analysis:
    return analyze(import_model(oir.from_proto(proto)))


def run(proto: onnx.ModelProto, low: float = -3.0, high: float = 3.0) -> Array:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(5)
    feeds = {}
    for given in session.get_inputs():
        shape = [size if isinstance(size, int) else 2 for size in given.shape]
        feeds[given.name] = random.uniform(low, high, shape).astype(np.float32)
    return session.run(None, feeds)[0]


def check(proto: onnx.ModelProto, ranges: dict[str, tuple[float, float]] | None = None) -> dict[str, tuple[int, ...]]:
    """The positions that go, by group, once the smaller model computes what the original does."""
    model = oir.from_proto(proto)
    analysis = analyze(import_model(model))
    smaller = compacted(analysis, ranges=ranges)
    small = oir.to_proto(emit(model, analysis.graph, smaller.graph))
    onnx.checker.check_model(small, full_check=True)
    ends = next(iter((ranges or {}).values()), (-3.0, 3.0))
    before, after = run(proto, *ends), run(small, *ends)
    assert before.shape == after.shape
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-6 * max(1.0, float(np.abs(before).max())))
    return {group.name: group.removed for group in smaller.plan.groups}


def refuse(proto: onnx.ModelProto, ranges: dict[str, tuple[float, float]] | None = None) -> None:
    with pytest.raises(TargetError, match="nothing to compact: no channel is zero or constant for all inputs"):
        compacted(analyzed(proto), ranges=ranges)


def test_what_is_zero_goes_also_under_a_window_that_hangs_over() -> None:
    assert check(convs(**dead([1, 4]))) == {"w:0": (1, 4)}


def test_a_negative_constant_before_a_relu_is_zero() -> None:
    assert check(convs(**dead([2], -0.5))) == {"w:0": (2,)}


def test_a_constant_goes_into_the_bias_where_the_window_stays_inside() -> None:
    assert check(convs(pads="0, 0, 0, 0", **dead([1, 4], 0.7))) == {"w:0": (1, 4)}


def test_a_constant_stays_where_the_border_meets_zeros_instead() -> None:
    refuse(convs(**dead([1, 4], 0.7)))


def test_what_is_weighed_by_zeros_alone_goes() -> None:
    v = normal(4, 6, 3, 3)
    v[:, [0, 5]] = 0
    assert check(convs(v=v)) == {"w:0": (0, 5)}


def test_nothing_planted_is_nothing_to_compact() -> None:
    refuse(convs())


def test_a_relu_that_no_input_within_its_range_activates() -> None:
    b = normal(6)
    b[3] = -1.01 * float(np.abs(normal(6, 3, 1, 1)[3]).sum())
    assert check(convs(b=b), {"x": (-1.0, 1.0)}) == {"w:0": (3,)}


def test_a_relu_that_some_input_activates_stays() -> None:
    b = normal(6)
    b[3] = -1.01 * float(np.abs(normal(6, 3, 1, 1)[3]).sum())
    refuse(convs(b=b))
    refuse(convs(b=b), {"x": (-1.0, 1.1)})


def test_every_axis_keeps_an_element() -> None:
    assert check(convs(**dead([0, 1, 2, 3, 4, 5]))) == {"w:0": (1, 2, 3, 4, 5)}


CLIPPED = """
    g (float[N, 4] x) => (float[N, 3] y) {
        h = Gemm<transB = 1>(x, w, b)
        r = Clip(h, low, high)
        y = Gemm<transB = 1>(r, v, c)
    }
"""


def test_a_clip_that_is_saturated_for_all_inputs_is_a_constant() -> None:
    numbers = {"w": normal(5, 4), "b": with_rows(normal(5), [2], 40.0), "v": normal(3, 5), "c": normal(3)}
    numbers |= {"low": np.float32(0).reshape(()), "high": np.float32(6).reshape(())}
    proto = model_of(CLIPPED, numbers)
    assert check(proto, {"x": (-2.0, 2.0)}) == {"w:0": (2,)}
    refuse(proto)


RESIDUAL = """
    g (float[N, 4] x) => (float[N, 3] y) {
        a = Gemm<transB = 1>(x, w, b)
        s = Sigmoid(a)
        d = Gemm<transB = 1>(s, u, e)
        z = Add(a, d)
        y = Gemm<transB = 1>(z, v, c)
    }
"""


def residual(both: bool) -> onnx.ModelProto:
    """Channel 1 of the stream is constant in both summands, or in the first alone."""
    numbers = {"w": with_rows(normal(5, 4), [1]), "b": normal(5), "v": normal(3, 5), "c": normal(3)}
    numbers |= {"u": with_rows(normal(5, 5), [1]) if both else normal(5, 5), "e": normal(5, seed=3)}
    return model_of(RESIDUAL, numbers)


def test_both_summands_of_a_residual_sum_have_to_be_constant() -> None:
    assert list(check(residual(True)).values()) == [(1,)]
    refuse(residual(False))


NORMALIZED = """
    g (float[N, 4] x) => (float[N, 3] y) {
        a = Gemm<transB = 1>(x, w, b)
        z = LayerNormalization<axis = -1>(a, scale, shift)
        y = Gemm<transB = 1>(z, v, c)
    }
"""


def test_a_zero_within_statistics_counts() -> None:
    numbers = {"w": with_rows(normal(5, 4), [1]), "b": with_rows(normal(5), [1]), "v": normal(3, 5), "c": normal(3)}
    refuse(model_of(NORMALIZED, {**numbers, "scale": normal(5, seed=1), "shift": normal(5, seed=2)}))


JOINED = """
    g (float[N, 4] x) => (float[N, 3] y) {
        a = Gemm<transB = 1>(x, w, b)
        r = Relu(a)
        j = Concat<axis = 1>(r, a)
        y = Gemm<transB = 1>(j, v, c)
    }
"""


def test_of_a_concatenation_each_part_has_its_own_bounds() -> None:
    """Channel 2 is negative: zero in one part, a constant in the other."""
    numbers = {"w": with_rows(normal(5, 4), [2]), "b": with_rows(normal(5), [2], -1.0)}
    assert check(model_of(JOINED, {**numbers, "v": normal(3, 10), "c": normal(3)})) == {"w:0": (2,)}


GATED = """
    g (float[N, 4] x) => (float[N, 3] y) {
        a = Gemm<transB = 1>(x, w, b)
        o = Gemm<transB = 1>(x, u)
        z = Mul(a, o)
        y = Gemm<transB = 1>(z, v)
    }
"""


def test_zero_times_anything_is_zero() -> None:
    numbers = {"w": with_rows(normal(5, 4), [0]), "b": with_rows(normal(5), [0]), "u": normal(5, 4), "v": normal(3, 5)}
    assert list(check(model_of(GATED, numbers)).values()) == [(0,)]
    numbers["b"] = normal(5)
    refuse(model_of(GATED, numbers))


RECURRENT = """
    g (float[7, N, 4] x) => (float[7, N, 3] y) {
        h, last = CELL<hidden_size = 5>(x, w, r, b)
        s = Squeeze(h, axis)
        y = MatMul(s, v)
    }
"""


def recurrent(cell: str, gates: int, idle: int, bias: float = 0.0) -> onnx.ModelProto:
    """Unit 3 has no candidate; with a bias it has."""
    w, r, b = normal(1, gates * 5, 4), normal(1, gates * 5, 5), normal(1, 2 * gates * 5)
    row = idle * 5 + 3
    w[:, row], r[:, row], b[:, row], b[:, gates * 5 + row] = 0, 0, bias, 0
    numbers = {"w": w, "r": r, "b": b, "v": normal(5, 3), "axis": np.array([1], dtype=np.int64)}
    return model_of(RECURRENT.replace("CELL", cell), numbers)


@pytest.mark.parametrize(("cell", "gates", "idle"), [("LSTM", 4, 3), ("GRU", 3, 2), ("RNN", 1, 0)])
def test_a_hidden_unit_without_a_candidate_stays_at_zero(cell: str, gates: int, idle: int) -> None:
    assert list(check(recurrent(cell, gates, idle)).values()) == [(3,)]
    refuse(recurrent(cell, gates, idle, 0.1))


PADDED = """
    g (float[N, 3, 6, 6] x) => (float[N, 4, 6, 6] y) {
        a = Conv<kernel_shape = [1, 1]>(x, w)
        p = Pad(a, pads)
        q = Conv<kernel_shape = [1, 1]>(x, u)
        z = Add(p, q)
        y = Conv<kernel_shape = [1, 1]>(z, v)
    }
"""


def test_channels_that_are_padded_on_are_zero_where_the_other_summand_is() -> None:
    pads = np.array([0, 2, 0, 0, 0, 2, 0, 0], dtype=np.int64)
    numbers = {"w": normal(4, 3, 1, 1), "u": normal(8, 3, 1, 1), "v": normal(4, 8, 1, 1), "pads": pads}
    refuse(model_of(PADDED, numbers))
    found = check(model_of(PADDED, {**numbers, "u": with_rows(normal(8, 3, 1, 1), [0, 3, 7])}))
    assert sorted(found.values()) == [(0,), (1,)]


# -- plans ------------------------------------------------------------------------------------------------------------


def test_a_plan_is_carried_out_again() -> None:
    analysis = analyzed(convs(pads="0, 0, 0, 0", **dead([1, 4], 0.7)))
    smaller = compacted(analysis)
    assert smaller.plan.updated.keys() == {"c"}
    plan = Plan.loads(smaller.plan.dumps())
    assert plan.kind == "compact"
    again = replay(analysis, plan)
    assert again.plan == smaller.plan
    assert (again.graph.constants["c"].numpy() == smaller.graph.constants["c"].numpy()).all()


def test_a_plan_that_removes_what_is_not_constant_is_refused() -> None:
    analysis = analyzed(convs(**dead([1])))
    plan = compacted(analysis).plan
    group = PlannedGroup(**{**plan.groups[0].model_dump(), "removed": (1, 2)})
    with pytest.raises(InputError, match="position 2 of group 'w:0', which is neither zero nor constant"):
        replay(analysis, plan.model_copy(update={"groups": (group,)}))


def test_ranges_are_recorded_and_of_inputs(tmp_path: Path) -> None:
    analysis = analyzed(convs(**dead([1])))
    plan = compacted(analysis, ranges={"x": (0, 1)}).plan
    assert Plan.loads(plan.dumps()).ranges == {"x": (0.0, 1.0)}
    with pytest.raises(InputError, match="--range 'z' is no input; there are x"):
        compacted(analysis, ranges={"z": (0, 1)})
    with pytest.raises(InputError, match="begins at its least number"):
        Plan.loads(plan.dumps().replace('"ranges": {\n  "x": [\n   0.0,', '"ranges": {\n  "x": [\n   2.0,'))


BARE = """
    g (float[N, 3, 6, 6] x) => (float[N, 4, 6, 6] y) {
        h = Conv<kernel_shape = [1, 1]>(x, w, b)
        r = Sigmoid(h)
        k = Conv<kernel_shape = [1, 1]>(r, v)
        s = Relu(k)
        y = Conv<kernel_shape = [1, 1]>(s, u)
    }
"""


def test_a_convolution_without_a_bias_gets_one_for_a_constant() -> None:
    """Rows that go as well need none."""
    numbers = {"v": with_rows(np.abs(normal(5, 6, 1, 1)), [3]), "u": normal(4, 5, 1, 1)}
    proto = model_of(BARE, {**dead([1, 4], 0.7), **numbers})
    assert check(proto) == {"w:0": (1, 4), "v:0": (3,)}
    plan = compacted(analyzed(proto)).plan
    assert plan.updated.keys() == {"k_bias"}
    assert plan.rewritten == ("k",)
