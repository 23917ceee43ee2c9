"""Where the time goes: by type of operator, by node, in changes of the layout, and which convolutions have none.

ONNX Runtime computes float convolutions of images in a layout of blocks (NCHWc); nodes in it are called after their
output, with ``_nchwc`` behind it. Between it and plain layouts, nodes reorder the values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..signatures import traits_of
from .runners import Timed

BLOCKED = "_nchwc"
_REORDER = "Reorder"
_DOMAINS = ("", "com.microsoft::")
_LARGEST = 10


@dataclass(frozen=True)
class Share:
    """Milliseconds a run of an operator type or a node, and how many nodes that are."""

    name: str
    ms: float
    nodes: int


@dataclass(frozen=True)
class Profile:
    """Milliseconds a run, the largest first; ``blocked`` and ``plain`` are the convolutions by their layout."""

    ms: float
    operators: tuple[Share, ...]
    nodes: tuple[Share, ...]
    reorders: Share
    blocked: tuple[str, ...]
    plain: tuple[str, ...]

    @staticmethod
    def of(timed: Sequence[Timed], runs: int) -> Profile:
        by_op: Counter[str] = Counter()
        by_node: Counter[tuple[str, str]] = Counter()
        for item in timed:
            by_op[item.op] += item.ms / runs  # type: ignore[assignment]
            by_node[item.node, item.op] += item.ms / runs  # type: ignore[assignment]
        count = Counter(op for _, op in by_node)
        windows = [node for node, op in by_node if _is_convolution(op)]
        moved = [(ms, op) for (_, op), ms in by_node.items() if op.startswith(_REORDER)]
        return Profile(
            float(sum(by_op.values())),
            tuple(Share(op, float(ms), count[op]) for op, ms in by_op.most_common()),
            tuple(Share(node, float(ms), 1) for (node, _), ms in by_node.most_common()),
            Share("layout reorders", float(sum(ms for ms, _ in moved)), len(moved)),
            tuple(node.partition(BLOCKED)[0] for node in windows if BLOCKED in node),
            tuple(node for node in windows if BLOCKED not in node),
        )

    def lost(self, before: Profile) -> list[str]:
        """The convolutions in a plain layout that were in blocks before."""
        return [node for node in self.plain if node not in before.plain] if before.blocked else []

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "nodes": [asdict(share) for share in self.slowest]}

    @property
    def slowest(self) -> tuple[Share, ...]:
        """The nodes that take most of the time."""
        return self.nodes[:_LARGEST]


def _is_convolution(op: str) -> bool:
    return any(traits_of(f"{domain}{op}").window == "forward" for domain in _DOMAINS)


def widest(shares: Iterable[Share], count: int = _LARGEST) -> list[Share]:
    """The first few, and one for the rest."""
    listed = list(shares)
    rest = listed[count:]
    more = [Share("others", sum(s.ms for s in rest), sum(s.nodes for s in rest))] if rest else []
    return [*listed[:count], *more]
