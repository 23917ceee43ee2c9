"""Symbols of sizes: names that a model gives, expressions, and unknown sizes."""

from __future__ import annotations

import onnx_ir as oir
import pytest

from irprune.frontends.onnx import import_model
from irprune.ir import Expression, Size, Unknown, parse, render
from irprune.ir.sizes import read_size, total
from tests.golden.helpers.models import graph_of, model_of


def test_an_unknown_size_equals_no_name_of_a_model() -> None:
    assert Unknown("n") == Unknown("n")
    assert Unknown("n") != Unknown("m")
    assert Unknown("n") != "n"
    assert Unknown("n") != "n"
    assert {"n", Unknown("n")} == {Unknown("n"), "n"}
    assert len({"n", Unknown("n")}) == 2


def test_a_name_says_nothing_about_its_size_by_its_spelling() -> None:
    for spelled in ("?n", "(n)", "unk__0"):
        size = Size(1, (spelled,))
        assert size.is_known
        assert not size.is_compound


def test_a_product_remembers_what_its_symbols_are() -> None:
    unknown = Size.of(Unknown("?0"))
    assert not unknown.is_known
    assert not (Size(4) * unknown).is_known
    assert unknown.as_dim() == Unknown("?0")
    assert total([unknown, Size(2)]).is_compound
    assert Size.of(total([unknown, Size(2)]).as_dim()).is_compound


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("-1", Size(-1)),
        ("12*n", Size(12, ("n",))),
        ("(n+1)", Size(1, (Expression("(n+1)"),))),
        ("?x.0", Size(1, (Unknown("?x.0"),))),
    ],
)
def test_spelled_sizes(text: str, size: Size) -> None:
    read = read_size(text)
    assert read == size
    assert (read.is_known, read.is_compound) == (size.is_known, size.is_compound)


def test_inference_invents_names_and_inputs_give_them() -> None:
    graph = graph_of("(float[N, 4] x) => (float[M, 2] y) { z = NonZero(x) y = Transpose(z) }")
    assert graph.shape("x") == ("N", 4)
    found = graph.shape("z")
    assert found is not None
    assert isinstance(found[1], Unknown)
    named = oir.from_proto(model_of("(float[unk__0, 4] x) => (float[unk__0, 4] y) { y = Relu(x) }"))
    dims = import_model(named).shape("y")
    assert dims is not None
    assert not isinstance(dims[0], Unknown)


def test_the_text_of_a_graph_keeps_expressions() -> None:
    graph = graph_of("(float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }")
    text = render(graph).replace("N", "(N+1)")
    again = parse(text).shape("y")
    assert again is not None
    assert isinstance(again[0], Expression)
