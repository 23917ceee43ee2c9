"""ONNX in: an ``onnx_ir`` model becomes a :class:`~irprune.ir.Graph`; weights stay where they are until read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as oir

from ..collector import without_gc
from ..errors import InputError
from ..ir import Attribute, Constant, Dim, Graph, Integers, Node, Opaque, Size, Unknown, Value
from ..ir.core import Array
from ..ir.domains import is_stored_tensor, plain_domain
from ..ir.sizes import read_symbol
from ..signatures import traits_of
from .declared import drop_stale, fix_inputs, state_kept_shapes
from .files import BYTE, root_cause, static_shape
from .scopes import Scopes, captured, proto_scopes, qualified, sorted_nodes

OLDEST_OPSET = 7

_INFERENCE_LIMIT = 1024
"""Initializers above this many bytes are weights: shape inference sees their shape alone."""


@without_gc
def import_model(model: oir.Model, inputs: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The graph of a model, with shapes inferred. The model is not changed, except that unsorted nodes are sorted.

    ``inputs`` gives shapes of inputs whose sizes the model leaves open.

    Raises :class:`InputError` for an opset older than 7, a cycle, or a value that nothing defines.
    """
    opsets = dict(model.graph.opset_imports)
    opset = opsets.get("", OLDEST_OPSET)
    if opset < OLDEST_OPSET:
        raise InputError(f"opset {opset} is older than {OLDEST_OPSET}; convert the model with onnx.version_converter")
    scopes = Scopes.of(model.graph)
    _require_defined(scopes)
    if sort_nodes(model, scopes):
        scopes = Scopes.of(model.graph)
    try:
        proto = _without_weights(model)
    except (RuntimeError, ValueError, oir.serde.SerdeError) as error:
        raise InputError(f"the model is malformed: {root_cause(error)}") from error
    drop_stale(proto)
    fix_inputs(proto, inputs or {})
    state_kept_shapes(proto)
    plain = _build(model, scopes, opsets)
    graph = _with_shapes(plain, _inferred(proto))
    while _help_inference(proto, graph):
        graph = _with_shapes(plain, _inferred(proto))
    return graph


def sort_nodes(model: oir.Model, scopes: Scopes | None = None) -> bool:
    """Put nodes into topological order where they are in none; whether they were."""
    graphs = (scopes or Scopes.of(model.graph)).graphs
    if all(sorted_nodes(graph) == list(graph) for _, graph in graphs):
        return False
    model.graph.sort()
    return True


_INVENTED = re.compile(r"unk__\d+")


def import_without_shapes(model: oir.Model) -> Graph:
    """The graph of a model with the shapes of its constants alone: nothing is inferred."""
    return _with_shapes(_build(model, Scopes.of(model.graph), dict(model.graph.opset_imports)), ())


def _build(model: oir.Model, scopes: Scopes, opsets: Mapping[str, int]) -> Graph:
    constants: dict[str, Constant] = {}
    for scope, graph in scopes.graphs:
        for name, value in graph.initializers.items():
            if value.const_value is None:
                raise InputError(f"initializer '{qualified(scope, name)}' has no data")
            constants[qualified(scope, name)] = tensor_constant(value.const_value, qualified(scope, name))
    imported: list[Node] = []
    entries = _entries(scopes)
    for position, (key, node) in enumerate(scopes.nodes):
        imported += reversed(entries.get(position, ()))  # the outermost graph comes first
        constant = _constant_node(node, scopes.name(node.outputs[0]) if node.outputs else "")
        if constant is not None:
            constants[scopes.name(node.outputs[0])] = constant
        else:
            imported.append(_node(key, node, scopes))
    inputs = tuple(str(v.name) for v in model.graph.inputs if v.name not in model.graph.initializers)
    outputs = tuple(str(v.name) for v in model.graph.outputs)
    return Graph(model.graph.name or "graph", inputs, outputs, tuple(imported), {}, constants, opsets)


def _with_shapes(graph: Graph, inferred: Iterable[Value]) -> Graph:
    values = {value.name: value for value in inferred if value.name}
    for name, constant in graph.constants.items():
        values[name] = Value(name, constant.dtype, constant.shape)
    names = {name for found in graph.nodes for name in (*found.inputs, *found.outputs, *found.captures) if name}
    values.update({name: Value(name) for name in sorted(names - values.keys())})
    return replace(graph, values=values)


def _require_defined(scopes: Scopes) -> None:
    def is_defined(value: oir.Value) -> bool:
        return value.producer() is not None or value.is_graph_input() or value.is_initializer()

    for key, node in scopes.nodes:
        for value in node.inputs:
            if value is not None and not is_defined(value):
                raise InputError(f"node '{key}': input '{value.name}' is defined nowhere")
    for scope, graph in scopes.graphs:
        for value in graph.outputs:
            if not is_defined(value):
                where = f" of '{scope}'" if scope else ""
                raise InputError(f"graph output '{value.name}'{where} is produced by no node")


def _node(key: str, node: oir.Node, scopes: Scopes) -> Node:
    domain = plain_domain(node.domain)
    yielded = [scopes.name(value) for _, body in scopes.bodies.get(key, ()) for value in body.outputs]
    captures = () if key in scopes.bodies else tuple(dict.fromkeys(scopes.name(value) for value in captured(node)))
    return Node(
        key,
        node.op_type,
        (*map(scopes.name, node.inputs), *yielded),
        tuple(map(scopes.name, node.outputs)),
        domain,
        {name: _attribute(attribute) for name, attribute in node.attributes.items()},
        captures,
        len(yielded),
    )


def _entries(scopes: Scopes) -> dict[int, list[Node]]:
    """The nodes that hand the inputs of bodies in, by the position in ``scopes.nodes`` that they stand before."""
    found: dict[int, list[Node]] = {}
    for key, node in scopes.nodes:
        scope, body = next(((s, b) for s, b in scopes.bodies.get(key, ()) if len(b.inputs)), ("", None))
        if body is None:
            continue
        entry = Node(
            f"{key}/enter",
            f"enter_{node.op_type}",
            tuple(map(scopes.name, node.inputs)),
            tuple(map(scopes.name, body.inputs)),
            "irprune",
            dict(_scalars(node)),
            entry_of=key,
        )
        found.setdefault(scopes.starts[scope], []).append(entry)
    return found


def _scalars(node: oir.Node) -> Iterator[tuple[str, Attribute]]:
    for name, attribute in node.attributes.items():
        if attribute.type != oir.AttributeType.GRAPH:
            yield name, _attribute(attribute)


def _attribute(attribute: oir.Attr) -> Attribute:
    kind, value = attribute.type, attribute.value
    if attribute.is_ref():
        return Opaque(f"reference to {attribute.ref_attr_name}")
    if kind in (oir.AttributeType.INT, oir.AttributeType.FLOAT, oir.AttributeType.STRING):
        return value  # type: ignore[no-any-return]
    if kind in (oir.AttributeType.INTS, oir.AttributeType.FLOATS, oir.AttributeType.STRINGS):
        return tuple(value)
    if kind == oir.AttributeType.TENSOR:
        return tensor_constant(value, None)
    return Opaque(kind.name.lower())


def tensor_constant(tensor: oir.TensorProtocol, origin: str | None) -> Constant:
    """A tensor as a constant that reads it on demand."""
    return Constant(dtype_name(tensor.dtype), static_shape(tensor), lambda: read_tensor(tensor), origin)


def read_tensor(tensor: oir.TensorProtocol) -> Array:
    """The elements of a tensor. External data is memory-mapped for this array only, and unmapped with it."""
    if isinstance(tensor, oir.ExternalTensor) and tensor.dtype.bitwidth >= BYTE:
        shape = static_shape(tensor)
        if 0 in shape:
            return np.zeros(shape, tensor.dtype.numpy())
        return np.memmap(tensor.path, tensor.dtype.numpy(), "r", tensor.offset or 0, shape)
    return np.asarray(tensor.numpy())


def dtype_name(dtype: oir.DataType | None) -> str:
    """``float32``, ``bfloat16``, ``int4``, ...: the name that numpy and ml_dtypes use."""
    return _NUMPY_NAMES.get(dtype, dtype.name.lower()) if dtype is not None else ""


_NUMPY_NAMES = {oir.DataType.FLOAT: "float32", oir.DataType.DOUBLE: "float64"}


def _constant_node(node: oir.Node, origin: str) -> Constant | None:
    """The tensor of a Constant node, whichever attribute holds it; ``None`` for other nodes and sparse ones."""
    if not is_stored_tensor(node.op_type, node.domain):
        return None
    for name, attribute in node.attributes.items():
        if name == "value":
            return tensor_constant(attribute.as_tensor(), origin)
        if name in ("value_int", "value_ints"):
            return _literal(np.array(attribute.value, dtype=np.int64), origin)
        if name in ("value_float", "value_floats"):
            return _literal(np.array(attribute.value, dtype=np.float32), origin)
    return None


def _literal(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], origin: str) -> Constant:
    return Constant(array.dtype.name, array.shape, lambda: array, origin)


def _inferred(proto: onnx.ModelProto) -> Iterator[Value]:
    """Every value with its type and shape, as onnx's shape inference with data propagation finds them."""
    names = {dim.dim_param for info in proto.graph.input for dim in info.type.tensor_type.shape.dim}
    # if inference fails, the declared shapes are used
    with contextlib.suppress(onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    for scope, graph in proto_scopes(proto.graph):
        for info in (*graph.input, *graph.value_info, *graph.output):
            value = _value(info, names)
            yield replace(value, name=qualified(scope, value.name))


def _help_inference(proto: onnx.ModelProto, graph: Graph) -> bool:
    """Spell out, in ``proto``, shape operands that irprune can evaluate where onnx left a shape open."""
    integers = Integers(graph, lambda name: _sizes(graph.shape(name)))
    nodes = {node.output[0]: node for node in proto.graph.node if node.output}
    changed = False
    for node in graph.nodes:
        positions = traits_of(node.qualified_op).shape_operands
        if not positions or node.outputs[0] not in nodes or not _is_open(graph, node.outputs[0]):
            continue
        target = nodes[node.outputs[0]]
        for position in positions:
            name = node.inputs[position] if position < len(node.inputs) else ""
            if not name or name in graph.constants or target.input[position] != name:
                continue
            array = integers.array(name)
            if array is not None:
                dtype = graph.values[name].dtype or "int64"
                known = onnx.numpy_helper.from_array(array.astype(dtype), f"{node.name}/known_{position}")
                proto.graph.initializer.append(known)
                target.input[position] = known.name
                changed = True
    return changed


def _is_open(graph: Graph, name: str) -> bool:
    """Whether inference left a size open: unknown, or a symbol that the inputs do not declare."""
    shape = graph.shape(name)
    if shape is None or None in shape:
        return True
    return any(not graph.named_symbols.issuperset(Size.of(dim).symbols) for dim in shape if dim is not None)


def _sizes(shape: tuple[Dim, ...] | None) -> tuple[Size, ...] | None:
    if shape is None or None in shape:
        return None
    return tuple(Size.of(dim) for dim in shape if dim is not None)


def _value(info: onnx.ValueInfoProto, names: Collection[str]) -> Value:
    if not info.type.HasField("tensor_type"):
        return Value(info.name)
    tensor = info.type.tensor_type
    dtype = dtype_name(oir.DataType(tensor.elem_type)) if tensor.elem_type else None
    if not tensor.HasField("shape"):
        return Value(info.name, dtype)
    return Value(info.name, dtype, tuple(_dim(dim, names) for dim in tensor.shape.dim))


def _dim(dim: onnx.TensorShapeProto.Dimension, names: Collection[str]) -> Dim:
    """``names`` are those that the inputs of the model give to sizes; inference invents others."""
    if dim.HasField("dim_value"):  # some exporters write -1 for a size that is known only at run time
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    if not dim.dim_param:
        return None
    return Unknown(dim.dim_param) if _is_invented(dim.dim_param, names) else read_symbol(dim.dim_param)


def _is_invented(symbol: str, names: Collection[str]) -> bool:
    """Whether onnx's shape inference made up a name for a size that it does not know (``unk__0``)."""
    return symbol not in names and _INVENTED.fullmatch(symbol) is not None


def _without_weights(model: oir.Model) -> onnx.ModelProto:
    """The model with weights as inputs: their shapes matter to inference, their data does not."""
    graph = model.graph
    inputs = {str(value.name): value for value in graph.inputs}
    small = []
    for name, value in graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.nbytes <= _INFERENCE_LIMIT:
            small.append(value)
        else:
            inputs[name] = oir.Value(
                name=name, shape=oir.Shape(static_shape(tensor)), type=oir.TensorType(tensor.dtype)
            )
    view = oir.GraphView(list(inputs.values()), graph.outputs, nodes=graph, initializers=small, name=graph.name)
    proto = onnx.ModelProto(ir_version=model.ir_version)
    for domain, version in graph.opset_imports.items():
        proto.opset_import.add(domain=domain, version=version)
    oir.serde.serialize_graph_into(proto.graph, view, model_ir_version=model.ir_version)  # type: ignore[arg-type]
    return proto
