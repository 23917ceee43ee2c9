"""irprune: structured pruning of exported models, as a compiler pass, verified on ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .versions import IRPRUNE

if TYPE_CHECKING:
    from .api import Result, apply, plan, prune, verify
    from .depth import drop
    from .plans import Plan
    from .request import Request
    from .several import apply_together, plan_together, prune_together, verify_together
    from .sparse import Sparsified, sparsify
    from .verification import Floors, Report
    from .zeros import Sparsity

__version__ = IRPRUNE
__all__ = [
    "Floors",
    "Plan",
    "Report",
    "Request",
    "Result",
    "Sparsified",
    "Sparsity",
    "__version__",
    "apply",
    "apply_together",
    "drop",
    "plan",
    "plan_together",
    "prune",
    "prune_together",
    "sparsify",
    "verify",
    "verify_together",
]

_HOMES = {
    **dict.fromkeys(("Result", "apply", "plan", "prune", "verify"), "api"),
    "Floors": "verification",
    "Plan": "plans",
    "Report": "verification",
    "Request": "request",
    "Sparsified": "sparse",
    "Sparsity": "zeros",
    "drop": "depth",
    "sparsify": "sparse",
    **dict.fromkeys(("apply_together", "plan_together", "prune_together", "verify_together"), "several"),
}
"""The module of each name: it is loaded when the name is first asked for, so that importing irprune is free."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from .collector import without_gc

    found = getattr(without_gc(import_module)(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
