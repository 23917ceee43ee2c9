"""The garbage collector: kept from looking through objects that are not garbage."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def without_gc(function: Callable[P, R]) -> Callable[P, R]:
    """A decorator for what makes many objects that live as long as the job: no cycles are looked for meanwhile.

    The collector would look through all of them again and again, which takes a tenth of the time on a large graph.
    What was made counts as old afterwards, as it would after the collections that were left out.
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
