"""From scores to a plan: which atoms go so that a target is met."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from ..allocation.costs import CostTable
from ..allocation.sequence import Counts, RemovalOrder, order_groups, removed_mask
from ..allocation.solver import allocate
from ..allocation.widths import Widths
from ..analysis import Analysis, Cost, Group, Mask
from ..analysis.coupling import place_of
from ..axes import Axis, Leaf, Product, leaves_of, resolve
from ..collector import without_gc
from ..errors import InputError, TargetError
from ..reasons import condensed
from ..request import GIVEN_SCORES, CostKind, Request
from ..scoring import Scores, relative_to_mean, score
from .choices import EXPERTS, Choice, choose, matches, node_names, require_least
from .document import Curve, ModelIdentity, Plan, PlannedGroup, costs

_TOLERANCE = 0.01
_FAR = 0.1
"""A target that is missed by more than this share is tried with finer steps."""

_CURVE = 33
"""Points of a curve at most."""

_PREFERENCE = {
    "channels": 0,
    "heads": 0,
    "mlp": 0,
    "hidden": 0,
    "recurrent": 0,
    "unread": 0,
    "head_dim": 1,
    "groups": 2,
    "multiplier": 2,
    "transform": 2,
    "experts": 2,
}
"""Which factor of a dimension is pruned by default, the lowest first."""

_KEPT = ("transform", EXPERTS)
"""Kinds that are pruned only if a request names them."""


@without_gc
def make_plan(
    analysis: Analysis,
    request: Request,
    *,
    scores: Scores | None = None,
    errors: Scores | None = None,
    by_norm: Collection[str] = (),
) -> Plan:
    """Choose atoms. The identity of the model, the slices and the verification are filled in later.

    ``scores``, one number an atom, take the place of the request's criterion. ``errors`` are those of a criterion from
    data: they compare between groups as they are, and a cost is met at the least sum of them. ``by_norm`` names groups
    that the data say nothing about, in branches that no sample takes: they shrink as without data.

    Raises :class:`InputError` for a request that makes no sense on this model and :class:`TargetError` for one that
    cannot be met; a request that would remove nothing is an error that says what froze the model.
    """
    request.require_target()
    if request.latency is not None:
        raise InputError("a latency is measured on whole models: give it to 'irprune prune', or plan by macs")
    groups = candidates(analysis, request)
    given = scores is not None
    measured = errors is not None
    local = request.scope == "local" and (not measured or request.ratio is not None)
    if errors is None:
        scores = score(analysis, request.ranking, request.seed) if scores is None else scores
        errors = relative_to_mean(analysis, scores)
    choice = choose(analysis, request, errors)
    if by_norm:
        choice = _with_norms(analysis, request, choice, by_norm)
    groups = [group for group in groups if group.name not in choice.groups] if request.targets else []
    order = order_groups(
        analysis,
        groups,
        errors,
        by_share=local,
        max_ratio=max(request.max_ratio, request.ratio or 0.0) if local else request.max_ratio,
        min_channels=request.min_channels,
    )
    solved = measured and bool(request.targets) and request.ratio is None
    task = _Task(analysis, request, choice, errors if solved else None)
    removed = choice.removed | removed_mask(analysis, order, _best_counts(task, order))
    if not removed.any():
        raise TargetError(_nothing(analysis, request, groups))
    require_least(analysis, removed)
    return Plan(
        model=ModelIdentity(opset=analysis.graph.opsets.get("", 0)),
        request=request.model_copy(update={"criterion": GIVEN_SCORES if given else request.ranking}),
        groups=planned_groups(analysis, removed),
        cost=costs(analysis.cost_model({}), cost_of(analysis, removed)),
        at=dict(analysis.at),
        curves=_curves(order, errors) if measured else {},
    )


def _curves(order: RemovalOrder, errors: Scores) -> dict[str, Curve]:
    """The error of each candidate group by the number of its atoms that go, at a few of the possible numbers."""
    found = {}
    for group, limit in zip(order.groups, order.limits, strict=True):
        counts = np.unique(np.linspace(0, limit, _CURVE).round().astype(np.intp))
        gone = np.append(0, np.cumsum(group.sizes))[counts].tolist()
        error = [float(f"{max(e, 0.0):.6g}") for e in group.errors(errors)[counts]]
        found[group.group.name] = Curve(removed=tuple(gone), error=tuple(error))
    return found


def _with_norms(analysis: Analysis, request: Request, choice: Choice, names: Collection[str]) -> Choice:
    """The choice, and in the named groups what goes where all groups shrink alike by their norms."""
    plain = make_plan(analysis, request.model_copy(update={"criterion": "l2", "scope": "local"}))
    mask = choice.removed.copy()
    positions = {group.name: np.array(group.removed, dtype=np.intp) for group in plain.groups}
    for group in analysis.groups:
        if group.name in names and group.name not in choice.groups:
            mask[group.atoms[positions.get(group.name, np.zeros(0, np.intp))]] = True
    return Choice(mask, choice.groups | frozenset(names))


def planned_groups(analysis: Analysis, removed: Mask) -> tuple[PlannedGroup, ...]:
    """The groups that lose something, as a plan lists them."""
    positions = {group.name: np.flatnonzero(removed[group.atoms]) for group in analysis.groups}
    return tuple(
        PlannedGroup(
            name=group.name,
            kind=group.kind,
            size=group.size,
            removed=tuple(positions[group.name].tolist()),
            members=tuple(f"{member.tensor}:{member.axis}" for member in group.members),
            exact=group.exact,
        )
        for group in analysis.groups
        if len(positions[group.name])
    )


def cost_of(analysis: Analysis, removed: NDArray[np.bool_]) -> Cost:
    """The cost when a set of atoms is gone."""
    return analysis.cost_model(analysis.kept(removed))


# -- candidates ----------------------------------------------------------------------------------------------------


def candidates(analysis: Analysis, request: Request) -> list[Group]:
    """The groups that a request may prune, one factor of every dimension; transforms and experts only if named.

    Raises :class:`InputError` for a selector that matches nothing.
    """
    owners = node_names(analysis)
    free = [group for group in analysis.groups if not group.frozen]
    for option in ("only", "keep"):
        for pattern in getattr(request, option):
            if not any(matches(group, pattern, owners) for group in analysis.groups):
                raise InputError(
                    f"--{option} '{pattern}' matches no group, node or initializer; irprune inspect lists them"
                )
    require_io(analysis, request.allow_io)
    chosen = [group for group in free if not any(matches(group, p, owners) for p in request.keep)]
    if request.only:
        chosen = [group for group in chosen if any(matches(group, p, owners) for p in request.only)]
    else:
        chosen = [group for group in chosen if group.kind not in _KEPT]
    if request.exact:
        chosen = [group for group in chosen if group.exact]
    return _one_factor(analysis, chosen)


def require_io(analysis: Analysis, patterns: Sequence[str]) -> None:
    """Raise :class:`InputError` for a glob of graph inputs and outputs that matches none."""
    names = [*analysis.graph.inputs, *analysis.graph.outputs]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"--allow-io '{pattern}' matches no input or output; there are {', '.join(names)}")


def _one_factor(analysis: Analysis, groups: list[Group]) -> list[Group]:
    """If a dimension factors into several candidates, keep the preferred one: a ratio then is a ratio of it."""
    owner = {leaf.number: group for group in groups for leaf in group.leaves}
    rank = {group.name: (_PREFERENCE.get(group.kind, 0), k) for k, group in enumerate(groups)}
    conflicts: set[tuple[str, str]] = set()
    every = (*analysis.coupling.dims.values(), *analysis.coupling.uses.values())
    for axis in dict.fromkeys(axis for dims in every for axis in dims or ()):  # values share axis expressions
        for left, right in _rivals(axis):
            pairs = {(owner[a].name, owner[b].name) for a in left & owner.keys() for b in right & owner.keys()}
            conflicts |= {_sorted_pair(pair, rank) for pair in pairs if pair[0] != pair[1]}
    dropped: set[str] = set()
    for winner, loser in sorted(conflicts, key=lambda pair: (rank[pair[0]], rank[pair[1]])):
        if winner not in dropped:
            dropped.add(loser)
    return [group for group in groups if group.name not in dropped]


def _sorted_pair(pair: tuple[str, str], rank: Mapping[str, tuple[int, int]]) -> tuple[str, str]:
    first, second = sorted(pair, key=rank.__getitem__)
    return first, second


def _rivals(axis: Axis) -> Iterator[tuple[set[int], set[int]]]:
    """Pairs of factors of any product inside a dimension, each as its leaf numbers."""
    axis = resolve(axis)
    if isinstance(axis, Leaf):
        return
    inner = axis.factors if isinstance(axis, Product) else axis.parts
    if isinstance(axis, Product):
        yield from combinations(({leaf.number for leaf in leaves_of(factor)} for factor in inner), 2)
    for part in inner:
        yield from _rivals(part)


# -- targets -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    """What is to be met; ``errors`` where it is to be met at the least sum of them."""

    analysis: Analysis
    request: Request
    choice: Choice
    errors: Scores | None

    @property
    def what(self) -> CostKind:
        return self._asked[0]

    @cached_property
    def budget(self) -> float:
        """The target in units of cost."""
        return float(self._asked[1] * getattr(self.analysis.cost_model({}), self.what))

    @property
    def _asked(self) -> tuple[CostKind, float]:
        assert self.request.cost is not None
        return self.request.cost

    def cost(self, order: RemovalOrder, counts: Counts) -> int:
        removed = self.choice.removed | removed_mask(self.analysis, order, counts)
        return int(getattr(cost_of(self.analysis, removed), self.what))


def _best_counts(task: _Task, order: RemovalOrder) -> Counts:
    """The counts that meet a request with the widest steps that can; see :meth:`.Widths.levels`.

    Finer steps than the target's layout asks for are tried where it is out of reach, or missed by far.
    """
    request, widths = task.request, Widths.of(task.analysis, task.request)
    if request.fidelity is not None:
        raise InputError("fidelity is measured on inputs of an ONNX model: give --data, or another target")
    if request.ratio is not None:
        wanted = _by_ratio(request.ratio, request.scope, order)
        return widths.on(order, wanted).aligned(wanted)
    if not request.targets or not (len(order.events) or task.choice.removed.any()):
        return np.zeros(len(order.groups), dtype=np.intp)
    best, least, refusal = None, np.inf, None
    for level in widths.levels():
        if best is not None and not level.suits_layout:
            break
        allowed = level.on(order)
        try:
            counts = _meet(task, allowed) if task.errors is None else _least_error(task, allowed, task.errors)
        except TargetError as error:
            refusal = error
            continue
        missed = abs(task.cost(order, counts) / task.budget - 1)
        if missed < least:
            best, least = counts, missed
        if least <= _FAR:
            break
    if best is None:
        assert refusal is not None
        raise refusal
    return best


def _meet(task: _Task, order: RemovalOrder) -> Counts:
    def cost(counts: Counts) -> int:
        return task.cost(order, counts)

    def after(prefix: int) -> Counts:
        return order.aligned(order.counts(prefix))

    prefix = _bisect(lambda k: cost(after(k)), len(order.events), task.budget)
    counts = after(prefix)
    reached = cost(counts)
    if reached > task.budget * (1 + _TOLERANCE):
        raise _out_of_reach(reached, order, task)
    starts = [counts, after(prefix - 1)] if prefix else [counts]
    return _closest(starts, cost, task.budget, order)


def _least_error(task: _Task, order: RemovalOrder, errors: Scores) -> Counts:
    """The counts that meet a cost at the least sum of errors, among those of an allowed width."""
    settled = {number: int(mask.sum()) for number, mask in task.analysis.kept(task.choice.removed).items()}
    table = CostTable(task.analysis.cost_model, order.groups, task.what, settled)
    curves = [group.errors(errors)[options] for group, options in zip(order.groups, order.options, strict=True)]
    counts = allocate(curves, order.options, table, task.budget)
    if counts is None:
        least = table.total(np.array([options[-1] for options in order.options], dtype=np.intp))
        raise _out_of_reach(least, order, task)
    return counts


def _out_of_reach(reached: float, order: RemovalOrder, task: _Task) -> TargetError:
    share = getattr(task.request, task.what)
    return TargetError(
        f"{task.what} cannot go below {reached / task.budget * share:.1%} of the original ({share:.1%} was asked for): "
        f"{len(order.groups)} groups may be pruned, each by at most {task.request.max_ratio:.0%} (--max-ratio)"
    )


def _closest(starts: list[Counts], cost: Callable[[Counts], int], target: float, order: RemovalOrder) -> Counts:
    """Where no start is within the tolerance of the target, try one to three steps more or fewer of each group.

    The result costs at most the target, or exceeds it by no more than the tolerance.
    """

    def distance(counts: Counts) -> float:
        error = cost(counts) / target - 1
        return abs(error) if error <= _TOLERANCE else np.inf

    best = min(starts, key=distance)
    gap = distance(best)
    for start in starts:
        for group, step in product(range(len(order.groups)), (-3, -2, -1, 1, 2, 3)):
            if gap <= _TOLERANCE:
                return best
            options, counts = order.options[group], start.copy()
            place = int(np.searchsorted(options, counts[group])) + step
            counts[group] = options[np.clip(place, 0, len(options) - 1)]
            if (other := distance(counts)) < gap:
                best, gap = counts, other
    return best


def _bisect(cost: Callable[[int], int], limit: int, target: float) -> int:
    """The shortest prefix of events whose cost is at most the target; the longest, where none is."""
    low, high = 0, limit
    while low < high:
        middle = (low + high) // 2
        if cost(middle) <= target:
            high = middle
        else:
            low = middle + 1
    return low


def _by_ratio(ratio: float, scope: str, order: RemovalOrder) -> Counts:
    if scope == "global":
        total = sum(group.group.size for group in order.groups)
        return order.counts(order.prefix(round(ratio * total)) if order.groups else 0)
    wanted = [int(np.searchsorted(group.share, ratio + 1e-9, side="right")) for group in order.groups]
    return np.minimum(np.array(wanted, dtype=np.intp), order.limits)


def _nothing(analysis: Analysis, request: Request, groups: Sequence[Group]) -> str:
    if groups:
        sizes = ", ".join(f"'{group.name}' has {group.size}" for group in groups[:3])
        more = ", ..." if len(groups) > 3 else ""
        widths = "" if request.align == 1 else f" at widths that --align {request.align} allows"
        among = f"any of {len(groups)} groups" if len(groups) > 1 else "the group that may lose some"
        return f"nothing to remove: the target rounds to no atom{widths} in {among} ({sizes}{more})"
    selected = [name for name in ("only", "keep", "exact") if getattr(request, name)]
    if selected and any(not group.frozen for group in analysis.groups):
        return f"nothing to remove: --{', --'.join(selected)} leave no prunable group"
    for kind, what, option in ((EXPERTS, "experts", "--experts"), ("transform", "constant transforms", "--only")):
        kept = [group.name for group in analysis.groups if group.kind == kind and not group.frozen]
        if kept:
            return f"nothing to remove: {what} are kept unless {option} names them ({', '.join(kept[:5])})"
    reasons = list(dict.fromkeys(reason for group in analysis.groups for reason in group.reasons))
    if reasons:
        return f"nothing to remove: everything is frozen. {condensed(reasons[:5])}"
    return f"nothing to remove: {_without_weights(analysis)}"


def _without_weights(analysis: Analysis) -> str:
    """Why a model has no groups at all."""
    weights = analysis.coupling.weights
    for matched in analysis.coupling.matched.values():
        computed = [name for name in matched.node.inputs if name in weights and name in analysis.graph.producers]
        if matched.signature.notation.macs and computed:
            where, maker = place_of(matched.node), place_of(analysis.graph.producers[computed[0]])
            return (
                f"the graph computes its weights instead of storing them, as {where} reads '{computed[0]}', which "
                f"{maker} computes; irprune opt --passes fold stores those that follow from constants"
            )
    return "the model stores no weights of a convolution, matrix product, embedding or normalization"
