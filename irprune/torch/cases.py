"""Inputs that a module is compared on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import InputError
from ..frontends.fx import as_array
from ..ir.core import Array
from ..runtime.data import open_data
from ..runtime.feeds import AnyData, InputType

if TYPE_CHECKING:
    from .program import Program


Inputs: TypeAlias = "tuple[tuple[Any, ...], Mapping[str, Any]]"
"""Positional and named arguments of a module."""


@dataclass(frozen=True)
class Case:
    """Inputs of one comparison."""

    label: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def cases_for(program: Program, runs: int = 3, seed: int = 0) -> list[Case]:
    """The example inputs, random ones like them, and, if dimensions vary, the examples with each of them one longer."""
    if not program.args and not program.kwargs:
        raise InputError("example inputs are missing: the exported program holds none, and verification runs the model")
    generator = torch.Generator().manual_seed(seed)
    cases = [Case("example inputs", program.args, program.kwargs)]
    for number in range(1, runs):
        args, kwargs = pytree.tree_map(lambda leaf: _like(leaf, generator), (program.args, dict(program.kwargs)))
        cases.append(Case(f"random inputs {number}", args, kwargs))
    return cases + _resized(program)


def given_cases(program: Program, inputs: AnyData, *, batch: int | None = None) -> list[Case]:
    """The user's inputs, by the names of the arguments' tensors in the captured graph (``forward``'s own, mostly).

    With ``batch``, at most so many samples each, where their number is open. Other arguments than tensors are those of
    the examples. Raises :class:`InputError` for inputs that do not fit the model.
    """
    leaves, spec = pytree.tree_flatten((program.args, dict(program.kwargs)))
    names = [n.name for n in program.module.graph.nodes if n.op == "placeholder"]
    tensors = {name: leaf for name, leaf in zip(names, leaves, strict=True) if isinstance(leaf, Tensor)}
    types = [
        InputType(name, as_array(leaf[:0] if leaf.dim() else leaf).dtype, _dims(program, name, leaf))
        for name, leaf in tensors.items()
    ]
    cases = []
    data = open_data(inputs, types)
    for number, feeds in enumerate(data if batch is None else data.batches(batch), 1):
        fed = [
            as_tensor(feeds[name], leaf.dtype) if isinstance(leaf, Tensor) else leaf
            for name, leaf in zip(names, leaves, strict=True)
        ]
        args, kwargs = pytree.tree_unflatten(fed, spec)
        cases.append(Case(f"given inputs, part {number}", args, kwargs))
    return cases


def _dims(program: Program, name: str, leaf: Tensor) -> tuple[int | str | None, ...]:
    return tuple(program.imported.graph.shape(name) or leaf.shape)


def as_tensor(array: Array, dtype: torch.dtype) -> Tensor:
    """An array as a tensor of a type that numpy may lack."""
    plain = array.astype(np.float32) if dtype == torch.bfloat16 else array
    return torch.from_numpy(np.ascontiguousarray(plain)).reshape(array.shape).to(dtype)


def _like(leaf: Any, generator: torch.Generator) -> Any:
    """A random tensor like ``leaf``: floats of the same mean and spread; other elements are permuted."""
    if not isinstance(leaf, Tensor) or leaf.numel() == 0:
        return leaf
    if leaf.dtype.is_floating_point:
        spread = leaf.float().std(correction=0) if leaf.numel() > 1 else torch.ones(())
        noise = torch.randn(leaf.shape, generator=generator)
        return (noise * spread + leaf.float().mean()).to(leaf.dtype)
    order = torch.randperm(leaf.shape[0], generator=generator) if leaf.dim() else torch.zeros((), dtype=torch.long)
    return leaf[order] if leaf.dim() else leaf


def _resized(program: Program) -> list[Case]:
    """The example inputs with dimensions that vary one longer: all of one size together, as they may have to agree."""
    placeholders = [n for n in program.module.graph.nodes if n.op == "placeholder"]
    leaves, spec = pytree.tree_flatten((program.args, dict(program.kwargs)))
    varying = [_varying(program.imported.graph.shape(n.name)) for n in placeholders]
    pairs = list(zip(leaves, varying, strict=True))
    cases = []
    for size in sorted({leaf.shape[axis] for leaf, axes in pairs for axis in axes}):
        grown = [_grown(leaf, [axis for axis in axes if leaf.shape[axis] == size]) for leaf, axes in pairs]
        args, kwargs = pytree.tree_unflatten(grown, spec)
        cases.append(Case(f"{size + 1} in place of {size}", args, kwargs))
    return cases


def _varying(shape: Sequence[int | str | None] | None) -> list[int]:
    """The dimensions whose size is a single symbol."""
    return [axis for axis, dim in enumerate(shape or ()) if isinstance(dim, str) and dim.isidentifier()]


def _grown(leaf: Any, axes: Sequence[int]) -> Any:
    for axis in axes:
        size = leaf.shape[axis]
        leaf = leaf.index_select(axis, torch.arange(size + 1) % size)
    return leaf
