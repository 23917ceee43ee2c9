"""Rules of operators that compute: contractions, normalisations, pooling, reductions and element-wise families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from string import ascii_lowercase

from ..ir import Size
from ..ir.sizes import ONE
from .grammar import Signature, signature
from .registry import NoSignature, Site

_LETTERS = [*ascii_lowercase, *(f"{c}{c}" for c in ascii_lowercase)]

_SIZES = (6, 7)
"""The element types of sizes, int32 and int64, as ONNX numbers them."""


def letters(count: int, prefix: str = "") -> list[str]:
    """``count`` distinct axis names."""
    return [prefix + name for name in _LETTERS[:count]]


def operand_list(site: Site, *operands: str) -> str:
    """The operands of a node: ``_`` for one it leaves out, none for those behind the last it has."""
    present = [text if site.has(k) else "_" for k, text in enumerate(operands)]
    while present and present[-1] == "_":
        present.pop()
    return ", ".join(present)


def window_results(site: Site) -> str:
    """Names of the window positions of a result: as many as the operand has, even where no size is inferred."""
    return " ".join(f"t{k}" for k in range(site.rank() - 2))


def conv(site: Site) -> Signature:
    """``n (g i) *s, (g o) i *k, (g o) -> n (g o) *t``, and the group attribute is the size of g.

    Along a dimension whose window is one element wide and does not jump, positions are carried. com.microsoft FusedConv
    adds a fourth operand to the result, and an activation.
    """
    kernel = site.inputs[1] if len(site.inputs) > 1 else None
    stays = _points(site, [] if kernel is None else [size == ONE for size in kernel[2:]])
    positions, results, moved = _positions(stays)
    windows = ["1" if still else f"k{k}" for k, still in enumerate(stays)]
    moved += [name for name in windows if name != "1"]
    result = " ".join(results)
    operands = operand_list(
        site, f"n (g i) {' '.join(positions)}", f"(g o) i {' '.join(windows)}", "(g o)", f"n (g o) {result}"
    )
    macs = " ".join(["n g o i", *(name for name in windows if name != "1"), result])
    return signature(
        f"{operands} -> n (g o) {result}" + _opaque(moved) + f" ; macs {macs}",
        sizes={"g": site.node.int("group", 1)},
        attributes={"group": "g"},
        reason="the window of a convolution slides over it",
    )


def _points(site: Site, single: Sequence[bool]) -> list[bool]:
    """Along which dimensions a window that is one element wide (``single``) neither jumps nor leaves the operand."""
    count = site.rank() - 2
    steps = site.node.ints("strides", (1,) * count) or ()
    pads = site.node.ints("pads", (0,) * count) or ()
    return [
        single[k : k + 1] == [True]
        and steps[k : k + 1] == (1,)
        and not any(pads[k::count] if len(pads) >= count else pads)
        for k in range(count)
    ]


def _positions(stays: Sequence[bool]) -> tuple[list[str], list[str], list[str]]:
    """Names of the positions of operand and result, and those over which a window slides."""
    operand = [f"p{k}" if still else f"s{k}" for k, still in enumerate(stays)]
    result = [f"p{k}" if still else f"t{k}" for k, still in enumerate(stays)]
    return operand, result, [name for name in (*operand, *result) if not name.startswith("p")]


def _opaque(names: Sequence[str]) -> str:
    return f" ; opaque {' '.join(names)}" if names else ""


def conv_transpose(site: Site) -> Signature:
    """``n (g i) *s, (g i) o *k, (g o) -> n (g o) *t``."""
    operands = operand_list(site, "n (g i) *s", "(g i) o *k", "(g o)")
    result = window_results(site)
    return signature(
        f"{operands} -> n (g o) {result} ; opaque s k {result} ; macs n g o i k s",
        sizes={"g": site.node.int("group", 1)},
        attributes={"group": "g"},
        reason="the window of a convolution slides over it",
    )


def gemm(site: Site) -> Signature:
    """``m k, k n, <broadcast> -> m n`` with either factor transposed."""
    left = "k m" if site.node.int("transA") else "m k"
    right = "n k" if site.node.int("transB") else "k n"
    bias = "_"
    if site.has(2):
        shape = site.shape(2)
        names = ["m", "n"][2 - len(shape) :]
        bias = " ".join("1" if size == ONE else name for name, size in zip(names, shape, strict=True))
    operands = f"{left}, {right}" + (f", {bias}" if site.has(2) else "")
    return signature(f"{operands} -> m n ; macs m n k")


def matmul(site: Site) -> Signature:
    """``*b m k, *b k n -> *b m n``, batch axes broadcast, as numpy.matmul."""
    left, right, result, macs = matmul_notation(site, 0, 1)
    return signature(f"{left}, {right} -> {result} ; macs {macs}")


def matmul_notation(site: Site, first: int, second: int) -> tuple[str, str, str, str]:
    """Left and right operand, result and the axes of the cost of a matrix product of two operands."""
    left, right = site.shape(first), site.shape(second)
    if not left or not right:
        raise NoSignature("an operand is a scalar")
    batch = max(len(left), len(right)) - 2
    names = letters(max(batch, 0), "b")
    a = _aligned(left[:-2], names) + (["m"] if len(left) > 1 else []) + ["k"]
    b = _aligned(right[:-2], names) + (["k", "n"] if len(right) > 1 else ["k"])
    result = names + (["m"] if len(left) > 1 else []) + (["n"] if len(right) > 1 else [])
    result = _only_known([a, b], result)
    macs = " ".join([*names, "m" if len(left) > 1 else "", "n" if len(right) > 1 else "", "k"])
    return " ".join(a), " ".join(b), " ".join(result), macs


def fused_matmul(site: Site) -> Signature:
    """com.microsoft FusedMatMul: MatMul with either factor transposed."""
    if site.node.int("transBatchA") or site.node.int("transBatchB"):
        raise NoSignature("batch axes are transposed")
    left, right, result, macs = matmul_notation(site, 0, 1)
    if site.node.int("transA"):
        left = left.removesuffix("m k") + "k m"
    if site.node.int("transB"):
        right = right.removesuffix("k n") + "n k"
    return signature(f"{left}, {right} -> {result} ; macs {macs}")


def _aligned(shape: Sequence[Size], names: Sequence[str]) -> list[str]:
    """Names for the trailing dimensions of a broadcast operand; ``1`` where it has size one."""
    tail = names[len(names) - len(shape) :]
    return ["1" if size == ONE else name for size, name in zip(shape, tail, strict=True)]


def _only_known(operands: Sequence[Sequence[str]], result: Sequence[str]) -> list[str]:
    """A result dimension that is of size one in every operand is of size one."""
    known = {name for operand in operands for name in operand}
    return [name if name in known else "1" for name in result]


def broadcast(site: Site, positions: Sequence[int] | None = None) -> tuple[list[str], list[str]]:
    """Operands (all, or those at ``positions``) and result of a numpy broadcast."""
    chosen = range(len(site.inputs)) if positions is None else positions
    shapes = {k: site.shape(k) for k in chosen if site.has(k)}
    names = letters(max((len(shape) for shape in shapes.values()), default=0))
    operands = [_aligned(shapes[k], names) if k in shapes else ["_"] for k in chosen]
    return [" ".join(operand) for operand in operands], _only_known(operands, names)


def elementwise(site: Site) -> Signature:
    """Numpy broadcasting: dimensions are aligned from the last, one of size one stretches."""
    if site.version < 7 and site.node.int("broadcast"):
        raise NoSignature("broadcasting by attribute (opset 6 and older)")
    operands, result = broadcast(site)
    return signature(f"{', '.join(operands)} -> {' '.join(result)}")


def cast(site: Site) -> Signature:
    """Element-wise. What becomes integers is sizes, which some exporters write as fractions, and nothing learned."""
    found = elementwise(site)
    return replace(found, statistics=frozenset({0})) if site.node.int("to") in _SIZES else found


def cast_like(site: Site) -> Signature:
    """The first operand, in the type of the second, whose axes do not matter."""
    names = " ".join(letters(site.rank()))
    return signature(f"{names}, {' '.join('?' * site.rank(1))} -> {names}")


def einsum(site: Site) -> Signature:
    """The node's own equation."""
    equation = site.node.str("equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    operands = left.split(",")
    for k, operand in enumerate(operands):
        if any(operand.count(c) > 1 for c in operand if c != "."):
            raise NoSignature(f"the diagonal of operand {k} is taken ('{operand}')")
    if not arrow:
        flat = "".join(operands).replace("...", "")
        right = ("..." if "..." in left else "") + "".join(sorted(c for c in set(flat) if flat.count(c) == 1))
    ranks = [len(site.shape(k)) - len(op.replace("...", "")) for k, op in enumerate(operands) if "..." in op]
    run = letters(max(ranks, default=0), "z_")

    def spell(text: str, shape: tuple[Size, ...] | None) -> list[str]:
        head, dots, tail = text.partition("...")
        names = [f"x{c}" for c in head]
        if dots:
            stretch = run if shape is None else run[len(run) - (len(shape) - len(head) - len(tail)) :]
            names += stretch
        names += [f"x{c}" for c in tail]
        if shape is None:
            return names
        return ["1" if size == ONE else name for name, size in zip(names, shape, strict=True)]

    spelled = [spell(operand, site.shape(k)) for k, operand in enumerate(operands)]
    result = _only_known(spelled, spell(right, None))
    used = sorted({name for operand in spelled for name in operand if name != "1"})
    text = f"{', '.join(' '.join(s) for s in spelled)} -> {' '.join(result)}"
    return signature(f"{text} ; macs {' '.join(used)}")


def batch_normalization(site: Site) -> Signature:
    """``n c *s, c, c, c, c -> n c *s``; statistics are stored, so nothing is taken over c. A vector has one channel.

    In training mode they are taken over the other axes (weight standardisation exports so), and are results too.
    """
    names = "n c *s" if site.rank() > 1 else "n"
    if site.node.int("training_mode"):
        role = f"normalised {names.replace('c *', '')}"
        return signature(f"{names}, c, c, c, c -> {names}, c, c ; {role}", statistics=(3, 4))
    if len([o for o in site.node.outputs if o]) > 1:
        raise NoSignature("training mode")
    return signature(f"{names}, c, c, c, c -> {names}", statistics=(3, 4))


def layer_normalization(site: Site) -> Signature:
    """``*b h, h, h -> *b h``; statistics are taken over h, which may be several dimensions."""
    rank = site.rank()
    axis = site.axis(default=-1)
    outer, inner = letters(axis, "b"), letters(rank - axis, "h")
    scale, bias = (
        " ".join(_aligned(site.shape(k), [*outer, *inner])) if site.has(k) and site.rank(k) else "" for k in (1, 2)
    )
    operands = f"{' '.join(outer + inner)}, {scale}" + (f", {bias}" if site.has(2) else "")
    statistics = " ".join(outer + ["1"] * len(inner))
    return signature(
        f"{operands} -> {' '.join(outer + inner)}, {statistics}, {statistics} ; normalised {' '.join(inner)}"
    )


def group_normalization(site: Site) -> Signature:
    """``n (g c) *s, (g c), (g c) -> n (g c) *s``; until opset 20 scale and bias are one a group."""
    affine = "g" if site.version < 21 else "(g c)"
    return signature(
        f"n (g c) *s, {affine}, {affine} -> n (g c) *s ; normalised c s",
        sizes={"g": site.node.int("num_groups")},
        attributes={"num_groups": "g"},
    )


def lp_normalization(site: Site) -> Signature:
    """Statistics over one axis."""
    names = letters(site.rank())
    axis = site.axis(default=-1)
    return signature(f"{' '.join(names)} -> {' '.join(names)} ; normalised {names[axis]}")


def mean_variance_normalization(site: Site) -> Signature:
    """Statistics over the axes of the attribute (all but the channels by default)."""
    names = letters(site.rank())
    axes = site.node.ints("axes", (0, 2, 3)) or ()
    normalised = " ".join(names[axis] for axis in axes)
    return signature(f"{' '.join(names)} -> {' '.join(names)} ; normalised {normalised}")


def pool(site: Site) -> Signature:
    """``n c *s -> n c *t``; the window slides over s, save where it is one element wide."""
    if len(site.node.outputs) > 1 and site.node.outputs[1]:
        raise NoSignature("the indices of the maxima count channels")
    stays = _points(site, [width == 1 for width in site.node.ints("kernel_shape", ()) or ()])
    positions, results, moved = _positions(stays)
    return signature(
        f"n c {' '.join(positions)} -> n c {' '.join(results)}{_opaque(moved)}",
        reason="the window of a pooling slides over it",
    )


def global_pool(site: Site) -> Signature:
    """``n c *s -> n c 1 1 ...``; statistics over s."""
    ones = " ".join("1" for _ in range(site.rank() - 2))
    return signature(f"n c *s -> n c {ones} ; normalised s")


_EXACT_REDUCTIONS = {"ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"}
"""Zeros add nothing to these: their axis is contracted, not normalised."""


def reduced_axes(site: Site) -> tuple[int, ...]:
    """The axes a reduction runs over, from attribute or operand, counted from the front."""
    rank = site.rank()
    axes = site.ints("axes", 1)
    if axes is None or not axes:
        return () if site.node.int("noop_with_empty_axes") else tuple(range(rank))
    return tuple(sorted(axis % rank for axis in axes))


def reduce(site: Site) -> Signature:
    """Sums contract their axes; means, extrema and the like are statistics over them."""
    names = letters(site.rank())
    axes = reduced_axes(site)
    keep = site.node.int("keepdims", 1)
    result = [("1" if k in axes else name) for k, name in enumerate(names) if keep or k not in axes]
    over = " ".join(names[k] for k in axes)
    role = "" if site.node.op in _EXACT_REDUCTIONS or not over else f" ; normalised {over}"
    return signature(f"{' '.join(names)} -> {' '.join(result)}{role}")


def arg_reduce(site: Site) -> Signature:
    """Positions along the axis are the result: its order matters."""
    names = letters(site.rank())
    axis = site.axis()
    keep = site.node.int("keepdims", 1)
    result = [("1" if k == axis else name) for k, name in enumerate(names) if keep or k != axis]
    text = f"{' '.join(names)} -> {' '.join(result)} ; opaque {names[axis]}"
    return signature(text, reason="the positions of its extrema are the result")


def top_k(site: Site) -> Signature:
    """The axis is sorted."""
    names = letters(site.rank())
    axis = site.axis(default=-1)
    result = [("top" if k == axis else name) for k, name in enumerate(names)]
    text = f"{' '.join(names)}, _ -> {' '.join(result)}, {' '.join(result)} ; opaque {names[axis]} top"
    return signature(text, reason="it is sorted")


def softmax(site: Site) -> Signature:
    """``*b k -> *b k``; before opset 13 all axes from ``axis`` on are normalised together."""
    names = letters(site.rank())
    axis = site.axis(default=-1 if site.version >= 13 else 1)
    over = names[axis:] if site.version < 13 else [names[axis]]
    text = f"{' '.join(names)} -> {' '.join(names)} ; opaque {' '.join(over)}"
    return signature(text, reason="a softmax is taken over it")


def cumulative_sum(site: Site) -> Signature:
    """The axis is ordered."""
    names = letters(site.rank())
    axis = int(site.constant(1, "axis").ravel()[0]) % site.rank()
    return signature(
        f"{' '.join(names)}, _ -> {' '.join(names)} ; opaque {names[axis]}", reason="a running sum is taken over it"
    )


def quantize_linear(site: Site) -> Signature:
    """Element-wise, with scale and zero point per tensor, along one axis, or for every block of elements of an axis."""
    if site.node.int("block_size"):
        return _quantize_blocks(site, site.node.int("block_size"))
    names = letters(site.rank())

    def side(position: int) -> str:
        shape = site.shape(position) if site.has(position) else ()
        if len(shape) == 0 or not names:
            return " ".join("1" for _ in shape)
        return "1" if shape[0] == ONE else names[site.axis(default=1)]

    return signature(f"{operand_list(site, ' '.join(names), side(1), side(2))} -> {' '.join(names)}")


def _quantize_blocks(site: Site, block: int) -> Signature:
    """``*b (blocks block) *c, *b blocks *c, *b blocks *c -> *b (blocks block) *c``; blocks stay whole."""
    axis = site.axis(default=1)
    size, blocks = site.shape(0)[axis], site.shape(1)
    if len(blocks) != site.rank() or block < 0 or size != blocks[axis] * Size.of(block):
        raise NoSignature(f"the scales do not fit whole blocks of {block} along dimension {axis}")
    scale = letters(site.rank())
    element = list(scale)
    element[axis] = f"({scale[axis]} block)"
    operands = operand_list(site, " ".join(element), " ".join(scale), " ".join(scale))
    return signature(
        f"{operands} -> {' '.join(element)} ; opaque block",
        sizes={"block": block},
        reason="a block of elements shares a scale",
    )


def dropout(site: Site) -> Signature:
    """Identity at inference; the mask has the same axes."""
    names = " ".join(letters(site.rank()))
    return signature(f"{names} -> {names}, {names}")
