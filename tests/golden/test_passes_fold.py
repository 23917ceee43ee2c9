"""Constants and shape arithmetic, as IR text before and after; beside each its refusing twin, with the reason."""

import numpy as np
import pytest

from irprune.errors import InputError
from irprune.ir import render
from irprune.passes.fold import Fold, fold_graph
from tests.golden.passes_support import built, text

COMPUTED = [
    (
        "a chain of constants",
        """
        input "x": int64[2]
        output "y"
        const "a": int64[2] = [1, 2]
        const "b": int64[2] = [10, 20]
        node "add" Add("a", "b") -> ("c": int64[2]) {}
        node "neg" Neg("c") -> ("d": int64[2]) {}
        node "mul" Mul("x", "d") -> ("y": int64[2]) {}
        """,
        """
        input "x": int64[2]
        output "y"
        const "d": int64[2] = [-11, -22]
        node "mul" Mul("x", "d") -> ("y": int64[2]) {}
        """,
    ),
    (
        "several results",
        """
        input "x": int64[2]
        output "y"
        const "a": int64[4] = [1, 2, 3, 4]
        node "split" Split("a") -> ("b": int64[2], "c": int64[2]) {"num_outputs": 2}
        node "mul" Mul("x", "b") -> ("h": int64[2]) {}
        node "add" Add("h", "c") -> ("y": int64[2]) {}
        """,
        """
        input "x": int64[2]
        output "y"
        const "b": int64[2] = [1, 2]
        const "c": int64[2] = [3, 4]
        node "mul" Mul("x", "b") -> ("h": int64[2]) {}
        node "add" Add("h", "c") -> ("y": int64[2]) {}
        """,
    ),
    (
        "a subgraph goes on reading the value by its name",
        """
        input "c": bool[]
        output "y"
        const "a": int64[2] = [1, 2]
        node "neg" Neg("a") -> ("b": int64[2]) {}
        node "neg2" Neg("b") -> ("d": int64[2]) {}
        node "if" If("c") -> ("y": int64[2]) {"then_branch": {"opaque": "graph"}} captures ["d"]
        """,
        """
        input "c": bool[]
        output "y"
        const "b": int64[2] = [-1, -2]
        node "neg2" Neg("b") -> ("d": int64[2]) {}
        node "if" If("c") -> ("y": int64[2]) {"then_branch": {"opaque": "graph"}} captures ["d"]
        """,
    ),
]

NOT_COMPUTED = [
    (
        "a graph output",
        """
        input "x": int64[2]
        output "y"
        const "a": int64[2] = [1, 2]
        node "n" Neg("a") -> ("y": int64[2]) {}
        """,
        "graph output 'y' needs a node that makes it",
    ),
    (
        "an operand of run time",
        """
        input "x": int64[2]
        output "y"
        const "a": int64[2] = [1, 2]
        node "n" Add("x", "a") -> ("y": int64[2]) {}
        """,
        "operand 'x' is computed at run time",
    ),
    (
        "a random result",
        """
        input "x": float32[2]
        output "y"
        const "a": int64[2] = [1, 2]
        node "n" RandomNormalLike("a") -> ("r": float32[2]) {"dtype": 1}
        node "add" Add("x", "r") -> ("y": float32[2]) {}
        """,
        "its result is random",
    ),
    (
        "a result without operands",
        """
        input "x": float32[2]
        output "y"
        node "n" RandomNormal() -> ("r": float32[2]) {"shape": [2]}
        node "add" Add("x", "r") -> ("y": float32[2]) {}
        """,
        "its result is random",
    ),
    (
        "a quantized weight",
        """
        input "x": float32[2]
        output "y"
        const "q": int8[2] = [1, 2]
        const "zero": int8[] = 0
        const "scale": float32[]
        node "n" DequantizeLinear("q", "scale", "zero") -> ("w": float32[2]) {}
        node "add" Add("x", "w") -> ("y": float32[2]) {}
        """,
        "quantization stays in the model",
    ),
    (
        "a subgraph",
        """
        input "x": int64[2]
        output "y"
        const "c": bool[] = true
        node "n" If("c") -> ("w": int64[2]) {"then_branch": {"opaque": "graph"}}
        node "add" Add("x", "w") -> ("y": int64[2]) {}
        """,
        "it has a subgraph, or an attribute that is not a plain value",
    ),
    (
        "an operator of another domain",
        """
        input "x": int64[2]
        output "y"
        const "a": int64[2] = [1, 2]
        node "n" my.domain::Neg("a") -> ("w": int64[2]) {}
        node "add" Add("x", "w") -> ("y": int64[2]) {}
        """,
        "my.domain::Neg is not a standard operator",
    ),
    (
        "a tensor that grows: Expand",
        """
        input "x": int64[1000, 1000]
        output "y"
        const "a": int64[1] = [7]
        const "s": int64[2] = [1000, 1000]
        node "n" Expand("a", "s") -> ("w": int64[1000, 1000]) {}
        node "add" Add("x", "w") -> ("y": int64[1000, 1000]) {}
        """,
        "its result has 8000000 bytes, more than 4096",
    ),
    (
        "a tensor that grows: ConstantOfShape",
        """
        input "x": float32[1000, 1000]
        output "y"
        const "s": int64[2] = [1000, 1000]
        node "n" ConstantOfShape("s") -> ("w": float32[1000, 1000]) {}
        node "add" Add("x", "w") -> ("y": float32[1000, 1000]) {}
        """,
        "its result has 4000000 bytes, more than 4096",
    ),
    (
        "a tensor that grows: Tile",
        """
        input "x": int64[2000]
        output "y"
        const "a": int64[2] = [7, 8]
        const "s": int64[1] = [1000]
        node "n" Tile("a", "s") -> ("w": int64[2000]) {}
        node "add" Add("x", "w") -> ("y": int64[2000]) {}
        """,
        "its result has 16000 bytes, more than 4096",
    ),
    (
        "a malformed node",
        """
        input "x": int64[2]
        output "y"
        const "a": int64[2] = [1, 2]
        const "b": int64[3] = [1, 2, 3]
        node "n" Add("a", "b") -> ("w": int64[2]) {}
        node "add" Add("x", "w") -> ("y": int64[2]) {}
        """,
        "shape inference fails: ",
    ),
]


@pytest.mark.parametrize(("before", "after"), [pytest.param(b, a, id=name) for name, b, a in COMPUTED])
def test_constants_are_computed(before: str, after: str) -> None:
    graph = text(before)
    folded = fold_graph(graph)
    assert render(folded.graph) == render(text(after))
    assert folded.updated == folded.graph.constants.keys() - graph.constants.keys()


@pytest.mark.parametrize(("before", "reason"), [pytest.param(b, r, id=name) for name, b, r in NOT_COMPUTED])
def test_what_stays_computed(before: str, reason: str) -> None:
    graph = text(before)
    folded = fold_graph(graph)
    assert folded.graph is graph
    assert folded.stays["n"]["constant"].startswith(reason)


def test_a_large_result_may_take_the_place_of_a_constant_as_large() -> None:
    """A transposed weight is as large as the weight: it is folded, unless the weight is needed anyway."""
    weight = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    alone = built("g (float[1, 100] x) => (float[1, 100] y) { v = Transpose(w) y = MatMul(x, v) }", {"w": weight})
    folded = fold_graph(alone)
    assert [node.op for node in folded.graph.nodes] == ["MatMul"]
    np.testing.assert_array_equal(folded.graph.constants["v"].numpy(), weight.T)

    tied = built(
        "g (float[1, 100] x) => (float[1, 100] y) { v = Transpose(w) h = MatMul(x, v) y = MatMul(h, w) }",
        {"w": weight},
    )
    folded = fold_graph(tied)
    assert folded.graph is tied
    assert folded.stays["Transpose:v"]["constant"] == "its result has 40000 bytes, more than 4096"
    assert fold_graph(tied, Fold(grow=40_000)).graph is not tied
    assert fold_graph(alone, Fold(largest=50_000)).graph is alone


@pytest.mark.parametrize("option", ["grow", "largest"])
def test_a_negative_limit_is_refused(option: str) -> None:
    with pytest.raises(InputError, match=f"^fold: {option} must not be negative, got -1$"):
        Fold(**{option: -1}).validate()


# -- shape arithmetic ------------------------------------------------------------------------------------------


def test_static_entries_of_a_shape_are_known() -> None:
    graph = text(
        """
        input "x": float32[n, 6, 4]
        output "y"
        const "one": int64[1] = [1]
        const "two": int64[1] = [2]
        const "rest": int64[1] = [-1]
        node "shape" Shape("x") -> ("s": int64[3]) {}
        node "pick1" Gather("s", "one") -> ("a": int64[1]) {"axis": 0}
        node "pick2" Gather("s", "two") -> ("b": int64[1]) {"axis": 0}
        node "mul" Mul("a", "b") -> ("c": int64[1]) {}
        node "cat" Concat("rest", "c") -> ("t": int64[2]) {"axis": 0}
        node "reshape" Reshape("x", "t") -> ("y": float32[n, 24]) {}
        """
    )
    after = """
        input "x": float32[n, 6, 4]
        output "y"
        const "t": int64[2] = [-1, 24]
        node "reshape" Reshape("x", "t") -> ("y": float32[n, 24]) {}
        """
    assert render(fold_graph(graph).graph) == render(text(after))


def test_an_entry_of_run_time_stays_computed() -> None:
    graph = text(
        """
        input "x": float32[n, 6, 4]
        output "y"
        const "zero": int64[1] = [0]
        const "rest": int64[1] = [-1]
        node "shape" Shape("x") -> ("s": int64[3]) {}
        node "pick" Gather("s", "zero") -> ("a": int64[1]) {"axis": 0}
        node "cat" Concat("a", "rest") -> ("t": int64[2]) {"axis": 0}
        node "reshape" Reshape("x", "t") -> ("y": float32[n, 24]) {}
        """
    )
    folded = fold_graph(graph)
    assert folded.graph is graph
    assert folded.stays["pick"]["shape"] == "not all of its entries are static"


def test_sizes_that_went_through_floats_are_left_to_evaluation() -> None:
    """``floor(float(size) * scale)`` rounds as float32 does, which exact arithmetic would not."""
    graph = text(
        """
        input "x": float32[n, 10]
        input "scale": float32[]
        output "y"
        node "shape" Shape("x") -> ("s": int64[2]) {}
        node "float" Cast("s") -> ("f": float32[2]) {"to": 1}
        node "int" Cast("f") -> ("i": int64[2]) {"to": 7}
        node "last" Slice("i", "one", "two") -> ("l": int64[1]) {}
        node "expand" Expand("scale", "l") -> ("y": float32[10]) {}
        const "one": int64[1] = [1]
        const "two": int64[1] = [2]
        """
    )
    folded = fold_graph(graph)
    assert folded.graph is graph
    assert folded.stays["last"]["shape"] == "it computes no sizes"
