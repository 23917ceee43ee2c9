"""The groups of a plan whose widths are not the multiples that its target computes fastest, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from ..allocation.steps import steps_for
from ..allocation.widths import Step, Widths, steps_of
from ..analysis import Analysis, Group
from .document import Plan, removed_atoms

_COSTS = {"params": "parameters", "macs": "multiply-accumulates", "bytes": "bytes of weights"}

_NEAR = 0.02
"""A target that is missed by less than this share is met."""


@dataclass(frozen=True)
class Unaligned:
    """A group that keeps a width off its multiple."""

    group: str
    size: int
    kept: int
    multiple: int
    why: str

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def unaligned(analysis: Analysis, plan: Plan) -> list[Unaligned]:
    """The groups that lose something and keep other widths than ``--align`` and ``--target`` ask for."""
    widths, removed = Widths.of(analysis, plan.request), removed_atoms(plan, analysis)
    masks = analysis.kept(removed)
    found = []
    for group in analysis.groups:
        if not removed[group.atoms].any():
            continue
        for leaf in group.leaves:
            step = Step(widths.fixed) if widths.fixed is not None else widths.steps.get(leaf.number, Step(1))
            mask = masks.get(leaf.number)
            if mask is None or step.allows(int(mask.sum())):
                continue
            kept, size = int(mask.sum()), len(mask)
            found.append(Unaligned(group.name, size, kept, step.multiple, _why(group, size, step)))
            break
    return found


def _why(group: Group, size: int, step: Step) -> str:
    if size <= step.multiple:
        return f"of {size} channels no smaller multiple is left"
    sizes = sorted({leaf.size.coefficient for leaf in group.leaves})
    if len(sizes) > 1:
        return f"its axes of {', '.join(map(str, sizes[:4]))} channels shrink together, and not all to multiples"
    return "the request cannot be met with multiples alone"


def width_cautions(analysis: Analysis, plan: Plan) -> Iterator[str]:
    """What to know of a plan whose target was missed for the sake of its widths, or that leaves the fast layout."""
    request = plan.request
    for name in request.targets:
        if name == "ratio":
            continue
        share, before, after = getattr(request, name), getattr(plan.cost_before, name), getattr(plan.cost_after, name)
        if abs(after / (share * before) - 1) > _NEAR and request.align != 1:
            yield (
                f"{after / before:.1%} of the {_COSTS[name]} are kept, {share:.1%} were asked for: no widths that "
                f"--align {request.align} allows come nearer; --align 1 allows any"
            )
    if request.align != "auto" and request.target != "none":
        yield from _left_layout(analysis, plan)


def _left_layout(analysis: Analysis, plan: Plan) -> Iterator[str]:
    """A fixed multiple that leaves widths for which the target has no fast kernel."""
    steps = steps_of(analysis, steps_for(plan.request.target))
    masks = analysis.kept(removed_atoms(plan, analysis))
    sizes = {number: (len(mask), int(mask.sum())) for number, mask in masks.items() if number in steps}
    lost = [n for n, (size, kept) in sizes.items() if steps[n].allows(size) and not steps[n].allows(kept)]
    if lost:
        yield (
            f"{len(lost)} of {len(sizes)} pruned widths are not multiples that {plan.request.target} computes fast; "
            "such a model may be slower than the original: --align auto chooses widths that are"
        )
