"""An ONNX graph as a trainable ``torch.fx.GraphModule`` of plain PyTorch calls."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import onnx_ir as oir
import torch
from torch import fx, nn

from ...api import AnyModel, open_model
from ...backends.module import described
from ...errors import InputError
from ...frontends.onnx import dtype_name, import_model
from ...ir import Constant, Dim, Graph, Node, fresh_name
from ...ir.core import Array, Attribute
from ...signatures import traits_of
from .call import Int, Operand, OperatorCall, torch_dtype
from .functions import FUNCTIONS
from .ranks import Ranks
from .shapes import RunTimeIntegers
from .symbolic import Sym, python_number
from .tensors import attach, attribute_path, to_tensor
from .trainable import trainable_constants

INITIALIZERS = "irprune.initializers"
"""The key in ``module.meta`` of the paths of initializers by their names in the model."""

INPUTS, OUTPUTS, NODE = "irprune.inputs", "irprune.outputs", "irprune.node"

VALUES = "irprune.values"
"""The key in ``module.meta`` of the names of FX nodes by the values of the model that they compute."""


def from_onnx(model: AnyModel) -> fx.GraphModule:
    """A module that computes what an ONNX model does, and that can be trained.

    ``model`` is a path, an ``onnx.ModelProto``, an ``onnx_ir.Model`` or a ``gs.Graph``. Weights are parameters, other
    constants are buffers, both named after the initializers; ``module.meta["irprune.initializers"]`` maps names to
    paths. Arguments are the inputs of the graph in order, by position or by name; the result is a tensor, or a tuple
    where the graph has several outputs. Normalization uses its running statistics and dropout does nothing, in
    training as well. Shapes that follow from those of the inputs stay symbolic, so that the module can be exported.

    Raises :class:`InputError` for an operator without a PyTorch equivalent, naming the node.
    """
    return Importer(import_model(open_model(model).model)).run()


class OnnxTracer(fx.Tracer):
    """Traces the code of a module again when it is unpickled; what is done to buffers is recorded as well."""

    proxy_buffer_attributes = True


class OnnxModule(fx.GraphModule):
    """A graph module whose ``meta`` survives pickling, as a plain one's does not."""

    def __repr__(self) -> str:
        """How large it is; ``print_readable()`` shows its calls."""
        return described(self, "OnnxModule")

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        restore, arguments = super().__reduce__()
        return _restored, (restore, arguments, self.meta)


def _restored(restore: Callable[..., fx.GraphModule], arguments: tuple[Any, ...], meta: dict[str, Any]) -> OnnxModule:
    plain = restore(*arguments)
    module = OnnxModule(plain, plain.graph)
    module.meta = meta
    return module


class Importer:
    """Walks a graph and writes the FX graph; a :class:`~.call.OperatorCall` asks it for values."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.root = nn.Module()
        self.fx_graph = fx.Graph(tracer_cls=OnnxTracer)
        self.tracer = fx.proxy.GraphAppendingTracer(self.fx_graph)
        self.trainable = trainable_constants(graph)
        self.paths: dict[str, str] = {}
        self.taken: set[str] = set()
        self._tensors: dict[str, fx.Proxy] = {}
        self._ranks = Ranks(self.root, self.fx_graph, graph)
        self._integers = RunTimeIntegers(graph, self._proxy, self.dims, self.dtype, self.trainable)
        self._device: fx.Proxy | None = None

    def run(self) -> fx.GraphModule:
        self._require_functions()
        placeholders = self._placeholders()
        for node in self.graph.nodes:
            before = len(self.fx_graph.nodes)
            self._node(node)
            for made in list(self.fx_graph.nodes)[before:]:
                made.meta[NODE] = node.name
        outputs = tuple(self._proxy(name).node for name in self.graph.outputs)
        self.fx_graph.output(outputs if len(outputs) > 1 else outputs[0])
        self.fx_graph.eliminate_dead_code()
        self.fx_graph.lint()
        module = OnnxModule(self.root, self.fx_graph)
        kept = {node.target for node in self.fx_graph.nodes if node.op == "get_attr"}
        module.meta[INITIALIZERS] = {name: path for name, path in self.paths.items() if path in kept}
        module.meta[INPUTS] = placeholders
        module.meta[OUTPUTS] = list(self.graph.outputs)
        stays = {node.name for node in self.fx_graph.nodes}
        computed = {name: self._tensors[name].node.name for name in self.graph.producers if name in self._tensors}
        module.meta[VALUES] = {name: node for name, node in computed.items() if node in stays}
        return module

    def _require_functions(self) -> None:
        for node in self.graph.nodes:
            if node.qualified_op not in FUNCTIONS:
                raise InputError(_unsupported(node))

    def _placeholders(self) -> dict[str, str]:
        """The arguments by the names of the inputs."""
        names: dict[str, str] = {}
        for name in self.graph.inputs:
            plain = re.sub(r"\W", "_", name, flags=re.ASCII)
            if not plain.isidentifier() or keyword.iskeyword(plain) or plain == "self":
                plain = f"input_{plain}"
            names[name] = fresh_name(plain, set(names.values()))
            self._tensors[name] = fx.Proxy(self.fx_graph.placeholder(names[name]), self.tracer)
        return names

    def _node(self, node: Node) -> None:
        if all(not name or self._is_known(name) for name in node.outputs):
            return
        call = OperatorCall(node, self.graph.opsets.get(node.domain, 1), self)
        try:
            result = FUNCTIONS[node.qualified_op](call)
        except (TypeError, fx.proxy.TraceError) as error:
            raise call.error(str(error).splitlines()[0]) from error
        results = result if isinstance(result, (tuple, list)) else [result]
        for name, value in zip(node.outputs, results, strict=False):
            if name and value is not None:
                is_made = isinstance(value, torch.Tensor)  # constants only: computed now
                self._tensors[name] = cast(fx.Proxy, self.buffer(value.numpy()) if is_made else value)

    def _is_known(self, name: str) -> bool:
        """Whether a value is kept in Python integers, to become a tensor only where one is asked for."""
        dtype = self.dtype(name)
        return dtype is not None and self._integers.complete(name) is not None

    # -- values, as a call asks for them -------------------------------------------------------------------------------

    def tensor(self, name: str) -> torch.Tensor:
        return cast(torch.Tensor, self._proxy(name))

    def _proxy(self, name: str) -> fx.Proxy:
        if name not in self._tensors:
            self._tensors[name] = self._made(name)
        return self._tensors[name]

    def _made(self, name: str) -> fx.Proxy:
        constant = self.graph.constants.get(name)
        if constant is not None:
            path, value = self._attached(name, to_tensor(constant), trainable=name in self.trainable)
            self.paths[name] = path
            return value
        entries = self._integers.complete(name)
        if entries is None:
            raise InputError(f"value '{name}' is not computed by anything that was imported")
        dtype = self.dtype(name) or "int64"
        if any(isinstance(entry, Sym) for entry in entries.ravel()):
            scalars = [
                torch.scalar_tensor(python_number(entry), dtype=torch_dtype(dtype), device=self.device)
                for entry in entries.ravel()
            ]
            found = scalars[0] if entries.ndim == 0 else torch.stack(scalars).reshape(entries.shape)
            return cast(fx.Proxy, found)
        flat = [python_number(entry) for entry in entries.ravel()]
        return cast(fx.Proxy, self.buffer(np.array(flat, dtype=dtype).reshape(entries.shape)))

    def _attached(self, name: str, tensor: torch.Tensor, *, trainable: bool) -> tuple[str, fx.Proxy]:
        path = attribute_path(name, self.taken)
        self.taken.add(path)
        attach(self.root, path, tensor, trainable=trainable)
        return path, fx.Proxy(self.fx_graph.get_attr(path), self.tracer)

    def buffer(self, array: Array) -> torch.Tensor:
        tensor = to_tensor(Constant.from_array(np.array(array)))
        return cast(torch.Tensor, self._attached("constant", tensor, trainable=False)[1])

    def number(self, name: str) -> Operand:
        numbers = self.numbers(name)
        return numbers[0] if numbers is not None and len(numbers) == 1 else None

    def numbers(self, name: str) -> list[Int] | None:
        entries = self._integers.complete(name)
        if entries is None:
            return None
        is_bool = self.dtype(name) == "bool"
        return [bool(n) if is_bool and isinstance(n, int) else n for n in map(python_number, entries.ravel())]

    def dims(self, name: str) -> tuple[Dim, ...] | None:
        shape = self.graph.shape(name)
        if shape is not None:
            return shape
        if name in self._tensors:
            return self._ranks.dims(self._tensors[name].node)
        entries = self._integers.complete(name)
        return None if entries is None else entries.shape

    def dtype(self, name: str) -> str | None:
        value = self.graph.values.get(name)
        if value is not None and value.dtype is not None:
            return value.dtype
        if name in self._tensors:
            return self._ranks.dtype(self._tensors[name].node)
        node = self.graph.producers.get(name)
        return self._result_dtype(node) if node is not None else None

    def _result_dtype(self, node: Node) -> str | None:
        """The element type of shape arithmetic that inference does not know."""
        traits = traits_of(node.qualified_op)
        if traits.reads_sizes:
            return "int64"
        if traits.asks:
            return "bool"
        if traits.type_attribute:
            return _type_of(node.attributes.get(traits.type_attribute))
        operand = next(iter(traits.moves), 0)
        return self.dtype(node.inputs[operand]) if node.inputs else None

    def size(self, name: str, axis: int) -> Int:
        return python_number(self._integers.size(name, axis))

    def constant(self, name: str) -> Array | None:
        constant = self.graph.constants.get(name)
        if constant is not None:
            return constant.numpy()
        numbers = self.numbers(name)
        is_plain = numbers is not None and not any(isinstance(number, fx.Proxy) for number in numbers)
        return np.array(numbers) if is_plain else None

    def is_used(self, name: str) -> bool:
        return bool(name) and (bool(self.graph.consumers.get(name)) or name in self.graph.outputs)

    def readers(self, name: str) -> set[str]:
        """The operators that read a value; ``""`` stands for the outputs of the graph."""
        found = {node.qualified_op for node, _ in self.graph.consumers.get(name, ())}
        return found | {""} if name in self.graph.outputs else found

    @property
    def device(self) -> torch.device:
        """That of the first input, so that a module can be moved."""
        if self._device is None:
            if not self.graph.inputs:
                return torch.device("cpu")
            self._device = self._tensors[self.graph.inputs[0]].device
        return cast(torch.device, self._device)


def _type_of(attribute: Attribute | None) -> str:
    """The element type that an attribute names, or has; float32 is the default of the specification."""
    if isinstance(attribute, Constant):
        return attribute.dtype
    return dtype_name(oir.DataType(attribute)) if isinstance(attribute, int) else "float32"


def _unsupported(node: Node) -> str:
    if node.entry_of or traits_of(node.qualified_op).control:
        return (
            f"node '{node.entry_of or node.name}' is control flow, which has no PyTorch equivalent here: "
            "export the model without it, or fold it with `irprune opt`"
        )
    return (
        f"node '{node.name}': operator {node.qualified_op} has no PyTorch equivalent here; "
        "replace it by standard operators, or cut the model before it"
    )
