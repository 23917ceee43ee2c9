"""Removing atoms from a model, and running what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as oir
import onnxruntime as ort

from irprune.analysis import Analysis, Mask, analyze
from irprune.axes import Leaf, leaves_of
from irprune.backends.onnx import emit
from irprune.frontends.onnx import import_model
from irprune.ir import Graph, check
from irprune.plans import Plan, Slice, costs, planned_groups
from irprune.plans.planner import cost_of
from irprune.reasons import ENDS
from irprune.request import Request
from irprune.rewriting import remove_atoms

from .models import Array


@dataclass(frozen=True)
class Removal:
    """A model, what was removed from it, and what came out."""

    original: onnx.ModelProto
    pruned: onnx.ModelProto
    analysis: Analysis
    graph: Graph
    plan: Plan

    @property
    def kept(self) -> dict[str, dict[int, tuple[int, ...]]]:
        """Per tensor of the pruned model and axis, the kept indices."""
        slices: Mapping[str, Slice] = self.plan.slices
        return {name: {axis: kept for axis, (_, kept) in part.axes.items()} for name, part in slices.items()}


def remove(proto: onnx.ModelProto, analysis: Analysis, model: oir.Model, removed: Mask) -> Removal:
    """The pruned model, checked: the IR's structure, then the ONNX checker with full shape inference."""
    graph, slices = remove_atoms(analysis, removed)
    check(graph)
    pruned = oir.to_proto(emit(model, analysis.graph, graph))
    onnx.checker.check_model(pruned, full_check=True)
    return Removal(proto, pruned, analysis, graph, plan_of(analysis, removed).with_slices(slices))


def remove_elements(
    proto: onnx.ModelProto, elements: Mapping[str, Sequence[int]], allow_io: tuple[str, ...] = ()
) -> Removal:
    """Remove elements of dimensions, and what can only go with them.

    ``w:0`` is dimension 0 of tensor ``w``, ``w:0/1`` the second of its factors or parts.
    """
    model = oir.from_proto(proto)
    analysis = analyze(import_model(model), allow_io)
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    for place, chosen in elements.items():
        atoms = analysis.atoms.of_leaf(find_leaf(analysis, place))[list(chosen)]
        assert (atoms >= 0).all(), f"{place}: an element is frozen"
        removed[atoms] = True
    return remove(proto, analysis, model, removed)


def find_leaf(analysis: Analysis, place: str) -> Leaf:
    """The axis that ``tensor:dimension`` or ``tensor:dimension/factor`` names."""
    tensor, _, rest = place.rpartition(":")
    dimension, _, factor = rest.partition("/")
    dims = next(p.dims for p in analysis.parameters if p.tensor == tensor)
    leaves = leaves_of(dims[int(dimension)])
    assert factor or len(leaves) == 1, f"{place} has {len(leaves)} factors"
    return leaves[int(factor or 0)]


def remove_random(proto: onnx.ModelProto, seed: int, allow_io: tuple[str, ...] = (), share: float = 0.5) -> Removal:
    """Remove a random legal set of atoms: any that leaves something of every axis."""
    model = oir.from_proto(proto)
    analysis = analyze(import_model(model), allow_io)
    return remove(proto, analysis, model, random_atoms(analysis, np.random.default_rng(seed), share))


def random_atoms(analysis: Analysis, random: np.random.Generator, share: float = 0.5) -> Mask:
    """Atoms of groups in random order, the first and each other with a probability, that leave no axis empty."""
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    count = analysis.atoms.count
    left = {number: np.bincount(own[own >= 0], minlength=count) for number, own in analysis.incidence.items()}
    kept = {number: len(own) for number, own in analysis.incidence.items()}
    atoms = np.unique(np.concatenate([np.zeros(0, np.intp), *(group.atoms for group in analysis.groups)]))
    for atom in random.permutation(atoms):
        after = {number: size - int(left[number][atom]) for number, size in kept.items()}
        if (random.random() < share or not removed.any()) and min(after.values()) > 0:
            removed[atom], kept = True, after
    return removed


def plan_of(analysis: Analysis, removed: Mask, allow_io: tuple[str, ...] = ("*",)) -> Plan:
    """The plan that removes exactly these atoms."""
    frozen_io = any(reason.kind in ENDS for reasons in analysis.atoms.reasons.values() for reason in reasons)
    return Plan(
        request=Request() if frozen_io else Request(allow_io=allow_io),
        groups=planned_groups(analysis, removed),
        cost=costs(analysis.cost_model({}), cost_of(analysis, removed)),
    )


SIZES = {"N": 2, "S": 3, "T": 3, "L": 5, "M": 6, "R": 2, "C": 3}
"""What the symbols of golden models stand for."""


def feeds_for(proto: onnx.ModelProto, seed: int = 0, sizes: Mapping[str, int] | None = None) -> dict[str, Array]:
    """Values for every input: normal floats, integers that are valid positions anywhere, true."""
    random = np.random.default_rng(seed)
    weights = {tensor.name for tensor in proto.graph.initializer}
    known = SIZES if sizes is None else sizes
    feeds: dict[str, Array] = {}
    for info in proto.graph.input:
        if info.name in weights:
            continue
        tensor = info.type.tensor_type
        shape = [dim.dim_value if dim.HasField("dim_value") else known[dim.dim_param] for dim in tensor.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if dtype.kind == "f":
            feeds[info.name] = random.standard_normal(shape).astype(dtype)
        elif dtype == np.bool_:
            feeds[info.name] = np.ones(shape, dtype)
        else:
            feeds[info.name] = random.integers(1, 100 if dtype.itemsize == 1 else 2, shape).astype(dtype)
    return feeds


def run(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """What ONNX Runtime computes, its own optimizations off."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, dict(feeds))
    return outputs


def relative_error(expected: Sequence[Array], got: Sequence[Array]) -> float:
    """The largest difference of any output, relative to that output's largest magnitude."""
    assert [array.shape for array in expected] == [array.shape for array in got]
    errors = [0.0]
    for left, right in zip(expected, got, strict=True):
        scale = max(float(np.abs(left).max(initial=0.0)), 1e-6)
        errors.append(float(np.abs(left.astype(np.float64) - right.astype(np.float64)).max(initial=0.0)) / scale)
    return max(errors)
