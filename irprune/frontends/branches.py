"""Branches that can only go one way: an If whose condition follows from ranks and sizes is replaced by that branch.

::

    If(Equal(Size(Shape(x)), 3), then {y = f(x)}, else {y = g(x)})   ->   y = f(x)      where x is float[N, T, 64]

Exporters of scripted modules write one wherever the code asks for ``x.dim()``. The branch that is never taken expects
operands of another rank, which no signature fits.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as oir

from ..errors import InputError
from ..ir import Integers, Size, Unknown, fresh_name
from .onnx import import_model
from .scopes import Scopes, is_control, subgraphs

FIRST_WITH_CONSTANT_INITIALIZERS = 4
"""The version of ONNX IR since which an initializer need not be an input."""


def without_dead_branches(model: oir.Model) -> oir.Model:
    """The model with every decided If replaced by the branch that is taken; as it is where there is none.

    Only the shapes of graph inputs and of weights decide, which ONNX Runtime insists on, and not the shapes that the
    file states of other values. Raises :class:`InputError` for a branch that has inputs of its own.
    """
    choices = [(graph, node) for graph, node in _nodes(model.graph) if _is_if(node)]
    for _, node in choices:
        _require_plain(node)
    if not choices:
        return model
    copy = model.clone()
    copy.meta.update(model.meta)
    while decided := _decided(copy):
        for node, taken in decided:
            _take(copy, node, taken)
    return copy if len(list(_nodes(copy.graph))) != len(list(_nodes(model.graph))) else model


def _nodes(graph: oir.Graph) -> Iterator[tuple[oir.Graph, oir.Node]]:
    """All nodes of a graph and its subgraphs, with the graph that each stands in."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        for node in current:
            yield current, node
            waiting += [inner for _, inner in subgraphs(node)]


def _is_if(node: oir.Node) -> bool:
    return is_control(node.domain, node.op_type) and {"then_branch", "else_branch"} <= node.attributes.keys()


def _require_plain(node: oir.Node) -> None:
    for attribute, branch in subgraphs(node):
        if len(branch.inputs):
            names = ", ".join(f"'{value.name}'" for value in branch.inputs)
            raise InputError(
                f"If node '{node.name}': its {attribute} has inputs ({names}); "
                "a branch has none, it reads values of the graph around it"
            )
        if len(branch.outputs) != len(node.outputs):
            raise InputError(
                f"If node '{node.name}': its {attribute} has {len(branch.outputs)} outputs, "
                f"expected {len(node.outputs)}"
            )


def _decided(model: oir.Model) -> list[tuple[oir.Node, oir.Graph]]:
    """The outermost decided Ifs, each with the branch that is taken."""
    bare = model.clone()
    for _, node in _nodes(bare.graph):
        for value in node.outputs:
            value.shape = None
    _forget_replaceable(bare)
    graph = import_model(bare)
    integers = Integers(graph, lambda name: _sizes(name, graph.shape(name)))
    scopes = Scopes.of(model.graph)
    found: list[tuple[oir.Node, oir.Graph]] = []
    inside: list[str] = []
    for key, node in reversed(scopes.nodes):  # a node stands behind those of its branches
        if not _is_if(node) or any(key.startswith(outer) for outer in inside):
            continue
        condition = integers.array(scopes.name(node.inputs[0]))
        if condition is not None and condition.size == 1:
            inside.append(f"{key}.")
            name = "then_branch" if bool(condition.ravel()[0]) else "else_branch"
            found.append((node, node.attributes[name].as_graph()))
    return found


def _forget_replaceable(model: oir.Model) -> None:
    """Make plain inputs of flags and numbers that a caller may replace, being inputs and initializers in one."""
    if model.ir_version < FIRST_WITH_CONSTANT_INITIALIZERS:
        return
    for value in model.graph.inputs:
        is_number = value.dtype is not None and not value.dtype.is_floating_point()
        if is_number and value.name and value.name in model.graph.initializers:
            model.graph.initializers.pop(value.name)
            value.const_value = None


def _sizes(name: str, shape: tuple[int | str | None, ...] | None) -> tuple[Size, ...] | None:
    """The sizes of a value; an unknown one equals no other."""
    if shape is None:
        return None
    return tuple(Size.of(Unknown(f"?{name}.{k}") if dim is None else dim) for k, dim in enumerate(shape))


def _take(model: oir.Model, node: oir.Node, branch: oir.Graph) -> None:
    """Move a branch in front of its If, and let the results of the branch take the place of those of the If."""
    graph = node.graph
    assert isinstance(graph, oir.Graph)
    taken = {str(value.name) for value in _values(model.graph)} - {str(value.name) for value in _values(branch)}
    for value in _values(branch):
        value.name = fresh_name(str(value.name), taken)
        taken.add(str(value.name))
    results = list(branch.outputs)
    nodes = list(branch)
    branch.outputs.clear()
    branch.remove(nodes)
    for name in list(branch.initializers):
        graph.register_initializer(branch.initializers.pop(name))
    graph.insert_before(node, nodes)
    moved = set(nodes)
    for old, new in zip(list(node.outputs), results, strict=True):
        if new.producer() in moved:
            moved.discard(new.producer())  # a second output needs a name of its own
        else:
            new = _identity(graph, node, new)
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name, new.name = None, old.name
    graph.remove(node, safe=True)


def _identity(graph: oir.Graph, before: oir.Node, value: oir.Value) -> oir.Value:
    link = oir.Node("", "Identity", [value], num_outputs=1)
    graph.insert_before(before, link)
    (result,) = link.outputs
    result.type, result.shape = value.type, value.shape
    return result


def _values(graph: oir.Graph) -> Iterator[oir.Value]:
    """All named values that a graph and its subgraphs define."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield from current.inputs
        yield from current.initializers.values()
        for node in current:
            yield from (value for value in node.outputs if value.name)
            waiting += [inner for _, inner in subgraphs(node)]
