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

from dataclasses import dataclass
from typing import Literal

from ..reasons import Kind
from ..signatures import NoSignature, traits_of
from . import aten_calls as calls
from .lowering import AtenCall, Lowered, Lowering, read_entry


@dataclass(frozen=True, slots=True)
class AtenOperator:
    """A line of the table: how a call becomes an IR operator, and what PyTorch's schemas do not say.

    ``copies``: the result is equal to the operand.
    ``may_be_view``: the result may be the operand itself, or a view of it, without an alias in the schema.
    ``keeps_elements``: in place, it changes nothing but what autograd knows of the tensor.
    ``keeps_results``: every result is a part of the operand, whether or not somebody takes it.
    ``uninitialized``: the result holds what the memory held.
    ``fills``: a new tensor, whose sizes and strides are the same on all devices.
    ``layout``: the result is contiguous whatever the operands are ("contiguous"), or has channels last where an operand
    has ("channels_last").
    ``checks_metadata``: it raises where type, device or strides of a tensor are unexpected, and has no result.
    """

    lowering: str | Lowering | None = None
    copies: bool = False
    may_be_view: bool = False
    keeps_elements: bool = False
    keeps_results: bool = False
    uninitialized: bool = False
    fills: bool = False
    layout: Literal["", "contiguous", "channels_last"] = ""
    checks_metadata: bool = False


def lower(call: AtenCall, overload: str, is_pointwise: bool) -> Lowered:
    """The IR operator of a call; raises :class:`NoSignature` for an operator the table lacks.

    ``is_pointwise`` is torch's own tag: every such operator is element-wise with numpy broadcasting.
    """
    entry = aten_operator(call.name, overload).lowering
    if entry is not None:
        return _complete(call, read_entry(entry)(call) if isinstance(entry, str) else entry(call))
    if is_pointwise:
        return calls.elementwise(call)
    if call.name in _REASONS:
        raise NoSignature(_REASONS[call.name])
    raise NoSignature(f"operator aten::{call.name} has no signature", Kind.NO_SIGNATURE)


def aten_operator(name: str, overload: str = "") -> AtenOperator:
    """The entry of an operator, empty where there is none; in-place forms share that of the plain operator."""
    plain = name.rstrip("_") if not name.startswith("__") else name
    names = (f"{name}.{overload}", name, f"{plain}.{overload}", plain)
    entry = next((TABLE[key] for key in names if key in TABLE), None)
    return entry if isinstance(entry, AtenOperator) else AtenOperator(entry)


def is_elementwise(name: str, overload: str, is_pointwise: bool) -> bool:
    """Whether an operator computes each element by itself, with numpy broadcasting: by torch's tag or by the table."""
    entry = aten_operator(name, overload)
    return is_pointwise or (entry.lowering is calls.elementwise and not entry.fills)


def _complete(call: AtenCall, lowered: Lowered) -> Lowered:
    """Refuse a lowering that overlooks a tensor, unless only its type or device is looked at."""
    if not lowered.domain and traits_of(lowered.op).takes_type:
        return lowered
    overlooked = [name for name in call.tensors() if name not in lowered.operands]
    if any(call.shapes[name] != (0,) for name in overlooked):
        raise NoSignature(f"tensor '{overlooked[0]}' has no part in the signature")
    return lowered


def _pools(*names: str) -> dict[str, str | Lowering]:
    return {f"{name}{n}d": calls.with_batch("self", n, "aten.pool(self)") for name in names for n in (1, 2, 3)}


def _reduction(op: str) -> str:
    return f"{op}(self, dim, keepdims=keepdim)"


_ELEMENTWISE = """
__and__ __or__ __xor__ __lshift__ __rshift__ add sub mul rsub eq ne lt le gt ge where masked_fill copy expand_as
clamp clamp_min clamp_max hardtanh relu relu6 silu gelu sigmoid tanh elu leaky_relu hardswish hardsigmoid mish
softplus threshold logical_and logical_or logical_not bitwise_and bitwise_or bitwise_not maximum minimum
square rand_like randn_like fill fill_ zero log1p erf addcmul lerp
heaviside complex polar real imag _conj _conj_physical
""".split()  # noqa: SIM905 (a table of names reads better)

_SINGULAR = "acosh addcdiv digamma lgamma logit polygamma rsqrt special_ndtri".split()  # noqa: SIM905
"""Infinite, or no number, where an operand is zero."""

_SAME = "to _to_copy native_dropout positive float double half bfloat16".split()  # noqa: SIM905

_SAME_OR_COPY = "type_as alpha_dropout feature_dropout feature_alpha_dropout".split()  # noqa: SIM905
"""The operand itself, unless it lies otherwise in memory, is of another type, or is trained on."""

TABLE: dict[str, str | Lowering | AtenOperator] = {
    **dict.fromkeys(_ELEMENTWISE, calls.elementwise),
    **dict.fromkeys(_SINGULAR, calls.singular),
    **dict.fromkeys(_SAME, calls.same),
    **dict.fromkeys(_SAME_OR_COPY, AtenOperator(calls.same, may_be_view=True)),
    "dropout": AtenOperator(calls.same, may_be_view=True, fills=True),
    **dict.fromkeys(("alias", "lift_fresh"), AtenOperator(calls.same, copies=True)),
    **dict.fromkeys(("contiguous", "lift"), AtenOperator(calls.same, copies=True, may_be_view=True)),
    **dict.fromkeys(("clone", "lift_fresh_copy"), AtenOperator(calls.same, copies=True, fills=True)),
    **dict.fromkeys(("detach", "requires_grad"), AtenOperator(calls.same, copies=True, keeps_elements=True)),
    **dict.fromkeys(("view", "view_copy", "_reshape_alias"), "Reshape(self, size)"),
    "_unsafe_view": AtenOperator("Reshape(self, size)", may_be_view=True),
    **_pools("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool"),
    **{
        f"{kind}_pool2d": AtenOperator(calls.with_batch("self", 2, "aten.pool(self)"), layout="channels_last")
        for kind in ("max", "adaptive_avg")
    },
    "reshape": AtenOperator("Reshape(self, shape)", may_be_view=True),
    # evaluated where they compute positions
    "add.Tensor": calls.arithmetic("Add"),
    "sub.Tensor": calls.arithmetic("Sub"),
    "mul.Tensor": calls.arithmetic("Mul"),
    "div.Tensor": "Div(self, other)",
    **dict.fromkeys(("div", "floor_divide", "fmod", "remainder"), "aten.divided(self, other)"),
    "true_divide": "Div(self, other)",
    "reciprocal": "Reciprocal(self)",
    "log": "Log(self)",
    "log2": "Log(self)",
    "log10": "Log(self)",
    "pow": calls.power,
    "remainder.Tensor": "Mod(self, other)",
    "fmod.Tensor": "Mod(self, other)",
    # contractions
    **{f"conv{n}d": calls.convolution for n in (1, 3)},
    "conv2d": AtenOperator(calls.convolution, layout="channels_last"),
    **{
        f"conv_transpose{n}d": calls.with_batch("input", n, "ConvTranspose(input, weight, bias, group=groups)")
        for n in (1, 2, 3)
    },
    "convolution": calls.convolution,
    "linear": AtenOperator("aten.linear(input, weight, bias)", layout="contiguous"),
    "addmm": "Gemm(mat1, mat2, self)",
    "mm": "MatMul(self, mat2)",
    "bmm": "MatMul(self, mat2)",
    "mv": "MatMul(self, vec)",
    "dot": "MatMul(self, tensor)",
    "matmul": AtenOperator("MatMul(self, other)", layout="contiguous"),
    "linalg_matmul": "MatMul(self, other)",
    "vdot": "MatMul(self, other)",
    "baddbmm": "aten.added_product(batch1, batch2, self, product='b m k, b k n -> b m n')",
    "addbmm": "aten.added_product(batch1, batch2, self, product='b m k, b k n -> m n')",
    "addmv": "aten.added_product(mat, vec, self, product='m k, k -> m')",
    "addr": "aten.added_product(vec1, vec2, self, product='m, n -> m n')",
    "bilinear": "aten.bilinear(input1, input2, weight, bias)",
    "einsum": "Einsum(tensors, equation=equation)",
    "scaled_dot_product_attention": calls.attention,
    "lstm.input": calls.recurrent(4),
    "gru.input": calls.recurrent(3),
    "rnn_tanh.input": calls.recurrent(1),
    "rnn_relu.input": calls.recurrent(1),
    "_weight_norm": calls.weight_norm,
    "_weight_norm_interface": calls.weight_norm,
    # normalizations
    "batch_norm": AtenOperator(
        "BatchNormalization(input, weight, bias, running_mean, running_var)", layout="channels_last"
    ),
    "_native_batch_norm_legit_no_training": "BatchNormalization(input, weight, bias, running_mean, running_var)",
    "instance_norm": calls.instance_norm,
    "group_norm": "GroupNormalization(input, weight, bias, num_groups=num_groups)",
    "layer_norm": AtenOperator(calls.layer_norm, layout="contiguous"),
    "native_layer_norm": calls.layer_norm,
    "native_group_norm": "aten.native_group_norm(input, weight, bias, num_groups=group, channels=C)",
    "rms_norm": calls.layer_norm,
    "prelu": "aten.prelu(self, weight)",
    "_prelu_kernel": calls.elementwise,
    "linalg_vector_norm": calls.vector_norm,
    "norm": calls.vector_norm,
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
    "any": "ReduceMax(self, keepdims=0)",
    "all": "ReduceMin(self, keepdims=0)",
    "any.dims": _reduction("ReduceMax"),
    "all.dims": _reduction("ReduceMin"),
    "prod": "ReduceProd(self, keepdims=0)",
    "median": "aten.statistics(self, keepdims=0)",
    "nanmedian": "aten.statistics(self, keepdims=0)",
    **dict.fromkeys(("std", "var", "std_mean", "var_mean"), _reduction("aten.statistics")),
    "cdist": "aten.cdist(x1, x2)",
    "_cdist_forward": "aten.cdist(x1, x2)",
    "max.dim": "aten.extremum(self, axis=dim, keepdims=keepdim)",
    "min.dim": "aten.extremum(self, axis=dim, keepdims=keepdim)",
    **dict.fromkeys(("median.dim", "nanmedian.dim", "mode"), "aten.extremum(self, axis=dim, keepdims=keepdim)"),
    "kthvalue": "aten.extremum(self, axis=dim, keepdims=keepdim, k=k)",
    "aminmax": calls.aminmax,
    "max.other": calls.elementwise,
    "min.other": calls.elementwise,
    "max": "ReduceMax(self, keepdims=0)",
    "min": "ReduceMin(self, keepdims=0)",
    "argmax": calls.argmax,
    "argmin": calls.argmax,
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
    "logcumsumexp": "CumSum(self, dim)",
    "cummax": "aten.ordered(self, axes=dim)",
    "cummin": "aten.ordered(self, axes=dim)",
    "linalg_cross": "aten.ordered(self, other, axes=dim)",
    "bucketize.Tensor": "aten.bucketize(self, boundaries)",
    "_fft_r2c": "aten.fourier(self, axes=dim)",
    "_fft_c2c": "aten.fourier(self, axes=dim)",
    "_fft_c2r": "aten.fourier(self, axes=dim)",
    "view_as_complex": "aten.view_as_complex(self)",
    "view_as_real": "aten.view_as_real(self)",
    # layout
    **dict.fromkeys(("cat", "concat", "concatenate"), calls.concat),
    "stack": "aten.stack(tensors, axis=dim)",
    **dict.fromkeys(
        ("split_with_sizes", "unsafe_split_with_sizes"),
        AtenOperator("Split(self, split_sizes, axis=dim)", keeps_results=True),
    ),
    "unbind": AtenOperator("aten.unbind(self, axis=dim)", keeps_results=True),
    "slice": "Slice(self, [start or 0], [end or MAX], [dim], [step])",
    "select": "Gather(self, index, axis=dim)",
    "index_select": "Gather(self, index, axis=dim)",
    "embedding": "Gather(weight, indices)",
    "index": calls.indexed,
    "gather": "GatherElements(self, index, axis=dim)",
    "scatter.src": "ScatterElements(self, index, src, axis=dim)",
    "scatter.reduce": "ScatterElements(self, index, src, axis=dim)",
    "scatter.value": "ScatterElements(self, index, axis=dim)",
    "scatter.value_reduce": "ScatterElements(self, index, axis=dim)",
    "scatter_add": "ScatterElements(self, index, src, axis=dim)",
    "scatter_reduce.two": "ScatterElements(self, index, src, axis=dim)",
    "index_put": calls.index_put,
    "index_add": "aten.index_write(self, index, source, axis=dim)",
    "index_copy": "aten.index_write(self, index, source, axis=dim)",
    "index_reduce": "aten.index_write(self, index, source, axis=dim)",
    "index_fill.int_Scalar": "aten.index_write(self, index, axis=dim)",
    "embedding_bag": "aten.embedding_bag(weight, indices, offsets, per_sample_weights)",
    "_embedding_bag": "aten.embedding_bag(weight, indices, offsets, per_sample_weights)",
    **dict.fromkeys(("diagonal", "diagonal_copy"), "aten.diagonal(self, first=dim1, second=dim2)"),
    "permute": calls.permute,
    "transpose.int": calls.transposed("dim0", "dim1"),
    "swapaxes": calls.transposed("axis0", "axis1"),
    "swapdims": calls.transposed("dim0", "dim1"),
    "t": calls.all_reversed,
    "numpy_T": calls.all_reversed,
    "mT": calls.last_two,
    "adjoint": calls.last_two,
    "movedim": calls.movedim,
    "moveaxis": calls.movedim,
    "flatten": calls.flattened,
    "ravel": calls.flattened,
    "unflatten": calls.unflatten,
    "unsqueeze": "Unsqueeze(self, [dim])",
    "squeeze": calls.squeezed,
    "expand": calls.expanded,
    "broadcast_to": calls.expanded,
    "repeat": calls.repeated,
    "repeat_interleave.self_int": "aten.repeat_interleave(self, axis=dim, repeats=repeats, output_size=output_size)",
    "pad": calls.padded(),
    "constant_pad_nd": calls.padded(),
    **{f"reflection_pad{n}d": calls.padded("padding", "reflect") for n in (1, 2, 3)},
    **{f"replication_pad{n}d": calls.padded("padding", "edge") for n in (1, 2, 3)},
    "roll": "aten.moved(self, axes=dims)",
    "flip": "aten.flipped(self, axes=dims)",
    "pixel_shuffle": calls.with_batch("self", 2, "DepthToSpace(self, blocksize=upscale_factor, mode='CRD')"),
    "pixel_unshuffle": calls.with_batch("self", 2, "aten.pixel_unshuffle(self, blocksize=downscale_factor)"),
    **{
        f"upsample_{kind}": calls.with_batch("input", n, "aten.resample(input)")
        for n, kinds in ((1, ("nearest1d", "linear1d")), (2, ("nearest2d", "bilinear2d", "bicubic2d")))
        for kind in kinds
    },
    **{f"upsample_{kind}3d": calls.with_batch("input", 3, "aten.resample(input)") for kind in ("nearest", "trilinear")},
    **dict.fromkeys(("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"), "GridSample(input, grid)"),
    # windows
    **{f"_adaptive_avg_pool{n}d": calls.with_batch("self", n, "aten.pool(self)") for n in (2, 3)},
    **{f"max_pool{n}d_with_indices": calls.with_batch("self", n, "aten.pool(self)") for n in (1, 2, 3)},
    **{f"max_unpool{n}d": calls.with_batch("self", n, "aten.unpool(self, indices)") for n in (2, 3)},
    "im2col": calls.with_batch("self", 2, "aten.im2col(self, kernel=kernel_size)"),
    "col2im": calls.with_batch("self", 1, "aten.col2im(self, kernel=kernel_size)"),
    "unfold": "aten.unfold(self, axis=dimension)",
    "tril": "Trilu(self)",
    "triu": "Trilu(self)",
    # tensors of equal elements, and positions
    **dict.fromkeys(("zeros_like", "ones_like", "full_like"), AtenOperator(calls.elementwise, fills=True)),
    "empty_like": AtenOperator(calls.elementwise, fills=True, uninitialized=True),
    **dict.fromkeys(("empty", "new_empty"), AtenOperator("ConstantOfShape(size)", fills=True, uninitialized=True)),
    **dict.fromkeys(("empty_strided", "new_empty_strided", "empty_permuted"), AtenOperator(uninitialized=True)),
    **dict.fromkeys(("zeros", "new_zeros"), AtenOperator("ConstantOfShape(size)", fills=True)),
    **dict.fromkeys(("ones", "new_ones"), AtenOperator("ConstantOfShape(size, value=1)", fills=True)),
    **dict.fromkeys(("full", "new_full"), AtenOperator("ConstantOfShape(size, value=fill_value)", fills=True)),
    "arange": "Range(0, end, 1)",
    "arange.start": "Range(start, end, 1)",
    "arange.start_step": "Range(start, end, step)",
    "scalar_tensor": AtenOperator(calls.elementwise, fills=True),
    "_assert_tensor_metadata": AtenOperator(checks_metadata=True),
}

_REASONS: dict[str, str] = {
    **dict.fromkeys(
        ("masked_select", "nonzero", "nonzero_static", "_unique2", "unique_dim", "unique_consecutive"),
        "it keeps the elements that their values say",
    ),
    "masked_scatter": "its elements go to the places of a mask, in order",
    "repeat_interleave": "its repeats are computed at run time",
    **dict.fromkeys(("searchsorted", "histc", "bincount", "isin"), "its elements are compared with each other"),
    **dict.fromkeys(("multinomial", "bernoulli", "exponential_", "rand", "randn"), "random numbers are drawn"),
    **{
        f"linalg_{name}": "a matrix is solved or decomposed as a whole"
        for name in ("inv", "inv_ex", "det", "slogdet", "solve", "svd", "qr", "eigh", "cholesky", "cholesky_ex")
    },
    "as_strided": "its strides count places in memory",
    "stft": "windows slide over its places in memory",
}
"""Why an operator that the table lacks cannot have a signature."""
