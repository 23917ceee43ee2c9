"""Shape arithmetic: one line an operator, evaluated with a batch that only run time knows."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from irprune.ir import Graph, Integers, Size
from tests.golden.helpers.models import graph_of, model_of
from tests.golden.helpers.removal import run

# x is float[N, 4, 6]: its shape is s = [N, 4, 6]
HEAD = "(float[N, 4, 6] x) => (float[] y) <int64 zero = {{0}}, int64 two = {{2}}, int64[1] first = {{0}}{more}>"
BODY = "{{ s = Shape(x) {calls} y = Relu(x) }}"


def graph(calls: str, more: str = "", opset: int = 20) -> Graph:
    more = f", {more}" if more else ""
    return graph_of(f"{HEAD.format(more=more)} {BODY.format(calls=calls)}", opset)


def sizes_of(found: Graph, name: str) -> tuple[Size, ...] | None:
    shape = found.shape(name)
    return None if shape is None or None in shape else tuple(Size.of(dim) for dim in shape if dim is not None)


def entries(calls: str, more: str = "", opset: int = 20, name: str = "r") -> list[str] | str | None:
    """What ``r`` is: entries as text, ``?`` for one that is unknown, ``None`` where nothing is known."""
    found = graph(calls, more, opset)
    result = Integers(found, lambda value: sizes_of(found, value)).entries(name)
    if result is None:
        return None
    texts = ["?" if entry is None else str(entry) for entry in result.ravel()]
    return texts if result.ndim else texts[0]


CASES = [
    ("r = Identity(s)", "", ["N", "4", "6"]),
    ("r = Shape<start = 1>(x)", "", ["4", "6"]),
    ("r = Shape<start = -1>(x)", "", ["6"]),
    ("r = Shape<start = 0, end = -1>(x)", "", ["N", "4"]),
    ("r = Size(x)", "", "24*N"),
    ("r = Gather(s, two)", "", "6"),
    ("r = Gather(s, i)", "int64[2] i = {-1, 0}", ["6", "N"]),
    ("a = Gather(s, zero) r = Unsqueeze(a, first)", "", ["N"]),
    ("a = Gather(s, first) r = Squeeze(a, first)", "", "N"),
    ("a = Gather(s, first) r = Squeeze(a)", "", "N"),
    ("a = Gather(s, first) r = Concat<axis = 0>(a, m)", "int64[1] m = {-1}", ["N", "-1"]),
    ("r = Slice(s, a, b)", "int64[1] a = {1}, int64[1] b = {9223372036854775807}", ["4", "6"]),
    (
        "r = Slice(s, a, b, c, d)",
        "int64[1] a = {-1}, int64[1] b = {-9}, int64[1] c = {0}, int64[1] d = {-2}",
        ["6", "N"],
    ),
    ("q, r = Split<axis = 0>(s, p)", "int64[2] p = {1, 2}", ["4", "6"]),
    ("r = Reshape(s, p)", "int64[2] p = {3, 1}", ["N", "4", "6"]),
    ("a = Reshape(s, p) r = Transpose<perm = [1, 0]>(a)", "int64[2] p = {3, 1}", ["N", "4", "6"]),
    ("r = ReduceProd<keepdims = 0>(s, first)", "", "24*N"),
    ("a = Gather(s, i) r = ConstantOfShape<value = int64[1] {7}>(a)", "int64[1] i = {1}", ["7"] * 4),
    ("r = Range(zero, two, one)", "int64 one = {1}", ["0", "1"]),
    ("r = Where(c, s, m)", "bool[3] c = {1, 0, 1}, int64[3] m = {-1, -1, -1}", ["N", "-1", "6"]),
    ("r = Expand(first, p)", "int64[1] p = {2}", ["0", "0"]),
    ("a = Gather(s, i) r = OneHot(i, d, a)", "int64[2] i = {1, 0}, int64 d = {2}", ["4", "N", "N", "4"]),
    ("r = OneHot<axis = 0>(i, d, v)", "int64[1] i = {-1}, int64 d = {2}, int64[2] v = {1, 5}", ["1", "5"]),
    ("r = OneHot(i, d, v)", "int64[1, 1] i = {1}, int64 d = {2}, int64[2] v = {1, 5}", None),
    ("r = Add(s, s)", "", ["2*N", "8", "12"]),
    ("r = Add(s, zero)", "", ["N", "4", "6"]),
    ("r = Add(s, two)", "", ["?", "6", "8"]),
    ("r = Sub(s, s)", "", ["0*N", "0", "0"]),
    ("r = Sub(s, two)", "", ["?", "2", "4"]),
    ("r = Mul(s, two)", "", ["2*N", "8", "12"]),
    ("r = Mul(s, s)", "", ["N*N", "16", "36"]),
    ("r = Div(s, two)", "", ["?", "2", "3"]),
    ("a = Mul(s, two) r = Div(a, two)", "", ["N", "4", "6"]),
    ("r = Div(s, s)", "", ["1", "1", "1"]),
    ("r = Div(s, m)", "int64 m = {-4}", ["?", "-1", "-1"]),
    ("r = Mod(s, m)", "int64 m = {4}", ["?", "0", "2"]),
    ("r = Min(s, m)", "int64 m = {5}", ["?", "4", "5"]),
    ("r = Max(s, m)", "int64 m = {5}", ["?", "5", "6"]),
    ("r = Max(s, s)", "", ["N", "4", "6"]),
    ("r = Equal(s, m)", "int64 m = {4}", ["?", "1", "0"]),
    ("r = Equal(s, m)", "int64 m = {-1}", ["0", "0", "0"]),
    ("r = Greater(s, m)", "int64 m = {4}", ["?", "0", "1"]),
    ("r = Less(s, m)", "int64 m = {6}", ["?", "1", "0"]),
    ("a = Equal(s, m) r = Not(a)", "int64 m = {4}", ["?", "0", "1"]),
    ("r = GreaterOrEqual(s, m)", "int64 m = {6}", ["?", "0", "1"]),
    ("r = LessOrEqual(s, m)", "int64 m = {4}", ["?", "1", "0"]),
    ("a = Less(s, m) b = Equal(s, m) r = Or(a, b)", "int64 m = {4}", ["?", "1", "0"]),
    ("a = Less(s, m) b = Not(a) r = And(a, b)", "int64 m = {5}", ["?", "0", "0"]),
    ("r = Pow(s, two)", "", ["?", "16", "36"]),
    ("a = Cast<to = 1>(s) b = Pow(a, h) r = Cast<to = 7>(b)", "float h = {0.5}", ["?", "2", "2"]),
    ("a = Cast<to = 1>(s) b = Sqrt(a) r = Cast<to = 7>(b)", "", ["?", "2", "2"]),
    ("r = Neg(s)", "", ["?", "-4", "-6"]),
    ("r = Cast<to = 1>(s)", "", ["N", "4.0", "6.0"]),
    ("a = Cast<to = 1>(s) b = Mul(a, h) c = Floor(b) r = Cast<to = 7>(c)", "float h = {0.3}", ["?", "1", "1"]),
    ("a = Cast<to = 1>(s) b = Mul(a, h) c = Ceil(b) r = Cast<to = 7>(c)", "float h = {0.3}", ["?", "2", "2"]),
    ("a = Cast<to = 1>(s) b = Mul(a, h) c = Round(b) r = Cast<to = 7>(c)", "float h = {0.3}", ["?", "1", "2"]),
    ("r = Mul(n, s)", "int64[2, 1] n = {1, 2}", ["N", "4", "6", "2*N", "8", "12"]),
    ("r = Abs(s)", "", None),
    ("a = ReduceSum<keepdims = 0>(x) b = Unsqueeze(a, first) r = Concat<axis = 0>(b, h)", "float[1] h = {1}", None),
    ("a = Abs(s) r = Concat<axis = 0>(a, a)", "", None),
    ("a = NonZero(s) r = Gather(s, a)", "", None),
    ("r = Div(two, zero)", "", None),
    ("r = Gather(s, i)", "int64 i = {5}", None),
]


@pytest.mark.parametrize(("calls", "more", "expected"), CASES, ids=[calls for calls, _, _ in CASES])
def test_entries(calls: str, more: str, expected: object) -> None:
    assert entries(calls, more) == expected


KNOWN = [case for case in CASES if case[2] is not None and "?" not in case[2]]


@pytest.mark.parametrize(("calls", "more", "expected"), KNOWN, ids=[calls for calls, _, _ in KNOWN])
def test_what_is_known_is_what_runs(calls: str, more: str, expected: list[str] | str) -> None:
    """With N = 3, ONNX Runtime computes what the entries say."""
    more = f", {more}" if more else ""
    proto = model_of(f"{HEAD.format(more=more)} {BODY.format(calls=calls)}")
    inferred = onnx.shape_inference.infer_shapes(proto)
    del proto.graph.output[:]
    proto.graph.output.append(next(info for info in inferred.graph.value_info if info.name == "r"))
    (got,) = run(proto, {"x": np.zeros((3, 4, 6), np.float32)})
    wanted = [_number(text) for text in ([expected] if isinstance(expected, str) else expected)]
    assert got.ravel().tolist() == wanted


def _number(text: str) -> float:
    return float(text) if "." in text else Size.of(text).evaluate({"N": 3}) if "N" in text else int(text)


@pytest.mark.parametrize(("calls", "opset"), [("a = Gather(s, zero) r = Unsqueeze<axes = [0]>(a)", 11)])
def test_axes_as_attribute(calls: str, opset: int) -> None:
    assert entries(calls, opset=opset) == ["N"]


def test_bounds_as_attributes() -> None:
    assert entries("r = Slice<axes = [0], starts = [1], ends = [3]>(s)", opset=9) == ["4", "6"]


def test_plain_numbers() -> None:
    found = graph("r = Gather(s, i)", "int64[2] i = {1, 2}")
    integers = Integers(found, lambda value: sizes_of(found, value))
    array = integers.array("r")
    assert array is not None and array.tolist() == [4, 6]
    assert integers.array("s") is None


def test_the_same_graph_before_and_after_a_removal() -> None:
    found = graph("a = Gather(s, i) r = Mul(a, two)", "int64[1] i = {1}")
    smaller = Integers(found, lambda value: (Size(1, ("N",)), Size(3), Size(6)) if value == "x" else None)
    array = smaller.array("r")
    assert array is not None and array.tolist() == [6]


def test_weights_are_not_read() -> None:
    found = graph_of("(float[N, 4] x) => (float[] y) <float[80, 80] w> { y = Relu(x) z = Identity(w) }")
    assert Integers(found, lambda value: None).entries("w") is None


def test_unknown_shapes() -> None:
    found = graph("r = Identity(s)")
    assert Integers(found, lambda value: None).entries("r") is None
