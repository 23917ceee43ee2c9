"""Redundancy planted by hand: where consumers ignore some channels, removing those changes nothing.

The original model is the judge here, and nothing of irprune computes what is compared with: which channels are ignored,
which elements of which weight have to go, and the expected outputs are all written down or computed beside it.
"""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from onnx import numpy_helper

from tests.golden.helpers.models import model_of
from tests.golden.helpers.removal import feeds_for, relative_error, remove_elements, run

Places = dict[str, list[int]]


@dataclass(frozen=True)
class Planted:
    """``ignored`` are made zero in the original, ``removed`` is what is asked for, ``gone`` what has to be missing."""

    title: str
    model: str
    ignored: Places
    removed: Places
    gone: Places
    opset: int = 20


CONV = "(float[N, 3, 8, 8] x) => (float[] y) <float[6, 3, 3, 3] w, float[6] b, float[5, {width}, 1, 1] u{more}>"


def between(call: str, *, more: str = "", width: int = 6, opset: int = 20) -> Planted:
    """Channels 1 and 4 of six, produced by a convolution, seen through ``call`` and ignored by the next."""
    head = CONV.format(width=width, more=more)
    body = f"{{ h = Conv(x, w, b) t = {call} y = Conv(t, u) }}"
    place = {"u:1": [1, 4]}
    gone = {"w:0": [1, 4], "b:0": [1, 4], **place}
    return Planted(re.split(r"[<(]", call)[0], f"{head} {body}", place, {"w:0": [1, 4]}, gone, opset)


ELEMENTWISE = [
    between(f"{op}(h)")
    for op in (
        "Relu",
        "Sigmoid",
        "Tanh",
        "Erf",
        "Exp",
        "HardSwish",
        "Softplus",
        "Identity",
        "Neg",
        "Abs",
        "Elu",
        "Gelu",
    )
]
CARRIERS = [
    between("BatchNormalization(h, g, c, m, var)", more=", float[6] g, float[6] c, float[6] m, float[6] var"),
    between("InstanceNormalization(h, g, c)", more=", float[6] g, float[6] c"),
    between("PRelu(h, s)", more=", float[6, 1, 1] s"),
    between("Mul(h, s)", more=", float[1, 6, 1, 1] s"),
    between("Clip(h, low, high)", more=", float low = {0}, float high = {6}"),
    between("MaxPool<kernel_shape = [2, 2]>(h)"),
    between("AveragePool<kernel_shape = [2, 2]>(h)"),
    between("GlobalAveragePool(h)"),
    between('Resize<mode = "nearest">(h, "", k)', more=", float[4] k = {1, 1, 2, 2}"),
    between("Pad(h, pads)", more=", int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}"),
    between("Conv<group = 6>(h, d)", more=", float[6, 1, 3, 3] d"),
    between("ReduceMean(h, axes)", more=", int64[2] axes = {2, 3}"),
    between("Softmax(h)"),
]
STRUCTURES = [
    Planted(
        "a concatenation moves the channels behind those of its first operand",
        """(float[N, 3, 8] x) => (float[] y) <float[4, 3, 1] w, float[3, 3, 1] v, float[5, 7, 1] u>
        { a = Conv(x, w) b = Conv(x, v) c = Concat<axis = 1>(a, b) y = Conv(c, u) }""",
        {"u:1": [2, 4, 6]},
        {"w:0": [2], "v:0": [0, 2]},
        {"w:0": [2], "v:0": [0, 2], "u:1": [2, 4, 6]},
    ),
    Planted(
        "a split hands parts of a dimension to two consumers",
        """(float[N, 3, 8] x) => (float[] y, float[] z) <float[6, 3, 1] w, float[5, 2, 1] u, float[5, 4, 1] v>
        { h = Conv(x, w) a, b = Split<axis = 1, split = [2, 4]>(h) y = Conv(a, u) z = Conv(b, v) }""",
        {"u:1": [0], "v:1": [1, 3]},
        {"w:0/0": [0], "w:0/1": [1, 3]},
        {"w:0": [0, 3, 5], "u:1": [0], "v:1": [1, 3]},
        opset=11,
    ),
    Planted(
        "a slice leaves out what nobody reads",
        """(float[N, 3, 8] x) => (float[] y) <float[6, 3, 1] w, float[5, 3, 1] u>
        { h = Conv(x, w) a = Slice<axes = [1], starts = [1], ends = [4]>(h) y = Conv(a, u) }""",
        {"u:1": [1]},
        {"w:0/0": [1], "w:0/1": [0, 1]},
        {"w:0": [2, 4, 5], "u:1": [1]},
        opset=9,
    ),
    Planted(
        "a gather reads channels in another order",
        """(float[N, 3, 8] x) => (float[] y) <float[4, 3, 1] w, int64[4] i = {3, 1, 2, 0}, float[5, 4, 1] u>
        { h = Conv(x, w) g = Gather<axis = 1>(h, i) y = Conv(g, u) }""",
        {"u:1": [0, 1]},
        {"w:0": [3, 1]},
        {"w:0": [1, 3], "u:1": [0, 1]},
    ),
    Planted(
        "a flattened channel is a block of the next weight",
        """(float[N, 3, 2, 2] x) => (float[] y) <float[4, 3, 1, 1] w, float[5, 16] u>
        { h = Conv(x, w) f = Flatten(h) y = Gemm<transB = 1>(f, u) }""",
        {"u:1": [4, 5, 6, 7]},
        {"w:0": [1]},
        {"w:0": [1], "u:1": [4, 5, 6, 7]},
    ),
    Planted(
        "a grouped convolution loses the same inner channel of every group",
        """(float[N, 3, 8] x) => (float[] y) <float[4, 3, 1] w, float[6, 2, 1] u, float[5, 6, 1] v>
        { h = Conv(x, w) g = Conv<group = 2>(h, u) y = Conv(g, v) }""",
        {"v:1": [1, 4], "u:1": [0]},
        {"u:0/1": [1], "u:1": [0]},
        {"u:0": [1, 4], "v:1": [1, 4], "u:1": [0], "w:0": [0, 2]},
    ),
    Planted(
        "a residual stage loses a channel everywhere",
        """(float[N, 3, 8] x) => (float[] y) <float[4, 3, 1] w, float[4, 4, 1] k, float[5, 4, 1] u>
        { a = Conv(x, w) b = Conv(a, k) c = Add(a, b) y = Conv(c, u) }""",
        {"u:1": [2], "k:1": [2]},
        {"w:0": [2]},
        {"w:0": [2], "k:0": [2], "k:1": [2], "u:1": [2]},
    ),
    Planted(
        "a channel shuffle ends in another place",
        """(float[N, 3, 2, 2] x) => (float[] y)
        <float[6, 3, 1, 1] w, int64[5] s = {0, 2, 3, 2, 2}, int64[4] t = {0, -1, 2, 2}, float[5, 6, 1, 1] u>
        { h = Conv(x, w) r = Reshape(h, s) p = Transpose<perm = [0, 2, 1, 3, 4]>(r) f = Reshape(p, t)
        y = Conv(f, u) }""",
        {"u:1": [1, 2]},
        {"w:0": [3, 1]},
        {"w:0": [1, 3], "u:1": [1, 2]},
    ),
    Planted(
        "a query and a key lose a channel of every head",
        """(float[N, S, 4] x) => (float[] y) <float[4, 6] q, float[4, 6] k, int64[4] s = {0, 0, 2, 3}>
        { a = MatMul(x, q) b = MatMul(x, k) c = Reshape(a, s) d = Reshape(b, s)
        y = Einsum<equation = "bshd,bthd->bhst">(c, d) }""",
        {"k:1": [1, 4]},
        {"k:1/1": [1]},
        {"k:1": [1, 4], "q:1": [1, 4]},
    ),
    Planted(
        "a bilinear gate hides a channel",
        """(float[N, 4] x) => (float[] y) <float[4, 6] g, float[4, 6] v, float[6, 5] u>
        { a = MatMul(x, g) b = Sigmoid(a) c = Mul(a, b) d = MatMul(x, v) e = Mul(c, d) y = MatMul(e, u) }""",
        {"u:0": [0, 5]},
        {"u:0": [0, 5]},
        {"u:0": [0, 5], "g:1": [0, 5], "v:1": [0, 5]},
    ),
    Planted(
        "a hidden unit of a recurrent cell that nobody reads",
        """(float[T, N, 3] x) => (float[] y)
        <float[1, 16, 3] w, float[1, 16, 4] r, float[1, 32] b, int64[1] one = {1}, float[4, 5] u>
        { h = LSTM<hidden_size = 4>(x, w, r, b) f = Squeeze(h, one) y = MatMul(f, u) }""",
        {"u:0": [2], "r:2": [2]},
        {"r:2": [2]},
        {"u:0": [2], "r:2": [2], "r:1": [2, 6, 10, 14], "w:1": [2, 6, 10, 14], "b:1": [*range(2, 32, 4)]},
    ),
]


@pytest.mark.parametrize("case", [*ELEMENTWISE, *CARRIERS, *STRUCTURES], ids=lambda case: case.title.replace(" ", "_"))
def test_ignored_channels_can_go(case: Planted) -> None:
    weights = {t.name: numpy_helper.to_array(t).copy() for t in model_of(case.model, case.opset).graph.initializer}
    shapes = {name: array.shape for name, array in weights.items()}
    for place, elements in case.ignored.items():
        name, _, axis = place.partition(":")
        np.moveaxis(weights[name], int(axis), 0)[elements] = 0
    proto = model_of(case.model, case.opset, weights)
    removal = remove_elements(proto, case.removed)
    missing = {
        f"{name}:{axis}": sorted(set(range(shapes[name][axis])) - set(kept))
        for name, axes in removal.kept.items()
        if name in shapes
        for axis, kept in axes.items()
    }
    assert {place: gone for place, gone in missing.items() if place in case.gone} == case.gone
    feeds = feeds_for(proto)
    assert relative_error(run(proto, feeds), run(removal.pruned, feeds)) < 1e-5


def test_a_channel_that_is_read_matters() -> None:
    """The tests above can fail: without the zeros, the outputs differ."""
    case = ELEMENTWISE[0]
    proto = model_of(case.model)
    feeds = feeds_for(proto)
    removal = remove_elements(proto, case.removed)
    assert relative_error(run(proto, feeds), run(removal.pruned, feeds)) > 1e-2
