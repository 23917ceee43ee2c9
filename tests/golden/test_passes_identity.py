"""Nodes that change nothing, as IR text before and after; beside each its refusing twin, with the reason."""

import pytest

from irprune.ir import render
from irprune.passes.fold import fold_graph
from tests.golden.passes_support import text

SAME = [
    (
        "identity",
        """
        input "x": float32[2, 3]
        output "y"
        node "i" Identity("x") -> ("h": float32[2, 3]) {}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        """,
    ),
    (
        "identity at a graph output: the output keeps its name",
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("h": float32[2, 3]) {}
        node "s" Neg("h") -> ("unused": float32[2, 3]) {}
        node "i" Identity("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        node "s" Neg("y") -> ("unused": float32[2, 3]) {}
        """,
    ),
    (
        "identity of a constant: no copy is made",
        """
        input "x": float32[2, 3]
        output "y"
        const "w": float32[3]
        node "i" Identity("w") -> ("v": float32[3]) {}
        node "a" Add("x", "v") -> ("h": float32[2, 3]) {}
        node "b" Mul("h", "w") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        const "w": float32[3]
        node "a" Add("x", "w") -> ("h": float32[2, 3]) {}
        node "b" Mul("h", "w") -> ("y": float32[2, 3]) {}
        """,
    ),
    (
        "dropout, its mask unread",
        """
        input "x": float32[2, 3]
        output "y"
        node "d" Dropout("x") -> ("h": float32[2, 3], "mask": bool[2, 3]) {}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        """,
    ),
    (
        "cast to the same type",
        """
        input "x": float32[2, 3]
        output "y"
        node "c" Cast("x") -> ("h": float32[2, 3]) {"to": 1}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        """,
    ),
    (
        "transpose that permutes nothing",
        """
        input "x": float32[2, 3]
        output "y"
        node "t" Transpose("x") -> ("h": float32[2, 3]) {"perm": [0, 1]}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        """,
    ),
    (
        "reshape to the same shape: one open size follows from the others",
        """
        input "x": float32[n, 3]
        output "y"
        const "s": int64[2] = [-1, 3]
        node "t" Reshape("x", "s") -> ("h": float32[m, 3]) {}
        node "r" Relu("h") -> ("y": float32[n, 3]) {}
        """,
        """
        input "x": float32[n, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[n, 3]) {}
        """,
    ),
    (
        "flatten of a matrix",
        """
        input "x": float32[2, 3]
        output "y"
        node "f" Flatten("x") -> ("h": float32[2, 3]) {"axis": 1}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        """,
    ),
    (
        "expand to the same static shape",
        """
        input "x": float32[2, 3]
        output "y"
        const "s": int64[2] = [1, 3]
        node "e" Expand("x", "s") -> ("h": float32[2, 3]) {}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        """,
    ),
    (
        "slice that takes everything",
        """
        input "x": float32[2, 3]
        output "y"
        const "begin": int64[1] = [0]
        const "end": int64[1] = [99]
        node "s" Slice("x", "begin", "end") -> ("h": float32[2, 3]) {}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        """,
    ),
    (
        "pad by nothing",
        """
        input "x": float32[2, 3]
        output "y"
        const "p": int64[4] = [0, 0, 0, 0]
        node "p" Pad("x", "p") -> ("h": float32[2, 3]) {}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        """,
    ),
    (
        "concat of one",
        """
        input "x": float32[2, 3]
        output "y"
        node "c" Concat("x") -> ("h": float32[2, 3]) {"axis": 1}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        """
        input "x": float32[2, 3]
        output "y"
        node "r" Relu("x") -> ("y": float32[2, 3]) {}
        """,
    ),
]

NOT_SAME = [
    (
        "identity from a graph input to a graph output",
        """
        input "x": float32[2, 3]
        output "y"
        node "n" Identity("x") -> ("y": float32[2, 3]) {}
        """,
        "graph output 'y' needs a node that makes it",
    ),
    (
        "identity from a constant to a graph output",
        """
        input "x": float32[2, 3]
        output "y"
        const "w": int64[1] = [4]
        node "n" Identity("w") -> ("y": int64[1]) {}
        """,
        "graph output 'y' needs a node that makes it",
    ),
    (
        "identity between two graph outputs",
        """
        input "x": float32[2, 3]
        output "h"
        output "y"
        node "r" Relu("x") -> ("h": float32[2, 3]) {}
        node "n" Identity("h") -> ("y": float32[2, 3]) {}
        """,
        "'h' and 'y' are both graph outputs",
    ),
    (
        "identity that a subgraph reads",
        """
        input "x": float32[2, 3]
        input "c": bool[]
        output "y"
        node "n" Identity("x") -> ("h": float32[2, 3]) {}
        node "if" If("c") -> ("y": float32[2, 3]) {"then_branch": {"opaque": "graph"}} captures ["h"]
        """,
        "a subgraph reads 'h'",
    ),
    (
        "dropout, its mask read",
        """
        input "x": float32[2, 3]
        output "y"
        output "mask"
        node "n" Dropout("x") -> ("h": float32[2, 3], "mask": bool[2, 3]) {}
        node "r" Relu("h") -> ("y": float32[2, 3]) {}
        """,
        "its mask is read",
    ),
    (
        "dropout in training",
        """
        input "x": float32[2, 3]
        input "training": bool[]
        output "y"
        node "n" Dropout("x", "", "training") -> ("y": float32[2, 3]) {}
        """,
        "it may be in training mode",
    ),
    (
        "cast to another type",
        """
        input "x": float32[2, 3]
        output "y"
        node "n" Cast("x") -> ("y": float16[2, 3]) {"to": 10}
        """,
        "it casts float32 to float16",
    ),
    (
        "transpose that permutes equal sizes",
        """
        input "x": float32[3, 3]
        output "y"
        node "n" Transpose("x") -> ("y": float32[3, 3]) {"perm": [1, 0]}
        """,
        "it permutes axes: [1, 0]",
    ),
    (
        "transpose of unknown rank",
        """
        input "x": float32
        output "y"
        node "n" Transpose("x") -> ("y": float32) {}
        """,
        "it permutes axes: [1, 0]",
    ),
    (
        "reshape with two open sizes",
        """
        input "x": float32[n, m, 3]
        output "y"
        input "s": int64[3]
        node "n" Reshape("x", "s") -> ("y": float32[a, b, 3]) {}
        """,
        "the shape changes: [n, m, 3] to [a, b, 3]",
    ),
    (
        "reshape where an empty size hides another",
        """
        input "x": float32[n, 0]
        output "y"
        input "s": int64[2]
        node "n" Reshape("x", "s") -> ("y": float32[a, 0]) {}
        """,
        "the shape changes: [n, 0] to [a, 0]",
    ),
    (
        "squeeze of an axis",
        """
        input "x": float32[2, 1]
        output "y"
        const "a": int64[1] = [1]
        node "n" Squeeze("x", "a") -> ("y": float32[2]) {}
        """,
        "the shape changes: [2, 1] to [2]",
    ),
    (
        "expand of a run-time size",
        """
        input "x": float32[n, 3]
        input "s": int64[2]
        output "y"
        node "n" Expand("x", "s") -> ("y": float32[n, 3]) {}
        """,
        "the shape changes, or is not static: [n, 3] to [n, 3]",
    ),
    (
        "slice that reverses",
        """
        input "x": float32[2, 3]
        output "y"
        const "begin": int64[1] = [-1]
        const "end": int64[1] = [-99]
        const "axes": int64[1] = [0]
        const "steps": int64[1] = [-1]
        node "n" Slice("x", "begin", "end", "axes", "steps") -> ("y": float32[2, 3]) {}
        """,
        "its steps are not all 1",
    ),
    (
        "pad that shifts",
        """
        input "x": float32[2, 3]
        output "y"
        const "p": int64[4] = [1, 0, -1, 0]
        node "n" Pad("x", "p") -> ("y": float32[2, 3]) {}
        """,
        "its pads are not all zero",
    ),
    (
        "concat of two",
        """
        input "x": float32[2, 3]
        output "y"
        node "n" Concat("x", "x") -> ("y": float32[2, 6]) {"axis": 1}
        """,
        "it has 2 operands",
    ),
    (
        "an operator of the same name in another domain",
        """
        input "x": float32[2, 3]
        output "y"
        node "n" my.domain::Identity("x") -> ("y": float32[2, 3]) {}
        """,
        "my.domain::Identity computes something",
    ),
]


@pytest.mark.parametrize(("before", "after"), [pytest.param(b, a, id=name) for name, b, a in SAME])
def test_a_node_that_changes_nothing_goes(before: str, after: str) -> None:
    folded = fold_graph(text(before))
    assert render(folded.graph) == render(text(after))
    assert not folded.updated


@pytest.mark.parametrize(("before", "reason"), [pytest.param(b, r, id=name) for name, b, r in NOT_SAME])
def test_a_node_that_changes_something_stays(before: str, reason: str) -> None:
    graph = text(before)
    folded = fold_graph(graph)
    assert folded.graph is graph
    assert folded.stays["n"]["identity"] == reason
