"""Masks of dimensions at concrete sizes: which elements of a dimension stay, run-time sizes filled in.

Written from the definition alone (an element of a product stays where every factor does). It shares no code with the
rewriter, which is checked against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, Mask, orders_of
from ..axes import Axis, Leaf, Product, leaves_of, resolve, size_of
from ..errors import VerificationError
from ..ir.core import Array
from ..ir.sizes import Size, product, total

Shapes = Mapping[str, tuple[int, ...]]
Probe = Callable[[list[str]], dict[str, Array]]


def loses(axis: Axis, kept: Mapping[int, Mask]) -> bool:
    """Whether anything of a dimension is removed."""
    return any(leaf.number in kept for leaf in leaves_of(axis))


def dimension_mask(axis: Axis, kept: Mapping[int, Mask], sizes: Mapping[str, int]) -> Mask:
    """True for the elements that stay. ``sizes`` gives run-time symbols; ``KeyError`` for one that it lacks."""
    axis = resolve(axis)
    if isinstance(axis, Leaf):
        mask = kept.get(axis.number)
        return np.ones(axis.size.evaluate(sizes), dtype=bool) if mask is None else mask
    if isinstance(axis, Product):
        return outer(dimension_mask(factor, kept, sizes) for factor in axis.factors)
    return end_to_end(dimension_mask(part, kept, sizes) for part in axis.parts)


def dimension_order(axis: Axis, kept: Mapping[int, Mask], sizes: Mapping[str, int]) -> NDArray[np.intp]:
    """The elements that stay, in the order in which the pruned model has them."""
    orders = orders_of(kept)
    if not any(leaf.number in orders for leaf in leaves_of(axis)):
        return np.flatnonzero(dimension_mask(axis, kept, sizes))
    axis = resolve(axis)
    if isinstance(axis, Leaf):
        return orders[axis.number]
    parts = axis.factors if isinstance(axis, Product) else axis.parts
    counts = [size_of(part).evaluate(sizes) for part in parts]
    found = [dimension_order(part, kept, sizes) for part in parts]
    if isinstance(axis, Product):
        return np.ravel_multi_index(np.meshgrid(*found, indexing="ij"), tuple(counts)).ravel()
    return np.concatenate([own + start for own, start in zip(found, np.cumsum([0, *counts]), strict=False)])


def size_left(axis: Axis, kept: Mapping[int, Mask]) -> Size:
    """The size of a dimension after the removal, with its run-time symbols. These never lose anything."""
    axis = resolve(axis)
    if isinstance(axis, Leaf):
        return Size(int(kept[axis.number].sum())) if axis.number in kept else axis.size
    if isinstance(axis, Product):
        return product(size_left(factor, kept) for factor in axis.factors)
    return total(size_left(part, kept) for part in axis.parts)


def outer(masks: Iterator[Mask]) -> Mask:
    """The mask of a row-major product."""
    return reduce(lambda left, right: (left[:, None] & right[None, :]).ravel(), masks, np.ones(1, dtype=bool))


def end_to_end(masks: Iterator[Mask]) -> Mask:
    """The mask of a concatenation."""
    return np.concatenate([*masks, np.ones(0, dtype=bool)])


def kept_part(
    array: Array, dims: tuple[Axis, ...] | None, kept: Mapping[int, Mask], sizes: Mapping[str, int], steps: int = 0
) -> Array:
    """The kept part of a tensor of the original, in the order of the pruned model.

    The first ``steps`` axes, which loops put in front of a value, are kept whole.
    Raises :class:`VerificationError` where its size at run time is not that of its axes.
    """
    for k, axis in enumerate(dims or (), start=steps):
        if loses(axis, kept):
            local = {**sizes, **solved(axis, array.shape[k], sizes)}
            _fitting_mask(axis, kept, local, array.shape, k)
            array = array.take(dimension_order(axis, kept, local), axis=k)
    return array


def _fitting_mask(
    axis: Axis, kept: Mapping[int, Mask], sizes: Mapping[str, int], shape: tuple[int, ...], position: int
) -> Mask:
    try:
        mask = dimension_mask(axis, kept, sizes)
    except KeyError as error:
        raise VerificationError(f"cannot tell the run-time size {error} of dimension {position} of {shape}") from error
    if mask.size != shape[position]:
        raise VerificationError(
            f"a value has shape {list(shape)} at run time, expected {mask.size} elements in dimension {position}"
        )
    return mask


# -- run-time sizes --------------------------------------------------------------------------------------------------


def symbols_of(axis: Axis) -> set[str]:
    return {symbol for leaf in leaves_of(axis) for symbol in leaf.size.symbols}


def solved(axis: Axis, actual: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """The one symbol of a dimension that is not known yet, given the size it really has; else nothing."""
    size = size_of(resolve(axis))
    unknown = [symbol for symbol in size.symbols if symbol not in sizes]
    if len(unknown) != 1:
        return {}
    rest = Size(size.coefficient, tuple(symbol for symbol in size.symbols if symbol in sizes)).evaluate(sizes)
    return {unknown[0]: actual // rest} if rest and actual % rest == 0 else {}


def input_sizes(analysis: Analysis, shapes: Shapes) -> dict[str, int]:
    """The values of the symbols of graph inputs, given the shapes of the inputs."""
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        for dim, actual in zip(analysis.graph.shape(name) or (), shape, strict=False):
            if isinstance(dim, str):
                _learn(Size.of(dim), actual, sizes)
        for axis, actual in zip(analysis.coupling.dims.get(name) or (), shape, strict=False):
            sizes.update(solved(axis, actual, sizes))
    return sizes


def _learn(size: Size, actual: int, sizes: dict[str, int]) -> None:
    if len(size.symbols) == 1 and size.coefficient and actual % size.coefficient == 0:
        sizes.setdefault(size.symbols[0], actual // size.coefficient)


def complete_sizes(analysis: Analysis, wanted: set[str], sizes: Mapping[str, int], probe: Probe) -> dict[str, int]:
    """``sizes`` with every wanted symbol; those that do not follow from the inputs are read from a run of the original.

    Raises :class:`VerificationError` for a size that no value of the graph reveals.
    """
    known = dict(sizes)
    open_symbols = wanted - known.keys()
    if not open_symbols:
        return known
    values = [
        (name, dims) for name, dims in analysis.coupling.dims.items() if name in analysis.graph.producers and dims
    ]
    telling = [name for name, dims in values if any(symbols_of(axis) & open_symbols for axis in dims)]
    shapes = {name: array.shape for name, array in probe(telling).items()}
    progress = True
    while progress and wanted - known.keys():
        progress = False
        for name in telling:
            for axis, actual in zip(analysis.coupling.dims[name] or (), shapes[name], strict=True):
                found = solved(axis, actual, known)
                progress |= bool(found)
                known.update(found)
    if wanted - known.keys():
        raise VerificationError(f"cannot tell the run-time sizes {', '.join(sorted(wanted - known.keys()))}")
    return known


def as_indices(mask: Mask) -> NDArray[np.int64]:
    return np.flatnonzero(mask).astype(np.int64)
