"""Golden cases as blocks of text.

::

    match Conv: one group
    (float[N, 4, 8, 8] x) => (float[] y) <float[6, 4, 3, 3] w> { y = Conv(x, w) }
    x[a=N b=4 c=8! d=8!] w[e=6 b f=3! g=3!]
    -> y[a e h=6! i=6!]
    group ...
    frozen ...

The head says whether the operator lets something be removed (``match``) or says why not (``refuse``), then
``[opset 11]`` where it is not 20 and ``[not run: reason]`` where ONNX Runtime has no kernel. Then comes the model, up
to its closing brace, and what follows is :func:`tests.golden.helpers.describe.describe` of its analysis, inputs and
outputs being free to change. Blocks are separated by empty lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from irprune.analysis import Analysis

from .describe import describe
from .models import analysis_of

_HEAD = re.compile(
    r"(?P<kind>match|refuse) (?P<op>[\w.:]+): (?P<title>[^\[]+?)"
    r"(?: \[opset (?P<opset>\d+)\])?(?: \[not run: (?P<excuse>[^\]]+)\])?"
)
OPSET = 20


@dataclass(frozen=True)
class Case:
    """One block."""

    kind: str
    op: str
    title: str
    opset: int
    excuse: str
    model: str
    expected: str

    def __str__(self) -> str:
        return f"{self.op}-{self.title.replace(' ', '_')}"

    def analysis(self) -> Analysis:
        return analysis_of(self.model, self.opset, allow_io=("*",))


def parse_cases(text: str) -> list[Case]:
    """The blocks of a text, in order. Raises ``ValueError`` for a malformed block."""
    cases = []
    for block in re.split(r"\n\s*\n", text.strip()):
        head, *lines = block.strip().splitlines()
        end = next((k for k, line in enumerate(lines) if line.endswith("}")), len(lines) - 1) + 1
        model, expected = " ".join(lines[:end]), lines[end:]
        found = _HEAD.fullmatch(head)
        if found is None:
            raise ValueError(f"cannot read the head of a golden case: {head!r}")
        kind, op, title, opset, excuse = found.group("kind", "op", "title", "opset", "excuse")
        cases.append(Case(kind, op, title, int(opset or OPSET), excuse or "", model, "\n".join(expected)))
    return cases


def check_case(case: Case) -> None:
    """The analysis is as expected, and the operator is matched, or says why it refuses."""
    analysis = case.analysis()
    found = describe(analysis)
    assert found == case.expected, f"\n--- expected\n{case.expected}\n--- found\n{found}"
    nodes = [node for node in analysis.graph.nodes if node.qualified_op == case.op]
    assert nodes, f"the model of the case has no {case.op}"
    if case.kind == "match":
        assert all(node.name in analysis.coupling.matched for node in nodes)
        assert len(analysis.atoms.offset) > 0, "nothing can be removed"
    else:
        said = set(analysis.coupling.refused.values())
        said |= {reason for reasons in analysis.atoms.reasons.values() for reason in reasons}
        mine = {node.name for node in nodes}
        assert any(reason.op == case.op and reason.node in mine for reason in said), "no reason names the operator"
