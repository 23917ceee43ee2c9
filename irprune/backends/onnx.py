"""ONNX out: the difference between two graphs, applied to the original artifact.

Everything that no pass touched (metadata, doc strings, custom operators, subgraphs, tensors) is written unchanged.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as oir

from ..collector import without_gc
from ..errors import InputError
from ..frontends.external import is_external, set_location, tensors_of
from ..frontends.files import MAP_TYPES, restore_maps, root_cause
from ..frontends.scopes import Scopes, subgraphs
from ..frontends.wire import LARGE, fill_weights
from ..ir import Attribute, Constant, Graph, Node, Opaque, Value
from .staging import staged

_PROTO_LIMIT = 2_000_000_000
"""Protobuf messages are limited to 2 GiB: in larger models, weights go to a separate file."""


_INITIALIZERS_ALONE = 4
"""Before this IR version every initializer has to be listed as a graph input too."""


@without_gc
def emit(model: oir.Model, before: Graph, after: Graph) -> oir.Model:
    """A copy of ``model`` that computes ``after``; ``before`` is the imported graph of ``model``."""
    copy = model.clone()
    copy.meta.update(model.meta)
    return _Emitter(copy, before, after).run()


class _Emitter:
    def __init__(self, model: oir.Model, before: Graph, after: Graph) -> None:
        self.model = model
        self.graph = model.graph
        self.before = before
        self.after = after
        self.scopes = scopes = Scopes.of(self.graph)
        self.nodes = dict(scopes.nodes)
        self.bodies = scopes.bodies
        self.graphs = [graph for _, graph in scopes.graphs]
        self.values: dict[str, oir.Value] = {}
        for _, graph in scopes.graphs:
            for value in (*graph.inputs, *graph.initializers.values(), *(v for n in graph for v in n.outputs)):
                if value.name:
                    self.values[scopes.name(value)] = value
        self.rewritten: list[oir.Node] = []
        """Constant nodes with a new value."""

    def run(self) -> oir.Model:
        for name, constant in self.after.constants.items():
            if self.before.constants.get(name) is not constant:
                self._constant(name, constant)
        self._nodes()
        for name, value in self.after.values.items():
            if name in self.values and self.before.values.get(name) != value:
                self._declare(self.values[name], value)
        for target in self.values.values():
            if isinstance(target.type, oir.SequenceType) and not target.is_graph_output():
                target.shape = None  # what was stated of its elements, which may be smaller now
        self._drop()
        self._advance()
        return self.model

    def _constant(self, name: str, constant: Constant) -> None:
        known = self.values.get(name)
        dtype = _dtype(constant.dtype)
        if known is not None and known.const_value is not None:
            dtype = known.const_value.dtype
        raw = str(known.name) if known is not None else name
        tensor = oir.LazyTensor(lambda: _tensor(constant, dtype, raw), dtype, oir.Shape(constant.shape), name=raw)
        producer = known.producer() if known is not None else None
        if producer is not None and name in self.before.constants:
            producer.attributes.clear()
            producer.attributes["value"] = oir.AttrTensor("value", tensor)
            self.rewritten.append(producer)
            return
        if known is not None and producer is not None:
            known = self._supersede(known, oir.Value(name=name))
        if known is None:
            known = oir.Value(name=name)
            self.values[name] = known
        known.const_value = tensor
        known.shape, known.type = oir.Shape(constant.shape), oir.TensorType(dtype)
        if not any(graph.initializers.get(str(known.name)) is known for graph in self.graphs):
            self.graph.register_initializer(known)
            if (self.model.ir_version or 0) < _INITIALIZERS_ALONE:
                self.graph.inputs.append(known)

    def _supersede(self, old: oir.Value, new: oir.Value) -> oir.Value:
        """Give the name and all uses of a value to another one."""
        name = str(old.name)
        new.type, new.shape, new.doc_string = old.type, old.shape, old.doc_string
        new.metadata_props.update(old.metadata_props)
        old.name = f"{name}__removed"
        new.name = name
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        self.values[name] = new
        return new

    def _nodes(self) -> None:
        """Change, add and remove nodes; a new one stands before the next old one, or where the removed one stood."""
        old = {node.name: node for node in self.before.nodes}
        stays = {node.name for node in self.after.nodes}
        gone = [self.nodes[name] for name in old if name not in stays and name in self.nodes]
        freed = {self.scopes.name(value): value for node in gone for value in node.outputs}
        waiting: list[Node] = []
        for node in self.after.nodes:
            if node.name not in old:
                waiting.append(node)
                continue
            anchor = self.nodes[node.entry_of or node.name]
            places = _places(waiting, anchor, freed)
            for new in waiting:
                _graph_of(places[new.name]).insert_before(places[new.name], self._create(new, freed))
            waiting = []
            if old[node.name] != node and node.name in self.nodes:
                self._change(anchor, old[node.name], node, freed)
        for new in waiting:
            self.graph.append(self._create(new, freed))
        for removed in gone:
            _detach(removed)
        for removed in gone:
            if removed.graph is not None:
                removed.graph.remove(removed)

    def _create(self, node: Node, freed: Mapping[str, oir.Value]) -> oir.Node:
        """A new node; if it takes over the result of a removed one, it takes over all uses as well."""
        outputs = []
        for name in node.outputs:
            value = oir.Value(name=name)
            if name in freed:
                self._supersede(freed[name], value)
            self.values[name] = value
            outputs.append(value)
        inputs = [self._value(name) for name in node.inputs]
        attributes = [_attribute(name, value) for name, value in node.attributes.items()]
        return oir.Node(node.domain, node.op, inputs, attributes, outputs=outputs, name=node.name)

    def _value(self, name: str) -> oir.Value | None:
        return self.values[name] if name else None

    def _change(self, target: oir.Node, old: Node, new: Node, freed: Mapping[str, oir.Value]) -> None:
        own = len(new.inputs) - new.yields
        if own != len(target.inputs):
            target.resize_inputs(own)
        for position, name in enumerate(new.inputs[own:]):
            self._yield(new.name, position, name)
        for position, name in enumerate(new.inputs[:own]):
            if position >= len(old.inputs) or old.inputs[position] != name:
                target.replace_input_with(position, self._value(name))
        for result, known, name in zip(target.outputs, old.outputs, new.outputs, strict=True):
            if known == name:
                continue
            if name in freed:
                self._supersede(freed[name], result)
            else:
                result.name = name
                self.values[name] = result
        for name in old.attributes.keys() - new.attributes.keys():
            target.attributes.pop(name)
        for name, value in new.attributes.items():
            if old.attributes.get(name) != value:
                target.attributes[name] = _attribute(name, value)

    def _yield(self, control: str, position: int, name: str) -> None:
        """Make a body yield another value."""
        for _, body in self.bodies[control]:
            if position < len(body.outputs):
                body.outputs[position] = self.values[name]
                return
            position -= len(body.outputs)

    def _declare(self, target: oir.Value, value: Value) -> None:
        if value.shape is None or target.shape is None:
            if value.shape is not None and target.name not in self.before.values:
                target.shape = oir.Shape(value.shape)
                target.type = oir.TensorType(_dtype(value.dtype or "float32"))
            return
        previous = self.before.values.get(value.name)
        known = list(target.shape.dims)
        for k, dim in enumerate(value.shape):
            if previous is None or previous.shape is None or previous.shape[k] != dim:
                known[k] = dim if isinstance(dim, int) else oir.SymbolicDim(dim)
        target.shape = oir.Shape(known)

    def _drop(self) -> None:
        """Remove the constants that passes removed; constants that were unused before stay."""
        for name in self.before.constants.keys() - self.after.constants.keys():
            value = self.values[name]
            if value.uses() or value.is_graph_output():
                continue
            producer = value.producer()
            if producer is not None:
                _graph_of(producer).remove(producer)
                continue
            owner = next(graph for graph in self.graphs if graph.initializers.get(str(value.name)) is value)
            owner.initializers.pop(str(value.name))
            if value in owner.inputs:
                owner.inputs.remove(value)

    def _advance(self) -> None:
        """Move Constant nodes with a new value to the front: a reader may now stand before them."""
        first = self.graph[0] if len(self.graph) else None
        moving = [node for node in self.rewritten if node.graph is self.graph and node is not first]
        if moving and first is not None:
            self.graph.remove(moving)
            self.graph.insert_before(first, moving)


def _places(new: list[Node], following: oir.Node, freed: Mapping[str, oir.Value]) -> dict[str, oir.Node]:
    """The node that each new one stands before: the one that follows, unless that is in another scope.

    A node that takes over a result stands in its scope, and so does one that another new node reads. The last nodes of
    a body are followed by those of another one, or by the node that has these bodies.
    """
    places: dict[str, oir.Node] = {}
    readers: dict[str, str] = {}
    for node in reversed(new):
        taken = next((freed[name].producer() for name in node.outputs if name in freed), None)
        read = next((readers[name] for name in node.outputs if name in readers), None)
        place = taken or (following if read is None else places[read])
        places[node.name] = following if place.graph is following.graph else place
        readers.update(dict.fromkeys(node.inputs, node.name))
    return places


def _detach(node: oir.Node) -> None:
    """Detach a removed node, and the nodes of its subgraphs, from the values that they read."""
    for inner in (node, *(n for _, graph in subgraphs(node) for n in graph)):
        if inner is not node:
            _detach(inner)
        for k in range(len(inner.inputs)):
            inner.replace_input_with(k, None)


def _graph_of(node: oir.Node) -> oir.Graph:
    assert isinstance(node.graph, oir.Graph)
    return node.graph


def _tensor(constant: Constant, dtype: oir.DataType, name: str) -> oir.TensorProtocol:
    return oir.Tensor(constant.numpy(), dtype=dtype, name=name)


def _dtype(name: str) -> oir.DataType:
    return {"float32": oir.DataType.FLOAT, "float64": oir.DataType.DOUBLE}.get(name) or oir.DataType[name.upper()]


def _attribute(name: str, value: Attribute) -> oir.Attr:
    if isinstance(value, Opaque):
        raise TypeError(f"attribute '{name}' ({value.kind}) cannot be made anew")
    if isinstance(value, Constant):
        return oir.AttrTensor(name, _tensor(value, _dtype(value.dtype), name))
    return oir.convenience.convert_attribute(name, value)


@without_gc
def save(model: oir.Model, path: str | os.PathLike[str], *, external: bool = False) -> None:
    """Write a model; the file appears whole or not at all.

    With ``external``, or above 2 GiB, weights go to ``<name>.<digest>.data`` beside it: a file named by its content is
    never the wrong one, whenever the writing is cut short. Raises :class:`InputError` where the folder cannot be
    written to.
    """
    path = Path(path)
    weights = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)
    with staged(path) as stage:
        try:
            if external or weights > _PROTO_LIMIT:
                _write_external(model, stage.path)
            else:
                _write(model, stage.path)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
        stage.commit()


def _write_external(model: oir.Model, path: Path) -> None:
    """Write a model, and its weights to a file beside it that is named by what it holds."""
    data = path.with_name(f"{path.name}.data")
    oir.save(model, path, external_data=data.name, max_workers=os.cpu_count())
    _restore_maps_in(path, model)
    if not data.exists():  # there are no weights
        return
    with data.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 22):
            digest.update(block)
    named = data.rename(path.with_name(f"{path.name}.{digest.hexdigest()[:16]}.data"))
    proto = onnx.load(path, load_external_data=False)
    for tensor in tensors_of(proto):
        if is_external(tensor):
            set_location(tensor, named.name)
    onnx.save(proto, path)


def to_proto(model: oir.Model) -> onnx.ModelProto:
    """The model as a protobuf message; raises :class:`InputError` for text that protobuf refuses."""
    try:
        proto = oir.to_proto(model)
    except oir.serde.SerdeError as error:
        raise InputError(f"the model cannot be written: {root_cause(error)}") from error
    restore_maps(proto, model)
    return proto


def to_whole_proto(model: oir.Model) -> onnx.ModelProto:
    """The model as a protobuf message that holds all weights itself, so that it runs wherever its files lie.

    Raises :class:`InputError` for text that protobuf refuses.
    """
    proto = to_proto(model)
    stored = {
        value.const_value.name: value.const_value
        for graph in (model.graph, *model.graph.subgraphs())
        for value in graph.initializers.values()
        if isinstance(value.const_value, oir.ExternalTensor)
    }
    for tensor in tensors_of(proto):
        if is_external(tensor) and tensor.name in stored:
            tensor.raw_data = stored[tensor.name].tobytes()
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return proto


def _restore_maps_in(path: Path, model: oir.Model) -> None:
    if MAP_TYPES in model.meta:
        proto = onnx.load_model(path, load_external_data=False)
        restore_maps(proto, model)
        path.write_bytes(proto.SerializeToString())


def _write(model: oir.Model, path: Path) -> None:
    """Write a model to one file; large weights are read one after the other, while it is written."""
    if onnx.serialization.registry.get_format_from_file_extension(path.suffix) not in (None, "protobuf"):
        onnx.save_model(to_proto(model), path)
        return
    weights: dict[int, oir.TensorProtocol] = {}
    initializers = [value for value in model.graph.initializers.values() if value.const_value is not None]
    try:
        for position, value in enumerate(initializers):
            tensor = value.const_value
            if isinstance(tensor, (oir.Tensor, oir.LazyTensor)) and tensor.nbytes > LARGE:
                weights[position] = tensor
                value.const_value = _empty(tensor)
        rest = to_proto(model).SerializeToString()
    finally:
        for position, tensor in weights.items():
            initializers[position].const_value = tensor
    with path.open("wb") as file:
        for piece in fill_weights(rest, {position: tensor.nbytes for position, tensor in weights.items()}):
            file.write(weights[piece].tobytes() if isinstance(piece, int) else piece)


def _empty(tensor: oir.TensorProtocol) -> oir.TensorProtocol:
    """A tensor without data that is otherwise the same."""
    nothing = oir.Tensor(np.zeros(0, np.uint8))
    return oir.LazyTensor(
        lambda: nothing,
        tensor.dtype,
        oir.Shape(tensor.shape.numpy()),
        name=tensor.name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )
