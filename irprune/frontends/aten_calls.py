"""Entries of the ATen table that depend on shapes: functions from a call to the IR operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..ir.core import Attribute
from ..signatures import NoSignature
from .lowering import AtenCall, Lowered, Lowering, Numbers, Origin, Symbol, TensorName, attribute, number, read_entry


def elementwise(call: AtenCall) -> Lowered:
    """One result, whose shape is that of all tensors together."""
    rank = max((len(call.shapes[name]) for name in call.tensors()), default=0)
    if call.result is None or len(call.result) != rank:
        raise NoSignature("the result is not a broadcast of the operands")
    return Lowered("elementwise", tuple(call.tensors()), "aten")


def singular(call: AtenCall) -> Lowered:
    """As element-wise, of a function that is undefined at zero."""
    return replace(elementwise(call), op="singular")


def power(call: AtenCall) -> Lowered:
    """A power by a plain number that is not negative is defined everywhere."""
    exponent = call.arguments["exponent"]
    if isinstance(exponent, (int, float)) and exponent >= 0:
        return elementwise(call)
    return read_entry("Pow(self, exponent)")(call)


def same(call: AtenCall) -> Lowered:
    return Lowered("Identity", (call.tensors()[0],))


def with_batch(argument: str, spatial: int, text: str) -> Lowering:
    """An operator on ``n c *s`` whose batch dimension is optional in ATen; calls without it are refused."""

    def lowering(call: AtenCall) -> Lowered:
        if call.rank(argument) != spatial + 2:
            raise NoSignature(f"the operand has no batch (rank {call.rank(argument)})")
        return read_entry(text)(call)

    return lowering


def transposed(first: str, second: str) -> Lowering:
    def lowering(call: AtenCall) -> Lowered:
        order = list(range(call.rank()))
        a, b = call.arguments[first], call.arguments[second]
        order[a], order[b] = order[b], order[a]
        return _transpose(call, order)

    return lowering


def _transpose(call: AtenCall, order: Sequence[int]) -> Lowered:
    return Lowered("Transpose", (call.arguments["self"],), attributes={"perm": tuple(order)})


def last_two(call: AtenCall) -> Lowered:
    order = list(range(call.rank()))
    return _transpose(call, [*order[:-2], *order[-2:][::-1]])


def all_reversed(call: AtenCall) -> Lowered:
    return _transpose(call, list(range(call.rank()))[::-1])


def movedim(call: AtenCall) -> Lowered:
    rank = call.rank()
    source, target = ([k % rank for k in _as_list(call.arguments[name])] for name in ("source", "destination"))
    rest = iter(k for k in range(rank) if k not in source)
    order = [source[target.index(k)] if k in target else next(rest) for k in range(rank)]
    return _transpose(call, order)


def _as_list(value: Any) -> list[int]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def permute(call: AtenCall) -> Lowered:
    return _transpose(call, [k % call.rank() for k in call.arguments["dims"]])


def flattened(call: AtenCall) -> Lowered:
    """A view that names no sizes."""
    if call.result is None:
        raise NoSignature("the shape of the result is unknown")
    sizes = Numbers(tuple(Symbol(d) if isinstance(d, str) else d for d in call.result))
    return Lowered("Reshape", (call.arguments["self"], sizes))


def expanded(call: AtenCall) -> Lowered:
    """``-1`` keeps a dimension, which for Expand is a one."""
    lowered = read_entry("Expand(self, size)")(call)
    sizes = lowered.operands[1]
    assert isinstance(sizes, Numbers)
    kept = tuple(1 if entry == -1 else entry for entry in sizes.entries)
    return Lowered("Expand", (lowered.operands[0], Numbers(kept, origin=sizes.origin)))


def arithmetic(op: str) -> Lowering:
    """Calls on integers may compute positions or sizes, and are evaluated. All others are element-wise."""

    def lowering(call: AtenCall) -> Lowered:
        is_whole = isinstance(call.arguments["other"], (TensorName, Symbol, int))
        if not is_whole or call.arguments.get("alpha", 1) != 1:
            return elementwise(call)
        return read_entry(f"{op}(self, other)")(call)

    return lowering


def squeezed(call: AtenCall) -> Lowered:
    """Removes the named dimensions that are of size one."""
    shape, dim = call.shape("self"), call.arguments.get("dim")
    axes = range(len(shape)) if dim is None else [k % max(len(shape), 1) for k in _as_list(dim)]
    gone = tuple(k for k in axes if len(shape) and shape[k] == 1)
    if not gone:
        return Lowered("Identity", (call.arguments["self"],))
    if dim is None:
        raise NoSignature("it takes away whichever dimensions are of size one; name them")
    return Lowered("Squeeze", (call.arguments["self"], Numbers(gone)))


def padded(argument: str = "pad", mode: str | None = None) -> Lowering:
    """Pads as torch lists them; the operator's own ``mode``, or that of the call."""

    def lowering(call: AtenCall) -> Lowered:
        pads = list(call.arguments[argument])
        sides = [*zip(pads[0::2], pads[1::2], strict=True)][::-1]
        whole = [(0, 0)] * (call.rank() - len(sides)) + sides
        entries = tuple(number(v) for v in (*(low for low, _ in whole), *(high for _, high in whole)))
        how = mode or call.arguments.get("mode", "constant")
        numbers = Numbers(entries, origin=Origin(argument, "reverse"))
        return Lowered("Pad", (call.arguments["self"], numbers), attributes={"mode": how})

    return lowering


def _indices(call: AtenCall) -> tuple[list[Any], list[int]]:
    """The index of each dimension, and which dimensions have one."""
    indices = list(call.arguments["indices"])
    used = [k for k, index in enumerate(indices) if index is not None]
    if any(indices[k] in call.masks for k in used):
        raise NoSignature("a mask picks as many elements as are true")
    return indices, used


def indexed(call: AtenCall) -> Lowered:
    """One index tensor is a Gather; several pick points."""
    indices, used = _indices(call)
    if len(used) == 1:
        operands = (call.arguments["self"], indices[used[0]])
        return Lowered("Gather", operands, attributes={"axis": used[0]}, origins={"indices": Origin("indices")})
    tensors = tuple(indices[k] for k in used)
    return Lowered("index", (call.arguments["self"], *tensors), "aten", attributes={"axes": tuple(used)})


def index_put(call: AtenCall) -> Lowered:
    """Elements at indices are replaced. A mask of the whole tensor with one value is element-wise."""
    data, values = call.arguments["self"], call.arguments["values"]
    mask = call.arguments["indices"][0]
    if mask in call.masks and len(call.shapes[mask]) == call.rank() and call.shapes[values] in ((), (1,)):
        return Lowered("elementwise", (data, mask, values), "aten")
    indices, used = _indices(call)
    operands = (data, values, *(indices[k] for k in used))
    return Lowered("index_put", operands, "aten", attributes={"axes": tuple(used)})


def layer_norm(call: AtenCall) -> Lowered:
    shape = attribute(call.arguments["normalized_shape"])
    assert isinstance(shape, tuple)
    operands = tuple(call.arguments.get(name) for name in ("input", "weight", "bias") if name in call.arguments)
    attributes: dict[str, Attribute] = {"axis": -len(shape), "normalized_shape": shape}
    return Lowered("layer_norm", operands, "aten", attributes, {"normalized_shape": Origin("normalized_shape")})


def instance_norm(call: AtenCall) -> Lowered:
    """Statistics of the instance, or else stored ones as in batch normalization."""
    if call.arguments["use_input_stats"] and call.arguments["running_mean"] is None:
        return read_entry("InstanceNormalization(input, weight, bias)")(call)
    return read_entry("BatchNormalization(input, weight, bias, running_mean, running_var)")(call)


def vector_norm(call: AtenCall) -> Lowered:
    order = call.arguments.get("ord", call.arguments.get("p", 2))
    op = {1: "ReduceL1", 2: "ReduceL2", None: "ReduceL2"}.get(order, "ReduceMax")
    return read_entry(f"{op}(self, dim, keepdims=keepdim)")(call)


def argmax(call: AtenCall) -> Lowered:
    if call.arguments.get("dim") is None:
        raise NoSignature("it counts all elements of the tensor")
    return read_entry("ArgMax(self, axis=dim, keepdims=keepdim)")(call)


def aminmax(call: AtenCall) -> Lowered:
    if call.arguments.get("dim") is None:
        return read_entry("aten.statistics(self, keepdims=0)")(call)
    return read_entry("aten.statistics(self, [dim], keepdims=keepdim)")(call)


def attention(call: AtenCall) -> Lowered:
    if call.rank("query") != 4:
        raise NoSignature(f"attention over rank {call.rank('query')}, expected 4")
    return read_entry("Attention(query, key, value, attn_mask, scale=scale, is_causal=is_causal)")(call)


def concat(call: AtenCall) -> Lowered:
    """Empty vectors join anything, whatever its rank."""
    parts = tuple(x for x in call.arguments["tensors"] if call.shapes[x] != (0,))
    if len(parts) == 1:
        return Lowered("Identity", parts)
    return Lowered("Concat", parts, attributes={"axis": call.arguments["dim"]})


def unflatten(call: AtenCall) -> Lowered:
    """A view that spells out the sizes of one dimension's factors."""
    whole = flattened(call)
    sizes = whole.operands[1]
    assert isinstance(sizes, Numbers)
    dim = call.arguments["dim"] % call.rank()
    return Lowered("Reshape", (whole.operands[0], Numbers(sizes.entries, origin=Origin("sizes", "from", dim))))


def recurrent(gates: int) -> Lowering:
    def lowering(call: AtenCall) -> Lowered:
        if "hx" not in call.arguments or "params" not in call.arguments or "batch_sizes" in call.arguments:
            raise NoSignature("a packed sequence")
        states = call.arguments["hx"]
        states = states if isinstance(states, (list, tuple)) else [states]
        attributes: dict[str, Attribute] = {"gates": gates, "states": len(states)}
        for name in ("has_biases", "bidirectional", "batch_first"):
            attributes[name] = int(call.arguments[name])
        operands = (call.arguments["input"], *states, *call.arguments["params"])
        return Lowered("recurrent", operands, "aten", attributes)

    return lowering


def weight_norm(call: AtenCall) -> Lowered:
    return read_entry("aten.weight_norm(v, g, axis=dim)")(call)


def convolution(call: AtenCall) -> Lowered:
    if call.rank("input") != call.rank("weight"):
        raise NoSignature(f"the operand has no batch (rank {call.rank('input')})")
    if call.arguments.get("transposed"):
        return read_entry("ConvTranspose(input, weight, bias, group=groups)")(call)
    # "same" and "valid" pad nothing around a window of one element
    pads = "" if isinstance(call.arguments["padding"], str) else ", pads=padding"
    return read_entry(f"Conv(input, weight, bias, group=groups, strides=stride{pads})")(call)


def repeated(call: AtenCall) -> Lowered:
    if len(call.arguments["repeats"]) != call.rank():
        return read_entry("aten.repeat(self, repeats)")(call)
    return read_entry("Tile(self, repeats)")(call)
