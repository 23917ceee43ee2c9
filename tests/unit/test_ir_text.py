"""The text form of a graph: what it says, that it parses back, and what it refuses."""

from __future__ import annotations

import re

import numpy as np
import pytest

from irprune.errors import InputError, IRError
from irprune.ir import Constant, Graph, Node, Opaque, Value, parse, render
from tests.golden.helpers.models import graph_of

TEXT = """\
graph "main" opsets {"": 20, "com.microsoft": 1}
input "x": float32[batch, 3, 8, 8]
input "unranked": float32
input "untyped"
output "y"
const "empty": int64[0] = []
const "flags": bool[2] = [true, false]
const "s": int64[2] = [0, -1]
const "scalar": int64[] = 7
const "w": float32[4, 3, 1, 1]
node "conv" Conv("x", "w", "") -> ("h": float32[batch, 4, ?, 2*batch]) {"group": 1, "pads": [0, 0]}
node "custom op" com.microsoft::Fancy("h", "s") -> ("y", "", "z": int64[4]) {"alpha": 0.5, "mode": "a\\"b"}
node "branch" If("flags") -> ("q") {"then_branch": {"opaque": "graph"}} captures ["h", "w"]
node "fill" ConstantOfShape("s") -> ("f") {"value": {"data": [1], "dtype": "int64", "shape": [1]}}
"""
FILL = '{"data": [1], "dtype": "int64", "shape": [1]}'
RENDERED = TEXT.replace(FILL, '{"tensor": "int64", "shape": [1], "data": [1]}')


def test_round_trip() -> None:
    assert render(parse(RENDERED)) == RENDERED


def test_what_is_read() -> None:
    graph = parse(RENDERED)
    assert (graph.name, graph.inputs, graph.outputs) == ("main", ("x", "unranked", "untyped"), ("y",))
    assert graph.opsets == {"": 20, "com.microsoft": 1}
    assert graph.values["h"] == Value("h", "float32", ("batch", 4, None, "2*batch"))
    assert graph.values["unranked"] == Value("unranked", "float32", None)
    assert graph.values["untyped"] == Value("untyped")
    conv, custom, branch, fill = graph.nodes
    assert conv == Node("conv", "Conv", ("x", "w", ""), ("h",), "", {"group": 1, "pads": (0, 0)})
    assert (custom.domain, custom.op, custom.outputs) == ("com.microsoft", "Fancy", ("y", "", "z"))
    assert custom.attributes == {"alpha": 0.5, "mode": 'a"b'}
    assert (branch.captures, branch.attributes) == (("h", "w"), {"then_branch": Opaque("graph")})
    value = fill.attributes["value"]
    assert isinstance(value, Constant) and value.numpy().tolist() == [1]


def test_integers_are_written_out_and_weights_are_not() -> None:
    graph = parse(RENDERED)
    assert {name: c.numpy().tolist() for name, c in graph.constants.items() if c.read} == {
        "empty": [],
        "flags": [True, False],
        "s": [0, -1],
        "scalar": 7,
    }
    with pytest.raises(IRError, match=r"^constant of shape \[4, 3, 1, 1\] carries no data: it was parsed from text$"):
        graph.constants["w"].numpy()


@pytest.mark.parametrize(("size", "written"), [(64, True), (65, False)])
def test_long_integer_constants_stay_where_they_are(size: int, written: bool) -> None:
    constant = Constant.from_array(np.arange(size))
    graph = Graph("g", (), (), (), {"k": Value("k", "int64", (size,))}, {"k": constant}, {"": 20})
    assert (" = [" in render(graph)) == written


def test_names_are_quoted() -> None:
    name = 'a "quoted" \\ name, with ): -> and = '
    node = Node(name, "Relu", (name,), ("y",))
    graph = Graph("g", (name,), ("y",), (node,), {name: Value(name, "float32", (2,)), "y": Value("y")}, {}, {"": 20})
    text = render(graph)
    assert render(parse(text)) == text
    assert parse(text).nodes[0].inputs == (name,)


def test_control_flow_round_trip() -> None:
    graph = graph_of(
        "(float[N, 4] x, bool c) => (float[N, 4] y) { h = Relu(x)"
        " y = If (c) <then_branch = yes () => (float[N, 4] a) { a = Sigmoid(h) },"
        " else_branch = no () => (float[N, 4] b) { b = Neg(h) }> }"
    )
    text = render(graph)
    assert "yields 2" in text
    assert render(parse(text)) == text


def test_fields_of_a_node_round_trip() -> None:
    fields = {"entry_of": 'a "loop"', "mutated": True, "writes": True, "refusal": "its arguments make no sense"}
    node = Node("n", "enter_Loop", ("x",), ("y",), "irprune", captures=("x",), yields=1, **fields)
    graph = Graph("g", ("x",), ("y",), (node,), {"x": Value("x", "float32", (2,)), "y": Value("y")}, {}, {"": 20})
    text = render(graph)
    assert 'captures ["x"] yields 1 entry of "a \\"loop\\"" mutated writes refused "its arguments' in text
    assert parse(text).nodes == (node,)
    assert parse(text).nodes == graph.nodes


def test_remarks() -> None:
    """An annotation stands below its line, and is skipped when the text is read."""
    graph = parse(RENDERED)
    text = render(graph, annotate=lambda name: f"axes of {name}" if name in {"x", "h", "w"} else "")
    remarks = [line for line in text.splitlines() if line.startswith("  #")]
    assert remarks == ["  # axes of x", "  # axes of w", "  # axes of h"]
    assert render(parse(text)) == RENDERED


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tensor x", "line 2 of the IR text cannot be read: unknown keyword 'tensor'"),
        ("input x", "line 2 of the IR text cannot be read: expected a quoted name with an optional type, got 'x'"),
        ('output "y', "line 2 of the IR text cannot be read: Unterminated string"),
        ('node "n" Relu("x") -> "y" {}', 'line 2 of the IR text cannot be read: expected: "name" Op(inputs) -> '),
        ('node "n" Relu("x") -> (y) {}', "line 2 of the IR text cannot be read: cannot read the outputs 'y'"),
        ('const "k": int64[2] = [1, 2, 3]', "line 2 of the IR text cannot be read: cannot reshape array of size 3"),
    ],
)
def test_what_cannot_be_read(line: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        parse(f'graph "g" opsets {{"": 20}}\n{line}\n')
