"""The parts of a request that name groups: atoms by position, and ratios of single groups.

Tied atoms are removed together: a class of a detector from every scale, a head from all of its projections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from ..allocation.sequence import order_groups, removed_mask
from ..allocation.widths import Widths
from ..analysis import Analysis, Group, Mask
from ..errors import InputError
from ..reasons import condensed
from ..request import Request
from ..scoring import Scores

EXPERTS = "experts"
"""The kind of group of the experts of a mixture."""

_GLOB = frozenset("*?[")


@dataclass(frozen=True)
class Choice:
    """The atoms to remove, and the names of the groups that this settles."""

    removed: Mask
    groups: frozenset[str]


def matches(group: Group, pattern: str, owners: Mapping[str, Sequence[str]]) -> bool:
    """Whether a pattern names a group: by its name, a tensor, a node, or ``kind:`` and its kind."""
    if pattern.startswith("kind:"):
        return fnmatchcase(group.kind, pattern.removeprefix("kind:"))
    if fnmatchcase(group.name, pattern):
        return True
    return any(
        fnmatchcase(name, pattern)
        for member in group.members
        for name in (member.tensor, f"{member.tensor}:{member.axis}", *owners.get(member.tensor, ()))
    )


def node_names(analysis: Analysis) -> dict[str, list[str]]:
    """The names of the nodes that read each constant."""
    consumers = analysis.graph.consumers
    return {name: [node.name for node, _ in consumers.get(name, ())] for name in analysis.graph.constants}


def named_groups(analysis: Analysis, option: str, pattern: str) -> list[Group]:
    """The groups that a pattern names: the group of exactly that name, otherwise all that match.

    Frozen groups are left out. Raises :class:`InputError` if nothing matches, or if all groups that match are frozen.
    """
    exact = [group for group in analysis.groups if group.name == pattern]
    owners = node_names(analysis)
    found = exact or [group for group in analysis.groups if matches(group, pattern, owners)]
    free = [group for group in found if not group.frozen]
    if not found:
        raise InputError(f"{option} '{pattern}' matches no group, node or initializer; irprune inspect lists them")
    if not free:
        reasons = "; ".join(str(reason) for reason in found[0].reasons[:3]) or "none of its atoms may be removed"
        raise InputError(f"{option} '{pattern}': group '{found[0].name}' is frozen: {reasons}")
    return free


def choose(analysis: Analysis, request: Request, scores: Scores) -> Choice:
    """The removals that ``drop``, ``keep_only`` and ``ratios`` ask for.

    Raises :class:`InputError` for a group that does not exist, is frozen, or has no such position, and for a group
    that two options name.
    """
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    settled: dict[str, str] = {}
    for option, groups, mask in (*_by_position(analysis, request), *_by_share(analysis, request, scores)):
        for group in groups:
            if group.name in settled:
                raise InputError(f"group '{group.name}' is named twice, by {settled[group.name]} and by {option}")
            settled[group.name] = option
        removed |= mask
    return Choice(removed, frozenset(settled))


def _by_position(analysis: Analysis, request: Request) -> Iterator[tuple[str, list[Group], Mask]]:
    for flag, chosen, drops in (("--drop", request.drop, True), ("--keep-only", request.keep_only, False)):
        for pattern, positions in chosen.items():
            groups = named_groups(analysis, flag, pattern)
            if len(groups) > 1 and not set(pattern) & _GLOB:
                raise InputError(
                    f"{flag} '{pattern}' could be any of {len(groups)} groups, such as '{groups[0].name}' and "
                    f"'{groups[1].name}': name one of them, or a dimension, such as '{pattern}:0'"
                )
            mask = np.zeros(analysis.atoms.count, dtype=bool)
            for group in groups:
                listed = np.isin(np.arange(group.size), _positions(group, positions, f"{flag} '{pattern}'"))
                mask[group.atoms[listed if drops else ~listed]] = True
            yield f"{flag} '{pattern}'", groups, mask


def _positions(group: Group, positions: tuple[int, ...], option: str) -> tuple[int, ...]:
    wrong = [position for position in positions if not 0 <= position < group.size]
    if wrong:
        raise InputError(f"{option}: group '{group.name}' has positions 0 to {group.size - 1}, got {wrong[0]}")
    return positions


def _experts(analysis: Analysis, ratio: float, scores: Scores) -> tuple[str, list[Group], Mask]:
    """A share of the experts of every mixture, rounded down."""
    mixtures = [group for group in analysis.groups if group.kind == EXPERTS]
    free = [group for group in mixtures if not group.frozen]
    if not free:
        why = f": {condensed(mixtures[0].reasons[:3])}" if mixtures else ""
        raise InputError(f"--experts: the model has no mixture of experts that may lose any{why}")
    order = order_groups(analysis, free, scores, by_share=True, max_ratio=ratio, min_channels=1)
    return "--experts", free, removed_mask(analysis, order, order.limits)


def require_least(analysis: Analysis, removed: Mask) -> None:
    """Raise :class:`InputError` where fewer elements of a group stay than a choice takes of it."""
    for group in analysis.groups:
        least, gone = analysis.least.get(group.name, 0), int(removed[group.atoms].sum())
        if gone and group.size - gone < least:
            raise InputError(
                f"group '{group.name}' has {group.size} {group.kind}, and {least} of them are taken at a time: "
                f"at most {group.size - least} may go, {gone} were asked for"
            )


def _by_share(analysis: Analysis, request: Request, scores: Scores) -> Iterator[tuple[str, list[Group], Mask]]:
    if request.experts:
        yield _experts(analysis, request.experts, scores)
    for pattern, ratio in request.ratios.items():
        option = f"--ratio '{pattern}'"
        groups = named_groups(analysis, "--ratio", pattern)
        order = order_groups(
            analysis, groups, scores, by_share=True, max_ratio=ratio, min_channels=request.min_channels
        )
        counts = Widths.of(analysis, request).on(order).aligned(order.limits)
        yield option, groups, removed_mask(analysis, order, counts)
