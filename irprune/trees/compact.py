"""Lossless pruning of the tree ensembles of a model, its plan, and its verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as oir

from ..analysis import Cost
from ..frontends.files import load
from ..plans import ModelIdentity, Plan
from ..plans.document import PlannedGroup, costs
from ..request import Request
from ..runtime.session import RunFailure, open_session, run_session
from ..verification.compare import compare_models
from ..verification.report import Equivalence, Fidelity, OutputError, Report, Structure
from ..versions import installed
from .boundaries import prove
from .ensemble import Ensemble, Ints, Numbers
from .lossless import compacted
from .operators import DOMAIN, is_ensemble, label_of, read_ensemble, takes_single, write_ensemble


@dataclass(frozen=True)
class Change:
    """The trees of one operator before and after.

    ``kept`` are the old numbers of the nodes that are left, ``original`` is the operator as it was.
    """

    node: oir.Node
    original: onnx.NodeProto
    before: Ensemble
    after: Ensemble
    kept: Ints

    @property
    def label(self) -> str:
        return label_of(self.node)

    @property
    def group(self) -> PlannedGroup:
        removed = np.setdiff1d(np.arange(self.before.size), self.kept)
        return PlannedGroup(
            name=self.label,
            kind="tree nodes",
            size=self.before.size,
            removed=tuple(removed.tolist()),
            members=(self.node.outputs[0].name or "",),
            exact=True,
        )


def ensembles(model: oir.Model) -> list[oir.Node]:
    """The nodes of a model, branches included, that hold trees."""
    return [node for node in model.graph.all_nodes() if is_ensemble(node)]


def compact(model: oir.Model) -> list[Change]:
    """Remove from each ensemble of a model what decides nothing. The model is changed in place.

    Raises :class:`InputError` for attributes that describe no trees.
    """
    changes = [_compact(node) for node in ensembles(model)]
    for change in changes:
        if change.after.size < change.before.size:
            write_ensemble(change.node, change.after)
    return changes


def _compact(node: oir.Node) -> Change:
    """Runtimes treat an ensemble by what it votes for at all, and by whether weights are negative: that has to stay.

    A tree that alone votes so, at a leaf that no input reaches, is left as it is.
    """
    before, original = read_ensemble(node), oir.to_proto(node)
    whole: set[int] = set()
    while True:
        after, kept = compacted(before, is_single=takes_single(node), whole=np.array(sorted(whole), dtype=np.int64))
        lost = _lost_votes(before, after)
        if not lost.size:
            return Change(node, original, before, after, kept)
        tree = before.tree[int(np.searchsorted(before.first, lost[0], side="right")) - 1]
        place = int(np.flatnonzero(before.tree[before.roots] == tree)[0])
        if place in whole:  # of a node that no root reaches
            return Change(node, original, before, before, np.arange(before.size))
        whole.add(place)


def _lost_votes(before: Ensemble, after: Ensemble) -> Ints:
    """Votes of the kind that is missing afterwards."""
    lost = ~np.isin(before.target, after.target)
    if not (after.weight < 0).any():
        lost |= before.weight < 0
    return np.flatnonzero(lost)


# -- the plan ----------------------------------------------------------------------------------------------------------


def plan_of(changes: Sequence[Change], identity: ModelIdentity) -> Plan:
    """The plan of a model whose ensembles became smaller. Its costs are those of thresholds and votes."""
    before, after = (_cost([getattr(change, side) for change in changes]) for side in ("before", "after"))
    groups = tuple(change.group for change in changes if len(change.kept) < change.before.size)
    return Plan(model=identity, versions=installed(), request=Request(), groups=groups, cost=costs(before, after))


def _cost(found: Sequence[Ensemble]) -> Cost:
    numbers = [(int((~each.is_leaf).sum()) + len(each.weight), each.weight.itemsize) for each in found]
    return Cost(sum(count for count, _ in numbers), 0, sum(count * size for count, size in numbers))


# -- the verification --------------------------------------------------------------------------------------------------


def verify(original: Path, smaller: Path, changes: Sequence[Change], seed: int = 0) -> Report:
    """Prove that a compacted model is the original: by its trees, by each operator alone, and as a whole.

    The trees are read again, from the file that was written. Outputs have to be equal bit for bit.
    """
    written = onnx.load(smaller)
    read_back = load(smaller)
    after = ensembles(read_back)
    problems = list(unsound(written))
    notes: list[str] = []
    outputs: list[OutputError] = []
    opset = read_back.opset_imports[DOMAIN]
    for change, node in zip(changes, after, strict=True):
        read = read_ensemble(node)
        features = change.before.feature
        proof = prove(change.before, read, int(features.max(initial=0)) + 1, seed=seed)
        problems += proof.problems
        notes.append(f"{change.label}: {proof}")
        outputs += list(_alone(change, node, proof.samples, opset))
    compared = compare_models(original, smaller, seed=seed)
    outputs += [_exactly(found) for found in compared.outputs]
    structure = Structure(tuple(problems), len(changes), tuple(notes), nodes=len(written.graph.node))
    equivalence = Equivalence(
        tuple(outputs), ("each operator on inputs at boundaries", *compared.cases), problems=compared.problems
    )
    return Report(structure, equivalence, Fidelity((), inputs="the inputs of the comparison"))


def _exactly(found: OutputError) -> OutputError:
    return OutputError(found.name, found.dtype, found.error, 0.0, found.case)


def unsound(model: onnx.ModelProto) -> Iterator[str]:
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        yield f"the ONNX checker refuses the model: {' '.join(str(error).split())[:200]}"


def _alone(change: Change, node: oir.Node, features: Numbers, opset: int) -> Iterator[OutputError]:
    """Run an operator before and after by itself, on the same features."""
    models = [model_of(proto, features, opset) for proto in (change.original, oir.to_proto(node))]
    try:
        ours, theirs = (run_session(open_session(model), {"features": features}) for model in models)
    except RunFailure:  # an element type that the runtime does not take; the whole model is compared all the same
        return
    for name in ours:
        mine, other = ours[name], theirs[name]
        is_equal = mine.tobytes() == other.tobytes() if mine.dtype != object else bool((mine == other).all())
        yield OutputError(f"{change.label}: {name}", str(mine.dtype), 0.0 if is_equal else np.inf, 0.0, "at boundaries")


def model_of(node: onnx.NodeProto, features: Numbers, opset: int) -> bytes:
    """A model of this node alone."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(features.dtype)
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    alone.input[:] = ["features"]
    graph = onnx.helper.make_graph(
        [alone],
        "alone",
        [onnx.helper.make_tensor_value_info("features", kind, [None, features.shape[1]])],
        [onnx.ValueInfoProto(name=name) for name in alone.output if name],
    )
    imports = [onnx.helper.make_opsetid(DOMAIN, opset), onnx.helper.make_opsetid("", 17)]
    return bytes(onnx.helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())
