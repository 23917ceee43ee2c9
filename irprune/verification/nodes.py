"""Check every node of the pruned model against the plan: operator, attributes, connections, opset.

Equal results on the tried inputs do not prove that nodes are equal: an arg-max hides differences before it, and a
branch that is never taken hides all of its nodes. So the rewriter's changes are made again from the plan (attributes
and shape operands that follow a removal, rewritten views), and the nodes are compared with the result. This finds files
that were changed, and nodes that were lost. The plan lists the nodes that the rewriter changed: any other has to be the
original's, whatever the rewriter makes of it now. It cannot find a fault of the rewriter, since the rewriter makes both
sides: whether its changes are right is judged by runs, which are compared with a reference that shares no code with it.
Sizes and indices that the file spells out are counted again from the masks of the plan, also where no run reaches:
attributes in :mod:`.followers`, operands in :mod:`.operands`. :mod:`.untaken` counts the rewritten nodes that no run
reaches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import onnx
import onnx_ir as oir

from ..analysis import Analysis, Mask
from ..backends.onnx import emit
from ..errors import InputError
from ..frontends.files import root_cause
from ..frontends.onnx import import_without_shapes, sort_nodes
from ..frontends.scopes import is_control, proto_scopes, qualified
from ..ir import Graph, dtypes
from ..ir.domains import is_stored_tensor, plain_domain, qualified_operator
from ..rewriting.slicing import remove_atoms
from ..runtime.executable import Executable
from .followers import check_followers
from .operands import check_operands
from .report import Structure
from .structure import Readers, shortened, tensors


@dataclass(frozen=True)
class NodeFindings:
    """Problems of nodes, the number of nodes, and the outputs of nodes that differ from the original's."""

    problems: tuple[str, ...]
    count: int
    rewritten: tuple[str, ...]


def check_nodes(
    original: Executable,
    pruned: Executable,
    analysis: Analysis,
    removed: Mask,
    updated: Mapping[str, str] = MappingProxyType({}),
    listed: Collection[str] | None = None,
    wanted_graph: Graph | None = None,
) -> NodeFindings:
    """Compare the nodes of ``pruned`` with ``original`` after the removal of atoms.

    ``updated`` are the digests of tensors that have new values; they are compared elsewhere. ``listed`` are the results
    of the nodes that the plan calls rewritten, ``None`` for a plan that does not say. ``wanted_graph`` is what a plan
    leaves that does more than to remove atoms.
    """
    kept = analysis.kept(removed)
    smaller = remove_atoms(analysis, removed)[0] if wanted_graph is None else wanted_graph
    source = _ir_model(original)
    sort_nodes(source)
    expected = emit(source, analysis.graph, smaller)
    written = _without_weights(expected)
    wanted, found = _nodes(written), _nodes(pruned.proto.graph)
    before = _nodes(original.proto.graph)
    problems = (
        *_compare_opsets(_opsets(expected.opset_imports), _opsets(_imports(pruned.proto)), found),
        *(_compare_nodes(wanted, found) or _compare_with_list(before, found, listed)),
        *check_followers(analysis, kept, pruned.proto.graph),
        *_check_operands(analysis, kept, pruned),
        *_compare_integers(analysis.graph, smaller, tensors(pruned), updated),
        *(f"function '{function.name}' is not in what the plan leaves" for function in pruned.proto.functions),
    )
    rewritten = (key for key, node in wanted.items() if key not in before or list(_differences(before[key], node)))
    return NodeFindings(tuple(problems), len(found), tuple(rewritten))


def with_nodes(structure: Structure, found: NodeFindings) -> Structure:
    """Add the findings on nodes to those on tensors and interface."""
    problems = shortened([*structure.problems, *found.problems])
    return replace(structure, problems=problems, nodes=found.count, rewritten=found.rewritten)


def _check_operands(analysis: Analysis, kept: Mapping[int, Mask], pruned: Executable) -> Iterator[str]:
    try:
        graph = import_without_shapes(_ir_model(pruned))
    except (InputError, oir.serde.SerdeError) as error:
        yield f"the pruned model cannot be read: {root_cause(error)}"
        return
    yield from check_operands(analysis, kept, graph)


def _ir_model(model: Executable) -> oir.Model:
    """The model without reading its weights. Map types are left out: onnx_ir does not support them."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        if not output.type.HasField("tensor_type"):
            output.ClearField("type")
    found = oir.from_proto(proto)
    if model.data_folder is not None:
        oir.external_data.set_base_dir(found.graph, model.data_folder)
    return found


def _without_weights(model: oir.Model) -> onnx.GraphProto:
    graph = onnx.GraphProto()
    graph.node.extend(oir.serde.serialize_node(node) for node in model.graph)
    return graph


def _is_constant(node: onnx.NodeProto) -> bool:
    """Constant nodes are compared as tensors: an initializer may replace one."""
    return is_stored_tensor(node.op_type, node.domain)


def _nodes(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Every node of every scope, by its first output."""
    return {
        qualified(scope, next((name for name in node.output if name), node.name)): node
        for scope, body in proto_scopes(graph)
        for node in body.node
        if not _is_constant(node)
    }


# -- opsets ------------------------------------------------------------------------------------------------------------


def _imports(proto: onnx.ModelProto) -> dict[str, int]:
    return {entry.domain: entry.version for entry in proto.opset_import}


def _opsets(imports: Mapping[str, int]) -> dict[str, int]:
    return {plain_domain(domain): version for domain, version in imports.items()}


def _compare_opsets(
    expected: Mapping[str, int], got: Mapping[str, int], nodes: Mapping[str, onnx.NodeProto]
) -> Iterator[str]:
    used = {plain_domain(node.domain) for node in nodes.values()}
    for domain in sorted(used & expected.keys()):
        if got.get(domain) != expected[domain]:
            yield f"opset of domain '{domain or 'ai.onnx'}': expected {expected[domain]}, got {got.get(domain)}"


# -- nodes -------------------------------------------------------------------------------------------------------------


def _compare_nodes(expected: Mapping[str, onnx.NodeProto], got: Mapping[str, onnx.NodeProto]) -> list[str]:
    problems: list[str] = []
    for key, node in expected.items():
        if key not in got:
            problems.append(f"the node that makes '{key}' ({node.op_type}) is missing")
            continue
        problems += (f"the node that makes '{key}': {difference}" for difference in _differences(node, got[key]))
    problems += (
        f"the node that makes '{key}' ({got[key].op_type}) is in neither the original nor what the plan leaves"
        for key in sorted(got.keys() - expected.keys())
    )
    return problems


def _compare_with_list(
    before: Mapping[str, onnx.NodeProto], found: Mapping[str, onnx.NodeProto], listed: Collection[str] | None
) -> Iterator[str]:
    """A node that differs from the original's has to be in the plan's list, and the other way round.

    Asked where all nodes are what the rewriter makes: what it makes is then what the plan says, too.
    """
    if listed is None:
        return
    changed = {key for key in before if key not in found or list(_differences(before[key], found[key]))}
    # What irprune adds to a body has the name that the plan knows; other names are those of one scope.
    changed |= {next(iter(_connections(found[key].output)), key) for key in found.keys() - before.keys()}
    for name in sorted(changed.difference(listed)):
        yield f"the node that makes '{name}' is not the original's, and the plan does not list it as rewritten"
    for name in sorted(set(listed) - changed):
        yield f"the plan lists the node that makes '{name}' as rewritten, and it is the original's"


def _differences(expected: onnx.NodeProto, got: onnx.NodeProto) -> Iterator[str]:
    if _operator(expected) != _operator(got):
        yield f"expected operator {_operator(expected)}, got {_operator(got)}"
        return
    for kind, left, right in (
        ("inputs", _connections(expected.input), _connections(got.input)),
        ("outputs", _connections(expected.output), _connections(got.output)),
    ):
        if left != right:
            yield f"expected {kind} {left}, got {right}"
    before, after = ({attribute.name: attribute for attribute in node.attribute} for node in (expected, got))
    inside = is_control(expected.domain, expected.op_type)
    for name in sorted(before.keys() | after.keys()):
        values = [_value(side[name], inside) if name in side else None for side in (before, after)]
        if not _equal(*values):
            yield f"attribute '{name}' of {expected.op_type}: expected {_spell(values[0])}, got {_spell(values[1])}"


def _operator(node: onnx.NodeProto) -> str:
    return qualified_operator(node.op_type, node.domain)


def _connections(names: Iterable[str]) -> list[str]:
    """Names of operands without absent ones at the end."""
    found = list(names)
    while found and not found[-1]:
        found.pop()
    return found


def _value(attribute: onnx.AttributeProto, inside: bool) -> object:
    """The value of an attribute. For bodies only the interface, since their nodes are compared one by one."""
    kinds = onnx.AttributeProto
    if attribute.type == kinds.TENSOR:
        return onnx.numpy_helper.to_array(attribute.t)
    if attribute.type == kinds.GRAPH and inside:
        return [[value.name for value in side] for side in (attribute.g.input, attribute.g.output)]
    if attribute.type in (kinds.INTS, kinds.FLOATS, kinds.STRINGS):
        return list(onnx.helper.get_attribute_value(attribute))
    if attribute.type in (kinds.INT, kinds.FLOAT, kinds.STRING):
        return onnx.helper.get_attribute_value(attribute)
    return attribute.SerializeToString()


def _equal(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    return type(left) is type(right) and (left == right or (left != left and right != right))


def _spell(value: object) -> str:
    text = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# -- integers ----------------------------------------------------------------------------------------------------------


def _is_integer(dtype: str) -> bool:
    return dtypes.is_integer(dtype) or dtype == "bool"


def _compare_integers(before: Graph, after: Graph, got: Readers, updated: Mapping[str, str]) -> Iterator[str]:
    """Shapes and indices that the rewriter made; the plan lists slices of tensors, and digests of new ones."""
    for name, constant in after.constants.items():
        if before.constants.get(name) is constant or not _is_integer(constant.dtype) or updated.get(name):
            continue
        if name not in got:
            yield f"tensor '{name}' is missing"
            continue
        expected, found = constant.numpy(), got[name]()
        if not _equal(expected, found):
            yield f"tensor '{name}': expected {_spell(expected.tolist())}, got {_spell(found.tolist())}"
