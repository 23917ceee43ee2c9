"""Cut a model at operators that ONNX Runtime does not have (plugins, quantizers of other tools).

::

    y = Plugin(f(x)); z = g(y)   ->   outputs f(x) and g(y), inputs x and y

The operands of such an operator become outputs. Its results become inputs if their shapes are known: their axes are
frozen, so both models take the same values there. If a shape is unknown, all nodes that depend on it are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from ..errors import InputError
from ..frontends.declared import state_kept_shapes
from ..frontends.scopes import unique_names
from ..ir.domains import qualified_operator
from ..runtime.executable import Executable
from ..runtime.session import RunFailure, has_kernel
from ..signatures import traits_of
from .drawn import with_fixed_draws


def runnable_part(model: Executable, *, free: bool = True) -> tuple[Executable, tuple[str, ...]]:
    """The model without operators that ONNX Runtime lacks or whose results are maps, and one line about each.

    Random numbers are replaced by fixed ones (:mod:`.drawn`). With ``free`` the results of such operators become
    inputs; without it, nodes that depend on them are left out. A model without such operators is returned unchanged.
    Raises :class:`InputError` if nothing is left to compare.
    """
    model, drawn = with_fixed_draws(model)
    nodes = list(model.proto.graph.node)
    foreign = [not all(map(_runs, _within(node))) for node in nodes]
    if any(foreign) and _is_taken(model):
        foreign = [False] * len(nodes)
    lacking = {id(node) for node, out in zip(nodes, foreign, strict=True) if out}
    foreign = [out or traits_of(node.op_type, node.domain).makes_map for node, out in zip(nodes, foreign, strict=True)]
    if not any(foreign):
        return model, drawn
    names = unique_names((n.name, n.op_type, next((o for o in n.output if o), "")) for n in nodes)
    cut = _Cut(_with_kept_shapes(model.proto), nodes, foreign, free)
    proto = cut.run(names)
    if not proto.graph.output:
        first = next(node for node, out in zip(nodes, foreign, strict=True) if out)
        operator = qualified_operator(first.op_type, first.domain)
        raise InputError(f"nothing can be compared: no value that ONNX Runtime computes leads up to {operator}")
    cut_out = zip(nodes, names, foreign, strict=True)
    lines = [
        f"{qualified_operator(node.op_type, node.domain)} '{name}' {_why(id(node) in lacking)}"
        for node, name, out in cut_out
        if out
    ]
    if cut.added:
        lines.append(f"what follows was compared for random values of {', '.join(cut.added)}")
    return Executable(proto, model.data_folder, model.scratch), (*drawn, *lines)


def _with_kept_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    state_kept_shapes(copy)
    return copy


def _why(is_lacking: bool) -> str:
    reason = "was not run, as ONNX Runtime does not have it" if is_lacking else "makes a map, and is left as it is"
    return f"{reason}: what it reads was compared"


def _is_taken(model: Executable) -> bool:
    """Whether ONNX Runtime takes the model unchanged: it may expand operators without a kernel into others."""
    try:
        model.require_runnable()
    except RunFailure:
        return False
    return True


def _runs(node: onnx.NodeProto) -> bool:
    return has_kernel(node.domain, node.op_type)


def _within(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """A node and all nodes of its subgraphs."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        for attribute in current.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting += graph.node


def _reads(node: onnx.NodeProto) -> set[str]:
    """The names that a node and its subgraphs read."""
    inner = list(_within(node))
    return {name for each in inner for name in each.input if name}


class _Cut:
    def __init__(self, proto: onnx.ModelProto, nodes: list[onnx.NodeProto], foreign: list[bool], free: bool) -> None:
        self.proto = proto
        self.nodes = nodes
        self.foreign = foreign
        self.stated = {info.name: info for info in (*proto.graph.value_info, *proto.graph.output)}
        self.symbols = {dim for info in proto.graph.input for dim in _symbols(info)}
        results = [name for node, out in zip(nodes, foreign, strict=True) if out for name in node.output if name]
        read = {name for node, out in zip(nodes, foreign, strict=True) if not out for name in _reads(node)}
        self.added = [name for name in results if free and name in read and self._is_known(name)]
        self.lost = set(results) - set(self.added)

    def run(self, names: list[str]) -> onnx.ModelProto:
        """The remaining model; nodes get the names that the analysis uses."""
        dropped = self._dropped()
        kept = [k for k in range(len(self.nodes)) if k not in dropped]
        made = {name for k in kept for name in self.nodes[k].output if name}
        ends = {name for k in dropped for name in _reads(self.nodes[k])} & made
        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        del model.graph.node[:]
        for k in kept:
            model.graph.node.add().CopyFrom(self.nodes[k])
            model.graph.node[-1].name = names[k]
        outputs = [info for info in self.proto.graph.output if info.name in made]
        known = {info.name for info in outputs}
        del model.graph.output[:]
        model.graph.output.extend(outputs)
        model.graph.output.extend(self._typed(name) for name in sorted(ends - known))
        model.graph.input.extend(self._typed(name) for name in self.added)
        gone = {name for k in dropped for name in self.nodes[k].output}
        infos = [info for info in model.graph.value_info if info.name not in gone]
        del model.graph.value_info[:]
        model.graph.value_info.extend(infos)
        return model

    def _dropped(self) -> set[int]:
        """The foreign nodes, and the nodes that depend on results that did not become inputs."""
        dropped = {k for k, out in enumerate(self.foreign) if out}
        readers: dict[str, list[int]] = {}
        for k, node in enumerate(self.nodes):
            for name in _reads(node):
                readers.setdefault(name, []).append(k)
        waiting = list(self.lost)
        while waiting:
            for k in readers.get(waiting.pop(), ()):
                if k not in dropped:
                    dropped.add(k)
                    waiting += [name for name in self.nodes[k].output if name]
        return dropped

    def _is_known(self, name: str) -> bool:
        """Whether the file states a type and a shape, in numbers and in sizes of the inputs."""
        info = self.stated.get(name)
        if info is None or not info.type.tensor_type.elem_type or not info.type.tensor_type.HasField("shape"):
            return False
        dims = info.type.tensor_type.shape.dim
        return all(dim.dim_value > 0 or dim.dim_param in self.symbols for dim in dims)

    def _typed(self, name: str) -> onnx.ValueInfoProto:
        return self.stated.get(name) or onnx.ValueInfoProto(name=name)


def _symbols(info: onnx.ValueInfoProto) -> Iterable[str]:
    return (dim.dim_param for dim in info.type.tensor_type.shape.dim if dim.dim_param)
