"""A module that gives values inside it as well, and that gradients pass through only within blocks."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence

from torch import Tensor, fx, nn

from ..importer.module import INPUTS, VALUES
from .samples import Batch


class Student:
    """The smaller model with taps on values; it shares its parameters with ``module``."""

    def __init__(self, module: fx.GraphModule, values: Sequence[str], blocks: Collection[str] = ()) -> None:
        """``values`` are names of the ONNX model; behind ``blocks`` no gradient flows back."""
        self.values = tuple(values)
        self._arguments: dict[str, str] = module.meta[INPUTS]
        names: dict[str, str] = module.meta[VALUES]
        graph = copy.deepcopy(module.graph)
        nodes = {node.name: node for node in graph.nodes}
        taps = tuple(nodes[names[value]] for value in values)
        for value in blocks:
            node = nodes[names[value]]
            readers = list(node.users)
            with graph.inserting_after(node):
                stopped = graph.call_method("detach", (node,))
            for reader in readers:
                reader.replace_input_with(node, stopped)
        (end,) = (node for node in graph.nodes if node.op == "output")
        end.args = (taps,)
        graph.eliminate_dead_code()
        self._module = fx.GraphModule(module, graph)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        arguments = {argument: batch[name] for name, argument in self._arguments.items() if name in batch}
        return dict(zip(self.values, self._module(**arguments), strict=True))

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those of the module."""
        return self._module.parameters()


def has_value(module: fx.GraphModule, name: str) -> bool:
    """Whether a module computes a value of its model."""
    return name in module.meta[VALUES]
