"""The module that irprune gives back: fx calls of ATen operators that train."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from typing_extensions import Self

from ..frontends.captured import Captured
from ..frontends.effects import MODE_ARGUMENTS


class TrainableModule(fx.GraphModule):
    """A graph of ATen calls whose :meth:`train` and :meth:`eval` switch batch normalization and dropout.

    ``torch.export`` spells the mode out as an argument of each call, which a plain ``fx.GraphModule`` leaves alone.
    """

    @classmethod
    def of(cls, captured: Captured) -> TrainableModule:
        """A module of captured calls and their state."""
        made = cls(nn.Module(), fx.Graph(), "TrainableModule")
        made.meta.update(captured.meta)
        for name, value in captured.state.items():
            hang(made, name, value, saved=name not in captured.unsaved)
        nn.Module.train(made, captured.training)
        made.graph = captured.graph  # setting the graph compiles it
        return made

    def __repr__(self) -> str:
        """How large it is; ``print_readable()`` shows its calls."""
        return described(self, "TrainableModule")

    __str__ = __repr__

    def __deepcopy__(self, memo: dict[int, Any]) -> TrainableModule:
        made = super().__deepcopy__(memo)
        assert isinstance(made, TrainableModule)
        _save_no_more_than(self, made)
        return made

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the module and of every call that spells it out."""
        nn.Module.train(self, mode)
        changed = [set_mode(node, mode) for node in self.graph.nodes]
        if any(changed):
            self.recompile()
        return self


def described(module: fx.GraphModule, name: str) -> str:
    """A module in one line."""
    parameters = sum(parameter.numel() for parameter in module.parameters())
    mode = "training" if module.training else "evaluation"
    return f"{name}({len(module.graph.nodes)} calls, {parameters} parameters, in {mode})"


def _save_no_more_than(module: nn.Module, made: nn.Module) -> None:
    """Mark buffers as not saved that were not saved in the original: ``fx.GraphModule`` forgets them."""
    folders = dict(made.named_modules(remove_duplicate=False))
    for path, folder in module.named_modules(remove_duplicate=False):
        if path in folders:
            unsaved = folder._non_persistent_buffers_set & folders[path]._buffers.keys()
            folders[path]._non_persistent_buffers_set |= unsaved


def hang(root: nn.Module, name: str, value: Any, *, saved: bool = True) -> None:
    """Store a parameter, buffer or submodule under its dotted name, creating the modules on the way."""
    *folders, last = name.split(".")
    for folder in folders:
        inner = root._modules.get(folder)
        if inner is None:
            inner = root._modules[folder] = nn.Module()
        root = inner
    if isinstance(value, nn.Parameter):
        root._parameters[last] = value
    elif isinstance(value, Tensor):
        root._buffers[last] = value
        if not saved:
            root._non_persistent_buffers_set.add(last)
    else:
        setattr(root, last, value)


def set_mode(node: fx.Node, mode: bool) -> bool:
    """Set the mode of a call; returns whether it changed."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    for position, argument in enumerate(node.target._schema.arguments):
        if argument.name in MODE_ARGUMENTS and str(argument.type) == "bool":
            value: Any = node.args[position] if position < len(node.args) else node.kwargs.get(argument.name)
            if value is mode or value is None:
                return False
            if position < len(node.args):
                node.args = (*node.args[:position], mode, *node.args[position + 1 :])
            else:
                node.kwargs = {**node.kwargs, argument.name: mode}
            return True
    return False
