"""Rules of views and of operators that change shape: reshapes, transposes, broadcasts, resampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir import Size
from ..ir.sizes import ONE, product
from .causes import CONVOLVED, COUNTS_POSITIONS, FROM_SPACE, RESAMPLED, RUN_TIME_SIZE, TO_SPACE
from .compute import letters
from .grammar import Follower, Name, Signature, SizeOf, names_of, signature, term
from .refine import refine
from .registry import NoSignature, RuleContext


def tile(ctx: RuleContext) -> Signature:
    """``n c -> n (r c)``: repeats are an outer factor."""
    names = letters(ctx.rank())
    repeats = ctx.entries(1)
    if repeats is None or len(repeats) != len(names):
        raise NoSignature("its repeats are computed at run time")
    result: list[str] = []
    sizes: dict[str, Size] = {}
    follow: list[Follower] = [None] * len(names)
    operand = ["1" if size == ONE else name for size, name in zip(ctx.shape(0), names, strict=True)]
    for k, count in enumerate(repeats):
        if count is None:
            raise NoSignature(f"repeat {k} is computed at run time")
        if count == ONE:
            result.append(operand[k])
            continue
        sizes[f"r{k}"] = count
        result.append(f"(r{k} {operand[k]})" if operand[k] != "1" else f"r{k}")
        follow[k] = SizeOf(Name(f"r{k}")) if count.is_static else None
    return signature(f"{' '.join(operand)}, _ -> {' '.join(result)}", repeated=sizes, sizes=sizes, operands={1: follow})


def expand(ctx: RuleContext) -> Signature:
    """Dimensions of size one stretch to new axes; the shape operand follows.

    A dimension whose size is computed at run time is opaque: it cannot be known to stretch.
    """
    names = letters(max(ctx.rank(), _result_rank(ctx)))
    shape = ctx.shape(0)
    target = ctx.entries(1)
    inferred = ctx.outputs[0]
    operand = ["1" if size == ONE else name for size, name in zip(shape, names[len(names) - len(shape) :], strict=True)]
    sizes: dict[str, Size] = {}
    result: list[str] = []
    follow: list[Follower] = []
    padded = ["1"] * (len(names) - len(shape)) + operand
    offset = len(names) - len(target) if target is not None else 0
    opaque: list[str] = []
    for k, name in enumerate(names):
        wanted = target[k - offset] if target is not None and k >= offset else None
        if wanted is None and inferred is not None:
            wanted = inferred[k - len(names) + len(inferred)] if k >= len(names) - len(inferred) else None
        if padded[k] != "1" or wanted == ONE:
            result.append(padded[k])
        else:
            result.append(name)
            if wanted is not None:
                sizes[name] = wanted
        entry = target[k - offset] if target is not None and k >= offset else None
        given = shape[k - len(names) + len(shape)] if padded[k] != "1" else None
        if entry is not None and given is not None and entry not in (ONE, given):
            entry = None  # must be equal at run time, or the model would not run
        if entry is None and (target is None or k >= offset) and result[-1] != "1":
            opaque.append(result[-1])
        if target is not None and k >= offset:
            follow.append(SizeOf(term(result[-1])) if entry is not None and entry != ONE else None)
    return signature(
        f"{' '.join(operand)}, _ -> {' '.join(result)}",
        opaque=opaque,
        repeated=[word for word in result if word not in (*operand, "1")],
        sizes=sizes,
        operands={1: follow} if target is not None else None,
        reason=RUN_TIME_SIZE,
    )


def _result_rank(ctx: RuleContext) -> int:
    inferred, target = ctx.outputs[0], ctx.entries(1)
    if target is not None:
        return len(target)
    if inferred is None:
        raise NoSignature("the rank of the result is unknown")
    return len(inferred)


def transpose(ctx: RuleContext) -> Signature:
    """A permutation of dimensions."""
    names = letters(ctx.rank())
    order = ctx.node.ints("perm") or tuple(reversed(range(len(names))))
    return signature(f"{' '.join(names)} -> {' '.join(names[k] for k in order)}")


def _spell_view(
    operand: Sequence[Size], target: Sequence[Size]
) -> tuple[list[str], list[str], dict[str, Size], list[str]]:
    """Dimensions of operand and result, the sizes of their axes, and those axes that have no counterpart."""
    found = refine(operand, target)
    names = letters(len(found.cells), "c")
    opaque: list[str] = []

    def spell(groups: Sequence[tuple[int, ...] | None], side: str) -> list[str]:
        words: list[str] = []
        for k, group in enumerate(groups):
            if group is None:
                opaque.append(f"{side}{k}")
                words.append(f"{side}{k}")
            elif len(group) == 0:
                words.append("1")
            else:
                inner = " ".join(names[cell] for cell in group)
                words.append(f"({inner})" if len(group) > 1 else inner)
        return words

    left, right = spell(found.left, "in"), spell(found.right, "out")
    sizes = dict(zip(names, found.cells, strict=True))
    sizes.update({f"out{k}": target[k] for k, group in enumerate(found.right) if group is None})
    return left, right, sizes, opaque


def reshape(ctx: RuleContext) -> Signature:
    """A view; explicit sizes in the shape operand follow, 0 and -1 stay.

    If a size is computed at run time, its static factors are opaque: the computed size would not follow a removal.
    """
    target = _reshape_target(ctx)
    left, right, sizes, opaque = _spell_view(ctx.shape(0), target)
    entries = ctx.entries(1) or (None,) * len(target)
    follow: list[Follower] = [None] * len(target)
    blind: list[str] = []
    for k, (word, entry) in enumerate(zip(right, entries, strict=True)):
        if entry is None:
            blind += [name for name in names_of(term(word)) if sizes[name].is_static]
        elif entry.coefficient > 0:
            follow[k] = SizeOf(term(word))
    operands = " ".join(left) + (", _" if ctx.has(1) else "")
    return signature(
        f"{operands} -> {' '.join(right)}",
        opaque=[*opaque, *blind],
        sizes=sizes,
        operands={1: follow},
        reason="its shape is computed at run time" if blind else "the shapes have no common factors",
    )


def _reshape_target(ctx: RuleContext) -> list[Size]:
    """The sizes of the result: spelled out, copied by 0, computed for -1, or as inferred."""
    operand = ctx.shape(0)
    entries, inferred = ctx.entries(1), ctx.outputs[0]
    if entries is None:
        if inferred is None:
            raise NoSignature("its shape operand is computed at run time")
        entries = (None,) * len(inferred)
    target: list[Size | None] = []
    for k, entry in enumerate(entries):
        if entry is not None and entry.coefficient == 0 and not ctx.node.int("allowzero"):
            if k >= len(operand):
                raise NoSignature(f"entry {k} of its shape is 0, but the operand has rank {len(operand)}")
            target.append(operand[k])
        elif entry is not None and entry.coefficient == -1:
            target.append(None)
        elif entry is not None and entry.coefficient > 0:
            target.append(entry)
        else:
            guess = inferred[k] if inferred is not None and k < len(inferred) else None
            target.append(guess)
    open_entries = [k for k, size in enumerate(target) if size is None]
    if len(open_entries) == 1:
        known = product(size for size in target if size is not None)
        rest = product(operand).divided_by(known)
        target[open_entries[0]] = rest or (inferred[open_entries[0]] if inferred is not None else None)
    return [size if size is not None else Size(1, (f"{ctx.node.name}:{k}",)) for k, size in enumerate(target)]


def flatten(ctx: RuleContext) -> Signature:
    """``a b c -> (a) (b c)``."""
    shape = ctx.shape(0)
    names = ["1" if size == ONE else name for size, name in zip(shape, letters(len(shape)), strict=True)]
    axis = ctx.node.int("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis

    def side(part: Sequence[str]) -> str:
        inner = [name for name in part if name != "1"]
        return f"({' '.join(inner)})" if len(inner) > 1 else (inner[0] if inner else "1")

    return signature(f"{' '.join(names)} -> {side(names[:axis])} {side(names[axis:])}")


def squeeze(ctx: RuleContext) -> Signature:
    """Dimensions of size one are removed. Their axes are spelled out: a pruned axis may become one as well."""
    shape = ctx.shape(0)
    names = letters(len(shape))
    axes = ctx.ints("axes", 1)
    gone = [axis % len(shape) for axis in axes] if axes is not None else [k for k, s in enumerate(shape) if s == ONE]
    operand = ["1" if k in gone else name for k, name in enumerate(names)]
    text = f"{' '.join(operand)} -> {' '.join(name for k, name in enumerate(names) if k not in gone)}"
    pins: dict[int | str, tuple[int, ...]] = {"axes" if ctx.version < 13 else 1: tuple(gone)}
    return signature(text, pins=pins if axes is None else None)


def unsqueeze(ctx: RuleContext) -> Signature:
    """New dimensions of size one."""
    names = letters(ctx.rank())
    axes = ctx.ints("axes", 1)
    if axes is None:
        raise NoSignature("it has no axes")
    rank = len(names) + len(axes)
    new = {axis % rank for axis in axes}
    if len(new) != len(axes):
        raise NoSignature(f"its axes {list(axes)} name one position twice")
    rest = iter(names)
    return signature(f"{' '.join(names)} -> {' '.join('1' if k in new else next(rest) for k in range(rank))}")


def resize(ctx: RuleContext) -> Signature:
    """Dimensions that change size are opaque; the others are carried, and spelled-out sizes follow."""
    names = letters(ctx.rank())
    wanted = _resize_sizes(ctx)
    result, opaque = list(names), []
    for k, (name, size) in enumerate(zip(names, ctx.shape(0), strict=True)):
        if wanted[k] != size:
            result[k] = f"resized{k}"
            opaque += [name, result[k]]
    operands: dict[int, Sequence[Follower]] = {}
    if _has_sizes(ctx):
        axes = ctx.node.ints("axes", range(len(names))) or ()
        operands[3] = [SizeOf(Name(names[axis])) if result[axis] == names[axis] else None for axis in axes]
    text = f"{' '.join(names)} -> {' '.join(result)}"
    return signature(text, opaque=opaque, operands=operands, reason=RESAMPLED)


def _has_sizes(ctx: RuleContext) -> bool:
    return ctx.version >= 11 and ctx.has(3)


def _resize_sizes(ctx: RuleContext) -> list[Size | None]:
    """Per dimension, the size of the result if it is that of the operand or is given as a number."""
    operand, inferred = ctx.shape(0), ctx.outputs[0]
    axes = ctx.node.ints("axes", range(len(operand))) or ()
    wanted: list[Size | None] = list(operand)
    if _has_sizes(ctx):
        entries = ctx.entries(3) or (None,) * len(axes)
        for axis, entry in zip(axes, entries, strict=True):
            if entry is None and not operand[axis].is_static and inferred is not None:
                entry = inferred[axis]
            wanted[axis] = entry if ctx.node.str("keep_aspect_ratio_policy", "stretch") == "stretch" else None
        return wanted
    scales = _resize_scales(ctx, len(operand))
    for axis, size in enumerate(operand):
        if scales is not None:
            wanted[axis] = size if scales[axis] == 1 else None
        else:
            wanted[axis] = inferred[axis] if inferred is not None else None
    return wanted


def _resize_scales(ctx: RuleContext, rank: int) -> list[float] | None:
    attribute = ctx.node.attributes.get("scales")
    if isinstance(attribute, tuple):
        return [float(v) for v in attribute]
    position = 1 if ctx.version < 11 else 2
    if not ctx.has(position) or (values := ctx.read(position)) is None or values.size == 0:
        return None
    axes = ctx.node.ints("axes", range(rank)) or ()
    scales = [1.0] * rank
    for axis, value in zip(axes, np.asarray(values, dtype=float).ravel(), strict=True):
        scales[axis] = float(value)
    return scales


def depth_to_space(ctx: RuleContext) -> Signature:
    """``n (r q c) h w`` (DCR) or ``n (c r q) h w`` (CRD) ``-> n c (h r) (w q)``."""
    block = ctx.node.int("blocksize")
    channels = "(r q c)" if ctx.node.str("mode", "DCR") == "DCR" else "(c r q)"
    return signature(
        f"n {channels} h w -> n c (h r) (w q)",
        opaque="r q",
        sizes={"r": block, "q": block},
        reason=TO_SPACE,
    )


def space_to_depth(ctx: RuleContext) -> Signature:
    """``n c (h r) (w q) -> n (r q c) h w``."""
    block = ctx.node.int("blocksize")
    return signature(
        "n c (h r) (w q) -> n (r q c) h w",
        opaque="r q",
        sizes={"r": block, "q": block},
        reason=FROM_SPACE,
    )


def col2im(ctx: RuleContext) -> Signature:
    """``n (c k) l, _, _ -> n c *t``: windows are summed back to where they were cut."""
    block = ctx.constant(2, "its block shape").ravel()
    result = " ".join(f"t{k}" for k in range(len(block)))
    return signature(
        f"n (c k) l, _, _ -> n c {result}",
        opaque=f"k l {result}",
        sizes={"k": int(np.prod(block.astype(np.int64)))},
        reason=CONVOLVED,
    )


def center_crop_pad(ctx: RuleContext) -> Signature:
    """The axes that it cuts or pads are opaque, the others carried."""
    names = letters(ctx.rank())
    axes = {axis % len(names) for axis in ctx.node.ints("axes", range(len(names))) or ()}
    result = [f"cut{k}" if k in axes else name for k, name in enumerate(names)]
    return signature(
        f"{' '.join(names)}, _ -> {' '.join(result)}",
        opaque=[name for k in sorted(axes) for name in (names[k], result[k])],
        reason="elements are cut out of it",
    )


def shape_only(ctx: RuleContext) -> Signature:
    """Only sizes are read; evaluation follows the values that are computed from them."""
    return signature(f"{' '.join('?' for _ in ctx.shape(0))} -> _")


def range_(ctx: RuleContext) -> Signature:
    """Positions, whose order matters. Their number is often known even if shape inference gives up."""
    size = _range_size(ctx)
    if size == ONE:
        return signature("_, _, _ -> 1")
    sizes = None if size is None else {"a": size}
    return signature("_, _, _ -> a", opaque="a", sizes=sizes, reason=COUNTS_POSITIONS)


def _range_size(ctx: RuleContext) -> Size | None:
    start, limit, step = (next(iter(ctx.entries(k) or ()), None) for k in range(3))
    if start is None or limit is None or step is None:
        return None
    if start.is_static and limit.is_static and step.is_static and step.coefficient:
        return Size(len(range(start.coefficient, limit.coefficient, step.coefficient)))
    return limit if start == Size(0) and step == ONE and limit.coefficient > 0 else None


def constant_of_shape(ctx: RuleContext) -> Signature:
    """A new tensor of equal elements. Its shape operand follows; sizes computed at run time are opaque."""
    entries = ctx.entries(0)
    if entries is None:
        raise NoSignature("its shape is computed at run time")
    names = ["1" if entry == ONE else name for entry, name in zip(entries, letters(len(entries)), strict=True)]
    sizes = {name: entry for name, entry in zip(names, entries, strict=True) if entry is not None and name != "1"}
    follow: list[Follower] = [SizeOf(Name(name)) if name in sizes else None for name in names]
    blind = [name for name in names if name != "1" and name not in sizes]
    return signature(
        f"_ -> {' '.join(names)}",
        opaque=blind,
        repeated=sizes,
        sizes=sizes,
        operands={0: follow},
        reason=RUN_TIME_SIZE,
    )
