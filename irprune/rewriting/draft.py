"""A graph that is being rewritten: the one mutable thing, alive only while a pass runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..ir import Constant, Dim, Graph, Node, Value, fresh_name
from .liveness import without_orphans


class Refused(Exception):
    """A rule does not apply to a node; the message is the reason."""


class Draft:
    """Nodes, values and constants of a graph with the uses of every value kept up to date."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = {node.name: node for node in graph.nodes}
        self.values = dict(graph.values)
        self.constants = dict(graph.constants)
        self.outputs = frozenset(graph.outputs) | graph.yielded
        self.captured = frozenset(name for node in graph.nodes for name in node.captures)
        self.updated: set[str] = set()
        self._producers = {name: node.name for node in graph.nodes for name in node.outputs if name}
        self._uses: dict[str, dict[str, int]] = {}
        for node in graph.nodes:
            self._count(node, 1)

    def _count(self, node: Node, step: int) -> None:
        for name in (*node.inputs, *node.captures):
            if name:
                uses = self._uses.setdefault(name, {})
                uses[node.name] = uses.get(node.name, 0) + step
                if not uses[node.name]:
                    del uses[node.name]

    # -- questions -------------------------------------------------------------------------------------------

    def uses(self, name: str) -> int:
        """How many operands, subgraphs and graph outputs read a value."""
        return sum(self._uses.get(name, {}).values()) + (name in self.outputs)

    def users(self, name: str) -> list[Node]:
        return [self.nodes[user] for user in self._uses.get(name, {})]

    def producer(self, name: str) -> Node | None:
        found = self._producers.get(name)
        return None if found is None else self.nodes[found]

    def shape(self, name: str) -> tuple[Dim, ...] | None:
        return self.values[name].shape if name in self.values else None

    def dtype(self, name: str) -> str | None:
        return self.values[name].dtype if name in self.values else None

    # -- changes ---------------------------------------------------------------------------------------------

    def replace(self, node: Node) -> None:
        """Put a changed node in the place of the one that has its name."""
        old = self.nodes[node.name]
        self._count(old, -1)
        for name in old.outputs:
            self._producers.pop(name, None)
        self.nodes[node.name] = node
        self._count(node, 1)
        self._producers.update({name: node.name for name in node.outputs if name})

    def remove(self, node: Node) -> None:
        """Take a node out, with the values it made."""
        self._count(self.nodes.pop(node.name), -1)
        for name in node.outputs:
            self._producers.pop(name, None)
            self.values.pop(name, None)

    def set_constant(self, name: str, constant: Constant) -> None:
        """Add a constant, or change one."""
        self.constants[name] = constant
        self.values[name] = Value(name, constant.dtype, constant.shape)
        self.updated.add(name)

    def fresh(self, base: str) -> str:
        return fresh_name(base, self.values)

    def become_constants(self, node: Node, results: Iterable[Constant]) -> None:
        """Replace a node by constants: its results keep their names.

        Raises :class:`Refused` where one is a graph output, or is read by a subgraph.
        """
        self.require_private(node.outputs)
        self.remove(node)
        for name, constant in zip(node.outputs, results, strict=True):
            if name:
                self.set_constant(name, constant)

    def require_private(self, names: Iterable[str]) -> None:
        """Raise :class:`Refused` where a value is a graph output, or is read by a subgraph."""
        for name in names:
            if name in self.outputs:
                raise Refused(f"graph output '{name}' needs a node that makes it")
            if name in self.captured:
                raise Refused(f"a subgraph reads '{name}'")

    def bypass(self, node: Node) -> None:
        """Remove a node that returns its first operand: ``x -> node -> y`` becomes ``x``.

        A graph output keeps its name: there, the producer of ``x`` makes ``y`` instead. Raises
        :class:`Refused` where it cannot.
        """
        operand, result = node.inputs[0], node.outputs[0]
        if result in self.captured:
            raise Refused(f"a subgraph reads '{result}'")
        if result in self.outputs:
            self._require_renamable(operand, result)
        merged = self._merged(operand, result)
        self.remove(node)
        if result in self.outputs:
            self._rename(operand, result, merged)
            return
        if operand not in self.constants and operand not in self.graph.inputs and operand not in self.outputs:
            self.values[operand] = merged
        self._redirect(result, operand)

    def rename_result(self, producer: Node, position: int, node: Node) -> None:
        """Remove ``node``; ``producer``, which now does its work, takes over its result."""
        old, new = producer.outputs[position], node.outputs[0]
        value = self.values.get(new, Value(new))
        self.remove(node)
        self._rename(old, new, value)

    def _require_renamable(self, operand: str, result: str) -> None:
        if self.producer(operand) is None:
            raise Refused(f"graph output '{result}' needs a node that makes it")
        if operand in self.outputs:
            raise Refused(f"'{operand}' and '{result}' are both graph outputs")
        if operand in self.captured:
            raise Refused(f"a subgraph reads '{operand}'")

    def _rename(self, old: str, new: str, value: Value) -> None:
        producer = self.producer(old)
        assert producer is not None
        outputs = tuple(new if name == old else name for name in producer.outputs)
        self.replace(replace(producer, outputs=outputs))
        self.values.pop(old, None)
        self.values[new] = replace(value, name=new)
        self._redirect(old, new)

    def _redirect(self, old: str, new: str) -> None:
        for user in self.users(old):
            self.replace(replace(user, inputs=tuple(new if name == old else name for name in user.inputs)))

    def _merged(self, operand: str, result: str) -> Value:
        """Type and shape as known from two names of the same tensor."""
        left, right = self.values.get(operand, Value(operand)), self.values.get(result, Value(result))
        shape = left.shape if right.shape is None else right.shape
        if left.shape is not None and right.shape is not None and len(left.shape) == len(right.shape):
            pairs = zip(left.shape, right.shape, strict=True)
            shape = tuple(a if isinstance(a, int) or b is None else b for a, b in pairs)
        return Value(operand, left.dtype or right.dtype, shape)

    def finish(self) -> Graph:
        """The rewritten graph without nodes and constants that became unused; the same object where nothing changed."""
        nodes = tuple(self.nodes.values())
        changed = replace(self.graph, nodes=nodes, values=self.values, constants=self.constants)
        made = without_orphans(self.graph, changed)
        return self.graph if made == self.graph else made
