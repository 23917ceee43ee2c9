"""How the operators of ai.onnx.ml store trees: attributes become an :class:`Ensemble`, and an ensemble attributes.

https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html and its predecessors. Attributes of float64 tensors
(``nodes_values_as_tensor``) are written as they were read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as oir

from ..errors import InputError
from ..options import brief
from .ensemble import Ensemble, Ints, Mode, Numbers

DOMAIN = "ai.onnx.ml"
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Codec:
    """How one operator stores its trees: ``read`` takes the attributes by name, ``write`` gives those that change."""

    read: Callable[[Attributes, str], Ensemble]
    write: Callable[[Ensemble, Attributes], Attributes]
    votes: str = ""


def is_ensemble(node: oir.Node) -> bool:
    return node.domain == DOMAIN and node.op_type in CODECS


def label_of(node: oir.Node) -> str:
    """What a node is called in messages."""
    return f"node '{node.name or node.outputs[0].name}' ({node.op_type})"


def read_ensemble(node: oir.Node) -> Ensemble:
    """The trees of a node. Raises :class:`InputError` for attributes that describe no trees."""
    where = label_of(node)
    found = CODECS[node.op_type].read(values_of(node), where)
    _require_sound(found, _width(node))
    return found


def write_ensemble(node: oir.Node, ensemble: Ensemble, **others: Any) -> None:
    """Give a node other trees, and other values of further attributes."""
    before = values_of(node)
    for name, value in {**CODECS[node.op_type].write(ensemble, before), **others}.items():
        node.attributes[name] = _attribute(name, value)


def takes_single(node: oir.Node) -> bool:
    """Whether the features are known to be float32."""
    value = node.inputs[0]
    return value is not None and value.dtype == oir.DataType.FLOAT


def values_of(node: oir.Node) -> Attributes:
    """The attributes of a node; tensors as arrays."""
    return {
        name: attribute.value.numpy() if attribute.type == oir.AttributeType.TENSOR else attribute.value
        for name, attribute in node.attributes.items()
    }


def _attribute(name: str, value: Any) -> oir.Attr:
    if isinstance(value, np.ndarray):
        return oir.AttrTensor(name, oir.tensor(value, name=name))
    if isinstance(value, str):
        return oir.AttrString(name, value)
    if value and isinstance(value[0], str):
        return oir.AttrStrings(name, value)
    if value and isinstance(value[0], float):
        return oir.AttrFloat32s(name, value)
    return oir.AttrInt64s(name, value)


def _width(node: oir.Node) -> int | None:
    shape = None if node.inputs[0] is None else node.inputs[0].shape
    last = None if shape is None or not len(shape) else shape[-1]
    return last if isinstance(last, int) and last > 0 else None


def _require_sound(ensemble: Ensemble, width: int | None) -> None:
    _ = ensemble.levels
    features = ensemble.feature[~ensemble.is_leaf]
    if features.size and (features.min() < 0 or (width is not None and features.max() >= width)):
        wrong = features.min() if features.min() < 0 else features.max()
        raise InputError(
            f"{ensemble.where}: a split reads feature {wrong} of {'its input' if width is None else width}"
        )


def _ints(given: Attributes, name: str) -> Ints:
    return np.asarray(given.get(name, ()), dtype=np.int64)


def _numbers(given: Attributes, name: str) -> Numbers:
    """Floats of an attribute, or of the tensor of doubles in its place."""
    if f"{name}_as_tensor" in given:
        return np.asarray(given[f"{name}_as_tensor"])
    return np.asarray(given.get(name, ()), dtype=np.float32)


def _numbers_like(before: Attributes, name: str, values: Numbers) -> Attributes:
    if f"{name}_as_tensor" in before:
        return {f"{name}_as_tensor": values}
    return {name: [float(value) for value in values]}


def _require_lengths(where: str, columns: Mapping[str, Sequence[Any] | Numbers]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"{where}: attributes that belong together have different lengths: {said}")


def _places(keys: Ints, wanted: Ints) -> Ints:
    """The position of each wanted key, -1 where there is none."""
    order = np.argsort(keys, kind="stable")
    at = np.searchsorted(keys[order], wanted)
    found = order[np.minimum(at, len(keys) - 1)]
    return np.where(keys[found] == wanted, found, -1)


# -- TreeEnsembleClassifier and TreeEnsembleRegressor ------------------------------------------------------------------

_NAMES = {f"BRANCH_{mode.name}": mode for mode in Mode if mode < Mode.MEMBER} | {"LEAF": Mode.LEAF}


def _read_listed(votes: str) -> Callable[[Attributes, str], Ensemble]:
    def read(given: Attributes, where: str) -> Ensemble:
        tree, number = _ints(given, "nodes_treeids"), _ints(given, "nodes_nodeids")
        names = list(given.get("nodes_modes", ()))
        if unknown := sorted(set(names) - set(_NAMES)):
            raise InputError(f"{where}: unknown mode {brief(unknown[0])}")
        mode = np.array([_NAMES[name] for name in names], dtype=np.int64)
        columns: dict[str, Any] = {
            "nodes_treeids": tree,
            "nodes_nodeids": number,
            "nodes_modes": mode,
            "nodes_values": _numbers(given, "nodes_values"),
            **{
                f"nodes_{name}": _ints(given, f"nodes_{name}") for name in ("featureids", "truenodeids", "falsenodeids")
            },
        }
        _require_lengths(where, columns)
        if not len(tree):
            raise InputError(f"{where}: it has no nodes")
        hits, missing = _numbers(given, "nodes_hitrates"), _ints(given, "nodes_missing_value_tracks_true")
        starts = np.concatenate([[True], tree[1:] != tree[:-1]])
        if len(np.unique(tree[starts])) != starts.sum():
            raise InputError(f"{where}: the nodes of a tree do not stand together")
        trees = np.cumsum(starts) - 1
        span = int(max(number.max(), columns["nodes_truenodeids"].max(), columns["nodes_falsenodeids"].max())) + 1
        keys = trees * span + number
        if number.min() < 0 or len(np.unique(keys)) != len(keys):
            raise InputError(f"{where}: two nodes of a tree have one number, or a number is negative")
        is_leaf = mode == Mode.LEAF
        children = []
        for name in ("nodes_truenodeids", "nodes_falsenodeids"):
            wanted = columns[name]
            found = np.where(is_leaf | (wanted < 0), -1, _places(keys, trees * span + np.maximum(wanted, 0)))
            lost = np.flatnonzero(~is_leaf & (found < 0))
            if lost.size:
                raise InputError(
                    f"{where}: tree {tree[lost[0]]}: node {number[lost[0]]} names the child {wanted[lost[0]]}, "
                    "which does not exist"
                )
            children.append(found)
        first, target, weight = _listed_votes(given, votes, where, tree[starts], keys, span, is_leaf)
        return Ensemble(
            tree=tree,
            feature=columns["nodes_featureids"],
            mode=mode,
            threshold=columns["nodes_values"],
            missing=(missing != 0) if len(missing) == len(tree) else np.zeros(len(tree), dtype=bool),
            true=children[0],
            false=children[1],
            roots=np.flatnonzero(starts),
            first=first,
            target=target,
            weight=weight,
            hits=hits if len(hits) == len(tree) else None,
            where=where,
        )

    return read


def _listed_votes(
    given: Attributes, votes: str, where: str, trees: Ints, keys: Ints, span: int, is_leaf: Numbers
) -> tuple[Ints, Ints, Numbers]:
    tree, node, target = (_ints(given, f"{votes}_{name}") for name in ("treeids", "nodeids", "ids"))
    weight = _numbers(given, f"{votes}_weights")
    _require_lengths(
        where,
        {f"{votes}_treeids": tree, f"{votes}_nodeids": node, f"{votes}_ids": target, f"{votes}_weights": weight},
    )
    of = _places(trees, tree)
    at = np.where((of < 0) | (node < 0) | (node >= span), -1, _places(keys, of * span + node))
    lost = np.flatnonzero((at < 0) | ~is_leaf[at])
    if lost.size:
        raise InputError(f"{where}: a vote is given to node {node[lost[0]]} of tree {tree[lost[0]]}, which is no leaf")
    order = np.argsort(at, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=len(keys)))])
    return first, target[order], weight[order]


def _write_listed(votes: str) -> Callable[[Ensemble, Attributes], Attributes]:
    names = {mode: name for name, mode in _NAMES.items()}

    def write(of: Ensemble, before: Attributes) -> Attributes:
        starts = np.concatenate([[0], np.flatnonzero(of.tree[1:] != of.tree[:-1]) + 1])
        number = np.arange(of.size) - np.repeat(starts, np.diff([*starts, of.size]))
        node = np.repeat(np.arange(of.size), np.diff(of.first))
        found: dict[str, Any] = {
            "nodes_treeids": of.tree.tolist(),
            "nodes_nodeids": number.tolist(),
            "nodes_featureids": of.feature.tolist(),
            "nodes_modes": [names[Mode(mode)] for mode in of.mode.tolist()],
            "nodes_truenodeids": np.where(of.is_leaf, 0, number[of.true]).tolist(),
            "nodes_falsenodeids": np.where(of.is_leaf, 0, number[of.false]).tolist(),
            **_numbers_like(before, "nodes_values", of.threshold),
            f"{votes}_treeids": of.tree[node].tolist(),
            f"{votes}_nodeids": number[node].tolist(),
            f"{votes}_ids": of.target.tolist(),
            **_numbers_like(before, f"{votes}_weights", of.weight),
        }
        if "nodes_missing_value_tracks_true" in before:
            found["nodes_missing_value_tracks_true"] = of.missing.astype(int).tolist()
        if of.hits is not None:
            found |= _numbers_like(before, "nodes_hitrates", of.hits)
        return found

    return write


# -- TreeEnsemble ------------------------------------------------------------------------------------------------------


def _read_split(given: Attributes, where: str) -> Ensemble:
    """Splits and leaves are stored apart; here the leaves follow the splits, one for each edge that leads to one."""
    mode = np.asarray(given["nodes_modes"]).astype(np.int64)
    feature, threshold = _ints(given, "nodes_featureids"), np.asarray(given["nodes_splits"])
    edges = [_ints(given, f"nodes_{side}nodeids") for side in ("true", "false")]
    leafs = [_ints(given, f"nodes_{side}leafs") != 0 for side in ("true", "false")]
    targets, weights = _ints(given, "leaf_targetids"), np.asarray(given["leaf_weights"])
    columns = {"nodes_modes": mode, "nodes_featureids": feature, "nodes_splits": threshold}
    _require_lengths(where, {**columns, **{f"edges {k}": edge for k, edge in enumerate((*edges, *leafs))}})
    _require_lengths(where, {"leaf_targetids": targets, "leaf_weights": weights})
    roots = _ints(given, "tree_roots")
    count = len(mode)
    for edge, is_leaf in zip(edges, leafs, strict=True):
        lost = np.flatnonzero((edge < 0) | (edge >= np.where(is_leaf, len(targets), count)))
        if lost.size:
            raise InputError(f"{where}: node {lost[0]} names the child {edge[lost[0]]}, which does not exist")
    if not len(roots) or roots.min() < 0 or roots.max() >= count or mode.min() < 0 or mode.max() > Mode.MEMBER:
        raise InputError(f"{where}: a root does not exist, or a mode is none of 0 to 6")
    alone = roots[leafs[0][roots] & leafs[1][roots] & (edges[0][roots] == edges[1][roots])]
    is_alone = np.zeros(count, dtype=bool)
    is_alone[alone] = True
    true, false = edges[0].copy(), edges[1].copy()
    named = [edges[0][alone]]
    used = count
    children = []
    for edge, is_leaf in zip((true, false), leafs, strict=True):
        places = np.flatnonzero(is_leaf & ~is_alone)
        children.append((places, np.arange(used, used + len(places))))
        named.append(edge[places])
        edge[places] = children[-1][1]
        used += len(places)
    at = np.concatenate([alone, np.arange(count, used)])  # a tree of one leaf is that leaf
    kind = np.concatenate([np.where(is_alone, int(Mode.LEAF), mode), np.full(used - count, int(Mode.LEAF))])
    leaf = np.full(used, -1)
    leaf[at] = np.concatenate(named)
    pad = np.full(used - count, -1)
    voters = leaf[leaf >= 0]
    missing = _ints(given, "nodes_missing_value_tracks_true")
    hits = np.asarray(given["nodes_hitrates"]) if "nodes_hitrates" in given else None
    found = Ensemble(
        tree=np.full(used, -1),
        feature=np.concatenate([feature, np.zeros_like(pad)]),
        mode=kind,
        threshold=np.concatenate([threshold, np.zeros(len(pad), dtype=threshold.dtype)]),
        missing=np.concatenate([missing != 0 if len(missing) == count else np.zeros(count, dtype=bool), pad > 0]),
        true=np.where(kind == Mode.LEAF, -1, np.concatenate([true, pad])),
        false=np.where(kind == Mode.LEAF, -1, np.concatenate([false, pad])),
        roots=roots,
        first=np.concatenate([[0], np.cumsum(leaf >= 0)]),
        target=targets[voters],
        weight=weights[voters],
        hits=None if hits is None else np.concatenate([hits, np.zeros(len(pad), dtype=hits.dtype)]),
        members=_members(given, mode, where),
        where=where,
    )
    found.tree[roots] = np.arange(len(roots))
    for level in found.levels:
        splits = level[~found.is_leaf[level]]
        found.tree[found.true[splits]] = found.tree[found.false[splits]] = found.tree[splits]
    return found


def _members(given: Attributes, mode: Ints, where: str) -> dict[int, tuple[float, ...]]:
    """The members of each set; NaN stands between two sets."""
    nodes = np.flatnonzero(mode == Mode.MEMBER)
    values = np.asarray(given.get("membership_values", ()), dtype=np.float64)
    ends = np.flatnonzero(np.isnan(values))
    if len(nodes) > len(ends) + 1 or (len(nodes) and not len(values)):
        raise InputError(f"{where}: {len(nodes)} nodes test for members, membership_values holds {len(ends) + 1} sets")
    parts = np.split(values, ends)
    return {int(node): tuple(part[~np.isnan(part)].tolist()) for node, part in zip(nodes, parts, strict=False)}


def _write_split(of: Ensemble, before: Attributes) -> Attributes:
    is_root = np.zeros(of.size, dtype=bool)
    is_root[of.roots] = True
    listed = np.flatnonzero(~of.is_leaf | is_root)  # a root that is a leaf is a node whose edges lead to that leaf
    leaves = np.flatnonzero(of.is_leaf)
    place = np.full(of.size, -1)
    place[listed] = np.arange(len(listed))
    leaf = np.full(of.size, -1)
    leaf[leaves] = np.arange(len(leaves))
    true = np.where(of.is_leaf, np.arange(of.size), of.true)[listed]
    false = np.where(of.is_leaf, np.arange(of.size), of.false)[listed]
    splits = of.is_leaf[listed]
    found: dict[str, Any] = {
        "tree_roots": place[of.roots].tolist(),
        "nodes_featureids": np.where(splits, 0, of.feature[listed]).tolist(),
        "nodes_modes": np.where(splits, int(Mode.LEQ), of.mode[listed]).astype(np.uint8),
        "nodes_splits": of.threshold[listed],
        "nodes_truenodeids": np.where(of.is_leaf[true], leaf[true], place[true]).tolist(),
        "nodes_falsenodeids": np.where(of.is_leaf[false], leaf[false], place[false]).tolist(),
        "nodes_trueleafs": of.is_leaf[true].astype(int).tolist(),
        "nodes_falseleafs": of.is_leaf[false].astype(int).tolist(),
        "leaf_targetids": of.target.tolist(),
        "leaf_weights": of.weight,
    }
    if "nodes_missing_value_tracks_true" in before:
        found["nodes_missing_value_tracks_true"] = of.missing[listed].astype(int).tolist()
    if of.hits is not None:
        found["nodes_hitrates"] = of.hits[listed]
    if "membership_values" in before:
        sets = [np.array([*of.members[node], np.nan]) for node in listed.tolist() if node in of.members]
        kept = np.concatenate(sets)[:-1] if sets else np.zeros(0)
        found["membership_values"] = kept.astype(before["membership_values"].dtype)
    return found


CODECS = {
    "TreeEnsembleClassifier": Codec(_read_listed("class"), _write_listed("class"), "class"),
    "TreeEnsembleRegressor": Codec(_read_listed("target"), _write_listed("target"), "target"),
    "TreeEnsemble": Codec(_read_split, _write_split),
}
