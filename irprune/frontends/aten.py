"""The ATen table: each operator of ``torch.export`` as the IR operator that has its signature.

::

    permute   ->  Transpose(self, perm=dims)
    slice     ->  Slice(self, [start or 0], [end or MAX], [dim], [step])

Entries are read by :mod:`.lowering`. Most operators are one of ai.onnx under another name; those that are not have
signatures of their own (``aten.linear``), in :mod:`irprune.signatures.aten_ops`.
https://docs.pytorch.org/docs/stable/torch.compiler_ir.html
lists the core operators. This module needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.core import Attribute
from ..signatures import NoSignature
from .lowering import Call, Lowered, Lowering, Numbers, Source, Symbol, TensorName, attribute, number, read_entry


def lower(call: Call, overload: str, is_pointwise: bool) -> Lowered:
    """The IR operator of a call; raises :class:`NoSignature` for an operator the table lacks.

    ``is_pointwise`` is torch's own tag: every such operator is element-wise with numpy broadcasting.
    """
    entry = entry_of(call.name, overload)
    if entry is not None:
        return _complete(call, read_entry(entry)(call) if isinstance(entry, str) else entry(call))
    if is_pointwise:
        return elementwise(call)
    raise NoSignature(f"operator aten::{call.name} has no signature")


def entry_of(name: str, overload: str) -> str | Lowering | None:
    """What the table says of an operator, which may be that of its form in place."""
    plain = name.rstrip("_") if not name.startswith("__") else name
    names = (f"{name}.{overload}", name, f"{plain}.{overload}", plain)
    return next((TABLE[key] for key in names if key in TABLE), None)


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


# -- entries that need a look at shapes -------------------------------------------------------------------------------


def _same(call: Call) -> Lowered:
    return Lowered("Identity", (call.tensors()[0],))


def _with_batch(argument: str, spatial: int, text: str) -> Lowering:
    """An operator on ``n c *s`` whose batch may be left out; without it, nothing is said."""

    def lowering(call: Call) -> Lowered:
        if call.rank(argument) != spatial + 2:
            raise NoSignature(f"the operand has no batch (rank {call.rank(argument)})")
        return read_entry(text)(call)

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
    lowered = read_entry("Expand(self, size)")(call)
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
        return read_entry(f"{op}(self, other)")(call)

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
    entries = tuple(number(v) for v in (*(low for low, _ in whole), *(high for _, high in whole)))
    mode = call.arguments.get("mode", "constant")
    numbers = Numbers(entries, source=Source("pad", "reverse"))
    return Lowered("Pad", (call.arguments["self"], numbers), attributes={"mode": mode})


def _index(call: Call) -> Lowered:
    """One index tensor is a Gather; several pick points."""
    indices = list(call.arguments["indices"])
    used = [k for k, index in enumerate(indices) if index is not None]
    if any(indices[k] in call.masks for k in used):
        raise NoSignature("a mask picks as many elements as are true")
    if len(used) == 1:
        operands = (call.arguments["self"], indices[used[0]])
        return Lowered("Gather", operands, attributes={"axis": used[0]}, sources={"indices": Source("indices")})
    tensors = tuple(indices[k] for k in used)
    return Lowered("index", (call.arguments["self"], *tensors), "aten", attributes={"axes": tuple(used)})


def _layer_norm(call: Call) -> Lowered:
    shape = attribute(call.arguments["normalized_shape"])
    assert isinstance(shape, tuple)
    operands = tuple(call.arguments.get(name) for name in ("input", "weight", "bias") if name in call.arguments)
    attributes: dict[str, Attribute] = {"axis": -len(shape), "normalized_shape": shape}
    return Lowered("layer_norm", operands, "aten", attributes, {"normalized_shape": Source("normalized_shape")})


def _instance_norm(call: Call) -> Lowered:
    """Statistics of the instance, or (when not) those that batch normalisation stored."""
    if call.arguments["use_input_stats"] and call.arguments["running_mean"] is None:
        return read_entry("InstanceNormalization(input, weight, bias)")(call)
    return read_entry("BatchNormalization(input, weight, bias, running_mean, running_var)")(call)


def _norm(call: Call) -> Lowered:
    order = call.arguments.get("ord", call.arguments.get("p", 2))
    op = {1: "ReduceL1", 2: "ReduceL2", None: "ReduceL2"}.get(order, "ReduceMax")
    return read_entry(f"{op}(self, dim, keepdims=keepdim)")(call)


def _argmax(call: Call) -> Lowered:
    if call.arguments.get("dim") is None:
        raise NoSignature("it counts all elements of the tensor")
    return read_entry("ArgMax(self, axis=dim, keepdims=keepdim)")(call)


def _attention(call: Call) -> Lowered:
    if call.rank("query") != 4:
        raise NoSignature(f"attention over rank {call.rank('query')}, expected 4")
    return read_entry("Attention(query, key, value, attn_mask, scale=scale, is_causal=is_causal)")(call)


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
    return read_entry("aten.weight_norm(v, g, axis=dim)")(call)


def _convolution(call: Call) -> Lowered:
    op = "ConvTranspose" if call.arguments["transposed"] else "Conv"
    if call.rank("input") != call.rank("weight"):
        raise NoSignature("the operand has no batch")
    return read_entry(f"{op}(input, weight, bias, group=groups)")(call)


def _repeat(call: Call) -> Lowered:
    if len(call.arguments["repeats"]) != call.rank():
        return read_entry("aten.repeat(self, repeats)")(call)
    return read_entry("Tile(self, repeats)")(call)


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
    **dict.fromkeys(("split_with_sizes", "unsafe_split_with_sizes"), "Split(self, split_sizes, axis=dim)"),
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
    "repeat_interleave.self_int": "aten.repeat_interleave(self, axis=dim, repeats=repeats, output_size=output_size)",
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
    **dict.fromkeys(("zeros", "new_zeros", "empty", "new_empty"), "ConstantOfShape(size)"),
    **dict.fromkeys(("ones", "new_ones"), "ConstantOfShape(size, value=1)"),
    **dict.fromkeys(("full", "new_full"), "ConstantOfShape(size, value=fill_value)"),
    "arange": "Range(0, end, 1)",
    "arange.start": "Range(start, end, 1)",
    "arange.start_step": "Range(start, end, step)",
    "scalar_tensor": elementwise,
}
