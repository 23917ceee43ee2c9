"""The largest cut that keeps a fidelity, by halving: each candidate is pruned, refitted and run on samples held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from ..errors import TargetError
from ..request import Request

TRIES = 7
"""Candidates at most; the share of multiply-accumulates is then known to a hundredth."""

Made = TypeVar("Made")


class Judged(Protocol):
    """The effect of a candidate."""

    def fidelity(self, asked: float) -> float:
        """Up to 1 the share of equal decisions, above the signal-to-noise ratio in dB."""


Measured = TypeVar("Measured", bound=Judged)


def largest_cut(attempt: Callable[[Request], tuple[Made, Measured]], request: Request) -> tuple[Made, Measured]:
    """The candidate with the least share of multiply-accumulates whose measured fidelity is what is asked for.

    Fidelity is taken to fall with the share, which holds but for noise. Raises :class:`TargetError` where none of the
    candidates keeps it.
    """
    assert request.fidelity is not None
    low, high = 0.0, 1.0
    best: tuple[Made, Measured] | None = None
    nearest = (0.0, 0.0)
    for _ in range(TRIES):
        share = (low + high) / 2
        try:
            made, found = attempt(request.at_macs(share))
        except TargetError:
            low = share
            continue
        reached = found.fidelity(request.fidelity)
        if reached >= request.fidelity:
            best, high = (made, found), share
        else:
            low, nearest = share, (share, reached)
    if best is None:
        raise TargetError(
            f"no cut keeps a fidelity of {request.fidelity:g} on the samples held out: "
            f"{nearest[1]:.4g} at {nearest[0]:.1%} of the multiply-accumulates"
        )
    return best
