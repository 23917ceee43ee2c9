"""irprune for PyTorch, an optional extra (``pip install irprune[torch]``).

Modules and exported programs in, a smaller trainable ``fx.GraphModule`` out (:func:`prune`), pruning while training
(:class:`IterativePruning`), and ONNX graphs as trainable modules (:func:`from_onnx`, :func:`write_back`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from .api import Result, apply, load, plan, prune, trace, verify
    from .distill import Tuned, finetune, require_trainable
    from .importer.module import from_onnx
    from .importer.writer import write_back
    from .program import Program
    from .sparse_training import SparseTraining
    from .training import Gates, GroupLasso, IterativePruning, importance

__all__ = [
    "Gates",
    "GroupLasso",
    "IterativePruning",
    "Program",
    "Result",
    "SparseTraining",
    "Tuned",
    "apply",
    "finetune",
    "from_onnx",
    "importance",
    "load",
    "plan",
    "prune",
    "require_trainable",
    "trace",
    "verify",
    "write_back",
]

_HOMES = {
    "from_onnx": "importer.module",
    "write_back": "importer.writer",
    **dict.fromkeys(("Tuned", "finetune", "require_trainable"), "distill"),
    "Program": "program",
    "SparseTraining": "sparse_training",
    **dict.fromkeys(("Gates", "GroupLasso", "IterativePruning", "importance"), "training"),
    **dict.fromkeys(("Result", "apply", "load", "plan", "prune", "trace", "verify"), "api"),
}
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
