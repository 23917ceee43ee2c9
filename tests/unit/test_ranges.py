"""What integer inputs may hold, from the traits of the operators that read them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from irprune.verification.ranges import index_bounds


@pytest.mark.parametrize(
    ("signature", "code", "expected"),
    [
        ("int64[n] i", "y = Gather(table, i)", {"i": 7}),
        ("int64[n] i", "y = Gather<axis = 1>(table, i)", {"i": 4}),
        ("int64[n] i", "j = Unsqueeze(i, zero) y = Gather(table, j)", {"i": 7}),
        ("int64[n] i, bool[n] c", "j = Where(c, i, zero) y = Gather(table, j)", {"i": 7}),
        ("int64[n] i, int64[m] start", "j = Slice(i, start, zero) y = Gather(table, j)", {"i": 7}),
        ("int64[n, 4] i", "y = GatherElements(table, i)", {"i": 7}),
        ("float[2, h, s, 8] x, int64[2, s] i", "y = RotaryEmbedding(x, table, table, i)", {"i": 7}),
        ("float[t, 2] x, int64[2] n", "y = ReverseSequence<time_axis = 0, batch_axis = 1>(x, n)", {"n": 2}),
        (
            "int32[2, s] i, int32[2, s] k, int32[2, s] p",
            "y, m = com.microsoft.EmbedLayerNormalization(i, k, table, large, small, vector, vector,, p)",
            {"i": 7, "k": 2, "p": 9},
        ),
        ("int64[n] i", "y = Add(i, i)", {}),
    ],
)
def test_an_index_is_below_the_size_of_its_table(signature: str, code: str, expected: dict[str, int]) -> None:
    text = f"""
        <ir_version: 10, opset_import: ["": 23, "com.microsoft": 1]>
        agraph ({signature}) => (float[a, b] y)
        {{ {code} }}
    """
    model: onnx.ModelProto = parser.parse_model(text)
    sizes = {"table": (7, 4), "large": (9, 4), "small": (2, 4), "vector": (4,)}
    tensors = {name: np.zeros(size, np.float32) for name, size in sizes.items()} | {"zero": np.zeros(1, np.int64)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in tensors.items())
    assert index_bounds(model.graph) == expected
