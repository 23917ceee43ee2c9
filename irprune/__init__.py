"""irprune: structured pruning of exported models, as a compiler pass, verified on ONNX Runtime."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .collector import without_gc

if TYPE_CHECKING:
    from .api import Result, apply, plan, prune, verify

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "apply", "plan", "prune", "verify"]

_FROM_API = frozenset(__all__) - {"__version__"}


class _Facade(ModuleType):
    """Functions of the API are loaded when they are first asked for: importing irprune is free.

    Two of them, ``plan`` and ``verify``, are named as subpackages are. Importing a subpackage would put it in the
    function's place, depending on who imports what first; here ``irprune.plan`` is the function at any time, and
    ``from irprune.plan import ...`` reaches into the subpackage.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _FROM_API and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _FROM_API:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = getattr(without_gc(import_module)(".api", self.__name__), name)
        setattr(self, name, found)
        return found


sys.modules[__name__].__class__ = _Facade
