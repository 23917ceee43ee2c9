"""An analysis as a few lines of text: which dimension is which axis, which groups there are, what is frozen and why.

::

    x[a=N b=4 c=8! d=8!] w[e=6 b f=3! g=3!]
    -> y[a e h=6! i=6!]
    group w:0 channels 6: w:0
    group w:1 channels 4: w:1
    frozen c d f g h i: Conv 'Conv:y': the window of a convolution slides over it

One letter is one axis; its size stands where it first appears, ``!`` behind an axis that is frozen. Axes that are tied
element by element show their atoms: ``b=4{0 1 2 3} -> c=4{3 2 1 0}``, ``-`` for an element that stays. A refusal
that freezes nothing, for want of a known axis, is a line of its own.
"""

from __future__ import annotations

from string import ascii_lowercase
from textwrap import wrap

from irprune.analysis import Analysis, Group
from irprune.axes import Axis, Leaf, Product, leaves_of, resolve
from irprune.reasons import Kind, Reason

_WIDTH = 108
_LETTERS = [*ascii_lowercase, *(a + b for a in ascii_lowercase for b in ascii_lowercase)]


def describe(analysis: Analysis) -> str:
    return _Describer(analysis).text()


def describe_group(group: Group) -> str:
    members = " ".join(f"{member.tensor}:{member.axis}" for member in group.members)
    exact = "" if group.exact else " (inexact)"
    return f"group {group.name} {group.kind} {group.size}: {members}{exact}"


class _Describer:
    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.letters: dict[int, str] = {}
        self.atoms: dict[int, int] = {}
        relations = analysis.coupling.system.relations
        self.tied = {leaf.number for r in relations for side in (r.left, r.right) for leaf in leaves_of(side)}

    def text(self) -> str:
        lines = self._values()
        lines += [describe_group(group) for group in self.analysis.groups if not group.frozen]
        reasons: dict[Reason, list[str]] = {}
        for number, letter in self.letters.items():
            for reason in self.analysis.atoms.reasons.get(number, ()):
                if reason.op or reason.kind is not Kind.RUN_TIME_SIZE:
                    reasons.setdefault(reason, []).append(letter)
        lines += [f"frozen {' '.join(letters)}: {reason}" for reason, letters in reasons.items()]
        refused = self.analysis.coupling.refused.values()
        lines += [f"refused {reason}" for reason in refused if reason not in reasons]
        return "\n".join(part for line in lines for part in wrap(line, _WIDTH, subsequent_indent="    "))

    def _values(self) -> list[str]:
        graph, coupling = self.analysis.graph, self.analysis.coupling
        left = [self._value(name, coupling.dims.get(name)) for name in graph.inputs]
        for name in graph.constants:
            shown = []
            for node, position in graph.consumers.get(name, ()):
                dims = coupling.uses.get((node.name, position), coupling.dims.get(name))
                if dims and graph.constants[name].dtype not in ("int64", "bool"):
                    shown.append(self._value(name, dims))
            left += dict.fromkeys(shown)
        right = [self._value(name, coupling.dims.get(name)) for node in graph.nodes for name in node.outputs if name]
        return [" ".join(left), f"-> {' '.join(right)}"]

    def _value(self, name: str, dims: tuple[Axis, ...] | None) -> str:
        if dims is None:
            return f"{name}[?]"
        return f"{name}[{' '.join(map(self._axis, dims))}]"

    def _axis(self, axis: Axis) -> str:
        axis = resolve(axis)
        if isinstance(axis, Leaf):
            return self._leaf(axis)
        if isinstance(axis, Product):
            return f"({' '.join(map(self._axis, axis.factors))})" if axis.factors else "1"
        return f"({' + '.join(map(self._axis, axis.parts))})"

    def _leaf(self, leaf: Leaf) -> str:
        if leaf.number in self.letters:
            return self.letters[leaf.number]
        letter = self.letters[leaf.number] = _LETTERS[len(self.letters)]
        if not leaf.size.is_static:
            return f"{letter}={leaf.size}"
        own = self.analysis.atoms.of_leaf(leaf).tolist()
        if all(atom < 0 for atom in own):
            return f"{letter}={leaf.size}!"
        if leaf.number not in self.tied:
            return f"{letter}={leaf.size}"
        shown = ["-" if atom < 0 else str(self.atoms.setdefault(atom, len(self.atoms))) for atom in own]
        return f"{letter}={leaf.size}{{{' '.join(shown)}}}"
