"""irprune for PyTorch: modules and exported programs in, a smaller trainable ``fx.GraphModule`` out.

Needs the extra ``torch`` (``pip install irprune[torch]``).
"""

from ..errors import InputError

try:
    import torch as _torch
except ImportError as error:
    raise InputError("irprune.torch needs PyTorch: pip install 'irprune[torch]'") from error

from .api import Program, Result, apply, plan, prune, trace, verify
from .training import Gates, GroupLasso, IterativePruning, importance

__all__ = [
    "Gates",
    "GroupLasso",
    "IterativePruning",
    "Program",
    "Result",
    "apply",
    "importance",
    "plan",
    "prune",
    "trace",
    "verify",
]

del _torch
