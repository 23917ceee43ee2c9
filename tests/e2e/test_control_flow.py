"""Axes flow through the bodies of If, Loop and Scan, and through model-local functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import irprune

_node = helper.make_node


def _weight(name: str, *shape: int) -> onnx.TensorProto:
    generator = np.random.default_rng(len(name) + shape[0])
    return numpy_helper.from_array((generator.standard_normal(shape) * 0.4).astype(np.float32), name)


def _value(name: str, *shape: int | str | None, kind: int = onnx.TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto],
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid("local", 1) for _ in functions[:1])]
    model = helper.make_model(graph, functions=list(functions), opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return model


def _branch(name: str, activation: str) -> onnx.GraphProto:
    """Both branches call their inner values the same, as exporters do."""
    nodes = [_node("Conv", ["h", "w"], ["t"]), _node(activation, ["t"], [f"{name}_out"])]
    return helper.make_graph(nodes, name, [], [_value(f"{name}_out", "N", 12, 8, 8)], [_weight("w", 12, 10, 1, 1)])


def conditional() -> onnx.ModelProto:
    branches = {"then_branch": _branch("then", "Relu"), "else_branch": _branch("else", "Sigmoid")}
    nodes = [
        _node("Conv", ["x", "w1"], ["a"]),
        _node("Relu", ["a"], ["h"]),
        _node("If", ["c"], ["y"], name="choose", **branches),
        _node("Conv", ["y", "w2"], ["z"]),
    ]
    inputs = [_value("x", "N", 3, 8, 8), _value("c", kind=onnx.TensorProto.BOOL)]
    return _model(nodes, inputs, [_value("z", "N", 4, 8, 8)], [_weight("w1", 10, 3, 1, 1), _weight("w2", 4, 12, 1, 1)])


def loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [
            _node("Identity", ["go"], ["going"]),
            _node("MatMul", ["state", "R"], ["m"]),
            _node("Add", ["m", "u"], ["s"]),
            _node("Tanh", ["s"], ["next"]),
            _node("MatMul", ["next", "S"], ["seen"]),
        ],
        "body",
        [
            _value("step", kind=onnx.TensorProto.INT64),
            _value("go", kind=onnx.TensorProto.BOOL),
            _value("state", "N", 16),
        ],
        [_value("going", kind=onnx.TensorProto.BOOL), _value("next", "N", 16), _value("seen", "N", 5)],
        [_weight("S", 16, 5)],
    )
    nodes = [
        _node("MatMul", ["x", "W"], ["u"]),
        _node("Relu", ["u"], ["first"]),
        _node("Loop", ["trips", "true", "first"], ["last", "all"], name="cell", body=body),
        _node("MatMul", ["last", "O"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(3, np.int64), "trips"),
        numpy_helper.from_array(np.array(True), "true"),
    ]
    weights = [_weight("W", 6, 16), _weight("R", 16, 16), _weight("O", 16, 4), *constants]
    return _model(nodes, [_value("x", "N", 6)], [_value("y", "N", 4), _value("all", None, "N", 5)], weights)


def scan() -> onnx.ModelProto:
    body = helper.make_graph(
        [
            _node("MatMul", ["state", "R"], ["m"]),
            _node("MatMul", ["element", "W"], ["u"]),
            _node("Add", ["m", "u"], ["s"]),
            _node("Tanh", ["s"], ["next"]),
            _node("Identity", ["next"], ["seen"]),
        ],
        "body",
        [_value("state", "N", 16), _value("element", "N", 6)],
        [_value("next", "N", 16), _value("seen", "N", 16)],
        [],
    )
    nodes = [
        _node("Shape", ["x"], ["batch"], start=1, end=2),
        _node("Concat", ["batch", "hidden"], ["shape"], axis=0),
        _node("ConstantOfShape", ["shape"], ["first"]),
        _node("Scan", ["first", "x"], ["last", "all"], name="cell", body=body, num_scan_inputs=1),
        _node("MatMul", ["all", "O"], ["y"]),
    ]
    hidden = numpy_helper.from_array(np.array([16], np.int64), "hidden")
    weights = [_weight("W", 6, 16), _weight("R", 16, 16), _weight("O", 16, 4), hidden]

    return _model(nodes, [_value("x", "T", "N", 6)], [_value("y", "T", "N", 4)], weights)


def functions() -> onnx.ModelProto:
    block = helper.make_function(
        "local",
        "Block",
        ["X", "W"],
        ["Y"],
        [_node("Conv", ["X", "W"], ["c"]), _node("Relu", ["c"], ["Y"])],
        [helper.make_opsetid("", 17)],
    )
    nodes = [
        _node("Block", ["x", "a"], ["h"], domain="local"),
        _node("Block", ["h", "b"], ["k"], domain="local"),
        _node("Conv", ["k", "c"], ["y"]),
    ]
    weights = [_weight("a", 8, 3, 1, 1), _weight("b", 12, 8, 1, 1), _weight("c", 4, 12, 1, 1)]
    return _model(nodes, [_value("x", "N", 3, 8, 8)], [_value("y", "N", 4, 8, 8)], weights, [block])


@pytest.mark.parametrize("build", [conditional, loop, scan, functions])
def test_half_of_the_hidden_axes_goes(build: object) -> None:
    assert callable(build)
    model = build()
    plan = irprune.plan(model, ratio=0.5, align=1)
    small = irprune.apply(model, plan)
    report = irprune.verify(model, small, plan)
    assert report.ok, report.as_json()
    assert plan.cost_after.params < 0.4 * plan.cost_before.params


def test_both_branches_lose_the_same_channels() -> None:
    plan = irprune.plan(conditional(), ratio=0.5, align=1)
    kept = {name: part.axes[0][1] for name, part in plan.slices.items() if name.endswith("_branch/w")}
    assert set(kept) == {"choose.then_branch/w", "choose.else_branch/w"}
    assert len(set(kept.values())) == 1


def test_the_state_of_a_loop_is_one_group_with_its_initial_value() -> None:
    plan = irprune.plan(loop(), ratio=0.5, align=1)
    (group,) = plan.groups
    assert set(group.members) == {"W:1", "R:0", "R:1", "O:0", "cell.body/S:0"}


def test_a_state_that_changes_its_size_is_frozen() -> None:
    model = loop()
    body = next(attribute.g for attribute in model.graph.node[2].attribute if attribute.name == "body")
    body.node[3].CopyFrom(_node("Concat", ["s", "s"], ["next"], axis=1))
    del body.node[4], body.output[2], body.initializer[:]
    del model.graph.node[2].output[1], model.graph.output[1]
    with pytest.raises(irprune.errors.TargetError, match="everything is frozen"):
        irprune.plan(model, ratio=0.5, align=1)


_SIZE, _FEATURES = 24, 8


def _cell(prefix: str, x: str, h: str, w: str, u: str) -> list[onnx.NodeProto]:
    """A gated cell: ``sigmoid(s) h + tanh(s)`` with ``s = x w + h u``."""
    return [
        _node("MatMul", [x, w], [f"{prefix}w"]),
        _node("MatMul", [h, u], [f"{prefix}u"]),
        _node("Add", [f"{prefix}w", f"{prefix}u"], [f"{prefix}s"]),
        _node("Tanh", [f"{prefix}s"], [f"{prefix}t"]),
        _node("Sigmoid", [f"{prefix}s"], [f"{prefix}g"]),
        _node("Mul", [f"{prefix}g", h], [f"{prefix}m"]),
        _node("Add", [f"{prefix}m", f"{prefix}t"], [f"{prefix}h"]),
    ]


def masked(outside: int) -> onnx.ModelProto:
    """A masked recurrent layer as converters from Keras write it.

    The weights go through the loop unchanged; ``outside`` cells in front of it read them and the expanded zero state
    too, and tell the loop no more than a shape.
    """
    state = [_value("h", "N", _SIZE), _value("o", "N", _SIZE)]
    handed = [_value("Wl", _FEATURES, _SIZE), _value("Ul", _SIZE, _SIZE)]
    copies = [_node("Identity", [name], [to]) for name, to in (("bh", "hn"), ("bh", "on"), ("c", "cn"))]
    body = helper.make_graph(
        [_node("Gather", ["x", "t"], ["xt"], axis=1), *_cell("b", "xt", "h", "Wl", "Ul"), *copies],
        "body",
        [_value("t", kind=onnx.TensorProto.INT64), _value("c", kind=onnx.TensorProto.BOOL), *state, *handed],
        [_value("cn", kind=onnx.TensorProto.BOOL), _value("hn", "N", _SIZE), _value("on", "N", _SIZE), *handed],
    )
    cells = [node for k in range(outside) for node in _cell(f"d{k}", "x0", "h0", "W", "U")]
    nodes = [
        _node("Shape", ["x"], ["xs"]),
        _node("Slice", ["xs", "z0", "z1"], ["batch"]),
        _node("Concat", ["batch", "size"], ["hs"], axis=0),
        _node("Expand", ["zero", "hs"], ["h0"]),
        _node("Gather", ["x", "first"], ["x0"], axis=1),
        *cells,
        _node("Sum", [f"d{k}h" for k in range(outside)], ["before"]),
        _node("Shape", ["before"], ["os"]),
        _node("ConstantOfShape", ["os"], ["o0"]),
        _node("Loop", ["trip", "", "h0", "o0", "W", "U"], ["hl", "ol", "wl", "ul"], name="steps", body=body),
        _node("MatMul", ["ol", "V"], ["y"]),
    ]
    integers = {"z0": [0], "z1": [1], "size": [_SIZE], "first": 0, "trip": 5}
    weights = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in integers.items()]
    weights.append(numpy_helper.from_array(np.float32(0), "zero"))
    weights += [_weight("W", _FEATURES, _SIZE), _weight("U", _SIZE, _SIZE), _weight("V", _SIZE, 3)]
    return _model(nodes, [_value("x", "N", 5, _FEATURES)], [_value("y", "N", 3)], weights)


@pytest.mark.parametrize("outside", [1, 3])
@pytest.mark.parametrize("request_", [{"ratio": 0.5}, {"macs": 0.5}])
def test_weights_and_a_zero_state_that_are_read_outside_of_a_loop_too(outside: int, request_: dict[str, float]) -> None:
    result = irprune.prune(masked(outside), **request_)
    assert result.report is not None and result.report.ok
    (group,) = result.plan.groups
    assert {"W:1", "U:0", "U:1", "V:0"} <= set(group.members)


def nested(depth: int, *, calls: int = 2, circle: bool = False) -> onnx.ModelProto:
    """Functions that each call the one before ``calls`` times; in a circle, the first calls the last."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]

    def function(k: int) -> onnx.FunctionProto:
        if k == 0:
            first = _node(f"F{depth - 1}", ["v0"], ["v1"], domain="local") if circle else _node("Relu", ["v0"], ["v1"])
            return helper.make_function("local", "F0", ["v0"], ["v1"], [first], opsets)
        nodes = [_node(f"F{k - 1}", [f"v{j}"], [f"v{j + 1}"], domain="local") for j in range(calls)]
        return helper.make_function("local", f"F{k}", ["v0"], [f"v{calls}"], nodes, opsets)

    nodes = [
        _node("MatMul", ["x", "a"], ["h"]),
        _node(f"F{depth - 1}", ["h"], ["k"], domain="local"),
        _node("MatMul", ["k", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [_value("x", "N", 4)], [_value("y", "N", 2)], [_weight("a", 4, 6), _weight("b", 6, 2)]
    )
    return helper.make_model(graph, functions=[function(k) for k in range(depth)], opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("shape", [{"depth": 6}, {"depth": 120, "calls": 1}])
def test_functions_that_call_functions(shape: dict[str, int]) -> None:
    result = irprune.prune(nested(**shape), ratio=0.5, align=1)
    assert result.report is not None and result.report.ok


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"depth": 30}, "functions stand for 536,870,912 nodes, too many"),
        ({"depth": 3, "circle": True}, "functions call each other in a circle: 'local::F"),
    ],
)
def test_functions_that_cannot_be_inlined(shape: dict[str, int], message: str) -> None:
    with pytest.raises(irprune.errors.InputError, match=message):
        irprune.plan(nested(**shape), ratio=0.5, align=1)
