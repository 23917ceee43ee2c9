"""Why things are frozen, in few words: many groups, few reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..reasons import ADVICE, ENDS, Kind, Reason

if TYPE_CHECKING:
    from ..analysis import Group

_EXPECTED = (Kind.POSITIONS, Kind.RUN_TIME_SIZE)
"""Kinds that every model has: positions in an image, a sequence or a batch are never pruned."""

_POSITIONS = Reason(
    "", "", "positions (kernel windows, image sides, sequence or batch), which are never pruned", Kind.POSITIONS
)
_NOTHING = Reason("", "", "none of its elements may go", Kind.COUPLED)


@dataclass(frozen=True)
class Frozen:
    """A reason, how many groups it froze, and the node or value that it names first."""

    why: str
    count: int
    example: str = ""

    def as_json(self) -> dict[str, object]:
        return {"reason": self.why, "groups": self.count, "example": self.example}


def most_telling(reasons: Iterable[Reason]) -> Reason | None:
    """The reason that says most: positions and the ends of the graph come last."""
    return min(reasons, key=lambda reason: (reason.kind in _EXPECTED, reason.kind in ENDS), default=None)


def summarize(groups: Iterable[Group]) -> list[Frozen]:
    """Frozen groups as a few lines: the most frequent reason first, positions last."""
    nodes: dict[Reason, list[str]] = {}
    for group in groups:
        reason = _POSITIONS if group.kind == "positions" else most_telling(group.reasons) or _NOTHING
        alike = Reason(reason.op, "", reason.why, reason.kind)
        nodes.setdefault(alike, []).append(reason.node)
    ranked = sorted(nodes, key=lambda alike: (alike == _POSITIONS, -len(nodes[alike]), str(alike)))
    return [_line(alike, nodes[alike]) for alike in ranked]


def _line(alike: Reason, nodes: Sequence[str]) -> Frozen:
    if alike.kind not in ENDS or not nodes[0]:
        return Frozen(": ".join(part for part in (alike.op, alike.why) if part), len(nodes), nodes[0])
    first, *rest = dict.fromkeys(nodes)
    more = f" and {len(rest)} more" if rest else ""
    return Frozen(f"a dimension of {alike.op} '{first}'{more} ({ADVICE})", len(nodes))
