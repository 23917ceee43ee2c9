"""Random tree ensembles, and a walker of its own that reads nothing but the attributes of a node."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh

MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
TESTS = [
    lambda x, v: x <= v,
    lambda x, v: x < v,
    lambda x, v: x >= v,
    lambda x, v: x > v,
    lambda x, v: x == v,
    lambda x, v: x != v,
]
FEATURES = 2
CLOSE = np.float32(1.0)
THRESHOLDS = [-2.5, 0.0, -0.0, CLOSE, np.nextafter(CLOSE, np.float32(2)), 3.0, np.inf, 1e-40]


def random_tree(generator: np.random.Generator, depth: int, modes: list[int]) -> Any:
    """A leaf is its votes; a split is (mode, feature, threshold, missing, true, false)."""
    if depth == 0 or generator.random() < 0.15:
        return [(int(generator.integers(3)), float(generator.integers(1, 3))) for _ in range(generator.integers(1, 3))]
    split = (
        int(generator.choice(modes)),
        int(generator.integers(FEATURES)),
        float(generator.choice(THRESHOLDS)),
        bool(generator.integers(2)),
    )
    return (*split, *(random_tree(generator, depth - 1, modes) for _ in range(2)))


def listed(trees: list[Any], votes: str, **others: Any) -> onnx.NodeProto:
    """A TreeEnsembleClassifier (``class``) or TreeEnsembleRegressor (``target``) of these trees."""
    names = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in (*names, "missing_value_tracks_true")}
    cast: dict[str, list[Any]] = {f"{votes}_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}

    def add(tree: Any, number: int) -> int:
        place = len(nodes["nodes_modes"])
        own = place - starts[number]
        is_leaf = isinstance(tree, list)
        row = (
            (number, own, "LEAF", 0, 0.0, 0, 0, 0)
            if is_leaf
            else (number, own, MODES[tree[0]], *tree[1:3], 0, 0, int(tree[3]))
        )
        for column, value in zip(nodes.values(), row, strict=True):
            column.append(value)
        if is_leaf:
            for target, weight in tree:
                for column, value in zip(cast.values(), (number, own, target, weight), strict=True):
                    column.append(value)
        else:
            nodes["nodes_truenodeids"][place] = add(tree[4], number)
            nodes["nodes_falsenodeids"][place] = add(tree[5], number)
        return own

    starts = []
    for number, tree in enumerate(trees):
        starts.append(len(nodes["nodes_modes"]))
        add(tree, number)
    op, outputs = ("TreeEnsembleClassifier", ["y", "p"]) if votes == "class" else ("TreeEnsembleRegressor", ["p"])
    return oh.make_node(op, ["x"], outputs, domain="ai.onnx.ml", name="forest", **nodes, **cast, **others)


def split_apart(trees: list[Any]) -> onnx.NodeProto:
    """A TreeEnsemble of these trees; each leaf has its first vote alone. The mode 6 tests for members."""
    names = ("modes", "featureids", "splits", "missing_value_tracks_true")
    columns: dict[str, list[Any]] = {f"nodes_{name}": [] for name in names}
    edges: dict[str, list[int]] = {
        f"nodes_{side}{what}": [] for side in ("true", "false") for what in ("nodeids", "leafs")
    }
    targets, weights, members, roots = [], [], [], []

    def leaf(tree: Any) -> int:
        targets.append(tree[0][0])
        weights.append(tree[0][1])
        return len(targets) - 1

    def add(tree: Any) -> int:
        place = len(columns["nodes_modes"])
        if isinstance(tree, list):
            tree, same = (0, 0, 0.0, False, tree, tree), leaf(tree)
        else:
            same = None
        for column, value in zip(columns.values(), (tree[0], tree[1], tree[2], int(tree[3])), strict=True):
            column.append(value)
        if tree[0] == 6:
            members.append([1.0, 3.0, 40.0])
        for column in edges.values():
            column.append(0)
        for side, child in (("true", tree[4]), ("false", tree[5])):
            is_leaf = isinstance(child, list)
            edges[f"nodes_{side}leafs"][place] = int(is_leaf)
            at = same if same is not None else leaf(child) if is_leaf else add(child)
            edges[f"nodes_{side}nodeids"][place] = at
        return place

    for tree in trees:
        roots.append(len(columns["nodes_modes"]))
        add(tree)
    flat = list(itertools.chain.from_iterable([*each, np.nan] for each in members))[:-1]
    tensors = {
        "nodes_modes": np.array(columns.pop("nodes_modes"), dtype=np.uint8),
        "nodes_splits": np.array(columns.pop("nodes_splits"), dtype=np.float32),
        "leaf_weights": np.array(weights, dtype=np.float32),
        **({"membership_values": np.array(flat, dtype=np.float32)} if members else {}),
    }
    stored = {name: onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()}
    return oh.make_node(
        "TreeEnsemble", ["x"], ["p"], domain="ai.onnx.ml", name="forest", n_targets=3, tree_roots=roots,
        leaf_targetids=targets, **columns, **edges, **stored,
    )  # fmt: skip


def model_of(node: onnx.NodeProto, width: int = FEATURES) -> onnx.ModelProto:
    kinds = {"y": onnx.TensorProto.INT64, "p": onnx.TensorProto.FLOAT}
    outputs = [
        oh.make_tensor_value_info(name, kinds[name], ["n"] if name == "y" else ["n", None]) for name in node.output
    ]
    graph = oh.make_graph([node], "g", [oh.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", width])], outputs)
    version = 5 if node.op_type == "TreeEnsemble" else 3
    imports = [oh.make_opsetid("ai.onnx.ml", version), oh.make_opsetid("", 21)]
    return oh.make_model(graph, opset_imports=imports, ir_version=10)


def every_boundary() -> np.ndarray:
    """All pairs of thresholds, their neighbors, zeros, infinities and NaN: each combination of sides there is."""
    values = {np.float32(v).tobytes(): np.float32(v) for v in (*THRESHOLDS, 1.0, 3.0, np.nan, -np.inf, 7.0)}
    for v in list(values.values()):
        for near in (np.nextafter(v, np.float32(np.inf)), np.nextafter(v, np.float32(-np.inf))):
            values[near.tobytes()] = near
    return np.array(list(itertools.product(values.values(), repeat=FEATURES)), dtype=np.float32)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    found = {a.name: oh.get_attribute_value(a) for a in node.attribute}
    return {k: onnx.numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v for k, v in found.items()}


def leaves_of(node: onnx.NodeProto, row: np.ndarray) -> list[Any]:
    """The votes of the leaf that a row reaches, tree by tree, by the words of the specification."""
    at = attributes(node)
    return _split_leaves(at, row) if node.op_type == "TreeEnsemble" else _listed_leaves(at, row)


def _listed_leaves(at: dict[str, Any], row: np.ndarray) -> list[Any]:
    votes = "class" if "class_ids" in at else "target"
    place = {key: k for k, key in enumerate(zip(at["nodes_treeids"], at["nodes_nodeids"], strict=True))}
    found = []
    for tree in dict.fromkeys(at["nodes_treeids"]):
        k = at["nodes_treeids"].index(tree)
        while (mode := at["nodes_modes"][k].decode()) != "LEAF":
            x = row[at["nodes_featureids"][k]]
            holds = TESTS[MODES.index(mode)](x, np.float32(at["nodes_values"][k]))
            holds = holds or (np.isnan(x) and at["nodes_missing_value_tracks_true"][k])
            k = place[tree, at["nodes_truenodeids" if holds else "nodes_falsenodeids"][k]]
        mine = zip(
            at[f"{votes}_treeids"], at[f"{votes}_nodeids"], at[f"{votes}_ids"], at[f"{votes}_weights"], strict=True
        )
        found.append([vote[2:] for vote in mine if vote[:2] == (tree, at["nodes_nodeids"][k])])
    return found


def _split_leaves(at: dict[str, Any], row: np.ndarray) -> list[Any]:
    sets: list[list[float]] = [[]]
    for value in at.get("membership_values", []):
        sets.append([]) if np.isnan(value) else sets[-1].append(value)
    of = dict(zip([k for k, mode in enumerate(at["nodes_modes"]) if mode == 6], sets, strict=False))
    found = []
    for k in at["tree_roots"]:
        is_leaf = False
        while not is_leaf:
            x, mode = row[at["nodes_featureids"][k]], at["nodes_modes"][k]
            holds = x in of[k] if mode == 6 else TESTS[mode](x, at["nodes_splits"][k])
            holds = holds or (np.isnan(x) and at["nodes_missing_value_tracks_true"][k])
            side = "true" if holds else "false"
            is_leaf, k = at[f"nodes_{side}leafs"][k], at[f"nodes_{side}nodeids"][k]
        found.append((at["leaf_targetids"][k], at["leaf_weights"][k]))
    return found
