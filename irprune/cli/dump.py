"""``irprune dump``: the graph as irprune sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ..printable import printable
from ..reasons import Reason, condensed
from ..request import READING, Request
from . import options as o

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..axes import Axis, Leaf


@o.takes(Request, *READING)
def dump(
    model: o.Model,
    request: Request,
    plain: Annotated[bool, typer.Option("--plain", help="Leave out the axes, groups and reasons.")] = False,
) -> None:
    """Print the graph as text, with the axes of every dimension, their groups and why they are frozen as comments."""
    from ..ir import render
    from .work import read

    analysis = read(model, request).analysis
    if plain:
        print(printable(render(analysis.graph)), end="")
        return
    notes = _Notes(analysis)
    text = render(analysis.graph, notes.of_value)
    first, _, rest = text.partition("\n")
    print(printable("\n".join([first, *(f"  # {line}" for line in notes.legend()), rest])), end="")


class _Notes:
    """Short names for axes: ``g3`` is in a group, ``f1`` is frozen for a reason; the legend spells them out."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.free = [group for group in analysis.groups if not group.frozen]
        self.group_of = {leaf.number: f"g{k}" for k, group in enumerate(self.free) for leaf in group.leaves}
        self.reasons: dict[tuple[Reason, ...], str] = {}
        self.per_use: dict[str, list[tuple[Axis, ...]]] = {}
        inputs = {node.name: node.inputs for node in analysis.graph.nodes}
        for (node, position), dims in analysis.coupling.uses.items():
            self.per_use.setdefault(inputs[node][position], []).append(dims)

    def of_value(self, name: str) -> str:
        """``axes (f0, g3, f1, f1)``; a constant that is analyzed per use may have several."""
        found = self.per_use.get(name, [])
        dims = self.analysis.coupling.dims.get(name)
        variants = dict.fromkeys(
            f"({', '.join(map(self._axis, each))})" for each in (*found, *([dims] if dims is not None else []))
        )
        return f"axes {' or '.join(variants)}" if variants else ""

    def _axis(self, axis: Axis) -> str:
        from ..axes import Leaf, Product, resolve

        axis = resolve(axis)
        if isinstance(axis, Leaf):
            return f"{self._leaf(axis)}:{axis.size}"
        if isinstance(axis, Product):
            return f"({' '.join(map(self._axis, axis.factors))})" if axis.factors else "1"
        return f"({' + '.join(map(self._axis, axis.parts))})"

    def _leaf(self, leaf: Leaf) -> str:
        if leaf.number in self.group_of:
            return self.group_of[leaf.number]
        reasons = self.analysis.atoms.reasons.get(leaf.number)
        if not reasons:
            return "free"  # no parameter has it, so nothing is gained by removing it
        return self.reasons.setdefault(reasons, f"f{len(self.reasons)}")

    def legend(self) -> Iterator[str]:
        """What the short names stand for; complete once every value has been asked for."""
        for k, group in enumerate(self.free):
            yield f"g{k}: group {group.name}, {group.kind}, {group.size} atoms"
        for reasons, name in self.reasons.items():
            yield f"{name}: frozen: {condensed(reasons)}"
