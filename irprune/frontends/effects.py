"""Side effects of calls in an exported program: writes, views, random numbers, train and eval modes."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from .aten import aten_operator

MODE_ARGUMENTS = ("training", "train")
"""Names of the argument that switches between training and evaluation (batch_norm, dropout, lstm)."""


def operator_name(node: fx.Node) -> str:
    """The name of a call's operator, without namespace and overload."""
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target._schema.name).partition("::")[2]
    return getattr(node.target, "__name__", str(node.target))


def has_mode(target: torch._ops.OpOverload[Any, Any]) -> bool:
    """Whether the operator has an argument for the mode."""
    return any(a.name in MODE_ARGUMENTS and str(a.type) == "bool" for a in target._schema.arguments)


def is_reproducible(target: torch._ops.OpOverload[Any, Any]) -> bool:
    """Whether the results follow from the arguments alone: no writes, no random numbers, no uninitialized memory."""
    schema = target._schema
    namespace, _, name = str(schema.name).partition("::")
    is_drawn = torch.Tag.nondeterministic_seeded in target.tags
    is_known = not (is_drawn or has_mode(target) or aten_operator(name).uninitialized)
    return namespace == "aten" and is_known and not schema.is_mutable


def writes(node: fx.Node) -> bool:
    """Whether a call changes elements of an operand in place."""
    if not isinstance(node.target, torch._ops.OpOverload) or aten_operator(operator_name(node)).keeps_elements:
        return False
    return bool(node.target._schema.is_mutable)


def mutated_nodes(graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose results are changed in place later on, through themselves or a view of them.

    Their axes are still right, since a write into a channel stays in that channel. Their elements are unknown.
    """
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if not writes(node):
            continue
        for position, argument in enumerate(node.target._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write or position >= len(node.args):
                continue
            written = node.args[position]
            while isinstance(written, fx.Node) and written not in found:
                found.add(written)
                written = viewed_by(written)
    return found


def viewed_by(node: fx.Node) -> Any:
    """The operand that a call's result is a view of, or is itself; ``None`` for a result of its own."""
    if node.target is operator.getitem:
        return node.args[0]
    if not isinstance(node.target, torch._ops.OpOverload) or not node.args:
        return None
    aliased = any(result.alias_info is not None for result in node.target._schema.returns)
    return node.args[0] if aliased or aten_operator(operator_name(node)).may_be_view else None
