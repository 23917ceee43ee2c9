"""irprune and PyTorch: the only package of irprune that imports torch, which is an optional extra.

``from_onnx`` makes a trainable module of an ONNX graph, ``write_back`` puts trained weights back into the model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from .importer import from_onnx
    from .writer import write_back

__all__ = ["from_onnx", "write_back"]

_HOMES = {"from_onnx": "importer", "write_back": "writer"}
"""The module of each name: it is loaded when the name is first asked for."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import torch  # noqa: F401 (what follows needs it; the message says so in one line)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(f"irprune.torch.{name} needs PyTorch: pip install irprune[torch]") from None
    found = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found
