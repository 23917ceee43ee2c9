"""A captured model: its calls and its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn


@dataclass(frozen=True)
class Captured:
    """Calls of ATen operators, and what their ``get_attr`` nodes name: parameters, buffers, bodies of control flow.

    ``state`` has all parameters and buffers, also those that no call reads: they are saved and loaded. ``unsaved``
    names the buffers that are not.
    """

    graph: fx.Graph
    state: Mapping[str, Any]
    unsaved: frozenset[str]
    training: bool
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Captured({len(self.graph.nodes)} calls, {len(self.tensors)} tensors)"

    @staticmethod
    def of(root: nn.Module, graph: fx.Graph, constants: Mapping[str, Tensor]) -> Captured:
        """The calls of a graph with the state that they name: from a module, or unsaved constants."""
        unsaved = {
            f"{path}.{name}" if path else name
            for path, folder in root.named_modules(remove_duplicate=False)
            for name in folder._non_persistent_buffers_set
        }
        meta = dict(root.meta) if isinstance(root, fx.GraphModule) else {}
        state = state_of(root, graph, constants)
        return Captured(graph, state, frozenset(unsaved.union(constants)), root.training, meta)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers under all of their names."""
        return {name: value for name, value in self.state.items() if isinstance(value, Tensor)}


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, also those that are not saved, under all their names."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def attribute_of(module: nn.Module, target: str) -> Any:
    """The parameter, buffer or submodule of that name."""
    found: Any = module
    for part in target.split("."):
        found = getattr(found, part)
    return found


def state_of(root: nn.Module, graph: fx.Graph, constants: Mapping[str, Tensor]) -> dict[str, Any]:
    """All parameters and buffers of a module, the constants, and other objects of the module that calls name."""
    state: dict[str, Any] = tensors_of(root) | dict(constants)
    others = (str(node.target) for node in graph.nodes if node.op == "get_attr" and node.target not in state)
    return state | {name: attribute_of(root, name) for name in others}
