"""A model as one list of nodes: those of If branches stand among the others, each under the conditions of its branch.

::

    y = If(c, then {z = f(x)}, else {z = g(x)})   ->   when c: z1 = f(x), y = z1;   when not c: z2 = g(x), y = z2

Names are those of the analyzed graph (:mod:`irprune.frontends.scopes`). Bodies of loops stay inside their node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto
from onnx.helper import make_node

from ..frontends.scopes import qualified, unique_names
from ..signatures import traits_of

Conditions: TypeAlias = tuple[tuple[str, bool], ...]
"""Values and what they have to be, the outermost first."""


@dataclass(frozen=True)
class Step:
    """A node, its name in the analyzed graph, and the conditions under which it runs."""

    key: str
    node: NodeProto
    when: Conditions = ()


def flatten(graph: GraphProto) -> tuple[list[Step], dict[str, TensorProto]]:
    """The nodes of a graph and of the branches in it, in order, and all tensors that they store."""
    tensors: dict[str, TensorProto] = {}
    steps = list(_steps(graph, "", {}, (), tensors))
    return steps, tensors


def _steps(
    graph: GraphProto, scope: str, outer: Mapping[str, str], when: Conditions, tensors: dict[str, TensorProto]
) -> Iterator[Step]:
    names = {**outer, **{name: qualified(scope, name) for name in _defined(graph)}}
    tensors.update({names[tensor.name]: _named(tensor, names[tensor.name]) for tensor in graph.initializer})
    keys = unique_names((node.name, node.op_type, next((o for o in node.output if o), "")) for node in graph.node)
    for key, node in zip(keys, graph.node, strict=True):
        if _is_constant(node):
            tensors[names[node.output[0]]] = _named(node.attribute[0].t, names[node.output[0]])
        elif traits_of(node.op_type, node.domain).control == "branches":
            yield from _branches(node, qualified(scope, key), names, when, tensors)
        else:
            yield Step(qualified(scope, key), _renamed(node, names, qualified(scope, key)), when)


def _branches(
    node: NodeProto, key: str, names: Mapping[str, str], when: Conditions, tensors: dict[str, TensorProto]
) -> Iterator[Step]:
    condition = names.get(node.input[0], node.input[0])
    for attribute in node.attribute:
        if attribute.type != AttributeProto.GRAPH:
            continue
        inner = (*when, (condition, attribute.name == "then_branch"))
        scope = f"{key}.{attribute.name}"
        yield from _steps(attribute.g, scope, names, inner, tensors)
        own = _defined(attribute.g)
        for result, yielded in zip(node.output, attribute.g.output, strict=True):
            source = qualified(scope, yielded.name) if yielded.name in own else names.get(yielded.name, yielded.name)
            if result:
                yield Step(f"{scope}/{result}", make_node("Identity", [source], [names.get(result, result)]), inner)


def _defined(graph: GraphProto) -> set[str]:
    found = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    return found | {name for node in graph.node for name in node.output if name}


def _named(tensor: TensorProto, name: str) -> TensorProto:
    copy = TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def _is_constant(node: NodeProto) -> bool:
    """Whether a node only holds a tensor: those are initializers here, so that they can be updated."""
    return node.op_type == "Constant" and not node.domain and [a.name for a in node.attribute] == ["value"]


def hidden_sequence(key: str) -> str:
    """The name of the hidden states of all steps where a recurrent cell hands out the last one alone."""
    return f"{key}/sequence"


def _renamed(node: NodeProto, names: Mapping[str, str], key: str) -> NodeProto:
    """A copy with the names of the flat graph; cells hand out their hidden states."""
    copy = NodeProto()
    copy.CopyFrom(node)
    _rename(copy, names)
    if traits_of(node.op_type, node.domain).cell and not copy.output[0]:
        copy.output[0] = hidden_sequence(key)
    return copy


def _rename(node: NodeProto, names: Mapping[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for attribute in node.attribute:
        for body in [attribute.g] if attribute.type == AttributeProto.GRAPH else list(attribute.graphs):
            own = _defined(body)
            outer = {name: renamed for name, renamed in names.items() if name not in own and name != renamed}
            for inner in body.node:
                _rename(inner, outer)
            for result in body.output:
                result.name = outer.get(result.name, result.name)


def reads(node: NodeProto) -> Iterator[str]:
    """The names that a node reads, including those its bodies capture."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in [attribute.g] if attribute.type == AttributeProto.GRAPH else list(attribute.graphs):
            own = _defined(body)
            for inner in body.node:
                yield from (name for name in reads(inner) if name not in own)
            yield from (result.name for result in body.output if result.name not in own)
