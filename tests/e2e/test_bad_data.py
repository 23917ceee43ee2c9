"""Data that say little or nothing, and how they are read: one line each, and never a model that is worse for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import irprune
from irprune.cli import run
from irprune.errors import InputError, TargetError
from tests.golden.helpers.models import model_of

NET = """(float[N, 6] x) => (float[N, 5] y)
<float[6, 12] a, float[12] ab, float[12, 5] b, float[5] bb>
{ h = MatMul(x, a) k = Add(h, ab) r = Relu(k) l = MatMul(r, b) y = Add(l, bb) }"""


def net(**weights: np.ndarray) -> onnx.ModelProto:
    return model_of(NET, numbers=weights)


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, 6)).astype(np.float32)


def test_fewer_positions_than_columns_are_counted() -> None:
    """10 batches of 1, of which 2 are held out: 8 positions for the channels of 'b' that stay, and a bias."""
    with pytest.warns(UserWarning) as caught:
        result = irprune.prune(net(), ratio=0.1, align=1, data={"x": rows(10)})
    (line,) = [str(w.message) for w in caught if "fewer positions than columns" in str(w.message)]
    assert "(8 for " in line
    assert line.endswith("samples would determine them")
    assert result.report is not None
    assert result.report.ok
    for tensor in result.model.graph.initializer:
        assert np.isfinite(onnx.numpy_helper.to_array(tensor)).all()


def test_data_that_are_all_the_same_leave_numbers_finite() -> None:
    """A singular matrix of moments, of rank 1: what it does not determine stays as it was."""
    result = irprune.prune(net(), ratio=0.5, align=1, data={"x": np.zeros((80, 6), np.float32)})
    assert result.report is not None
    assert result.report.ok
    for tensor in result.model.graph.initializer:
        assert np.isfinite(onnx.numpy_helper.to_array(tensor)).all()


def test_a_channel_that_the_data_never_excite_is_the_first_to_go() -> None:
    a = np.random.default_rng(0).standard_normal((6, 12)).astype(np.float32)
    bias = np.zeros(12, np.float32)
    bias[[3, 8]] = -1e3
    result = irprune.prune(net(a=a, ab=bias), ratio=0.2, align=1, data={"x": rows(200)})
    assert set(result.plan.groups[0].removed) == {3, 8}
    assert result.recovery is not None
    assert result.recovery.error < 1e-6


def test_a_fidelity_that_no_cut_reaches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TargetError, match="no cut keeps a fidelity of 150 on the samples held out: "):
        irprune.prune(net(), fidelity=150, align=1, data={"x": rows(200)})
    model, data, out = tmp_path / "m.onnx", tmp_path / "d.npz", tmp_path / "small.onnx"
    onnx.save(net(), model)
    np.savez(data, x=rows(200))
    command = ["prune", str(model), "-o", str(out), "--fidelity", "150", "--align", "1", "--data", str(data)]
    assert run(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no cut keeps a fidelity of 150" in line
    assert not out.exists()


def test_labels_of_another_number_than_the_samples() -> None:
    data = {"x": rows(100)}
    with pytest.raises(InputError, match="labels"):
        irprune.prune(net(), ratio=0.2, align=1, data=data, inputs=data, labels=np.zeros(99, np.int64))


class Reader:
    """What ONNX Runtime's quantization takes: an object whose ``get_next`` gives feeds, then ``None``."""

    def __init__(self, array: np.ndarray) -> None:
        self.feeds = iter([{"x": part} for part in np.split(array, 10)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def test_a_calibration_data_reader_is_data() -> None:
    from onnxruntime.quantization import CalibrationDataReader

    class Own(Reader, CalibrationDataReader):
        pass

    array = rows(200)
    ours = irprune.prune(net(), ratio=0.5, align=1, data=Own(array))
    same = irprune.prune(net(), ratio=0.5, align=1, data=[{"x": part} for part in np.split(array, 10)])
    assert [group.removed for group in ours.plan.groups] == [group.removed for group in same.plan.groups]
    assert ours.recovery == same.recovery


def test_memory_for_values_changes_no_result() -> None:
    held, filed = (
        irprune.prune(net(), ratio=0.5, align=1, data={"x": rows(2000)}, data_memory=memory) for memory in ("2G", "1M")
    )
    assert filed.plan.request.data_memory == 1 << 20
    assert {t.name: t.raw_data for t in held.model.graph.initializer} == {
        t.name: t.raw_data for t in filed.model.graph.initializer
    }


@pytest.mark.parametrize("given", ["many", "12", "0", "-1G", True, "1e999G"])
def test_a_size_of_memory_is_bytes(given: object) -> None:
    with pytest.raises(InputError, match="data_memory: expected a number of bytes such as 512M or 2G, at least 1M"):
        irprune.Request(macs=0.5, data_memory=given)


@pytest.mark.parametrize(
    ("given", "size"), [("512M", 512 << 20), ("1.5GiB", 3 << 29), ("2gb", 2 << 30), (1 << 21, 1 << 21)]
)
def test_sizes_of_memory_are_powers_of_1024(given: str | int, size: int) -> None:
    assert irprune.Request(macs=0.5, data_memory=given).data_memory == size
