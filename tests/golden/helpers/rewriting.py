"""Golden cases of the rewriter, as blocks of text.

::

    Split: sizes as operand [opset 13]
    (float[N, 3] x) => ... { ... }
    remove w:1/0 1
    s = [1, 2]
    w float32[3, 4]
    a[N 1], b[N 2] = Split(h, s) {"axis": 1}

A head, the model up to its closing brace, what goes (elements of a dimension of a weight, or of one of its factors: see
:func:`tests.golden.helpers.removal.remove_elements`), and then every constant and every node of the smaller graph that
is not as it was. Inputs and outputs stay, unless the head says ``[io]``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from textwrap import wrap

from irprune.ir import Constant, Graph, Node

from .models import model_of
from .removal import Removal, remove_elements

_HEAD = re.compile(r"(?P<op>[\w.:]+): (?P<title>[^\[]+?)(?: \[opset (?P<opset>\d+)\])?(?P<io> \[io\])?")
_WIDTH = 108


@dataclass(frozen=True)
class Rewriting:
    """One block."""

    op: str
    title: str
    opset: int
    io: bool
    model: str
    elements: dict[str, list[int]]
    expected: str

    def __str__(self) -> str:
        return f"{self.op}-{self.title.replace(' ', '_')}"

    def removal(self) -> Removal:
        allow_io = ("*",) if self.io else ()
        return remove_elements(model_of(self.model, self.opset), self.elements, allow_io)


def parse_rewritings(text: str) -> list[Rewriting]:
    """The blocks of a text, in order. Raises ``ValueError`` for a malformed block."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        head, *lines = block.strip().splitlines()
        match = _HEAD.fullmatch(head)
        if match is None:
            raise ValueError(f"cannot read the head of a golden case: {head!r}")
        end = next(k for k, line in enumerate(lines) if line.endswith("}")) + 1
        removes = [line.split()[1:] for line in lines[end:] if line.startswith("remove ")]
        elements = {name: [int(k) for k in rest] for name, *rest in removes}
        expected = "\n".join(line for line in lines[end:] if not line.startswith("remove "))
        op, title, opset, io = match.group("op", "title", "opset", "io")
        found.append(Rewriting(op, title, int(opset or 20), bool(io), " ".join(lines[:end]), elements, expected))
    return found


def changes(before: Graph, after: Graph) -> str:
    """The constants and nodes of ``after`` that ``before`` does not have like this."""
    old = {*(_constant(before, name) for name in before.constants), *(_node(before, node) for node in before.nodes)}
    new = [*(_constant(after, name) for name in sorted(after.constants)), *(_node(after, n) for n in after.nodes)]
    kept = [line for line in new if line not in old]
    return "\n".join(part for line in kept for part in wrap(line, _WIDTH, subsequent_indent="    "))


def _constant(graph: Graph, name: str) -> str:
    constant = graph.constants[name]
    if constant.dtype == "int64":
        return f"{name} = {json.dumps(constant.numpy().tolist())}"
    return f"{name} {constant.dtype}{list(constant.shape)}"


def _node(graph: Graph, node: Node) -> str:
    results = ", ".join(f"{name}[{_shape(graph, name)}]" for name in node.outputs)
    attributes = {key: _attribute(value) for key, value in sorted(node.attributes.items())}
    inputs = ", ".join(name or '""' for name in node.inputs)
    return f"{results} = {node.qualified_op}({inputs})" + (f" {json.dumps(attributes)}" if attributes else "")


def _shape(graph: Graph, name: str) -> str:
    return " ".join(map(str, graph.shape(name) or ()))


def _attribute(value: object) -> object:
    if isinstance(value, Constant):
        return value.numpy().tolist()
    return value.decode() if isinstance(value, bytes) else value
