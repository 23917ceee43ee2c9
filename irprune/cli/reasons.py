"""Why things are frozen, in few words: many axes, few reasons."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_AT_NODE = re.compile(r"^(?P<op>\S+) '(?P<node>.*)': (?P<why>.*)$", re.DOTALL)
_OF_GRAPH = re.compile(r"^graph (?P<end>input|output) '(?P<name>.*)'$", re.DOTALL)
_SPATIAL = ("window of a", "is resampled", "becomes space", "comes from space", "counts positions")


@dataclass(frozen=True)
class Frozen:
    """A reason, how many groups it froze, and the node or value that it names first."""

    why: str
    count: int
    example: str = ""

    def as_json(self) -> dict[str, object]:
        return {"reason": self.why, "groups": self.count, "example": self.example}


def is_spatial(reason: str) -> bool:
    """Whether a reason is about positions in an image, a sequence or a batch, which are never pruned."""
    return any(text in reason for text in _SPATIAL) or reason.endswith("is known only at run time")


def telling(reasons: Iterable[str]) -> str:
    """The reason that says most: spatial ones and the ends of the graph are what everybody expects."""
    return min(reasons, key=lambda reason: (is_spatial(reason), bool(_OF_GRAPH.match(reason))), default="")


def summarize(frozen: Iterable[tuple[str, ...]]) -> list[Frozen]:
    """Frozen groups, each given by its reasons, as a few lines: the most frequent first, spatial ones last."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for reasons in frozen:
        why, example = _worded(telling(reasons))
        counts[why] += 1
        examples.setdefault(why, example)
    ranked = sorted(counts, key=lambda why: (why == _WINDOWS, -counts[why], why))
    return [Frozen(why, counts[why], examples[why]) for why in ranked]


def condensed(reasons: Iterable[str]) -> str:
    """Reasons in one line; what holds of many nodes is said once, with the first of them."""
    nodes: dict[str, list[str]] = {}
    for reason in reasons:
        match = _AT_NODE.match(reason)
        why = f"{match['op']} %s: {match['why']}" if match else reason
        nodes.setdefault(why, []).append(match["node"] if match else "")
    return "; ".join(
        why.replace("%s", f"'{first}'" + (f" and {len(rest)} more" if rest else ""), 1)
        for why, (first, *rest) in nodes.items()
    )


_WINDOWS = "positions (kernel windows, image sides, sequence or batch), which are never pruned"


def _worded(reason: str) -> tuple[str, str]:
    if is_spatial(reason):
        return _WINDOWS, ""
    if match := _OF_GRAPH.match(reason):
        return f"it is a dimension of graph {match['end']} '{match['name']}'", ""
    if match := _AT_NODE.match(reason):
        return f"{match['op']}: {match['why']}", match["node"]
    return reason or "nothing of it may go", ""
