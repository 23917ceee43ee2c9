"""Run a model piece by piece, so that the weights of later pieces may still change.

Every node runs once. A value is kept until its last reader has run: in memory up to a budget, beyond that in a
temporary folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, ValueInfoProto

from ..ir.core import Array
from ..runtime.session import open_session, run_session

MEMORY = 2 << 30
"""Bytes of values that are held in memory."""


class _Store:
    """The values of every batch by name."""

    def __init__(self, feeds: Sequence[Mapping[str, Array]], memory: int) -> None:
        self.memory = memory
        self.batches: list[dict[str, Array | Path]] = [dict(feed) for feed in feeds]
        self.held = sum(array.nbytes for feed in feeds for array in feed.values())
        self.folder = tempfile.TemporaryDirectory(prefix="irprune-")
        self.files = 0

    def __contains__(self, name: str) -> bool:
        return name in self.batches[0]

    def put(self, batch: int, name: str, array: Array) -> None:
        if self.held + array.nbytes <= self.memory:
            self.held += array.nbytes
            self.batches[batch][name] = array
            return
        path = Path(self.folder.name) / f"{self.files}.npy"
        self.files += 1
        np.save(path, array)
        self.batches[batch][name] = path

    def get(self, batch: int, name: str) -> Array:
        found = self.batches[batch][name]
        return np.load(found) if isinstance(found, Path) else found

    def drop(self, name: str) -> None:
        for values in self.batches:
            gone = values.pop(name)
            if isinstance(gone, Path):
                gone.unlink()
            else:
                self.held -= gone.nbytes


class Stepwise:
    """A model, the batches that go through it, and the values that are still needed.

    ``watched`` names values that will be asked for. :meth:`update` gives an initializer new values for the pieces to
    come; nodes that ran before keep what they computed.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        feeds: Sequence[Mapping[str, Array]],
        watched: Iterable[str] = (),
        memory: int = MEMORY,
    ) -> None:
        self.model = model
        self.watched = set(watched)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.initializers |= {node.output[0]: _value(node) for node in model.graph.node if _is_constant(node)}
        self.nodes = [node for node in model.graph.node if not _is_constant(node)]
        self.waiting = set(range(len(self.nodes)))
        self.producer = {name: k for k, node in enumerate(self.nodes) for name in node.output if name}
        self.reads = [set(_reads(node)) - self.initializers.keys() for node in self.nodes]
        self.readers: dict[str, set[int]] = {}
        for k, names in enumerate(self.reads):
            for name in names:
                self.readers.setdefault(name, set()).add(k)
        self.outputs = [output.name for output in model.graph.output]
        self.store = _Store([self._known(feed) for feed in feeds], memory)

    def _known(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """A feed without the inputs that nothing reads."""
        return {name: array for name, array in feed.items() if name in self.readers or name in self.outputs}

    @property
    def batches(self) -> int:
        """How many batches go through the model."""
        return len(self.store.batches)

    def makes(self, name: str) -> bool:
        """Whether a node of the main graph computes the value."""
        return name in self.producer

    def update(self, name: str, array: Array) -> None:
        """Give an initializer new values."""
        self.initializers[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)

    def get(self, names: Iterable[str]) -> Iterator[dict[str, Array]]:
        """The named values of every batch, in order; runs the nodes that they still need."""
        names = list(names)
        missing = [name for name in names if name not in self.store]
        if missing:
            self._advance(missing)
        for k in range(len(self.store.batches)):
            yield {name: self.store.get(k, name) for name in names}

    def watch(self, names: Iterable[str]) -> None:
        """Keep these values as well."""
        self.watched.update(names)

    def release(self, watched: Iterable[str]) -> None:
        """Watch these values from now on, and drop those that no waiting node reads."""
        self.watched = set(watched)
        for name in list(self.store.batches[0]):
            if not self._is_needed(name):
                self.store.drop(name)

    def _is_needed(self, name: str) -> bool:
        readers = self.readers.get(name, set())
        return name in self.watched or name in self.outputs or not readers.isdisjoint(self.waiting)

    def _advance(self, wanted: Sequence[str]) -> None:
        piece: set[int] = set()
        stack = [self.producer[name] for name in wanted]
        while stack:
            k = stack.pop()
            if k in piece:
                continue
            piece.add(k)
            stack += [self.producer[n] for n in self.reads[k] if n in self.producer and n not in self.store]
        order = sorted(piece)
        made = {name for k in order for name in self.nodes[k].output if name}
        self.waiting -= piece
        fetched = sorted(name for name in made if name in wanted or self._is_needed(name))
        entered = sorted({name for k in order for name in self.reads[k]} - made)
        session = open_session(self._piece(order, entered, fetched), optimize=True, thrifty=False)
        for k in range(len(self.store.batches)):
            results = run_session(session, {name: self.store.get(k, name) for name in entered}, fetched)
            for name, array in results.items():
                self.store.put(k, name, array)

    def _piece(self, order: Sequence[int], entered: Sequence[str], fetched: Sequence[str]) -> bytes:
        piece = onnx.ModelProto(ir_version=self.model.ir_version, opset_import=self.model.opset_import)
        piece.functions.extend(self.model.functions)
        piece.graph.name = "piece"
        piece.graph.node.extend(self.nodes[k] for k in order)
        used = {name for k in order for name in _reads(self.nodes[k])}
        piece.graph.initializer.extend(self.initializers[name] for name in sorted(used & self.initializers.keys()))
        for name in entered:
            array = self.store.get(0, name)
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            piece.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, [None] * array.ndim))
        piece.graph.output.extend(ValueInfoProto(name=name) for name in fetched)
        return bytes(piece.SerializeToString())


def _is_constant(node: NodeProto) -> bool:
    """Whether a node only holds a tensor: those are initializers here, so that they can be updated."""
    return node.op_type == "Constant" and not node.domain and [a.name for a in node.attribute] == ["value"]


def _value(node: NodeProto) -> onnx.TensorProto:
    tensor = onnx.TensorProto()
    tensor.CopyFrom(node.attribute[0].t)
    tensor.name = node.output[0]
    return tensor


def _reads(node: NodeProto) -> Iterator[str]:
    """The names that a node reads, including those its bodies capture."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        bodies = [attribute.g] if attribute.type == AttributeProto.GRAPH else list(attribute.graphs)
        for body in bodies:
            own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
            own |= {name for inner in body.node for name in inner.output}
            for inner in body.node:
                yield from (name for name in _reads(inner) if name not in own)
            yield from (result.name for result in body.output if result.name not in own)
