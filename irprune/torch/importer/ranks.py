"""Ranks and element types that ONNX's shape inference does not find: behind operators of other domains.

The FX graph so far runs on fake tensors, which have shapes and no data. Open sizes get arbitrary values, so only ranks
and element types of the results are used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ...ir import Dim, Graph
from .call import torch_dtype

_BATCH, _SIDE, _LENGTH = 2, 64, 8
"""Trial values of open sizes: the batch, the sides of an image, others."""


class Ranks:
    """Ranks of the values of a growing FX graph; nothing is computed until one is asked for."""

    def __init__(self, root: nn.Module, fx_graph: fx.Graph, graph: Graph) -> None:
        self._root = root
        self._fx_graph = fx_graph
        self._graph = graph
        self._known: dict[fx.Node, Any] = {}
        self._mode = FakeTensorMode()

    def dims(self, node: fx.Node) -> tuple[Dim, ...] | None:
        """One open size for each dimension; ``None`` where the rank is unknown."""
        found = self._value(node)
        return (None,) * found.ndim if isinstance(found, torch.Tensor) else None

    def dtype(self, node: fx.Node) -> str | None:
        found = self._value(node)
        return str(found.dtype).removeprefix("torch.") if isinstance(found, torch.Tensor) else None

    def _value(self, wanted: fx.Node) -> Any:
        for node in self._fx_graph.nodes:
            if wanted in self._known:
                break
            if node not in self._known:
                self._known[node] = self._evaluated(node)
        return self._known.get(wanted)

    def _evaluated(self, node: fx.Node) -> Any:
        """``None`` for results that need data, or fail at these sizes."""
        if node.op == "placeholder":
            return self._input(len(self._known))
        if node.op == "get_attr":
            return self._mode.from_tensor(fx.graph_module._get_attr(self._root, str(node.target)))
        inputs = [self._known.get(other) for other in node.all_input_nodes]
        if any(value is None for value in inputs):
            return None
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._known.__getitem__)
        try:
            with self._mode, torch.no_grad():
                if node.op == "call_method":
                    return getattr(args[0], str(node.target))(*args[1:], **kwargs)
                return node.target(*args, **kwargs)  # type: ignore[operator]
        except (RuntimeError, TypeError, ValueError, IndexError):
            return None

    def _input(self, position: int) -> torch.Tensor | None:
        value = self._graph.values[self._graph.inputs[position]]
        if value.shape is None or value.dtype is None:
            return None
        rank = len(value.shape)
        sizes = [
            dim if isinstance(dim, int) else _BATCH if axis == 0 else _SIDE if rank > 3 and axis > 1 else _LENGTH
            for axis, dim in enumerate(value.shape)
        ]
        with self._mode:
            return torch.empty(sizes, dtype=torch_dtype(value.dtype))
