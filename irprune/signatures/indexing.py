"""Rules of operators that look elements up at run time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..ir import Size
from .causes import LOOKED_UP
from .compute import letters, operand_list
from .elements import from_the_front
from .grammar import ElementMap, Flags, Grid, Renumber, Signature, signature, term
from .registry import NoSignature, RuleContext


def gather_elements(ctx: RuleContext) -> Signature:
    """Only one axis is indexed. Another dimension is carried if data and indices have the same size there."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    data, indices = ctx.shape(0), ctx.shape(1)
    operand, index, opaque = list(names), list(names), [names[axis], "picked"]
    index[axis] = "picked"
    for k, name in enumerate(names):
        if k != axis and data[k] != indices[k]:
            index[k] = f"part{k}"
            opaque += [name, f"part{k}"]
    if ctx.routed and len(opaque) == 2:
        text = f"{' '.join(operand)}, {' '.join(index)} -> {' '.join(index)}"
        return signature(text, opaque="picked", reason=LOOKED_UP, chosen=names[axis])
    text = f"{' '.join(operand)}, {' '.join(index)} -> {' '.join(index)}"
    return signature(text, opaque=opaque, reason=LOOKED_UP)


def scatter_elements(ctx: RuleContext) -> Signature:
    """Like GatherElements, but the result is the data. ATen's version may write a number instead of an operand."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    data, indices = ctx.shape(0), ctx.shape(1)
    index, opaque = list(names), [names[axis], "picked"]
    index[axis] = "picked"
    for k, name in enumerate(names):
        if k != axis and data[k] != indices[k]:
            index[k] = f"part{k}"
            opaque += [name, f"part{k}"]
    whole, part = " ".join(names), " ".join(index)
    written = f", {part}" if ctx.has(2) else ""
    return signature(f"{whole}, {part}{written} -> {whole}", opaque=opaque, reason=LOOKED_UP)


def scatter_nd(ctx: RuleContext) -> Signature:
    """``i* rest, j* k, j* rest -> i* rest``; where the coordinates are a grid, the positions of each axis are known."""
    depth = ctx.static(1, ctx.rank(1) - 1)
    lines = _grid(ctx, depth)
    if lines is not None:
        return _write_box(letters(ctx.rank()), ctx.shape(0), lines)
    data, index = letters(ctx.rank()), letters(ctx.rank(1) - 1, "j")
    indexed, rest = data[:depth], data[depth:]
    whole = " ".join(data)
    text = f"{whole}, {' '.join([*index, 'tuple'])}, {' '.join([*index, *rest])} -> {whole}"
    return signature(text, opaque=f"tuple {' '.join([*indexed, *index])}", reason=LOOKED_UP)


def _grid(ctx: RuleContext, depth: int) -> list[tuple[int, ...]] | None:
    """Per indexed axis, the written positions, if all combinations of them are written; else ``None``."""
    known, sizes = ctx.read(1), ctx.shape(0)[:depth]
    if known is None or known.ndim != depth + 1 or not known.size or not all(size.is_static for size in sizes):
        return None
    given = np.asarray(known, dtype=np.int64)
    lines = [np.moveaxis(given[..., k], k, 0).reshape(given.shape[k], -1)[:, 0] for k in range(depth)]
    if not np.array_equal(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1), given):
        return None
    pairs = zip(lines, sizes, strict=True)
    found = [tuple(from_the_front(line, size.coefficient).tolist()) for line, size in pairs]
    return found if all(len(set(line)) == len(line) for line in found) else None


def _write_box(names: list[str], shape: Sequence[Size], lines: Sequence[tuple[int, ...]]) -> Signature:
    """``(before + j + after) rest, _, j rest -> (before + j + after) rest``: as a slice that is assigned to."""
    data, written = list(names), list(names)
    sizes: dict[str, int] = {}
    maps: list[ElementMap] = []
    for k, line in enumerate(lines):
        first, width, size = line[0], len(line), shape[k].coefficient
        if line == tuple(range(size)):
            data[k] = written[k] = "1" if size == 1 else names[k]
            continue
        written[k] = "1" if width == 1 else f"j{k}"
        if line != tuple(range(first, first + width)):
            sizes[written[k]] = width
            maps.append(ElementMap(names[k], written[k], line))
            continue
        spans = ((f"before{k}", first), (written[k], width), (f"after{k}", size - first - width))
        sizes.update((name, span) for name, span in spans if name != "1")
        data[k] = f"({' + '.join('1' if span == 1 else name for name, span in spans if span)})"
    follow = Grid(tuple(Renumber(term(data[k]), term(written[k]), line) for k, line in enumerate(lines)))
    text = f"{' '.join(data)}, _, {' '.join(written)} -> {' '.join(data)}"
    return signature(text, sizes=sizes, maps=maps, operands={1: follow}, reason=LOOKED_UP)


def one_hot(ctx: RuleContext) -> Signature:
    """A new axis of classes."""
    names = letters(ctx.rank())
    rank = len(names) + 1
    axis = ctx.node.int("axis", -1) % rank
    result = [*names[:axis], "class", *names[axis:]]
    return signature(f"{' '.join(names)}, _, _ -> {' '.join(result)}", opaque="class", reason="it counts classes")


def trilu(ctx: RuleContext) -> Signature:
    """The last two axes are compared by position."""
    names = letters(ctx.rank())
    if len(names) < 2:
        raise NoSignature("the operand has fewer than two dimensions")
    operands = " ".join(names) + (", _" if ctx.has(1) else "")
    return signature(
        f"{operands} -> {' '.join(names)}", opaque=f"{names[-2]} {names[-1]}", reason="a triangle is cut out of it"
    )


def reverse_sequence(ctx: RuleContext) -> Signature:
    """Time is reversed, batch indexes the lengths."""
    names = letters(ctx.rank())
    time, batch = ctx.axis("time_axis", 0), ctx.axis("batch_axis", 1)
    text = f"{' '.join(names)}, {names[batch]} -> {' '.join(names)}"
    return signature(text, opaque=[names[time], names[batch]], reason="its order is reversed")


def compress(ctx: RuleContext) -> Signature:
    """``n a s, a -> n some s``: a condition known at compile time selects elements, and loses what they lose.

    Which elements another one selects, run time tells; without an axis, of all.
    """
    names = letters(ctx.rank())
    flags = ctx.read(1)
    if flags is not None and ("axis" in ctx.node.attributes or len(names) == 1):
        axis = ctx.axis()
        if ctx.shape(0)[axis] == Size(flags.size):
            return _picked_by_flags(names, axis, flags.astype(bool).ravel())
    if "axis" not in ctx.node.attributes:
        text = f"{' '.join(names)}, _ -> some"
        return signature(text, opaque=[*names, "some"], reason=LOOKED_UP)
    axis = ctx.axis()
    result = ["some" if k == axis else name for k, name in enumerate(names)]
    return signature(f"{' '.join(names)}, _ -> {' '.join(result)}", opaque=[names[axis], "some"], reason=LOOKED_UP)


def _picked_by_flags(names: list[str], axis: int, flags: NDArray[np.bool_]) -> Signature:
    picked, size = np.flatnonzero(flags).tolist(), len(flags)
    source, result = list(names), list(names)
    maps: list[ElementMap] = []
    sizes: dict[str, int] = {}
    opaque: list[str] = []
    if len(picked) == 1:
        spans = (("before", picked[0]), ("1", 1), ("after", size - 1 - picked[0]))
        words = ["1" if span == 1 else name for name, span in spans if span]
        sizes = {name: span for name, span in spans if name != "1"}
        source[axis], result[axis] = f"({' + '.join(words)})" if len(words) > 1 else "1", "1"
    else:
        sizes, result[axis] = {"some": len(picked)}, "some"
        maps = [ElementMap(names[axis], "some", tuple(picked))] if picked else []
        opaque = [] if picked else [names[axis], "some"]
    return signature(
        f"{' '.join(source)}, _ -> {' '.join(result)}",
        opaque=opaque,
        sizes=sizes,
        maps=maps,
        operands={1: Flags(term(source[axis]), tuple(flags.tolist()))},
        reason=LOOKED_UP,
    )


def tensor_scatter(ctx: RuleContext) -> Signature:
    """``n c s h, n c t h, n -> n c s h``: an update is written into a cache along one axis."""
    names = letters(ctx.rank())
    axis = ctx.axis(default=-2)
    update = ["written" if k == axis else name for k, name in enumerate(names)]
    operands = operand_list(ctx, " ".join(names), " ".join(update), names[0])
    return signature(f"{operands} -> {' '.join(names)}", opaque=[names[axis], "written"], reason=LOOKED_UP)


def drawn(ctx: RuleContext) -> Signature:
    """Random numbers in the shape of the operand: removing elements would change which number is drawn where."""
    names = " ".join(letters(ctx.rank()))
    return signature(f"{names} -> {names}", opaque=names, reason="its elements are drawn at random")


def non_zero(ctx: RuleContext) -> Signature:
    """Positions, one row a dimension."""
    names = " ".join(letters(ctx.rank()))
    return signature(f"{names} -> row found", opaque=f"{names} row found", reason="the positions of its elements count")


def fourier_transform(ctx: RuleContext) -> Signature:
    """A Fourier transform: frequencies replace positions; the last dimension is real and imaginary part."""
    names = letters(ctx.rank())
    axis = ctx.axis(default=1)
    if ctx.version >= 20:
        axis = (int(ctx.constant(2, "axis").ravel()[0]) if ctx.has(2) else -2) % len(names)
    result = ["f" + name if k == axis else name for k, name in enumerate(names[:-1])]
    operands = ", ".join([" ".join(names), *("_" for _ in ctx.node.inputs[1:])])
    opaque = f"{names[axis]} f{names[axis]} {names[-1]} part"
    return signature(f"{operands} -> {' '.join(result)} part", opaque=opaque, reason="it becomes frequencies")
