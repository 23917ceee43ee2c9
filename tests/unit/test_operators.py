"""The table of operators: entries, and the traits that stand beside a signature."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from irprune.ir import Node
from irprune.signatures import (
    EVERY,
    OPERATORS,
    NoSignature,
    Operator,
    RuleContext,
    Traits,
    register,
    signature,
    signature_of,
    traits_of,
)


@pytest.fixture
def table() -> Iterator[None]:
    """Operators that a test adds are gone after it."""
    before = dict(OPERATORS)
    yield
    OPERATORS.clear()
    OPERATORS.update(before)


def context(op: str, domain: str = "made") -> RuleContext:
    node = Node("n", op, ("x",), ("y",), domain)
    return RuleContext(node, 1, ((),), ((),), *[lambda k: None] * 4, lambda k: ())


@pytest.mark.usefixtures("table")
def test_an_entry_is_a_rule_a_signature_or_its_text() -> None:
    found = signature("a b -> a b", opaque="b")
    register({"made::rule": lambda ctx: found, "made::fixed": found, "made::text": "a -> a"})
    assert signature_of(context("rule")) is found
    assert signature_of(context("fixed")) is found
    assert signature_of(context("text")) == signature("a -> a")


@pytest.mark.usefixtures("table")
def test_an_operator_without_a_rule_says_why() -> None:
    register({"made::Draw": Operator(reason="numbers are drawn", random=True)})
    with pytest.raises(NoSignature, match=r"^numbers are drawn$"):
        signature_of(context("Draw"))
    assert traits_of("made::Draw").random


def test_a_mistake_in_a_text_shows_when_the_table_is_read() -> None:
    with pytest.raises(ValueError, match=r"^signature 'a b': expected '->'$"):
        register({"made::wrong": "a b"})
    assert "made::wrong" not in OPERATORS


def test_an_operator_has_one_entry() -> None:
    before = dict(OPERATORS)
    with pytest.raises(ValueError, match=r"^operator Relu has an entry already$"):
        register({"Relu": "a -> a"})
    assert before == OPERATORS


def test_traits_are_found_by_qualified_name_or_by_domain() -> None:
    assert traits_of("com.microsoft::QGemm") is traits_of("QGemm", "com.microsoft")
    assert traits_of("Gather", "ai.onnx") is traits_of("Gather")
    assert traits_of("com.example::Gather") == Traits()


def test_the_operands_that_a_result_takes_its_elements_from() -> None:
    assert [traits_of("Concat").hands_on(k) for k in (0, 1, 1000)] == [True] * 3
    assert [traits_of("Where").hands_on(k) for k in (0, 1, 2)] == [False, True, True]
    assert [traits_of("Reshape").hands_on(k) for k in (0, 1)] == [True, False]
    assert not traits_of("Add").hands_on(0)
    assert -1 not in EVERY


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_traits_go_together(name: str) -> None:
    """Contradictions that no consumer could make sense of."""
    traits = traits_of(name)
    assert not (traits.identity and not (traits.copies and traits.keeps_shape))
    assert not (traits.only_moves and (traits.asks or traits.singular_at_zero or traits.divisor is not None))
    assert not (traits.random and (traits.copies or traits.moves))
    assert not {table for found in traits.lookups.values() for table in found} & traits.lookups.keys()
    assert not set(traits.zero_points) & set(traits.zero_points.values())
    if traits.channel_scale is not None:
        assert traits.channel_scale in traits.weights
