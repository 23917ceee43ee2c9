"""Tensors from constants of the IR and back, and the names that they have in a module."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError
from ...ir import Constant, dtypes, fresh_name
from ...ir.core import Array

_UNSIGNED = {2: np.dtype(np.uint16), 1: np.dtype(np.uint8)}
_NARROW = {"int4": np.int8, "uint4": np.uint8, "int2": np.int8, "uint2": np.uint8}


def to_tensor(constant: Constant) -> Tensor:
    """A tensor of its own memory. Raises :class:`InputError` for element types that PyTorch does not have."""
    name = f"tensor '{constant.origin or ''}'"
    if constant.dtype in _NARROW:
        return torch.from_numpy(np.array(constant.numpy()).astype(_NARROW[constant.dtype]))
    if _is_of_numpy(constant.dtype):
        return torch.from_numpy(np.array(constant.numpy(), dtype=constant.dtype, order="C").reshape(constant.shape))
    dtype = getattr(torch, constant.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise InputError(f"{name} has type {constant.dtype}, which PyTorch does not have")
    array = np.array(constant.numpy(), order="C").reshape(constant.shape)
    return torch.from_numpy(array.view(_UNSIGNED[array.dtype.itemsize])).view(dtype)


def to_array(tensor: Tensor, like: Array) -> Array:
    """The elements in the type of another array, which may be one that numpy knows by extension only."""
    tensor = tensor.detach().cpu().contiguous()
    if _is_of_numpy(like.dtype.name):
        return np.array(tensor.to(getattr(torch, like.dtype.name)).numpy())
    if like.dtype.name in _NARROW:
        return np.array(tensor.numpy().astype(like.dtype))
    dtype = getattr(torch, like.dtype.name)
    bits = tensor.to(dtype).view(torch.uint16 if like.dtype.itemsize == 2 else torch.uint8)
    return np.array(bits.numpy()).view(like.dtype)


_RESERVED = frozenset(dir(torch.fx.GraphModule(nn.Module(), torch.fx.Graph()))) | frozenset(dir(nn.Module()))


def attribute_path(name: str, taken: Iterable[str]) -> str:
    """A path of attributes for an initializer: its name as it is (``layer1.0.weight``) wherever Python allows it.

    No path is a prefix of another one, and none hides an attribute of a module.
    """
    parts = [_identifier(part) for part in name.split(".")]
    path = ".".join(part for part in parts if part) or "constant"
    taken = set(taken)
    inner = {other[:k] for other in taken for k, letter in enumerate(other) if letter == "."}
    while any(path.startswith(f"{other}.") for other in taken):
        path = "_".join(path.rsplit(".", 1))
    return fresh_name(path, taken | inner)


def _identifier(part: str) -> str:
    part = re.sub(r"\W", "_", part, flags=re.ASCII)
    return f"{part}_" if part in _RESERVED else part


def attach(root: nn.Module, path: str, tensor: Tensor, *, trainable: bool) -> None:
    """Add a parameter or a buffer to a module under a dotted path."""
    *folders, leaf = path.split(".")
    for folder in folders:
        if folder not in root._modules:
            root.add_module(folder, nn.Module())
        root = root.get_submodule(folder)
    if trainable:
        root.register_parameter(leaf, nn.Parameter(tensor))
    else:
        root.register_buffer(leaf, tensor)


def attached(root: nn.Module, path: str) -> Tensor:
    """The parameter or the buffer at a path. Raises :class:`InputError` where there is none."""
    folder, _, leaf = path.rpartition(".")
    try:
        found = getattr(root.get_submodule(folder), leaf)
    except AttributeError:
        found = None
    if not isinstance(found, Tensor):
        raise InputError(f"the module has no tensor '{path}': it was changed since from_onnx made it")
    return found


def _is_of_numpy(dtype: str) -> bool:
    """Whether numpy and PyTorch share the type, so that one takes the array of the other."""
    return dtypes.is_native(dtype) or dtype in ("complex64", "complex128")
