"""One node of an ONNX graph as the functions of :mod:`.functions` see it: operands, attributes, sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from ...errors import InputError
from ...ir import Constant, Dim, Node, dtypes
from ...ir.core import Array

Int: TypeAlias = Any
"""A Python integer, or the node of the FX graph that computes one; they take part in the same arithmetic."""

Operand: TypeAlias = Any
"""A tensor, or a number that PyTorch takes in a tensor's place."""

Result: TypeAlias = "torch.Tensor | Sequence[torch.Tensor | None]"

Function: TypeAlias = Callable[["OperatorCall"], Result]
"""The function of an operator: it makes plain calls of PyTorch for a node."""


class Values(Protocol):
    """The values of the graph so far; a tensor stands for the FX node that computes it."""

    def tensor(self, name: str) -> torch.Tensor: ...
    def number(self, name: str) -> Operand: ...
    def numbers(self, name: str) -> list[Int] | None: ...
    def dims(self, name: str) -> tuple[Dim, ...] | None: ...
    def dtype(self, name: str) -> str | None: ...
    def size(self, name: str, axis: int) -> Int: ...
    def constant(self, name: str) -> Array | None: ...
    def buffer(self, array: Array) -> torch.Tensor: ...
    def is_used(self, name: str) -> bool: ...
    def readers(self, name: str) -> set[str]: ...
    @property
    def device(self) -> torch.device: ...


@dataclass(frozen=True)
class OperatorCall:
    """A node with the values that it reads. Positions are those of its operands."""

    node: Node
    opset: int
    values: Values

    def has(self, position: int) -> bool:
        return position < len(self.node.inputs) and bool(self.node.inputs[position])

    def wants(self, position: int) -> bool:
        """Whether an output exists and is read."""
        return position < len(self.node.outputs) and self.values.is_used(self.node.outputs[position])

    def _name(self, position: int) -> str:
        if not self.has(position):
            raise self.error(f"operand {position} is missing")
        return self.node.inputs[position]

    def tensor(self, position: int = 0) -> torch.Tensor:
        return self.values.tensor(self._name(position))

    def optional(self, position: int) -> torch.Tensor | None:
        return self.tensor(position) if self.has(position) else None

    def tensors(self) -> list[torch.Tensor]:
        return [self.tensor(k) for k in range(len(self.node.inputs)) if self.has(k)]

    def operands(self, *positions: int) -> list[Operand]:
        """Operands of an element-wise operator: single numbers as numbers, unless all of them are."""
        wanted = positions or tuple(range(len(self.node.inputs)))
        found = [self.inlined(k) for k in wanted]
        if all(number is not None for number in found):
            found[0] = None
        return [self.tensor(k) if number is None else number for k, number in zip(wanted, found, strict=True)]

    def operand(self, position: int) -> Operand:
        """One operand of an element-wise operator: a single number as a number."""
        number = self.inlined(position)
        return self.tensor(position) if number is None else number

    def inlined(self, position: int) -> Operand:
        """A single number, where it may stand for a tensor: one of higher rank than the others raises the result's."""
        number, dims = self.number(position), self.dims(position)
        if number is None or dims is None:
            return None
        others = [self.values.dims(name) for k, name in enumerate(self.node.inputs) if k != position]
        return number if not dims or any(other is not None and len(other) >= len(dims) for other in others) else None

    def number(self, position: int) -> Operand:
        """A single number that is known or computed from sizes; ``None`` for a tensor."""
        return self.values.number(self.node.inputs[position]) if self.has(position) else None

    def scalar(self, position: int, default: float) -> Operand:
        """An optional operand of one element: a number where possible."""
        if not self.has(position):
            return default
        number = self.number(position)
        return self.tensor(position) if number is None else number

    def ints(self, name: str, position: int | None = None) -> list[Int] | None:
        """Integers of an attribute or, as newer versions of many operators have it, of an operand."""
        if name in self.node.attributes:
            return list(self.node.ints(name) or ())
        if position is None or not self.has(position):
            return None
        found = self.values.numbers(self.node.inputs[position])
        return found if found is not None else self._read_back(position)

    def _read_back(self, position: int) -> list[Int]:
        """Integers that depend on data: the tensor is read element by element."""
        dims = self.dims(position)
        if dims is None or len(dims) > 1 or not all(isinstance(dim, int) for dim in dims):
            raise self.error(f"the number of elements of operand {position} is known only at run time")
        flat = self.tensor(position).reshape(-1)
        return [flat[k].item() for k in range(int(dims[0]) if dims else 1)]  # type: ignore[arg-type]

    def plain_ints(self, name: str, position: int | None = None) -> list[int] | None:
        """The integers of :meth:`ints`; they have to be known at import."""
        found = self.ints(name, position)
        if found is not None and not all(isinstance(value, int) for value in found):
            raise self.error(f"'{name}' is known only at run time")
        return found

    def floats(self, name: str, position: int | None = None) -> list[float] | None:
        """Floats of an attribute or of a constant operand."""
        value = self.node.attributes.get(name)
        if value is not None:
            return [float(v) for v in value] if isinstance(value, tuple) else [float(value)]  # type: ignore[arg-type]
        if position is None or not self.has(position):
            return None
        array = self.values.constant(self.node.inputs[position])
        if array is not None:
            return [float(v) for v in np.asarray(array).ravel().tolist()]
        found = self.values.numbers(self.node.inputs[position])
        if found is None:
            raise self.error(f"'{name}' is known only at run time")
        return found

    def float_of(self, name: str, default: float) -> float:
        value = self.node.attributes.get(name, default)
        return float(value)  # type: ignore[arg-type]

    def int_of(self, name: str, default: int = 0) -> int:
        return self.node.int(name, default)

    def str_of(self, name: str, default: str = "") -> str:
        return self.node.str(name, default)

    def attribute(self, name: str) -> Array | None:
        """The tensor in an attribute."""
        value = self.node.attributes.get(name)
        return value.numpy() if isinstance(value, Constant) else None

    def dims(self, position: int) -> tuple[Dim, ...] | None:
        return self.values.dims(self._name(position))

    def rank(self, position: int = 0) -> int:
        dims = self.dims(position)
        if dims is None:
            raise self.error(f"the rank of operand {position} ('{self._name(position)}') is unknown")
        return len(dims)

    def axis(self, default: int = 0, position: int = 0) -> int:
        """The attribute ``axis``, not negative."""
        axis = self.int_of("axis", default)
        return axis + self.rank(position) if axis < 0 else axis

    def static(self, position: int) -> tuple[int, ...]:
        """The shape of an operand; it has to be known at import."""
        dims = self.dims(position)
        if dims is None or not all(isinstance(dim, int) for dim in dims):
            raise self.error(f"the shape of operand {position} ('{self._name(position)}') is known only at run time")
        return tuple(int(dim) for dim in dims if isinstance(dim, int))

    def static_size(self, position: int, axis: int) -> int:
        """The size of one dimension, where it has to be known."""
        size = self.size(position, axis)
        if not isinstance(size, int):
            raise self.error(f"the size of dimension {axis} of operand {position} is known only at run time")
        return size

    def size(self, position: int, axis: int) -> Int:
        return self.values.size(self._name(position), axis if axis >= 0 else axis + self.rank(position))

    def sizes(self, position: int = 0) -> list[Int]:
        return [self.size(position, axis) for axis in range(self.rank(position))]

    def dtype(self, position: int = 0) -> torch.dtype:
        """The element type of an operand."""
        name = self.values.dtype(self._name(position))
        if name is None:
            raise self.error(f"the element type of operand {position} ('{self._name(position)}') is unknown")
        return torch_dtype(name)

    def buffer(self, array: Array) -> torch.Tensor:
        """A new constant of the module, which the model does not store."""
        return self.values.buffer(array)

    @property
    def device(self) -> torch.device:
        return self.values.device

    def require(self, fact: bool, otherwise: str) -> None:
        """Raise :class:`InputError` naming the node unless ``fact`` holds."""
        if not fact:
            raise self.error(otherwise)

    def error(self, message: str) -> InputError:
        return InputError(f"{self.node.qualified_op} node '{self.node.name}' has no PyTorch equivalent here: {message}")


def torch_dtype(name: str) -> torch.dtype:
    """The PyTorch element type of a numpy name. Raises :class:`InputError` for types that PyTorch lacks."""
    found = getattr(torch, dtypes.torch_name(name), None)
    if not isinstance(found, torch.dtype):
        raise InputError(f"PyTorch has no element type {name}; convert the model to another one first")
    return found
