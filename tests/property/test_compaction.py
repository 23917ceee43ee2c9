"""Nothing is removed wrongly from random models, and what is zeroed at random goes without a change."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as oir
from hypothesis import strategies as st
from onnx import numpy_helper

from irprune.backends.onnx import emit
from irprune.compaction import compacted
from irprune.errors import TargetError
from irprune.verification.driver import verify_models
from tests.property.random_models import models
from tests.property.test_random_models import analyzed, few_and_many


def check(proto: onnx.ModelProto) -> bool:
    """Whether anything goes; the outputs are those of the original."""
    model, analysis = analyzed(proto)
    try:
        smaller = compacted(analysis)
    except TargetError:
        return False
    small = oir.to_proto(emit(model, analysis.graph, smaller.graph))
    report = verify_models(proto, small, smaller.plan, runs=1)
    assert report.ok, report.failures()
    return True


def _nothing_goes_wrongly(proto: onnx.ModelProto) -> None:
    """A random model keeps its outputs; most have nothing to remove."""
    check(proto)


def _zeroed_rows_go_without_a_change(proto: onnx.ModelProto, seed: int) -> None:
    """Random rows and vectors with zeros: whatever goes makes no difference."""
    rng = np.random.default_rng(seed)
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    for tensor in changed.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.ndim and array.size > 1:
            array = array.copy()
            array[rng.random(len(array)) < 0.4] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    check(changed)


test_nothing_goes_wrongly, test_nothing_goes_wrongly_from_many = few_and_many(
    _nothing_goes_wrongly, models(), few=40, many=300
)
test_zeroed_rows_go_without_a_change, test_many_zeroed_rows_go_without_a_change = few_and_many(
    _zeroed_rows_go_without_a_change, models(), st.integers(0, 99), few=40, many=300
)
