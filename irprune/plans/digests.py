"""Digests of values, by which a plan records weights that were changed after the pruning."""

from __future__ import annotations

import hashlib

import numpy as np

from ..ir.core import Array


def digest_of_values(array: Array) -> str:
    """SHA-256, in hexadecimal, of an array's element type, shape and elements (row-major)."""
    found = hashlib.sha256(f"{array.dtype.name} {list(array.shape)}\n".encode())
    if array.dtype.kind in "OUS":
        found.update(repr(array.tolist()).encode())
    else:
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()
