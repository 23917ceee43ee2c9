"""Laws of the algebra of axes: what unification, refinement and masks promise whatever the sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TypeAlias

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from irprune.analysis import Atoms, find_atoms, kept_indices, kept_mask
from irprune.axes import Axis, AxisSystem, Leaf, leaves_of, product_of, resolve, size_of, sum_of
from irprune.ir import Size
from irprune.ir.sizes import product
from irprune.reasons import Place
from irprune.signatures.refine import refine

Description: TypeAlias = "int | tuple[str, list[Description]]"
"""An axis: its size, or ``("x" or "+", parts)``."""

Own: TypeAlias = dict[int, NDArray[np.intp]]
sizes = st.integers(2, 6)


HERE = Place("here")


def build(system: AxisSystem, shape: Description, name: str) -> Axis:
    if isinstance(shape, int):
        return system.leaf(shape, name)
    kind, parts = shape
    children = [build(system, part, f"{name}{k}") for k, part in enumerate(parts)]
    return product_of(children) if kind == "x" else sum_of(children)


def total(shape: Description) -> int:
    if isinstance(shape, int):
        return shape
    kind, parts = shape
    return prod(map(total, parts)) if kind == "x" else sum(map(total, parts))


def nested() -> st.SearchStrategy[Description]:
    parts = st.recursive(
        sizes,
        lambda inner: st.tuples(st.sampled_from("x+"), st.lists(inner, min_size=2, max_size=3)),
        max_leaves=4,
    )
    return parts.filter(lambda shape: total(shape) <= 120)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Description, Description]:
    """Two descriptions of one size: the second is the first factored or cut in another way."""
    size = draw(st.sampled_from([4, 6, 8, 12, 16, 24, 30, 36]))

    def describe() -> Description:
        kind = draw(st.sampled_from(["leaf", "x", "+", "x+"]))
        divisors = [d for d in range(2, size) if size % d == 0]
        if kind == "leaf":
            return size
        if kind == "+":
            at = draw(st.integers(1, size - 1))
            return ("+", [at, size - at])
        d = draw(st.sampled_from(divisors))
        if kind == "x" or d < 3:
            return ("x", [d, size // d])
        at = draw(st.integers(1, d - 1))
        return ("x", [("+", [at, d - at]), size // d])

    return describe(), describe()


Elements: TypeAlias = list[frozenset[int]]


def solution(left: Description, right: Description, swap: bool) -> tuple[Elements, Elements]:
    """Unify two fresh axes: per element of the left and of the right, the atoms whose removal removes it."""
    system = AxisSystem()
    a, b = build(system, left, "a"), build(system, right, "b")
    system.unify(*((b, a) if swap else (a, b)), HERE)
    own = atoms_of(find_atoms(system, [a, b]))
    return element_atoms(a, own), element_atoms(b, own)


def atoms_of(atoms: Atoms) -> Own:
    return {leaf.number: atoms.of_leaf(leaf) for leaf in atoms.leaves}


def element_atoms(axis: Axis, own: Own) -> Elements:
    """Per element of a dimension, the atoms whose removal removes it."""
    found: list[set[int]] = [set() for _ in range(size_of(axis).coefficient)]
    for atom in sorted({int(a) for atoms in own.values() for a in atoms if a >= 0}):
        kept = {number: atoms != atom for number, atoms in own.items()}
        for k in np.flatnonzero(~kept_mask(axis, kept)):
            found[int(k)].add(atom)
    return [frozenset(atoms) for atoms in found]


@given(pairs())
def test_unified_dimensions_lose_the_same_elements(pair: tuple[Description, Description]) -> None:
    """Soundness: whatever atom goes, both dimensions lose the same positions."""
    left, right = solution(*pair, swap=False)
    assert left == right


@given(pairs())
def test_unification_is_symmetric(pair: tuple[Description, Description]) -> None:
    def partition(swap: bool) -> set[frozenset[int]]:
        """Sets of elements that go together, however the atoms are numbered."""
        left, _ = solution(*pair, swap=swap)
        atoms = {atom for found in left for atom in found}
        return {frozenset(k for k, found in enumerate(left) if atom in found) for atom in atoms}

    assert partition(swap=False) == partition(swap=True)


@given(pairs())
def test_unification_is_idempotent(pair: tuple[Description, Description]) -> None:
    system = AxisSystem()
    a, b = build(system, pair[0], "a"), build(system, pair[1], "b")
    system.unify(a, b, HERE)
    before = (repr(resolve(a)), repr(resolve(b)), len(find_atoms(system, [a, b]).atom))
    if system.relations:
        return  # a relation that is said twice says nothing new, but it is said twice
    system.unify(a, b, Place("again"))
    assert (repr(resolve(a)), repr(resolve(b)), len(find_atoms(system, [a, b]).atom)) == before
    assert not system.relations and not system.freezes


@given(nested())
def test_sizes_are_kept(shape: Description) -> None:
    system = AxisSystem()
    axis = build(system, shape, "a")
    leaf = system.leaf(total(shape), "b")
    system.unify(leaf, axis, HERE)
    assert size_of(resolve(leaf)) == Size(total(shape))
    assert resolve(leaf) == resolve(axis)


@given(nested(), st.data())
def test_cut_parts_lie_end_to_end(shape: Description, data: st.DataObject) -> None:
    system = AxisSystem()
    axis = build(system, shape, "a")
    size = total(shape)
    at = sorted(data.draw(st.sets(st.integers(0, size), max_size=3)))
    parts = system.cut(axis, at, HERE)
    assert [size_of(part).coefficient for part in parts] == np.diff([0, *at, size]).tolist()
    atoms = find_atoms(system, [axis, *parts])
    own = atoms_of(atoms)
    joined = [found for part in parts for found in element_atoms(resolve(part), own)]
    assert joined == element_atoms(axis, own)


@given(nested(), st.data())
def test_masks_of_products_and_sums(shape: Description, data: st.DataObject) -> None:
    system = AxisSystem()
    axis = build(system, shape, "a")
    leaves = leaves_of(axis)
    kept = {
        leaf.number: np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
        for leaf in leaves
        for n in [leaf.size.coefficient]
    }
    expected = list(by_hand(shape, iter([kept[leaf.number].tolist() for leaf in leaves])))
    assert kept_mask(axis, kept).tolist() == expected
    assert kept_indices(axis, kept).tolist() == [k for k, stays in enumerate(expected) if stays]


def by_hand(shape: Description, masks: Iterator[list[bool]]) -> list[bool]:
    """The mask written with loops."""
    if isinstance(shape, int):
        return next(masks)
    kind, parts = shape
    found = [by_hand(part, masks) for part in parts]
    if kind == "+":
        return [stays for mask in found for stays in mask]
    result = [True]
    for mask in found:
        result = [a and b for a in result for b in mask]
    return result


@st.composite
def views(draw: st.DrawFn) -> tuple[list[Size], list[Size]]:
    """Two shapes of one number of elements: the same cells, merged differently; some cells are run-time sizes."""
    symbols = st.sampled_from([Size(1, ("N",)), Size(1, ("S",))])
    cells = draw(st.lists(st.one_of(st.integers(1, 6).map(Size), symbols), min_size=1, max_size=6))

    def merged() -> list[Size]:
        cuts = sorted(draw(st.sets(st.integers(1, len(cells)), max_size=4)) | {len(cells)})
        starts = [0, *cuts[:-1]]
        return [product(cells[a:b]) for a, b in zip(starts, cuts, strict=True)]

    return merged(), merged()


@given(views())
def test_refined_cells_multiply_back(pair: tuple[Sequence[Size], Sequence[Size]]) -> None:
    found = refine(*pair)
    for shape, groups in zip(pair, (found.left, found.right), strict=True):
        listed = [cell for group in groups for cell in group or ()]
        assert len(set(listed)) == len(listed) == len(found.cells)
        for size, group in zip(shape, groups, strict=True):
            if group is not None:
                assert product(found.cells[k] for k in group) == size


@given(views())
def test_refinement_is_symmetric(pair: tuple[Sequence[Size], Sequence[Size]]) -> None:
    there, back = refine(*pair), refine(*reversed(pair))
    assert (there.cells, there.left, there.right) == (back.cells, back.right, back.left)


@given(st.integers(2, 40), st.data())
def test_relations_move_elements(size: int, data: st.DataObject) -> None:
    """A permutation ties element k of one axis to element p(k) of the other, and nothing else."""
    order = np.array(data.draw(st.permutations(range(size))))
    system = AxisSystem()
    a, b = system.leaf(size, "a"), system.leaf(size, "b")
    system.relate(a, np.arange(size), b, order, HERE)
    atoms = find_atoms(system, [a, b])
    assert isinstance(a, Leaf) and isinstance(b, Leaf)
    assert atoms.count == size
    assert atoms.of_leaf(a).tolist() == atoms.of_leaf(b)[order].tolist()
