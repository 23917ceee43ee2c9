"""Weights as their contraction reads them, and the way back into the tensors that the model stores.

Exporters hand a weight on through slices, concatenations, transposes and casts (the gates of an LSTM come in another
order in ONNX), and quantized models store integers::

    operand[i] = stored[index[i]]                             through operators that only move elements
    operand[i] = (stored[index[i]] - zero[i]) * scale[i]      through DequantizeLinear besides

The index is found by sending the numbers of elements through the same operators. A weight that is computed otherwise
(normalized, scaled) can be read, but not changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..ir import Constant, Graph, Node, Opaque
from ..ir.core import Array
from ..ir.dtypes import is_float, is_integer, is_native_float
from ..runtime.session import RunFailure, open_session, run_session
from ..signatures import traits_of

Floats = NDArray[np.float64]


class NotStored(Exception):
    """Why the elements of a weight are not elements of stored tensors."""


@dataclass(frozen=True)
class Weight:
    """One operand of one node.

    ``index`` gives, for each element of the operand, the number of an element of the stored ``tensors``, laid end to
    end; -1 is zero. ``scale`` and ``zero`` have its shape, or are ``None`` for a weight that is not quantized.
    ``nodes`` are those that lead from the tensors to the operand.
    """

    name: str
    tensors: tuple[str, ...]
    index: NDArray[np.int64]
    scale: Floats | None = None
    zero: Floats | None = None
    nodes: frozenset[str] = field(default=frozenset())

    @property
    def is_quantized(self) -> bool:
        return self.scale is not None

    def read(self, constants: Mapping[str, Constant]) -> Floats:
        """The operand in float64, dequantized."""
        stored = np.concatenate([[0.0], *(_as_float(constants[name].numpy()).ravel() for name in self.tensors)])
        found = stored[self.index + 1]
        if self.scale is None:
            return found
        assert self.zero is not None
        return (found - self.zero) * self.scale

    def write(self, values: Floats, constants: Mapping[str, Constant]) -> dict[str, Array]:
        """The stored tensors with these values of the operand; integers are rounded with the scales they had.

        Elements that the operand does not read stay as they are.
        """
        if self.scale is not None and self.zero is not None:
            values = np.rint(values / np.where(self.scale == 0, 1.0, self.scale)) + self.zero
        found: dict[str, Array] = {}
        start = 0
        for name in self.tensors:
            old = constants[name].numpy()
            here = (self.index >= start) & (self.index < start + old.size)
            new = np.array(old).reshape(-1)
            new[self.index[here] - start] = _fitting(values[here], new.dtype)
            found[name] = new.reshape(old.shape)
            start += old.size
        return found

    def is_alone(self, graph: Graph, node: str) -> bool:
        """Whether a node alone reads the stored elements, each of them once."""
        used = self.index[self.index >= 0]
        if len(np.unique(used)) < used.size or used.size < self.index.size:
            return False
        inner = {output for name in self.nodes for output in _node(graph, name).outputs if output}
        readers = self.nodes | {node}
        if inner & {*graph.outputs, *graph.yielded}:
            return False
        return all(reader.name in readers for name in (*inner, *self.tensors) for reader, _ in graph.consumers[name])


def stored_weight(graph: Graph, name: str) -> Weight:
    """The weight behind a value. Raises :class:`NotStored` where its elements are not those of stored tensors."""
    return _Tracer(graph).trace(name)


def computed_weight(graph: Graph, name: str) -> Weight | None:
    """The weight behind a value that nodes compute from stored tensors; ``None`` where it is no float weight there."""
    if name in graph.constants:
        return None
    try:
        found = stored_weight(graph, name)
    except NotStored:
        return None
    return (
        found if found.is_quantized or all(is_native_float(graph.constants[t].dtype) for t in found.tensors) else None
    )


def _plain(graph: Graph, name: str) -> Array:
    constant = graph.constants.get(name)
    if constant is not None:
        return constant.numpy()
    node = graph.producers.get(name)
    if node is None:
        raise NotStored(f"'{name}' is an input")
    operands = [_plain(graph, operand) if operand else None for operand in node.inputs]
    return _run(node, operands, graph.opsets)[node.outputs.index(name)]


class _Tracer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def trace(self, name: str) -> Weight:
        constant = self.graph.constants.get(name)
        if constant is not None:
            if constant.read is None or constant.computed or not _is_weight(constant):
                raise NotStored(f"'{name}' holds no weight")
            return Weight(name, (name,), np.arange(constant.size, dtype=np.int64).reshape(constant.shape))
        node = self.graph.producers.get(name)
        if node is None:
            raise NotStored(f"'{name}' is an input")
        traits = traits_of(node.qualified_op)
        if traits.quantization and traits.zero_points:
            return self._dequantized(name, node)
        if not traits.copies and not traits.moves:
            raise NotStored(f"{node.op} computes '{name}'")
        if traits.training_operand is not None and self._may_be_true(node, traits.training_operand):
            raise NotStored(f"{node.op} may draw '{name}' at random")
        return self._moved(name, node)

    def _may_be_true(self, node: Node, position: int) -> bool:
        name = node.inputs[position] if len(node.inputs) > position else ""
        constant = self.graph.constants.get(name)
        return bool(name) and (constant is None or bool(np.any(constant.numpy())))

    def _dequantized(self, name: str, node: Node) -> Weight:
        inner = self.trace(node.inputs[0])
        if inner.is_quantized:
            raise NotStored(f"'{name}' is dequantized twice")
        if not all(is_integer(self.graph.constants[tensor].dtype) for tensor in inner.tensors):
            raise NotStored(f"'{name}' is not stored in integers")
        shape = inner.index.shape
        scale = spread(_as_float(_plain(self.graph, node.inputs[1])), shape, node)
        zero = np.zeros(shape)
        if len(node.inputs) > 2 and node.inputs[2]:
            zero = spread(_as_float(_plain(self.graph, node.inputs[2])), shape, node)
        return Weight(name, inner.tensors, inner.index, scale, zero, inner.nodes | {node.name})

    def _moved(self, name: str, node: Node) -> Weight:
        traits = traits_of(node.qualified_op)
        positions = [k for k, operand in enumerate(node.inputs) if operand and traits.hands_on(k)]
        parts = {k: self.trace(node.inputs[k]) for k in positions}
        dtype = value.dtype if (value := self.graph.values.get(name)) is not None else None
        if dtype is not None and not is_float(dtype) and any(map(self._holds_floats, parts.values())):
            raise NotStored(f"'{name}' is cast to {dtype}")
        starts, tensors = self._laid_out(parts.values())
        if len({part.is_quantized for part in parts.values()}) > 1:
            raise NotStored(f"'{name}' is quantized in part")
        moved = self._through(node, {k: _renumbered(part, starts, self.graph) + 1 for k, part in parts.items()}, name)
        nodes = frozenset({node.name}).union(*(part.nodes for part in parts.values()))
        if not any(part.is_quantized for part in parts.values()):
            return Weight(name, tensors, moved.astype(np.int64) - 1, nodes=nodes)
        scale, zero = (
            self._through(node, {k: np.asarray(getattr(part, of)) for k, part in parts.items()}, name)
            for of in ("scale", "zero")
        )
        return Weight(name, tensors, moved.astype(np.int64) - 1, _as_float(scale), _as_float(zero), nodes)

    def _holds_floats(self, part: Weight) -> bool:
        return part.is_quantized or any(is_native_float(self.graph.constants[t].dtype) for t in part.tensors)

    def _laid_out(self, parts: Any) -> tuple[dict[str, int], tuple[str, ...]]:
        tensors = tuple(dict.fromkeys(tensor for part in parts for tensor in part.tensors))
        sizes = [self.graph.constants[tensor].size for tensor in tensors]
        return dict(zip(tensors, np.append(0, np.cumsum(sizes)).tolist(), strict=False)), tensors

    def _through(self, node: Node, moving: Mapping[int, Array], name: str) -> Array:
        """What a node makes of other operands in the place of those that it moves."""
        traits = traits_of(node.qualified_op)
        if traits.copies and traits.keeps_shape and not traits.reorders:
            return moving[0]
        operands = [
            None if not operand else moving[k] if k in moving else _plain(self.graph, operand)
            for k, operand in enumerate(node.inputs)
        ]
        return _run(node, operands, self.graph.opsets)[node.outputs.index(name)]


def _renumbered(part: Weight, starts: Mapping[str, int], graph: Graph) -> NDArray[np.int64]:
    """The index of a part among the elements of all tensors."""
    result = np.full_like(part.index, -1)
    begin = 0
    for tensor in part.tensors:
        size = graph.constants[tensor].size
        here = (part.index >= begin) & (part.index < begin + size)
        result[here] = part.index[here] - begin + starts[tensor]
        begin += size
    return result


def spread(values: Floats, shape: Sequence[int], node: Node) -> Floats:
    """A scale or zero point, per tensor, per element of ``axis`` or per block, for each element of a weight."""
    if values.size == 1:
        return np.full(shape, values.reshape(-1)[0])
    axis = node.int("axis", 1)
    if values.ndim == 1:
        where = [1] * len(shape)
        where[axis] = -1
        return np.broadcast_to(values.reshape(where), shape).copy()
    block = node.int("block_size")
    if not block:
        raise NotStored(f"the scales of {node.op} have {values.ndim} dimensions")
    return np.repeat(values, block, axis=axis).take(np.arange(shape[axis]), axis=axis)


def _is_weight(constant: Constant) -> bool:
    return is_native_float(constant.dtype) or (is_integer(constant.dtype) and constant.numpy().dtype.kind in "iu")


def _as_float(array: Array) -> Floats:
    return np.asarray(array).astype(np.float64)


def _fitting(values: Floats, dtype: np.dtype[Any]) -> Array:
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(values, limits.min, limits.max).astype(dtype)


def _node(graph: Graph, name: str) -> Node:
    return next(node for node in graph.nodes if node.name == name)


def _run(node: Node, operands: Sequence[Array | None], opsets: Mapping[str, int]) -> list[Array]:
    """The results of one node."""
    if node.captures or any(isinstance(value, Opaque) for value in node.attributes.values()):
        raise NotStored(f"{node.op} has a subgraph")
    proto = onnx.helper.make_node(
        node.op, ["" if o is None else f"i{k}" for k, o in enumerate(operands)], list(node.outputs), domain=node.domain
    )
    for name, value in node.attributes.items():
        given = onnx.numpy_helper.from_array(value.numpy()) if isinstance(value, Constant) else value
        proto.attribute.append(onnx.helper.make_attribute(name, given))
    tensors = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(o), f"i{k}") for k, o in enumerate(operands) if o is not None
    ]
    results = [onnx.ValueInfoProto(name=name) for name in node.outputs if name]
    graph = onnx.helper.make_graph([proto], "node", [], results, tensors)
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=max(version, 4))
    try:
        made = list(run_session(open_session(model.SerializeToString(), threads=1), {}).values())
    except RunFailure as error:
        raise NotStored(f"{node.op} cannot be evaluated: {error}") from error
    if not all(isinstance(result, (np.ndarray, np.generic)) for result in made):
        raise NotStored(f"{node.op} makes a sequence")
    found = iter(made)
    return [next(found) if name else np.zeros(0) for name in node.outputs]
