"""Weights that make up for what was removed."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as oir
import pytest

from irprune.analysis import Analysis, analyze
from irprune.backends.onnx import emit, to_proto
from irprune.calibration.points import find_points
from irprune.frontends.onnx import import_model
from irprune.repair.refit import refit
from irprune.rewriting.slicing import remove_atoms
from irprune.runtime.executable import Executable
from tests.golden.helpers.models import model_of

PLAIN = """(float[N, 6] x) => (float[] y)
<float[6, 12] a, float[12] ab, float[12, 5] b, float[5] bb>
{ h = MatMul(x, a) k = Add(h, ab) r = Tanh(k) l = MatMul(r, b) y = Add(l, bb) }"""
RESIDUAL = """(float[N, 4, 6, 6] x) => (float[] y)
<float[8, 4, 3, 3] a, float[8] ab, float[12, 8, 3, 3] b, float[12] bb,
float[8, 12, 1, 1] c, float[8] cb, float[3, 8, 1, 1] d, float[3] db>
{ h = Conv<pads = [1, 1, 1, 1]>(x, a, ab) r = Relu(h) k = Conv<pads = [1, 1, 1, 1]>(r, b, bb) s = Relu(k)
l = Conv(s, c, cb) t = Add(l, r) u = Relu(t) y = Conv(u, d, db) }"""
NORM = """(float[N, 4, 6, 6] x) => (float[] y)
<float[10, 4, 3, 3] a, float[10] g, float[10] b, float[10] m, float[10] var, float[3, 10, 1, 1] d, float[3] db>
{ h = Conv(x, a) n = BatchNormalization(h, g, b, m, var) r = Relu(n) y = Conv(r, d, db) }"""
DEPTHWISE = """(float[N, 4, 6, 6] x) => (float[] y)
<float[10, 4, 1, 1] a, float[10] ab, float[10, 1, 3, 3] k, float[10] kb, float[3, 10, 1, 1] d, float[3] db>
{ h = Conv(x, a, ab) r = Relu(h) s = Conv<group = 10>(r, k, kb) t = Relu(s) y = Conv(t, d, db) }"""


class Case:
    """A model whose atoms are partly removed, with data."""

    def __init__(self, text: str, share: float = 0.5, **weights: np.ndarray) -> None:
        self.model = model_of(text, numbers=weights)
        source = oir.from_proto(self.model)
        self.analysis: Analysis = analyze(import_model(source))
        rng = np.random.default_rng(7)
        self.removed = np.zeros(self.analysis.atoms.count, dtype=bool)
        for group in self.analysis.groups:
            self.removed[rng.permutation(group.atoms)[: int(share * group.size)]] = True
        graph, _ = remove_atoms(self.analysis, self.removed)
        self.graph = graph
        self.small = to_proto(emit(source, self.analysis.graph, graph))
        shape = [d.dim_value or 24 for d in self.model.graph.input[0].type.tensor_type.shape.dim]
        self.feeds = [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(12)]

    def refit(self, **options: object):  # type: ignore[no-untyped-def]
        kept = self.analysis.kept(self.removed)
        after = analyze(self.graph)
        return refit(self.model, self.small, self.analysis, after, kept, self.feeds[:8], self.feeds[8:10], **options)

    def error(self, updated: dict[str, np.ndarray]) -> float:
        """On data that neither the fit nor the choice has seen."""
        tuned = onnx.ModelProto()
        tuned.CopyFrom(self.small)
        for tensor in tuned.graph.initializer:
            if tensor.name in updated:
                tensor.CopyFrom(onnx.numpy_helper.from_array(updated[tensor.name], tensor.name))
        feeds = self.feeds[10:]
        wanted, got = ([Executable(m).run(feed)["y"] for feed in feeds] for m in (self.model, tuned))
        return float(np.mean([np.square(a - b).mean() for a, b in zip(wanted, got, strict=True)]) / np.var(wanted[0]))


@pytest.mark.parametrize("text", [PLAIN, RESIDUAL, NORM, DEPTHWISE], ids=["plain", "residual", "norm", "depthwise"])
def test_the_outputs_come_closer_on_unseen_data(text: str) -> None:
    case = Case(text)
    updated, log = case.refit()
    assert case.error(updated) < 0.7 * case.error({})
    assert {entry.node for entry in log if entry.is_kept}


def test_redundant_channels_are_made_up_for_exactly() -> None:
    """Twelve channels that repeat six: half of them may go, and the outputs stay what they were."""
    rng = np.random.default_rng(0)
    half = rng.standard_normal((6, 6)).astype(np.float32)
    case = Case(
        PLAIN, 0.0, a=np.concatenate([half, half], axis=1), ab=np.tile(rng.standard_normal(6), 2).astype(np.float32)
    )
    (group,) = [group for group in case.analysis.groups if not group.frozen]
    case.removed[group.atoms[:6]] = True
    case.graph, _ = remove_atoms(case.analysis, case.removed)
    case.small = to_proto(emit(oir.from_proto(case.model), case.analysis.graph, case.graph))
    updated, _ = case.refit(damp=1e-9)
    assert case.error({}) > 0.1
    assert case.error(updated) < 1e-6


def test_a_change_that_does_not_help_is_not_made() -> None:
    """Nothing was removed: no change lowers an error of zero."""
    case = Case(PLAIN, 0.0)
    updated, log = case.refit()
    assert updated == {}
    assert not any(entry.is_kept for entry in log)


def test_the_same_again_is_the_same() -> None:
    first, second = (Case(RESIDUAL).refit(seed=5)[0] for _ in range(2))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_batch_normalization_takes_the_constant() -> None:
    """A convolution without a bias: the constant goes into the mean that is subtracted."""
    case = Case(NORM)
    updated, _ = case.refit()
    assert {"d", "db"} <= updated.keys()
    assert "g" not in updated
    assert "var" not in updated


def test_what_follows_is_read_from_the_graph() -> None:
    points = {p.contraction.constant: p for p in find_points(analyze(import_model(oir.from_proto(model_of(RESIDUAL)))))}
    assert (points["c"].bias, points["c"].skip, points["c"].target, points["c"].rectified) == ("cb", "r", "t", True)
    assert (points["b"].skip, points["b"].target, points["b"].rectified) == (None, "k", True)
    assert (points["d"].target, points["d"].rectified) == ("y", False)
    (norm, _) = find_points(analyze(import_model(oir.from_proto(model_of(NORM)))))
    assert (norm.bias, norm.target, norm.rectified) == ("m", "n", True)


def test_values_beyond_the_memory_wait_in_files() -> None:
    """One byte of memory: every value goes through a file, and the weights are the same."""
    held, filed = (Case(RESIDUAL).refit(memory=memory)[0] for memory in (1 << 30, 1))
    assert held.keys() == filed.keys()
    for name, array in held.items():
        np.testing.assert_array_equal(array, filed[name])
