"""Unification of axis expressions, case by case."""

from __future__ import annotations

import numpy as np
import pytest

from irprune.analysis import find_atoms
from irprune.axes import UNIT, Axis, AxisSystem, Leaf, Product, is_unit, leaves_of, product_of, resolve, size_of, sum_of
from irprune.ir import Size
from irprune.reasons import Kind, Place, plain

HERE = Place("here")


@pytest.fixture
def system() -> AxisSystem:
    return AxisSystem()


def shown(axis: Axis) -> str:
    """The resolved expression with sizes alone: ``(2 3)``, ``(2 + 4)``, ``6``."""
    return " ".join(
        "".join(part.split(":")[1:]) if ":" in part else part for part in repr(resolve(axis)).replace("(", "( ").split()
    ).replace("( ", "(")


def leaves(system: AxisSystem, *sizes: int) -> list[Axis]:
    return [system.leaf(size, f"a{k}") for k, size in enumerate(sizes)]


def test_a_leaf_of_size_one_is_a_unit(system: AxisSystem) -> None:
    assert system.leaf(1, "one") is UNIT
    assert system.leaves == []
    assert size_of(UNIT) == Size(1)


def test_two_leaves_become_one(system: AxisSystem) -> None:
    a, b = leaves(system, 4, 4)
    system.unify(a, b, HERE)
    assert resolve(a) is resolve(b)


def test_a_leaf_takes_the_structure_of_a_product(system: AxisSystem) -> None:
    whole, heads, size = leaves(system, 768, 12, 64)
    system.unify(whole, product_of([heads, size]), HERE)
    assert leaves_of(whole) == [heads, size] and isinstance(resolve(whole), Product)
    assert leaves_of(whole) == [heads, size]


def test_products_refine_each_other(system: AxisSystem) -> None:
    """(12 4) = (3 16): the common factors are 3, 4 and 4."""
    a, b, c, d = leaves(system, 12, 4, 3, 16)
    system.unify(product_of([a, b]), product_of([c, d]), HERE)
    assert shown(product_of([a, b])) == shown(product_of([c, d])) == "(3 4 4)"
    assert (shown(a), shown(d)) == ("(3 4)", "(4 4)")
    assert not system.relations


def test_products_without_common_factors_become_a_relation(system: AxisSystem) -> None:
    a, b, c, d = leaves(system, 6, 4, 8, 3)
    system.unify(product_of([a, b]), product_of([c, d]), Place("Reshape", "r"))
    (relation,) = system.relations
    assert (str(relation.where), relation.left_index.tolist()) == ("Reshape 'r'", list(range(24)))
    assert find_atoms(system, [a, b, c, d]).count < 24


def test_common_factors_in_front_are_still_unified(system: AxisSystem) -> None:
    a, b, c, d, e, f = leaves(system, 5, 6, 4, 5, 8, 3)
    system.unify(product_of([a, b, c]), product_of([d, e, f]), HERE)
    assert resolve(a) is resolve(d)
    (relation,) = system.relations
    assert len(relation.left_index) == 24


def test_sums_are_cut_to_common_parts(system: AxisSystem) -> None:
    """(2 + 5) = (4 + 3): the common parts are 2, 2 and 3."""
    a, b, c, d = leaves(system, 2, 5, 4, 3)
    system.unify(sum_of([a, b]), sum_of([c, d]), HERE)
    assert shown(sum_of([a, b])) == shown(sum_of([c, d])) == "(2 + 2 + 3)"
    assert (shown(b), shown(c)) == ("(2 + 3)", "(2 + 2)")


def test_a_sum_of_multiples_is_a_product(system: AxisSystem) -> None:
    """(4 + 6) = (5 2): both parts are multiples of the inner factor."""
    a, b, outer, inner = leaves(system, 4, 6, 5, 2)
    system.unify(sum_of([a, b]), product_of([outer, inner]), HERE)
    assert (shown(a), shown(b), shown(outer)) == ("(2 2)", "(3 2)", "(2 + 3)")
    assert leaves_of(a)[1] is leaves_of(b)[1] is resolve(inner)


def test_a_product_with_a_sum_is_the_same_from_the_other_side(system: AxisSystem) -> None:
    a, b, outer, inner = leaves(system, 4, 6, 5, 2)
    system.unify(product_of([outer, inner]), sum_of([a, b]), HERE)
    assert (shown(a), shown(b), shown(outer)) == ("(2 2)", "(3 2)", "(2 + 3)")


def test_a_sum_that_is_no_product_becomes_a_relation(system: AxisSystem) -> None:
    a, b, outer, inner = leaves(system, 3, 7, 5, 2)
    system.unify(sum_of([a, b]), product_of([outer, inner]), HERE)
    (relation,) = system.relations
    assert relation.left_index.tolist() == relation.right_index.tolist() == list(range(10))


def test_a_factor_that_is_a_sum_is_factored(system: AxisSystem) -> None:
    """((4 + 8) 3) = (6 2 3)."""
    a, b, c, d, e, f = leaves(system, 4, 8, 3, 6, 2, 3)
    system.unify(product_of([sum_of([a, b]), c]), product_of([d, e, f]), HERE)
    assert (shown(a), shown(b), shown(d)) == ("(2 2)", "(4 2)", "(2 + 4)")
    assert not system.relations


def test_an_axis_inside_itself_is_a_relation(system: AxisSystem) -> None:
    """The occurs check: a leaf is not bound to an expression that holds it."""
    (whole,) = leaves(system, 4)
    one = Leaf(Size(1), "one", 99)
    system.unify(whole, Product((whole, one)), HERE)
    assert resolve(whole) is whole
    assert [relation.where for relation in system.relations] == [HERE]


def test_a_square_that_is_a_double_leaves_nothing_to_remove(system: AxisSystem) -> None:
    """(p p) = (p + p) holds where all of p is kept, or nothing."""
    (p,) = leaves(system, 2)
    system.unify(product_of([p, p]), sum_of([p, p]), HERE)
    assert shown(p) == "(1 + 1)"
    assert find_atoms(system, [p]).count == 0


def test_other_sizes_freeze_both_sides_with_the_reason(system: AxisSystem) -> None:
    a, b = leaves(system, 4, 5)
    system.unify(a, b, Place("Add", "sum"))
    assert [(f.axis, str(f.reason)) for f in system.freezes] == [
        (a, "Add 'sum': sizes 4 and 5 do not agree"),
        (b, "Add 'sum': sizes 4 and 5 do not agree"),
    ]


def test_two_names_of_a_run_time_size_are_one_axis(system: AxisSystem) -> None:
    a, b = system.leaf(Size(1, ("N",)), "a"), system.leaf(Size(1, ("M",)), "b")
    system.unify(a, b, HERE)
    assert resolve(a) is resolve(b)
    assert not system.freezes


def test_the_name_that_the_model_gave_is_kept() -> None:
    system = AxisSystem(named=frozenset({"batch"}))
    for order in (0, 1):
        pair = [system.leaf(Size(1, ("batch",)), "a"), system.leaf(Size(1, ("unk__3",)), "b")]
        system.unify(pair[order], pair[1 - order], HERE)
        assert size_of(resolve(pair[0])) == size_of(resolve(pair[1])) == Size(1, ("batch",))


def test_run_time_factors(system: AxisSystem) -> None:
    """12*N = (N 12): the batch is an axis like any other."""
    merged = system.leaf(Size(12, ("N",)), "m")
    batch, channels = system.leaf(Size(1, ("N",)), "n"), system.leaf(12, "c")
    system.unify(merged, product_of([batch, channels]), HERE)
    assert leaves_of(merged) == [batch, channels]


def test_run_time_products_without_refinement_are_frozen(system: AxisSystem) -> None:
    n = system.leaf(Size(1, ("N",)), "n")
    a, b, c, d = leaves(system, 6, 4, 8, 3)
    system.unify(product_of([n, a, b]), product_of([n, c, d]), HERE)
    assert not system.freezes  # the batch is matched first, what is left is static
    m = system.leaf(Size(1, ("M",)), "m")
    e, f = leaves(system, 6, 4)
    system.unify(product_of([e, m, f]), product_of([f, m, e]), Place("there"))
    assert {freeze.reason.op for freeze in system.freezes} == {"there"}


@pytest.mark.parametrize(
    ("at", "expected"),
    [([0], ["()", "6"]), ([6], ["6", "()"]), ([2], ["2", "4"]), ([1, 3], ["1", "2", "3"]), ([2, 2], ["2", "()", "4"])],
)
def test_cuts_of_a_leaf(system: AxisSystem, at: list[int], expected: list[str]) -> None:
    axis = system.leaf(6, "a")
    assert [shown(part) for part in system.cut(axis, at, HERE)] == expected


def test_a_cut_between_the_parts_of_a_sum_makes_nothing_new(system: AxisSystem) -> None:
    a, b, c = leaves(system, 2, 3, 4)
    assert system.cut(sum_of([a, b, c]), [2, 5], HERE) == (a, b, c)
    assert len(system.leaves) == 3


def test_a_cut_along_the_outer_factor_keeps_the_inner(system: AxisSystem) -> None:
    outer, inner = leaves(system, 3, 2)
    head, rest = system.cut(product_of([outer, inner]), [4], HERE)
    assert (shown(head), shown(rest), shown(outer)) == ("(2 2)", "2", "(2 + 1)")
    assert resolve(rest) is inner


def test_a_cut_through_a_product_ties_elements(system: AxisSystem) -> None:
    outer, inner = leaves(system, 3, 2)
    head, rest = system.cut(product_of([outer, inner]), [3], HERE)
    assert (shown(head), shown(rest)) == ("3", "3")
    assert len(system.relations) == 1


def test_a_cut_of_a_run_time_size_is_frozen(system: AxisSystem) -> None:
    axis = system.leaf(Size(1, ("S",)), "s")
    head, rest = system.cut(axis, [2], Place("Slice", "x"))
    assert (size_of(head), size_of(rest)) == (Size(2), Size(1, ("(S-2)",)))
    assert [str(freeze.reason) for freeze in system.freezes] == [
        "Slice 'x': cut at 2 of a run-time size",
        "Slice 'x': cut of a run-time size",
        "Slice 'x': cut of a run-time size",
    ]


def test_normal_forms(system: AxisSystem) -> None:
    a, b, c = leaves(system, 2, 3, 4)
    assert repr(product_of([a, product_of([b, c])])) == repr(product_of([a, b, c]))
    assert repr(sum_of([sum_of([a, b]), c])) == repr(sum_of([a, b, c]))
    assert product_of([a]) is a
    assert sum_of([a]) is a
    assert repr(product_of([a, UNIT, b])) == repr(product_of([a, b]))
    assert size_of(sum_of([])) == Size(0)


def test_units_are_never_frozen(system: AxisSystem) -> None:
    system.freeze(UNIT, plain("no reason", Kind.ORDER))
    assert system.freezes == []


def test_a_relation_ties_elements_by_index(system: AxisSystem) -> None:
    a, b = leaves(system, 3, 3)
    system.relate(a, np.array([0, 1, 2]), b, np.array([2, 0, 1]), HERE)
    atoms = find_atoms(system, [a, b])
    assert isinstance(a, Leaf) and isinstance(b, Leaf)
    assert atoms.of_leaf(a).tolist() == atoms.of_leaf(b)[[2, 0, 1]].tolist()
    assert atoms.count == 3


def test_expressions_are_told_apart_by_identity(system: AxisSystem) -> None:
    """Equal ones become one axis when they are unified, without any relation; as keys they are two."""
    a, b = leaves(system, 2, 3)
    first, second = Product((a, b)), Product((a, b))
    assert len({first, second}) == 2
    system.unify(first, second, HERE)
    assert not system.relations and not system.freezes
    assert is_unit(UNIT) and is_unit(Product(())) and not is_unit(first)
