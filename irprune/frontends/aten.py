"""The ATen table: each operator of ``torch.export`` as the IR operator that has its signature.

::

    permute   ->  Transpose(self, perm=dims)
    slice     ->  Slice(self, [start or 0], [end or MAX], [dim], [step])

An entry is a call of the IR operator, written with the argument names of the ATen schema: ``self`` is that tensor (or
list of tensors, or numbers as a constant operand), ``[dim]`` a number as a vector of one entry, ``start or 0`` gives
a default, ``perm=dims`` an attribute. Most operators are one of ai.onnx under another name; those that are not have
signatures of their own (``aten.linear``), in :mod:`irprune.signatures.aten_ops`. Every number keeps the argument it
came from, so that the emitter can write a changed one back. https://docs.pytorch.org/docs/stable/torch.compiler_ir.html
lists the core operators. This module needs no torch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from ..ir.core import Attribute
from ..signatures import NoSignature

MAX = 2**63 - 1


class TensorName(str):
    """An argument that is a tensor: the name of its value."""


class Symbol(str):
    """A number that only run time tells, as the text of a :class:`Size`."""


Number: TypeAlias = int | float | Symbol


@dataclass(frozen=True, slots=True)
class Source:
    """The argument that numbers came from, and how they are arranged there.

    ``one`` is a number by itself; ``from`` are entries ``start`` and following; ``reverse`` is the order of ``pad``:
    from the last dimension, low and high side by side.
    """

    argument: str
    arrangement: Literal["as is", "one", "from", "reverse"] = "as is"
    start: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """A constant operand made of numbers; without ``source``, numbers that the call does not spell out."""

    entries: tuple[Number, ...]
    scalar: bool = False
    source: Source | None = None


Operand: TypeAlias = "TensorName | Numbers | None"


@dataclass(frozen=True)
class Call:
    """An ATen call: its arguments by schema name (defaults filled in) and the shapes of tensors.

    ``shapes`` has every tensor argument by value name; ``result`` is the shape of the first result.
    """

    name: str
    arguments: Mapping[str, Any]
    shapes: Mapping[str, tuple[int | str, ...]]
    result: tuple[int | str, ...] | None

    def shape(self, argument: str) -> tuple[int | str, ...]:
        return self.shapes[self.arguments[argument]]

    def rank(self, argument: str = "self") -> int:
        return len(self.shape(argument))

    def tensors(self) -> list[TensorName]:
        """All tensors among the arguments, in order."""
        flat = (x for a in self.arguments.values() for x in (a if isinstance(a, (list, tuple)) else (a,)))
        return [x for x in flat if isinstance(x, TensorName)]


@dataclass(frozen=True)
class Lowered:
    """An IR operator with its operands; ``sources`` says where attributes came from."""

    op: str
    operands: tuple[Operand, ...]
    domain: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)


Lowering: TypeAlias = Callable[[Call], Lowered]


def lower(call: Call, overload: str, is_pointwise: bool) -> Lowered:
    """The IR operator of a call; raises :class:`NoSignature` for an operator the table lacks.

    ``is_pointwise`` is torch's own tag: every such operator is element-wise with numpy broadcasting.
    """
    base = call.name
    plain = base.rstrip("_") if not base.startswith("__") else base
    for name in (f"{base}.{overload}", base, f"{plain}.{overload}", plain):
        entry = TABLE.get(name)
        if entry is not None:
            return _complete(call, _read(entry)(call) if isinstance(entry, str) else entry(call))
    if is_pointwise:
        return elementwise(call)
    raise NoSignature(f"operator aten::{base} has no signature")


def _complete(call: Call, lowered: Lowered) -> Lowered:
    """Refuse a lowering that overlooks a tensor, unless only its type or device is looked at."""
    if lowered.op in _OF_ANOTHER:
        return lowered
    overlooked = [name for name in call.tensors() if name not in lowered.operands]
    if any(call.shapes[name] != (0,) for name in overlooked):
        raise NoSignature(f"tensor '{overlooked[0]}' has no part in the signature")
    return lowered


_OF_ANOTHER = {"Identity", "ConstantOfShape"}
"""Operators of which ``type_as`` and ``new_zeros`` take the type of another tensor."""


def elementwise(call: Call) -> Lowered:
    """One result, whose shape is that of all tensors together."""
    rank = max((len(call.shapes[name]) for name in call.tensors()), default=0)
    if call.result is None or len(call.result) != rank:
        raise NoSignature("the result is no broadcast of the operands")
    return Lowered("elementwise", tuple(call.tensors()), "aten")


# -- entries that are text --------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _read(text: str) -> Lowering:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    domain = (
        call.func.value.id if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) else ""
    )
    op = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    operands, attributes = call.args, {str(k.arg): k.value for k in call.keywords}

    def lowering(site: Call) -> Lowered:
        values: dict[str, Attribute] = {}
        sources: dict[str, Source] = {}
        for name, item in attributes.items():
            value, source = _argument(item, site)
            if value is not None:
                values[name] = _attribute(value)
            if source is not None:  # also of a default, which may have to be spelled out
                sources[name] = Source(source)
        return Lowered(op, tuple(x for item in operands for x in _operand(item, site)), domain, values, sources)

    return lowering


def _argument(item: ast.expr, call: Call) -> tuple[Any, str | None]:
    """The value of an expression, and the argument it is."""
    if isinstance(item, ast.Constant):
        return item.value, None
    if isinstance(item, ast.BoolOp):
        value, source = _argument(item.values[0], call)
        return (_argument(item.values[1], call)[0] if value is None else value), source
    assert isinstance(item, ast.Name)
    if item.id == "MAX":
        return MAX, None
    return call.arguments[item.id], item.id


def _attribute(value: Any) -> Attribute:
    if isinstance(value, (list, tuple)):
        return tuple(int(v) if not isinstance(v, Symbol) else -1 for v in value)
    return int(value) if isinstance(value, bool) else value


def _operand(item: ast.expr, call: Call) -> list[Operand]:
    if isinstance(item, ast.List):
        value, source = _argument(item.elts[0], call)
        return [Numbers((_number(value),), source=Source(source, "one") if source else None)]
    value, source = _argument(item, call)
    if value is None or isinstance(value, TensorName):
        return [value]
    if not isinstance(value, (list, tuple)):
        return [Numbers((_number(value),), scalar=True, source=Source(source) if source else None)]
    if any(isinstance(x, TensorName) for x in value):
        return [x if isinstance(x, TensorName) else None for x in value]
    return [Numbers(tuple(map(_number, value)), source=Source(source) if source else None)]


def _number(value: Any) -> Number:
    if isinstance(value, (Symbol, float)):
        return value
    if isinstance(value, (int, bool)):
        return int(value)
    raise NoSignature(f"argument {value!r} is no number")


# -- entries that need a look at shapes -------------------------------------------------------------------------------


def _same(call: Call) -> Lowered:
    return Lowered("Identity", (call.tensors()[0],))


def _with_batch(argument: str, spatial: int, text: str) -> Lowering:
    """An operator on ``n c *s`` whose batch may be left out; without it, nothing is said."""

    def lowering(call: Call) -> Lowered:
        if call.rank(argument) != spatial + 2:
            raise NoSignature(f"the operand has no batch (rank {call.rank(argument)})")
        return _read(text)(call)

    return lowering


def _transposed(first: str, second: str) -> Lowering:
    def lowering(call: Call) -> Lowered:
        order = list(range(call.rank()))
        a, b = call.arguments[first], call.arguments[second]
        order[a], order[b] = order[b], order[a]
        return _transpose(call, order)

    return lowering


def _transpose(call: Call, order: Sequence[int]) -> Lowered:
    return Lowered("Transpose", (call.arguments["self"],), attributes={"perm": tuple(order)})


def _last_two(call: Call) -> Lowered:
    order = list(range(call.rank()))
    return _transpose(call, [*order[:-2], *order[-2:][::-1]])


def _reversed(call: Call) -> Lowered:
    return _transpose(call, list(range(call.rank()))[::-1])


def _movedim(call: Call) -> Lowered:
    rank = call.rank()
    source, target = ([k % rank for k in _as_list(call.arguments[name])] for name in ("source", "destination"))
    rest = iter(k for k in range(rank) if k not in source)
    order = [source[target.index(k)] if k in target else next(rest) for k in range(rank)]
    return _transpose(call, order)


def _as_list(value: Any) -> list[int]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _permute(call: Call) -> Lowered:
    return _transpose(call, [k % call.rank() for k in call.arguments["dims"]])


def _flattened(call: Call) -> Lowered:
    """A view that names no sizes."""
    if call.result is None:
        raise NoSignature("the shape of the result is unknown")
    sizes = Numbers(tuple(Symbol(d) if isinstance(d, str) else d for d in call.result))
    return Lowered("Reshape", (call.arguments["self"], sizes))


def _expand(call: Call) -> Lowered:
    """``-1`` keeps a dimension, which for Expand is a one."""
    lowered = _read("Expand(self, size)")(call)
    sizes = lowered.operands[1]
    assert isinstance(sizes, Numbers)
    kept = tuple(1 if entry == -1 else entry for entry in sizes.entries)
    return Lowered("Expand", (lowered.operands[0], Numbers(kept, source=sizes.source)))


def _arithmetic(op: str) -> Lowering:
    """Of whole numbers, which may be positions or sizes: these are evaluated. Anything else is element-wise."""

    def lowering(call: Call) -> Lowered:
        is_whole = isinstance(call.arguments["other"], (TensorName, Symbol, int))
        if not is_whole or call.arguments.get("alpha", 1) != 1:
            return elementwise(call)
        return _read(f"{op}(self, other)")(call)

    return lowering


def _squeezed(call: Call) -> Lowered:
    """Only dimensions that are of size one go."""
    shape, dim = call.shape("self"), call.arguments.get("dim")
    axes = range(len(shape)) if dim is None else [k % max(len(shape), 1) for k in _as_list(dim)]
    gone = tuple(k for k in axes if len(shape) and shape[k] == 1)
    if not gone:
        return Lowered("Identity", (call.arguments["self"],))
    if dim is None:
        raise NoSignature("it takes away whichever dimensions are of size one; name them")
    return Lowered("Squeeze", (call.arguments["self"], Numbers(gone)))


def _pad(call: Call) -> Lowered:
    pads = list(call.arguments["pad"])
    rank = call.rank()
    sides = [*zip(pads[0::2], pads[1::2], strict=True)][::-1]
    whole = [(0, 0)] * (rank - len(sides)) + sides
    entries = tuple(_number(v) for v in (*(low for low, _ in whole), *(high for _, high in whole)))
    mode = call.arguments.get("mode", "constant")
    numbers = Numbers(entries, source=Source("pad", "reverse"))
    return Lowered("Pad", (call.arguments["self"], numbers), attributes={"mode": mode})


def _index(call: Call) -> Lowered:
    """One index tensor is a Gather; several pick points."""
    indices = list(call.arguments["indices"])
    used = [k for k, index in enumerate(indices) if index is not None]
    if len(used) == 1:
        operands = (call.arguments["self"], indices[used[0]])
        return Lowered("Gather", operands, attributes={"axis": used[0]}, sources={"indices": Source("indices")})
    tensors = tuple(indices[k] for k in used)
    return Lowered("index", (call.arguments["self"], *tensors), "aten", attributes={"axes": tuple(used)})


def _layer_norm(call: Call) -> Lowered:
    shape = _attribute(call.arguments["normalized_shape"])
    assert isinstance(shape, tuple)
    operands = tuple(call.arguments.get(name) for name in ("input", "weight", "bias") if name in call.arguments)
    attributes: dict[str, Attribute] = {"axis": -len(shape), "normalized_shape": shape}
    return Lowered("layer_norm", operands, "aten", attributes, {"normalized_shape": Source("normalized_shape")})


def _instance_norm(call: Call) -> Lowered:
    """Statistics of the instance, or (when not) those that batch normalisation stored."""
    if call.arguments["use_input_stats"] and call.arguments["running_mean"] is None:
        return _read("InstanceNormalization(input, weight, bias)")(call)
    return _read("BatchNormalization(input, weight, bias, running_mean, running_var)")(call)


def _norm(call: Call) -> Lowered:
    order = call.arguments.get("ord", call.arguments.get("p", 2))
    op = {1: "ReduceL1", 2: "ReduceL2", None: "ReduceL2"}.get(order, "ReduceMax")
    return _read(f"{op}(self, dim, keepdims=keepdim)")(call)


def _argmax(call: Call) -> Lowered:
    if call.arguments.get("dim") is None:
        raise NoSignature("it counts all elements of the tensor")
    return _read("ArgMax(self, axis=dim, keepdims=keepdim)")(call)


def _attention(call: Call) -> Lowered:
    if call.rank("query") != 4:
        raise NoSignature(f"attention over rank {call.rank('query')}, expected 4")
    return _read("Attention(query, key, value, attn_mask, scale=scale, is_causal=is_causal)")(call)


def _concat(call: Call) -> Lowered:
    """Empty vectors join anything, whatever its rank."""
    parts = tuple(x for x in call.arguments["tensors"] if call.shapes[x] != (0,))
    if len(parts) == 1:
        return Lowered("Identity", parts)
    return Lowered("Concat", parts, attributes={"axis": call.arguments["dim"]})


def _unflatten(call: Call) -> Lowered:
    """A view that spells out the sizes of one dimension's factors."""
    whole = _flattened(call)
    sizes = whole.operands[1]
    assert isinstance(sizes, Numbers)
    dim = call.arguments["dim"] % call.rank()
    return Lowered("Reshape", (whole.operands[0], Numbers(sizes.entries, source=Source("sizes", "from", dim))))


def _recurrent(gates: int) -> Lowering:
    def lowering(call: Call) -> Lowered:
        if "hx" not in call.arguments or "params" not in call.arguments or "batch_sizes" in call.arguments:
            raise NoSignature("a packed sequence")
        states = call.arguments["hx"]
        states = states if isinstance(states, (list, tuple)) else [states]
        attributes: dict[str, Attribute] = {"gates": gates, "states": len(states)}
        for name in ("has_biases", "num_layers", "bidirectional", "batch_first"):
            attributes[name] = int(call.arguments[name])
        operands = (call.arguments["input"], *states, *call.arguments["params"])
        return Lowered("recurrent", operands, "aten", attributes)

    return lowering


def _weight_norm(call: Call) -> Lowered:
    return _read("aten.weight_norm(v, g, axis=dim)")(call)


def _convolution(call: Call) -> Lowered:
    op = "ConvTranspose" if call.arguments["transposed"] else "Conv"
    if call.rank("input") != call.rank("weight"):
        raise NoSignature("the operand has no batch")
    return _read(f"{op}(input, weight, bias, group=groups)")(call)


def _repeat(call: Call) -> Lowered:
    if len(call.arguments["repeats"]) != call.rank():
        return _read("aten.repeat(self, repeats)")(call)
    return _read("Tile(self, repeats)")(call)


def _pools(*names: str) -> dict[str, str | Lowering]:
    return {f"{name}{n}d": _with_batch("self", n, "aten.pool(self)") for name in names for n in (1, 2, 3)}


def _reduction(op: str) -> str:
    return f"{op}(self, dim, keepdims=keepdim)"


_ELEMENTWISE = """
__and__ __or__ __xor__ __lshift__ __rshift__ add sub mul div rsub eq ne lt le gt ge where masked_fill copy expand_as
clamp clamp_min clamp_max hardtanh relu relu6 silu gelu sigmoid tanh elu leaky_relu hardswish hardsigmoid mish
softplus threshold logical_and logical_or logical_not bitwise_and bitwise_or bitwise_not maximum minimum fmod
remainder pow square zeros_like ones_like full_like rand_like randn_like empty_like fill fill_ zero log1p erf addcmul
addcdiv lerp heaviside
""".split()  # noqa: SIM905 (a table of names reads better)

_SAME = """
clone contiguous alias detach lift_fresh_copy lift_fresh to _to_copy type_as dropout native_dropout alpha_dropout
feature_dropout positive view_as_real_copy requires_grad float double half bfloat16
""".split()  # noqa: SIM905

_VIEWS = ("view", "reshape", "_unsafe_view", "view_copy", "_reshape_alias")

TABLE: dict[str, str | Lowering] = {
    **dict.fromkeys(_ELEMENTWISE, elementwise),
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(_VIEWS, "Reshape(self, size)"),
    **_pools("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool"),
    "reshape": "Reshape(self, shape)",
    # evaluated where they compute positions
    "add.Tensor": _arithmetic("Add"),
    "sub.Tensor": _arithmetic("Sub"),
    "mul.Tensor": _arithmetic("Mul"),
    # undefined at zero, which the reference has to know
    "div.Tensor": "Div(self, other)",
    "true_divide": "Div(self, other)",
    "reciprocal": "Reciprocal(self)",
    "log": "Log(self)",
    "log2": "Log(self)",
    "log10": "Log(self)",
    "rsqrt": "aten.rsqrt(self)",
    "pow.Tensor_Tensor": "Pow(self, exponent)",
    "remainder.Tensor": "Mod(self, other)",
    "fmod.Tensor": "Mod(self, other)",
    # contractions
    **{f"conv{n}d": _with_batch("input", n, "Conv(input, weight, bias, group=groups)") for n in (1, 2, 3)},
    **{
        f"conv_transpose{n}d": _with_batch("input", n, "ConvTranspose(input, weight, bias, group=groups)")
        for n in (1, 2, 3)
    },
    "convolution": _convolution,
    "linear": "aten.linear(input, weight, bias)",
    "addmm": "Gemm(mat1, mat2, self)",
    "mm": "MatMul(self, mat2)",
    "bmm": "MatMul(self, mat2)",
    "mv": "MatMul(self, vec)",
    "dot": "MatMul(self, tensor)",
    "matmul": "MatMul(self, other)",
    "linalg_matmul": "MatMul(self, other)",
    "baddbmm": "aten.baddbmm(batch1, batch2, self)",
    "einsum": "Einsum(tensors, equation=equation)",
    "scaled_dot_product_attention": _attention,
    "lstm.input": _recurrent(4),
    "gru.input": _recurrent(3),
    "rnn_tanh.input": _recurrent(1),
    "rnn_relu.input": _recurrent(1),
    "_weight_norm": _weight_norm,
    "_weight_norm_interface": _weight_norm,
    # normalisations
    "batch_norm": "BatchNormalization(input, weight, bias, running_mean, running_var)",
    "_native_batch_norm_legit_no_training": "BatchNormalization(input, weight, bias, running_mean, running_var)",
    "instance_norm": _instance_norm,
    "group_norm": "GroupNormalization(input, weight, bias, num_groups=num_groups)",
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "prelu": "aten.prelu(self, weight)",
    "_prelu_kernel": elementwise,
    "linalg_vector_norm": _norm,
    "norm": _norm,
    # reductions and selections
    "mean.dim": _reduction("ReduceMean"),
    "mean": "ReduceMean(self, keepdims=0)",
    "sum.dim_IntList": _reduction("ReduceSum"),
    "sum": "ReduceSum(self, keepdims=0)",
    "prod.dim_int": "ReduceProd(self, [dim], keepdims=keepdim)",
    "amax": _reduction("ReduceMax"),
    "amin": _reduction("ReduceMin"),
    "any.dim": "ReduceMax(self, [dim], keepdims=keepdim)",
    "all.dim": "ReduceMin(self, [dim], keepdims=keepdim)",
    "logsumexp": _reduction("ReduceLogSumExp"),
    "std": _reduction("aten.variance"),
    "var": _reduction("aten.variance"),
    "max.dim": "aten.extremum(self, axis=dim, keepdims=keepdim)",
    "min.dim": "aten.extremum(self, axis=dim, keepdims=keepdim)",
    "max.other": elementwise,
    "min.other": elementwise,
    "max": "ReduceMax(self, keepdims=0)",
    "min": "ReduceMin(self, keepdims=0)",
    "argmax": _argmax,
    "argmin": _argmax,
    "topk": "TopK(self, k, axis=dim)",
    "sort": "TopK(self, 0, axis=dim)",
    "argsort": "TopK(self, 0, axis=dim)",
    "softmax.int": "Softmax(self, axis=dim)",
    "_softmax": "Softmax(self, axis=dim)",
    "_safe_softmax": "Softmax(self, axis=dim)",
    "log_softmax.int": "Softmax(self, axis=dim)",
    "_log_softmax": "Softmax(self, axis=dim)",
    "cumsum": "CumSum(self, dim)",
    "cumprod": "CumSum(self, dim)",
    # layout
    **dict.fromkeys(("cat", "concat", "concatenate"), _concat),
    "stack": "aten.stack(tensors, axis=dim)",
    "split_with_sizes": "Split(self, split_sizes, axis=dim)",
    "unbind": "aten.unbind(self, axis=dim)",
    "slice": "Slice(self, [start or 0], [end or MAX], [dim], [step])",
    "select": "Gather(self, index, axis=dim)",
    "index_select": "Gather(self, index, axis=dim)",
    "embedding": "Gather(weight, indices)",
    "index": _index,
    "gather": "GatherElements(self, index, axis=dim)",
    "scatter.src": "ScatterElements(self, index, src, axis=dim)",
    "scatter_add": "ScatterElements(self, index, src, axis=dim)",
    "permute": _permute,
    "transpose.int": _transposed("dim0", "dim1"),
    "swapaxes": _transposed("axis0", "axis1"),
    "swapdims": _transposed("dim0", "dim1"),
    "t": _reversed,
    "numpy_T": _reversed,
    "mT": _last_two,
    "adjoint": _last_two,
    "movedim": _movedim,
    "moveaxis": _movedim,
    "flatten": _flattened,
    "ravel": _flattened,
    "unflatten": _unflatten,
    "unsqueeze": "Unsqueeze(self, [dim])",
    "squeeze": _squeezed,
    "expand": _expand,
    "broadcast_to": _expand,
    "repeat": _repeat,
    "repeat_interleave.self_int": "aten.repeat_interleave(self, axis=dim, repeats=repeats)",
    "pad": _pad,
    "constant_pad_nd": _pad,
    "roll": "aten.moved(self, axes=dims)",
    "flip": "aten.moved(self, axes=dims)",
    "pixel_shuffle": _with_batch("self", 2, "DepthToSpace(self, blocksize=upscale_factor, mode='CRD')"),
    "pixel_unshuffle": _with_batch("self", 2, "aten.pixel_unshuffle(self, blocksize=downscale_factor)"),
    **{
        f"upsample_{kind}": _with_batch("input", n, "aten.resample(input)")
        for n, kinds in ((1, ("nearest1d", "linear1d")), (2, ("nearest2d", "bilinear2d", "bicubic2d")))
        for kind in kinds
    },
    **{f"upsample_{kind}3d": _with_batch("input", 3, "aten.resample(input)") for kind in ("nearest", "trilinear")},
    "grid_sampler": "GridSample(input, grid)",
    "tril": "Trilu(self)",
    "triu": "Trilu(self)",
    # tensors of equal elements, and positions
    **dict.fromkeys(("zeros", "ones", "full", "empty", "rand", "randn"), "ConstantOfShape(size)"),
    **dict.fromkeys(("new_zeros", "new_ones", "new_full", "new_empty"), "ConstantOfShape(size)"),
    "arange": "Range(0, end, 1)",
    "arange.start": "Range(start, end, 1)",
    "arange.start_step": "Range(start, end, step)",
    "scalar_tensor": elementwise,
}
