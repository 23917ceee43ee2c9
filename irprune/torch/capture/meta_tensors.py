"""Tensors with shape, type and device but without data, and the results of operators on them.

PyTorch's own ``FakeTensor`` takes a millisecond for many operators and a second to import (dynamo and sympy), longer
than everything else that irprune does to a small network. So common operators have rules (:mod:`.meta_rules`), views
are computed on the ``meta`` device, and ``FakeTensor`` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ...frontends.aten import aten_operator
from .meta_rules import meta_rule_of

Operator: TypeAlias = "torch._ops.OpOverload[Any, Any]"

_META = torch.device("meta")


class MetaTensor(Tensor):
    """A tensor without data. ``plain`` is the same on the ``meta`` device: its memory tells views from copies."""

    plain: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, plain: Tensor, device: torch.device) -> MetaTensor:
        made: MetaTensor = Tensor._make_wrapper_subclass(
            cls, plain.shape, plain.stride(), plain.storage_offset(), dtype=plain.dtype, device=device
        )
        made.plain = plain
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"MetaTensor({list(self.shape)}, {self.dtype}, {self.device})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Operator, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return called(func, args, kwargs or {})


def meta_tensor(tensor: Tensor) -> MetaTensor:
    """A :class:`MetaTensor` for a tensor, with memory of its own."""
    plain = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=_META)
    return MetaTensor(plain, tensor.device)


def called(func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The results of an operator. Raises the errors of PyTorch for operands that do not fit, or need data."""
    operands = {id(operand.plain): operand for operand in _stand_ins((args, kwargs.values()))}
    device = _device_of(args, kwargs, operands.values())
    plain = _mapped(_plain, args), {name: _mapped(_plain, value) for name, value in kwargs.items()}
    if "device" in kwargs:
        plain[1]["device"] = _META
    result = meta_rule_of(func, *plain)
    if result is None and not _is_alike_everywhere(func):
        return _faked(func, args, kwargs)
    if result is None:
        result = func(*plain[0], **plain[1])

    def wrapped(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        same = operands.get(id(value))
        if same is None or same.device != device:
            return MetaTensor(value, device)
        if same.shape != value.shape:
            raise ValueError("an operand has another shape now")
        return same

    return _mapped(wrapped, result)


@cache
def _is_alike_everywhere(func: Operator) -> bool:
    """Whether results have the same sizes and strides on all devices: views, written operands and new tensors."""
    is_filled = aten_operator(func.overloadpacket.__name__).fills
    return is_filled or any(made.alias_info is not None for made in func._schema.returns)


@cache
def _faking() -> Any:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)  # like torch.export: calls are decomposed later


def _faked(func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The results that FakeTensor gives."""
    from torch._subclasses.fake_tensor import FakeTensor

    pairs = {
        id(operand): (operand, FakeTensor(_faking(), operand.plain, operand.device))
        for operand in _stand_ins((args, kwargs.values()))
    }
    operands = {id(fake): operand for operand, fake in pairs.values()}

    def fake(value: Any) -> Any:
        return pairs[id(value)][1] if isinstance(value, MetaTensor) else value

    def back(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return operands[id(value)] if id(value) in operands else meta_tensor(value)

    with _faking():
        result = func(*_mapped(fake, args), **{name: _mapped(fake, value) for name, value in kwargs.items()})
    return _mapped(back, result)


def _plain(value: Any) -> Any:
    if isinstance(value, MetaTensor):
        return value.plain
    if isinstance(value, Tensor):
        raise TypeError("a tensor that has data")
    return _META if isinstance(value, torch.device) else value


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to every item of nested lists and tuples."""
    if isinstance(value, (list, tuple)):
        return type(value)([_mapped(function, item) for item in value])
    return function(value)


def _stand_ins(value: Any) -> Iterator[MetaTensor]:
    if isinstance(value, MetaTensor):
        yield value
    elif isinstance(value, (Tensor, str)):
        return
    elif hasattr(value, "__iter__"):
        for item in value:
            yield from _stand_ins(item)


def _device_of(args: tuple[Any, ...], kwargs: dict[str, Any], operands: Any) -> torch.device:
    """The device of the results: the ``device`` argument, or that of the operands other than scalars."""
    for value in (kwargs.get("device"), *args):
        if isinstance(value, torch.device):
            return value if value.type == "cpu" or value.index is not None else torch.empty(0, device=value).device
    devices = {operand.device for operand in operands if operand.dim()} or {operand.device for operand in operands}
    if len(devices) > 1:
        raise ValueError("operands on several devices")
    return devices.pop() if devices else torch.device("cpu")


class Dataless:
    """Caches the results of operators by the sizes of their operands.

    Use it in inference mode, where operators are not decomposed.
    """

    def __init__(self) -> None:
        self._storages: list[tuple[Tensor, torch.UntypedStorage]] = []
        self._met: dict[Hashable, Any] = {}

    def like(self, tensor: Tensor) -> Tensor:
        """A :class:`MetaTensor` for a parameter, a buffer or an input."""
        made = meta_tensor(tensor)
        if isinstance(tensor, nn.Parameter):
            made._is_param = True  # read by isinstance(made, nn.Parameter)
            made.requires_grad_(tensor.requires_grad)
        self._storages.append((made, made.untyped_storage()))
        return made

    def has_other_data(self) -> bool:
        """Whether ``tensor.data = other`` was executed on a MetaTensor, which is not a recorded call."""
        return any(tensor.untyped_storage() is not storage for tensor, storage in self._storages)

    def call(self, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The results of an operator."""
        key = func, _key(args), _key(list(kwargs.items()))
        if key in self._met:
            return _mapped(meta_tensor, self._met[key])
        result = called(func, args, kwargs)
        if _is_new(result, (args, kwargs.values())):
            self._met[key] = result
        return result


def _is_new(result: Any, operands: Any) -> bool:
    """Whether the results have memory of their own: no operand, and no view of one."""
    found = result if isinstance(result, (list, tuple)) else [result]
    if not found or not all(isinstance(tensor, MetaTensor) for tensor in found):
        return False
    given = [operand.plain.untyped_storage() for operand in _stand_ins(operands)]
    return not any(tensor.plain.untyped_storage() is storage for tensor in found for storage in given)


def _key(value: Any) -> Hashable:
    """The cache key: everything that sizes, strides and types of the results depend on."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    if isinstance(value, (list, tuple)):
        return tuple(map(_key, value))
    return type(value), value
