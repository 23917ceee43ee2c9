"""From couplings to atoms: which elements go together, and which stay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from irprune import api
from irprune.analysis import Analysis, find_atoms, kept_indices, kept_mask
from irprune.axes import AxisSystem, Leaf, product_of, sum_of
from irprune.ir import Size
from irprune.reasons import Kind, Place, Reason, plain
from tests.golden.helpers.models import analysis_of
from tests.golden.helpers.removal import find_leaf

HERE = Place("here")


def together(analysis: Analysis, *places: str) -> list[list[int]]:
    """Per place, the atoms of its elements, numbered in order of appearance; -1 where an element stays."""
    seen: dict[int, int] = {}
    found = []
    for place in places:
        own = analysis.atoms.of_leaf(find_leaf(analysis, place)).tolist()
        found.append([-1 if atom < 0 else seen.setdefault(atom, len(seen)) for atom in own])
    return found


def leaf(system: AxisSystem, size: int, name: str = "a") -> Leaf:
    made = system.leaf(size, name)
    assert isinstance(made, Leaf)
    return made


# -- the solver --------------------------------------------------------------------------------------------------------


def test_elements_of_an_axis_are_independent() -> None:
    system = AxisSystem()
    a = leaf(system, 3)
    atoms = find_atoms(system, [a])
    assert (atoms.count, atoms.of_leaf(a).tolist()) == (3, [0, 1, 2])


def test_a_frozen_axis_has_no_atoms_and_all_its_reasons() -> None:
    system = AxisSystem()
    a, b = leaf(system, 3), leaf(system, 2, "b")
    system.freeze(product_of([a, b]), plain("first", Kind.ORDER))
    system.freeze(a, plain("second", Kind.ORDER))
    system.freeze(a, plain("first", Kind.ORDER))
    atoms = find_atoms(system, [a, b])
    assert atoms.count == 0
    assert atoms.reasons == {
        a.number: (plain("first", Kind.ORDER), plain("second", Kind.ORDER)),
        b.number: (plain("first", Kind.ORDER),),
    }
    assert atoms.of_leaf(a).tolist() == [-1, -1, -1]


def test_a_run_time_size_is_a_reason() -> None:
    system = AxisSystem()
    n = system.leaf(Size(2, ("N",)), "n")
    atoms = find_atoms(system, [n])
    assert list(atoms.reasons.values()) == [(plain("its size 2*N is known only at run time", Kind.RUN_TIME_SIZE),)]


def test_freezing_spreads_over_ties() -> None:
    """What is tied to a frozen element stays; the others do not."""
    system = AxisSystem()
    a, b, c = leaf(system, 3), leaf(system, 3, "b"), leaf(system, 2, "c")
    system.relate(a, np.array([0, 1, 2]), b, np.array([2, 1, 0]), Place("flip"))
    system.relate(b, np.array([0, 1]), c, np.array([0, 1]), Place("cut"))
    system.freeze(c, plain("output", Kind.ORDER))
    atoms = find_atoms(system, [a, b, c])
    assert [atoms.of_leaf(x).tolist() for x in (a, b, c)] == [[0, -1, -1], [-1, -1, 0], [-1, -1]]
    assert a.number not in atoms.reasons and b.number not in atoms.reasons


def test_an_axis_whose_elements_all_stay_says_why() -> None:
    system = AxisSystem()
    a, b = leaf(system, 2), leaf(system, 2, "b")
    system.relate(a, np.arange(2), b, np.arange(2), Place("Gather", "g"))
    system.freeze(b, plain("output", Kind.ORDER))
    atoms = find_atoms(system, [a, b])
    assert atoms.reasons[a.number] == (Reason("Gather", "g", "it ties elements to frozen ones", Kind.COUPLED),)


def test_one_free_factor_on_each_side_is_a_tie() -> None:
    """(f a) ~ (f b) with f frozen: a and b go together."""
    system = AxisSystem()
    f, a, b = leaf(system, 2, "f"), leaf(system, 3), leaf(system, 3, "b")
    system.freeze(f, plain("output", Kind.ORDER))
    system.relate(product_of([f, a]), np.arange(6), product_of([f, b]), np.arange(6), HERE)
    atoms = find_atoms(system, [f, a, b])
    assert atoms.of_leaf(a).tolist() == atoms.of_leaf(b).tolist() == [0, 1, 2]


def test_factors_on_both_sides_cancel() -> None:
    """(f a) ~ (f b) with f free: the same."""
    system = AxisSystem()
    f, a, b = leaf(system, 2, "f"), leaf(system, 3), leaf(system, 3, "b")
    system.relate(product_of([f, a]), np.arange(6), product_of([f, b]), np.arange(6), HERE)
    atoms = find_atoms(system, [f, a, b])
    assert atoms.of_leaf(a).tolist() == atoms.of_leaf(b).tolist()
    assert atoms.count == 5


def test_the_minor_factors_of_a_product_are_frozen() -> None:
    """(2 3) ~ 6: the larger factor stays free, and takes the six in pairs along."""
    system = AxisSystem()
    a, b, c = leaf(system, 2), leaf(system, 3, "b"), leaf(system, 6, "c")
    system.relate(product_of([a, b]), np.arange(6), c, np.array([0, 2, 4, 1, 3, 5]), Place("Gather", "g"))
    atoms = find_atoms(system, [a, b, c])
    assert [atoms.of_leaf(x).tolist() for x in (a, b, c)] == [[-1, -1], [0, 1, 2], [0, 0, 1, 1, 2, 2]]
    assert atoms.reasons == {a.number: (Reason("Gather", "g", "no common factors", Kind.SIZES),)}


def test_masks() -> None:
    system = AxisSystem()
    a, b = leaf(system, 2), leaf(system, 3, "b")
    kept = {a.number: np.array([True, False]), b.number: np.array([False, True, True])}
    assert kept_mask(product_of([a, b]), kept).tolist() == [False, True, True, False, False, False]
    assert kept_mask(sum_of([b, a]), kept).tolist() == [False, True, True, True, False]
    assert kept_indices(sum_of([b, a]), {a.number: kept[a.number]}).tolist() == [0, 1, 2, 3]
    assert kept_mask(sum_of([]), kept).tolist() == []


# -- couplings that need it --------------------------------------------------------------------------------------------


def test_rotary_pairs_go_together() -> None:
    """x * cos + rotate_half(x) * sin: channel k of a head with channel k + half."""
    found = analysis_of(
        """(float[N, S, 3] x, float[S, 6] cos, float[S, 6] sin) => (float[] y)
        <float[3, 6] w, float[6, 5] u, int64[1] zero = {0}, int64[1] three = {3}, int64[1] six = {6},
        int64[1] at = {-1}>
        { q = MatMul(x, w) a = Slice(q, zero, three, at) b = Slice(q, three, six, at) c = Neg(b)
        r = Concat<axis = -1>(c, a) m = Mul(q, cos) n = Mul(r, sin) e = Add(m, n) y = MatMul(e, u) }""",
        allow_io=("cos", "sin"),
    )
    assert together(found, "w:1/0", "u:0/1") == [[0, 1, 2], [0, 1, 2]]
    assert [group.size for group in found.groups if not group.frozen] == [3]


def test_a_shuffle_moves_channels() -> None:
    found = analysis_of(
        """(float[N, 3, 2, 2] x) => (float[] y)
        <float[6, 3, 1, 1] w, int64[5] s = {0, 2, 3, 2, 2}, int64[4] t = {0, -1, 2, 2}, float[5, 6, 1, 1] u>
        { h = Conv(x, w) r = Reshape(h, s) p = Transpose<perm = [0, 2, 1, 3, 4]>(r) f = Reshape(p, t)
        y = Conv(f, u) }"""
    )
    assert together(found, "w:0", "u:1") == [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5]]
    (region,) = found.coupling.regions
    assert (region.operand, region.axis, region.results) == ("h", 1, {"f": (0, 3, 1, 4, 2, 5)})


def test_a_stack_of_shuffles_ties_nothing_together() -> None:
    found = analysis_of(
        """(float[N, 3, 2] x) => (float[] y)
        <float[4, 3, 1] w, int64[4] s = {0, 2, 2, 2}, int64[3] t = {0, 4, 2}, float[4, 4, 1] v, float[5, 4, 1] u>
        { a = Conv(x, w) b = Reshape(a, s) c = Transpose<perm = [0, 2, 1, 3]>(b) d = Reshape(c, t)
        e = Conv(d, v) f = Reshape(e, s) g = Transpose<perm = [0, 2, 1, 3]>(f) h = Reshape(g, t) y = Conv(h, u) }"""
    )
    assert together(found, "w:0", "v:1") == [[0, 1, 2, 3], [0, 2, 1, 3]]
    assert together(found, "v:0", "u:1") == [[0, 1, 2, 3], [0, 2, 1, 3]]


def test_a_shuffle_before_a_grouped_convolution_acts_on_its_factors() -> None:
    """The dimension is a product there: the chain is walked node by node, and nothing is left to a permutation."""
    found = analysis_of(
        """(float[N, 3, 2] x) => (float[] y)
        <float[6, 3, 1] w, int64[4] s = {0, 2, 3, 2}, int64[3] t = {0, 6, 2}, float[6, 2, 1] v, float[5, 6, 1] u>
        { a = Conv(x, w) b = Reshape(a, s) c = Transpose<perm = [0, 2, 1, 3]>(b) d = Reshape(c, t)
        e = Conv<group = 3>(d, v) y = Conv(e, u) }"""
    )
    assert found.coupling.regions == []
    assert together(found, "w:0/0", "w:0/1", "v:0/0") == [[0, 1], [2, 3, 4], [2, 3, 4]]


def test_a_chain_that_selects() -> None:
    """A reshape and one index of it (as of packed queries, keys and values) take elements out of a dimension."""
    found = analysis_of(
        """(float[N, S, 3] x) => (float[] y)
        <float[3, 8] w, int64[4] s = {0, 0, 2, 4}, int64 one = {1}, int64 zero = {0}, float[4, 5] u, float[4, 5] v>
        { h = MatMul(x, w) r = Reshape(h, s) p = Transpose<perm = [2, 0, 1, 3]>(r) a = Gather(p, one)
        b = Gather(p, zero) c = MatMul(a, u) d = MatMul(b, v) y = Add(c, d) }"""
    )
    assert together(found, "w:1", "v:0", "u:0") == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("extra", ["z = Relu(r)", "z = Relu(p)"])
def test_a_chain_that_something_looks_into_is_no_chain(extra: str) -> None:
    found = analysis_of(
        f"""(float[N, 3, 2, 2] x) => (float[] y, float[] z)
        <float[6, 3, 1, 1] w, int64[5] s = {{0, 2, 3, 2, 2}}, int64[4] t = {{0, -1, 2, 2}}, float[5, 6, 1, 1] u>
        {{ h = Conv(x, w) r = Reshape(h, s) p = Transpose<perm = [0, 2, 1, 3, 4]>(r) f = Reshape(p, t)
        y = Conv(f, u) {extra} }}""",
        allow_io=("z",),
    )
    assert found.coupling.regions == []
    assert together(found, "w:0/0", "w:0/1", "u:1/0") == [[0, 1], [2, 3, 4], [2, 3, 4]]


def test_a_flip_ties_opposite_ends() -> None:
    found = analysis_of(
        """(float[N, 3] x) => (float[] y)
        <float[3, 4] w, int64[1] a = {-1}, int64[1] b = {-9}, int64[1] c = {1}, int64[1] d = {-1}, float[4, 5] u>
        { h = MatMul(x, w) f = Slice(h, a, b, c, d) g = Add(h, f) y = MatMul(g, u) }"""
    )
    assert together(found, "w:1", "u:0") == [[0, 1, 1, 0], [0, 1, 1, 0]]


def test_a_gather_that_repeats_ties_what_it_repeats() -> None:
    found = analysis_of(
        """(float[N, 3] x) => (float[] y) <float[3, 4] w, int64[6] i = {3, 3, 0, 1, 1, 1}, float[6, 5] u>
        { h = MatMul(x, w) g = Gather<axis = 1>(h, i) y = MatMul(g, u) }"""
    )
    assert together(found, "w:1", "u:0") == [[0, 1, 2, 3], [3, 3, 0, 1, 1, 1]]


def test_tied_weights_stay_tied_and_vectors_do_not() -> None:
    found = analysis_of(
        """(float[N, 3] x, float[M, 3] z) => (float[] y, float[] v)
        <float[3, 4] w, float[4] b, float[4, 5] u, float[4, 5] t>
        { a = MatMul(x, w) c = MatMul(z, w) d = Add(a, b) e = Add(c, b) y = MatMul(d, u) v = MatMul(e, t) }"""
    )
    assert together(found, "w:1", "u:0", "t:0") == [[0, 1, 2, 3]] * 3
    assert len(found.coupling.uses) == 2


def test_an_embedding_that_is_also_the_head() -> None:
    """One tensor, looked up by row and multiplied with transposed: its columns are one axis, its rows are frozen."""
    found = analysis_of(
        """(int64[N, S] i) => (float[] y) <float[7, 4] w, float[4, 4] u>
        { e = Gather(w, i) h = MatMul(e, u) t = Transpose<perm = [1, 0]>(w) y = MatMul(h, t) }"""
    )
    assert together(found, "w:1", "u:0", "u:1") == [[0, 1, 2, 3]] * 3
    assert together(found, "w:0") == [[-1] * 7]


def test_grouped_query_attention_ties_a_key_head_to_its_queries() -> None:
    """Key and value heads are repeated by a stretch: (kv 1) -> (kv r)."""
    found = analysis_of(
        """(float[N, S, 6] x) => (float[] y)
        <float[6, 12] q, float[6, 6] k, int64[4] sq = {0, 0, 4, 3}, int64[5] sk = {0, 0, 2, 1, 3},
        int64[5] se = {1, 1, 2, 2, 3}, int64[4] sr = {0, 0, 4, 3}>
        { a = MatMul(x, q) b = MatMul(x, k) c = Reshape(a, sq) d = Reshape(b, sk) e = Expand(d, se) f = Reshape(e, sr)
        y = Einsum<equation = "bshd,bthd->bhst">(c, f) }""",
        allow_io=("y",),
    )
    assert together(found, "k:1/0", "q:1/0") == [[0, 1], [0, 1]]
    assert together(found, "k:1/1", "q:1/2") == [[0, 1, 2], [0, 1, 2]]
    assert together(found, "q:1/1") == [[0, 1]]


def test_a_size_that_is_a_graph_output_stays() -> None:
    """The refusing twin has the same graph without that output."""
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 4] x) => (float[N, 2] y, int64[2] z) {
            h = MatMul (x, w)
            y = MatMul (h, u)
            z = Shape (h)
        }
    """
    weights = [
        onnx.numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in (("w", (4, 8)), ("u", (8, 2)))
    ]

    def groups(source: str) -> dict[str, tuple[str, ...]]:
        model = onnx.parser.parse_model(source)
        model.graph.initializer.extend(weights)
        return {group.name: tuple(map(str, group.reasons)) for group in api.analyze_model(api.open_model(model)).groups}

    assert "its size is graph output 'z'" in groups(text)["u:0"]
    assert groups(text.replace(", int64[2] z)", ")"))["u:0"] == ()
