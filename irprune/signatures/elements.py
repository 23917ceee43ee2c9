"""Rules of operators that take, place and join elements: concatenation, splitting, slicing, gathering, padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..ir.sizes import ONE
from .causes import LOOKED_UP
from .compute import letters
from .grammar import Composite, ElementMap, Follower, Name, Renumber, Signature, SizeOf, signature, term
from .registry import NoSignature, RuleContext
from .strided import strided_gather


def _replace(names: Sequence[str], axis: int, text: str) -> str:
    return " ".join(text if k == axis else name for k, name in enumerate(names))


def concat(ctx: RuleContext) -> Signature:
    """``n a s, n b s -> n (a + b) s``."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    parts = [("1" if ctx.shape(k)[axis] == ONE else f"p{k}") for k in range(len(ctx.inputs))]
    operands = [_replace(names, axis, part) for part in parts]
    total = f"({' + '.join(parts)})" if len(parts) > 1 else parts[0]
    return signature(f"{', '.join(operands)} -> {_replace(names, axis, total)}")


def split(ctx: RuleContext) -> Signature:
    """``n (a + b) s -> n a s, n b s``; the sizes follow what is removed."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    total = ctx.static(0, axis)
    count = len(ctx.node.outputs)
    sizes = ctx.ints("split", 1)
    if sizes is None:
        chunk = -(-total // count)
        sizes = tuple(max(0, min(chunk, total - k * chunk)) for k in range(count))
    if sum(sizes) != total or len(sizes) != count:
        raise NoSignature(f"the parts {list(sizes)} do not make up {total}")
    parts = ["1" if size == 1 else f"p{k}" for k, size in enumerate(sizes)]
    results = [_replace(names, axis, part) for part in parts]
    whole = f"({' + '.join(parts)})" if count > 1 else parts[0]
    follow = [SizeOf(term(part)) for part in parts]
    return signature(
        f"{_replace(names, axis, whole)} -> {', '.join(results)}",
        sizes={f"p{k}": size for k, size in enumerate(sizes)},
        attributes={"split": follow} if ctx.version < 13 else None,
        operands={1: follow} if ctx.version >= 13 else None,
    )


def slice_(ctx: RuleContext) -> Signature:
    """``n (before + kept + after) s -> n kept s`` on each sliced axis.

    A stride that divides the axis selects from a factor of it, a full reversal is an element map; an axis that is cut
    in any other way is opaque.
    """
    names = letters(ctx.rank())
    starts, ends = _bound_entries(ctx, "starts", 1), _bound_entries(ctx, "ends", 2)
    axes = ctx.ints("axes", 3) or tuple(range(len(starts)))
    steps = tuple(int(v) for v in ctx.constant(4, "steps").ravel()) if ctx.has(4) else (1,) * len(starts)
    cutting = _Cutting(ctx, names)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cutting.cut(axis % len(names), start, end, step)
    return signature(
        f"{' '.join(cutting.operand)} -> {' '.join(cutting.result)}",
        opaque=cutting.opaque,
        sizes=cutting.sizes,
        maps=cutting.maps,
        attributes={"starts": cutting.starts, "ends": cutting.ends} if ctx.version < 10 else None,
        operands={1: cutting.starts, 2: cutting.ends} if ctx.version >= 10 else None,
        reason="elements are cut out of it",
    )


def _bound_entries(ctx: RuleContext, attribute: str, position: int) -> list[int | None]:
    """Starts or ends; ``None`` for an entry that is known only at run time."""
    values = ctx.node.ints(attribute)
    if values is not None:
        return list(values)
    entries = ctx.entries(position)
    if entries is None:
        shape = ctx.shape(position)
        if len(shape) != 1 or not shape[0].is_static:
            raise NoSignature(f"its {attribute} are computed at run time")
        return [None] * shape[0].coefficient
    return [entry.coefficient if entry is not None and entry.is_static else None for entry in entries]


class _Cutting:
    """Builds the signature of a Slice axis by axis."""

    def __init__(self, ctx: RuleContext, names: list[str]) -> None:
        self.shape = ctx.shape(0)
        self.names = names
        self.operand, self.result = list(names), list(names)
        self.sizes: dict[str, int] = {}
        self.maps: list[ElementMap] = []
        self.opaque: list[str] = []
        self.starts: list[Follower] = []
        self.ends: list[Follower] = []

    def cut(self, axis: int, start: int | None, end: int | None, step: int) -> None:
        size = self.shape[axis]
        new_start: Follower = None
        new_end: Follower = None
        if start == 0 and step == 1 and end is not None and end >= np.iinfo(np.int32).max:
            pass  # takes everything, whatever the size
        elif start is None or end is None or not size.is_static:
            self._opaque(axis)
        else:
            taken = range(*slice(start, _end(end, step, size.coefficient), step).indices(size.coefficient))
            if len(taken) == 0 and start >= size.coefficient:
                self.result[axis] = f"cut{axis}"  # an empty slice past the end stays empty
                self.sizes[f"cut{axis}"] = 0
            elif len(taken) == 0:
                self._opaque(axis)
            elif step != 1:
                self._strided(axis, taken, size.coefficient)
            elif len(taken) < size.coefficient:
                new_start, new_end = self._contiguous(axis, start, end, taken, size.coefficient)
        self.starts.append(new_start)
        self.ends.append(new_end)

    def _opaque(self, axis: int) -> None:
        self.result[axis] = f"cut{axis}"
        self.opaque += [self.names[axis], f"cut{axis}"]

    def _contiguous(self, axis: int, start: int, end: int, taken: range, size: int) -> tuple[Follower, Follower]:
        name = self.names[axis]
        spans = ((f"{name}_before", taken.start), (f"{name}_kept", len(taken)), (f"{name}_after", size - taken.stop))
        words = {word: ("1" if width == 1 else word) for word, width in spans if width}
        self.sizes.update(spans)
        self.operand[axis] = f"({' + '.join(words.values())})"
        self.result[axis] = words[f"{name}_kept"]
        return _bounds(start, end, size, [words.get(word) for word, _ in spans])

    def _strided(self, axis: int, taken: range, size: int) -> None:
        name, step = self.names[axis], taken.step
        if step == -1 and len(taken) == size:
            self.result[axis] = f"{name}_flipped"
            self.sizes[f"{name}_flipped"] = size
            self.maps.append(ElementMap(name, f"{name}_flipped", tuple(taken)))
        elif step > 1 and size % step == 0 and len(taken) == size // step:
            outer, first, last = f"{name}_outer", f"{name}_first", f"{name}_last"
            widths = ((first, taken.start), ("1", 1), (last, step - 1 - taken.start))
            words = ["1" if width == 1 else word for word, width in widths if width]
            self.sizes.update({outer: len(taken), first: taken.start, last: step - 1 - taken.start})
            self.operand[axis] = f"({outer} ({' + '.join(words)}))"
            self.result[axis] = outer
            self.opaque += [word for word in words if word != "1"]
        else:
            self._opaque(axis)


def _end(end: int, step: int, size: int) -> int | None:
    """ONNX writes "past the front" as a large negative end, Python as none at all."""
    return None if step < 0 and end < -size else end


def _bounds(start: int, end: int, size: int, words: Sequence[str | None]) -> tuple[Follower, Follower]:
    """Start and end of the kept part after a removal, counted from the same side as before."""
    before, kept, after = words

    def span(*parts: str | None) -> Composite:
        return Composite(tuple(term(part) for part in parts if part), is_sum=True)

    new_start: Follower = SizeOf(span(before)) if start >= 0 else SizeOf(span(kept, after), -1)
    if start == 0:
        new_start = None
    if end >= size:
        return new_start, None
    return new_start, SizeOf(span(before, kept)) if end >= 0 else SizeOf(span(after), -1)


def gather(ctx: RuleContext) -> Signature:
    """A lookup with indices known at compile time selects elements; with run-time indices the axis is opaque."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    indices = ctx.read(1)
    outer, inner = names[:axis], names[axis + 1 :]
    if indices is None or not ctx.shape(0)[axis].is_static:
        ramp = ctx.ramp(1)
        strided = None if ramp is None else strided_gather(outer, inner, ctx.shape(0)[axis], ramp)
        if strided is not None:
            return strided
        index_names = letters(len(ctx.shape(1)), "i")
        result = " ".join([*outer, *index_names, *inner])
        text = f"{' '.join(names)}, {' '.join(index_names)} -> {result}"
        if ctx.routed:
            return signature(text, chosen=names[axis])
        return signature(text, opaque=names[axis], reason=LOOKED_UP)
    return _selected(names, axis, np.asarray(indices, dtype=np.int64), ctx.static(0, axis))


def gather_nd(ctx: RuleContext) -> Signature:
    """``b* i* rest, b* j* k -> b* j* rest``: the first dimensions are indexed, the rest is carried.

    One dimension with indices known at compile time is a Gather of the first axis.
    """
    batch = ctx.node.int("batch_dims")
    depth = ctx.static(1, ctx.rank(1) - 1)
    data, index = letters(ctx.rank()), letters(ctx.rank(1) - 1, "j")
    indices = ctx.read(1)
    if batch == 0 and depth == 1 and indices is not None and ctx.shape(0)[0].is_static:
        return _selected(data, 0, indices[..., 0].astype(np.int64), ctx.static(0, 0))
    if ctx.routed and batch == 0 and depth == 1:
        return signature(
            f"{' '.join(data)}, {' '.join([*index, '1'])} -> {' '.join([*index, *data[1:]])}", chosen=data[0]
        )
    index[:batch] = data[:batch]
    indexed, rest = data[batch : batch + depth], data[batch + depth :]
    text = f"{' '.join(data)}, {' '.join([*index, 'tuple'])} -> {' '.join([*index, *rest])}"
    opaque = ["tuple", *indexed, *index]
    return signature(text, opaque=opaque, reason=LOOKED_UP)


def from_the_front(indices: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Indices into a dimension, with negative ones counted from the front; refuses indices outside of it."""
    outside = indices[(indices < -size) | (indices >= size)]
    if outside.size:
        raise NoSignature(f"index {outside[0]} lies outside of a dimension of size {size}")
    return indices % size


def _selected(names: list[str], axis: int, given: NDArray[np.int64], size: int) -> Signature:
    """``n c s, _ -> n (i j) s``: the elements of an axis that known indices select."""
    plain = from_the_front(given, size)
    if plain.size == 1:
        return _gather_one(names, axis, int(given.ravel()[0]), size, plain.ndim)
    order = tuple(plain.ravel().tolist())
    picked = ["1" if width == 1 else f"i{k}" for k, width in enumerate(plain.shape)]
    inner_words = [word for word in picked if word != "1"]
    whole = f"({' '.join(inner_words)})" if len(inner_words) > 1 else inner_words[0]
    return signature(
        f"{' '.join(names)}, _ -> {' '.join([*names[:axis], *picked, *names[axis + 1 :]])}",
        sizes={f"i{k}": width for k, width in enumerate(plain.shape)},
        maps=[ElementMap(names[axis], whole, order)],
        operands={1: Renumber(Name(names[axis]), term(whole), order)},
    )


def _gather_one(names: list[str], axis: int, index: int, size: int, rank: int) -> Signature:
    """``n (before + 1 + after) s -> n s``: the element stays, its index follows, counted from the same side."""
    spans = (("before", index % size), ("one", 1), ("after", size - 1 - index % size))
    words = {name: ("1" if width == 1 else name) for name, width in spans if width}
    result = [*names[:axis], *["1"] * rank, *names[axis + 1 :]]
    whole = f"({' + '.join(words.values())})" if len(words) > 1 else "1"
    counted = [words[name] for name in (("before",) if index >= 0 else ("one", "after")) if name in words]
    follow = SizeOf(Composite(tuple(map(term, counted)), is_sum=True), 1 if index >= 0 else -1)
    return signature(
        f"{_replace(names, axis, whole)}, _ -> {' '.join(result)}",
        sizes=dict(spans),
        operands={1: (follow,)},
    )


def pad(ctx: RuleContext) -> Signature:
    """``n c s -> n (low + c + high) s`` for constant padding; other modes only pad what is never pruned.

    A negative pad cuts: ``n (before + c) s -> n c s``.
    """
    names = letters(ctx.rank())
    rank = len(names)
    pads = _bound_entries(ctx, "pads", 1)
    axes: Sequence[int] = range(rank)
    if ctx.has(3):
        axes = [int(v) % rank for v in ctx.constant(3, "axes").ravel()]
    if len(pads) != 2 * len(axes):
        raise NoSignature(f"{len(pads)} pads for {len(axes)} axes")
    mode = ctx.node.str("mode", "constant")
    operand, result = list(names), list(names)
    sizes: dict[str, int] = {}
    opaque: list[str] = []
    follow: list[Follower] = [None] * len(pads)
    for k, axis in enumerate(axes):
        low, high = pads[k], pads[k + len(axes)]
        if low == 0 and high == 0:
            continue
        size = ctx.shape(0)[axis]
        stays = 0 if low is None or high is None else size.coefficient + min(low, 0) + min(high, 0)
        if low is None or high is None or mode != "constant" or not size.is_static or stays < 1:
            result[axis] = f"padded{axis}"
            opaque += [names[axis], f"padded{axis}"]
            continue
        middle = "1" if stays == 1 else names[axis]
        sizes.update({f"low{axis}": abs(low), f"high{axis}": abs(high), names[axis]: stays})
        left, right = (_unit(f"{side}{axis}", abs(count)) for side, count in (("low", low), ("high", high)))
        operand[axis] = _laid([left] * (low < 0), middle, [right] * (high < 0))
        result[axis] = _laid([left] * (low > 0), middle, [right] * (high > 0))
        follow[k] = SizeOf(term(left), 1 if low > 0 else -1) if low else None
        follow[k + len(axes)] = SizeOf(term(right), 1 if high > 0 else -1) if high else None
    return signature(
        f"{' '.join(operand)} -> {' '.join(result)}",
        opaque=opaque,
        sizes=sizes,
        attributes={"pads": follow} if ctx.version < 11 else None,
        operands={1: follow} if ctx.version >= 11 else None,
        reason=f"it is padded ({mode})",
    )


def _unit(name: str, size: int) -> str:
    return "1" if size == 1 else name


def _laid(before: Sequence[str], middle: str, after: Sequence[str]) -> str:
    """Parts of an axis laid end to end."""
    parts = [*before, middle, *after]
    return f"({' + '.join(parts)})" if len(parts) > 1 else middle
