"""Why an axis may not be pruned, as a value: the node that says so, the words, and the kind of reason.

Reports group reasons by kind; the words are for people and are never parsed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What sort of thing froze an axis; the value is how tables and JSON put it."""

    GRAPH_INPUT = "graph input"
    GRAPH_OUTPUT = "graph output"
    POSITIONS = "positions"
    RUN_TIME_SIZE = "size known at run time"
    NO_SIGNATURE = "no signature"
    REFUSED = "refused"
    LOOKUP = "looked up by index"
    SOFTMAX = "softmax"
    RECURRENT = "recurrent gates"
    ORDER = "order matters"
    SIZES = "sizes do not fit"
    COUPLED = "coupled to frozen"


ENDS = (Kind.GRAPH_INPUT, Kind.GRAPH_OUTPUT)

ADVICE = "--allow-io lets an input or output change shape, --state IN=OUT ties two where the output is fed back"
"""Options that free axes frozen by the ends of the graph (:data:`ENDS`)."""


@dataclass(frozen=True, slots=True)
class Why:
    """A reason without its node, as the rule of an operator gives it."""

    words: str
    kind: Kind = Kind.ORDER


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an axis is frozen: ``Conv 'stem': the window of a convolution slides over it``.

    ``op`` and ``node`` name the node that says so. For an end of the graph, ``op`` is ``graph input`` or ``graph
    output``, ``node`` the value, and ``why`` empty. A reason that belongs to no node has ``why`` alone.
    """

    op: str
    node: str
    why: str
    kind: Kind

    def __str__(self) -> str:
        place = str(Place(self.op, self.node))
        return ": ".join(part for part in (place, self.why) if part)


@dataclass(frozen=True, slots=True)
class Place:
    """A part of the graph that a reason can name, in most cases a node: ``Conv 'stem'``."""

    op: str
    node: str = ""

    def __str__(self) -> str:
        return f"{self.op} '{self.node}'" if self.node else self.op

    def reason(self, why: str, kind: Kind) -> Reason:
        return Reason(self.op, self.node, why, kind)


def graph_input(name: str) -> Reason:
    return Reason("graph input", name, "", Kind.GRAPH_INPUT)


def graph_output(name: str) -> Reason:
    return Reason("graph output", name, "", Kind.GRAPH_OUTPUT)


def plain(why: str, kind: Kind) -> Reason:
    """A reason that belongs to no node."""
    return Reason("", "", why, kind)


def condensed(reasons: Iterable[Reason]) -> str:
    """Reasons in one line. If several nodes give the same reason, it stands once with the first node and a count."""
    nodes: dict[Reason, list[str]] = {}
    for reason in reasons:
        alike = Reason(reason.op, "", reason.why, reason.kind) if reason.op and reason.why else reason
        nodes.setdefault(alike, []).append(reason.node)
    words = [_with_nodes(alike, named) for alike, named in nodes.items()]
    advice = f" ({ADVICE})" if any(reason.kind in ENDS for reason in nodes) else ""
    return "; ".join(words) + advice


def _with_nodes(alike: Reason, nodes: list[str]) -> str:
    if not (alike.op and alike.why):
        return str(alike)
    more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    return f"{alike.op} '{nodes[0]}'{more}: {alike.why}"
