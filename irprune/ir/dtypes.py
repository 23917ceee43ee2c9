"""Element types by name, as numpy, ml_dtypes, ONNX and PyTorch write them: ``float32``, ``bfloat16``, ``uint4``.

No other module parses these names.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NUMBER = re.compile(r"(?P<family>bfloat|float|uint|int|complex)(?P<bits>\d+)(?P<format>_?e\d+m\d+\w*)?")
_PACKED = re.compile(r"_x(\d+)$")
_NATIVE_FLOATS = frozenset({"float16", "float32", "float64"})
_BYTE = 8


@lru_cache(maxsize=256)
def _parsed(dtype: str) -> tuple[str, int]:
    """The family of a type (``float``, ``int``, ``bool``, ...) and the bits of an element; ``("", 0)`` for others."""
    if dtype == "bool":
        return "bool", _BYTE
    match = _NUMBER.fullmatch(dtype)
    if match is None:
        return "", 0
    packed = _PACKED.search(dtype)  # PyTorch's float4_e2m1fn_x2 holds two numbers in an element
    return match["family"].removeprefix("b"), int(match["bits"]) * (int(packed[1]) if packed else 1)


def bits(dtype: str) -> int:
    """The size of an element in bits; 8 for types whose elements have no fixed size (strings)."""
    return _parsed(dtype)[1] or _BYTE


def item_bytes(dtype: str) -> float:
    """The size of an element in bytes: a fraction for types of fewer than 8 bits, which are stored packed."""
    return bits(dtype) / _BYTE


def is_float(dtype: str) -> bool:
    """Whether elements are real numbers in floating point, of any width."""
    return _parsed(dtype)[0] == "float"


def is_integer(dtype: str) -> bool:
    """Whether elements are integers of any width, signed or unsigned. Booleans are not."""
    return _parsed(dtype)[0] in ("int", "uint")


def is_native_float(dtype: str) -> bool:
    """Whether numpy computes with the type in floating point, without ml_dtypes."""
    return dtype in _NATIVE_FLOATS


def is_native(dtype: str) -> bool:
    """Whether numpy itself has the type: truth values, integers of whole bytes, half, single and double precision."""
    return is_native_float(dtype) or dtype == "bool" or (is_integer(dtype) and bits(dtype) >= _BYTE)


def is_trainable(dtype: str) -> bool:
    """Whether PyTorch computes gradients in the type: real floating point of 16 bits or more."""
    return is_float(dtype) and bits(dtype) >= 2 * _BYTE


def is_weight_like(dtype: str) -> bool:
    """Whether a constant may be a weight. int64, bool and string are types of shapes, indices, masks and text."""
    return dtype not in ("int64", "bool", "string")


def is_size_like(dtype: str) -> bool:
    """Whether exporters compute sizes, or conditions on sizes, in this type."""
    return dtype in ("int32", "int64", "bool")


def torch_name(dtype: str) -> str:
    """The name that PyTorch gives the type: it writes ``float8_e4m3fn`` where the others write ``float8e4m3fn``."""
    match = _NUMBER.fullmatch(dtype)
    if match is None or not match["format"]:
        return dtype
    return f"{match['family']}{match['bits']}_{match['format'].removeprefix('_')}"
