"""Dead code, as IR text before and after."""

from irprune.ir import render
from irprune.passes import State, run_pipeline
from irprune.passes.dce import Dce
from tests.golden.passes_support import text

BEFORE = """
    input "x": float32[2]
    input "unread": float32[2]
    output "y"
    const "dead": float32[2]
    const "w": float32[2]
    node "keep" Mul("x", "w") -> ("y": float32[2], "second": float32[2]) {}
    node "gone1" Add("x", "dead") -> ("h": float32[2]) {}
    node "gone2" Relu("h") -> ("z": float32[2]) {}
    """

AFTER = """
    input "x": float32[2]
    input "unread": float32[2]
    output "y"
    const "w": float32[2]
    node "keep" Mul("x", "w") -> ("y": float32[2], "second": float32[2]) {}
    """


def test_what_no_output_needs_goes() -> None:
    """Graph inputs stay, and so does the second result of a node whose first one is needed."""
    done = run_pipeline("dce", State(text(BEFORE)))
    assert render(done.graph) == render(text(AFTER))
    assert set(done.graph.values) == {"x", "unread", "w", "y", "second"}


def test_what_a_subgraph_reads_stays() -> None:
    graph = text(
        """
        input "c": bool[]
        output "y"
        const "w": float32[2]
        node "neg" Neg("w") -> ("v": float32[2]) {}
        node "if" If("c") -> ("y": float32[2]) {"then_branch": {"opaque": "graph"}} captures ["v"]
        """
    )
    assert Dce().run(State(graph)).graph is graph


def test_it_is_idempotent() -> None:
    once = Dce().run(State(text(BEFORE)))
    assert Dce().run(once).graph is once.graph


def test_names_of_changed_constants_go_with_them() -> None:
    done = Dce().run(State(text(BEFORE), updated=frozenset({"w", "dead"})))
    assert done.updated == {"w"}
