"""Random transformers and recurrent networks: what has to be prunable is, and any removal is verified."""

from __future__ import annotations

import onnx
from hypothesis import strategies as st

from irprune.analysis import Analysis
from irprune.axes import leaves_of
from irprune.verification.driver import verify_models
from tests.e2e import scatter
from tests.golden.helpers.removal import feeds_for, remove
from tests.property.random_recurrent import recurrent_networks
from tests.property.random_transformers import Made, transformers
from tests.property.test_random_models import analyzed, drawn_atoms, few_and_many

SIZES = {"N": 2, "S": 3, "T": 4}


def check_that_it_is_free(made: Made, analysis: Analysis) -> None:
    assert analysis.coupling.refused == {}
    dims = {parameter.tensor: parameter.dims for parameter in analysis.parameters}
    for tensor, axis in made.free:
        leaves = leaves_of(dims[tensor][axis])
        reasons = [analysis.atoms.reasons.get(leaf.number, ()) for leaf in leaves]
        assert any((analysis.atoms.of_leaf(leaf) >= 0).any() for leaf in leaves), f"{tensor}:{axis} {reasons}"


def check_removal(made: Made, seed: int) -> None:
    proto = made.proto
    onnx.checker.check_model(proto, full_check=True)
    model, analysis = analyzed(proto)
    check_that_it_is_free(made, analysis)
    removal = remove(proto, analysis, model, drawn_atoms(analysis, seed))
    report = verify_models(proto, removal.pruned, removal.plan, runs=1, seed=seed)
    assert report.ok, report.failures()
    slices = scatter.slices_of(removal.plan.dumps())
    assert scatter.differing_tensors(proto, removal.pruned, slices) == []
    if all(group.exact for group in removal.plan.groups):
        feeds = feeds_for(proto, seed, SIZES)
        want = scatter.run(scatter.masked(proto, removal.pruned, slices), feeds)
        assert scatter.error(want, scatter.run(removal.pruned, feeds)) < 1e-4


def _removal_from_a_transformer(made: Made, seed: int) -> None:
    """Any removal from a transformer in any dialect computes what removing means."""
    check_removal(made, seed)


def _removal_from_a_recurrent_network(made: Made, seed: int) -> None:
    """Any removal from recurrent cells, as operators or spelled out, computes what removing means."""
    check_removal(made, seed)


test_removal_from_a_transformer, test_many_removals_from_transformers = few_and_many(
    _removal_from_a_transformer, transformers(), st.integers(0, 99), few=20, many=300
)
test_removal_from_a_recurrent_network, test_many_removals_from_recurrent_networks = few_and_many(
    _removal_from_a_recurrent_network, recurrent_networks(), st.integers(0, 99), few=30, many=600
)
