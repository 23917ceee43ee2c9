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
from irprune.verification.cases import random_cases
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
