"""The allocation solver against exhaustive search."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx_ir as oir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irprune.allocation.costs import CostTable
from irprune.allocation.sequence import order_groups, removed_mask
from irprune.allocation.solver import allocate
from irprune.analysis import analyze
from irprune.frontends.onnx import import_model
from irprune.plans.planner import cost_of
from tests.golden.helpers.models import model_of

NET = """(float[N, 4] x) => (float[] y)
<float[4, 6] a, float[6, 5] b, float[5, 7] c, float[7, 3] d>
{ h = MatMul(x, a) i = Relu(h) j = MatMul(i, b) k = Relu(j) l = MatMul(k, c) m = Relu(l) y = MatMul(m, d) }"""

ANALYSIS = analyze(import_model(oir.from_proto(model_of(NET))))
GROUPS = [group for group in ANALYSIS.groups if not group.frozen]


def _order(scores: np.ndarray):  # type: ignore[no-untyped-def]
    return order_groups(ANALYSIS, GROUPS, scores, by_share=False, max_ratio=0.8, min_channels=1)


@pytest.mark.parametrize("target", ["macs", "params", "bytes"])
def test_the_table_is_the_exact_cost(target: str) -> None:
    order = _order(np.arange(ANALYSIS.atoms.count, dtype=float))
    table = CostTable(ANALYSIS.cost_model, order.groups, target)  # type: ignore[arg-type]
    for counts in product(*(range(limit + 1) for limit in order.limits)):
        exact = getattr(cost_of(ANALYSIS, removed_mask(ANALYSIS, order, np.array(counts))), target)
        assert table.total(np.array(counts)) == exact
    some = np.array([1, 2, 3])
    options = np.arange(order.limits[1] + 1)
    expected = [table.total(np.array([1, k, 3])) for k in options]
    np.testing.assert_allclose(table.along(some, 1, options), expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 0.95))
def test_within_the_budget_and_close_to_the_best(seed: int, share: float) -> None:
    """At most a tenth of the whole error above the optimum, which all combinations tell."""
    scores = np.random.default_rng(seed).exponential(size=ANALYSIS.atoms.count)
    order = _order(scores)
    table = CostTable(ANALYSIS.cost_model, order.groups, "macs")
    allowed = [np.arange(limit + 1) for limit in order.limits]
    errors = [
        np.append(0.0, np.cumsum(scores[g.atoms]))[: len(own)] for g, own in zip(order.groups, allowed, strict=True)
    ]
    budget = share * table.total(np.zeros(3, dtype=np.intp))

    def error(counts: tuple[int, ...]) -> float:
        return float(sum(e[n] for e, n in zip(errors, counts, strict=True)))

    feasible = [c for c in product(*allowed) if table.total(np.array(c)) <= budget]
    found = allocate(errors, allowed, table, budget)
    if not feasible:
        assert found is None
        return
    assert found is not None
    assert table.total(found) <= budget
    best, most = min(map(error, feasible)), sum(e[-1] for e in errors)
    assert error(tuple(found)) <= best + 0.1 * most


def test_what_is_out_of_reach_is_said() -> None:
    order = _order(np.ones(ANALYSIS.atoms.count))
    table = CostTable(ANALYSIS.cost_model, order.groups, "macs")
    allowed = [np.arange(limit + 1) for limit in order.limits]
    errors = [np.arange(len(own), dtype=float) for own in allowed]
    assert allocate(errors, allowed, table, 1.0) is None


def test_only_allowed_counts_are_chosen() -> None:
    order = _order(np.ones(ANALYSIS.atoms.count))
    table = CostTable(ANALYSIS.cost_model, order.groups, "macs")
    allowed = [np.array([0, 2, 4]), np.array([1, 4]), np.array([0, 3, 5])]
    errors = [own.astype(float) for own in allowed]
    found = allocate(errors, allowed, table, 0.6 * table.total(np.zeros(3, dtype=np.intp)))
    assert found is not None
    assert all(n in own for n, own in zip(found, allowed, strict=True))
