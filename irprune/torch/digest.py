"""The digest that identifies a captured model: of its calls, and of all parameters and buffers."""

from __future__ import annotations

import hashlib

import numpy as np
import xxhash
from torch import Tensor

from ..frontends.captured import Captured
from ..frontends.fx import as_array


def digest_of(captured: Captured) -> str:
    """SHA-256 of the calls and, for each tensor, of its name, shape, type and 128-bit checksum.

    The checksum (XXH3) is as fast as memory, and is only there to notice other weights, not forged ones. SHA-256 of all
    bytes would take a third of the time of pruning.
    """
    digest = hashlib.sha256(str(captured.graph).encode())  # names functions without their addresses
    for name, tensor in sorted(captured.tensors.items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(xxhash.xxh3_128_digest(_raw(tensor)))
    return digest.hexdigest()


def _raw(tensor: Tensor) -> memoryview:
    """The bytes of a tensor; a contiguous one is not copied."""
    return np.ascontiguousarray(as_array(tensor)).reshape(-1).view(np.uint8).data
