"""Folding: values that are known at compile time become constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..errors import InputError
from ..ir import Constant, Graph, Integers, Node, Size, Unknown
from ..ir.dtypes import is_size_like
from ..rewriting.batchnorm import fold_batchnorm
from ..rewriting.draft import Draft, Refused
from ..rewriting.identities import remove_identity
from ..signatures import traits_of
from .base import Pass, State, register


@register
@dataclass(frozen=True)
class Fold(Pass):
    """Compute values that are known at compile time.

    ::

        F(c1, c2)                                      ->   c          all operands are constants
        Concat(Gather(Shape(x), 1), 8)                 ->   [64, 8]    where x is [batch, 64]
        Identity(x)                                    ->   x          and other nodes that change nothing
        BatchNormalization(Conv(x, W, b), g, B, m, v)  ->   Conv(x, W s, (b - m) s + B)
                                                            s = g / sqrt(v + epsilon)

    ONNX Runtime itself evaluates constants. A result of more than ``grow`` bytes stays computed unless it
    takes the place of constants as large; so does one for which more than ``largest`` bytes would be held.
    Random operators, quantization, subgraphs and graph outputs stay. ``batchnorm=false`` leaves
    normalizations alone.
    """

    name: ClassVar[str] = "fold"

    grow: int = 4096
    largest: int = 1 << 26
    batchnorm: bool = True

    def validate(self) -> None:
        for name in ("grow", "largest"):
            if getattr(self, name) < 0:
                raise InputError(f"fold: {name} must not be negative, got {getattr(self, name)}")

    def run(self, state: State) -> State:
        folded = fold_graph(state.graph, self)
        return state.rewritten(folded.graph, folded.updated)


@dataclass(frozen=True)
class Folded:
    """The graph after folding, the constants that it changed or made, and per node and rule why it stays."""

    graph: Graph
    updated: frozenset[str]
    stays: dict[str, dict[str, str]]


def fold_graph(graph: Graph, options: Fold | None = None) -> Folded:
    """Apply to every node, in order, the first rule that does not refuse; again until all rules refuse."""
    updated: frozenset[str] = frozenset()
    while True:
        folded = _Folding(graph, options or Fold()).run()
        updated = (updated | folded.updated) & folded.graph.constants.keys()
        if folded.graph is graph:
            return replace(folded, updated=updated)
        graph = folded.graph  # better shapes may let earlier nodes fold


class _Folding:
    def __init__(self, graph: Graph, options: Fold) -> None:
        self.draft = Draft(graph)
        self.options = options
        self.opsets = graph.opsets
        self.integers = Integers(replace(graph, constants=self.draft.constants), self._sizes)
        self.exact = {name for name, constant in graph.constants.items() if is_size_like(constant.dtype)}

    def run(self) -> Folded:
        rules: dict[str, Callable[[Draft, Node], None]] = {
            "identity": remove_identity,
            "constant": self._constant,
            "shape": self._shape,
        }
        if self.options.batchnorm:
            rules["batchnorm"] = fold_batchnorm
        stays: dict[str, dict[str, str]] = {}
        for node in self.draft.graph.nodes:
            node = self.draft.nodes[node.name]
            self._note_exact(node)
            reasons: dict[str, str] = {}
            for name, rule in rules.items():
                try:
                    rule(self.draft, node)
                    break
                except Refused as refusal:
                    reasons[name] = str(refusal)
            else:
                stays[node.name] = reasons
        graph = self.draft.finish()
        return Folded(graph, frozenset(self.draft.updated & graph.constants.keys()), stays)

    def _constant(self, draft: Draft, node: Node) -> None:
        """``F(c1, c2, ...) = c``"""
        operands: list[Constant | None] = []
        for name in node.inputs:
            if name and name not in draft.constants:
                raise Refused(f"operand '{name}' is computed at run time")
            operands.append(draft.constants[name] if name else None)
        draft.require_private(node.outputs)
        leaving = {name for name in node.inputs if name and all(user is node for user in draft.users(name))}
        leaving -= draft.outputs
        freed = sum(_bytes(draft.constants[name]) for name in leaving)
        from ..rewriting.evaluate import evaluate  # which loads onnx

        results = evaluate(node, operands, self.opsets, max(self.options.grow, freed), self.options.largest)
        draft.become_constants(node, results)

    def _shape(self, draft: Draft, node: Node) -> None:
        """Integers that follow from static sizes. Floats are left to evaluation, which rounds alike."""
        results: list[Constant] = []
        for name in node.outputs:
            if name not in self.exact:
                raise Refused("it computes no sizes")
            found = self.integers.array(name)
            if found is None:
                raise Refused("not all of its entries are static")
            dtype = draft.dtype(name) or "int64"
            if found.size * np.dtype(dtype).itemsize > self.options.grow:
                raise Refused(f"its result has more than {self.options.grow} bytes")
            results.append(Constant.from_array(found.astype(dtype)))
        draft.become_constants(node, results)

    def _note_exact(self, node: Node) -> None:
        """Integers computed from integers alone: no rounding of floats can have gone into them."""
        sizes = traits_of(node.qualified_op).reads_sizes
        if sizes or all(name in self.exact for name in node.inputs if name):
            default = "int64" if sizes else ""
            self.exact |= {name for name in node.outputs if is_size_like(self.draft.dtype(name) or default)}

    def _sizes(self, name: str) -> tuple[Size, ...] | None:
        """Sizes as inferred; an unknown one equals no other."""
        shape = self.draft.shape(name)
        if shape is None:
            return None
        return tuple(Size.of(Unknown(f"?{name}.{k}") if dim is None else dim) for k, dim in enumerate(shape))


def _bytes(constant: Constant) -> int:
    try:
        return constant.size * np.dtype(constant.dtype).itemsize
    except TypeError:
        return constant.size  # a narrow type; evaluation refuses it
