"""Verification over several steps: a model whose state is pruned apart passes one step, and fails the second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as oir

from irprune.analysis import Analysis, analyze
from irprune.backends.onnx import emit, to_proto
from irprune.frontends.onnx import import_model
from irprune.rewriting import remove_atoms
from irprune.runtime.executable import Executable
from irprune.verification.cases import Case, Cases, random_cases
from irprune.verification.equivalence import Comparison
from irprune.verification.report import Equivalence
from irprune.verification.steps import with_steps
from tests.golden.helpers.models import model_of
from tests.unit.test_states import ELMAN

GROWING = """(float[1, 1, 8] x, float[1, past, 6] past_key) => (float[1, 1, 4] y, float[1, total, 6] present_key)
<float[8, 6] wk, float[8, 6] wq, float[8, 4] wo>
{ k = MatMul(x, wk) present_key = Concat<axis = 1>(past_key, k) q = MatMul(x, wq)
  t = Transpose<perm = [0, 2, 1]>(present_key) s = MatMul(q, t) p = Softmax(s) m = ReduceSum<keepdims = 1>(p)
  h = Mul(x, m) y = MatMul(h, wo) }"""


def compare(proto: onnx.ModelProto, analysis: Analysis, share: float) -> tuple[Equivalence, Equivalence]:
    """What verification finds in one step, and in several; of every group the first atoms go."""
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    for group in analysis.groups:
        removed[group.atoms[: int(group.size * share)]] = True
    graph, _ = remove_atoms(analysis, removed)
    small = to_proto(emit(oir.from_proto(proto), analysis.graph, graph))
    original = Executable(proto)
    cases = random_cases(original, seed=0, runs=2)
    comparison = Comparison(original, Executable(small), analysis, analysis.kept(removed))
    found, _ = comparison.run(cases)
    return found, with_steps(comparison, cases, found)


def test_a_state_that_is_tied_passes() -> None:
    proto = model_of(ELMAN.format(h="before", after="after"))
    found, later = compare(proto, analyze(import_model(oir.from_proto(proto)), states=["before=after"]), 0.5)
    assert found.ok
    assert later.ok
    assert any("3 steps with the state fed back" in label for label in later.cases)


def test_a_state_that_is_pruned_apart_passes_one_step_and_fails_the_second() -> None:
    proto = model_of(ELMAN.format(h="before", after="after"))
    analysis = analyze(import_model(oir.from_proto(proto)), allow_io=["before", "after"])
    first, last = (group for group in analysis.groups if not group.frozen)
    apart = replace(analysis, coupling=replace(analysis.coupling, states=(("before", "after"),)))
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    removed[first.atoms[:8]] = removed[last.atoms[8:]] = True
    graph, _ = remove_atoms(apart, removed)
    small = to_proto(emit(oir.from_proto(proto), apart.graph, graph))
    original = Executable(proto)
    cases = random_cases(original, seed=0, runs=1)
    comparison = Comparison(original, Executable(small), apart, apart.kept(removed))
    found, _ = comparison.run(cases)
    later = with_steps(comparison, cases, found)
    assert found.ok
    assert not later.ok
    assert "step 2 with the state fed back" in next(output.case for output in later.outputs if not output.ok)


def test_a_state_that_grows_is_fed_back() -> None:
    proto = model_of(GROWING)
    analysis = analyze(import_model(oir.from_proto(proto)), states=["past_*=present_*"])
    assert analysis.coupling.states
    found, later = compare(proto, analysis, 0.5)
    assert found.ok
    assert later.ok
    assert len(later.cases) > len(found.cases)


def test_a_model_without_states_is_as_it_was() -> None:
    proto = model_of(ELMAN.format(h="before", after="after"))
    found, later = compare(proto, analyze(import_model(oir.from_proto(proto))), 0.5)
    assert later is found


MASKED = """(float[batch, seq, 8] x, int64[batch, total] attention_mask, float[batch, 2, past, 4] past_key_values_0_key,
  float[batch, 2, past, 4] past_key_values_0_value)
=> (float[batch, seq, 4] y, float[batch, 2, sum, 4] present_0_key, float[batch, 2, sum, 4] present_0_value)
<float[8, 8] wq, float[8, 8] wk, float[8, 8] wv, float[8, 4] wo, int64[4] s = {0, -1, 2, 4}, int64[3] m = {0, -1, 8},
 int64[2] axes = {1, 2}>
{ q = MatMul(x, wq) qs = Reshape(q, s) qh = Transpose<perm = [0, 2, 1, 3]>(qs)
  k = MatMul(x, wk) ks = Reshape(k, s) kn = Transpose<perm = [0, 2, 1, 3]>(ks)
  v = MatMul(x, wv) vs = Reshape(v, s) vn = Transpose<perm = [0, 2, 1, 3]>(vs)
  present_0_key = Concat<axis = 2>(past_key_values_0_key, kn)
  present_0_value = Concat<axis = 2>(past_key_values_0_value, vn)
  kt = Transpose<perm = [0, 1, 3, 2]>(present_0_key) scores = MatMul(qh, kt)
  f = Cast<to = 1>(attention_mask) mask = Unsqueeze(f, axes) masked = Add(scores, mask) p = Softmax(masked)
  o = MatMul(p, present_0_value) ot = Transpose<perm = [0, 2, 1, 3]>(o) om = Reshape(ot, m) y = MatMul(om, wo) }"""

PAIRS = ["past_key_values_*=present_*"]


def test_a_mask_grows_with_the_past() -> None:
    """Its size is a symbol of its own: as long as the past and the new tokens, at first and in each later step."""
    proto = model_of(MASKED)
    analysis = analyze(import_model(oir.from_proto(proto)), states=PAIRS)
    found, later = compare(proto, analysis, 0.5)
    assert any(not group.frozen for group in analysis.groups)
    assert found.ok
    assert later.ok
    assert sum("3 steps with the state fed back" in label for label in later.cases) == 2
    assert not later.notes


def test_a_state_that_cannot_be_fed_back_is_said() -> None:
    """The declared output has another length each time: the original itself stops at the second step."""
    text = """(float[1, n, 8] h) => (float[1, k, 8] h_out) <float[8, 8] w, int64[1] axis = {1}, int64[1] from = {0},
        int64[1] to = {1}, int64[3] shape = {1, 2, 8}>
        { a = MatMul(h, w) r = Relu(a) b = MatMul(r, w2) c = Reshape(b, shape) h_out = Concat<axis = 1>(c, c) }"""
    text = text.replace("<float[8, 8] w,", "<float[8, 8] w, float[8, 8] w2,")
    proto = model_of(text)
    analysis = analyze(import_model(oir.from_proto(proto)), states=["h=h_out"])
    original = Executable(proto)
    feeds = {"h": np.ones((1, 2, 8), np.float32)}
    cases = Cases((Case("given", feeds, original.run(feeds)),))
    comparison = Comparison(original, original, analysis, analysis.kept(np.zeros(analysis.atoms.count, dtype=bool)))
    found, _ = comparison.run(cases)
    later = with_steps(comparison, cases, found)
    assert later.ok
    assert later.notes[0].startswith("only 1 of 3 steps (given): the original does not run on its own state")
