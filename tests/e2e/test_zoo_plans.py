"""Random legal plans of every model of the zoo, from both exporters: each is applied and verified.

A request of random options goes through the planner; another plan takes any atoms that leave something of every axis,
which no criterion would choose. Seeds are fixed by the name of the export.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as oir
import pytest

from irprune import api
from irprune.analysis import Analysis
from irprune.errors import InputError, TargetError
from irprune.models.zoo import ZOO
from irprune.plans import Plan
from irprune.request import Request
from irprune.rewriting import decide
from irprune.scoring import CRITERIA
from irprune.verification.driver import verify_models
from tests.e2e import scatter
from tests.e2e.zoo_support import Exports, Variant
from tests.golden.helpers.removal import random_atoms, remove

EXPORTS = (Variant(dynamic=True), Variant(folded=False), Variant("dynamo", dynamic=True))
PLANS = 2
"""Per export and way of planning."""

TOLERANCE = 1e-4
KINDS = ("channels", "mlp", "hidden", "head_dim", "heads", "groups", "multiplier")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Export:
    """A model as a file and in memory, and what is known about it."""

    source: api.OpenedModel
    proto: onnx.ModelProto
    analysis: Analysis


@pytest.fixture(params=[pytest.param((n, v), id=f"{n}-{v}") for v in EXPORTS for n in ZOO])
def export(request: pytest.FixtureRequest, exports: Exports) -> Export:
    path: Path = exports(*request.param)
    source = api.open_model(path)
    return Export(source, onnx.load(path), api.analyze_model(source))


def seeds(request: pytest.FixtureRequest) -> Iterator[np.random.Generator]:
    first = zlib.crc32(request.node.name.encode())
    yield from (np.random.default_rng((first, k)) for k in range(PLANS))


def drawn_request(random: np.random.Generator) -> dict[str, object]:
    """Options as a user might combine them."""
    target = random.choice(["ratio", "macs", "params"], p=[0.6, 0.2, 0.2])
    options: dict[str, object] = {
        str(target): float(random.uniform(0.1, 0.8) if target == "ratio" else random.uniform(0.6, 0.95)),
        "criterion": str(random.choice(list(CRITERIA))),
        "scope": str(random.choice(["local", "global"])),
        "align": int(random.choice([1, 1, 2, 4, 8])),
        "exact": bool(random.random() < 0.2),
        "min_channels": int(random.integers(1, 4)),
        "seed": int(random.integers(100)),
    }
    if random.random() < 0.3:
        options["only"] = tuple(f"kind:{kind}" for kind in random.choice(KINDS, 2, replace=False))
    return options


def planned(export: Export, random: np.random.Generator) -> Plan:
    """A plan of random options; those that this model cannot meet are drawn again."""
    for _ in range(20):
        try:
            request = Request.given(drawn_request(random))
            return decide(export.analysis, request).of(export.source.identity).plan
        except (InputError, TargetError):
            continue
    raise AssertionError("no request can be met")


def check(export: Export, pruned: onnx.ModelProto, plan: Plan, seed: int) -> None:
    onnx.checker.check_model(pruned, full_check=True)
    report = verify_models(export.proto, pruned, plan, runs=1, seed=seed)
    assert report.ok, (plan.request, report.failures())
    slices = scatter.slices_of(plan.dumps())
    assert scatter.differing_tensors(export.proto, pruned, slices) == []
    if all(group.exact for group in plan.groups):
        feeds = scatter.random_feeds(export.proto, seed)
        want = scatter.run(scatter.masked(export.proto, pruned, slices), feeds)
        assert scatter.error(want, scatter.run(pruned, feeds)) < TOLERANCE


def test_requests_of_random_options(export: Export, request: pytest.FixtureRequest) -> None:
    for k, random in enumerate(seeds(request)):
        plan = planned(export, random)
        small = api.apply_to(export.source, plan, export.analysis)
        check(export, oir.to_proto(small), plan, seed=k)


def test_any_atoms(export: Export, request: pytest.FixtureRequest) -> None:
    for k, random in enumerate(seeds(request)):
        removed = random_atoms(export.analysis, random, share=float(random.uniform(0.1, 0.8)))
        removal = remove(export.proto, export.analysis, export.source.model, removed)
        check(export, removal.pruned, removal.plan, seed=k)


def test_plans_enough() -> None:
    assert 2 * PLANS * len(EXPORTS) * len(ZOO) >= 300
