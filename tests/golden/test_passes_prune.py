"""Pruning as a pass: what changes in the graph, and what the plan says about it."""

import numpy as np
import onnx_ir as oir
import pytest

from irprune.errors import InputError
from irprune.frontends.onnx import import_model
from irprune.ir import render
from irprune.passes import PASSES, State, run_pipeline
from irprune.plans import ModelIdentity
from irprune.plans.digests import digest_of_values
from irprune.request import Request
from tests.golden.passes_support import Numbers, built, emitted, model_of, normal, outputs, statistics

SOURCE = """
    g (float[2, 3, 8, 8] x) => (float[2, 5, 8, 8] y) {
        c = Conv<kernel_shape=[1, 1]>(x, w)
        n = BatchNormalization(c, g, b, m, v)
        r = Relu(n)
        y = Conv<kernel_shape=[1, 1]>(r, u)
    }
    """


def numbers() -> Numbers:
    """Channels 1 and 3 between the convolutions are small."""
    made = {"w": normal(4, 3, 1, 1), "u": normal(5, 4, 1, 1), **statistics(4)}
    for name, axis in {"w": 0, "u": 1, "b": 0, "m": 0}.items():
        small = np.where(np.arange(4) % 2, 1e-3, 1.0).astype(np.float32)
        made[name] = made[name] * small.reshape([-1 if k == axis else 1 for k in range(made[name].ndim)])
    return made


def body(state: State) -> list[str]:
    return [line for line in render(state.graph).splitlines() if line.startswith(("const", "node"))]


def test_channels_go_from_every_tensor() -> None:
    done = run_pipeline("prune{ratio=0.5,only=[w]}", State(built(SOURCE, numbers())))
    assert body(done) == [
        'const "b": float32[2]',
        'const "g": float32[2]',
        'const "m": float32[2]',
        'const "u": float32[5, 2, 1, 1]',
        'const "v": float32[2]',
        'const "w": float32[2, 3, 1, 1]',
        'node "Conv:c" Conv("x", "w") -> ("c": float32[2, 2, 8, 8]) {"kernel_shape": [1, 1]}',
        'node "BatchNormalization:n" BatchNormalization("c", "g", "b", "m", "v") -> ("n": float32[2, 2, 8, 8]) {}',
        'node "Relu:r" Relu("n") -> ("r": float32[2, 2, 8, 8]) {}',
        'node "Conv:y" Conv("r", "u") -> ("y": float32[2, 5, 8, 8]) {"kernel_shape": [1, 1]}',
    ]


def test_folding_first_is_recorded_in_the_plan() -> None:
    """Slices are those of the folded graph; tensors that folding changed are declared."""
    start = State(built(SOURCE, numbers()), model=ModelIdentity(sha256="ab" * 32, bytes=7))
    done = run_pipeline("fold,prune{ratio=0.5},dce", start)
    assert body(done) == [
        'const "b": float32[2]',
        'const "u": float32[5, 2, 1, 1]',
        'const "w": float32[2, 3, 1, 1]',
        'node "Conv:c" Conv("x", "w", "b") -> ("n": float32[2, 2, 8, 8]) {"kernel_shape": [1, 1]}',
        'node "Relu:r" Relu("n") -> ("r": float32[2, 2, 8, 8]) {}',
        'node "Conv:y" Conv("r", "u") -> ("y": float32[2, 5, 8, 8]) {"kernel_shape": [1, 1]}',
    ]
    assert done.plan is not None and done.base is not None
    assert done.plan.model == start.model
    assert done.plan.updated == {name: digest_of_values(done.graph.constants[name].numpy()) for name in ("b", "w")}
    assert {name: dict(part.axes) for name, part in done.plan.slices.items()} == {
        "b": {0: (4, (0, 2))},
        "u": {1: (4, (0, 2))},
        "w": {0: (4, (0, 2))},
    }
    for name, part in done.plan.slices.items():
        kept = done.base.constants[name].numpy()
        for axis, (_, indices) in part.axes.items():
            kept = kept.take(indices, axis=axis)
        np.testing.assert_array_equal(done.graph.constants[name].numpy(), kept)


def test_folding_afterwards_keeps_the_plan_in_step() -> None:
    done = run_pipeline("prune{ratio=0.5},fold", State(built(SOURCE, numbers())))
    assert done.plan is not None
    assert set(done.plan.slices) == {"b", "u", "w"}
    assert done.plan.updated == {name: digest_of_values(done.graph.constants[name].numpy()) for name in ("b", "w")}


@pytest.mark.parametrize("pipeline", ["fold,prune{ratio=0.5},dce", "prune{ratio=0.5},fold,dce"])
def test_small_channels_hardly_matter(pipeline: str) -> None:
    """The channels that go are a thousandth of the others, twice."""
    proto = model_of(SOURCE, numbers())
    expected, found = outputs(proto)[0], outputs(emitted(proto, pipeline))[0]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_its_options_are_those_of_a_request() -> None:
    options = PASSES["prune"].options()
    fields = {
        name: (() if field.default == {} else field.default, field.description)
        for name, field in Request.model_fields.items()
    }
    assert {option.name: (option.default, option.help) for option in options} == fields


def test_a_second_removal_is_refused() -> None:
    graph = built(SOURCE, numbers())
    with pytest.raises(InputError, match=r"^prune: the graph is pruned already; a pipeline has one plan"):
        run_pipeline("prune{ratio=0.5},prune{ratio=0.5}", State(graph))


def test_weights_that_are_no_numbers_are_refused_by_every_criterion() -> None:
    made = numbers()
    made["u"][0, 0] = np.nan
    for criterion in ("random", "l2", "bn-scale"):
        with pytest.raises(InputError, match="NaN"):
            run_pipeline(f"prune{{ratio=0.5,criterion={criterion}}}", State(built(SOURCE, made)))


def test_outputs_that_may_change() -> None:
    proto = oir.from_proto(model_of(SOURCE, numbers()))
    done = run_pipeline("prune{ratio=0.4,align=1,only=[u:0],allow_io=[y]}", State(import_model(proto)))
    assert done.graph.shape("y") == (2, 3, 8, 8)
