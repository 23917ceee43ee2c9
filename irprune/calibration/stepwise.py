"""Run a model piece by piece, so that the weights of later pieces may still change.

Every node runs once. A value is kept until its last reader has run: in memory up to a budget, beyond that in a
temporary folder. Of branches, each batch runs those that it takes (:mod:`.flat`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from onnx import ValueInfoProto

from ..ir.core import Array
from ..runtime.session import open_session, run_session
from .flat import Step, flatten, reads

Decisions: TypeAlias = dict[str, bool]
"""The condition of each branch that a batch comes to, by name."""

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

    def has(self, batch: int, name: str) -> bool:
        return name in self.batches[batch]

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

    def drop(self, batch: int, name: str) -> None:
        gone = self.batches[batch].pop(name)
        if isinstance(gone, Path):
            gone.unlink()
        else:
            self.held -= gone.nbytes


@dataclass
class _Route:
    """Batches that take the same branches: the nodes that they run, and those that have not run yet."""

    batches: list[int]
    producer: dict[str, int]
    readers: dict[str, set[int]]
    waiting: set[int]

    @staticmethod
    def of(
        batches: list[int], nodes: Sequence[Step], inputs: Sequence[set[str]], taken: Decisions, fed: Iterable[str]
    ) -> _Route:
        """The nodes in the branches taken; without those that read what a branch computes that is not decided yet."""
        known = set(fed)
        active = []
        for k, step in enumerate(nodes):
            if all(taken.get(name) == value for name, value in step.when) and inputs[k] <= known:
                active.append(k)
                known.update(step.node.output)
        readers: dict[str, set[int]] = {}
        for k in active:
            for name in inputs[k]:
                readers.setdefault(name, set()).add(k)
        producer = {name: k for k in active for name in nodes[k].node.output if name}
        return _Route(batches, producer, readers, set(active))


class Stepwise:
    """A model, the batches that go through it, and the values that are still needed.

    ``watched`` names values that will be asked for, as the analyzed graph does. :meth:`update` gives an initializer new
    values for the pieces to come; nodes that ran before keep what they computed. ``decisions`` are those of each batch,
    by default found by running the model once more where it has branches.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        feeds: Sequence[Mapping[str, Array]],
        watched: Iterable[str] = (),
        memory: int = MEMORY,
        decisions: Sequence[Decisions] | None = None,
    ) -> None:
        self.model = model
        self.watched = set(watched)
        self.nodes, self.initializers = flatten(model.graph)
        self.reads = [set(reads(step.node)) - self.initializers.keys() for step in self.nodes]
        if decisions is None:
            decisions = _decided(model, feeds, self.nodes, self.initializers, memory)
        grouped: dict[frozenset[tuple[str, bool]], list[int]] = {}
        for k, taken in enumerate(decisions):
            grouped.setdefault(frozenset(taken.items()), []).append(k)
        self.routes = [
            _Route.of(own, self.nodes, self.reads, dict(taken), feeds[own[0]]) for taken, own in grouped.items()
        ]
        self.outputs = [output.name for output in model.graph.output]
        known = {*self.watched, *self.outputs, *(name for names in self.reads for name in names)}
        self.store = _Store([{n: array for n, array in feed.items() if n in known} for feed in feeds], memory)

    @property
    def batches(self) -> int:
        """How many batches go through the model."""
        return len(self.store.batches)

    def makes(self, name: str) -> bool:
        """Whether a node that some batch runs computes the value."""
        return any(name in route.producer for route in self.routes)

    def reached(self, names: Iterable[str]) -> int:
        """How many batches have all of these values, now or later."""
        names = list(names)
        return sum(len(route.batches) for route in self.routes if self._can_give(route, names))

    def update(self, name: str, array: Array) -> None:
        """Give an initializer new values."""
        self.initializers[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)

    def get(self, names: Iterable[str]) -> Iterator[dict[str, Array]]:
        """The named values of every batch, in order; runs the nodes that they still need.

        Batches whose branches do not compute all of them yield no value at all.
        """
        names = list(names)
        able = [route for route in self.routes if self._can_give(route, names)]
        for route in able:
            missing = [name for name in names if not self.store.has(route.batches[0], name)]
            if missing:
                self._advance(route, missing)
        reaching = {k for route in able for k in route.batches}
        for k in range(self.batches):
            yield {name: self.store.get(k, name) for name in names} if k in reaching else {}

    def again(self, names: Iterable[str]) -> None:
        """Run the nodes that make these values once more when asked for, with the weights of now.

        Their operands have to be watched.
        """
        names = list(names)
        for route in self.routes:
            for k in {route.producer[name] for name in names if name in route.producer}:
                route.waiting.add(k)
                for batch in route.batches:
                    for name in self.nodes[k].node.output:
                        if self.store.has(batch, name):
                            self.store.drop(batch, name)

    def watch(self, names: Iterable[str]) -> None:
        """Keep these values as well."""
        self.watched.update(names)

    def release(self, watched: Iterable[str]) -> None:
        """Watch these values from now on, and drop those that no waiting node reads."""
        self.watched = set(watched)
        for route in self.routes:
            for k in route.batches:
                for name in list(self.store.batches[k]):
                    if not self._is_needed(route, name):
                        self.store.drop(k, name)

    def _can_give(self, route: _Route, names: Sequence[str]) -> bool:
        return all(name in route.producer or self.store.has(route.batches[0], name) for name in names)

    def _is_needed(self, route: _Route, name: str) -> bool:
        readers = route.readers.get(name, set())
        return name in self.watched or name in self.outputs or not readers.isdisjoint(route.waiting)

    def _advance(self, route: _Route, wanted: Sequence[str]) -> None:
        first = route.batches[0]
        piece: set[int] = set()
        stack = [route.producer[name] for name in wanted]
        while stack:
            k = stack.pop()
            if k in piece:
                continue
            piece.add(k)
            inner = [n for n in self.reads[k] if n in route.producer and not self.store.has(first, n)]
            stack += [route.producer[n] for n in inner]
        order = sorted(piece)
        made = {name for k in order for name in self.nodes[k].node.output if name}
        route.waiting -= piece
        fetched = sorted(name for name in made if name in wanted or self._is_needed(route, name))
        entered = sorted({name for k in order for name in self.reads[k]} - made)
        session = open_session(self._piece(first, order, entered, fetched), optimize=True, thrifty=False)
        for k in route.batches:
            results = run_session(session, {name: self.store.get(k, name) for name in entered}, fetched)
            for name, array in results.items():
                self.store.put(k, name, array)

    def _piece(self, batch: int, order: Sequence[int], entered: Sequence[str], fetched: Sequence[str]) -> bytes:
        piece = onnx.ModelProto(ir_version=self.model.ir_version, opset_import=self.model.opset_import)
        piece.functions.extend(self.model.functions)
        piece.graph.name = "piece"
        piece.graph.node.extend(self.nodes[k].node for k in order)
        used = {name for k in order for name in reads(self.nodes[k].node)}
        piece.graph.initializer.extend(self.initializers[name] for name in sorted(used & self.initializers.keys()))
        for name in entered:
            array = self.store.get(batch, name)
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            piece.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, [None] * array.ndim))
        piece.graph.output.extend(ValueInfoProto(name=name) for name in fetched)
        return bytes(piece.SerializeToString())


def _decided(
    model: onnx.ModelProto,
    feeds: Sequence[Mapping[str, Array]],
    nodes: Sequence[Step],
    tensors: Mapping[str, onnx.TensorProto],
    memory: int,
) -> list[Decisions]:
    """Which branches each batch takes; the model runs again after each condition that others depend on."""
    names = dict.fromkeys(name for step in nodes for name, _ in step.when)
    stored = {name: bool(onnx.numpy_helper.to_array(tensors[name]).flat[0]) for name in names if name in tensors}
    found: list[Decisions] = [dict(stored) for _ in feeds]
    waiting = [name for name in names if name not in stored]
    while waiting:
        probe = Stepwise(model, feeds, waiting, memory, [dict(taken) for taken in found])
        known = [name for name in waiting if probe.reached([name])]
        for name in known:
            for taken, values in zip(found, probe.get([name]), strict=True):
                if values:
                    taken[name] = bool(values[name].flat[0])
        waiting = [name for name in waiting if name not in known] if known else []
    return found
