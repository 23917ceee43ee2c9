"""Tables on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..printable import printable
from .reasons import Frozen

if TYPE_CHECKING:
    from ..analysis import Analysis, Cost, Group
    from ..plans import Plan
    from ..plans.aligned import Unaligned
    from ..repair.recover import Recovery
    from ..verification import Report

_WIDTH = 110
"""Columns if standard output is not a terminal."""

LARGEST = 8
"""Groups that a report lists."""


def console() -> Console:
    """Standard output, as it is now."""
    found = _Console(highlight=False, emoji=False)
    return found if found.is_terminal else _Console(highlight=False, emoji=False, width=_WIDTH)


class _Console(Console):
    """Escape control characters: names of files and models must not control the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> Table:
    """A plain table; columns whose positions are in ``right`` are aligned to the right."""
    made = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for k, name in enumerate(columns):
        made.add_column(name, justify="right" if k in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def recovered(
    recovery: Recovery, before: str = "removed, weights as they were", after: str = "weights refitted"
) -> Table:
    """What new weights did on samples that they were not fitted to: error and agreement before and after."""
    rows = [
        (before, f"{recovery.error_sliced:.1%}", _share(recovery.agreement_sliced)),
        (after, f"{recovery.error:.1%}", _share(recovery.agreement)),
    ]
    changed = sum(change.is_kept for change in recovery.changes)
    title = f"On {recovery.held_out} samples held out of {recovery.fitted + recovery.held_out}"
    if recovery.changes:
        title += f"; {changed} of {len(recovery.changes)} weighted nodes refitted"
    return table(title, ("", "error (share of variance)", "equal decisions"), rows, right=(1, 2))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def number(value: float) -> str:
    """``92,074``, ``3.31 M``, ``1.80 G``."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:,.0f}"


def size(value: float) -> str:
    """Bytes: ``812 B``, ``359.7 kB``, ``94.4 MB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value:.0f} B"


def spelled_shapes(at: Mapping[str, Sequence[int]]) -> str:
    """``1x3x224x224``, or with their names where inputs have different shapes."""
    shapes = {name: "x".join(map(str, shape)) or "scalar" for name, shape in at.items()}
    if len(set(shapes.values())) == 1:
        return next(iter(shapes.values()))
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def sizes_of_costs(analysis: Analysis) -> str:
    """The sizes at which multiply-accumulates are counted; empty for a model without open sizes."""
    unknown = analysis.cost_model.unknown
    words = [f"at {spelled_shapes(analysis.at)}, for one element of the batch"] if analysis.at else []
    if unknown and analysis.at:
        words.append(f"{count(len(unknown), 'size')} that only data tell counted as one")
    elif unknown:
        names = [
            str(dim) if dim is not None else f"{name}:{k}"
            for name in analysis.graph.inputs
            for k, dim in enumerate(analysis.graph.shape(name) or ())
            if not isinstance(dim, int)
        ]
        names = list(dict.fromkeys(names)) or ["sizes that only data tell"]
        words.append(f"{', '.join(names)} counted as one: the model runs at no size that was tried; give --shape")
    endless = analysis.coupling.iterations.unknown
    if endless:
        words.append(f"per iteration in {count(len(endless), 'loop')} whose number of iterations only a run tells")
    return "; ".join(words)


def costs(analysis: Analysis, before: Cost, after: Cost, files: tuple[int, int] | None = None) -> Table:
    """Before, after, and the share that stays."""
    tables = [("numbers in tables", before.tables, after.tables, number)] if before.tables else []
    lines = [
        ("parameters", before.params, after.params, number),
        *tables,
        ("multiply-accumulates", before.macs, after.macs, number),
        ("bytes of weights", before.bytes, after.bytes, size),
    ]
    if files is not None:
        lines.append(("bytes of the file", *files, size))
    rows = [(name, spell(old), spell(new), f"{new / max(old, 1):.1%}") for name, old, new, spell in lines]
    found = table("", ("", "before", "after", "kept"), rows, right=(1, 2, 3))
    note = sizes_of_costs(analysis)
    found.caption = escape(f"multiply-accumulates {note}") if note else None
    return found


def dropped(plan: Plan) -> Table:
    """The residual branches that go."""
    rows = [(escape(each.branch), escape(each.result)) for each in plan.dropped]
    return table(f"Dropped: {len(rows)}", ("branch", "that was added to make"), rows)


def pruned_groups(analysis: Analysis, removed: Mapping[str, int]) -> Table:
    """The groups with most parameters, and what they keep."""
    pruned = [group for group in analysis.groups if group.name in removed and group.kind != "unread"]
    largest = sorted(pruned, key=lambda group: -weight_of(analysis, group))[:LARGEST]
    rows = [
        (escape(group.name), group.kind, f"{group.size - removed[group.name]} of {group.size}", members(group))
        for group in largest
    ]
    title = f"{count(len(pruned), 'group')} pruned" + (", the largest" if len(pruned) > LARGEST else "")
    return table(title, ("group", "kind", "kept", "in"), rows, right=(2,))


def unaligned(found: Sequence[Unaligned]) -> Table:
    """The groups whose widths are off the multiples that were asked for, and why."""
    rows = [
        (escape(item.group), f"{item.kept} of {item.size}", str(item.multiple), escape(item.why))
        for item in found[:LARGEST]
    ]
    title = f"{count(len(found), 'group')} not aligned" + (", the first" if len(found) > LARGEST else "")
    return table(title, ("group", "kept", "multiple", "because"), rows, right=(1, 2))


def unread(analysis: Analysis, removed: Mapping[str, int]) -> str:
    """A line on removed rows that nothing reads; empty if there are none."""
    found = [group for group in analysis.groups if group.name in removed and group.kind == "unread"]
    rows = sum(removed[group.name] for group in found)
    return f"removed as well: {count(rows, 'row')} that nothing reads, as of '{found[0].name}'" if found else ""


def members(group: Group) -> str:
    tensors = dict.fromkeys(member.tensor for member in group.members)
    return count(len(tensors), "tensor")


def weight_of(analysis: Analysis, group: Group) -> int:
    """The elements of all tensors that a group reaches into."""
    tensors = {member.tensor for member in group.members}
    return sum(analysis.graph.constants[name].size for name in tensors)


def frozen(found: Sequence[Frozen], *, limit: int = 8) -> Table:
    """The groups that stay as they are, by reason."""
    rows = [
        (str(item.count), escape(item.why + (f" (as at '{item.example}')" if item.example else "")))
        for item in found[:limit]
    ]
    if len(found) > limit:
        rest = sum(item.count for item in found[limit:])
        rows.append((str(rest), f"{len(found) - limit} more reasons (irprune inspect --all lists them)"))
    return table("Left as they are", ("groups", "because"), rows, right=(0,))


def judged(found: Report) -> Table:
    """The answers of a verification."""
    from ..verification.verdicts import verdicts

    words = {True: "[green]ok[/]", False: "[red]failed[/]", None: "-"}
    rows = [(verdict.name, words[verdict.ok], escape(verdict.words)) for verdict in verdicts(found)]
    made = table("Verification", ("", "", ""), rows)
    made.show_header = False
    return made


def count(how_many: int, noun: str) -> str:
    """``1 group``, ``2 groups``."""
    return f"{how_many} {noun}" + ("" if how_many == 1 else "s")
