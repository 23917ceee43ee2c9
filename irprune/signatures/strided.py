"""A lookup whose run-time indices are a sum of ranges is a strided view of a row-major product."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir import Ramp, Size
from ..ir.ramps import ZERO
from ..ir.sizes import ONE
from .causes import LOOKED_UP
from .grammar import Composite, Restride, Signature, signature, term


def strided_gather(outer: list[str], inner: list[str], total: Size, ramp: Ramp) -> Signature | None:
    """``outer (n (before + c + after)) inner, _ -> outer n c inner`` for indices ``size(c) * n + c + before``.

    ``None`` where the ranges overlap, leave the dimension, or repeat elements. Whatever stands outside a dimension of
    run-time size is opaque: its stride is known only at run time.
    """
    reading = _Reading(total, ramp)
    if not reading.read():
        return None
    operand = f"({' '.join(reading.operand)})" if len(reading.operand) > 1 else "".join(reading.operand) or "1"
    text = f"{' '.join([*outer, operand, *inner])}, _ -> {' '.join([*outer, *reading.result, *inner])}"
    opaque, rest = reading.outside()
    follow = Restride(Composite(tuple(map(term, rest))), tuple(map(term, reading.result)))
    return signature(
        text,
        opaque=opaque,
        sizes=reading.sizes,
        operands={1: follow},
        reason=LOOKED_UP,
    )


@dataclass
class _Reading:
    """Factors a dimension of ``total`` elements, from the largest stride to the smallest."""

    total: Size
    ramp: Ramp
    operand: list[str] = field(default_factory=list)
    widths: list[Size] = field(default_factory=list)
    sizes: dict[str, Size] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.result = ["1" for _ in self.ramp.sizes]
        self.offset = self.ramp.offset

    def read(self) -> bool:
        """Whether the indices are a strided view; if so, ``operand`` and ``result`` spell it out."""
        left = {k for k, size in enumerate(self.ramp.sizes) if size != ONE}
        rest = self.total
        while left:
            k = next((k for k in sorted(left) if self._is_outermost(k, left)), None)
            stride = None if k is None else self.ramp.strides[k]
            extent = None if stride is None else rest.divided_by(stride)
            if k is None or stride is None or extent is None or not self._factor(k, extent, stride):
                return False
            rest = stride
            left.remove(k)
        return (rest == ONE and self.offset == ZERO) or self._factor(None, rest, ONE)

    def _is_outermost(self, k: int, left: set[int]) -> bool:
        strides = self.ramp.strides
        if strides[k].coefficient <= 0:
            return False
        # two ranges with the same stride run over one factor together, and would leave it
        return all(strides[other].coefficient > 0 and strides[k].divided_by(strides[other]) for other in left)

    def _factor(self, k: int | None, extent: Size, stride: Size) -> bool:
        """One factor of the dimension, all of it or a run of its elements; index axis ``k`` runs over it."""
        size = ONE if k is None else self.ramp.sizes[k]
        name = "rest" if k is None else f"i{k}"
        start = self._digit(stride)
        if start is None:
            return False
        word = "1" if size == ONE else name
        if k is not None:
            self.result[k] = word
        self.widths.append(extent)
        self.sizes[name] = size
        if size == extent and start == 0:
            self.operand.append(word)
            return True
        if not (extent.is_static and size.is_static) or start + size.coefficient > extent.coefficient:
            return False
        after = extent.coefficient - start - size.coefficient
        spans = ((f"{name}_before", start), (word, size.coefficient), (f"{name}_after", after))
        self.sizes.update((span, Size(width)) for span, width in spans if span != "1")
        words = ["1" if width == 1 else span for span, width in spans if width]
        self.operand.append(f"({' + '.join(words)})")
        return True

    def _digit(self, stride: Size) -> int | None:
        """The coordinate that the offset fixes; the rest of the offset belongs to inner factors."""
        if self.offset == ZERO:
            return 0
        if not (self.offset.is_static and stride.is_static) or self.offset.coefficient < 0:
            return None
        digit, rest = divmod(self.offset.coefficient, stride.coefficient)
        self.offset = Size(rest)
        return digit

    def outside(self) -> tuple[list[str], list[str]]:
        """Axes whose stride depends on a run-time size, and the factors further in."""
        symbolic = [k for k, width in enumerate(self.widths) if not width.is_static]
        first = symbolic[-1] + 1 if symbolic else 0
        words = "".join(c if c not in "(+)" else " " for c in " ".join(self.operand[:first])).split()
        return [word for word in words if word in self.sizes and self.sizes[word].is_static], self.operand[first:]
