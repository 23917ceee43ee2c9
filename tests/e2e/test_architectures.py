"""Transformers, recurrent networks and their variants lose half of each prunable axis and are what they should be.

Every architecture comes from both exporters with all dimensions dynamic that can be; ``docs/coverage.py`` covers the
fixed exports as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from irprune import api
from irprune.models.architectures import ARCHITECTURES
from irprune.models.export import Exporter
from irprune.models.library import VARIANTS, Feeds, Library, Variant, feeds, run, size_sets
from tests.e2e import scatter
from tests.e2e.zoo_support import one_torch_thread

QUICK = ("bert", "llama", "lstm_tagger")
EXPORTERS: tuple[Exporter, ...] = ("torchscript", "dynamo")
TOLERANCE = 1e-4
"""Of an output's scale, in single precision."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


def cases() -> list[object]:
    return [
        pytest.param(name, exporter, marks=() if exporter == "torchscript" and name in QUICK else pytest.mark.slow)
        for exporter in EXPORTERS
        for name in ARCHITECTURES
    ]


def prune(source: Path, small: Path, **options: object) -> api.Result:
    """Half of what can go, verified."""
    result = api.prune(source, small, ratio=0.5, **options)
    assert result.report is not None
    assert result.report.structure.problems == ()
    assert result.report.equivalence.ok
    return result


def check_that_it_runs(model: str, dims: tuple[str, ...], source: Path, small: Path) -> None:
    """At the sizes of the export and at others, with outputs that are finite and in the shapes of the original."""
    for sizes in size_sets(model, dims):
        given = feeds(model, 1, **sizes)
        want, got = run(source, given), run(small, given)
        assert {name: value.shape for name, value in got.items()} == {name: v.shape for name, v in want.items()}
        assert all(np.isfinite(value).all() for value in got.values())
        assert any(not np.array_equal(want[name], got[name]) for name in want), "what was removed had no say"


@pytest.mark.parametrize(("name", "exporter"), cases())
def test_half_goes(name: str, exporter: Exporter, library: Library, tmp_path: Path) -> None:
    source, small = library.architecture(name, exporter, True), tmp_path / "small.onnx"
    plan = (result := prune(source, small)).plan

    assert result.report is not None
    assert result.report.equivalence.error < TOLERANCE
    assert plan.cost_after.macs < 0.85 * plan.cost_before.macs
    assert plan.cost_after.params < 0.85 * plan.cost_before.params
    assert all(2 * len(group.removed) <= group.size for group in plan.groups)
    check_that_it_runs(name, ARCHITECTURES[name].dynamic(exporter), source, small)

    original, pruned = onnx.load(source), onnx.load(small)
    added = operators(pruned) - operators(original)
    assert operators(original) - operators(pruned) == Counter()
    assert added == Counter({("", "Add"): added["", "Mod"], ("", "Mod"): added["", "Mod"]}), "indices counted anew"
    assert scatter.differing_tensors(original, pruned, scatter.slices_of(plan.dumps())) == []


ARITHMETIC = {"Cast", "Concat", "Constant", "Div", "Gather", "Identity", "Mul", "Shape", "Unsqueeze"}
"""What computes shapes as the model runs: a factor may come in, and what is constant now goes."""


def operators(model: onnx.ModelProto) -> Counter[tuple[str, str]]:
    """How often each operator occurs, arithmetic aside."""
    return Counter((node.domain, node.op_type) for node in model.graph.node if node.op_type not in ARITHMETIC)


SELECTED = (
    ("bert", "heads", [(4, 2)] * 2),
    ("bert", "head_dim", [(8, 4)] * 4),  # of queries with keys, and of values, in each layer
    ("bert", "mlp", [(64, 32)] * 2),
    ("bert_eager", "hidden", [(32, 16)]),  # of bert it is an output
    ("llama", "heads", [(2, 1)] * 2),  # key-value heads, each with its two query heads
    ("llama", "head_dim", [(8, 4), (4, 2), (8, 4)]),  # values, the rotated pairs of every layer at once, values
    ("llama", "mlp", [(64, 32)] * 2),
    ("llama", "hidden", [(32, 16)]),
    ("mixtral", "mlp", [(64, 32)] * 2),  # of all experts of a layer, whose matrices are picked from one stack
    ("mixtral", "experts", [(4, 2)] * 2),
    ("lstm_tagger", "recurrent", [(24, 12)]),
)
"""Per selector the sizes of the groups before and after; the head of bert_eager has an ``mlp`` of its own."""


@pytest.mark.parametrize(("name", "kind", "sizes"), SELECTED)
def test_a_selector_prunes_its_kind_alone(
    name: str, kind: str, sizes: list[tuple[int, int]], library: Library, tmp_path: Path
) -> None:
    source, small = library.architecture(name, "torchscript", True), tmp_path / "small.onnx"
    groups = prune(source, small, only=[f"kind:{kind}"]).plan.groups
    assert {group.kind for group in groups} == {kind}
    assert [(group.size, group.size - len(group.removed)) for group in groups] == sizes
    check_that_it_runs(name, ARCHITECTURES[name].dynamic("torchscript"), source, small)


# -- inputs and outputs that may shrink ------------------------------------------------------------------------------


def shapes(path: Path) -> dict[str, list[int | str]]:
    graph = onnx.load(path).graph
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }


CACHED = [
    pytest.param(name, exporter, heads, marks=() if (name, exporter) == ("llama_kv", "torchscript") else slow)
    for slow in [pytest.mark.slow]
    for name, heads in (("llama_kv", 2), ("gpt2_kv", 4))
    for exporter in EXPORTERS
]


@pytest.mark.parametrize(("name", "exporter", "heads"), CACHED)
def test_caches_shrink_with_the_heads(
    name: str, exporter: Exporter, heads: int, library: Library, tmp_path: Path
) -> None:
    source, small = library.architecture(name, exporter, True), tmp_path / "small.onnx"
    plan = prune(source, small, allow_io=["past.*", "present.*"]).plan
    assert Counter(group.kind for group in plan.groups)["heads"] == 2

    before, after = shapes(source), shapes(small)
    states = [name for name in before if name.startswith(("past.", "present."))]
    assert len(states) == 8
    for state in states:
        assert after[state] == [before[state][0], heads // 2, *before[state][2:]]
    others = before.keys() - states
    assert {name: before[name] for name in others} == {name: after[name] for name in others}

    check_that_tokens_continue(small, heads // 2)


def check_that_tokens_continue(small: Path, heads: int) -> None:
    """All tokens at once and one after the other, with the caches of each step in the next, are the same."""
    tokens = np.random.default_rng(0).integers(99, size=(2, 6))
    names = [f"{layer}.{part}" for layer in ("key", "value") for part in (0, 1)]
    start = np.random.default_rng(1).standard_normal((2, heads, 2, 8)).astype(np.float32)
    past = {f"past.{name}": start for name in names}
    whole = run(small, {"input_ids": tokens, **past})["logits"]
    state: Feeds = past
    for k in range(3):
        step = run(small, {"input_ids": tokens[:, 2 * k : 2 * k + 2], **state})
        np.testing.assert_allclose(step["logits"], whole[:, 2 * k : 2 * k + 2], atol=TOLERANCE, rtol=TOLERANCE)
        state = {f"past.{name}": step[f"present.{name}"] for name in names}


@pytest.mark.parametrize("exporter", ["torchscript", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_the_state_of_a_recurrent_network_shrinks(exporter: Exporter, library: Library, tmp_path: Path) -> None:
    source, small = library.architecture("streaming_lstm", exporter, True), tmp_path / "small.onnx"
    groups = prune(source, small, allow_io=["hidden*", "cell*"], only=["kind:recurrent"]).plan.groups
    assert [(group.kind, group.size, len(group.removed)) for group in groups] == [("recurrent", 24, 12)]
    before, after = shapes(source), shapes(small)
    for state in ("hidden", "cell", "hidden_out", "cell_out"):
        assert before[state] == [2, "batch", 24]
        assert after[state] == [2, "batch", 12]
    given = feeds("streaming_lstm", 1)
    state = {"hidden": np.zeros((2, 2, 12), np.float32), "cell": np.zeros((2, 2, 12), np.float32)}
    first = run(small, {**given, **state})
    second = run(small, {**given, "hidden": first["hidden_out"], "cell": first["cell_out"]})
    assert not np.allclose(first["mask"], second["mask"])


# -- variants --------------------------------------------------------------------------------------------------------


def attributes(path: Path, name: str) -> set[int]:
    return {a.i for node in onnx.load(path).graph.node for a in node.attribute if a.name == name}


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(variant, id=variant.name, marks=() if variant.form == "channels last" else pytest.mark.slow)
        for variant in VARIANTS.values()
    ],
)
def test_half_of_a_variant_goes(variant: Variant, library: Library, tmp_path: Path) -> None:
    source, small = library.variant(variant.name), tmp_path / "small.onnx"
    plan = prune(source, small).plan
    assert plan.cost_after.macs < 0.85 * plan.cost_before.macs
    original, pruned = onnx.load(source), onnx.load(small)
    assert operators(original) == operators(pruned)
    assert [(v.name, v.type.tensor_type.elem_type) for v in original.graph.output] == [
        (v.name, v.type.tensor_type.elem_type) for v in pruned.graph.output
    ]
    assert small.stat().st_size < source.stat().st_size
    check_that_it_runs(variant.model, variant.sizes, source, small)


FUSED = {
    "bert-fused": {"Attention", "EmbedLayerNormalization", "SkipLayerNormalization", "BiasGelu"},
    "gpt2-fused": {"SkipLayerNormalization", "FastGelu"},
    "llama-fused": {"SkipSimplifiedLayerNormalization"},
    "vit-fused": {"SkipLayerNormalization", "BiasGelu"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUSED)
def test_fused_operators_stay_with_fewer_heads(name: str, library: Library, tmp_path: Path) -> None:
    source, small = library.variant(name), tmp_path / "small.onnx"
    groups = prune(source, small, only=["kind:heads"]).plan.groups
    assert {kind for domain, kind in operators(onnx.load(small)) if domain == "com.microsoft"} == FUSED[name]
    assert {group.kind for group in groups} == {"heads"}
    before, after = (attributes(path, "num_heads") for path in (source, small))
    assert (before, after) == (({4}, {2}) if "Attention" in FUSED[name] else (set(), set()))
