"""The reference model: the original graph, in which removed elements contribute nothing.

:mod:`.removal` says what that means for each node; this module builds the graph.
Constants get zeros in their removed places. A contraction with a constant needs no more than that; an activation is
masked where no constant meets it (attention, ReduceSum), since what a removed channel holds is not zero in general
(``sigmoid(0) = 0.5``). The result has the topology and all shapes of the original, and whatever was added is called
``irprune_reference/...``. It is built with onnx-graphsurgeon from the original file and from the masks of dimensions
alone, and shares no code with the slicing of weights and shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx_graphsurgeon.ir.tensor import LazyValues
from onnx_graphsurgeon.logger import G_LOGGER

from ..analysis import Analysis, Mask, MatchedNode
from ..axes import Axis
from ..frontends.scopes import is_control, qualified, unique_names
from ..ir import dtypes
from ..ir.core import Array, Node
from ..runtime.executable import Executable
from ..runtime.weights import Scratch, is_external, tensors_of
from ..signatures import traits_of
from .cases import input_specs, random_feeds
from .masks import as_indices, complete_sizes
from .removal import Dimension, Removal
from .structure import tensors

PREFIX = "irprune_reference/"

_WHERE_OPSET = 9
_SELECTABLE = {"float32", "float64", "float16", "int8", "uint8", "int32", "int64"}
"""Element types of ONNX Runtime's Where; others are cast to float32 (exact for them) and back."""


def build(
    original: Executable,
    analysis: Analysis,
    kept: Mapping[int, Mask],
    *,
    sizes: Mapping[str, int],
    guard: bool = False,
) -> Executable:
    """The reference of a removal; ``kept`` is :meth:`Analysis.kept` of it.

    ``sizes`` gives the symbols of the graph inputs and other run-time symbols; those that it lacks are read from a run
    of the original on random inputs. ``guard`` masks activations at every contraction, also where they meet zeroed
    constants: needed only where removed channels hold infinities.
    """

    def run_original(names: list[str]) -> dict[str, Array]:
        feeds = random_feeds(input_specs(original.proto), sizes, 0)
        return {k: v for part in original.probe(feeds, names) for k, v in part.items()}

    builder = _Builder(original, analysis, kept, guard)
    wanted = builder.removal.run_time_symbols()
    builder.removal.sizes = complete_sizes(analysis, wanted, sizes, run_original)
    return builder.run()


def _cleared(array: Array, masks: Sequence[Mask], fill: Array) -> Array:
    """An array with ``fill`` in the removed places of its dimensions; the array itself where it may be written to."""
    array = array if array.flags.writeable else array.copy()
    for k, mask in enumerate(masks):
        removed: tuple[Any, ...] = (*(slice(None),) * k, np.flatnonzero(~mask))
        array[removed] = fill.reshape(()) if fill.size == 1 else np.broadcast_to(fill, array.shape)[removed]
    return array


def _repeated(points: Array, shape: tuple[int, ...]) -> Array:
    """Zero points of blocks of elements, one for each element."""
    for axis, size in enumerate(shape[len(shape) - points.ndim :]):
        points = np.repeat(points, size // points.shape[axis], axis)
    return points


def _scopes(graph: gs.Graph, scope: str = "") -> Iterator[tuple[str, gs.Graph]]:
    """The graph and the bodies of its control flow, named as in the analysis."""
    yield scope, graph
    nodes = [(node.name or "", node.op, next((t.name for t in node.outputs if t.name), "")) for node in graph.nodes]
    for key, node in zip(unique_names(nodes), graph.nodes, strict=True):
        if is_control(node.domain or "", node.op):
            for attribute, body in node.attrs.items():
                if isinstance(body, gs.Graph):
                    yield from _scopes(body, f"{qualified(scope, key)}.{attribute}")


class _Builder:
    def __init__(self, original: Executable, analysis: Analysis, kept: Mapping[int, Mask], guard: bool) -> None:
        severity, G_LOGGER.severity = G_LOGGER.severity, G_LOGGER.ERROR
        try:
            self.graph = gs.import_onnx(original.proto)
        finally:
            G_LOGGER.severity = severity
        self.original = original
        self.stored = tensors(original)
        self.scratch = Scratch()
        self.analysis = analysis
        self.removal = Removal(analysis, kept, guard)
        self.graphs = list(_scopes(self.graph))
        self.by_output = {
            qualified(scope, tensor.name): node
            for scope, graph in self.graphs
            for node in graph.nodes
            for tensor in node.outputs
            if tensor.name
        }
        self.constants: dict[tuple[str, bytes], gs.Constant] = {}
        self.counter = 0
        self.before: dict[int, list[gs.Node]] = {}
        self.after: dict[int, list[gs.Node]] = {}

    def run(self) -> Executable:
        for node in self.analysis.graph.nodes:
            target = next((self.by_output[name] for name in node.outputs if name in self.by_output), None)
            if target is None:
                continue
            self._zero_constants(node, target)
            matched = self.analysis.coupling.matched.get(node.name)
            if matched is not None:
                self._mask_contractions(matched, target)
                self._mask_ranked(matched, target)
                self._gather_normalized(matched, target)
        for _, graph in self.graphs:
            graph.nodes[:] = [
                new
                for node in list(graph.nodes)
                for new in (*self.before.get(id(node), ()), node, *self.after.get(id(node), ()))
            ]
        severity, G_LOGGER.severity = G_LOGGER.severity, G_LOGGER.ERROR
        try:
            exported: onnx.ModelProto = gs.export_onnx(self.graph, do_type_check=False)
        finally:
            G_LOGGER.severity = severity
        exported.ir_version = self.original.proto.ir_version
        left = [t for t in tensors_of(exported.graph) if is_external(t) and not self.scratch.holds(t)]
        self.scratch.adopt(left, self.original.data_folder)
        return Executable(exported, self.scratch.folder, self.scratch)

    # -- constants -------------------------------------------------------------------------------------------------

    def _zero_constants(self, node: Node, target: gs.Node) -> None:
        for position in range(min(len(node.inputs), len(target.inputs))):
            dims = self.removal.zeroed(node, position)
            if dims is not None:
                target.inputs[position] = self._zeroed(node, position, dims)

    def _zeroed(self, node: Node, position: int, dims: tuple[Axis, ...]) -> gs.Constant:
        """The original constant with zeros (for a quantized weight: its zero point) in the removed places."""
        name = node.inputs[position]
        masks = [self.removal.mask(axis) for axis in dims]
        fill = self._zero_of(node, position)
        key = (name, b"".join((*(mask.tobytes() + b"|" for mask in masks), fill.tobytes())))
        if key not in self.constants:
            self.constants[key] = self._constant(name, _cleared(self._values(name), masks, fill))
        return self.constants[key]

    def _values(self, name: str) -> Array:
        """A constant as it is in the file of the original."""
        return self.stored[name]() if name in self.stored else self.analysis.graph.constants[name].numpy()

    def _zero_of(self, node: Node, position: int) -> Array:
        """The value that means zero in a constant operand, in a shape that broadcasts; one for an integer divisor."""
        if traits_of(node.qualified_op).divisor == position and self._is_integer(node.inputs[position]):
            return np.ones(())
        name = self._zero_point(node, position)
        if name is None or name not in self.analysis.graph.constants:
            return np.zeros(())
        points = self._values(name)
        shape = self.analysis.graph.constants[node.inputs[position]].shape
        return points.reshape(()) if points.size == 1 else self._placed(node, position, points, shape)

    def _is_integer(self, name: str) -> bool:
        return dtypes.is_integer(self.analysis.graph.constants[name].dtype)

    def _placed(self, node: Node, position: int, points: Array, shape: tuple[int, ...]) -> Array:
        """Zero points along the dimensions of a constant that the signature writes as theirs; else along the last."""
        matched = self.analysis.coupling.matched.get(node.name)
        own = (
            {dim.term for dim in self.removal.dimensions(matched, traits_of(node.qualified_op).zero_points[position])}
            if matched
            else set()
        )
        if points.ndim == len(shape) or matched is None or not own:
            return _repeated(points, shape)
        weight = self.removal.dimensions(matched, position)
        return points.reshape([shape[dim.position] if dim.term in own else 1 for dim in weight])

    def _zero_point(self, node: Node, position: int) -> str | None:
        at = traits_of(node.qualified_op).zero_points.get(position, -1)
        return node.inputs[at] if 0 <= at < len(node.inputs) and node.inputs[at] else None

    # -- contractions ----------------------------------------------------------------------------------------------

    def _mask_contractions(self, matched: MatchedNode, target: gs.Node) -> None:
        for position, dim, mask in self.removal.masked(matched):
            point = self._zero_point(matched.node, position)
            fill = target.inputs[matched.node.inputs.index(point)] if point else None
            added = self._mask(target.inputs[position], matched.node.inputs[position], dim.position, mask, fill)
            self._before(target, position, added)

    def _mask_ranked(self, matched: MatchedNode, target: gs.Node) -> None:
        for position, dim, mask in self.removal.ranked(matched):
            name = matched.node.inputs[position]
            known = self.analysis.graph.values.get(name)
            dtype = (known.dtype if known is not None else None) or "float32"
            lowest = np.asarray(-np.inf, dtype if dtype in _SELECTABLE else np.float32)
            added = self._mask(target.inputs[position], name, dim.position, mask, self._constant("lowest", lowest))
            self._before(target, position, added)

    # -- normalizations --------------------------------------------------------------------------------------------

    def _gather_normalized(self, matched: MatchedNode, target: gs.Node) -> None:
        for position, dim, mask in self.removal.gathered(matched):
            gathered = self._node("Gather", [target.inputs[position], self._constant("kept", as_indices(mask))])
            gathered.attrs["axis"] = dim.position
            self._before(target, position, [gathered])
        for position, lost in self.removal.scattered(matched):
            self._scatter(target, position, matched.node.outputs[position], lost)

    def _scatter(self, target: gs.Node, position: int, name: str, lost: list[tuple[Dimension, Mask]]) -> None:
        """Put the kept part of a result back in place, with zeros elsewhere; the result keeps its name."""
        result = target.outputs[position]
        small = gs.Variable(self._name(name))
        target.outputs[position] = small
        added: list[gs.Node] = []
        for dim, mask in lost:
            back = np.where(mask, np.cumsum(mask) - 1, 0).astype(np.int64)
            spread = self._node("Gather", [small, self._constant("back", back)])
            spread.attrs["axis"] = dim.position
            added += [spread, *self._mask(spread.outputs[0], name, dim.position, mask, None)]
            small = added[-1].outputs[0]
        added[-1].outputs[0] = result
        self.after.setdefault(id(target), []).extend(added)

    # -- dimensions ------------------------------------------------------------------------------------------------

    # -- what is added ---------------------------------------------------------------------------------------------

    def _name(self, base: str) -> str:
        self.counter += 1
        return f"{PREFIX}{base}/{self.counter}"

    def _constant(self, base: str, array: Array) -> gs.Constant:
        name = self._name(base)
        return gs.Constant(name, LazyValues(self.scratch.add(name, np.asarray(array, order="C"))))

    def _node(self, op: str, inputs: list[gs.Tensor]) -> gs.Node:
        name = self._name(op)
        return gs.Node(op, name, inputs=inputs, outputs=[gs.Variable(name)])

    def _before(self, target: gs.Node, position: int, added: list[gs.Node]) -> None:
        target.inputs[position] = added[-1].outputs[0]
        self.before.setdefault(id(target), []).extend(added)

    def _mask(self, tensor: gs.Tensor, value: str, axis: int, mask: Mask, fill: gs.Tensor | None) -> list[gs.Node]:
        """Zero (or ``fill``) in the removed places of a dimension. Where, unlike Mul, also removes infinities."""
        known = self.analysis.graph.values.get(value)
        dtype = (known.dtype if known is not None else None) or "float32"
        rank = len(self.analysis.coupling.dims[value] or ())
        shape = [-1 if k == axis else 1 for k in range(rank)]
        if self.graph.opset < _WHERE_OPSET and dtype.startswith("float"):
            return self._cut(tensor, axis, mask, rank)
        if self.graph.opset < _WHERE_OPSET:
            factor = mask.reshape(shape).astype(dtype)
            return [self._node("Mul", [tensor, self._constant("mask", factor)])]
        condition = self._constant("mask", mask.reshape(shape))
        if dtype in _SELECTABLE:
            zero = fill if fill is not None else self._constant("zero", np.zeros((), dtype))
            return [self._node("Where", [condition, tensor, zero])]
        widened = [self._cast(part, "float32") for part in (tensor, fill) if part is not None]
        zero = widened[1].outputs[0] if fill is not None else self._constant("zero", np.zeros((), np.float32))
        chosen = self._node("Where", [condition, widened[0].outputs[0], zero])
        return [*widened, chosen, self._cast(chosen.outputs[0], dtype)]

    def _cut(self, tensor: gs.Tensor, axis: int, mask: Mask, rank: int) -> list[gs.Node]:
        """As :meth:`_mask` before there was Where: the kept part, zeros behind it, and all in its place again.

        A product with zeros and ones would not do: zero times infinity is NaN.
        """
        kept = self._node("Gather", [tensor, self._constant("kept", as_indices(mask))])
        padded = self._node("Pad", [kept.outputs[0]])
        back = np.where(mask, np.cumsum(mask) - 1, mask.sum()).astype(np.int64)
        placed = self._node("Gather", [padded.outputs[0], self._constant("back", back)])
        kept.attrs["axis"] = placed.attrs["axis"] = axis
        padded.attrs["pads"] = [int(k == rank + axis) for k in range(2 * rank)]
        return [kept, padded, placed]

    def _cast(self, tensor: gs.Tensor, dtype: str) -> gs.Node:
        node = self._node("Cast", [tensor])
        numbers: NDArray[np.generic] = np.zeros(0, dtype)
        node.attrs["to"] = int(onnx.helper.np_dtype_to_tensor_dtype(numbers.dtype))
        return node
