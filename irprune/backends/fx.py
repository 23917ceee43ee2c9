"""From a rewritten graph back to an ``fx.GraphModule``: smaller parameters, and the numbers of calls that follow.

Calls that nothing changed, names and metadata stay as they are in the original. A changed number goes to the argument
it came from, a sliced constant to the parameter of its name; of a table that the module computes, the kept elements
are selected.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from ..errors import IRError
from ..frontends.captured import Captured
from ..frontends.fx import Imported, numbers_name
from ..frontends.lowering import Origin
from ..ir import Graph, Node, Size, fresh_name
from ..ir.core import Array
from ..ir.sizes import read_size
from ..plans import Slice
from .module import TrainableModule

_ATEN = torch.ops.aten

_INSERTED = {
    "Add": _ATEN.add.Tensor,
    "Div": _ATEN.floor_divide.default,
    "Gather": _ATEN.index.Tensor,
    "Mod": _ATEN.remainder.Tensor,
    "Mul": _ATEN.mul.Tensor,
}
"""Functions for the nodes that the rewriter adds: lookups, and arithmetic on indices."""


def emit_graph_module(
    captured: Captured, imported: Imported, graph: Graph, slices: Mapping[str, Slice]
) -> TrainableModule:
    """The smaller module. ``graph`` and ``slices`` are what the rewriter made of ``imported.graph``."""
    return _Emitter(captured, imported, graph, slices).run()


def _copy_of(graph: fx.Graph) -> fx.Graph:
    copied = fx.Graph()
    copied.output(copied.graph_copy(graph, {}))
    copied.set_codegen(copy.copy(graph._codegen))
    return copied


@dataclass
class _Emitter:
    original: Captured
    imported: Imported
    graph: Graph
    slices: Mapping[str, Slice]

    def run(self) -> TrainableModule:
        old = {node.name: node for node in self.imported.graph.nodes}
        new = {node.name: node for node in self.graph.nodes}
        self.code = _copy_of(self.original.graph)
        self.state = self._copied_state()
        self.unsaved: list[str] = []
        self.calls = {node.name: node for node in self.code.nodes}
        self.originals = originals = dict(self.calls)
        self.buffers: dict[str, str] = {}
        for name, part in self.slices.items():
            source = part.of or name
            if self.imported.graph.constants[source].computed:
                self._select(name, source, part)
            else:
                self._slice(name, part)
        following: fx.Node | None = None
        place: dict[str, fx.Node | None] = {}
        for node in reversed(self.graph.nodes):
            following = originals.get(node.name, following)
            place[node.name] = following
        for node in self.graph.nodes:
            if node.name not in old and node.domain != "irprune":
                self._insert(node, place[node.name])
        for name, node in old.items():
            if name in originals and name in new:
                self._update(originals[name], node, new[name])
        self._drop_unused(set(old) - set(new))
        unsaved = self.original.unsaved | set(self.unsaved)
        return TrainableModule.of(replace(self.original, graph=self.code, state=self.state, unsaved=unsaved))

    # -- parameters --------------------------------------------------------------------------------------------

    def _copied_state(self) -> dict[str, Any]:
        """The state of the new module by name. Tensors that get sliced are not copied."""
        state = self.original.state
        constants = self.imported.graph.constants
        sliced = (name for name, part in self.slices.items() if part.of in (None, name))
        memo: dict[int, Any] = {id(state[name]): state[name] for name in sliced if not constants[name].computed}
        return {name: copy.deepcopy(value, memo) for name, value in state.items()}

    def _slice(self, name: str, part: Slice) -> None:
        """A parameter (all its names) or a private copy of one, at the kept indices."""
        source = self.original.state[part.of or name]
        kept = take(source, part)
        if isinstance(source, nn.Parameter):
            kept = nn.Parameter(kept, requires_grad=source.requires_grad)
        for target in (name, *self.imported.aliases.get(name, ())):
            self._set(target, kept)

    def _select(self, name: str, source: str, part: Slice) -> None:
        """Select the kept elements of a table after the call that computes it whole."""
        table = self.originals[source]
        made, following = table, table.next
        for axis, (_, indices) in part.axes.items():
            whole = made.meta["val"]
            target = self._new_buffer(f"{name}_{axis}", torch.tensor(indices, device=whole.device))
            kept = self._get(target, following)
            with self.code.inserting_before(following):
                made = self.code.call_function(_ATEN.index_select.default, (made, axis, kept))
            made.meta["val"] = whole.new_empty([*whole.shape[:axis], len(indices), *whole.shape[axis + 1 :]])
        self.calls[name] = made
        for node, _ in self.graph.consumers.get(name, ()) if name == source else ():
            if node.name in self.originals:
                self.originals[node.name].replace_input_with(table, made)

    def _set(self, target: str, value: Tensor) -> None:
        is_learned = isinstance(self.state.get(target, value), nn.Parameter)
        self.state[target] = value if is_learned else value.detach()  # a tied tensor may be a parameter and a buffer

    def _get(self, target: str, before: fx.Node) -> fx.Node:
        """A reference to a parameter or buffer, in front of a call."""
        with self.code.inserting_before(before):
            node = self.code.get_attr(target)
        node.meta["val"] = self.state[target]
        return node

    # -- calls -------------------------------------------------------------------------------------------------

    def _update(self, call: fx.Node, old: Node, new: Node) -> None:
        origins = self.imported.origins.get(old.name, {})
        for name, value in new.attributes.items():
            if name in origins and value != old.attributes.get(name):
                assert isinstance(value, (int, float, tuple))
                self._write(call, origins[name], list(value) if isinstance(value, tuple) else value)
        for position, (was, now) in enumerate(zip(old.inputs, new.inputs, strict=True)):
            if was == now:
                continue
            if position in origins:
                self._write_numbers(call, origins[position], was, now)
            elif was != numbers_name(old.name, position):  # otherwise the numbers are not arguments of the call
                self._redirect(call, was, now)

    def _write(self, call: fx.Node, origin: Origin, value: Any) -> None:
        """Replace the argument that a value came from."""
        arguments = [a.name for a in call.target._schema.arguments]  # type: ignore[union-attr]
        position = arguments.index(origin.argument)
        if position < len(call.args):
            call.args = (*call.args[:position], value, *call.args[position + 1 :])
        else:
            call.kwargs = {**call.kwargs, origin.argument: value}

    def _read(self, call: fx.Node, origin: Origin) -> Any:
        arguments = [a.name for a in call.target._schema.arguments]  # type: ignore[union-attr]
        position = arguments.index(origin.argument)
        return call.args[position] if position < len(call.args) else call.kwargs.get(origin.argument)

    def _write_numbers(self, call: fx.Node, origin: Origin, was: str, now: str) -> None:
        given = self._read(call, origin)
        before, after = self._entries(was, self.imported.graph), self._entries(now, self.graph)
        if origin.arrangement == "reverse":
            before, after = _innermost_first(before), _innermost_first(after)
            before, after = before[: len(given)], after[: len(given)]
        elif origin.arrangement == "from":
            before, after = (part[origin.start : origin.start + len(given)] for part in (before, after))
        if not isinstance(given, (list, tuple)):
            self._write(call, origin, self._number(call, given, before[0], after[0]))
            return
        pairs = zip(given, before, after, strict=True)
        self._write(call, origin, [self._number(call, item, a, b) for item, a, b in pairs])

    def _number(self, call: fx.Node, given: Any, before: Size, after: Size) -> Any:
        """The argument with its new value; a size computed at run time is scaled."""
        if before == after:
            return given
        if after.is_static:
            return after.coefficient
        with self.code.inserting_before(call):
            share = self.code.call_function(operator.floordiv, (given, before.coefficient))
            return self.code.call_function(operator.mul, (share, after.coefficient))

    def _entries(self, name: str, graph: Graph) -> list[Size]:
        constant = graph.constants.get(name)
        if constant is not None:
            return [Size(int(value)) for value in constant.numpy().ravel()]
        producer = graph.producers[name]
        entries = producer.attributes.get("entries")
        if not isinstance(entries, tuple):
            raise IRError(f"node '{producer.name}': numbers computed by {producer.qualified_op} cannot be written back")
        return [read_size(str(entry)) for entry in entries]

    def _redirect(self, call: fx.Node, was: str, now: str) -> None:
        """Read another constant: a private copy, or renumbered indices."""
        reference = self._reference(now, call)
        names = {was, *self.imported.aliases.get(was, ())}

        def replaced(node: fx.Node) -> fx.Node:
            return reference if (node.target if node.op == "get_attr" else node.name) in names else node

        call.args = fx.map_arg(call.args, replaced)
        call.kwargs = fx.map_arg(call.kwargs, replaced)

    def _new_buffer(self, name: str, tensor: Tensor) -> str:
        """A new attribute for a tensor that the original does not have; it is not part of the saved state.

        Exporters use one namespace for tensors and results of calls, so its name differs from all calls.
        """
        taken = {path.partition(".")[0] for path in self.state}
        target = fresh_name(f"{name.replace('.', '_').replace('/', '_')}_numbers", taken)
        self._set(target, tensor)
        self.unsaved.append(target)
        return target

    def _insert(self, node: Node, following: fx.Node | None) -> None:
        """A new call before the next call of the original, or in place of the view chain that it replaces."""
        (result,) = node.outputs
        replaced = self.calls.get(result)
        before = replaced or following
        if before is None or node.op not in (*_INSERTED, "Slice", "Concat", "Identity"):
            raise IRError(f"node '{node.name}': {node.qualified_op} cannot be written as an ATen call")
        make = self._run_of if node.op in ("Slice", "Concat", "Identity") else self._call
        made = make(node, before)
        if replaced is not None:
            replaced.replace_all_uses_with(made)
        self.calls[result] = made

    def _run_of(self, node: Node, before: fx.Node) -> fx.Node:
        """A run of elements, right behind where they are made, or several laid end to end."""
        whole = [self._reference(name, before) for name in node.inputs[: 1 if node.op == "Slice" else None]]
        if node.op == "Identity":
            return whole[0]
        if node.op == "Concat":
            with self.code.inserting_before(before):
                made = self.code.call_function(_ATEN.cat.default, (whole, node.int("axis")))
        else:
            start, end, axis = (int(self.graph.constants[name].numpy()[0]) for name in node.inputs[1:])
            with self.code.inserting_after(whole[0]):
                made = self.code.call_function(_ATEN.slice.Tensor, (whole[0], axis, start, end))
        made.meta = dict(whole[0].meta)
        return made

    def _call(self, node: Node, before: fx.Node) -> fx.Node:
        operands = [self._reference(name, before) for name in node.inputs]
        with self.code.inserting_before(before):
            if node.op == "Gather":
                picked = [None] * node.int("axis") + [operands[1]]
                made = self.code.call_function(_ATEN.index.Tensor, (operands[0], picked))
            else:
                made = self.code.call_function(_INSERTED[node.op], tuple(operands))
        made.meta = dict((self.calls.get(node.outputs[0]) or operands[0]).meta)
        return made

    def _reference(self, name: str, before: fx.Node) -> fx.Node:
        """The value of that name, in front of a call."""
        known: fx.Node | None = self.calls.get(name)
        if known is not None and known.op != "get_attr":
            return known
        if name in self.slices or name in self.imported.graph.constants:
            return self._get(name, before)
        if name not in self.buffers:
            array = np.array(self.graph.constants[name].numpy())
            self.buffers[name] = self._new_buffer(name, torch.from_numpy(array))
        return self._get(self.buffers[name], before)

    def _drop_unused(self, gone: set[str]) -> None:
        for node in reversed(list(self.code.nodes)):
            unused = node.op == "get_attr" or node.name in gone or node.name in self.imported.tables
            if unused and not node.users:
                self.code.erase_node(node)


def _innermost_first(entries: Sequence[Size]) -> list[Size]:
    """Pads as torch lists them, from all low ends followed by all high ends."""
    half = len(entries) // 2
    pairs = zip(entries[:half], entries[half:], strict=True)
    return [side for pair in reversed(list(pairs)) for side in pair]


_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_BLOCK = 1 << 18
"""Elements that are copied at a time, so that a block fits into the cache."""


def take(tensor: Tensor, part: Slice) -> Tensor:
    """The elements of a tensor that a slice keeps."""
    kept = tensor.detach()
    if not part.axes:
        return kept.clone()
    if kept.device.type != "cpu" or kept.element_size() not in _BITS:
        for axis, (_, indices) in part.axes.items():
            kept = kept.index_select(axis, torch.tensor(indices, dtype=torch.long, device=kept.device))
        return kept
    sizes = [len(part.axes[axis][1]) if axis in part.axes else size for axis, size in enumerate(kept.shape)]
    taken = torch.empty(sizes, dtype=kept.dtype)
    bits = _BITS[kept.element_size()]  # as integers of the same width: works for every type, and numpy is faster here
    _take_into(taken.view(bits).numpy(), kept.view(bits).numpy(), part)
    return taken


@lru_cache(maxsize=16)  # tensors of one layer are sliced alike
def _as_array(indices: tuple[int, ...]) -> NDArray[np.intp]:
    return np.array(indices, np.intp)


def _take_into(taken: Array, whole: Array, part: Slice) -> None:
    """A block of rows at a time."""
    indices = {axis: _as_array(kept) for axis, (_, kept) in part.axes.items()}
    rows = indices.pop(0, None)
    if rows is not None and not indices:
        whole.take(rows, 0, out=taken, mode="clip")  # otherwise numpy buffers the result first
        return
    step = max(1, _BLOCK * len(whole) // max(1, whole.size)) if indices else max(1, len(taken))
    for start in range(0, len(taken), step):
        stop = start + step
        block = whole[start:stop] if rows is None else whole.take(rows[start:stop], 0)
        for axis, kept in indices.items():
            block = block.take(kept, axis)
        taken[start:stop] = block
