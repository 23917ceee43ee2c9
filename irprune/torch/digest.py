"""What identifies a captured model: its calls, and all its parameters and buffers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from ..frontends.captured import Captured
from ..frontends.fx import as_array

_BLOCK = 1 << 20
"""Bytes that are digested at a time, where tensors are smaller."""


def digest_of(captured: Captured) -> Callable[[], str]:
    """What computes the SHA-256 digest, also in a thread beside other work.

    It asks for the interpreter lock once a block: a busy thread lets others have it every few milliseconds only, so
    that one which asks for it with every tensor would take longer than all else.
    """
    found = hashlib.sha256(str(captured.graph).encode())
    tensors = dict(sorted(captured.tensors.items()))
    for name, tensor in tensors.items():
        found.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())

    def compute() -> str:
        for block in _blocks(list(tensors.values())):
            found.update(block)
        return found.hexdigest()

    return compute


def _blocks(tensors: list[Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of tensors one after the other."""
    waiting: list[memoryview] = []
    for tensor in tensors:
        waiting.append(_raw(tensor))
        if sum(part.nbytes for part in waiting) >= _BLOCK:
            yield waiting[0] if len(waiting) == 1 else b"".join(waiting)
            waiting = []
    yield b"".join(waiting)


def _raw(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, without a copy of them where they lie in order."""
    return np.ascontiguousarray(as_array(tensor)).reshape(-1).view(np.uint8).data
