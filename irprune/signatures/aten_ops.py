"""Signatures of ATen operators that are not ai.onnx operators under another name.

:mod:`irprune.frontends.aten` says which call becomes which of these. The schemas are PyTorch's
(https://github.com/pytorch/pytorch/blob/main/aten/src/ATen/native/native_functions.yaml).
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ..ir.sizes import ONE
from .causes import FROM_SPACE, LOOKED_UP, POOLED, RECURRENT, RESAMPLED, WINDOWED
from .compute import broadcast, elementwise, layer_normalization, letters, operand_list, window_results
from .grammar import ElementMap, Follower, Name, Signature, SizeOf, signature
from .registry import NoSignature, Operator, Rule, RuleContext, register
from .traits import EVERY


def linear(ctx: RuleContext) -> Signature:
    """``*b i, o i, o -> *b o``."""
    return signature(f"{operand_list(ctx, '*b i', 'o i', 'o')} -> *b o", macs="b i o")


def added_product(ctx: RuleContext) -> Signature:
    """The attribute's product, with an addend that is broadcast to it."""
    operands, _, result = ctx.node.str("product").partition(" -> ")
    names, shape = result.split(), ctx.shape(2)
    added = ["1" if size == ONE else name for size, name in zip(shape, names[len(names) - len(shape) :], strict=True)]
    used = sorted(set(operands.replace(",", "").split()))
    return signature(f"{operands}, {' '.join(added)} -> {result}", macs=used)


def bilinear(ctx: RuleContext) -> Signature:
    """``*b i, *b j, o i j, o -> *b o``."""
    operands = operand_list(ctx, "*b i", "*b j", "o i j", "o")
    return signature(f"{operands} -> *b o", macs="b o i j")


def cdist(ctx: RuleContext) -> Signature:
    """``b m k, b n k -> b m n``: distances are statistics over k."""
    batch, others = letters(ctx.rank() - 2, "b"), letters(ctx.rank(1) - 2, "b")
    if ctx.shape(0)[: len(batch)] != ctx.shape(1)[: len(others)]:
        raise NoSignature("the batch is broadcast")
    run = " ".join(batch)
    return signature(f"{run} m k, {run} n k -> {run} m n", normalized="k")


def layer_norm(ctx: RuleContext) -> Signature:
    """LayerNormalization or RMSNormalization with the normalized shape as an argument."""
    found = layer_normalization(ctx)
    data = found.notation.inputs[0] or ()
    inner = data[ctx.axis(default=-1) :]
    return replace(found, attributes={"normalized_shape": tuple(SizeOf(term) for term in inner)})


def prelu(ctx: RuleContext) -> Signature:
    """``n c *s, c -> n c *s``, or one slope for all."""
    names = letters(ctx.rank())
    slope = "1" if ctx.shape(1) == (ONE,) or not ctx.rank(1) else names[1 if len(names) > 1 else 0]
    return signature(f"{' '.join(names)}, {slope if ctx.rank(1) else ''} -> {' '.join(names)}")


def native_group_norm(ctx: RuleContext) -> Signature:
    """GroupNormalization whose call spells out the number of channels; mean and deviation of a group are results."""
    return signature(
        f"{operand_list(ctx, 'n (g c) *s', '(g c)', '(g c)')} -> n (g c) *s, n g, n g",
        normalized="c",
        opaque="n s",
        sizes={"g": ctx.node.int("num_groups")},
        attributes={"num_groups": "g", "channels": "(g c)"},
        reason="the call counts it",
    )


def statistics(ctx: RuleContext) -> Signature:
    """One or several statistics over the reduced axes."""
    names = letters(ctx.rank())
    axes = ctx.ints("axes", 1) or tuple(range(len(names)))
    over = {axis % len(names) for axis in axes}
    keep = ctx.node.int("keepdims")
    result = " ".join("1" if k in over else name for k, name in enumerate(names) if keep or k not in over)
    operands = " ".join(names) + (", _" if ctx.has(1) else "")
    results = ", ".join([result] * len(ctx.node.outputs))
    return signature(f"{operands} -> {results}", normalized=[names[k] for k in over])


def extremum(ctx: RuleContext) -> Signature:
    """Values and their positions along one axis; where nothing reads the positions, a statistic over it."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    result = " ".join("1" if k == axis else n for k, n in enumerate(names) if ctx.node.int("keepdims") or k != axis)
    text = f"{' '.join(names)} -> {result}, {result}"
    if ctx.node.int("k", 1) > 1:
        return signature(text, opaque=names[axis], reason="its elements are counted off in order")
    if not ctx.is_read(1):
        return signature(text, normalized=names[axis])
    return signature(text, opaque=names[axis], reason="the positions of its extrema are a result")


def stack(ctx: RuleContext) -> Signature:
    """``n s, n s -> n (1 + 1) s``."""
    names = letters(ctx.rank())
    axis = ctx.axis(rank=len(names) + 1)
    count = len(ctx.inputs)
    new = f"({' + '.join('1' * count)})" if count > 1 else "1"
    return signature(f"{', '.join([' '.join(names)] * count)} -> {' '.join([*names[:axis], new, *names[axis:]])}")


def unbind(ctx: RuleContext) -> Signature:
    """``n (1 + 1) s -> n s, n s``."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    count = ctx.static(0, axis)
    whole = f"({' + '.join('1' * count)})" if count > 1 else "1"
    rest = " ".join([*names[:axis], *names[axis + 1 :]])
    operand = " ".join([*names[:axis], whole, *names[axis + 1 :]])
    return signature(f"{operand} -> {', '.join([rest] * count)}")


def _points(ctx: RuleContext, first: int) -> tuple[list[str], list[str], list[str], list[str]]:
    """The data, the index operands (from ``first`` on), the selected elements, and the opaque axes of both."""
    names = letters(ctx.rank())
    axes = [axis % len(names) for axis in ctx.node.ints("axes") or ()]
    if not axes:
        raise NoSignature("nothing is indexed")
    operands, picked = broadcast(ctx, list(range(first, len(ctx.inputs))))
    operands = [" ".join(f"i_{word}" if word not in ("1", "_") else word for word in op.split()) for op in operands]
    points = [f"i_{word}" if word != "1" else word for word in picked]
    rest = [name for k, name in enumerate(names) if k not in axes]
    adjacent = axes == list(range(axes[0], axes[0] + len(axes)))
    front = len([k for k in range(axes[0]) if k not in axes]) if adjacent else 0
    opaque = [*(names[k] for k in axes), *(word for word in points if word != "1")]
    return names, operands, [*rest[:front], *points, *rest[front:]], opaque


def index(ctx: RuleContext) -> Signature:
    """Several index tensors pick points: their axes are opaque, the others carried (numpy's advanced indexing)."""
    names, operands, result, opaque = _points(ctx, 1)
    text = f"{', '.join([' '.join(names), *operands])} -> {' '.join(result)}"
    return signature(text, opaque=opaque, reason=LOOKED_UP)


def index_put(ctx: RuleContext) -> Signature:
    """Like index, but the result is the data, and values are broadcast to the selected elements."""
    names, operands, picked, opaque = _points(ctx, 2)
    shape = ctx.shape(1)
    values = [
        "1" if size == ONE else word for size, word in zip(shape, picked[len(picked) - len(shape) :], strict=True)
    ]
    whole = " ".join(names)
    text = f"{', '.join([whole, ' '.join(values), *operands])} -> {whole}"
    return signature(text, opaque=opaque, reason=LOOKED_UP)


def index_write(ctx: RuleContext) -> Signature:
    """``n c, j, n j -> n c``: slices along one axis are written at the indices in a vector."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    whole, part = " ".join(names), " ".join("picked" if k == axis else name for k, name in enumerate(names))
    index = "picked" if ctx.rank(1) else ""
    operands = operand_list(ctx, whole, index, part)
    return signature(f"{operands} -> {whole}", opaque=f"{names[axis]} picked", reason=LOOKED_UP)


def embedding_bag(ctx: RuleContext) -> Signature:
    """``v d, i, b, i -> b d``: rows of a table, summed within bags."""
    operands = operand_list(ctx, "v d", "i", "o", "i")
    others = ", _" * (len(ctx.node.outputs) - 1)
    return signature(f"{operands} -> b d{others}", opaque="v i o b", reason=LOOKED_UP)


def diagonal(ctx: RuleContext) -> Signature:
    """``n a b -> n d``, with the diagonal last."""
    names = letters(ctx.rank())
    pair = ctx.axis("first"), ctx.axis("second")
    rest = " ".join(name for k, name in enumerate(names) if k not in pair)
    opaque = [names[pair[0]], names[pair[1]], "diagonal"]
    return signature(f"{' '.join(names)} -> {rest} diagonal", opaque=opaque, reason="a diagonal is cut out of it")


def flipped(ctx: RuleContext) -> Signature:
    """The elements in reverse order; their number has to be known."""
    names = letters(ctx.rank())
    result, opaque = list(names), list[str]()
    maps: list[ElementMap] = []
    for axis in ctx.node.ints("axes", ()) or ():
        name, size = names[axis], ctx.shape(0)[axis]
        result[axis] = f"{names[axis]}_flipped"
        if size.is_static:
            maps.append(ElementMap(name, result[axis], tuple(reversed(range(size.coefficient)))))
        else:
            opaque += [name, result[axis]]
    sizes = {moved.result: len(moved.indices) for moved in maps}
    text = f"{' '.join(names)} -> {' '.join(result)}"
    return signature(text, opaque=opaque, sizes=sizes, maps=maps, reason="its order is reversed")


def _along(reason: str) -> Rule:
    """Element-wise, except along axes where an element depends on the positions of the others."""

    def rule(ctx: RuleContext) -> Signature:
        operands, names = broadcast(ctx)
        axes = ctx.node.ints("axes") or (ctx.node.int("axes"),) if "axes" in ctx.node.attributes else range(len(names))
        opaque = [names[axis % len(names)] for axis in axes if names[axis % len(names)] != "1"]
        results = ", ".join([" ".join(names)] * len(ctx.node.outputs))
        return signature(f"{', '.join(operands)} -> {results}", opaque=opaque, reason=reason)

    return rule


def bucketize(ctx: RuleContext) -> Signature:
    """Each element is compared with all boundaries."""
    names = " ".join(letters(ctx.rank()))
    return signature(f"{names}, bound -> {names}", opaque="bound", reason="it bounds the buckets of a search")


def fourier(ctx: RuleContext) -> Signature:
    """A Fourier transform: frequencies replace positions."""
    names = letters(ctx.rank())
    axes = {axis % len(names) for axis in ctx.node.ints("axes") or ()}
    result = [f"f{k}" if k in axes else name for k, name in enumerate(names)]
    opaque = " ".join(f"{names[k]} f{k}" for k in sorted(axes))
    return signature(f"{' '.join(names)} -> {' '.join(result)}", opaque=opaque, reason="it becomes frequencies")


def repeat(ctx: RuleContext) -> Signature:
    """Tile with more repeats than dimensions: new outer ones."""
    repeats = ctx.entries(1)
    if repeats is None or any(count is None for count in repeats):
        raise NoSignature("its repeats are computed at run time")
    names = letters(ctx.rank())
    outer = len(repeats) - len(names)
    operand = ["1" if size == ONE else name for size, name in zip(ctx.shape(0), names, strict=True)]
    words: list[str] = []
    follow: list[Follower] = []
    for k, count in enumerate(repeats):
        inner = "1" if k < outer else operand[k - outer]
        words.append(inner if count == ONE else f"r{k}" if inner == "1" else f"(r{k} {inner})")
        follow.append(None if count == ONE else SizeOf(Name(f"r{k}")))
    sizes = {f"r{k}": count for k, count in enumerate(repeats) if count is not None and count != ONE}
    return signature(f"{' '.join(operand)}, _ -> {' '.join(words)}", sizes=sizes, operands={1: follow})


def repeat_interleave(ctx: RuleContext) -> Signature:
    """``n c -> n (c r)``: repeats are an inner factor."""
    if "axis" not in ctx.node.attributes:
        raise NoSignature("it repeats all elements of the tensor")
    names = letters(ctx.rank())
    axis = ctx.axis()
    operand = ["1" if size == ONE else name for size, name in zip(ctx.shape(0), names, strict=True)]
    count = ctx.node.int("repeats")
    if count == 1:
        return signature(f"{' '.join(operand)} -> {' '.join(operand)}")
    result = list(operand)
    result[axis] = "r" if operand[axis] == "1" else f"({operand[axis]} r)"
    text = f"{' '.join(operand)} -> {' '.join(result)}"
    follow = {"repeats": "r"}
    if "output_size" in ctx.node.attributes:
        follow["output_size"] = result[axis]
    return signature(text, sizes={"r": count}, attributes=follow)


def pool(ctx: RuleContext) -> Signature:
    """``n c *s -> n c *t``, and the positions of maxima within a channel."""
    positions = window_results(ctx)
    return signature(
        f"n c *s -> n c {positions}, n c {positions}",
        opaque=f"s {positions}",
        reason=POOLED,
    )


def unpool(ctx: RuleContext) -> Signature:
    """``n c *s, n c *s -> n c *t``: maxima go back to their positions within a channel."""
    result = window_results(ctx)
    text = f"n c *s, n c *s -> n c {result}"
    return signature(text, opaque=f"s {result}", reason=POOLED)


def im2col(ctx: RuleContext) -> Signature:
    """``n c *s -> n (c k) l``: the windows of a convolution, spelled out."""
    kernel = prod(ctx.node.ints("kernel") or ())
    return signature("n c *s -> n (c k) l", opaque="s k l", sizes={"k": kernel}, reason=WINDOWED)


def col2im(ctx: RuleContext) -> Signature:
    """``n (c k) l -> n c *t``."""
    kernel, result = prod(ctx.node.ints("kernel") or ()), window_results(ctx)
    return signature(f"n (c k) l -> n c {result}", opaque=f"k l {result}", sizes={"k": kernel}, reason=WINDOWED)


def unfold(ctx: RuleContext) -> Signature:
    """``n d -> n start window``: windows along one axis, their elements last."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    result = " ".join("start" if k == axis else name for k, name in enumerate(names))
    return signature(f"{' '.join(names)} -> {result} window", opaque=f"{names[axis]} start window", reason=WINDOWED)


def weight_norm(ctx: RuleContext) -> Signature:
    """``g v / |v|``, the norm over all dimensions but one."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    scale = " ".join(name if k == axis else "1" for k, name in enumerate(names))
    over = " ".join(name for k, name in enumerate(names) if k != axis)
    return signature(f"{' '.join(names)}, {scale} -> {' '.join(names)}", normalized=over)


def resample(ctx: RuleContext) -> Signature:
    """``n c *s -> n c *t``."""
    result = window_results(ctx)
    return signature(f"n c *s -> n c {result}", opaque=f"s {result}", reason=RESAMPLED)


def pixel_unshuffle(ctx: RuleContext) -> Signature:
    """``n c (h r) (w q) -> n (c r q) h w``."""
    block = ctx.node.int("blocksize")
    return signature(
        "n c (h r) (w q) -> n (c r q) h w", opaque="r q", sizes={"r": block, "q": block}, reason=FROM_SPACE
    )


def recurrent(ctx: RuleContext) -> Signature:
    """One layer of LSTM, GRU or RNN with its weights as operands; several are captured as one call each."""
    node = ctx.node
    gates, states = node.int("gates"), node.int("states")
    directions = 2 if node.int("bidirectional") else 1
    each = 4 if node.int("has_biases") else 2
    if len(ctx.inputs) != 1 + states + directions * each:
        raise NoSignature("a projection of the hidden state")
    steps, result = ("b t i", "b t {}") if node.int("batch_first") else ("t b i", "t b {}")
    if ctx.rank() == 2:
        steps, result = "t i", "t {}"
    state = "d b h" if ctx.rank() == 3 else "d h"
    weights = ["(q h) i", "(q h) h", "(q h)", "(q h)"][:each] * directions
    results = [result.format("(d h)"), *[state] * states][: len(node.outputs)]
    batch = "b" if ctx.rank() == 3 else ""
    return signature(
        f"{', '.join([steps, *[state] * states, *weights])} -> {', '.join(results)}",
        opaque="q t d",
        macs=f"t {batch} d q h i + t {batch} d q h h",
        sizes={"q": gates, "d": directions},
        attributes={"hidden_size": "h"},
        kinds={"h": "recurrent"},
        reason=RECURRENT,
    )


register(
    {
        "aten::elementwise": elementwise,
        "aten::singular": Operator(elementwise, singular_at_zero=True),
        "aten::divided": Operator(elementwise, singular_at_zero=True, divisor=1),
        "aten::linear": Operator(linear, weights=(1, 2)),
        "aten::added_product": added_product,
        "aten::bilinear": Operator(bilinear, weights=(2, 3)),
        "aten::cdist": cdist,
        "aten::layer_norm": Operator(layer_norm, weights=(1, 2)),
        "aten::pool": pool,
        "aten::weight_norm": Operator(weight_norm, weights=(0, 1), singular_at_zero=True),
        "aten::prelu": Operator(prelu, weights=(1,)),
        "aten::native_group_norm": Operator(native_group_norm, weights=(1, 2)),
        "aten::statistics": statistics,
        "aten::extremum": extremum,
        "aten::stack": Operator(stack, moves=EVERY, combines="join"),
        "aten::unbind": Operator(unbind, moves=(0,)),
        "aten::index": Operator(index, moves=(0,)),
        "aten::index_put": index_put,
        "aten::index_write": index_write,
        "aten::embedding_bag": Operator(embedding_bag, weights=(0,), lookups={1: (0,)}),
        "aten::diagonal": Operator(diagonal, moves=(0,)),
        "aten::flipped": Operator(flipped, copies=True, keeps_shape=True, reorders=True),
        "aten::moved": _along("its elements are moved along"),
        "aten::ordered": _along("the order of its elements matters"),
        "aten::bucketize": bucketize,
        "aten::fourier": fourier,
        "aten::view_as_complex": signature("*b c -> *b", opaque="c"),
        "aten::view_as_real": signature("*b -> *b c", opaque="c"),
        "aten::unpool": unpool,
        "aten::im2col": im2col,
        "aten::col2im": col2im,
        "aten::unfold": unfold,
        "aten::repeat": Operator(repeat, moves=(0,)),
        "aten::repeat_interleave": Operator(repeat_interleave, moves=(0,)),
        "aten::resample": resample,
        "aten::pixel_unshuffle": Operator(pixel_unshuffle, copies=True),
        "aten::recurrent": recurrent,
        # sizes that a frontend knows symbolically
        "irprune::sizes": " -> _",
    }
)
