"""Damaged models that once ended in a traceback: found by tests/fuzz/mutate.py, kept in their smallest form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from irprune import api
from irprune.errors import InputError
from irprune.frontends.onnx import import_model
from irprune.runtime.feeds import Feeds
from irprune.runtime.session import Outputs, RunFailure
from irprune.verification.cases import Case, Cases
from irprune.verification.driver import require_repeatable


def written(folder: Path, nodes: list[onnx.NodeProto], shape: tuple[int, ...] = (2, 6), **weights: np.ndarray) -> Path:
    """A model from ``x`` to ``y`` of these nodes and weights; nothing checks it."""
    graph = helper.make_graph(
        nodes,
        "damaged",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    path = folder / "damaged.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def groups_of(path: Path) -> list[str]:
    return [group.name for group in api.analyze_model(api.open_model(path)).groups]


WEIGHT = np.ones((6, 4), np.float32)


def test_a_product_without_factors(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gemm", [], ["lost"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    assert groups_of(written(tmp_path, nodes, w=WEIGHT)) == ["w:0", "w:1"]


@pytest.mark.parametrize("perm", [[0, 2, 5], [0, 0, 1], [2, 1]])
def test_a_view_chain_with_a_transpose_of_other_dimensions(tmp_path: Path, perm: list[int]) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "split"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=perm),
        helper.make_node("Reshape", ["b", "joined"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    shapes = {"split": np.array([2, 2, 3]), "joined": np.array([2, 6])}
    assert "w:0" in groups_of(written(tmp_path, nodes, w=WEIGHT, **shapes))


def test_a_declared_size_below_zero(tmp_path: Path) -> None:
    path = written(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])], (2, -6), w=WEIGHT)
    assert groups_of(path)


def test_minus_one_for_a_size_that_run_time_tells(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "v"], ["y"])]
    result = api.prune(written(tmp_path, nodes, (-1, 6), w=WEIGHT, v=WEIGHT.T.copy()), ratio=0.5)
    assert result.report is not None and len(result.report.equivalence.cases) > 1


def test_parts_of_a_size_below_zero(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["x", "parts"], ["a", "b"], axis=1),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    path = written(tmp_path, nodes, w=WEIGHT, parts=np.array([8, -2]))
    assert groups_of(path)
    (refused,) = (r for r in api.analyze_model(api.open_model(path)).coupling.refused.values() if r.op == "Split")
    assert "size -2" in refused.why


def test_indices_of_another_shape_than_declared(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Identity", ["order"], ["i"]),
        helper.make_node("Gather", ["h", "i"], ["g"], axis=1),
        helper.make_node("MatMul", ["g", "v"], ["y"]),
    ]
    path = written(tmp_path, nodes, w=WEIGHT, v=WEIGHT.T.copy(), order=np.array([3, 1, 2, 0]))
    model = onnx.load(path)
    model.graph.value_info.append(helper.make_tensor_value_info("i", TensorProto.INT64, [2, 2]))
    path.write_bytes(model.SerializeToString())
    assert api.prune(path, ratio=0.5).plan.groups


class _OnlyPlain:
    """A model that runs with optimizations off alone."""

    def run(self, feeds: Feeds, *, optimize: bool) -> Outputs:
        if optimize:
            raise RunFailure("Reshape_token_9: invalid target shape")
        return {"y": np.zeros(1, np.float32)}


def test_a_model_that_does_not_survive_optimizations() -> None:
    cases = Cases((Case("batch=1", {}, {}),), ())
    with pytest.raises(InputError, match="does not run with ONNX Runtime's optimizations on and off: Reshape_token_9"):
        require_repeatable(_OnlyPlain(), cases, None)  # type: ignore[arg-type]


def test_text_that_is_no_utf8(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "v"], ["y"])],
        w=WEIGHT,
        v=WEIGHT.T.copy(),
    )
    model = onnx.load(path)
    entry = model.graph.metadata_props.add()
    entry.key, entry.value = "note", "PLACEHOLDER"
    path.write_bytes(model.SerializeToString().replace(b"PLACEHOLDER", b"PLACE\xc1OLDER"))
    assert import_model(api.open_model(path).model).nodes
    with pytest.raises(InputError, match="utf-8"):
        api.prune(path, tmp_path / "out.onnx", ratio=0.5)
    assert not (tmp_path / "out.onnx").exists()


def test_an_axis_that_no_index_can_hold(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Unsqueeze", ["s", "axes"], ["shape"]),
        helper.make_node("Reshape", ["x", "shape"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    assert "w:1" in groups_of(written(tmp_path, nodes, w=WEIGHT, axes=np.array([2**40])))


def test_a_lookup_in_nothing(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["x", "indices"], ["a"], axis=0),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    assert "w:1" in groups_of(written(tmp_path, nodes, (0, 6), w=WEIGHT, indices=np.array([0, 0])))


def test_a_dimension_that_no_memory_holds(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "target"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    path = written(tmp_path, nodes, w=WEIGHT, target=np.array([2**40, 6]))
    assert "w:1" in groups_of(path)
    found = api.analyze_model(api.open_model(path)).atoms.reasons
    assert any(f"its size {2**40} is not a number of channels" in map(str, reasons) for reasons in found.values())
