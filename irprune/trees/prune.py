"""Pruning of the one ensemble of a model on labeled data: the rule, the numbers that judge it, the verification."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as oir

from ..errors import InputError, TargetError
from ..frontends.files import load
from ..runtime.executable import Executable
from ..runtime.feeds import DataSource, input_types
from ..runtime.session import RunFailure, open_session, run_session
from ..verification.report import Equivalence, Fidelity, OutputError, Report, Structure
from .boundaries import prove
from .compact import Change, model_of, unsound
from .ensemble import Ensemble, Ints, Numbers
from .labelled import Cut, Pruner, Scores, apply_cut, masked
from .operators import CODECS, DOMAIN, is_ensemble, label_of, read_ensemble, values_of, write_ensemble

RULES = "a share of the trees that stay (0.5), reduced-error, or nodes=R (cost-complexity, the share of nodes left)"
ACCURACY = "accuracy"
_HELD_OUT = 5
"""Every fifth sample judges and is not pruned on."""

_TOLERANCE = 1e-5
_EDGES = 20_000
"""Inputs at boundaries, of which some are compared beside the data."""


@dataclass(frozen=True)
class Rule:
    """``kind`` is ``trees``, ``nodes`` or ``reduced-error``; ``share`` is what stays, of trees or of nodes."""

    kind: str
    share: float = 1.0

    @staticmethod
    def parse(text: str) -> Rule:
        """Raises :class:`InputError` for a text that is no rule."""
        if text == "reduced-error":
            return Rule(text)
        found = re.fullmatch(r"(nodes=)?([0-9]*\.?[0-9]+)", text)
        if found is None:
            raise InputError(f"--trees: expected {RULES}, got '{text}'")
        share = float(found[2])
        if not 0 < share < 1:
            raise InputError(f"--trees: a share lies between 0 and 1 (both excluded), got {share:g}")
        return Rule("nodes" if found[1] else "trees", share)


@dataclass(frozen=True)
class Pruned:
    """``change`` is of the one operator, ``masked`` the original shape with the votes that are left.

    ``judged`` is the accuracy, or the R^2 of a regression, before and after, on samples that were not pruned on.
    """

    change: Change
    masked: Ensemble
    others: dict[str, Any]
    features: Numbers
    judged: tuple[float, float]
    measure: str
    samples: int


def the_ensemble(model: oir.Model) -> oir.Node:
    """The one node that holds trees. Raises :class:`InputError` where there are none, or several."""
    found = [node for node in model.graph.all_nodes() if is_ensemble(node)]
    if len(found) != 1:
        raise InputError(f"--trees prunes a model with one tree ensemble; this one has {len(found)}")
    return found[0]


def features_of(path: Path, node: oir.Node, data: DataSource) -> Numbers:
    """What the ensemble reads on the user's data, shape (samples, features)."""
    executable = Executable(path)
    inputs = input_types(executable.proto)
    name = str(node.inputs[0].name) if node.inputs[0] is not None else ""
    feeds = list(data.fed_to(inputs))
    if any(spec.name == name for spec in inputs):
        return np.concatenate([feed[name] for feed in feeds])
    try:
        return np.concatenate([values[name] for _, values in executable.tap(feeds, [name])])
    except RunFailure as error:
        raise InputError(f"{path}: ONNX Runtime cannot run this model on {data.origin}: {error}") from error


def prune(node: oir.Node, features: Numbers, labels: Numbers, rule: Rule) -> Pruned:
    """Prune the ensemble of a node, which is changed in place.

    Raises :class:`InputError` for labels that do not fit, :class:`TargetError` where nothing can go.
    """
    before, values = read_ensemble(node), values_of(node)
    original = oir.to_proto(node)
    average = values.get("aggregate_function") in ("AVERAGE", 0)
    if values.get("aggregate_function", "SUM") not in ("SUM", "AVERAGE", 0, 1):
        raise InputError(f"{label_of(node)}: --trees takes sums and averages of trees, not their least or largest")
    scores = _scores(node, before, values, labels, len(features), average=average)
    chosen = np.arange(len(features)) % _HELD_OUT != 0
    if chosen.all() or chosen.sum() < 2:
        raise InputError(f"--trees needs more samples than {len(features)}")
    has_base = bool(CODECS[node.op_type].votes)
    pruner = Pruner(before, features[chosen], replace(scores, truth=scores.truth[chosen]), one_vote=not has_base)
    cut = _chosen(pruner, rule, has_base=has_base)
    after, kept = apply_cut(before, cut, average=average)
    if after.size >= before.size:
        raise TargetError(f"{label_of(node)}: no subtree can go without a larger loss on these samples")
    others = _base_values(values, scores, cut) if cut.shift.any() else {}
    write_ensemble(node, after, **others)
    change = Change(node, original, before, after, kept)
    judged = tuple(
        _judged(_sums(each, features[~chosen], len(shift)) * scale + scores.base + shift, scores, scores.truth[~chosen])
        for each, shift, scale in (
            (before, np.zeros(len(cut.shift)), scores.share),
            (after, cut.shift, 1 / len(after.roots) if average else 1.0),
        )
    )
    measure = ACCURACY if scores.decides else "R^2"
    return Pruned(
        change,
        masked(before, cut, average=average),
        others,
        features[:4096],
        (judged[0], judged[1]),
        measure,
        int((~chosen).sum()),
    )


def _chosen(pruner: Pruner, rule: Rule, *, has_base: bool) -> Cut:
    if rule.kind == "reduced-error":
        return pruner.reduced_error()
    if rule.kind == "nodes":
        return pruner.cost_complexity(rule.share)
    trees = len(pruner.paths)
    count = max(1, round(rule.share * trees))
    if count >= trees:
        raise TargetError(f"{pruner.ensemble.where}: {rule.share:g} of {trees} trees is all of them")
    return pruner.contribution(count, shifts=has_base)


# -- labels ------------------------------------------------------------------------------------------------------------


def _scores(node: oir.Node, ensemble: Ensemble, values: Any, labels: Numbers, samples: int, *, average: bool) -> Scores:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if len(labels) != samples:
        raise InputError(f"the labels are {len(labels)}, the samples {samples}")
    share = 1 / len(ensemble.roots) if average else 1.0
    names = values.get("classlabels_strings") or values.get("classlabels_int64s")
    targets = len(names) if names else max(int(values.get("n_targets", 1)), int(ensemble.target.max(initial=0)) + 1)
    base = np.zeros(targets)
    given = np.asarray(values.get("base_values_as_tensor", values.get("base_values", ())), dtype=np.float64)
    if len(given) in (1, targets):
        base[: len(given)] = given
    if not names:
        truth = _numbers(labels, targets)
        return Scores(truth, base, "squared", share, decides=targets > 1 and _one_hot(truth))
    truth = np.zeros((samples, targets))
    truth[np.arange(samples), _positions(labels, names)] = 1
    is_raw = values.get("post_transform", "NONE") == "NONE" and not (ensemble.weight < 0).any()
    voted = np.unique(ensemble.target)
    if targets == 2 and len(voted) == 1:  # one number, for the second class
        truth, base = np.zeros((samples, 2)), np.zeros(2)
        truth[:, voted[0]] = _positions(labels, names)
        base[voted[0]] = given[-1] if len(given) else 0.0
        return Scores(truth, base, "squared" if is_raw else "logistic", share, decides=True)
    if len(voted) == 2 and targets == 2 and (np.diff(ensemble.first)[ensemble.is_leaf] < 2).any():
        raise InputError(f"{label_of(node)}: a leaf votes for one of two classes alone, which runtimes read as a sign")
    totals = ensemble.votes(targets)[ensemble.is_leaf].sum(axis=1)
    is_simplex = is_raw and bool(np.ptp(totals) <= 1e-4 * totals.max())
    return Scores(truth, base, "squared" if is_raw else "softmax", share, is_simplex, True)


def _numbers(labels: Numbers, targets: int) -> Numbers:
    if labels.dtype.kind not in "iufb":
        raise InputError(f"the labels of a regression are numbers, got {labels.dtype.name}")
    truth = labels.astype(np.float64).reshape(len(labels), -1)
    if truth.shape[1] == targets:
        return truth
    if truth.shape[1] == 1 and np.array_equal(truth, np.round(truth)) and truth.min() >= 0 and truth.max() < targets:
        return np.asarray(np.eye(targets)[truth[:, 0].astype(np.int64)])
    raise InputError(f"the labels have {truth.shape[1]} columns, the trees predict {targets} numbers")


def _positions(labels: Numbers, names: Sequence[Any]) -> Ints:
    """The position of each label among the names of the classes. Raises :class:`InputError` for other labels."""
    known = {str(name): place for place, name in enumerate(names)}
    given = labels.astype(np.int64) if labels.dtype.kind == "b" else labels
    if given.dtype.kind == "f" and np.array_equal(given, np.round(given)):
        given = given.astype(np.int64)
    kinds, back = np.unique(given, return_inverse=True)
    lost = [kind for kind in kinds.tolist() if str(kind) not in known]
    if lost or labels.ndim != 1:
        raise InputError(f"the labels hold {lost[:1] or list(labels.shape)}, the classes are {', '.join(known)}"[:200])
    return np.array([known[str(kind)] for kind in kinds.tolist()], dtype=np.int64)[back]


def _one_hot(truth: Numbers) -> bool:
    return bool(np.isin(truth, (0, 1)).all() and (truth.sum(axis=1) == 1).all())


def _sums(ensemble: Ensemble, features: Numbers, targets: int) -> Numbers:
    """The votes of all trees for each row, base values apart."""
    votes, found = ensemble.votes(targets), np.zeros((len(features), targets))
    for tree in range(len(ensemble.roots)):
        found += votes[ensemble.path(tree, features)[-1]]
    return found


def _judged(total: Numbers, scores: Scores, truth: Numbers) -> float:
    """The accuracy, or the R^2 of a regression."""
    if scores.decides:
        return float(1 - replace(scores, truth=truth).is_wrong(total).mean())
    return float(1 - ((total - truth) ** 2).sum() / max(((truth - truth.mean(axis=0)) ** 2).sum(), 1e-300))


def _base_values(values: Any, scores: Scores, cut: Cut) -> dict[str, Any]:
    """The attribute with the base values, shifted; a single one belongs to the one number that is decided by."""
    name = "base_values_as_tensor" if "base_values_as_tensor" in values else "base_values"
    given = np.asarray(values.get(name, ()), dtype=np.float64)
    shift = cut.shift
    if len(given) == 1 or scores.is_single:
        shift = shift[[int(np.abs(shift).argmax())]]
    total = (given if len(given) else np.zeros(len(shift))) + shift
    if name == "base_values":
        return {name: [float(number) for number in total.astype(np.float32)]}
    return {name: total.astype(np.asarray(values[name]).dtype)}


# -- the verification --------------------------------------------------------------------------------------------------


def verify(smaller: Path, pruned: Pruned, seed: int = 0) -> Report:
    """Compare the file that was written with the trees in their original shape, whose leaves vote as the cut says."""
    written, read_back = onnx.load(smaller), load(smaller)
    node = the_ensemble(read_back)
    width = max(int(pruned.change.before.feature.max(initial=0)) + 1, pruned.features.shape[1])
    edges = prove(pruned.change.before, pruned.change.before, width, seed=seed, most=_EDGES).samples
    rows = np.concatenate([pruned.features, edges.astype(pruned.features.dtype)])
    outputs = tuple(_compared(_reference(pruned), oir.to_proto(node), rows, read_back.opset_imports[DOMAIN]))
    structure = Structure(tuple(unsound(written)), 1, (pruned.change.label,), nodes=len(written.graph.node))
    label = "the operator alone, on the data and at the boundaries of its splits"
    accuracy = pruned.judged if pruned.measure == ACCURACY else None
    fidelity = Fidelity((), accuracy, f"{pruned.samples} samples held out")
    return Report(structure, Equivalence(outputs, (label,)), fidelity)


def _reference(pruned: Pruned) -> onnx.NodeProto:
    """The original operator with the votes that are left."""
    node = oir.serde.deserialize_node(pruned.change.original)
    write_ensemble(node, pruned.masked, **pruned.others)
    return oir.to_proto(node)


def _compared(reference: onnx.NodeProto, found: onnx.NodeProto, rows: Numbers, opset: int) -> Iterator[OutputError]:
    try:
        ours, theirs = (
            run_session(open_session(model_of(proto, rows, opset)), {"features": rows}) for proto in (reference, found)
        )
    except RunFailure as error:
        raise InputError(f"ONNX Runtime cannot run the ensemble by itself: {error}") from error
    for name, mine in ours.items():
        if mine.dtype.kind != "f":
            continue  # the class with the largest of the scores, which are compared
        other = theirs[name]
        scale = max(float(np.abs(mine).max(initial=0)), 1e-30)
        worst = np.abs(np.subtract(mine, other)).max(initial=0) / scale if mine.shape == other.shape else np.inf
        yield OutputError(name, str(mine.dtype), float(np.nan_to_num(worst, nan=np.inf)), _TOLERANCE, "on data")
