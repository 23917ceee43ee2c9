"""The reference of dropped branches: the original in which each of them is multiplied by zero."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from ..errors import VerificationError
from ..frontends.scopes import proto_scopes, qualified
from ..ir import Graph
from ..plans import Plan
from ..runtime.executable import Executable

PREFIX = "irprune_reference/"


def with_zero_branches(model: Executable, plan: Plan, graph: Graph) -> Executable:
    """The model with the branches of a plan multiplied by zero; the model itself where the plan drops none.

    Raises :class:`VerificationError` for a branch that the model does not have.
    """
    if not plan.dropped:
        return model
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    for number, each in enumerate(plan.dropped):
        value = graph.values.get(each.branch)
        dtype = np.dtype((value.dtype if value is not None else None) or "float32")
        for scope, body in proto_scopes(proto.graph):
            if _cut(body, scope, each.result, each.branch, f"{PREFIX}{number}", dtype):
                break
        else:
            raise VerificationError(f"no node adds '{each.branch}' to make '{each.result}'")
    return Executable(proto, model.data_folder, model.scratch)


def _cut(body: onnx.GraphProto, scope: str, result: str, branch: str, name: str, dtype: np.dtype[np.generic]) -> bool:
    for position, node in enumerate(body.node):
        if not node.output or qualified(scope, node.output[0]) != result:
            continue
        for k, operand in enumerate(node.input):
            if qualified(scope, operand) == branch or operand == branch:
                zero = onnx.numpy_helper.from_array(np.zeros((), dtype), f"{name}/zero")
                body.initializer.append(zero)
                product = onnx.helper.make_node("Mul", [operand, zero.name], [f"{name}/branch"], f"{name}/Mul")
                node.input[k] = product.output[0]
                body.node.insert(position, product)
                return True
    return False


def tensors_of_branches(graph: onnx.GraphProto, plan: Plan) -> set[str]:
    """The tensors that nothing reads once the branches of a plan are cut off."""
    if not plan.dropped:
        return set()
    cut = {(each.result, each.branch) for each in plan.dropped}
    makers: dict[str, list[tuple[str, str]]] = {}
    for scope, body in proto_scopes(graph):
        for node in body.node:
            for output in filter(None, node.output):
                makers.setdefault(qualified(scope, output), []).extend(_operands(scope, node))
    waiting = [output.name for output in graph.output]
    read = set(waiting)
    while waiting:
        name = waiting.pop()
        for operand in (found for pair in makers.get(name, ()) for found in pair):
            if operand not in read and (name, operand) not in cut:
                read.add(operand)
                waiting.append(operand)
    stored = {qualified(scope, tensor.name) for scope, body in proto_scopes(graph) for tensor in body.initializer}
    return (stored | makers.keys()) - read


def _operands(scope: str, node: onnx.NodeProto) -> Iterator[tuple[str, str]]:
    """The operands of a node, as they are called inside a body and outside of it; those of its bodies as well."""
    for name in filter(None, node.input):
        yield qualified(scope, name), name
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                yield from _operands(scope, inner)
