"""Attention as exporters spell it: projections, heads, rotations, masks and repeats, each in several dialects."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.property.building import Building

Size = int | str
LONGEST = 16
"""Rows of tables over positions; no sequence is longer."""


@dataclass
class Net(Building):
    """A graph over tokens ``(batch, length, width)``. ``free`` are dimensions of weights that have to be prunable."""

    batch: Size
    length: Size
    hidden: int
    free: list[tuple[str, int]] = field(default_factory=list)

    def flip(self) -> bool:
        return bool(self.integer(0, 1))

    def number(self, value: float) -> str:
        return self.store(np.array(value, dtype=np.float32), "k")

    def view(self, x: str, tail: tuple[int, ...], source: str, length: Size) -> str:
        """``x`` as ``(batch, length, *tail)``; the first two sizes are those of ``source``."""
        forms = ["copied", "computed"] + (
            ["spelled"] if isinstance(self.batch, int) and isinstance(length, int) else []
        )
        form = self.choice(forms)
        if form == "copied":
            head = (0, -1) if self.flip() and -1 not in tail else (0, 0)
            return self.op("Reshape", x, self.ints(*head, *tail))
        if form == "spelled":
            return self.op("Reshape", x, self.ints(int(self.batch), int(length), *tail))
        return self.op("Reshape", x, self.op("Concat", *self.sizes(source, 0, 1), self.ints(*tail), axis=0))

    def sizes(self, source: str, *axes: int) -> list[str]:
        """Sizes of a value as vectors of one entry, computed at run time."""
        shape = self.op("Shape", source)
        if self.flip():
            return [self.op("Slice", shape, self.ints(k), self.ints(k + 1), self.ints(0)) for k in axes]
        return [self.op("Unsqueeze", self.op("Gather", shape, self.scalar(k)), self.ints(0)) for k in axes]

    def linear(self, x: str, inner: int, outer: int, *, is_free: bool = True) -> str:
        """A projection of the last dimension, with or without a bias."""
        form = self.choice(("plain", "transposed", "einsum", "gemm"))
        shape = (outer, inner) if form in ("transposed", "gemm") else (inner, outer)
        weight = self.weight(*shape)
        if is_free:
            self.free.append((weight, shape.index(outer) if inner != outer else int(form in ("plain", "einsum"))))
        if form == "gemm":
            flat = self.op("Reshape", x, self.ints(-1, inner))
            made = self.op("Gemm", flat, weight, *([self.weight(outer)] if self.flip() else []), transB=1)
            return self.op("Reshape", made, self.op("Concat", *self.sizes(x, 0, 1), self.ints(outer), axis=0))
        if form == "einsum":
            made = self.op("Einsum", x, weight, equation="bsi,io->bso")
        elif form == "transposed":
            made = self.op("MatMul", x, self.op("Transpose", weight, perm=[1, 0]))
        else:
            made = self.op("MatMul", x, weight)
        if not self.flip():
            return made
        return self.op("Add", *((made, self.weight(outer)) if self.flip() else (self.weight(outer), made)))


@dataclass(frozen=True)
class Shape:
    """Sizes of one attention: key-value heads, query heads for each, channels of queries and keys, and of values."""

    kv: int
    repeats: int
    size: int
    values: int

    @property
    def heads(self) -> int:
        return self.kv * self.repeats


def attention(b: Net, x: str, context: str, width: int, source: Size, *, rotary: bool, grouped: bool) -> str:
    """Attention of ``x`` over ``context`` (of ``width`` channels and ``source`` positions), back in ``hidden``."""
    kv, repeats = (b.integer(1, 3), b.integer(2, 3)) if grouped else (b.integer(2, 4), 1)
    size = 2 * b.integer(2, 3) if rotary else b.integer(2, 4)
    is_self = x == context
    form = b.choice(("separate", "einsum", *(("fused", "stacked", "interleaved") if is_self else ())))
    if form in ("stacked", "interleaved") and repeats > 1:
        form = "fused"
    shape = Shape(kv, repeats, size, size if form != "separate" else b.integer(2, 4))
    query, key, value = _PROJECTIONS[form](b, x, context, width, source, shape)
    if b.integer(0, 3) == 0:
        query, key = (_root_normalized(b, part, shape.size) for part in (query, key))
    if rotary:
        rotate, partial = b.choice(("halves", "pairs")), shape.size > 4 and b.flip()
        query, key = (_turned(b, part, shape.size, rotate, partial=partial) for part in (query, key))
    if repeats > 1:
        order = b.choice(("expand", "tile", "concat", "gather", "outer", "grouped"))
        if order == "grouped":
            query = b.op("Reshape", query, b.ints(0, kv, repeats, -1, shape.size))
            key, value = (b.op("Unsqueeze", part, b.ints(2)) for part in (key, value))
        else:
            key, value = (
                _repeated(b, part, shape, order, width) for part, width in ((key, shape.size), (value, shape.values))
            )
        if order == "grouped":
            mixed = _mixed(b, query, key, value, shape, rank=5, source=source)
            return _merged(b, b.op("Reshape", mixed, b.ints(0, shape.heads, -1, shape.values)), shape, x)
    return _merged(b, _mixed(b, query, key, value, shape, rank=4, source=source), shape, x)


# -- projections: (batch, heads, length, channels) ---------------------------------------------------------------------


def _to_heads(b: Net, x: str, heads: int, size: int, source: str, length: Size) -> str:
    return b.op("Transpose", b.view(x, (heads, size), source, length), perm=[0, 2, 1, 3])


def _separate(b: Net, x: str, context: str, width: int, source: Size, s: Shape) -> list[str]:
    query = _to_heads(b, b.linear(x, b.hidden, s.heads * s.size), s.heads, s.size, x, b.length)
    rest = [(b.linear(context, width, s.kv * size), size) for size in (s.size, s.values)]
    return [query, *(_to_heads(b, made, s.kv, size, context, source) for made, size in rest)]


def _einsum(b: Net, x: str, context: str, width: int, source: Size, s: Shape) -> list[str]:
    made = []
    for operand, inner, heads in ((x, b.hidden, s.heads), (context, width, s.kv), (context, width, s.kv)):
        weight = b.weight(inner, heads, s.size)
        b.free.append((weight, 2))
        made.append(b.op("Einsum", operand, weight, equation="bsc,chd->bhsd"))
    return made


def _fused(b: Net, x: str, context: str, width: int, source: Size, s: Shape) -> list[str]:
    """One matrix for all three, laid end to end."""
    spans = (s.heads * s.size, s.kv * s.size, s.kv * s.size)
    made = b.linear(x, width, sum(spans))
    if b.flip():
        first = b.op("Split", made, b.ints(*spans), outputs=3, axis=-1)
        parts = [first, f"{first}_1", f"{first}_2"]
    else:
        ends = np.cumsum(spans).tolist()
        bounds = zip([0, *ends[:-1]], [*ends[:-1], (1 << 63) - 1 if b.flip() else ends[-1]], strict=True)
        parts = [b.op("Slice", made, b.ints(low), b.ints(high), b.ints(2)) for low, high in bounds]
    return [_to_heads(b, p, n, s.size, x, source) for p, n in zip(parts, (s.heads, s.kv, s.kv), strict=True)]


def _stacked(b: Net, x: str, context: str, width: int, source: Size, s: Shape) -> list[str]:
    """``(3 h d)``: three is a dimension that is unbound."""
    made = b.view(b.linear(x, width, 3 * s.heads * s.size), (3, s.heads, s.size), x, source)
    moved = b.op("Transpose", made, perm=[2, 0, 3, 1, 4])
    return _unbound(b, moved, 0)


def _interleaved(b: Net, x: str, context: str, width: int, source: Size, s: Shape) -> list[str]:
    """``(h 3 d)``: each head has its queries, keys and values."""
    made = b.linear(x, width, 3 * s.heads * s.size)
    if b.flip():
        parts = _unbound(b, b.view(made, (s.heads, 3, s.size), x, source), 3)
        return [b.op("Transpose", part, perm=[0, 2, 1, 3]) for part in parts]
    moved = b.op("Transpose", b.view(made, (s.heads, 3 * s.size), x, source), perm=[0, 2, 1, 3])
    first = b.op("Split", moved, b.ints(*[s.size] * 3), outputs=3, axis=-1)
    return [first, f"{first}_1", f"{first}_2"]


def _unbound(b: Net, x: str, axis: int) -> list[str]:
    """The three elements of a dimension: picked, or split off and squeezed."""
    if b.flip():
        return [b.op("Gather", x, b.scalar(k - 3 * b.integer(0, 1)), axis=axis) for k in range(3)]
    first = b.op("Split", x, b.ints(1, 1, 1), outputs=3, axis=axis)
    return [b.op("Squeeze", part, b.ints(axis)) for part in (first, f"{first}_1", f"{first}_2")]


_PROJECTIONS = {
    "separate": _separate,
    "einsum": _einsum,
    "fused": _fused,
    "stacked": _stacked,
    "interleaved": _interleaved,
}


# -- rotations and repeats ---------------------------------------------------------------------------------------------


def _table(b: Net, x: str, size: int, function: str, length: Size) -> str:
    """A cached table, cut to the length of ``x`` at run time, or as long as it is spelled out."""
    rows = LONGEST if isinstance(length, str) else length
    angles = np.arange(rows)[:, None] / 100 ** (np.arange(size) / size)[None, :]
    array = (np.cos(angles) if function == "cos" else np.sin(angles)).astype(np.float32)
    table = b.store(array, "table")
    if isinstance(length, str):
        table = b.op("Slice", table, b.ints(0), b.sizes(x, 2)[0], b.ints(0), b.ints(1))
    return b.op("Unsqueeze", table, b.ints(0, 1)) if b.flip() else table


def _root_normalized(b: Net, x: str, size: int) -> str:
    """Each head divided by the root of its mean square."""
    mean = b.op("ReduceMean", b.op("Mul", x, x), b.ints(-1))
    normal = b.op("Div", x, b.op("Sqrt", b.op("Add", mean, b.number(1e-2))))
    return b.op("Mul", normal, b.weight(size, positive=True))


def _turned(b: Net, x: str, size: int, form: str, *, partial: bool) -> str:
    """The rotation of a head, or of its first four channels."""
    if not partial:
        return _rotated(b, x, size, form, b.length)
    first = b.op("Slice", x, b.ints(0), b.ints(4), b.ints(-1))
    rest = b.op("Slice", x, b.ints(4), b.ints((1 << 63) - 1), b.ints(-1))
    return b.op("Concat", _rotated(b, first, 4, form, b.length), rest, axis=-1)


def _rotated(b: Net, x: str, size: int, form: str, length: Size) -> str:
    cos, sin = (_table(b, x, size, function, length) for function in ("cos", "sin"))
    turned = _half_turned(b, x, size) if form == "halves" else _pairs_turned(b, x, size)
    return b.op("Add", b.op("Mul", x, cos), b.op("Mul", turned, sin))


def _half_turned(b: Net, x: str, size: int) -> str:
    half = size // 2
    if b.flip():
        low = b.op("Split", x, b.ints(half, half), outputs=2, axis=-1)
        high = f"{low}_1"
    else:
        low = b.op("Slice", x, b.ints(0), b.ints(half), b.ints(-1), b.ints(1))
        high = b.op("Slice", x, b.ints(half), b.ints((1 << 63) - 1), b.ints(-1), b.ints(1))
    return b.op("Concat", b.op("Neg", high), low, axis=-1)


def _pairs_turned(b: Net, x: str, size: int) -> str:
    if b.flip():
        even, odd = (b.op("Slice", x, b.ints(k), b.ints((1 << 63) - 1), b.ints(3), b.ints(2)) for k in (0, 1))
    else:
        pairs = b.op("Reshape", x, b.ints(0, 0, 0, size // 2, 2))
        even, odd = (b.op("Gather", pairs, b.scalar(k), axis=4) for k in (0, 1))
    both = [b.op("Unsqueeze", part, b.ints(-1)) for part in (b.op("Neg", odd), even)]
    return b.op("Reshape", b.op("Concat", *both, axis=-1), b.ints(0, 0, 0, b.choice_of(-1, size)))


def _repeated(b: Net, x: str, s: Shape, order: str, width: int) -> str:
    if order == "gather":
        return b.op("Gather", x, b.ints(*np.repeat(np.arange(s.kv), s.repeats).tolist()), axis=1)
    if order == "outer":
        return b.op("Tile", x, b.ints(1, s.repeats, 1, 1))
    apart = b.op("Unsqueeze", x, b.ints(2))
    if order == "tile":
        apart = b.op("Tile", apart, b.ints(1, 1, s.repeats, 1, 1))
    elif order == "concat":
        apart = b.op("Concat", *[apart] * s.repeats, axis=2)
    elif b.flip():
        apart = b.op("Expand", apart, b.ints(1, 1, s.repeats, 1, 1))
    else:
        batch, length = b.sizes(x, 0, 2)
        whole = b.op("Concat", batch, b.ints(s.kv, s.repeats), length, b.ints(width), axis=0)
        apart = b.op("Expand", apart, whole)
    return b.op("Reshape", apart, b.ints(0, s.heads, -1, width))


# -- scores ------------------------------------------------------------------------------------------------------------


def _mixed(b: Net, query: str, key: str, value: str, s: Shape, *, rank: int, source: Size) -> str:
    """Softmax of the scaled, masked scores, times the values."""
    scale = b.choice(("query", "both", "divide", "shape"))
    factor = float(s.size**-0.5)
    if scale == "query":
        query = b.op("Mul", query, b.number(factor))
    elif scale == "both":
        query, key = (b.op("Mul", part, b.number(factor**0.5)) for part in (query, key))
    if rank == 4 and b.flip():
        scores = b.op("Einsum", query, key, equation="bhsd,bhtd->bhst")
    else:
        order = [*range(rank - 2), rank - 1, rank - 2]
        scores = b.op("MatMul", query, b.op("Transpose", key, perm=order))
    if scale == "divide":
        scores = b.op("Div", scores, b.number(factor**-1))
    elif scale == "shape":
        size = b.op("Cast", b.sizes(query, rank - 1)[0], to=1)
        scores = b.op("Div", scores, b.op("Sqrt", size))
    scores = _masked(b, scores, s, rank, source)
    weights = b.op("Softmax", scores, axis=-1)
    return b.op("MatMul", weights, value)


def _masked(b: Net, scores: str, s: Shape, rank: int, source: Size) -> str:
    fixed = isinstance(b.length, int) and isinstance(source, int)
    form = b.choice(("none", "slopes", *(("added", "where", "relative") if fixed else ("triangle",))))
    if form == "none" or (rank == 5 and form in ("relative", "slopes")):
        return scores
    if form == "slopes":
        slopes = b.weight(s.heads, 1, 1)
        if s.kv > 1:
            b.free.append((slopes, 0))
        return b.op("Add", scores, b.op("Mul", slopes, b.op("Tanh", scores)))
    if form == "triangle":
        ones = b.op("Expand", b.number(-3.0), b.op("Shape", scores))
        return b.op("Add", scores, b.op("Trilu", ones, b.scalar(1), upper=1))
    s_q, s_k = int(b.length), int(source)
    if form == "added":
        return b.op("Add", scores, b.weight(1, 1, s_q, s_k))
    if form == "where":
        mask = b.store(np.tril(np.ones((s_q, s_k), dtype=bool)), "mask")
        return b.op("Where", mask, scores, b.number(-1e9))
    table = b.weight(s_q + s_k - 1, s.heads)
    if s.kv > 1:
        b.free.append((table, 1))
    steps = (np.arange(s_q)[:, None] - np.arange(s_k)[None, :] + s_k - 1).astype(np.int64)
    if b.flip():
        picked = b.op("Gather", table, b.store(steps, "k"), axis=0)
    else:
        picked = b.op("Gather", table, b.store(steps.ravel(), "k"), axis=0)
        picked = b.op("Reshape", picked, b.ints(s_q, s_k, b.choice_of(-1, s.heads)))
    return b.op("Add", scores, b.op("Unsqueeze", b.op("Transpose", picked, perm=[2, 0, 1]), b.ints(0)))


def _merged(b: Net, mixed: str, s: Shape, x: str) -> str:
    """Heads back into one dimension, and out of it into ``hidden``."""
    if b.flip():
        weight = b.weight(s.heads, s.values, b.hidden)
        return b.op("Einsum", mixed, weight, equation="bhsd,hdc->bsc")
    whole = s.heads * s.values
    moved = b.op("Transpose", mixed, perm=[0, 2, 1, 3])
    merged = b.view(moved, (b.choice_of(-1, whole),), x, b.length)
    return b.linear(merged, whole, b.hidden, is_free=False)
