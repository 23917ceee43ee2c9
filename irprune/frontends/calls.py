"""Calls of a model's own functions, counted before they are replaced by what they stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

import onnx_ir as oir

from ..errors import InputError

MOST_NODES = 200_000
"""A model that is larger once its functions are inlined is refused: k functions, where each calls the one before
twice, stand for two to the k nodes."""

MOST_TRIALS = 100_000_000
"""onnx_ir finds a free name by counting up from one, for every value and node that it copies. This many trials take
about half a minute."""


def callees_first(model: oir.Model) -> list[oir.OperatorIdentifier]:
    """All functions, each behind those that it calls. Raises :class:`InputError` for functions that call themselves."""
    calls = {
        key: {node.op_identifier() for node in function.all_nodes()} & model.functions.keys()
        for key, function in model.functions.items()
    }
    try:
        return list(TopologicalSorter(calls).static_order())
    except CycleError as error:
        circle = " -> ".join(f"'{domain}::{name}'" for domain, name, _ in error.args[1])
        raise InputError(f"the model's functions call each other in a circle: {circle}") from error


def name_nodes(model: oir.Model) -> None:
    """Name the nodes of functions that have no name: with one name for all, free ones are far to find."""
    for function in model.functions.values():
        for k, node in enumerate(function.all_nodes()):
            if not node.name:
                node.name = f"{function.name}/{node.op_type}_{k}"


def require_bounded(model: oir.Model, functions: Sequence[oir.OperatorIdentifier]) -> None:
    """Raise :class:`InputError` where functions (callees first) stand for too many nodes to inline them."""
    calls = Counter(node.op_identifier() for node in model.graph.all_nodes())
    names: Counter[str] = Counter()
    nodes = 0
    for key in reversed(functions):
        for node in model.functions[key].all_nodes():
            calls[node.op_identifier()] += calls[key]
            names.update(dict.fromkeys(_names(node), calls[key]))
            nodes += calls[key] if node.op_identifier() not in model.functions else 0
    trials = sum(count * count // 2 for count in names.values())
    if nodes > MOST_NODES or trials > MOST_TRIALS:
        raise InputError(
            f"the model's functions stand for {nodes:,} nodes, too many to inline them; "
            "export the model without functions that call each other over and over"
        )


def _names(node: oir.Node) -> Iterator[str]:
    yield node.name or ""
    yield from (value.name for value in node.outputs if value.name)
