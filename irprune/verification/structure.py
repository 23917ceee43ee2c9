"""Is the pruned model well formed, and is every kept weight the original's slice, bit for bit?

Uses the plan and the two files only, and shares no code with the rewriter. Nodes are compared in :mod:`.nodes`, against
the rewriter's own result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx

from ..frontends.scopes import proto_scopes, qualified
from ..ir.core import Array
from ..ir.domains import is_stored_tensor
from ..plans import Plan
from ..plans.digests import digest_of_values
from ..runtime.executable import Executable
from ..runtime.feeds import fed_inputs
from ..runtime.weights import read_tensor
from ..signatures import traits_of
from .branches import tensors_of_branches
from .report import Structure

Readers: TypeAlias = dict[str, Callable[[], Array]]

_MOST_PROBLEMS = 20
_INTEGERS = "iub"
_INTEGER_TYPES = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


def check_structure(original: Executable, pruned: Executable, plan: Plan, *, tuned: bool = False) -> Structure:
    """The ONNX checker with full shape inference, all tensors against the plan, and the interface of the graph.

    Tensors that the plan lists as updated have the digest that it gives. With ``tuned``, floats may have values that
    the plan does not record. The report counts both apart from the tensors that are unchanged.
    """
    problems, notes = _run_checker(original, pruned)
    before, after = tensors(original), tensors(pruned)
    mismatches, counts = _compare_tensors(before, after, plan, tuned=tuned)
    found = [
        *problems,
        *_compare_interfaces(original.proto.graph, pruned.proto.graph, allowed_to_change(plan)),
        *mismatches,
        *_missing(before, after, plan, original.proto.graph),
    ]
    notes += _moved_by_index(original.proto.graph, pruned.proto.graph)
    return Structure(
        shortened(found),
        len(after),
        tuple(notes),
        unchanged=counts["unchanged"],
        updated=counts["updated"],
        other_values=counts["other_values"],
        made=counts["made"],
    )


def _moved_by_index(before: onnx.GraphProto, after: onnx.GraphProto) -> Iterator[str]:
    """Views that became lookups by index: some converters for phones take them for something else."""
    makers = {name: traits_of(node.op_type, node.domain) for node in before.node for name in node.output}
    for node in after.node:
        maker = makers.get(node.output[0])
        if maker is not None and maker.copies and traits_of(node.op_type, node.domain).picks_from(0):
            yield f"'{node.output[0]}' was a chain of views and is now a {node.op_type} by an index vector"


def shortened(problems: Sequence[str]) -> tuple[str, ...]:
    """The first few of many problems."""
    if len(problems) <= _MOST_PROBLEMS:
        return tuple(problems)
    return (*problems[:_MOST_PROBLEMS], f"... and {len(problems) - _MOST_PROBLEMS} more problems")


def allowed_to_change(plan: Plan) -> tuple[str, ...]:
    """Globs of inputs and outputs that may change shape."""
    ends = [end for pair in (*plan.request.states, *plan.request.ties) for end in pair.split("=")]
    return (*plan.request.allow_io, *ends)


# -- the checker -------------------------------------------------------------------------------------------------------


def _run_checker(original: Executable, pruned: Executable) -> tuple[list[str], list[str]]:
    """Problems and notes. Findings that the checker reports for the original as well are only notes."""
    message = _checker_message(pruned)
    if message is None:
        return [], []
    if _checker_message(original) is not None:
        return [], [f"the ONNX checker rejects the original too: {message}"]
    return [f"the ONNX checker rejects the pruned model: {message}"], []


def _checker_message(model: Executable) -> str | None:
    target: onnx.ModelProto | str = str(model.model) if isinstance(model.model, Path) else model.proto
    try:
        onnx.checker.check_model(target, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,
        RuntimeError,
    ) as error:
        return " ".join(str(error).split())[:400]
    return None


# -- tensors -----------------------------------------------------------------------------------------------------------


def tensors(model: Executable) -> Readers:
    """The initializers and the outputs of Constant nodes, read when called."""
    folder = model.data_folder
    found: Readers = {}
    for scope, graph in proto_scopes(model.proto.graph):
        for tensor in graph.initializer:
            found[qualified(scope, tensor.name)] = _reader(tensor, folder)
        for node in graph.node:
            if is_stored_tensor(node.op_type, node.domain):
                readers = [_attribute_reader(attribute, folder) for attribute in node.attribute]
                found.update({qualified(scope, node.output[0]): reader for reader in readers if reader is not None})
    return found


def _reader(tensor: onnx.TensorProto, folder: Path | None) -> Callable[[], Array]:
    return lambda: read_tensor(tensor, folder)


def _attribute_reader(attribute: onnx.AttributeProto, folder: Path | None) -> Callable[[], Array] | None:
    if attribute.name == "value":
        return _reader(attribute.t, folder)
    if attribute.name in ("value_int", "value_ints"):
        return lambda: np.array(onnx.helper.get_attribute_value(attribute), dtype=np.int64)
    if attribute.name in ("value_float", "value_floats"):
        return lambda: np.array(onnx.helper.get_attribute_value(attribute), dtype=np.float32)
    return None


def _compare_tensors(before: Readers, after: Readers, plan: Plan, *, tuned: bool) -> tuple[list[str], Counter[str]]:
    """Problems, and how many of the other tensors there are of each kind that :class:`Structure` counts."""
    problems: list[str] = []
    counts = Counter[str]()
    for name, read in after.items():
        kind = _kind_of(name, before, plan)
        compare = _compare_tensor if name not in plan.updated else _compare_digest
        found = list(compare(name, read, before, plan))
        if found and tuned and _is_another_value(name, read(), before, plan):
            kind, found = "other_values", []
        counts[kind] += not found
        problems += found
    return problems, counts


def _kind_of(name: str, before: Readers, plan: Plan) -> str:
    """How a tensor without problems is counted."""
    if name in plan.updated:
        return "updated" if plan.updated[name] else "other_values"
    return "unchanged" if _origin(name, plan) in before else "made"


def _origin(name: str, plan: Plan) -> str:
    """The tensor of the original that one is a slice of."""
    part = plan.slices.get(name)
    return name if part is None or part.of is None else part.of


def _compare_digest(name: str, read: Callable[[], Array], _: Readers, plan: Plan) -> Iterator[str]:
    digest = plan.updated[name]
    if digest and digest_of_values(read()) != digest:
        yield f"tensor '{name}': its values are not those that the plan has the digest of: it was changed afterwards"


def _is_another_value(name: str, array: Array, before: Readers, plan: Plan) -> bool:
    """Whether a tensor is a weight of the original but for its values."""
    part = plan.slices.get(name)
    origin = before.get(_origin(name, plan))
    if origin is None or array.dtype.kind in _INTEGERS:
        return False
    expected = origin()
    shape = list(expected.shape)
    for axis, (_, kept) in part.axes.items() if part is not None else ():
        shape[axis] = len(kept)
    return expected.dtype == array.dtype and list(array.shape) == shape


def _compare_tensor(name: str, read: Callable[[], Array], before: Readers, plan: Plan) -> Iterator[str]:
    part = plan.slices.get(name)
    origin = _origin(name, plan)
    if origin not in before:
        array = read()
        if part is not None:
            yield f"tensor '{name}': the plan says it is a slice of '{origin}', which the original lacks"
        elif array.dtype.kind not in _INTEGERS:
            kind = f"{array.dtype}, shape {list(array.shape)}"
            yield f"tensor '{name}' ({kind}) is in neither the original nor the plan"
        return
    expected = before[origin]()
    for axis, (size, kept) in part.axes.items() if part is not None else ():
        if axis >= expected.ndim or expected.shape[axis] != size or not set(kept) <= set(range(size)):
            yield f"tensor '{name}': the plan's axis {axis} ({size}) does not fit {list(expected.shape)}"
            return
        expected = expected.take(kept, axis=axis)
    yield from _compare(name, origin, expected, read())


def _missing(before: Readers, after: Readers, plan: Plan, graph: onnx.GraphProto) -> Iterator[str]:
    for name in sorted(plan.slices.keys() - after.keys()):
        yield f"tensor '{name}': the plan lists a slice of it, the pruned model does not have it"
    copied = {part.of for part in plan.slices.values()}
    unrecorded = {name for name, digest in plan.updated.items() if not digest}
    gone = before.keys() - after.keys() - plan.slices.keys() - copied - unrecorded - tensors_of_branches(graph, plan)
    weights = sorted(name for name in gone if before[name]().dtype.kind not in _INTEGERS)
    becomes = _results(graph) if weights else {}
    for name in weights:
        if not _ends_in_integers(name, becomes):
            yield f"tensor '{name}' of the original is missing from the pruned model"


def _results(graph: onnx.GraphProto) -> dict[str, list[str]]:
    """Per value, the values computed from its elements: none if it becomes an integer or only its size is read."""
    found: dict[str, list[str]] = {output.name: [output.name] for output in graph.output}
    for scope, body in proto_scopes(graph):
        for node in body.node:
            to = next((attribute.i for attribute in node.attribute if attribute.name == "to"), 0)
            traits = traits_of(node.op_type, node.domain)
            ends = traits.reads_sizes or (traits.copies and to in _INTEGER_TYPES)
            for name in node.input:
                results = [] if ends else [qualified(scope, output) for output in node.output]
                found.setdefault(qualified(scope, name), []).extend(results)
    return found


def _ends_in_integers(name: str, becomes: dict[str, list[str]]) -> bool:
    """Whether a tensor only takes part in arithmetic of sizes, which a fixed shape may have replaced."""
    seen, pending = set[str](), [name]
    while pending:
        current = pending.pop()
        if current not in becomes or current in becomes[current]:
            return False
        pending += [result for result in becomes[current] if result not in seen]
        seen.update(becomes[current])
    return True


def _compare(name: str, origin: str, expected: Array, got: Array) -> Iterator[str]:
    if expected.dtype != got.dtype or expected.shape != got.shape:
        yield (
            f"tensor '{name}': expected {expected.dtype}{list(expected.shape)} (the plan's slice of '{origin}'), "
            f"got {got.dtype}{list(got.shape)}"
        )
    elif not same_bits(expected, got):
        yield f"tensor '{name}': its values are not the plan's slice of '{origin}', and it is not listed as updated"


def same_bits(left: Array, right: Array) -> bool:
    """Whether two arrays of one type have the same elements, NaNs and signs of zeros included."""
    if left.dtype == object or left.dtype.itemsize == 0:
        return bool((left == right).all())
    first, second = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (left, right))
    return bool(np.array_equal(first, second))


# -- the interface -----------------------------------------------------------------------------------------------------


def _compare_interfaces(before: onnx.GraphProto, after: onnx.GraphProto, allowed: Sequence[str]) -> Iterator[str]:
    for kind, left, right in (
        ("input", fed_inputs(before), fed_inputs(after)),
        ("output", list(before.output), list(after.output)),
    ):
        names = [[info.name for info in side] for side in (left, right)]
        if names[0] != names[1]:
            yield f"graph {kind}s: expected {names[0]}, got {names[1]}"
            continue
        for old, new in zip(left, right, strict=True):
            may_change = any(fnmatchcase(old.name, pattern) for pattern in allowed)
            yield from _compare_types(kind, old, new, may_change)


def _compare_types(kind: str, old: onnx.ValueInfoProto, new: onnx.ValueInfoProto, may_change: bool) -> Iterator[str]:
    if not old.type.HasField("tensor_type"):
        if old.type != new.type:
            yield f"graph {kind} '{old.name}': its type changed"
        return
    left, right = old.type.tensor_type, new.type.tensor_type
    if left.elem_type != right.elem_type:
        yield f"graph {kind} '{old.name}': expected element type {left.elem_type}, got {right.elem_type}"
    if may_change or not left.HasField("shape"):
        return
    shapes = [[_dim(dim) for dim in side.shape.dim] for side in (left, right)]
    if shapes[0] != shapes[1]:
        yield f"graph {kind} '{old.name}': expected shape {shapes[0]}, got {shapes[1]}"


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    return int(dim.dim_value) if dim.HasField("dim_value") else str(dim.dim_param)
