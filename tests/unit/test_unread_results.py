"""Positions that nothing reads: what they count may be pruned, from exports and from modules."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from irprune import api
from tests.golden.helpers.models import model_of


def test_an_encoder_and_a_decoder_that_hand_positions_over() -> None:
    """SegNet: a MaxUnpool puts maxima back to where its MaxPool found them, among as many channels."""
    proto = model_of(
        """(float[1, 3, 8, 8] x) => (float[1, 2, 8, 8] y)
        <float[8, 3, 3, 3] w, float[12, 8, 3, 3] u, float[8, 12, 3, 3] v, float[2, 8, 3, 3] z,
        int64[4] s = {1, 8, 8, 8}>
        { a = Conv<pads = [1, 1, 1, 1]>(x, w) r = Relu(a)
        p, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
        b = Conv<pads = [1, 1, 1, 1]>(p, u) c = Relu(b) d = Conv<pads = [1, 1, 1, 1]>(c, v)
        m = MaxUnpool<kernel_shape = [2, 2], strides = [2, 2]>(d, i, s) y = Conv<pads = [1, 1, 1, 1]>(m, z) }"""
    )
    result = api.prune(proto, ratio=0.5, align=1)
    assert result.report is not None and result.report.ok, result.report
    assert result.plan.cost_after.params / result.plan.cost_before.params < 0.35
    small: onnx.ModelProto = result.model
    session = ort.InferenceSession(small.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones((1, 3, 8, 8), np.float32)})[0].shape == (1, 2, 8, 8)
