"""The bodies of control flow laid out flat: one list of nodes, one name for every value of every scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

import onnx
import onnx_ir as oir

from ..errors import InputError
from ..ir import fresh_name
from ..signatures import traits_of


@dataclass
class Scopes:
    """``nodes`` are in topological order, those of a body before their control node; ``names`` is by ``id``.

    ``starts`` is the position in ``nodes`` at which those of a scope begin.

    Names of the outermost graph are as they are; those of a body are preceded by the node and the attribute it
    belongs to (``loop.body/hidden``), since sibling bodies may use the same names.
    """

    nodes: list[tuple[str, oir.Node]] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    bodies: dict[str, list[tuple[str, oir.Graph]]] = field(default_factory=dict)
    graphs: list[tuple[str, oir.Graph]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def of(graph: oir.Graph) -> Scopes:
        scopes = Scopes()
        scopes._enter(graph, "")
        return scopes

    def name(self, value: oir.Value | None) -> str:
        """The name of a value, ``""`` for an absent one."""
        return "" if value is None else self.names.get(id(value), str(value.name or ""))

    def _enter(self, graph: oir.Graph, scope: str) -> None:
        self.graphs.append((scope, graph))
        self.starts[scope] = len(self.nodes)
        nodes = sorted_nodes(graph)
        defined = [*graph.inputs, *graph.initializers.values(), *(v for node in nodes for v in node.outputs)]
        self.names.update({id(v): qualified(scope, str(v.name)) for v in defined if v.name})
        for key, node in zip(node_keys(nodes), nodes, strict=True):
            name = qualified(scope, key)
            if is_control(node.domain, node.op_type):
                self.bodies[name] = [(f"{name}.{attribute}", body) for attribute, body in subgraphs(node)]
                for inner, body in self.bodies[name]:
                    self._enter(body, inner)
            self.nodes.append((name, node))


def is_control(domain: str, op: str) -> bool:
    """Whether irprune looks into the bodies of the operator."""
    return bool(traits_of(op, domain).control)


def qualified(scope: str, name: str) -> str:
    return f"{scope}/{name}" if scope else name


def subgraphs(node: oir.Node) -> Iterator[tuple[str, oir.Graph]]:
    """The graphs that a node holds, with the attribute each belongs to."""
    for name, attribute in node.attributes.items():
        if attribute.type == oir.AttributeType.GRAPH:
            yield name, attribute.as_graph()
        elif attribute.type == oir.AttributeType.GRAPHS:
            yield from ((f"{name}{k}", graph) for k, graph in enumerate(attribute.as_graphs()))


def proto_scopes(graph: onnx.GraphProto, scope: str = "") -> Iterator[tuple[str, onnx.GraphProto]]:
    """The same scopes in a protobuf graph."""
    yield scope, graph
    keys = unique_names((node.name, node.op_type, next((o for o in node.output if o), "")) for node in graph.node)
    for key, node in zip(keys, graph.node, strict=True):
        if is_control(node.domain, node.op_type):
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    yield from proto_scopes(attribute.g, f"{qualified(scope, key)}.{attribute.name}")


def node_keys(nodes: Iterable[oir.Node]) -> list[str]:
    """A name for every node that no other has: its own where unique, else with its first output's name."""
    return unique_names(
        (node.name or "", node.op_type, next((str(v.name) for v in node.outputs if v.name), "")) for node in nodes
    )


def unique_names(nodes: Iterable[tuple[str, str, str]]) -> list[str]:
    """Names of nodes given as (name, operator, first output)."""
    nodes = list(nodes)
    counts: dict[str, int] = {}
    for name, _, _ in nodes:
        counts[name] = counts.get(name, 0) + 1
    keys: list[str] = []
    taken: set[str] = set()
    for name, op, first in nodes:
        key = name if name and counts[name] == 1 else fresh_name(f"{op}:{first}", taken)
        keys.append(key)
        taken.add(key)
    return keys


def captured(node: oir.Node) -> Iterator[oir.Value]:
    """Values of the outer scope that the subgraphs of a node read."""
    for _, graph in subgraphs(node):
        inner = {id(v) for v in graph.inputs} | {id(v) for v in graph.initializers.values()}
        inner |= {id(v) for n in graph for v in n.outputs}
        reads = [v for n in graph for v in (*n.inputs, *captured(n)) if v is not None]
        yield from (v for v in (*reads, *graph.outputs) if id(v) not in inner)


def sorted_nodes(graph: oir.Graph) -> list[oir.Node]:
    """The nodes of a graph in topological order; as they stand where that is one.

    Raises :class:`InputError` for a cycle.
    """
    nodes = list(graph)
    position = {id(node): k for k, node in enumerate(nodes)}
    for k, node in enumerate(nodes):
        for value in (*node.inputs, *captured(node)):
            producer = value.producer() if value is not None else None
            if producer is not None and position.get(id(producer), -1) >= k:
                return _topological(nodes)
    return nodes


def _topological(nodes: list[oir.Node]) -> list[oir.Node]:
    """A stable topological sort: unsorted files are common. Raises for a cycle."""
    position = {id(node): k for k, node in enumerate(nodes)}
    users: list[list[int]] = [[] for _ in nodes]
    missing = [0] * len(nodes)
    for k, node in enumerate(nodes):
        producers = {id(value.producer()) for value in (*node.inputs, *captured(node)) if value is not None}
        before = [position[producer] for producer in producers if producer in position]
        missing[k] = len(before)
        for producer in before:
            users[producer].append(k)
    ready = [k for k, count in enumerate(missing) if not count]
    result: list[oir.Node] = []
    while ready:  # in ascending order, and so a heap
        k = heappop(ready)
        result.append(nodes[k])
        for user in users[k]:
            missing[user] -= 1
            if not missing[user]:
                heappush(ready, user)
    if len(result) < len(nodes):
        blocked = [node for k, node in enumerate(nodes) if missing[k]]
        names = ", ".join(f"'{node.name or node.op_type}'" for node in blocked[:4])
        raise InputError(f"the graph has a cycle through {names}")
    return result
