"""The sizes at which the costs of a program are evaluated: those of the inputs that it was captured with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from ..analysis import Analysis
from ..frontends.fx import dim_of


def at_example(analysis: Analysis, graph: fx.Graph) -> Analysis:
    """The analysis at the sizes that the calls of ``graph`` were captured with, of one element of the batch.

    The batch is what varies in the first dimension of inputs.
    """
    unknown = analysis.cost_model.unknown
    if not unknown:
        return analysis
    inputs = {node.name: node.meta["val"].shape for node in graph.nodes if _is_tensor_input(node)}
    batch = {dim.node.expr for shape in inputs.values() for dim in shape[:1] if isinstance(dim, torch.SymInt)}
    hints: dict[Any, int] = {}
    for dim in _open_sizes(graph):
        if dim.node.expr.is_symbol and dim.node.has_hint():
            hints[dim.node.expr] = 1 if dim.node.expr in batch else int(dim.node.hint)
    sizes: dict[str, int] = {}
    for dim in _open_sizes(graph):
        value = dim.node.expr.subs(hints)
        if value.is_Integer and int(value) > 0:
            sizes[str(dim_of(dim))] = int(value)
    at = {name: tuple(_number(dim, hints) for dim in shape) for name, shape in inputs.items()}
    return replace(analysis, sizes=sizes, at={name: shape for name, shape in at.items() if 0 not in shape})


def _is_tensor_input(node: fx.Node) -> bool:
    return node.op == "placeholder" and isinstance(node.meta.get("val"), torch.Tensor)


def _open_sizes(graph: fx.Graph) -> Iterator[torch.SymInt]:
    for node in graph.nodes:
        values = node.meta.get("val")
        for value in values if isinstance(values, (tuple, list)) else (values,):
            dims: tuple[int | torch.SymInt, ...] = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
            yield from (dim for dim in dims if isinstance(dim, torch.SymInt))


def _number(dim: int | torch.SymInt, hints: Mapping[Any, int]) -> int:
    """The size of a dimension; 0 where it is not known."""
    if isinstance(dim, int):
        return dim
    value = dim.node.expr.subs(hints)
    return int(value) if value.is_Integer else 0
