"""Index tensors as sums of ranges, with a batch that only run time knows."""

from __future__ import annotations

import pytest

from irprune.ir import Integers, Ramp, Ramps, Size
from tests.golden.helpers.models import graph_of

# x is float[N, 4]; n is N, and r counts to it
HEAD = """(float[N, 4] x) => (float[] y)
<int64 zero = {{0}}, int64 one = {{1}}, int64 two = {{2}}, int64 four = {{4}}, int64[1] last = {{1}}{more}>
{{ s = Shape<start = 0, end = 1>(x) n = Squeeze(s) r = Range(zero, n, one) {calls} y = Relu(x) }}"""


def ramp_of(calls: str, more: str = "", name: str = "i") -> Ramp | None:
    graph = graph_of(HEAD.format(calls=calls, more=f", {more}" if more else ""))
    sizes = {"x": (Size(1, ("N",)), Size(4))}
    return Ramps(graph, Integers(graph, sizes.get)).ramp(name)


def spelled(ramp: Ramp | None) -> str | None:
    if ramp is None:
        return None
    terms = [f"{stride}*[{size}]" for stride, size in zip(ramp.strides, ramp.sizes, strict=True)]
    return " + ".join([str(ramp.offset), *terms])


@pytest.mark.parametrize(
    ("calls", "more", "expected"),
    [
        ("i = Identity(r)", "", "0 + 1*[N]"),
        ("i = Mul(r, four)", "", "0 + 4*[N]"),
        ("i = Mul(four, r)", "", "0 + 4*[N]"),
        ("i = Mul(r, n)", "", "0 + N*[N]"),
        ("i = Add(r, two)", "", "2 + 1*[N]"),
        ("c = Cast<to = 7>(r) i = Unsqueeze(c, last)", "", "0 + 1*[N] + 0*[1]"),
        ("u = Unsqueeze(r, last) i = Squeeze(u, last)", "", "0 + 1*[N]"),
        ("u = Unsqueeze(r, last) i = Transpose(u)", "", "0 + 0*[1] + 1*[N]"),
        ("m = Mul(r, four) u = Unsqueeze(m, last) i = Add(u, k)", "int64[3] k = {1, 2, 3}", "1 + 4*[N] + 1*[3]"),
        ("i = Identity(k)", "int64[2, 3] k = {5, 7, 9, 6, 8, 10}", "5 + 1*[2] + 2*[3]"),
    ],
)
def test_sums_of_ranges(calls: str, more: str, expected: str) -> None:
    assert spelled(ramp_of(calls, more)) == expected


@pytest.mark.parametrize(
    ("calls", "more"),
    [
        ("i = Mul(r, r)", ""),  # squares
        ("i = Add(r, k)", "int64[2] k = {0, 1}"),  # sizes that do not agree
        ("i = Identity(k)", "int64[4] k = {0, 1, 3, 2}"),  # no range
        ("i = Range(one, n, one)", ""),  # its length is not a product of sizes
        ("i = Range(zero, n, two)", ""),
        ("i = Neg(r)", ""),  # no rule
    ],
)
def test_anything_else_is_unknown(calls: str, more: str) -> None:
    assert ramp_of(calls, more) is None


def test_a_graph_input_is_unknown() -> None:
    assert ramp_of("i = Identity(r)", name="x") is None
