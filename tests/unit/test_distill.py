"""The parts of training towards the original: ends, cuts, losses, schedules, recurrent networks."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import irprune
from irprune.errors import InputError
from irprune.frontends.onnx import import_model
from tests.golden.helpers.models import model_of

torch = pytest.importorskip("torch")

from irprune.torch.distill.cuts import cuts  # noqa: E402
from irprune.torch.distill.ends import End, ends, last_features  # noqa: E402
from irprune.torch.distill.finetune import finetune  # noqa: E402
from irprune.torch.distill.losses import decisions, loss_of, scale_of  # noqa: E402
from irprune.torch.distill.samples import order_of  # noqa: E402
from irprune.torch.distill.training import WARM_UP, one_cycle, rate_for  # noqa: E402
from irprune.torch.distill.views import flipped, mirrored, mixed, shifted  # noqa: E402

RESIDUAL = """(float[n, 4] x) => (float[n, 3] y)
<float[4, 8] a, float[8, 4] b, float[4, 8] c, float[8, 4] d, float[4, 3] e> {
    p = MatMul(x, a)  q = Relu(p)  r = MatMul(q, b)  s = Add(x, r)
    t = MatMul(s, c)  u = Relu(t)  v = MatMul(u, d)  w = Add(s, v)
    z = MatMul(w, e)  y = Softmax(z)
}"""


def graph_of(text: str, opset: int = 20) -> object:
    return import_model(irprune.api.open_model(model_of(text, opset)).model)


def test_an_end_is_the_logits_of_a_softmax() -> None:
    assert ends(graph_of(RESIDUAL)) == (End("z", "categorical"),)


def test_before_opset_13_a_softmax_runs_over_all_axes_from_its_own_on() -> None:
    text = "(float[n, 4] x) => (float[n, 3] y) <float[4, 3] a> { z = MatMul(x, a) y = Softmax(z) }"
    assert ends(graph_of(text, 11)) == (End("z", "categorical", 1, joint=True),)


def test_ends_lie_before_decisions_and_moves() -> None:
    text = """(float[n, 4] x) => (int64[n] i, float[m] p)
    <float[4, 3] a, float[4, 2] b> { z = MatMul(x, a) i = ArgMax<axis = 1, keepdims = 0>(z)
        one = Constant<value_ints = [-1]>() k = MatMul(x, b) s = Sigmoid(k) p = Reshape(s, one) }"""
    assert set(ends(graph_of(text))) == {End("z", "squared"), End("k", "independent")}


def test_blocks_end_at_residual_sums() -> None:
    assert cuts(graph_of(RESIDUAL), ["z"]) == ("s", "w")


def test_the_hint_is_what_the_last_layer_reads() -> None:
    assert last_features(graph_of(RESIDUAL), ["z"]) == ("w",)


@pytest.mark.parametrize("comparison", ["categorical", "independent", "squared"])
def test_a_loss_is_zero_where_equal_and_one_for_the_average_answer(comparison: str) -> None:
    torch.manual_seed(0)
    theirs = torch.randn(500, 6) * 3
    end = End("z", comparison)  # type: ignore[arg-type]
    scale = scale_of(end, [theirs])
    assert float(loss_of(end, theirs, theirs)) / scale < 1e-5
    average = {
        "squared": theirs.mean().expand_as(theirs),
        "independent": theirs.sigmoid().mean(dim=0).logit().expand_as(theirs),
        "categorical": 4 * (theirs / 4).softmax(dim=-1).mean(dim=0).log().expand_as(theirs),
    }[comparison]
    assert float(loss_of(end, average, theirs)) / scale == pytest.approx(1, rel=1e-3)


def test_positions_where_the_original_is_infinite_are_left_out() -> None:
    theirs = torch.tensor([[1.0, -torch.inf], [2.0, 0.0]])
    ours = torch.tensor([[1.0, 5.0], [2.0, 1.0]])
    assert float(loss_of(End("z", "squared"), ours, theirs)) == pytest.approx(0.25)


def test_decisions_are_the_largest_element_or_the_sign() -> None:
    values = torch.tensor([[0.5, -1.0], [0.1, 2.0]])
    assert decisions(End("z", "squared"), values).tolist() == [0, 1]
    assert decisions(End("z", "independent"), values).tolist() == [[True, False], [True, True]]
    assert decisions(End("z", "squared"), values[:, :1]).numel() == 0


def test_an_epoch_meets_each_sample_once() -> None:
    met = np.concatenate([order_of(12, 4, step, seed=1) for step in range(3)])
    assert sorted(met) == list(range(12))
    assert not np.array_equal(order_of(12, 4, 0, 1), order_of(12, 4, 3, 1))


def test_the_rate_rises_then_falls() -> None:
    rates = [one_cycle(share) for share in (0, WARM_UP, 1)]
    assert rates == pytest.approx([0, 1, 0])


def test_the_rate_is_smaller_for_a_model_that_is_near_and_for_small_weights() -> None:
    assert [rate_for(error, 0.05) for error in (float("inf"), 1.0, 0.25, 0.0)] == pytest.approx(
        [1e-3, 1e-3, 5e-4, 5e-5]
    )
    assert rate_for(1.0, 0.01) == pytest.approx(2e-4)
    assert rate_for(1.0, 1.0) == 2e-3


def test_training_of_a_model_that_is_near_does_not_throw_it_away() -> None:
    """With a fixed rate the error rises tenfold within the first steps, and does not come back in so few."""
    model = model_of(RESIDUAL)
    data = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    small = irprune.prune(model, ratio=0.25, align=1)
    near = finetune(model, small.model, data, plan=small.plan, steps=400, block_steps=0)
    seen = []
    again = finetune(
        model, near.model, data, plan=near.plan, steps=60, block_steps=0, on_step=lambda now: seen.append(now.fidelity)
    )
    assert again.after.error < near.after.error
    assert max(fidelity.error for fidelity in seen) < 2 * near.after.error


def test_images_are_mirrored_along_their_width() -> None:
    image = np.arange(40, dtype=np.float32).reshape(1, 1, 8, 5)
    channels_last = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    assert np.array_equal(flipped([{"x": image}])[0]["x"], image[..., ::-1])
    assert np.array_equal(flipped([{"x": channels_last}])[0]["x"], channels_last[:, :, ::-1])
    with pytest.raises(InputError, match="nothing to flip"):
        flipped([{"x": np.zeros((2, 3), np.float32)}])
    with pytest.raises(InputError, match="cannot be mixed"):
        mixed([{"x": np.zeros((2, 3), np.int64)}], 0)


def test_shifted_images_keep_their_pixels_and_repeat_their_edge() -> None:
    images = np.arange(4 * 32 * 32, dtype=np.float32).reshape(4, 1, 32, 32)
    found = shifted({"x": images, "n": np.zeros(4, np.int64)}, 3)
    again = shifted({"x": images}, 3)
    assert np.array_equal(found["x"], again["x"])
    assert not np.array_equal(found["x"], images)
    for image, moved in zip(images[:, 0], found["x"][:, 0], strict=True):
        down, right = (int(v) for v in divmod(int(moved[16, 16] - image[16, 16]), 32))
        down, right = (down, right) if right <= 2 else (down + 1, right - 32)
        assert max(abs(down), abs(right)) <= 2
        rows, columns = (np.clip(np.arange(32) + by, 0, 31) for by in (down, right))
        assert np.array_equal(moved, image[rows][:, columns])
    assert np.array_equal(found["n"], np.zeros(4))


CLASSIFIER = """(float[n, 1, 6, 6] x) => (float[n, 3] y) <float[8, 1, 3, 3] a, float[8, 3] b> {
    c = Conv(x, a)  d = Relu(c)  e = GlobalAveragePool(d)  f = Flatten(e)  y = MatMul(f, b)
}"""


@pytest.mark.parametrize("symmetric", [True, False])
def test_mirrored_images_are_trained_on_where_the_original_answers_alike(symmetric: bool) -> None:
    kernels = np.random.default_rng(0).standard_normal((8, 1, 3, 3)).astype(np.float32)
    kernels[..., 2] = kernels[..., 0] if symmetric else -kernels[..., 0]
    model = model_of(CLASSIFIER, numbers={"a": kernels})
    images = np.random.default_rng(1).standard_normal((64, 1, 6, 6)).astype(np.float32)
    small = irprune.prune(model, ratio=0.25, align=1)
    run = importlib.import_module("irprune.torch.distill.finetune")._Run.opened(
        model, small.model, images, small.plan, 0
    )
    assert (mirrored in run.ways(None)) == symmetric
    assert mirrored in run.ways(True)
    assert mirrored not in run.ways(False)


@pytest.mark.parametrize("comparison", ["categorical", "independent", "squared"])
def test_the_scale_of_a_single_answer_or_a_constant_one_is_not_zero(comparison: str) -> None:
    end = End("z", comparison)  # type: ignore[arg-type]
    for values in (torch.tensor([[2.0, -1.0, 0.5]]), torch.full((4, 3), 5.0)):
        scale = scale_of(end, [values])
        assert float(loss_of(end, values + 1e-3 * torch.randn(values.shape), values)) / scale < 1


LSTM = """(float[5, n, 3] x) => (float[n, 2] y)
<float[1, 32, 3] w, float[1, 32, 8] r, float[1, 64] b, float[8, 2] o, int64[1] axis> {
    h, last = LSTM<hidden_size = 8>(x, w, r, b)
    s = Squeeze(last, axis)
    y = MatMul(s, o)
}"""


def test_a_recurrent_network_comes_back() -> None:
    model = model_of(LSTM, numbers={"axis": np.array([0])})
    data = np.random.default_rng(0).normal(size=(5, 200, 3)).astype(np.float32)
    feeds = [{"x": data[:, k : k + 10]} for k in range(0, 200, 10)]
    small = irprune.prune(model, ratio=0.25, align=1)
    found = finetune(model, small.model, feeds, plan=small.plan, steps=80, block_steps=0)
    assert found.after.error < found.before.error / 2
    assert irprune.verify(model, irprune.backends.onnx.to_proto(found.model), found.plan).ok


def test_training_that_diverges_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from irprune.torch.distill import training

    monkeypatch.setattr(training.Stage, "backward", lambda self, step: float("nan"))
    model = model_of(RESIDUAL)
    small = irprune.prune(model, ratio=0.25, align=1)
    data = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    with pytest.raises(InputError, match="diverges"):
        finetune(model, small.model, data, steps=3, block_steps=0)


def test_fixed_batches_are_trained_on_one_after_the_other() -> None:
    model = model_of(RESIDUAL.replace("[n, ", "[1, "))
    small = irprune.prune(model, ratio=0.25, align=1)
    data = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    found = finetune(model, small.model, data, plan=small.plan, steps=30, block_steps=10)
    assert found.after.error < found.before.error


def test_weights_in_half_precision_are_refused() -> None:
    text = "(float16[n, 4] x) => (float16[n, 3] y) <float16[4, 3] a> { y = MatMul(x, a) }"
    model = model_of(text)
    with pytest.raises(InputError, match="is float16, training needs float32"):
        finetune(model, model, np.zeros((40, 4), np.float16))


def test_the_scale_of_answers_without_a_batch_is_that_of_a_batch() -> None:
    """Each run gives the logits of one sample: classes of different runs are not one distribution."""
    torch.manual_seed(0)
    rows = torch.randn(6, 5)
    end = End("v", "categorical")
    assert scale_of(end, list(rows)) == pytest.approx(scale_of(end, [rows]))
