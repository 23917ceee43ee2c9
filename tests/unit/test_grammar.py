"""The notation of axis signatures."""

from __future__ import annotations

import pytest

from irprune.ir import Size
from irprune.reasons import Why
from irprune.signatures import (
    Composite,
    Name,
    SizeOf,
    Star,
    Unit,
    Unknown,
    names_of,
    parse_notation,
    signature,
    term,
)


def test_a_signature_with_everything() -> None:
    found = signature("n (g i) *s, (g o) i *k, _ -> n (g o) *t", opaque="s k t", macs="n g o i k t").notation
    assert found.inputs == (
        (Name("n"), Composite((Name("g"), Name("i"))), Star("s")),
        (Composite((Name("g"), Name("o"))), Name("i"), Star("k")),
        None,
    )
    assert found.outputs == ((Name("n"), Composite((Name("g"), Name("o"))), Star("t")),)
    assert found.opaque == {"s", "k", "t"}
    assert found.normalized == frozenset()
    assert found.macs == (("n", "g", "o", "i", "k", "t"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", Name("a")),
        ("1", Unit()),
        ("?", Unknown()),
        ("*b", Star("b")),
        ("(a b)", Composite((Name("a"), Name("b")))),
        ("(a + b)", Composite((Name("a"), Name("b")), is_sum=True)),
        ("(a + (b 1))", Composite((Name("a"), Composite((Name("b"), Unit()))), is_sum=True)),
        ("p0_kept", Name("p0_kept")),
    ],
)
def test_terms(text: str, expected: object) -> None:
    assert term(text) == expected


def test_several_products_of_a_cost() -> None:
    found = signature("a b, b c -> a c", macs="a b c + a c c").notation
    assert found.macs == (("a", "b", "c"), ("a", "c", "c"))


def test_roles_are_words_or_names_one_by_one() -> None:
    words = signature("a b -> a b", opaque="a", normalized="b", repeated="a b", macs="a b")
    names = signature("a b -> a b", opaque=["a"], normalized=("b",), repeated=iter("ab"), macs=["a", "b"])
    assert words == names
    assert (words.notation.normalized, words.notation.repeated) == ({"b"}, {"a", "b"})


def test_no_operands_and_scalars() -> None:
    found = parse_notation(" -> a")
    assert (found.inputs, found.outputs) == ((), ((Name("a"),),))
    assert parse_notation("a, -> ").inputs == ((Name("a"),), ())


def test_names_of_a_term() -> None:
    assert names_of(term("((h d) + *s + 1)")) == ("h", "d", "s")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", r"signature 'a b': expected '->'"),
        ("a -> a ; opaque a", r"operand ' a ; opaque a': cannot read ';'"),
        ("a - b -> a", r"operand 'a - b ': cannot read '-'"),
        ("*a *b -> a", r"operand '\*a \*b ': more than one run of axes"),
        ("(a b -> a", r"unbalanced parenthesis in a signature"),
    ],
)
def test_what_is_no_signature(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_notation(text)


@pytest.mark.parametrize("text", ["a b", "_", ""])
def test_what_is_no_single_dimension(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected one dimension, got "):
        term(text)


def test_followers_and_sizes() -> None:
    found = signature(
        "(g c) -> (g c)",
        sizes={"g": 2, "c": "C"},
        attributes={"group": "g", "split": [SizeOf(term("c")), None]},
        operands={1: [None, 3]},
        reason="why",
        pins={"scale": 0.5},
    )
    assert found.sizes == {"g": Size(2), "c": Size(1, ("C",))}
    assert found.attributes == {"group": SizeOf(Name("g")), "split": (SizeOf(Name("c")), None)}
    assert found.operands == {1: (None, 3)}
    assert (found.reason, found.pins) == (Why("why"), {"scale": 0.5})
