"""From a ``torch.export`` program, as an ``fx.GraphModule`` of ATen calls, to the IR.

Parameters and buffers become constants under their own names, every call with a tensor result a node under the name of
its fx node, or a constant where it computes a table (:mod:`.tables`). Numbers keep the arguments they came from
(:class:`Imported.origins`), which is all the emitter needs.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx

from ..ir import Constant, Expression, Graph, Node, Value
from ..ir.core import Array, Attribute, Dim
from ..reasons import Kind
from ..signatures import NoSignature
from .aten import aten_operator, lower
from .captured import Captured
from .effects import mutated_nodes, operator_name, writes
from .lowering import AtenCall, Lowered, Numbers, Origin, Symbol, TensorName
from .tables import find_tables

OPSET = 23
"""The ai.onnx version whose signatures ATen calls are lowered to."""

Origins: TypeAlias = Mapping[int | str, Origin]


@dataclass(frozen=True)
class Imported:
    """The IR of a module. ``origins`` says, per node, which argument each operand or attribute of numbers came from;
    ``aliases`` gives the other names of a tied parameter; ``tables`` names the calls that compute tables, or a step
    on the way to one: those that are read elsewhere are constants."""

    graph: Graph
    origins: Mapping[str, Origins]
    aliases: Mapping[str, tuple[str, ...]]
    tables: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Imported({self.graph!r})"


def import_calls(captured: Captured) -> Imported:
    """Read ATen calls whose nodes carry ``meta["val"]``, as those of ``ExportedProgram.module()`` do."""
    return _Importer(captured).run()


def as_array(tensor: Tensor) -> Array:
    """The elements of a tensor; types that numpy lacks come as ml_dtypes."""
    plain = tensor.detach().cpu()
    if plain.dtype == torch.bfloat16:
        import ml_dtypes

        return plain.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return np.asarray(plain.numpy())


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def dim_of(size: Any) -> int | str:
    """A dimension as the IR writes it: a number, or a monomial of symbols, or one symbol for anything else."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    if expression.is_Integer:
        return int(expression)
    coefficient, factors = expression.as_coeff_mul()
    powers = [factor.as_base_exp() for factor in factors]
    if not coefficient.is_Integer or any(not (b.is_Symbol and e.is_Integer and e > 0) for b, e in powers):
        return Expression(f"({expression})")
    symbols = [str(base) for base, exponent in powers for _ in range(int(exponent))]
    return "*".join([*([str(coefficient)] if coefficient != 1 else []), *symbols])


def numbers_name(node: str, position: int) -> str:
    """The name of the value that holds numbers of a call."""
    return f"{node}/{position}"


@dataclass
class _Importer:
    captured: Captured
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    origins: dict[str, Origins] = field(default_factory=dict)
    names: dict[fx.Node, str] = field(default_factory=dict)
    owners: dict[tuple[Any, ...], str] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)

    def run(self) -> Imported:
        self.mutated = mutated_nodes(self.captured.graph)
        self.tables = find_tables(self.captured, self.mutated)
        inputs: list[str] = []
        outputs: list[str] = []
        for node in self.captured.graph.nodes:
            if node.op == "placeholder" and self._tensor(node) is not None:
                inputs.append(self._value(node.name, self._tensor(node)))
                self.names[node] = node.name
            elif node.op == "get_attr":
                self._parameter(node)
            elif node in self.tables:
                self._table(node)
            elif node.op == "output":
                outputs = [self.names[n] for n in node.all_input_nodes if n in self.names]
            elif node.op in ("call_function", "call_method", "call_module"):
                self._visit(node)
        graph = Graph(
            "captured",
            tuple(inputs),
            tuple(dict.fromkeys(outputs)),
            tuple(self.nodes),
            self.values,
            self.constants,
            {"": OPSET, "aten": 1, "irprune": 1},
        )
        aliases = {name: tuple(others) for name, others in self.aliases.items()}
        return Imported(graph, self.origins, aliases, frozenset(node.name for node in self.tables))

    # -- values ------------------------------------------------------------------------------------------------

    def _tensor(self, node: fx.Node) -> Tensor | None:
        value = node.meta.get("val", node.meta.get("example_value"))
        return value if isinstance(value, Tensor) else None

    def _value(self, name: str, tensor: Tensor | None) -> str:
        shape: tuple[Dim, ...] | None = None if tensor is None else tuple(dim_of(size) for size in tensor.shape)
        self.values[name] = Value(name, None if tensor is None else dtype_name(tensor.dtype), shape)
        return name

    def _parameter(self, node: fx.Node) -> None:
        name = str(node.target)
        tensor = self.captured.state[name]
        if not isinstance(tensor, Tensor):
            return
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype) if tensor.numel() else (name,)
        owner = self.owners.setdefault(key, name)
        self.names[node] = owner
        if owner != name:
            others = self.aliases.setdefault(owner, [])
            others += [name] if name not in others else []
        elif name not in self.constants:
            shape = tuple(int(size) for size in tensor.shape)
            fixed = node not in self.mutated or tensor.dtype.is_floating_point
            read = (lambda: as_array(tensor)) if fixed else None
            self.constants[name] = Constant(dtype_name(tensor.dtype), shape, read, name)
            self.values[name] = Value(name, dtype_name(tensor.dtype), shape)

    def _table(self, node: fx.Node) -> None:
        tensor = self._tensor(node)
        name = self._value(node.name, tensor)  # intermediate tables as well: no other value may have the name
        if tensor is None or self.tables.keys() >= node.users.keys():
            return
        self.names[node] = name
        shape = tuple(int(size) for size in tensor.shape)
        compute = self.tables[node]
        self.constants[node.name] = Constant(
            dtype_name(tensor.dtype), shape, lambda: as_array(compute()), computed=True
        )

    # -- calls -------------------------------------------------------------------------------------------------

    def _visit(self, node: fx.Node) -> None:
        if node.target is operator.getitem and isinstance(node.args[0], fx.Node) and node.args[0] not in self.names:
            return  # the result of a call of several, which has its name already
        results = list(self._results(node))
        if not results:
            return
        for name, tensor in results:
            if name:
                self._value(name, tensor)
        outputs = tuple(name for name, _ in results)
        if self._tensor(node) is not None:
            self.names[node] = node.name
        self._add(node, self._lowered(node), outputs)

    def _results(self, node: fx.Node) -> Iterator[tuple[str, Tensor | None]]:
        """The names and tensors of a call's results. A result that is not used has no name, except parts of a split."""
        value = node.meta.get("val", node.meta.get("example_value"))
        if isinstance(value, Tensor):
            yield node.name, value
            return
        if not isinstance(value, (list, tuple)) or not any(isinstance(item, Tensor) for item in value):
            return
        takers = {n.args[1]: n for n in node.users if n.target is operator.getitem}
        keep_all = aten_operator(operator_name(node)).keeps_results
        for position, item in enumerate(value):
            taker = takers.get(position)
            if taker is not None:
                self.names[taker] = taker.name
            yield (taker.name if taker is not None else f"{node.name}.{position}" if keep_all else ""), item

    def _lowered(self, node: fx.Node) -> Lowered:
        """The IR operator of a call. A call that the table does not know is imported as it stands, with the reason."""
        try:
            return self._looked_up(node)
        except NoSignature as refusal:
            why = "" if refusal.kind is Kind.NO_SIGNATURE else str(refusal)
        except (LookupError, TypeError, ValueError) as error:
            why = f"its arguments make no sense ({type(error).__name__}: {error})"
        tensors = tuple(TensorName(self.names[n]) for n in node.all_input_nodes if n in self.names)
        return Lowered(operator_name(node), tensors, "torch", refusal=why)

    def _looked_up(self, node: fx.Node) -> Lowered:
        if not isinstance(node.target, torch._ops.OpOverload):
            raise NoSignature("it is not an ATen operator")
        arguments = self._arguments(node, node.target)
        shapes: dict[str, tuple[int | str, ...]] = {}
        for name in (self.names[n] for n in node.all_input_nodes if n in self.names):
            shape = self.values[name].shape
            assert shape is not None
            shapes[name] = tuple(dim for dim in shape if dim is not None)
        tensor = self._tensor(node)
        result = None if tensor is None else tuple(dim_of(size) for size in tensor.shape)
        masks = frozenset(name for name in shapes if self.values[name].dtype in ("bool", "uint8"))
        call = AtenCall(operator_name(node), arguments, shapes, result, masks)
        return lower(call, node.target._overloadname, torch.Tag.pointwise in node.target.tags)

    def _arguments(self, node: fx.Node, target: torch._ops.OpOverload[Any, Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for position, argument in enumerate(target._schema.arguments):
            if position < len(node.args) and not argument.kwarg_only:
                value: Any = node.args[position]
            elif argument.name in node.kwargs:
                value = node.kwargs[argument.name]
            else:
                value = argument.default_value if argument.has_default_value() else None
            arguments[argument.name] = self._converted(value)
        return arguments

    def _converted(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._converted(item) for item in value]
        if not isinstance(value, fx.Node):
            return value
        if value in self.names:
            return TensorName(self.names[value])
        number = value.meta.get("val")
        if isinstance(number, (torch.SymInt, int)) and not isinstance(number, bool):
            size = dim_of(number)
            return size if isinstance(size, int) else Symbol(size)
        raise NoSignature(f"argument '{value.name}' is computed at run time")

    # -- nodes -------------------------------------------------------------------------------------------------

    def _add(self, node: fx.Node, lowered: Lowered, outputs: tuple[str, ...]) -> None:
        origins: dict[int | str, Origin] = dict(lowered.origins.items())
        inputs: list[str] = []
        for position, operand in enumerate(lowered.operands):
            if isinstance(operand, Numbers):
                if operand.origin is not None:
                    origins[position] = operand.origin
                inputs.append(self._numbers(numbers_name(node.name, position), operand))
            else:
                inputs.append(operand or "")
        while inputs and not inputs[-1]:
            inputs.pop()
        self.origins[node.name] = origins
        self.nodes.append(
            Node(
                node.name,
                lowered.op,
                tuple(inputs),
                outputs,
                lowered.domain,
                lowered.attributes,
                mutated=node in self.mutated,
                writes=writes(node),
                refusal=lowered.refusal,
            )
        )

    def _numbers(self, name: str, numbers: Numbers) -> str:
        entries = numbers.entries
        shape = () if numbers.scalar else (len(entries),)
        if not any(isinstance(entry, Symbol) for entry in entries):
            is_float = any(isinstance(entry, float) for entry in entries)
            array = np.array(entries, np.float64 if is_float else np.int64).reshape(shape)
            self.constants[name] = Constant.from_array(array)
            self.values[name] = Value(name, array.dtype.name, shape)
            return name
        attributes: dict[str, Attribute] = {"entries": tuple(map(str, entries)), "scalar": int(numbers.scalar)}
        self.nodes.append(Node(f"{name}/sizes", "sizes", (), (name,), "irprune", attributes))
        self.values[name] = Value(name, "int64", shape)
        return name
