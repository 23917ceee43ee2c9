"""Decomposes operators that the table lacks, the way PyTorch does.

::

    hstack(a, b)        ->  cat((a, b), 1)
    inner(a, b)         ->  permute, mm, view
    glu(x)              ->  split, sigmoid, mul

PyTorch defines some operators by others: in composite kernels, or in the decompositions of ``torch.export``. If the
table knows all parts of an operator, it needs no signature. Otherwise it stays, and is frozen under its own name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ...frontends.aten import aten_operator
from ...frontends.effects import has_mode
from .meta_tensors import MetaTensor, meta_tensor

_ATEN = torch.ops.aten


def decompose(graph: fx.Graph, known: Collection[str] = ()) -> None:
    """Replace operators that the table lacks by their parts, if it has all of those.

    ``known`` names operators that need no entry.
    """
    for node in list(graph.nodes):
        if not isinstance(node.target, torch._ops.OpOverload) or _is_known(node.target, known):
            continue
        parts = _parts(node, node.target, _definitions(frozenset(known)))
        if parts is not None and all(_is_readable(part, known) for part in parts.graph.nodes):
            _replace(node, parts)


def _is_known(target: torch._ops.OpOverload[Any, Any], known: Collection[str]) -> bool:
    """Whether the operator is in the table, or makes no tensor."""
    namespace, _, name = str(target._schema.name).partition("::")
    if namespace != "aten" or torch.Tag.pointwise in target.tags or name in known:
        return namespace == "aten"
    makes_tensors = any("Tensor" in str(result.type) for result in target._schema.returns)
    return not makes_tensors or aten_operator(name, target._overloadname).lowering is not None


def _is_readable(part: fx.Node, known: Collection[str]) -> bool:
    if part.op in ("placeholder", "output") or part.target is operator.getitem:
        return True
    return isinstance(part.target, torch._ops.OpOverload) and "val" in part.meta and _is_known(part.target, known)


def _parts(
    node: fx.Node, target: torch._ops.OpOverload[Any, Any], definitions: Mapping[Any, Callable[..., Any]]
) -> fx.GraphModule | None:
    """The calls that an operator consists of, or ``None`` if PyTorch does not define it by others."""
    operands = list(node.all_input_nodes)
    values = [operand.meta.get("val") for operand in operands]
    if has_mode(target) or (target not in definitions and not target._can_decompose()):
        return None  # the parts would be those of one mode, without a switch
    if not values or not all(isinstance(value, Tensor) for value in values):
        return None

    def call(*tensors: Tensor) -> Any:
        stand = dict(zip(operands, tensors, strict=True))
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda operand: stand[operand])
        return target(*args, **kwargs)

    try:
        parts = _traced(call, values, definitions)
    except Exception:  # definitions raise all kinds of errors for sizes known only at run time
        return None
    parts.graph.eliminate_dead_code()
    return parts


def _traced(
    call: Callable[..., Any], values: Sequence[Any], definitions: Mapping[Any, Callable[..., Any]]
) -> fx.GraphModule:
    """The calls, traced by PyTorch: its tracer does not know :class:`MetaTensor`, so it gets FakeTensors."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    recorded = any(isinstance(value, MetaTensor) for value in values)
    if recorded:
        with FakeTensorMode(allow_non_fake_inputs=True):
            values = [torch.empty_strided(v.shape, v.stride(), dtype=v.dtype, device=v.device) for v in values]
    with torch.no_grad():
        parts = make_fx(call, decomposition_table=definitions, _allow_non_fake_inputs=True)(*values)
    if recorded:
        for part in parts.graph.nodes:
            part.meta = pytree.tree_map_only(Tensor, meta_tensor, part.meta)
    return parts


@cache
def _definitions(known: frozenset[str]) -> Mapping[Any, Callable[..., Any]]:
    """Decompositions of our own, for operators that the table lacks."""
    found = dict(torch.export.default_decompositions().items())  # type: ignore[no-untyped-call]
    found |= {_ATEN.slice_scatter.default: _slice_scatter, _ATEN.select_scatter.default: _select_scatter}
    return {target: definition for target, definition in found.items() if not _is_known(target, known)}


def _slice_scatter(
    whole: Tensor, part: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """``cat(whole[:start], part, whole[end:])``."""
    size = whole.shape[dim]
    first, last, _ = slice(start, end).indices(size)
    if step != 1 or last < first:
        return NotImplemented
    sides = whole.narrow(dim, 0, first), whole.narrow(dim, last, size - last)
    return torch.cat([x for x in (sides[0], part, sides[1]) if x.shape[dim]], dim)


def _select_scatter(whole: Tensor, part: Tensor, dim: int, index: int) -> Any:
    first = index % whole.shape[dim]
    return _slice_scatter(whole, part.unsqueeze(dim), dim, first, first + 1)


def _replace(node: fx.Node, parts: fx.GraphModule) -> None:
    graph = node.graph
    places = [part for part in parts.graph.nodes if part.op == "placeholder"]
    standing: dict[fx.Node, Any] = dict(zip(places, node.all_input_nodes, strict=True))
    with graph.inserting_before(node):
        for part in parts.graph.nodes:
            if part.op not in ("placeholder", "output"):
                standing[part] = graph.node_copy(part, lambda inner: standing[inner])
    output = next(part for part in parts.graph.nodes if part.op == "output")
    result = fx.map_arg(output.args[0], lambda inner: standing[inner])
    for user, value in _takers(node, result):
        user.replace_all_uses_with(value)
        if user is not node:
            graph.erase_node(user)
    graph.erase_node(node)


def _takers(node: fx.Node, result: Any) -> Iterator[tuple[fx.Node, fx.Node]]:
    """The nodes that hold the results of the call, each with its replacement."""
    if isinstance(result, fx.Node):
        yield node, result
        return
    for user in list(node.users):
        yield user, result[user.args[1]]
