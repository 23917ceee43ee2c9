"""Sizes for verification are chosen by what they cost."""

import onnx

from irprune.runtime.executable import Executable
from irprune.verification.affordable import by_cost, largest_node
from irprune.verification.cases import input_specs, random_cases, trial_sizes
from tests.golden.helpers.models import model_of

BYTES = 4

ATTENTION = """(float[N, 3, H, W] x) => (float[N, 8, P] o)
<float[8, 3, 1, 1] wq, float[8, 3, 1, 1] wk, int64[3] shape = {0, 8, -1}> {
    cq = Conv(x, wq)
    ck = Conv(x, wk)
    q = Reshape(cq, shape)
    k = Reshape(ck, shape)
    t = Transpose <perm = [0, 2, 1]> (q)
    s = MatMul(t, k)
    p = Softmax <axis = -1> (s)
    o = MatMul(k, p)
}"""
PLAIN = "(float[N, 3, H, W] x) => (float[N, 8, H, W] y) <float[8, 3, 1, 1] w> { y = Conv(x, w) }"


def test_the_bytes_of_the_largest_node() -> None:
    scores = 64**4
    assert largest_node(model_of(ATTENTION), {"x": (1, 3, 64, 64)}) == 2 * scores * BYTES
    assert largest_node(model_of(PLAIN), {"x": (2, 3, 5, 7)}) == 2 * (3 + 8) * 5 * 7 * BYTES  # weights come on top


def test_attention_over_positions_runs_at_sizes_that_it_can_afford() -> None:
    model = model_of(ATTENTION)
    specs = input_specs(model)
    trials = trial_sizes(specs)
    chosen = by_cost(model, specs, trials)
    assert sorted(map(str, chosen)) == sorted(map(str, trials))
    assert chosen[0] == trials[0]
    assert all(chosen[1][symbol] != chosen[0][symbol] for symbol in "NHW")
    costs = [largest_node(model, {spec.name: spec.shape(trial) for spec in specs}) for trial in chosen]
    assert costs[-1] == max(costs) > 1 << 33
    sizes = {case.feeds["x"].shape for case in random_cases(Executable(model), seed=0, runs=3).items}
    assert len(sizes) == 2 and max(side for shape in sizes for side in shape) == 64


def test_other_models_keep_their_sizes() -> None:
    model: onnx.ModelProto = model_of(PLAIN)
    specs = input_specs(model)
    assert by_cost(model, specs, trial_sizes(specs)) == trial_sizes(specs)
