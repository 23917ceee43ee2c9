"""What the table says of operators, compared with what ONNX Runtime computes in the golden cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from irprune.runtime.executable import Executable
from irprune.signatures import Traits, traits_of
from tests.golden.helpers.cases import Case
from tests.golden.helpers.models import model_of
from tests.golden.helpers.removal import feeds_for
from tests.golden.test_signatures_table import RUN

Array = NDArray[Any]


def traits_in(graph: onnx.GraphProto) -> list[Traits]:
    return [traits_of(node.op_type, node.domain) for node in graph.node]


def without_numbers(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with zeros as float weights, save where they are sizes."""
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    sizes = {name for node in changed.graph.node for name in _sizes_of(node)}
    for tensor in changed.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "f" and tensor.name not in sizes:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(array), tensor.name))
    return changed


def _sizes_of(node: onnx.NodeProto) -> Iterable[str]:
    positions = traits_of(node.op_type, node.domain).shape_operands
    return (name for position, name in enumerate(node.input) if position in positions)


@pytest.mark.parametrize("case", RUN, ids=str)
def test_what_is_not_finite_at_zero_has_a_singularity(case: Case) -> None:
    proto = model_of(case.model, case.opset)
    feeds = {name: np.zeros_like(x) if x.dtype.kind == "f" else x for name, x in feeds_for(proto).items()}
    results = Executable(without_numbers(proto)).run(feeds, optimize=False)
    finite = all(np.isfinite(x).all() for x in results.values() if x.dtype.kind == "f")
    assert finite or any(traits.singular_at_zero for traits in traits_in(proto.graph))


def single(case: Case) -> bool:
    """Whether the case is of one operator that says where its elements go."""
    traits = traits_of(case.op)
    says = traits.copies or bool(traits.moves) or traits.keeps_shape
    return says and len(model_of(case.model, case.opset).graph.node) == 1


@pytest.mark.parametrize("case", [case for case in RUN if single(case)], ids=str)
def test_elements_go_where_the_traits_say(case: Case) -> None:
    proto = model_of(case.model, case.opset)
    (node,) = proto.graph.node
    traits, feeds = traits_of(case.op), feeds_for(proto)
    result = Executable(proto).run(feeds, optimize=False)[node.output[0]]
    operands = operands_of(node, proto, feeds)
    if traits.keeps_shape:
        assert result.shape == operands[0].shape
    if traits.copies:
        assert np.array_equal(np.sort(result.ravel()), np.sort(operands[0].astype(result.dtype).ravel()))
    if traits.moves:
        sources = [operand.ravel() for position, operand in operands.items() if traits.hands_on(position)]
        fill = np.zeros(1, result.dtype)
        assert np.isin(result, np.concatenate([*sources, fill])).all()


def operands_of(node: onnx.NodeProto, proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[int, Array]:
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    return {position: {**stored, **feeds}[name] for position, name in enumerate(node.input) if name}
