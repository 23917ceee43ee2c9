"""Axes whose elements are all equal: what Expand, Tile and ConstantOfShape repeat.

Exporters write one tensor of zeros, as large as a state, and hand it to every recurrent layer. Whichever elements a
layer loses, any part of the tensor that is of the right size serves it. So every use of a repeated axis has an axis of
its own, and the value keeps as many elements as its largest use.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..axes import Axis, AxisSystem, Leaf, resolve
from ..reasons import Place
from ..signatures.grammar import Name, Operand, Signature, Star, Term, Unknown, names_of
from .matching import Dims


class Repetitions:
    """The repeated dimensions of values, and the axes that each use has in their place.

    ``pairs`` holds the axis of the value and that of the use.
    """

    def __init__(self, system: AxisSystem) -> None:
        self.system = system
        self.pairs: list[tuple[Axis, Axis]] = []
        self._found: dict[str, frozenset[int]] = {}
        self._state: list[Axis] = []

    def of(self, name: str) -> frozenset[int]:
        """The repeated dimensions of a value."""
        return self._found.get(name, frozenset())

    def enter(self, name: str, notation: tuple[Term, ...], repeated: frozenset[str]) -> None:
        """Note the repeated dimensions of a result."""
        if repeated and not any(isinstance(item, Star) for item in notation):
            words = enumerate(notation)
            self._found[name] = frozenset(k for k, item in words if isinstance(item, Name) and item.name in repeated)

    def carried(self, operands: Mapping[int, str], found: Signature) -> frozenset[str]:
        """Axes that are repeated in every operand (position to name) that has them, and so in the results."""
        if found.stateful or not any(map(self.of, operands.values())):
            return frozenset()
        notation = found.notation
        repeated: set[str] = set()
        other = {name for axis_map in found.maps for name in (axis_map.operand, *axis_map.result.strip("()").split())}
        other |= notation.opaque | notation.normalized
        for position, name in operands.items():
            items = notation.inputs[position] if position < len(notation.inputs) else None
            has_run = any(isinstance(item, Star) for item in items or ())
            for k, item in enumerate(items or ()):
                whole = isinstance(item, Name) and k in self.of(name) and not has_run
                (repeated if whole else other).update(names_of(item))
        results = [item for items in notation.outputs for item in items or ()]
        other |= {name for item in results if not isinstance(item, Name) for name in names_of(item)}
        return frozenset((repeated - other) & {item.name for item in results if isinstance(item, Name)})

    def use(self, name: str, dims: Dims, notation: Operand, carried: frozenset[str], found: Signature) -> Dims | None:
        """The axes of one use of a value if it needs axes of its own: repeated ones that the node does not carry on."""
        if notation is None or not self.of(name):
            return None
        own = list(dims)
        for k in sorted(self.of(name)):
            axis, item = resolve(dims[k]), _item(notation, len(dims), k)
            if not isinstance(axis, Leaf) or not axis.size.is_static or isinstance(item, Unknown):
                continue
            if found.stateful:
                self._state.append(axis)
            elif not (isinstance(item, Name) and item.name in carried):
                own[k] = self.system.leaf(axis.size, f"{name}.{k}")
                self.pairs.append((axis, own[k]))
        return tuple(own) if tuple(own) != dims else None

    def tie_state(self) -> None:
        """Unify an initial state with all of its uses: its elements are no longer equal after the first step."""
        pending = self.pairs
        while True:
            state = {resolve(axis) for axis in self._state}
            tied = [
                (axis, own) for axis, own in pending if resolve(axis) in state
            ]  # computed before unifying, which changes what resolves to what
            if not tied:
                return
            pending = [(axis, own) for axis, own in pending if resolve(axis) not in state]
            for axis, own in tied:
                self.system.unify(axis, own, Place("initial state"))


def _item(notation: tuple[Term, ...], rank: int, k: int) -> Term:
    """The term of dimension ``k``; a run of axes stands for all dimensions that the other terms leave."""
    star = next((j for j, item in enumerate(notation) if isinstance(item, Star)), len(notation))
    run = rank - len(notation) + 1 if star < len(notation) else 1
    return notation[k] if k < star else notation[star if k < star + run else k - run + 1]
