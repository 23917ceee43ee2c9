"""``irprune compact`` on tree ensembles: every input reaches an equal leaf in every tree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from irprune.cli import run

from . import forests


def outputs(path: Path, rows: np.ndarray) -> list[bytes]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [found.tobytes() for found in session.run(None, {session.get_inputs()[0].name: rows})]


def sizes(path: Path) -> int:
    found = forests.attributes(next(n for n in onnx.load(path).graph.node if n.op_type.startswith("TreeEnsemble")))
    return len(found["nodes_modes"])


def compacted(tmp_path: Path, node: onnx.NodeProto) -> onnx.NodeProto:
    """The node after the command; outputs on ONNX Runtime equal at every boundary."""
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    onnx.save(forests.model_of(node), before)
    assert run(["compact", str(before), "-o", str(after)]) == 0
    rows = forests.every_boundary()
    assert outputs(before, rows) == outputs(after, rows)
    return onnx.load(after).graph.node[0]


def require_equal_leaves(before: onnx.NodeProto, after: onnx.NodeProto) -> None:
    for row in forests.every_boundary():
        assert forests.leaves_of(before, row) == forests.leaves_of(after, row), row


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("votes", ["class", "target"])
@pytest.mark.parametrize("modes", [[0], [1], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5]], ids=["leq", "lt", "order", "all"])
def test_every_input_reaches_an_equal_leaf(tmp_path: Path, seed: int, votes: str, modes: list[int]) -> None:
    generator = np.random.default_rng(seed)
    trees = [forests.random_tree(generator, 6, modes) for _ in range(3)]
    others = {"classlabels_int64s": [4, 5, 6], "post_transform": "SOFTMAX"} if votes == "class" else {"n_targets": 3}
    node = forests.listed(trees, votes, **others)
    after = compacted(tmp_path, node)
    require_equal_leaves(node, after)
    count = len(forests.attributes(after)["nodes_modes"])
    assert count < 0.8 * len(forests.attributes(node)["nodes_modes"])


@pytest.mark.parametrize("seed", range(6))
def test_the_newer_operator(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    modes = [0, 1, 2, 3, 4, 5] if seed % 2 else [0, 4, 6]
    trees = [*(forests.random_tree(generator, 6, modes) for _ in range(3)), [(1, 2.0)]]
    node = forests.split_apart(trees)
    require_equal_leaves(node, compacted(tmp_path, node))


def split(mode: int, threshold: float, true: object, false: object, missing: bool = False) -> tuple[object, ...]:
    return (mode, 0, threshold, missing, true, false)


A, B, C = [(0, 1.0)], [(0, 2.0)], [(0, 3.0)]
NEXT = float(np.nextafter(np.float32(1), np.float32(2)))
LEQ, LT, GT, EQ, NEQ = 0, 1, 3, 4, 5
CASES = {
    "unreachable": (split(LEQ, 3, split(LEQ, 5, A, B), C), 3),
    "nan goes the other way": (split(LEQ, 3, split(LEQ, 5, A, B, False), C, True), 5),
    "nan goes the same way": (split(LEQ, 3, split(LEQ, 5, A, B, True), C, True), 3),
    "equal leaves": (split(LEQ, 3, A, split(LEQ, 5, B, B)), 3),
    "leaves that differ": (split(LEQ, 3, A, split(LEQ, 5, B, C)), 5),
    "a tree of one leaf": (split(LEQ, 3, A, split(LEQ, 5, A, A)), 1),
    "both zeros are one": (split(LEQ, 0.0, split(GT, -0.0, A, B), C), 3),
    "nothing between neighbors": (split(LEQ, 1, A, split(LT, NEXT, B, C, True)), 5),
    "nothing between neighbors, nan apart": (split(LEQ, 1, A, split(LT, NEXT, B, C), True), 3),
    "equal after unequal": (split(NEQ, 1, split(EQ, 1, A, B), C), 3),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_goes_and_what_stays(tmp_path: Path, name: str) -> None:
    """Beside the tree there is one with equal leaves, so that there always is something to remove."""
    tree, left = CASES[name]
    node = forests.listed([tree, split(LEQ, 1, A, A)], "target", n_targets=1)
    after = compacted(tmp_path, node)
    require_equal_leaves(node, after)
    assert len(forests.attributes(after)["nodes_modes"]) == left + 1


@pytest.mark.parametrize("only", [(1, 1.0), (0, -1.0)], ids=["a class", "a negative weight"])
def test_votes_that_decide_how_scores_are_read_stay(tmp_path: Path, only: tuple[int, float]) -> None:
    """An ensemble of two classes that votes for one of them alone, or never against one, is read in another way."""
    trees = [split(LEQ, 3, split(LEQ, 5, [(0, 1.0)], [only]), [(0, 2.0)]), split(LEQ, 1, A, A)]
    node = forests.listed(trees, "class", classlabels_int64s=[0, 1])
    after = compacted(tmp_path, node)
    votes = forests.attributes(after)
    assert only in [(k, w) for k, w in zip(votes["class_ids"], votes["class_weights"], strict=True)]


def test_nothing_to_compact(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, made = tmp_path / "before.onnx", tmp_path / "after.onnx"
    onnx.save(forests.model_of(forests.listed([split(LEQ, 1, A, B)], "target", n_targets=1)), path)
    assert run(["compact", str(path), "-o", str(made)]) == 1
    assert "nothing to compact" in capfd.readouterr().err
    assert not made.exists()


def broken(**changes: object) -> onnx.NodeProto:
    node = forests.listed([split(LEQ, 1, A, split(LEQ, 5, B, C))], "target", n_targets=1)
    for name, value in changes.items():
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
    return node


WRONG = {
    "a cycle": ({"nodes_falsenodeids": [2, 0, 0, 0, 0]}, "several nodes"),
    "a child below itself": ({"nodes_truenodeids": [1, 0, 2, 0, 0]}, "several nodes"),
    "a dangling child": ({"nodes_falsenodeids": [2, 0, 9, 0, 0]}, "names the child 9, which does not exist"),
    "lengths": ({"nodes_values": [1.0]}, "different lengths"),
    "a vote at a split": ({"target_nodeids": [0, 3, 4]}, "which is no leaf"),
    "a feature": ({"nodes_featureids": [7, 0, 0, 0, 0]}, "feature 7 of 2"),
    "a number twice": ({"nodes_nodeids": [0, 1, 1, 3, 4]}, "one number"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_no_tree_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    changes, words = WRONG[name]
    path, made = tmp_path / "before.onnx", tmp_path / "after.onnx"
    onnx.save(forests.model_of(broken(**changes)), path)
    assert run(["compact", str(path), "-o", str(made)]) == 2
    said = capfd.readouterr().err
    assert words in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_wrong_rule_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A fault in the rules: the smaller file is walked and run against the original, and refused."""
    from irprune.trees import lossless

    monkeypatch.setattr(lossless, "_OPPOSITE", lossless._OPPOSITE[[2, 1, 2, 3, 4, 5]])
    path, made = tmp_path / "before.onnx", tmp_path / "after.onnx"
    tree = split(LEQ, 3, A, split(LEQ, 5, B, C), missing=True)
    onnx.save(forests.model_of(forests.listed([tree, split(LEQ, 1, A, A)], "target", n_targets=1)), path)
    assert run(["compact", str(path), "-o", str(made)]) == 1
    assert "to another leaf" in capfd.readouterr().err
    assert not made.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["forest", "regressor", "boosting", "lightgbm"])
def test_exports_of_others(tmp_path: Path, kind: str) -> None:
    """Votes rounded to thirds, as for a smaller download, leave splits between equal leaves; ZipMap is kept."""
    before, rows = exported(kind, tmp_path)
    after = tmp_path / "after.onnx"
    plan = tmp_path / "plan.json"
    assert run(["compact", str(before), "-o", str(after), "--plan", str(plan)]) == 0
    assert sizes(after) < sizes(before)
    group = json.loads(plan.read_text())["groups"][0]
    assert group["size"] - len(group["removed"]) == sizes(after)
    ours, theirs = onnx.load(before).graph, onnx.load(after).graph
    assert [n.op_type for n in ours.node] == [n.op_type for n in theirs.node]
    assert [o.SerializeToString() for o in ours.output] == [o.SerializeToString() for o in theirs.output]
    sessions = [ort.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (before, after)]
    found = [session.run(None, {session.get_inputs()[0].name: rows}) for session in sessions]
    assert str(found[0]) == str(found[1])


def exported(kind: str, folder: Path) -> tuple[Path, np.ndarray]:
    from sklearn.datasets import load_digits
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = load_digits(return_X_y=True)
    x = x.astype(np.float32)
    if kind == "lightgbm":
        import lightgbm
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        learned = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(x, y)
        proto = convert_lightgbm(learned, initial_types=[("x", FloatTensorType([None, 64]))], zipmap=True)
    else:
        from skl2onnx import to_onnx

        model = {
            "forest": make_pipeline(StandardScaler(), RandomForestClassifier(10, max_depth=8, random_state=0)),
            "regressor": RandomForestRegressor(10, max_depth=8, random_state=0),
            "boosting": GradientBoostingClassifier(n_estimators=5, random_state=0),
        }[kind]
        proto = to_onnx(model.fit(x, y), x[:1])
    node = next(n for n in proto.graph.node if n.op_type.startswith("TreeEnsemble"))
    for attribute in node.attribute:
        if attribute.name in ("class_weights", "target_weights"):
            step = max(attribute.floats) / 3
            attribute.floats[:] = np.round(np.array(attribute.floats) / step) * step
    path = folder / "before.onnx"
    path.write_bytes(proto.SerializeToString())
    return path, np.concatenate([x[:500], x[:500] * 0.5])
