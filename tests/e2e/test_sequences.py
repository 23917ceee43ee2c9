"""A module that collects its features in a list, as scripted detectors do, with the types of all values stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from typer.testing import CliRunner

from irprune.cli.app import app
from tests.golden.helpers.models import model_of


def test_features_in_a_sequence_are_pruned(tmp_path: Path) -> None:
    proto = model_of(
        """(float[1, 3, 6, 6] x) => (float[1, 2, 12, 6] y)
        <float[16, 3, 1, 1] a, float[16, 3, 1, 1] b, float[2, 16, 1, 1] c, int64 zero = {0}, int64 one = {1}>
        { f = Conv(x, a) g = Relu(f) h = Conv(x, b) s = SequenceConstruct(g, h) p = SequenceAt(s, zero)
        q = SequenceAt(s, one) k = SequenceConstruct(p, q) j = ConcatFromSequence<axis = 2>(k) y = Conv(j, c) }"""
    )
    stated = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    assert {info.name for info in stated.graph.value_info} >= {"s", "p"}
    source, out = tmp_path / "model.onnx", tmp_path / "small.onnx"
    onnx.save(stated, source)
    result = CliRunner().invoke(app, ["prune", str(source), "-o", str(out), "--ratio", "0.5"])
    assert result.exit_code == 0, result.output
    small = onnx.load(out)
    assert {tuple(tensor.dims) for tensor in small.graph.initializer} >= {(8, 3, 1, 1), (2, 8, 1, 1)}
    session = ort.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones((1, 3, 6, 6), np.float32)})[0].shape == (1, 2, 12, 6)
