"""What the name of an element type says."""

from __future__ import annotations

import ml_dtypes  # noqa: F401 - makes its types known to numpy
import numpy as np
import onnx_ir as oir
import pytest

from irprune.frontends.onnx import dtype_name
from irprune.ir import dtypes


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("float32", 32),
        ("bfloat16", 16),
        ("float8e4m3fn", 8),
        ("float8_e5m2", 8),
        ("float4e2m1fn", 4),
        ("float4_e2m1fn_x2", 8),
        ("uint4", 4),
        ("int2", 2),
        ("complex64", 64),
        ("complex128", 128),
        ("bool", 8),
        ("string", 8),
    ],
)
def test_bits(name: str, bits: int) -> None:
    assert dtypes.bits(name) == bits
    assert dtypes.item_bytes(name) == bits / 8


@pytest.mark.parametrize("kind", [kind for kind in oir.DataType if kind.name not in ("UNDEFINED", "STRING")])
def test_every_type_of_onnx_is_known(kind: oir.DataType) -> None:
    name = dtype_name(kind)
    assert dtypes.bits(name) == kind.bitwidth, name
    assert dtypes.is_float(name) == kind.is_floating_point(), name
    assert dtypes.is_integer(name) == (kind.is_integer() and name != "bool"), name


@pytest.mark.parametrize("name", ["bool", "int8", "uint64", "float16", "float64"])
def test_native_types_are_those_that_numpy_has(name: str) -> None:
    assert dtypes.is_native(name)
    assert np.dtype(name).isbuiltin


@pytest.mark.parametrize("name", ["bfloat16", "int4", "float8e5m2", "string", "complex64"])
def test_other_types_are_not_native(name: str) -> None:
    assert not dtypes.is_native(name)


def test_gradients_need_sixteen_bits() -> None:
    names = ("float32", "bfloat16", "float8e4m3fn", "int32")
    assert [name for name in names if dtypes.is_trainable(name)] == ["float32", "bfloat16"]


@pytest.mark.parametrize("name", ["float8e4m3fn", "float8e5m2", "float32", "int64"])
def test_pytorch_has_the_type_under_its_name(name: str) -> None:
    import torch

    assert isinstance(getattr(torch, dtypes.torch_name(name)), torch.dtype)
