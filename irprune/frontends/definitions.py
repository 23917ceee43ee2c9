"""Checks that a file defines every value once."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from ..errors import InputError
from .scopes import proto_scopes, unique_names


def require_single_definitions(graph: onnx.GraphProto, where: str) -> None:
    """Raise :class:`InputError` for a value that has two definitions in one graph; ``where`` names the model."""
    for scope, inner in proto_scopes(graph):
        made: dict[str, str] = {}
        for name, maker in _definitions(inner):
            if made.setdefault(name, maker) != maker:
                inside = f" of '{scope}'" if scope else ""
                raise InputError(f"{where}: value '{name}'{inside} is defined twice: by {made[name]} and by {maker}")


def _definitions(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """Every definition: the name of the value and what makes it. An input may have an initializer as its default."""
    given = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
    yield from ((name, "an input or initializer") for name in given)
    nodes = [(node.name, node.op_type, next((o for o in node.output if o), "")) for node in graph.node]
    for position, (name, node) in enumerate(zip(unique_names(nodes), graph.node, strict=True)):
        for output in node.output:
            if output:
                yield output, f"node '{name}' ({node.op_type}, number {position})"
