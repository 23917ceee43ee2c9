"""Which sums are residual, in graphs as text: the matching case beside its refusing twin."""

from __future__ import annotations

import onnx_ir as oir
import pytest

from irprune.analysis import analyze
from irprune.analysis.residuals import find_blocks, find_residuals
from irprune.frontends.onnx import import_model
from tests.golden.passes_support import model_of, normal

NUMBERS = {"w": normal(4, 4), "u": normal(4, 4, seed=1), "v": normal(4, 4, seed=2)}


def residuals(body: str, inputs: str = "float[N, 4] x") -> list[tuple[str, str]]:
    """Branches and their skips."""
    proto = model_of(f"g ({inputs}) => (float[N, 4] y) {{ {body} }}", NUMBERS)
    return [(each.branch, each.skip) for each in find_residuals(analyze(import_model(oir.from_proto(proto))))]


def test_a_branch_that_starts_from_what_it_is_added_to() -> None:
    assert residuals("a = MatMul(x, w) b = Relu(a) z = Add(x, b) y = MatMul(z, v)") == [("b", "x")]
    assert residuals("a = MatMul(x, w) b = Relu(a) z = Add(b, x) y = MatMul(z, v)") == [("b", "x")]


@pytest.mark.parametrize(
    "body",
    [
        "a = MatMul(x, w) b = MatMul(x, u) z = Add(a, b) y = MatMul(z, v)",  # two branches, and none is the stream
        "a = Relu(x) z = Add(x, a) y = MatMul(z, v)",  # no weights
        "a = MatMul(x, w) z = Mul(x, a) y = MatMul(z, v)",  # no sum
        "a = MatMul(x, w) z = Add(a, a) y = MatMul(z, v)",  # a value and itself
    ],
)
def test_what_is_no_residual_branch(body: str) -> None:
    assert residuals(body) == []


def test_the_innermost_branches_are_found() -> None:
    body = "a = MatMul(x, w) b = Add(x, a) c = MatMul(b, u) d = Add(b, c) e = Add(x, d) y = MatMul(e, v)"
    assert residuals(body) == [("a", "x"), ("c", "b")]


def test_a_bias_that_comes_from_an_earlier_layer_is_no_stream() -> None:
    """The scores of a second layer do not start from the mask that is added to them, though they depend on it."""
    body = """
        m = Relu(mask) a = MatMul(x, w) b = Add(a, m) c = Softmax(b) d = Add(x, c)
        e = MatMul(d, u) f = Add(m, e) h = Softmax(f) i = Add(d, h) y = MatMul(i, v)
    """
    assert residuals(body, "float[N, 4] x, float[N, 4] mask") == [("c", "x"), ("h", "d")]


def test_what_others_read_is_not_part_of_a_branch() -> None:
    body = "a = MatMul(x, w) b = Relu(a) z = Add(x, b) p = MatMul(z, v) y = Sub(p, a)"
    proto = model_of(f"g (float[N, 4] x) => (float[N, 4] y) {{ {body} }}", NUMBERS)
    assert find_residuals(analyze(import_model(oir.from_proto(proto)))) == ()


def test_sublayers_that_repeat_are_a_block() -> None:
    body, value = [], "x"
    for k in range(3):
        body += [f"a{k} = MatMul({value}, w) s{k} = Add({value}, a{k})"]
        body += [f"b{k} = MatMul(s{k}, u) c{k} = Relu(b{k}) d{k} = MatMul(c{k}, v) z{k} = Add(s{k}, d{k})"]
        value = f"z{k}"
    proto = model_of(f"g (float[N, 4] x) => (float[N, 4] y) {{ {' '.join(body)} y = MatMul(z2, w) }}", NUMBERS)
    analysis = analyze(import_model(oir.from_proto(proto)))
    blocks = find_blocks(analysis, find_residuals(analysis))
    assert [[each.result for each in block] for block in blocks] == [["s0", "z0"], ["s1", "z1"], ["s2", "z2"]]
