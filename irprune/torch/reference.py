"""The reference of a removal as an fx module: the calls of the original, where removed elements contribute nothing.

:mod:`irprune.verification.removal` says what that means for each call. It shares no code with the slicing of
parameters and numbers; the size in a normalization's arguments (``normalized_shape``) is counted from the masks.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from ..analysis import Analysis, Mask, MatchedNode
from ..axes import Axis
from ..errors import VerificationError
from ..frontends.fx import Imported
from ..ir import Node, dtypes
from ..signatures import SizeOf, names_of, traits_of
from ..verification.removal import Dimension, Removal

_ATEN = torch.ops.aten
PREFIX = "irprune_reference"


def build_reference(
    module: fx.GraphModule,
    imported: Imported,
    analysis: Analysis,
    kept: Mapping[int, Mask],
    sizes: Mapping[str, int],
    *,
    guard: bool = False,
) -> fx.GraphModule:
    """A copy of ``module`` in which removed places are zero wherever they are summed and absent from statistics.

    ``kept`` is :meth:`Analysis.kept`, ``sizes`` what the symbols stand for; ``guard`` masks activations at every
    contraction.
    """
    with warnings.catch_warnings(action="ignore"):
        copied = copy.deepcopy(module)
    return _Writer(copied, imported, Removal(analysis, kept, guard, sizes)).run()


@dataclass
class _Writer:
    module: fx.GraphModule
    imported: Imported
    removal: Removal
    counter: int = 0

    def run(self) -> fx.GraphModule:
        self.calls = {node.name: node for node in self.module.graph.nodes}
        self.parameters = {name: node for node in self.calls.values() for name in self._constant_names(node)}
        for node in self.removal.analysis.graph.nodes:
            call = self.calls.get(node.name)
            if call is None:
                continue
            self._zero_constants(node, call)
            matched = self.removal.analysis.coupling.matched.get(node.name)
            if matched is not None:
                self._mask_contractions(matched, call)
                self._mask_ranked(matched, call)
                self._gather_normalized(matched, call)
        self.module.graph.lint()
        self.module.recompile()
        return self.module

    def _constant_names(self, node: fx.Node) -> list[str]:
        if node.name in self.imported.tables:
            return [node.name]
        if node.op != "get_attr":
            return []
        target = str(node.target)
        return [name for name, others in self.imported.aliases.items() if target in others] or [target]

    # -- what happens at a call ----------------------------------------------------------------------------------

    def _zero_constants(self, node: Node, call: fx.Node) -> None:
        for position, name in enumerate(node.inputs):
            dims = self.removal.zeroed(node, position) if name else None
            if dims is not None and name in self.parameters:
                zero = 1 if self._divides_integers(node, position) else 0
                self._replace(call, self._operand(call, name), self._zeroed(call, name, dims, zero))

    def _divides_integers(self, node: Node, position: int) -> bool:
        """Whether an operand is an integer divisor, which must not be masked to zero."""
        is_integer = dtypes.is_integer(self.removal.analysis.graph.constants[node.inputs[position]].dtype)
        return is_integer and traits_of(node.qualified_op).divisor == position

    def _zeroed(self, call: fx.Node, name: str, dims: tuple[Axis, ...], zero: int) -> fx.Node:
        result: fx.Node = self.parameters[name]
        for position, axis in enumerate(dims):
            mask = self.removal.mask(axis)
            if not mask.all():
                result = self._masked(call, result, position, len(dims), mask, zero)
        return result

    def _mask_contractions(self, matched: MatchedNode, call: fx.Node) -> None:
        for position, dim, mask in self.removal.masked(matched):
            name = matched.node.inputs[position]
            operand = self._operand(call, name)
            rank = len(self.removal.analysis.coupling.dims[name] or ())
            self._replace(call, operand, self._masked(call, operand, dim.position, rank, mask))

    def _mask_ranked(self, matched: MatchedNode, call: fx.Node) -> None:
        for position, dim, mask in self.removal.ranked(matched):
            name = matched.node.inputs[position]
            operand = self._operand(call, name)
            rank = len(self.removal.analysis.coupling.dims[name] or ())
            self._replace(call, operand, self._masked(call, operand, dim.position, rank, mask, -math.inf))

    def _gather_normalized(self, matched: MatchedNode, call: fx.Node) -> None:
        for position, dim, mask in self.removal.gathered(matched):
            operand = self._operand(call, matched.node.inputs[position])
            kept = self._buffer(call, torch.from_numpy(np.flatnonzero(mask)))
            self._replace(call, operand, self._call(call, _ATEN.index_select.default, operand, dim.position, kept))
        for position, lost in self.removal.scattered(matched):
            self._count_numbers(matched, call)
            self._scatter(self.calls[matched.node.outputs[position]], lost)

    def _count_numbers(self, matched: MatchedNode, call: fx.Node) -> None:
        """Set the sizes that statistics are taken over to those of the kept part."""
        for attribute, follower in matched.signature.attributes.items():
            origin = self.imported.origins[matched.node.name].get(attribute)
            if origin is None:
                continue
            followers = follower if isinstance(follower, tuple) else (follower,)
            terms = [entry.term for entry in followers if isinstance(entry, SizeOf)]
            if not any(set(names_of(term)) & matched.signature.notation.normalized for term in terms):
                continue
            sizes = [int(self.removal.statistics_mask(matched, term, matched.dim(term)).sum()) for term in terms]
            names = [argument.name for argument in call.target._schema.arguments]  # type: ignore[union-attr]
            at = names.index(origin.argument)
            call.args = (*call.args[:at], sizes if isinstance(follower, tuple) else sizes[0], *call.args[at + 1 :])

    def _scatter(self, call: fx.Node, lost: list[tuple[Dimension, Mask]]) -> None:
        """Scatter the kept part of a result back, with zeros elsewhere, for all of its readers."""
        users = list(call.users)
        rank = len(self.removal.analysis.coupling.dims[call.name] or ())
        after, result = call.next, call
        for dim, mask in lost:
            back = torch.from_numpy(np.where(mask, np.cumsum(mask) - 1, 0))
            spread = self._call(after, _ATEN.index_select.default, result, dim.position, self._buffer(after, back))
            result = self._masked(after, spread, dim.position, rank, mask)
        result.meta[PREFIX] = self.origin(call)
        for user in users:
            user.replace_input_with(call, result)

    # -- nodes -----------------------------------------------------------------------------------------------------

    def _operand(self, call: fx.Node, name: str) -> fx.Node:
        """The fx node that a call reads a value from, which may have been masked by now."""
        for node in call.all_input_nodes:
            if self.origin(node) == name:
                return node
        raise VerificationError(f"call '{call.name}' does not read '{name}'")

    def origin(self, node: fx.Node) -> str:
        """The value that a node computes, or masks."""
        found = node.meta.get(PREFIX)
        if found is not None:
            return str(found)
        return (self._constant_names(node) or [node.name])[0]

    def _replace(self, call: fx.Node, old: fx.Node, new: fx.Node) -> None:
        new.meta[PREFIX] = self.origin(old)
        call.replace_input_with(old, new)

    def _masked(
        self, before: fx.Node, operand: fx.Node, position: int, rank: int, mask: Mask, zero: float = 0
    ) -> fx.Node:
        shape = [-1 if k == position else 1 for k in range(rank)]
        condition = self._buffer(before, torch.from_numpy(mask.reshape(shape).copy()))
        return self._call(before, _ATEN.where.ScalarOther, condition, operand, zero)

    def _buffer(self, before: fx.Node, value: Tensor) -> fx.Node:
        self.counter += 1
        name = f"{PREFIX}_{self.counter}"
        self.module.register_buffer(name, value)
        with self.module.graph.inserting_before(before):
            return self.module.graph.get_attr(name)

    def _call(self, before: fx.Node, target: torch._ops.OpOverload, *arguments: fx.Node | float) -> fx.Node:
        with self.module.graph.inserting_before(before):
            return self.module.graph.call_function(target, arguments)
