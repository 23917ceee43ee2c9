"""Recurrent cells as products of their weights: measured, chosen and refitted like every other contraction."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as oir
import pytest

from irprune import api
from irprune.analysis import Analysis, analyze
from irprune.backends.onnx import emit, to_proto
from irprune.calibration.calibrate import measure
from irprune.calibration.cells import CellPoint, uncovered
from irprune.calibration.points import find_points
from irprune.calibration.stepwise import Stepwise
from irprune.criteria import DATA_CRITERIA
from irprune.frontends.onnx import import_model
from irprune.repair import refit as refit_module
from irprune.repair.effect import agreement
from irprune.repair.refit import Refit, refit, run_again
from irprune.rewriting.slicing import remove_atoms
from irprune.runtime.executable import Executable
from tests.golden.helpers.models import model_of

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
HIDDEN = 8


def cell(op: str, *, direction: str = "forward", state: bool = False, bias: bool = True, attributes: str = "") -> str:
    """A projection, a cell and a projection: ``x [T, N, 5] -> y``."""
    d, rows = 2 if direction == "bidirectional" else 1, GATES[op] * HIDDEN
    operands = f"e, w, r{', b' if bias or state else ''}{', , h0' if state else ''}"
    first = f", float[{d}, N, {HIDDEN}] h0" if state else ""
    return f"""(float[T, N, 5] x{first}) => (float[] y)
<float[5, 12] p, float[{d}, {rows}, 12] w, float[{d}, {rows}, {HIDDEN}] r, float[{d}, {2 * rows}] b,
float[{d * HIDDEN}, 3] v, int64[3] to = {{0, 0, -1}}>
{{ m = MatMul(x, p) e = Tanh(m) s = {op}<hidden_size = {HIDDEN}, direction = "{direction}"{attributes}>({operands})
t = Transpose<perm = [0, 2, 1, 3]>(s) f = Reshape(t, to) y = MatMul(f, v) }}"""


def analysis_of(model: onnx.ModelProto) -> Analysis:
    return analyze(import_model(oir.from_proto(model)))


def feeds_of(model: onnx.ModelProto, count: int, seed: int = 3, steps: int = 7) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    sizes = {"T": steps, "N": 6}
    return [
        {
            value.name: rng.standard_normal(
                [dim.dim_value or sizes[dim.dim_param] for dim in value.type.tensor_type.shape.dim]
            ).astype(np.float32)
            for value in model.graph.input
        }
        for _ in range(count)
    ]


def cell_points(analysis: Analysis) -> list[CellPoint]:
    return [point for point in find_points(analysis) if isinstance(point, CellPoint)]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def states(op: str, sums: list[np.ndarray], first: np.ndarray, direction: str) -> np.ndarray:
    """The hidden states ``[t, b, d, h]`` that follow from the sums ``[t, b, d, q, h]`` of the gates."""
    found = np.zeros((*sums[0].shape[:3], HIDDEN))
    for d in range(found.shape[2]):
        back = direction == "reverse" or d == 1
        h, c = first[d].astype(np.float64), np.zeros(first[d].shape)
        for t in reversed(range(len(found))) if back else range(len(found)):
            a = sums[0][t, :, d]
            if op == "RNN":
                h = np.tanh(a[:, 0])
            elif op == "LSTM":
                c = sigmoid(a[:, 2]) * c + sigmoid(a[:, 0]) * np.tanh(a[:, 3])
                h = sigmoid(a[:, 1]) * np.tanh(c)
            else:
                b = sums[1][t, :, d]
                update, reset = sigmoid(a[:, 0] + b[:, 0]), sigmoid(a[:, 1] + b[:, 1])
                h = (1 - update) * np.tanh(a[:, 2] + reset * b[:, 2]) + update * h
            found[t, :, d] = h
    return found


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("state", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("op", GATES)
def test_the_gates_sum_what_makes_the_hidden_states(op: str, state: bool, direction: str) -> None:
    """The cell's own equations, fed with our sums, give the states that ONNX Runtime hands out."""
    more = ", linear_before_reset = 1" if op == "GRU" else ""
    model = model_of(cell(op, direction=direction, state=state, attributes=more))
    analysis = analysis_of(model)
    (feed,) = feeds_of(model, 1)
    points = cell_points(analysis)
    assert [point.name for point in points] == (
        [f"{points[0].node.name}/input", f"{points[0].node.name}/state"] if op == "GRU" else [points[0].node.name]
    )
    run = Stepwise(model, [feed], ["e", "s", *feed])
    (values,) = run.get(["e", "s", *(["h0"] if state else [])])
    sums = [point.result(values, analysis.graph) for point in points]
    first = feed["h0"] if state else np.zeros((values["s"].shape[1], 6, HIDDEN))
    np.testing.assert_allclose(states(op, sums, first, direction).transpose(0, 2, 1, 3), values["s"], rtol=0, atol=2e-5)
    for point, total in zip(points, sums, strict=True):
        chosen = np.arange(point.positions(total.shape))
        rows = point.rows(values, analysis.graph, total.shape, chosen)
        bias = point.bias_rows(analysis.graph)
        assert bias is not None
        got = np.einsum("pgc,goc->pgo", rows.astype(np.float64), point.matrix(analysis.graph)) + bias
        np.testing.assert_allclose(got, point.at(total, chosen), rtol=0, atol=1e-4)


def twin_weights(op: str, directions: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a cell whose hidden unit 5 does what unit 2 does, and is read otherwise."""
    rng = np.random.default_rng(seed)
    q = GATES[op]
    w = rng.standard_normal((directions, q, HIDDEN, 12)) * 0.5
    r = rng.standard_normal((directions, q, HIDDEN, HIDDEN)) * 0.5
    b = rng.standard_normal((directions, 2, q, HIDDEN)) * 0.5
    for tensor in (w, r, b):
        np.moveaxis(tensor, 3 if tensor is b else 2, 0)[5] = np.moveaxis(tensor, 3 if tensor is b else 2, 0)[2]
    shaped = {
        "w": w.reshape(directions, -1, 12),
        "r": r.reshape(directions, -1, HIDDEN),
        "b": b.reshape(directions, -1),
    }
    return {name: array.astype(np.float32) for name, array in shaped.items()}


def recurrent_group(analysis: Analysis):  # type: ignore[no-untyped-def]
    (group,) = [group for group in analysis.groups if group.kind == "recurrent"]
    return group


CASES = [(op, direction) for op in GATES for direction in ("forward", "bidirectional")]


@pytest.mark.parametrize(("op", "direction"), CASES)
def test_a_hidden_unit_that_repeats_another_goes_first(op: str, direction: str) -> None:
    more = ", linear_before_reset = 1" if op == "GRU" else ""
    weights = twin_weights(op, 2 if direction == "bidirectional" else 1)
    model = model_of(cell(op, direction=direction, attributes=more), numbers=weights)
    analysis = analysis_of(model)
    group = recurrent_group(analysis)
    scores = DATA_CRITERIA["obs"](measure(analysis, model, feeds_of(model, 20)))[group.atoms]
    cheapest = int(np.argmin(scores))
    assert cheapest in (2, 5)
    assert scores[cheapest] < 0.05 * np.sort(scores)[1]


def removal(op: str, direction: str, atoms: list[int], weights: dict[str, np.ndarray], more: str = ""):  # type: ignore[no-untyped-def]
    """The outputs on unseen data of: the original, the smaller model, the smaller model refitted; and the log."""
    model = model_of(cell(op, direction=direction, attributes=more), numbers=weights)
    source = oir.from_proto(model)
    analysis = analyze(import_model(source))
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    removed[recurrent_group(analysis).atoms[atoms]] = True
    graph, _ = remove_atoms(analysis, removed)
    small = to_proto(emit(source, analysis.graph, graph))
    feeds = feeds_of(model, 24)
    updated, log = refit(
        model, small, analysis, analyze(graph), analysis.kept(removed), feeds[:16], feeds[16:20], damp=1e-9
    )
    tuned = onnx.ModelProto()
    tuned.CopyFrom(small)
    for tensor in tuned.graph.initializer:
        if tensor.name in updated:
            tensor.CopyFrom(onnx.numpy_helper.from_array(updated[tensor.name], tensor.name))
    found = [np.concatenate([Executable(m).run(feed)["y"] for feed in feeds[20:]]) for m in (model, small, tuned)]
    return (*found, updated, log)


def share(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(np.square(wanted - got).mean() / wanted.var())


@pytest.mark.parametrize(("op", "direction"), [*CASES, ("LSTM", "reverse")])
def test_what_another_unit_does_is_made_up_for(op: str, direction: str) -> None:
    more = ", linear_before_reset = 1" if op == "GRU" else ""
    weights = twin_weights(op, 2 if direction == "bidirectional" else 1)
    wanted, sliced, refitted, updated, _ = removal(op, direction, [5], weights, more)
    assert "r" in updated
    assert share(wanted, sliced) > 1e-3
    assert share(wanted, refitted) < 0.02 * share(wanted, sliced)


def test_both_halves_of_a_bias_keep_their_new_values() -> None:
    """The two products of a GRU are fitted one after the other, and store their biases in one tensor."""
    model = model_of(cell("GRU", attributes=", linear_before_reset = 1"))
    source = oir.from_proto(model)
    analysis = analyze(import_model(source))
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    for group in analysis.groups:
        if not group.frozen:
            removed[group.atoms[:3]] = True
    graph, _ = remove_atoms(analysis, removed)
    small = to_proto(emit(source, analysis.graph, graph))
    feeds = feeds_of(model, 20)
    updated, log = refit(model, small, analysis, analyze(graph), analysis.kept(removed), feeds[:16], feeds[16:])
    assert {"w", "r", "b"} <= updated.keys()
    assert sum(entry.is_kept for entry in log if "/" in entry.node) == 2
    changed = (updated["b"] != graph.constants["b"].numpy()).reshape(2, -1)
    assert changed.mean(axis=1).min() > 0.9


@pytest.mark.parametrize("better", [False, True])
def test_a_cell_runs_again_with_the_better_weights(better: bool) -> None:
    model = model_of(cell("LSTM"))
    analysis = analysis_of(model)
    (point,) = cell_points(analysis)
    worse = {"r": np.random.default_rng(1).standard_normal((1, 4 * HIDDEN, HIDDEN)).astype(np.float32)}
    feeds = feeds_of(model, 4)
    teacher = Stepwise(model, feeds, point.targets)
    student = Stepwise(model, feeds, point.reads)
    old, new = analysis.graph.with_values(worse), {"r": analysis.graph.constants["r"].numpy()}
    if better:
        student.update("r", worse["r"])
    else:
        old, new = analysis.graph, worse
    list(student.get(point.reads))
    open_loop = [Refit(point.name, 2.0, 1.0)]
    (entry,) = run_again([point], (point,), old, new, {}, teacher, student, 2, open_loop)
    assert entry.is_kept is better
    for theirs, ours in zip(teacher.get(["s"]), student.get(["s"]), strict=True):
        np.testing.assert_array_equal(theirs["s"], ours["s"])


def test_the_same_again_is_the_same() -> None:
    first, second = (removal("LSTM", "bidirectional", [0, 3], {})[3] for _ in range(2))
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes()


@pytest.mark.parametrize("op", GATES)
def test_nothing_is_changed_where_nothing_was_removed(op: str) -> None:
    *_, updated, log = removal(op, "forward", [], {}, ", linear_before_reset = 1" if op == "GRU" else "")
    assert updated == {}
    assert len(log) > 2
    assert not any(entry.is_kept for entry in log)


def test_gates_of_a_hidden_unit_that_goes_are_no_loss() -> None:
    """Only the unit's own gates read it: its column of R costs nothing."""
    rng = np.random.default_rng(0)
    r = rng.standard_normal((1, 4, HIDDEN, HIDDEN)).astype(np.float32) * 0.5
    r[:, :, :, 3] = 0
    r[:, :, 3, 3] = 1
    v = rng.standard_normal((HIDDEN, 3)).astype(np.float32)
    v[3] = 0
    model = model_of(cell("LSTM"), numbers={"r": r.reshape(1, -1, HIDDEN), "v": v})
    analysis = analysis_of(model)
    measured = measure(analysis, model, feeds_of(model, 10))
    (point,) = cell_points(analysis)
    weight = measured.lasting_weight(point)[0]
    assert not weight[:, 12 + 3].any()
    assert weight[:, 12 + 2].any()
    assert measured.weight(point)[0][:, 12 + 3].any()
    for name, criterion in DATA_CRITERIA.items():
        scores = criterion(measured)[recurrent_group(analysis).atoms]
        assert scores[3] < 1e-6 * np.sort(scores)[1], name


LENGTHS = (
    cell("LSTM")
    .replace("e, w, r, b", "e, w, r, b, n")
    .replace("int64[3] to", "int32[6] n = {7, 3, 2, 7, 5, 1}, int64[3] to")
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (cell("GRU"), "linear_before_reset"),
        (cell("LSTM", attributes=", clip = 2.0"), "clips"),
        (LENGTHS, "lengths"),
    ],
    ids=["reset", "clip", "lengths"],
)
def test_what_is_not_covered_is_said(text: str, reason: str) -> None:
    analysis = analysis_of(model_of(text))
    (found,) = uncovered(analysis).values()
    assert reason in found
    assert not any(1 in point.halves for point in cell_points(analysis))


def test_the_last_state_alone_is_enough() -> None:
    """A cell that hands out its last state alone: the sequence is read all the same."""
    text = f"""(float[T, N, 5] x) => (float[] y)
<float[5, 12] p, float[1, 32, 12] w, float[1, 32, {HIDDEN}] r, float[1, 64] b, float[{HIDDEN}, 3] v>
{{ m = MatMul(x, p) e = Tanh(m) s, h = LSTM<hidden_size = {HIDDEN}>(e, w, r, b) y = MatMul(h, v) }}"""
    model = model_of(text, numbers=twin_weights("LSTM", 1))
    for node in model.graph.node:
        node.output[:] = ["" if name == "s" else name for name in node.output]
    analysis = analysis_of(model)
    scores = DATA_CRITERIA["obs"](measure(analysis, model, feeds_of(model, 20)))
    (point,) = cell_points(analysis)
    (key,) = point.fed_back
    assert key.endswith("/sequence")
    result = api.prune(model, ratio=0.25, align=1, data=feeds_of(model, 16))
    assert result.recovery is not None
    assert any(entry.node == point.name and entry.is_kept for entry in result.recovery.changes)
    assert int(np.argmin(scores[recurrent_group(analysis).atoms])) in (2, 5)


def test_prune_on_data_chooses_and_refits_a_cell() -> None:
    model = model_of(cell("LSTM"), numbers=twin_weights("LSTM", 1))
    feeds = feeds_of(model, 16)
    result = api.prune(model, ratio=0.25, align=1, data=feeds)
    again = api.prune(model, ratio=0.25, align=1, data=feeds)
    assert result.report is not None and result.report.ok, result.report
    assert result.recovery is not None
    assert result.recovery.error < 0.5 * result.recovery.error_sliced
    assert any("LSTM" in entry.node and entry.is_kept for entry in result.recovery.changes)
    first, second = (given.model.SerializeToString() for given in (result, again))
    assert first == second


@pytest.mark.parametrize("op", GATES)
def test_a_fit_is_led_by_the_states_of_the_original_first(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smaller cell's own states are off until its weights fit, so no fit rests on them alone."""
    more = ", linear_before_reset = 1" if op == "GRU" else ""
    kept = {}
    for turns in ((False,), refit_module.FEEDBACK_TURNS):
        monkeypatch.setattr(refit_module, "FEEDBACK_TURNS", turns)
        wanted, _, refitted, *_ = removal(op, "forward", [0, 1, 5], twin_weights(op, 1, 1), more)
        kept[turns] = share(wanted, refitted)
    assert kept[True, False, False] < 0.9 * kept[False,]


STATES = """(float[batch, 6] x, float[2, batch, 4] before) => (float[batch, 1] y, float[2, batch, 4] after)
<float[6, 16] a, float[16, 4] b, float[4, 1] c>
{ p = MatMul(x, a) q = Tanh(p) r = MatMul(q, b) after = Add(before, r) s = MatMul(r, c) y = Sigmoid(s) }"""


def test_the_batch_may_stand_behind_other_sizes() -> None:
    """A state has the batch second; the costs of a sample count one of them."""
    model = model_of(STATES)
    rng = np.random.default_rng(0)
    shapes = {"x": (16, 6), "before": (2, 16, 4)}
    feeds = [{name: rng.standard_normal(s, np.float32) for name, s in shapes.items()} for _ in range(12)]
    result = api.prune(model, ratio=0.5, align=1, data=feeds)
    assert result.plan.cost["macs"][0] == 6 * 16 + 16 * 4 + 4
    assert result.recovery is not None and result.recovery.error < result.recovery.error_sliced


def test_shares_are_decisions_at_one_half() -> None:
    """Probabilities of steps in a row are no alternatives of each other."""
    wanted = [{"y": np.array([0.9, 0.8, 0.1, 0.2], np.float32)}]
    got = [{"y": np.array([0.6, 0.9, 0.7, 0.1], np.float32)}]
    assert agreement(wanted, got) == 0.75
    classes = [{"y": np.array([[0.6, 0.4], [0.1, 0.9]], np.float32)}]
    others = [{"y": np.array([[0.3, 0.7], [0.2, 0.8]], np.float32)}]
    assert agreement(classes, others) == 0.5
    assert (
        agreement([{"y": np.array([[3.0], [1.0]], np.float32)}], [{"y": np.array([[2.0], [1.0]], np.float32)}]) is None
    )
