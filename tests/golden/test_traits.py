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


def alone(trait: str) -> list[Case]:
    """The cases of one operator that has a trait."""
    found = [case for case in RUN if getattr(traits_of(case.op), trait) not in (False, None)]
    return [case for case in found if len(model_of(case.model, case.opset).graph.node) == 1]


def runs(case: Case, change: Any) -> list[Array]:
    """Results for the operand 0 that ``change`` makes of the given one, as constants or inputs hold it."""
    proto = model_of(case.model, case.opset)
    name = proto.graph.node[0].input[0]
    feeds = feeds_for(proto)
    found = []
    for made in change(operands_of(proto.graph.node[0], proto, feeds)[0]):
        varied = onnx.ModelProto()
        varied.CopyFrom(proto)
        for tensor in varied.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(made, name))
        own = {key: made if key == name else value for key, value in feeds.items()}
        found.append(Executable(varied).run(own, optimize=False)[proto.graph.node[0].output[0]])
    return found


def reads_twice(case: Case) -> bool:
    names = [name for name in model_of(case.model, case.opset).graph.node[0].input if name]
    return len(set(names)) < len(names)


@pytest.mark.parametrize("case", [case for case in alone("monotone") if not reads_twice(case)], ids=str)
def test_a_monotone_operator_turns_nowhere(case: Case) -> None:
    results = runs(case, lambda x: [(x + step).astype(x.dtype) for step in np.linspace(-4, 4, 17)])
    defined = np.stack(results).astype(np.float64)
    steps = np.nan_to_num(np.diff(defined, axis=0))  # a square root is of no negative number
    tolerance = 1e-5 * max(1.0, float(np.nanmax(np.abs(defined), initial=0.0)))
    assert ((steps >= -tolerance).all(axis=0) | (steps <= tolerance).all(axis=0)).all()


@pytest.mark.parametrize("case", alone("annihilates"), ids=str)
def test_zero_annihilates(case: Case) -> None:
    (result,) = runs(case, lambda x: [np.zeros_like(x)])
    assert not result.any()


@pytest.mark.parametrize("case", [c for c in alone("keeps_zero") if not traits_of(c.op).quantization], ids=str)
def test_zero_is_kept(case: Case) -> None:
    (result,) = runs(case, lambda x: [np.zeros_like(x)])
    assert result.dtype.kind != "f" or not result.any()


@pytest.mark.parametrize("case", [c for c in alone("within") if "cubic" not in c.model], ids=str)
def test_results_lie_within_the_operand(case: Case) -> None:
    shifted: list[Array] = []

    def change(x: Array) -> list[Array]:
        shifted.append((np.abs(x) + 1).astype(x.dtype))
        return shifted

    (result,) = runs(case, change)
    low = 0 if "count_include_pad" in case.model else shifted[0].min()
    assert low - 1e-5 <= result.min()
    assert result.max() <= shifted[0].max() * (1 + 1e-5)


@pytest.mark.parametrize("case", alone("idle_gate"), ids=str)
def test_without_a_candidate_a_state_of_zero_stays(case: Case) -> None:
    proto = model_of(case.model, case.opset)
    node = proto.graph.node[0]
    idle = traits_of(case.op).idle_gate
    size = next(attribute.i for attribute in node.attribute if attribute.name == "hidden_size")
    assert idle is not None
    for tensor in proto.graph.initializer:
        if tensor.name in node.input[1:4]:
            array = numpy_helper.to_array(tensor).copy()
            gates = array.shape[1] // size // (2 if array.ndim == 2 else 1)
            for first in (idle, gates + idle)[: 2 if array.ndim == 2 else 1]:
                array[:, first * size : (first + 1) * size] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        elif tensor.name in node.input[5:7]:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(tensor)), tensor.name))
    feeds = feeds_for(proto)
    feeds = {name: np.zeros_like(x) if name in node.input[5:7] else x for name, x in feeds.items()}
    result = Executable(proto).run(feeds, optimize=False)
    assert not result[node.output[0] or node.output[1]].any()
