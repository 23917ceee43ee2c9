"""Branches that no tried input takes, and bodies that no tried input runs: results say nothing of what is in them.

They are compared by their structure alone, and the report names them. Nodes in them that the rewriter changed are
compared with the rewriter's own result, and the report says how many these are: no run judges them. Only
attributes that spell sizes out are counted again (:mod:`.followers`).

The conditions and the numbers of steps are read from runs of the original. A condition inside another body cannot be
read from outside: such a node is named as not observed, unless it lies in a branch that is named already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ..frontends.scopes import qualified, unique_names
from ..ir.core import Array
from ..runtime.executable import Executable
from ..runtime.session import Outputs, RunFailure
from ..signatures import traits_of
from .cases import Case

_BRANCHES = {"then_branch": True, "else_branch": False}


@dataclass(frozen=True)
class _Body:
    """A graph that its node runs or not, in words and by the values that decide; ``scope`` is the name of the body."""

    words: str
    scope: str
    operands: tuple[str, ...]
    wanted: bool | None = None
    """The condition with which a branch is taken; ``None`` for the body of a loop."""

    def runs(self, values: Outputs) -> bool:
        if self.wanted is not None:
            return bool(np.all(values[self.operands[0]])) is self.wanted
        return all(np.all(np.greater(values[name], 0)) for name in self.operands if name)


def untaken_branches(original: Executable, cases: Sequence[Case], rewritten: Sequence[str] = ()) -> tuple[str, ...]:
    """A line on the bodies that no case runs, and one on those that nothing is known about; none where all are run.

    ``rewritten`` are the results of nodes that the rewriter changed, with their scopes.
    """
    outer, inner = _bodies(original.proto.graph)
    unused, unknown = _unused(original, cases, outer)
    hidden = tuple(f"{body.scope}/" for body in unused)
    unknown += [body for body in inner if not body.scope.startswith(hidden)]
    return (
        *_line(unused, "no tried input reaches {}: compared by structure alone", "not run", rewritten),
        *_line(unknown, "not observed whether a tried input reaches {}", "perhaps not run", rewritten),
    )


def _line(bodies: Sequence[_Body], words: str, judged: str, rewritten: Sequence[str]) -> Iterator[str]:
    if not bodies:
        return
    line = words.format(", ".join(body.words for body in bodies))
    count = sum(name.startswith(tuple(f"{body.scope}/" for body in bodies)) for name in rewritten)
    if count:
        nodes = "1 rewritten node there is" if count == 1 else f"{count} rewritten nodes there are"
        line += f"; {nodes} compared with what irprune writes, {judged}"
    yield line


def _bodies(graph: onnx.GraphProto) -> tuple[list[_Body], list[_Body]]:
    """The bodies of nodes of the main graph, and those further inside."""
    outer: list[_Body] = []
    inner: list[_Body] = []
    waiting = [("", graph)]
    while waiting:
        scope, current = waiting.pop()
        keys = unique_names((n.name, n.op_type, next((o for o in n.output if o), "")) for n in current.node)
        for key, node in zip(keys, current.node, strict=True):
            control = traits_of(node.op_type, node.domain).control
            if not control:
                continue
            name = qualified(scope, key)
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    waiting.append((f"{name}.{attribute.name}", attribute.g))
                    if control != "scan":
                        (inner if scope else outer).append(_body(name, node, attribute.name))
    return outer, inner


def _body(name: str, node: onnx.NodeProto, attribute: str) -> _Body:
    scope = f"{name}.{attribute}"
    if attribute in _BRANCHES:
        words = f"branch '{attribute.removesuffix('_branch')}' of {node.op_type} '{name}'"
        return _Body(words, scope, (node.input[0],), _BRANCHES[attribute])
    return _Body(f"body of {node.op_type} '{name}'", scope, tuple(node.input[:2]))


def _unused(original: Executable, cases: Sequence[Case], bodies: Sequence[_Body]) -> tuple[list[_Body], list[_Body]]:
    """The bodies that no case runs; and all that are left, where ONNX Runtime does not give the values."""
    left = list(bodies)
    for case in cases:
        names = list(dict.fromkeys(name for body in left for name in body.operands if name and name not in case.feeds))
        try:
            values = {**case.feeds, **_read(original, case, names)}
        except RunFailure:
            return [], left
        left = [body for body in left if not body.runs(values)]
        if not left:
            break
    return left, []


def _read(original: Executable, case: Case, names: Sequence[str]) -> dict[str, Array]:
    return {name: value for part in original.probe(case.feeds, names) for name, value in part.items()}
