"""What identifies a captured model: its calls, and all its parameters and buffers."""

from __future__ import annotations

import hashlib

import numpy as np
import xxhash
from torch import Tensor

from ..frontends.captured import Captured
from ..frontends.fx import as_array


def digest_of(captured: Captured) -> str:
    """SHA-256 of the calls, and of what each tensor is: its name, shape, type and 128-bit checksum.

    The checksum (XXH3) is as fast as memory. It tells other weights from these, which no one tries to forge; SHA-256 of
    all bytes would take a third of the time of pruning.
    """
    digest = hashlib.sha256(str(captured.graph).encode())  # which names functions, and not where they lie
    for name, tensor in sorted(captured.tensors.items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(xxhash.xxh3_128_digest(_raw(tensor)))
    return digest.hexdigest()


def _raw(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, without a copy of them where they lie in order."""
    return np.ascontiguousarray(as_array(tensor)).reshape(-1).view(np.uint8).data
