"""The structural checker, tried on graphs that are broken on purpose, one way at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from irprune.errors import IRError
from irprune.ir import Constant, Graph, Value, check, parse

SOUND = """\
graph "main" opsets {"": 20}
input "x": float32[2, 3]
output "y"
const "w": float32[3, 4]
node "first" MatMul("x", "w") -> ("h": float32[2, 4]) {}
node "second" Relu("h") -> ("y": float32[2, 4]) {}
"""


def test_a_sound_graph() -> None:
    check(parse(SOUND))


def edited(old: str, new: str) -> Callable[[], Graph]:
    assert old in SOUND
    return lambda: parse(SOUND.replace(old, new))


def with_other_data() -> Graph:
    graph = parse(SOUND)
    return replace(graph, constants={"w": Constant.from_array(np.zeros((3, 5), np.float32))})


def without_value() -> Graph:
    graph = parse(SOUND)
    return replace(graph, values={name: value for name, value in graph.values.items() if name != "h"})


def with_swapped_nodes() -> Graph:
    graph = parse(SOUND)
    return replace(graph, nodes=graph.nodes[::-1])


BROKEN: dict[str, tuple[Callable[[], Graph], str]] = {
    "undefined": (edited('Relu("h")', 'Relu("g")'), "node 'second': input 'g' is defined nowhere"),
    "order": (
        with_swapped_nodes,
        "node 'second': input 'h' is produced later, by 'first': the nodes are not in topological order",
    ),
    "captured": (
        edited('("y": float32[2, 4]) {}', '("y": float32[2, 4]) {} captures ["g"]'),
        "node 'second': input 'g' is defined nowhere",
    ),
    "defined twice": (
        edited('("y": float32[2, 4])', '("h": float32[2, 4])'),
        "node 'second': output 'h' is already defined",
    ),
    "shadowed input": (
        edited('("h": float32[2, 4])', '("x": float32[2, 3])'),
        "node 'first': output 'x' is already defined",
    ),
    "node names": (edited('node "second"', 'node "first"'), "node 'first': two nodes have this name"),
    "inputs": (
        edited('output "y"', 'input "x": float32[2, 3]\noutput "y"'),
        "graph 'main': an input is listed twice: ['x', 'x']",
    ),
    "output": (edited('output "y"', 'output "z"'), "graph 'main': output 'z' is produced by no node"),
    "constant": (with_other_data, "constant 'w': value says shape [3, 4], data has [3, 5]"),
    "value table": (without_value, "value 'h' has no entry in the value table"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_graph_is_named(name: str) -> None:
    build, message = BROKEN[name]
    with pytest.raises(IRError, match=f"^{re.escape(message)}$"):
        check(build())


def test_absent_operands_are_no_values() -> None:
    check(parse(SOUND.replace('Relu("h")', 'Clip("h", "", "")')))


def test_values_that_nothing_reads_are_fine() -> None:
    graph = parse(SOUND)
    check(replace(graph, values={**graph.values, "spare": Value("spare")}))
