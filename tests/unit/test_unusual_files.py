"""Files and sizes that are not what most exporters write: named in one line, or read like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from irprune import api
from irprune.errors import InputError
from irprune.frontends.files import load
from irprune.verification.cases import InputSpec
from tests.golden.helpers.models import model_of

NET = """(float[N, 4] x) => (float[N, 3] y) <float[4, 8] w, float[8, 3] v>
{ h = MatMul(x, w) r = Relu(h) y = MatMul(r, v) }"""


def test_the_format_of_onnx_runtime_is_named(tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(model_of(NET).SerializeToString(), options, providers=["CPUExecutionProvider"])
    with pytest.raises(InputError, match="ONNX Runtime's own format"):
        load(tmp_path / "model.ort")


def test_a_file_of_the_first_ir_version_is_named(tmp_path: Path) -> None:
    proto = model_of(NET)
    proto.ir_version = 1
    del proto.opset_import[:]
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match="IR version 1"):
        load(path)


@pytest.mark.parametrize("name", ["None", "1j", "N//0", "True", "?", "1 + 1", "a b", "N/2", "()"])
def test_a_size_may_be_called_anything(name: str) -> None:
    """Keras writes None for each size that it does not know."""
    proto = model_of(NET)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = name
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = name
    result = api.prune(proto, ratio=0.5)
    assert result.report is not None and result.report.ok
    assert isinstance(result.model, onnx.ModelProto)
    assert result.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == name


@pytest.mark.parametrize(("dim", "size"), [("past + 1", 4), ("2*past", 6), ("past//2", 1), ("past - 1", 2)])
def test_a_size_may_be_an_expression_of_others(dim: str, size: int) -> None:
    assert InputSpec("x", np.dtype("float32"), (dim,)).shape({"past": 3}) == (size,)
