"""Rounding noise or a fault? The two tests that decide when float32 shows a difference.

A well-made model may hold a spot where rounding is amplified: a sigmoid near zero, whose kernel is exact to 6e-8 of one
and not of its result; a normalization of nearly equal numbers; a softmax of large scores. Two questions tell noise from
a fault there, and only together:

    how far is the reference from itself when its inputs move by one unit in the last place?
    does the difference go away when both models are evaluated in float64?

Measured on exported detectors and recognizers of text and of speech: correct removals are at most 2.2 times as far from
their reference as that is from itself, and at most 4e-13 of the scale away in float64. Planted faults (the inputs of a
weight row rotated) are 1e-5 and more away, if they have any effect at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ..ir.core import Array
from ..runtime.executable import Executable, with_outputs
from ..runtime.feeds import Feeds
from ..runtime.session import Outputs, RunFailure
from ..runtime.weights import is_external, read_tensor, tensors_of

NOISE_FACTOR = 4
"""A pruned model may be this many times as far from the reference as the reference from itself."""

MOVES = 4
"""How often the inputs are moved."""

_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
_TYPE_ATTRIBUTES = {"to", "dtype", "output_dtype"}
_MOST_ELEMENTS = 1 << 28
"""Larger models are not copied to float64."""


def nearby_runs(model: Executable, feeds: Feeds, also: Sequence[str] = ()) -> Iterator[Outputs]:
    """What a model computes with optimizations off and on, as fed and with floats moved to a neighboring number.

    With optimizations off, the values inside the graph that are asked for too.
    """
    rng = np.random.default_rng(0)
    moves = [feeds, *({name: moved(array, rng) for name, array in feeds.items()} for _ in range(MOVES))]
    for optimize in (False, True):
        for near in moves:
            yield model.run(near, optimize=optimize, also=() if optimize else also)
    model.close()


def moved(array: Array, rng: np.random.Generator) -> Array:
    """Floats moved at random to the next number above or below; other types unchanged."""
    if array.dtype.kind in "iubOSU":
        return array
    upwards = rng.integers(0, 2, array.shape).astype(bool)
    toward = np.where(upwards, np.inf, -np.inf).astype(array.dtype)
    return np.asarray(np.nextafter(array, toward))


def run_in_double(model: Executable, feeds: Feeds, also: Sequence[str] = ()) -> Outputs:
    """The outputs, and values inside the graph, with every float in float64.

    It is onnx's own evaluator that runs: ONNX Runtime lacks most kernels for this type.

    Raises :class:`RunFailure` for what the evaluator does not run.
    """
    from onnx.reference import ReferenceEvaluator

    wide = with_outputs(_widened(model), also)
    names = [*(output.name for output in model.proto.graph.output), *also]
    fed = {name: _wide_array(array) if _is_narrow(array) else array for name, array in feeds.items()}
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(wide, new_ops=[_batch_normalization()]).run(names, fed)
    except Exception as error:  # the evaluator raises all kinds of errors of numpy
        raise RunFailure(f"no float64: {' '.join(str(error).split())[:400]}") from error
    return dict(zip(names, results, strict=True))


@cache
def _batch_normalization() -> Any:
    """Replaces onnx's kernel, which uses batch statistics in opsets before 14 if there is a momentum."""
    from onnx.reference.op_run import OpRun

    class BatchNormalization(OpRun):
        op_domain = ""

        def _run(self, x: Any, *parameters: Any, **attributes: Any) -> tuple[Any]:
            if attributes.get("training_mode"):
                raise NotImplementedError("statistics of the batch")
            shape = (-1, *[1] * (x.ndim - 2))
            scale, bias, mean, variance = (parameter.reshape(shape) for parameter in parameters)
            return (scale * (x - mean) / np.sqrt(variance + attributes["epsilon"]) + bias,)

    return BatchNormalization


# -- float64 -----------------------------------------------------------------------------------------------------------


def _widened(model: Executable) -> onnx.ModelProto:
    elements = sum(int(np.prod(tensor.dims)) for tensor in model.proto.graph.initializer)
    if elements > _MOST_ELEMENTS:
        raise RunFailure(f"no float64: {elements} elements are too many")
    copy = onnx.ModelProto()
    copy.CopyFrom(model.proto)
    for tensor in filter(is_external, tensors_of(copy.graph)):
        tensor.CopyFrom(numpy_helper.from_array(read_tensor(tensor, model.data_folder), tensor.name))
    _widen_graph(copy.graph)
    return copy


def _widen_graph(graph: onnx.GraphProto) -> None:
    del graph.value_info[:]
    for info in (*graph.input, *graph.output):
        if info.type.tensor_type.elem_type in _FLOATS:
            info.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            _widen_attribute(node, attribute)


def _widen_attribute(node: onnx.NodeProto, attribute: onnx.AttributeProto) -> None:
    kinds = onnx.AttributeProto
    if attribute.type == kinds.TENSOR:
        _widen_tensor(attribute.t)
    elif attribute.type == kinds.GRAPH:
        _widen_graph(attribute.g)
    elif attribute.type == kinds.INT and attribute.name in _TYPE_ATTRIBUTES and attribute.i in _FLOATS:
        attribute.i = onnx.TensorProto.DOUBLE
    elif node.op_type == "Constant" and attribute.type in (kinds.FLOAT, kinds.FLOATS):
        value = np.asarray(onnx.helper.get_attribute_value(attribute), np.float64)
        attribute.CopyFrom(onnx.helper.make_attribute("value", numpy_helper.from_array(value)))


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _FLOATS:
        tensor.CopyFrom(numpy_helper.from_array(_wide_array(numpy_helper.to_array(tensor)), tensor.name))


def _wide_array(array: Array) -> Array:
    return array.astype(np.float64)


def _is_narrow(array: Array) -> bool:
    return onnx.helper.np_dtype_to_tensor_dtype(array.dtype) in _FLOATS
