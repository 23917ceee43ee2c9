"""``irprune prune --trees``: forests on labeled samples; accuracy is that of ONNX Runtime on samples of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from irprune.cli import run

from . import forests


def noisy(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A fifth of the labels is wrong: a tree that is grown to purity learns them."""
    from sklearn.datasets import make_classification

    x, y = make_classification(
        6000, 12, n_informative=6, n_classes=classes, flip_y=0.25, random_state=0, class_sep=1.2, n_clusters_per_class=1
    )
    return x.astype(np.float32), y


def grown(kind: str) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
    from sklearn.tree import DecisionTreeClassifier

    return {
        "tree": DecisionTreeClassifier(random_state=0),
        "forest": RandomForestClassifier(16, random_state=0),
        "boosting": GradientBoostingClassifier(n_estimators=20, random_state=0),
        "binary": GradientBoostingClassifier(n_estimators=40, random_state=0),
        "regressor": RandomForestRegressor(10, random_state=0, max_features=4),
    }[kind]


class Given:
    """An export with samples to prune on, and others to judge on."""

    def __init__(self, kind: str, folder: Path) -> None:
        from skl2onnx import to_onnx

        x, y = noisy(2 if kind == "binary" else 4)
        y = y.astype(np.float32) if kind == "regressor" else y
        self.kind, self.x, self.y = kind, x[3000:], y[3000:]
        self.path, self.data, self.labels = folder / "m.onnx", folder / "d.npz", folder / "l.npy"
        self.path.write_bytes(to_onnx(grown(kind).fit(x[:1000], y[:1000]), x[:1]).SerializeToString())
        np.savez(self.data, X=x[1000:3000])
        np.save(self.labels, y[1000:3000])

    def score(self, path: Path) -> float:
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = session.run(None, {"X": self.x})[0].reshape(-1)
        if self.kind == "regressor":
            return float(1 - ((found - self.y) ** 2).mean() / self.y.var())
        return float((found == self.y).mean())

    def prune(self, rule: str, output: Path, *others: str) -> int:
        words = ["prune", str(self.path), "-o", str(output), "--trees", rule, "--data", str(self.data)]
        return run([*words, "--labels", str(self.labels), *others])


def nodes(path: Path) -> int:
    node = next(n for n in onnx.load(path).graph.node if n.op_type.startswith("TreeEnsemble"))
    return len(forests.attributes(node)["nodes_modes"])


def trees(path: Path) -> int:
    node = next(n for n in onnx.load(path).graph.node if n.op_type.startswith("TreeEnsemble"))
    return len(set(forests.attributes(node)["nodes_treeids"]))


SMALL = ("boosting", "binary")
"""Their trees are not grown to purity, and lose little to pruning."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tree", "forest", "boosting", "binary", "regressor"])
def test_reduced_error(tmp_path: Path, kind: str) -> None:
    given, made = Given(kind, tmp_path), tmp_path / "o.onnx"
    assert given.prune("reduced-error", made) == 0
    assert nodes(made) <= 0.8 * nodes(given.path)
    assert given.score(made) >= given.score(given.path) - (0.01 if kind in SMALL else 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tree", "binary"])
def test_cost_complexity(tmp_path: Path, kind: str) -> None:
    given, made = Given(kind, tmp_path), tmp_path / "o.onnx"
    assert given.prune("nodes=0.5", made) == 0
    assert 0.4 * nodes(given.path) < nodes(made) <= 0.5 * nodes(given.path)
    assert given.score(made) >= given.score(given.path) - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["forest", "boosting", "binary", "regressor"])
def test_whole_trees(tmp_path: Path, kind: str) -> None:
    given, made = Given(kind, tmp_path), tmp_path / "o.onnx"
    assert given.prune("0.5", made) == 0
    assert trees(made) == trees(given.path) // 2
    assert given.score(made) >= given.score(given.path) - (0.06 if kind == "regressor" else 0.03)


@pytest.mark.slow
def test_the_plan_and_the_document(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given, made, plan = Given("tree", tmp_path), tmp_path / "o.onnx", tmp_path / "p.json"
    assert given.prune("reduced-error", made, "--plan", str(plan), "--json") == 0
    said = json.loads(capfd.readouterr().out)
    assert said["judged"]["samples"] == 400 and said["judged"]["after"] >= said["judged"]["before"]
    (group,) = json.loads(plan.read_text())["groups"]
    assert group["size"] - len(group["removed"]) == nodes(made)


def small(folder: Path) -> list[str]:
    a, b = [(0, 0.5), (1, 0.0)], [(0, 0.0), (1, 0.5)]
    node = forests.listed(
        [(0, 0, 1.0, False, a, (0, 1, 1.0, False, b, b))] * 2, "class", classlabels_strings=["n", "y"]
    )
    model = forests.model_of(node)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.STRING
    onnx.save(model, folder / "m.onnx")
    rows = np.random.default_rng(0).normal(1, 1, (40, 2)).astype(np.float32)
    np.savez(folder / "d.npz", x=rows)
    np.save(folder / "l.npy", np.where(rows[:, 0] <= 1, "n", "y"))
    return ["prune", str(folder / "m.onnx"), "-o", str(folder / "o.onnx"), "--data", str(folder / "d.npz")]


def test_labels_are_the_names_of_classes(tmp_path: Path) -> None:
    words = small(tmp_path)
    assert run([*words, "--trees", "reduced-error", "--labels", str(tmp_path / "l.npy")]) == 0
    assert nodes(tmp_path / "o.onnx") == 6
    rows = np.load(tmp_path / "d.npz")["x"]
    session = ort.InferenceSession(tmp_path / "o.onnx", providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(["y"], {"x": rows})[0], np.load(tmp_path / "l.npy"))


WRONG = {
    "rule": (["--trees", "half"], "expected a share of the trees"),
    "share": (["--trees", "1.5"], "lies between 0 and 1"),
    "no labels": (["--trees", "0.5"], "needs --data and --labels"),
    "two targets": (["--trees", "0.5", "--macs", "0.5"], "a target of its own"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_requests(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    more, words = WRONG[name]
    assert run([*small(tmp_path), *more]) == 2
    assert words in capfd.readouterr().err
    assert not (tmp_path / "o.onnx").exists()


@pytest.mark.parametrize("labels", [["n"] * 39, ["n"] * 39 + ["maybe"]], ids=["too few", "another class"])
def test_wrong_labels(tmp_path: Path, capfd: pytest.CaptureFixture[str], labels: list[str]) -> None:
    words = small(tmp_path)
    np.save(tmp_path / "l.npy", labels)
    assert run([*words, "--trees", "0.5", "--labels", str(tmp_path / "l.npy")]) == 2
    assert "the labels" in capfd.readouterr().err
