"""What a page shows, as plain values: whoever makes one gathers these, and nothing else is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Cost:
    """A line of the table of costs; ``spell`` of :mod:`.words` writes the numbers."""

    name: str
    before: float
    after: float
    unit: str = ""


@dataclass(frozen=True)
class GroupFact:
    """A group that may be pruned: how many of its atoms stay, and the tensors (``name:axis``) that shrink with it."""

    name: str
    kind: str
    size: int
    kept: int
    members: tuple[str, ...]
    exact: bool = True


@dataclass(frozen=True)
class CurveFact:
    """The error of a group by the number of its atoms that go, and the number that went."""

    name: str
    size: int
    removed: tuple[int, ...]
    error: tuple[float, ...]
    cut: int


@dataclass(frozen=True)
class Operator:
    """Milliseconds a run of one type of operator, before and after."""

    name: str
    before: float
    after: float


@dataclass(frozen=True)
class Judged:
    """A verdict in words; ``ok`` is ``None`` where it is information alone."""

    name: str
    ok: bool | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """What stays as it is, how many groups that are, and why."""

    count: int
    why: str


@dataclass(frozen=True)
class Facts:
    """All that the page of one pruned model shows. Empty parts are left out of the page, or say what would fill them.

    ``inputs`` are the runs that the verdicts rest on, ``notes`` lines below the costs, ``settings`` name and value of
    each option of the plan.
    """

    original: str
    small: str
    command: str
    costs: tuple[Cost, ...]
    groups: tuple[GroupFact, ...]
    settings: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    curves: tuple[CurveFact, ...] = ()
    operators: tuple[Operator, ...] = ()
    timing: tuple[str, ...] = ()
    verdicts: tuple[Judged, ...] = ()
    inputs: tuple[str, ...] = ()
    repaired: tuple[tuple[str, str, str], ...] = ()
    left: tuple[Left, ...] = ()
    identity: tuple[tuple[str, str], ...] = ()


def links(groups: Sequence[GroupFact]) -> list[tuple[int, int]]:
    """Pairs of groups, by position, that meet in a tensor: one is summed over, the other one written by it."""
    owners: dict[str, set[int]] = {}
    for number, group in enumerate(groups):
        for member in group.members:
            owners.setdefault(member.rpartition(":")[0], set()).add(number)
    return sorted({pair for met in owners.values() for pair in combinations(sorted(met), 2)})
