"""Pauses the garbage collector while large, long-lived structures are built."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def without_gc(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: pause the search for cycles in functions that build many objects which live as long as the job.

    The collector would look through all of them again and again, which takes a tenth of the time on a large graph.
    The new objects are moved to the oldest generation afterwards, where the skipped collections would have put them.
    """

    @wraps(function)
    def without_collection(*args: P.args, **kwargs: P.kwargs) -> R:
        if not gc.isenabled():  # nothing to do, or inside of another one
            return function(*args, **kwargs)
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            if not gc.get_freeze_count():  # what somebody froze stays frozen
                gc.freeze()
                gc.unfreeze()  # to the oldest generation
            gc.enable()

    return without_collection
