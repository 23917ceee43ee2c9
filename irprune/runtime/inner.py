"""Values inside the bodies of control flow as outputs of the whole graph.

::

    y = If (c) <then: {h = F(x), y = G(h)}, else: {y = K(x)}>

    y, h = If (c) <then: {h = F(x), y = G(h)}, else: {y = K(x), h = an empty tensor}>

A loop stacks the values of its steps along a new first axis. Where steps have values of different shapes, ONNX Runtime
stops.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import helper

from ..frontends.scopes import qualified, unique_names
from ..signatures import traits_of
from .session import RunFailure

_PREFIX = "irprune_tap"


def inner_names(graph: onnx.GraphProto, names: Collection[str]) -> set[str]:
    """The names that are not those of values of the main graph."""
    own = {name for node in graph.node for name in node.output}
    own |= {value.name for side in (graph.input, graph.initializer, graph.output) for value in side}
    return set(names) - own


def add_inner_outputs(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Make values of bodies, by their names with scopes (``loop.body/h``), outputs of the model.

    Raises :class:`RunFailure` for a name that no body has, and for a value whose type inference does not know.
    """
    types = onnx.ModelProto()
    types.CopyFrom(model)
    types = onnx.shape_inference.infer_shapes(types)
    lifted = _Lifting(set(names)).lift(model.graph, types.graph, "")
    for name in names:
        if name not in lifted:
            raise RunFailure(f"no body has a value '{name}' of a known type")
        model.graph.node.append(helper.make_node("Identity", [lifted[name]], [name]))
        model.graph.output.append(onnx.ValueInfoProto(name=name))


class _Lifting:
    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.count = 0
        self.empty: dict[str, onnx.TensorProto] = {}

    def lift(self, graph: onnx.GraphProto, typed: onnx.GraphProto, scope: str) -> dict[str, str]:
        """The wanted values of a graph and its bodies, by the names that they have in the graph."""
        known = {qualified(scope, name): name for node in graph.node for name in node.output if name}
        found = {name: known[name] for name in self.names & known.keys()} if scope else {}
        keys = unique_names((n.name, n.op_type, next((o for o in n.output if o), "")) for n in graph.node)
        for key, node, twin in zip(keys, list(graph.node), typed.node, strict=True):
            if traits_of(node.op_type, node.domain).control:
                found.update(self._out_of(node, twin, qualified(scope, key)))
        return found

    def _out_of(self, node: onnx.NodeProto, typed: onnx.NodeProto, key: str) -> dict[str, str]:
        bodies = [attribute for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
        twins = {attribute.name: attribute.g for attribute in typed.attribute}
        inside = [self.lift(body.g, twins[body.name], f"{key}.{body.name}") for body in bodies]
        found: dict[str, str] = {}
        for body, values in zip(bodies, inside, strict=True):
            others = [other.g for other in bodies if other is not body]
            for name, value in values.items():
                empty = self._empty(twins[body.name], value)
                if others and empty is None:
                    continue
                _fill_outputs(node, body.g)
                found[name] = self._fresh(empty)
                node.output.append(found[name])
                self._hand_out(body.g, helper.make_node("Identity", [value], [self._fresh()]))
                for other in others:
                    self._hand_out(other, helper.make_node("Constant", [], [self._fresh()], value=empty))
                for attribute in node.attribute:
                    if attribute.name in ("scan_output_axes", "scan_output_directions"):
                        attribute.ints.append(0)
        return found

    def _hand_out(self, body: onnx.GraphProto, node: onnx.NodeProto) -> None:
        body.node.append(node)
        body.output.append(onnx.ValueInfoProto(name=node.output[0]))

    def _fresh(self, stands_for: onnx.TensorProto | None = None) -> str:
        """A new name, for a value of the same type as another one where this is known."""
        self.count += 1
        name = f"{_PREFIX}/{self.count}"
        if stands_for is not None:
            self.empty[name] = stands_for
        return name

    def _empty(self, graph: onnx.GraphProto, name: str) -> onnx.TensorProto | None:
        """A tensor without elements in place of a value that is not computed; ``None`` where its type is unknown."""
        if name in self.empty:
            return self.empty[name]
        for value in (*graph.value_info, *graph.output):
            kind = value.type.tensor_type
            if value.name == name and kind.elem_type:
                rank = max(1, len(kind.shape.dim)) if kind.HasField("shape") else 1
                return onnx.TensorProto(data_type=kind.elem_type, dims=[0] * rank)
        return None


def _fill_outputs(node: onnx.NodeProto, body: onnx.GraphProto) -> None:
    """Name the results that nobody reads as absent: others come behind them."""
    wanted = len(body.output) - (traits_of(node.op_type, node.domain).control == "loop")
    node.output.extend([""] * (wanted - len(node.output)))
