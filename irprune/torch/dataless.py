"""Tensors that have shapes, types and devices, and no data; and what operators make of them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree

Operator: TypeAlias = "torch._ops.OpOverload[Any, Any]"


class Dataless:
    """What an operator makes of operands is looked up where it met operands of these sizes before.

    To be used in inference mode, where operators are not taken apart.
    """

    def __init__(self) -> None:
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)  # as export's: calls are taken apart later
        self._storages: list[tuple[Tensor, torch.UntypedStorage]] = []
        self._met: dict[Hashable, Any] = {}

    def like(self, tensor: Tensor) -> Tensor:
        """A stand-in for a parameter, a buffer or an input."""
        made = self._again(tensor)
        if isinstance(tensor, nn.Parameter):
            made._is_param = True  # what isinstance(made, nn.Parameter) asks
            made.requires_grad_(tensor.requires_grad)
        self._storages.append((made, made.untyped_storage()))
        return made

    def has_other_data(self) -> bool:
        """Whether ``tensor.data = other`` was said of a stand-in, which is no call."""
        return any(tensor.untyped_storage() is not storage for tensor, storage in self._storages)

    def call(self, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The results of an operator."""
        key = func, _key(args), _key(list(kwargs.items()))
        if key in self._met:
            met = self._met[key]
            return self._again(met) if isinstance(met, Tensor) else type(met)(map(self._again, met))
        with self._mode:
            result = func(*args, **kwargs)
        if _is_new(result, (args, kwargs)):
            self._met[key] = result
        return result

    def _again(self, tensor: Tensor) -> Tensor:
        plain = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        return FakeTensor(self._mode, plain, tensor.device)


def _is_new(result: Any, operands: Any) -> bool:
    """Whether the results are tensors of their own memory: not an operand, nor a view of one."""
    found = result if isinstance(result, (list, tuple)) else [result]
    if not found or not all(isinstance(tensor, Tensor) for tensor in found):
        return False
    given = [leaf.untyped_storage() for leaf in pytree.tree_leaves(operands) if isinstance(leaf, Tensor)]
    return not any(tensor.untyped_storage() is storage for tensor in found for storage in given)


def _key(value: Any) -> Hashable:
    """What the sizes, strides and types of results depend on."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    if isinstance(value, (list, tuple)):
        return tuple(map(_key, value))
    return type(value), value
