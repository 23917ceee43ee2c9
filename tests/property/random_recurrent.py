"""Random recurrent networks: cells as operators, in stacks and both directions, or spelled out in Scan and Loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.property.building import Draw
from tests.property.random_attention import Net, Size
from tests.property.random_transformers import Made

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass
class Steps:
    """A value ``(length, batch, width)`` and how wide it is."""

    value: str
    width: int


# -- cells as operators ------------------------------------------------------------------------------------------------


def _state(b: Net, x: str, directions: int, hidden: int) -> str:
    """An initial state: zeros or learned numbers, of the batch or stretched to it."""
    if isinstance(b.batch, int):
        return b.weight(directions, b.batch, hidden)
    form = b.choice(("expand", "zeros", "tile"))
    batch = b.sizes(x, 1)[0]
    if form == "tile":
        whole = b.op("Concat", b.ints(1), batch, b.ints(1), axis=0)
        return b.op("Tile", b.weight(directions, 1, hidden), whole)
    whole = b.op("Concat", b.ints(directions), batch, b.ints(hidden), axis=0)
    if form == "zeros":
        return b.op("ConstantOfShape", whole)
    return b.op("Expand", b.weight(directions, 1, hidden), whole)


def _cell(b: Net, x: Steps, lengths: str) -> Steps:
    """One operator, and its results brought into three dimensions again."""
    kind = b.choice(("LSTM", "GRU", "RNN"))
    hidden, gates = b.integer(2, 5), GATES[kind]
    direction = b.choice(("forward", "reverse", "bidirectional", "bidirectional"))
    d = 2 if direction == "bidirectional" else 1
    weight, recurrence = b.weight(d, gates * hidden, x.width), b.weight(d, gates * hidden, hidden)
    bias = b.weight(d, 2 * gates * hidden) if b.flip() else ""
    states = [_state(b, x.value, d, hidden) for _ in range(2 if kind == "LSTM" else 1)] if b.flip() else []
    peepholes = [b.weight(d, 3 * hidden)] if kind == "LSTM" and states and b.flip() else []
    extra: dict[str, object] = {"linear_before_reset": b.integer(0, 1)} if kind == "GRU" else {}
    if kind == "RNN" and b.flip():
        extra["activations"] = ["Relu", "Tanh"][:d]
    if b.integer(0, 3) == 0:
        extra["clip"] = 2.0
    counted = lengths if not peepholes else ""
    operands = [x.value, weight, recurrence, bias, counted, *states, *peepholes]
    while not operands[-1]:
        operands.pop()
    y = b.op(kind, *operands, outputs=2, hidden_size=hidden, direction=direction, **extra)
    b.free += [(weight, 2), (recurrence, 2)]
    return _joined(b, y, d, hidden, x)


def _joined(b: Net, y: str, d: int, hidden: int, x: Steps) -> Steps:
    """``(t d b h)`` as ``(t b (d h))``, the sum of directions, or directions split and put together anew."""
    if d == 1:
        if b.flip():
            return Steps(b.op("Squeeze", y, b.ints(1)), hidden)
        return Steps(b.op("Gather", y, b.scalar(0), axis=1), hidden)
    form = b.choice(("merged", "added", "split"))
    if form == "added":
        return Steps(b.op("ReduceSum", y, b.ints(1), keepdims=0), hidden)
    if form == "split":
        first = b.op("Split", y, b.ints(1, 1), outputs=2, axis=1)
        parts = [b.op("Squeeze", part, b.ints(1)) for part in (first, f"{first}_1")]
        return Steps(b.op("Concat", *(parts if b.flip() else reversed(parts)), axis=-1), 2 * hidden)
    moved = b.op("Transpose", y, perm=[0, 2, 1, 3])
    merged = b.op("Reshape", moved, b.ints(0, 0, b.choice_of(-1, 2 * hidden)))
    if b.flip():
        return Steps(merged, 2 * hidden)
    first = b.op("Split", merged, b.ints(hidden, hidden), outputs=2, axis=-1)
    return Steps(b.op("Add", first, b.op("Tanh", f"{first}_1")), hidden)


# -- cells spelled out -------------------------------------------------------------------------------------------------


def _start(b: Net, x: Steps, hidden: int) -> str:
    if isinstance(b.batch, int):
        return b.weight(b.batch, hidden)
    whole = b.op("Concat", b.sizes(x.value, 1)[0], b.ints(hidden), axis=0)
    return b.op("ConstantOfShape", whole) if b.flip() else b.op("Expand", b.weight(1, hidden), whole)


def _step(b: Net, x: str, width: int, hidden: int, kind: str) -> list[str]:
    """The states after one step, from states ``h0`` (and ``c0``) and an element ``x``."""
    inner, recurrence = b.weight(width, GATES[kind] * hidden), b.weight(hidden, GATES[kind] * hidden)
    b.free += [(inner, 1), (recurrence, 0), (recurrence, 1)]
    bias = b.weight(GATES[kind] * hidden)
    total = b.op("Add", b.op("Add", b.op("MatMul", x, inner), b.op("MatMul", "h0", recurrence)), bias)
    if kind == "RNN":
        return [b.op("Tanh", total)]
    if b.flip():
        first = b.op("Split", total, outputs=4, axis=-1, num_outputs=4)
        gates = [first, *(f"{first}_{k}" for k in (1, 2, 3))]
    else:
        gates = [b.op("Slice", total, b.ints(k * hidden), b.ints((k + 1) * hidden), b.ints(1)) for k in range(4)]
    opened, forgotten, shown = (b.op("Sigmoid", gates[k]) for k in (0, 1, 3))
    cell = b.op("Add", b.op("Mul", forgotten, "c0"), b.op("Mul", opened, b.op("Tanh", gates[2])))
    return [b.op("Mul", shown, b.op("Tanh", cell)), cell]


def _info(name: str, kind: int, shape: list[Size] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _spelled(b: Net, x: Steps, form: str) -> Steps:
    """A recurrence in the body of a Scan or a Loop."""
    hidden, kind = b.integer(2, 5), b.choice(("RNN", "LSTM"))
    starts = [_start(b, x, hidden) for _ in range(2 if kind == "LSTM" else 1)]
    states = [_info(name, TensorProto.FLOAT, [b.batch, hidden]) for name in ("h0", "c0")[: len(starts)]]
    trips = "" if form == "Scan" else b.op("Squeeze", b.sizes(x.value, 0)[0], b.ints(0))
    element = "element" if form == "Scan" else b.op("Gather", x.value, "step", axis=0)
    first = len(b.nodes) - (form == "Loop")
    after = _step(b, element, x.width, hidden, kind)
    shown = b.op("Identity", after[0])
    results = [_info(name, TensorProto.FLOAT, [b.batch, hidden]) for name in (*after, shown)]
    if form == "Scan":
        inputs = [*states, _info("element", TensorProto.FLOAT, [b.batch, x.width])]
        operands, extra = [*starts, x.value], {"num_scan_inputs": 1}
    else:
        inputs = [_info("step", TensorProto.INT64, []), _info("go", TensorProto.BOOL, []), *states]
        results.insert(0, _info(b.op("Identity", "go"), TensorProto.BOOL, []))
        operands, extra = [trips, b.store(np.array(True), "k"), *starts], {}
    body = helper.make_graph(b.nodes[first:], "body", inputs, results)
    del b.nodes[first:]
    made = b.op(form, *operands, outputs=len(starts) + 1, body=body, **extra)
    return Steps(f"{made}_{len(starts)}", hidden)


# -- whole models ------------------------------------------------------------------------------------------------------


def _front(b: Net) -> tuple[Steps, onnx.ValueInfoProto]:
    """Features over time, batch first or not, looked up, projected or convolved."""
    form = b.choice(("time first", "batch first", "embedding", "convolution"))
    if form == "embedding":
        width = b.integer(2, 4)
        table = b.weight(7, width)
        b.free.append((table, 1))
        given = _info("x", TensorProto.INT64, [b.length, b.batch])
        return Steps(b.op("Gather", table, "x"), width), given
    if form == "time first":
        width = b.integer(2, 4)
        return Steps(b.linear("x", 3, width), width), _info("x", TensorProto.FLOAT, [b.length, b.batch, 3])
    if form == "batch first":
        width = b.integer(2, 4)
        made = b.linear("x", 3, width)
        return Steps(b.op("Transpose", made, perm=[1, 0, 2]), width), _info(
            "x", TensorProto.FLOAT, [b.batch, b.length, 3]
        )
    width = b.integer(2, 4)
    weight = b.weight(width, 3, 3)
    b.free.append((weight, 0))
    made = b.op("Relu", b.op("Conv", "x", weight, b.weight(width), pads=[1, 1]))
    given = _info("x", TensorProto.FLOAT, [b.batch, 3, b.length])
    return Steps(b.op("Transpose", made, perm=[2, 0, 1]), width), given


def _between(b: Net, x: Steps) -> Steps:
    """What may stand between two cells."""
    form = b.choice(("nothing", "norm", "projection", "gate"))
    if form == "norm":
        made = b.op("LayerNormalization", x.value, b.weight(x.width, positive=True), axis=-1)
        return Steps(made, x.width)
    if form == "projection":
        width = b.integer(2, 4)
        return Steps(b.linear(x.value, x.width, width), width)
    if form == "gate":
        return Steps(b.op("Mul", x.value, b.op("Sigmoid", b.linear(x.value, x.width, x.width))), x.width)
    return x


def _leave(b: Net, x: Steps) -> tuple[str, list[Size]]:
    """A head over all steps, the last one, or their mean, weighted or not."""
    form = b.choice(("steps", "last", "mean", "weighted"))
    if form == "steps":
        return b.linear(x.value, x.width, 4, is_free=False), [b.length, b.batch, 4]
    if form == "last":
        value = b.op("Gather", x.value, b.scalar(-1), axis=0)
    elif form == "mean":
        value = b.op("ReduceMean", x.value, b.ints(0), keepdims=0)
    else:
        weights = b.op("Softmax", b.linear(x.value, x.width, 1, is_free=False), axis=0)
        value = b.op("ReduceSum", b.op("Mul", x.value, weights), b.ints(0), keepdims=0)
    return b.op("Gemm", value, b.weight(4, x.width), b.weight(4), transB=1), [b.batch, 4]


@st.composite
def recurrent_networks(draw: Draw) -> Made:
    """A front, one to three cells, and a head."""
    batch: Size = "N" if draw(st.booleans()) else 2
    length: Size = "S" if draw(st.booleans()) else draw(st.integers(2, 4))
    b = Net(draw, batch, length, 0)
    x, given = _front(b)
    inputs = [given]
    lengths = "lengths" if b.integer(0, 3) == 0 else ""
    if lengths:
        inputs.append(_info("lengths", TensorProto.INT32, [batch]))
    for k in range(b.integer(1, 3)):
        form = b.choice(("operator", "operator", "Scan", "Loop"))
        x = _cell(b, x if k == 0 else _between(b, x), lengths) if form == "operator" else _spelled(b, x, form)
    if lengths and not any(lengths in node.input for node in b.nodes):
        inputs.pop()
    value, shape = _leave(b, x)
    return Made(b.finish(inputs, [_info(value, TensorProto.FLOAT, shape)]), tuple(b.free))
