"""Any legal removal from any model: what comes out is well formed, and computes what removing means.

Examples are few and the same on every run; the slow twin of each test draws many more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as oir
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from irprune.analysis import Analysis, Mask, MatchedNode, analyze, kept_mask
from irprune.errors import TargetError
from irprune.frontends.onnx import import_model
from irprune.ir import parse, render
from irprune.plans import Plan, make_plan, removed_atoms
from irprune.request import Request
from irprune.signatures import Composite, Name, Star, Term, names_of
from irprune.verification.driver import verify_models
from tests.golden.helpers.removal import feeds_for, random_atoms, relative_error, remove, run
from tests.property.random_models import models

FEW, MANY = 60, 1500
Property = Callable[..., None]


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def few_and_many(
    check: Property, *drawn: st.SearchStrategy[Any], few: int = FEW, many: int = MANY
) -> tuple[Property, Property]:
    """The test on what is drawn, and its slow twin."""

    def fast() -> None:
        examples(few)(given(*drawn)(check))()

    def slow() -> None:
        examples(many)(given(*drawn)(check))()

    fast.__doc__ = slow.__doc__ = check.__doc__
    return fast, pytest.mark.slow(slow)


def analyzed(proto: onnx.ModelProto) -> tuple[oir.Model, Analysis]:
    model = oir.from_proto(proto)
    return model, analyze(import_model(model))


def drawn_atoms(analysis: Analysis, seed: int) -> Mask:
    removed = random_atoms(analysis, np.random.default_rng(seed))
    assume(removed.any())
    return removed


# -- removals --------------------------------------------------------------------------------------------------------


def _removal_is_verified(proto: onnx.ModelProto, seed: int) -> None:
    """Any set of atoms that leaves something of every axis: checked, run, and equal to its reference."""
    onnx.checker.check_model(proto, full_check=True)
    model, analysis = analyzed(proto)
    removal = remove(proto, analysis, model, drawn_atoms(analysis, seed))
    report = verify_models(proto, removal.pruned, removal.plan, runs=1, seed=seed)
    assert report.ok, report.failures()


def _ignored_channels_can_go(proto: onnx.ModelProto, seed: int) -> None:
    """Where every weight that reads a channel is zero there, the smaller model computes what the original does."""
    _, analysis = analyzed(proto)
    removed = drawn_atoms(analysis, seed)
    planted = without_readers(proto, analysis, removed)
    removal = remove(planted, analysis, oir.from_proto(planted), removed)
    feeds = feeds_for(proto, seed)
    assert relative_error(run(planted, feeds), run(removal.pruned, feeds)) < 1e-5


def without_readers(proto: onnx.ModelProto, analysis: Analysis, removed: Mask) -> onnx.ModelProto:
    """The model with zeros in the weights of contractions, wherever they meet an element that goes."""
    kept = analysis.kept(removed)
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    weights = {tensor.name: tensor for tensor in changed.graph.initializer}
    for matched in analysis.coupling.matched.values():
        notation = matched.signature.notation
        carried = {name for operand in notation.outputs for term in operand or () for name in names_of(term)}
        for position, name in enumerate(matched.node.inputs):
            dims = analysis.coupling.operand(matched.node, position)
            if not notation.macs or name not in weights or dims is None:
                continue
            array = onnx.numpy_helper.to_array(weights[name]).copy()
            for k, term in enumerate(notation.inputs[position] or ()):
                if isinstance(term, Star):
                    break  # the window is never removed
                np.moveaxis(array, k, 0)[~read(matched, term, carried, kept)] = 0
            weights[name].CopyFrom(onnx.numpy_helper.from_array(array, name))
    return changed


def read(matched: MatchedNode, term: Term, carried: set[str], kept: dict[int, Mask]) -> Mask:
    """The elements of a dimension that are read: all of a carried axis, the kept ones of a contracted axis."""
    if isinstance(term, Composite) and not term.is_sum:
        factors = [read(matched, factor, carried, kept) for factor in term.terms]
        return functools.reduce(lambda left, right: np.logical_and.outer(left, right).ravel(), factors)
    mask = kept_mask(matched.dim(term), kept) if isinstance(term, Name) else np.ones(1, dtype=bool)
    return mask if not carried & set(names_of(term)) else np.ones_like(mask)


# -- determinism -----------------------------------------------------------------------------------------------------


def _text_round_trip(proto: onnx.ModelProto) -> None:
    """What is rendered parses back, before a removal and after it."""
    model, analysis = analyzed(proto)
    for graph in (
        analysis.graph,
        remove(proto, analysis, model, random_atoms(analysis, np.random.default_rng(0))).graph,
    ):
        text = render(graph)
        assert render(parse(text)) == text


def _order_of_nodes_does_not_matter(proto: onnx.ModelProto, random: object, ratio: float) -> None:
    """Another topological order of the same nodes: the same groups, the same plan, the same weights."""
    first, second = planned(proto, ratio), planned(shuffled(proto, random), ratio)
    assert first[0] == second[0]
    assume(first[1] is not None)
    assert first[1] is not None and second[1] is not None
    assert first[1].dumps() == second[1].dumps()
    assert first[2] == second[2]


def shuffled(proto: onnx.ModelProto, random: object) -> onnx.ModelProto:
    """The nodes in another order in which producers come before consumers."""
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    waiting = list(proto.graph.node)
    known = {"x", "", *(tensor.name for tensor in proto.graph.initializer)}
    del changed.graph.node[:]
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        chosen = ready[random.randrange(len(ready))]  # type: ignore[attr-defined]
        waiting.remove(chosen)
        known.update(chosen.output)
        changed.graph.node.append(chosen)
    return changed


def planned(proto: onnx.ModelProto, ratio: float) -> tuple[list[object], Plan | None, dict[str, bytes]]:
    """Groups, plan (``None`` where the groups are too small for the ratio) and the weights of the smaller model."""
    model, analysis = analyzed(proto)
    groups: list[object] = [(g.name, g.kind, g.size, g.members, g.exact, g.reasons) for g in analysis.groups]
    try:
        plan = make_plan(analysis, Request(ratio=ratio, criterion="l1"))
    except TargetError as error:
        return [*groups, str(error)], None, {}
    removal = remove(proto, analysis, model, removed_atoms(plan, analysis))
    weights = {tensor.name: tensor.SerializeToString() for tensor in removal.pruned.graph.initializer}
    return groups, plan.with_slices(removal.plan.slices), weights


test_removal_is_verified, test_many_removals_are_verified = few_and_many(
    _removal_is_verified, models(), st.integers(0, 99)
)
test_ignored_channels_can_go, test_many_ignored_channels_can_go = few_and_many(
    _ignored_channels_can_go, models(exact=True), st.integers(0, 99)
)
test_text_round_trip, test_many_text_round_trips = few_and_many(_text_round_trip, models())
test_order_of_nodes_does_not_matter, test_many_orders_of_nodes_do_not_matter = few_and_many(
    _order_of_nodes_does_not_matter, models(), st.randoms(use_true_random=False), st.sampled_from((0.3, 0.5))
)
