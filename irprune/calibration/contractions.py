"""Weighted contractions as matrix products: ``y[p, g, o] = sum over c of u[p, g, c] W[g, o, c]``.

Every operator that sums an operand against a constant is one of these, whatever it is called. Its signature says
how: of the letters of the weight, those in operand and result are ``g``, those in the result alone ``o``, those in
the operand alone ``c``. Letters that stand in the weight alone are the window of a convolution; they are columns too.

============== ============================== ====== ====== ========
operator       signature                      g      o      c
============== ============================== ====== ====== ========
Conv           n (g i) *s, (g o) i *k         g      o      i *k
ConvTranspose  n (g i) *s, (g i) o *k         g      o      i *k
Gemm, MatMul   *b m k, k n                           n      k
Einsum         its own equation
============== ============================== ====== ====== ========
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis, MatchedNode
from ..axes import Axis, size_of
from ..ir import Constant, Graph, Node
from ..ir.core import Array
from ..ir.dtypes import bits
from ..signatures import Composite, Name, Star, Term, Unit, traits_of
from .weights import Weight, computed_weight

Rows: TypeAlias = NDArray[Any]
Positions: TypeAlias = NDArray[np.intp]
Dims: TypeAlias = "Sequence[Sequence[Letter]]"


@dataclass(frozen=True)
class Letter:
    """One axis of a tensor, factored as the signature writes it."""

    name: str
    size: int
    axis: Axis


@dataclass(frozen=True)
class Window:
    """How the window of a convolution moves along each spatial dimension."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    automatic: str
    transposed: bool

    def begins(self, size: Sequence[int]) -> tuple[int, ...]:
        """The padding in front of each dimension for an operand of this size (ONNX ``auto_pad``)."""
        if self.automatic not in ("SAME_UPPER", "SAME_LOWER"):
            return self.pads[: len(self.kernel)]
        found = []
        for k, length in enumerate(size):
            reach = (self.kernel[k] - 1) * self.dilations[k] + 1
            steps = -(-length // self.strides[k])
            total = max((steps - 1) * self.strides[k] + reach - length, 0)
            if self.transposed:
                total = max(reach - self.strides[k], 0)
            found.append(total // 2 if self.automatic == "SAME_UPPER" else total - total // 2)
        return tuple(found)


@dataclass(frozen=True)
class Code:
    """What integers stand for: ``(value - zero) * scale``."""

    scale: float
    zero: int

    def read(self, values: Array) -> Array:
        return np.asarray((values.astype(np.float32) - self.zero) * np.float32(self.scale))


@dataclass(frozen=True)
class Contraction:
    """A node that sums one operand against a constant weight.

    ``operand``, ``result`` and ``weight`` list the letters of each dimension of the three tensors, outermost first.
    """

    node: Node
    data: str
    constant: str
    output: str
    operand: tuple[tuple[Letter, ...], ...]
    result: tuple[tuple[Letter, ...], ...]
    weight: tuple[tuple[Letter, ...], ...]
    window: Window | None = None
    stored: Weight | None = None
    """The way from the weight to the tensors that hold its elements; ``None`` where it is one of them itself."""
    codes: tuple[Code | None, Code | None] = (None, None)
    """What integers of the operand and of the result stand for."""
    is_bare: bool = False
    """Whether the result is in units that other nodes know: only the product says how large it is."""

    # -- the weight --------------------------------------------------------------------------------------------------

    def read(self, constants: Mapping[str, Constant]) -> Array:
        """The weight as the node reads it, dequantized."""
        return constants[self.constant].numpy() if self.stored is None else self.stored.read(constants)

    def write(self, weight: Array, constants: Mapping[str, Constant]) -> dict[str, Array]:
        """The tensors that the model stores, for other values of the weight."""
        if self.stored is None:
            return {self.constant: weight}
        return self.stored.write(weight.astype(np.float64), constants)

    def is_alone(self, graph: Graph) -> bool:
        """Whether no other node reads the elements of the weight."""
        if self.stored is not None:
            return self.stored.is_alone(graph, self.node.name)
        return len(graph.consumers[self.constant]) == 1

    @property
    def is_integer(self) -> bool:
        """Whether the node itself multiplies integers."""
        return traits_of(self.node.qualified_op).integers is not None

    # -- letters -------------------------------------------------------------------------------------------------

    @cached_property
    def _flat(self) -> list[Letter]:
        return [letter for dim in self.weight for letter in dim]

    @cached_property
    def _order(self) -> tuple[list[int], list[int], list[int]]:
        """Positions among the letters of the weight: of groups, of rows, of columns (the window last)."""
        operand, result = _names(self.operand), _names(self.result)
        names = [letter.name for letter in self._flat]
        groups = [k for k, name in enumerate(names) if name in operand and name in result]
        summed = [k for k, name in enumerate(names) if name in operand and name not in result]
        rows = [k for k, name in enumerate(names) if name not in operand and name in result]
        window = [k for k, name in enumerate(names) if name not in operand and name not in result]
        return groups, rows, summed + window

    @property
    def groups(self) -> list[Letter]:
        return [self._flat[k] for k in self._order[0]]

    @property
    def rows(self) -> list[Letter]:
        return [self._flat[k] for k in self._order[1]]

    @property
    def columns(self) -> list[Letter]:
        return [self._flat[k] for k in self._order[2]]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """The sizes of g, o and c."""
        g, o, c = (math.prod(self._flat[k].size for k in part) for part in self._order)
        return g, o, c

    @property
    def summed(self) -> int:
        """How many columns are summed over at one place of the window."""
        operand = _names(self.operand)
        return math.prod(letter.size for letter in self.columns if letter.name in operand)

    @cached_property
    def _outer(self) -> set[str]:
        """The letters of a result that index groups and rows; the others index positions."""
        return {letter.name for letter in (*self.groups, *self.rows)}

    # -- weights -------------------------------------------------------------------------------------------------

    def matrix(self, weight: Array) -> NDArray[np.float64]:
        """``[g, o, c]`` of a weight tensor."""
        order = [k for part in self._order for k in part]
        split = np.asarray(weight, dtype=np.float64).reshape([letter.size for letter in self._flat])
        return np.ascontiguousarray(split.transpose(order).reshape(self.shape))

    def tensor(self, matrix: Array, like: Array) -> Array:
        """The weight tensor of a matrix ``[g, o, c]``, in the shape and type of ``like``."""
        order = [k for part in self._order for k in part]
        split = np.asarray(matrix).reshape([self._flat[k].size for k in order])
        return np.ascontiguousarray(split.transpose(np.argsort(order)).reshape(like.shape).astype(like.dtype))

    # -- values ------------------------------------------------------------------------------------------------

    def positions(self, result: Sequence[int]) -> int:
        """How many positions a result of this shape has."""
        return math.prod(size for _, size in self._places(result))

    def _places(self, result: Sequence[int]) -> list[tuple[str, int]]:
        """The position axes of a result of this shape: name and size."""
        return [
            (letters[0].name if letters else f"unit{k}", int(size))
            for k, (size, letters) in enumerate(zip(result, self.result, strict=True))
            if not any(letter.name in self._outer for letter in letters)
        ]

    def at(self, result: Array, chosen: Positions) -> Rows:
        """``[p, g, o]``: a tensor of the result's shape at the chosen positions (row-major numbers)."""
        split, names = _split(result, self.result)
        inner = [k for k, name in enumerate(names) if name not in self._outer]
        outer = [names.index(letter.name) for letter in (*self.groups, *self.rows)]
        spread = split.transpose([*inner, *outer])
        index = np.unravel_index(chosen, spread.shape[: len(inner)])
        g, o, _ = self.shape
        return spread[index].reshape(len(chosen), g, o)

    def summands(self, operand: Array, result: Sequence[int], chosen: Positions) -> Rows:
        """``[p, g, c]``: the summands at the chosen positions of a result of this shape."""
        if self.codes[0] is not None:
            operand = self.codes[0].read(operand)
        if self.window is not None:
            return self._windows(self.window, operand, result, chosen)
        split, names = _split(operand, self.operand)
        inside = [letter.name for letter in (*self.groups, *self.columns)]
        places = self._places(result)
        index = dict(zip((n for n, _ in places), np.unravel_index(chosen, [s for _, s in places]), strict=True))
        outer = [k for k, name in enumerate(names) if name not in inside]
        spread = split.transpose([*outer, *(names.index(name) for name in inside)])
        still = np.zeros(len(chosen), np.intp)
        picks = tuple(index.get(names[k], still) for k in outer)
        g, _, c = self.shape
        return spread[picks].reshape(len(chosen), g, c)

    def _windows(self, window: Window, operand: Array, result: Sequence[int], chosen: Positions) -> Rows:
        spatial = operand.shape[2:]
        begins = window.begins(spatial)
        batch, *places = np.unravel_index(chosen, [result[0], *result[2:]])
        index: list[NDArray[np.intp]] = []
        inside = np.ones((len(chosen), *(1,) * len(spatial)), dtype=bool)
        for k, place in enumerate(places):
            taps = np.arange(window.kernel[k]) * window.dilations[k]
            if window.transposed:
                reach = place[:, None] + begins[k] - taps
                at = reach // window.strides[k]
                valid = (reach % window.strides[k] == 0) & (at >= 0) & (at < spatial[k])
            else:
                at = place[:, None] * window.strides[k] - begins[k] + taps
                valid = (at >= 0) & (at < spatial[k])
            shape = [len(chosen), *(window.kernel[k] if j == k else 1 for j in range(len(spatial)))]
            index.append(np.clip(at, 0, spatial[k] - 1).reshape(shape))
            inside = inside & valid.reshape(shape)
        last = np.moveaxis(operand, 1, -1)
        picked = last[(batch.reshape(-1, *(1,) * len(spatial)), *index)]
        picked = np.where(inside[..., None], picked, 0)
        g, _, c = self.shape
        channels = operand.shape[1]
        split = np.moveaxis(picked, -1, 1).reshape(len(chosen), g, channels // g, -1)
        return split.reshape(len(chosen), g, c)


def _split(array: Array, dims: Sequence[Sequence[Letter]]) -> tuple[Array, list[str]]:
    """An array with one dimension per letter, and the names of its dimensions (``unit0`` for one without letters)."""
    shape: list[int] = []
    names: list[str] = []
    for k, (size, letters) in enumerate(zip(array.shape, dims, strict=True)):
        if not letters:
            shape.append(size)
            names.append(f"unit{k}")
        elif len(letters) == 1:
            shape.append(size)
            names.append(letters[0].name)
        else:
            shape += [letter.size for letter in letters]
            names += [letter.name for letter in letters]
    return array.reshape(shape), names


def contractions(analysis: Analysis) -> dict[str, Contraction]:
    """The weighted contractions of a graph by node name, in the order of the graph."""
    found = (_contraction(analysis, node) for node in analysis.graph.nodes)
    return {item.node.name: item for item in found if item is not None}


def _contraction(analysis: Analysis, node: Node) -> Contraction | None:
    matched = analysis.coupling.matched.get(node.name)
    if matched is None or not matched.signature.notation.macs or len(node.inputs) < 2 or _is_fused(node):
        return None
    weights = [k for k, name in enumerate(node.inputs[:2]) if name in analysis.coupling.weights]
    if len(weights) != 1 or not node.inputs[1 - weights[0]]:
        return None
    position = weights[0]
    stored = None
    if not _is_weight(analysis, node.inputs[position]):
        stored = computed_weight(analysis.graph, node.inputs[position])
        if stored is None:
            return None
    ends = [
        (matched.signature.notation.inputs[k], analysis.coupling.operand(node, k)) for k in (1 - position, position)
    ]
    ends.append((matched.signature.notation.outputs[0], analysis.coupling.dims.get(node.outputs[0])))
    if any(terms is None or dims is None for terms, dims in ends):
        return None
    operand, weight, result = (letters_of(matched, terms or (), dims or ()) for terms, dims in ends)
    names = [letter.name for dim in weight for letter in dim]
    constant = node.inputs[position]
    slides = bool(traits_of(node.qualified_op).window)
    window = window_of(node, [size_of(axis).coefficient for axis in (ends[1][1] or ())[2:]]) if slides else None
    if len(names) != len(set(names)):
        return None
    if not (has_channels_first(operand, names) if slides else is_product(operand, set(names), result)):
        return None
    return Contraction(
        node, node.inputs[1 - position], constant, node.outputs[0], operand, result, weight, window, stored
    )


def has_channels_first(operand: Dims, weight: Sequence[str]) -> bool:
    """Whether the channels of what a window slides over stand behind the batch."""
    return len(operand) > 1 and any(letter.name in weight for letter in operand[1])


def is_product(operand: Dims, weight: set[str], result: Dims) -> bool:
    """Whether the result is the product itself, not so for recurrent cells and windows that move with the data."""
    left, right = _names(operand), _names(result)
    return weight <= left | right and left <= weight | right


def _names(dims: Sequence[Sequence[Letter]]) -> set[str]:
    return {letter.name for dim in dims for letter in dim}


def _is_fused(node: Node) -> bool:
    """Whether the node also scales the product or applies an activation."""
    scaled = any(node.attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta"))
    return scaled or bool(node.str("activation"))


def _is_weight(analysis: Analysis, name: str) -> bool:
    constant = analysis.graph.constants.get(name)
    return constant is not None and not constant.computed and constant.dtype in ("float32", "float64", "float16")


def readable(analysis: Analysis, name: str) -> bool:
    """Whether a value is a float weight, stored or computed from stored tensors."""
    return _is_weight(analysis, name) or computed_weight(analysis.graph, name) is not None


def atoms_along(analysis: Analysis, letters: Sequence[Letter]) -> list[NDArray[np.intp]]:
    """One array per factor of rows or columns, with the atom of each of them (-1: no atom)."""
    sizes = [letter.size for letter in letters]
    found = []
    for k, letter in enumerate(letters):
        shape = [size if j == k else 1 for j, size in enumerate(sizes)]
        for atoms in analysis.atoms.along(letter.axis):
            found.append(np.broadcast_to(atoms.reshape(shape), sizes).ravel())
    return found


def has_quantized_weights(analysis: Analysis) -> bool:
    """Whether weights are quantized or dequantized by nodes of the graph, or summed over as integers."""
    return any(_reads_quantized_weight(analysis, node) for node in analysis.graph.nodes)


def _reads_quantized_weight(analysis: Analysis, node: Node) -> bool:
    constants = analysis.graph.constants
    matrices = [name for name in node.inputs if name in constants and len(constants[name].shape) > 1]
    if traits_of(node.qualified_op).quantization:
        return node.inputs[0] in matrices
    matched = analysis.coupling.matched.get(node.name)
    sums = matched is not None and bool(matched.signature.notation.macs)
    return sums and any(bits(constants[name].dtype) <= _MOST_BITS for name in matrices)


_MOST_BITS = 8
"""Of an element of a quantized weight."""


def window_of(node: Node, kernel: Sequence[int]) -> Window:
    rank = len(kernel)
    pads = node.ints("pads", (0,) * 2 * rank) or ()
    return Window(
        tuple(kernel),
        node.ints("strides", (1,) * rank) or (),
        node.ints("dilations", (1,) * rank) or (),
        tuple(pads) if len(pads) == 2 * rank else (0,) * 2 * rank,
        node.str("auto_pad", "NOTSET"),
        traits_of(node.qualified_op).window == "transposed",
    )


def letters_of(matched: MatchedNode, terms: Sequence[Term], dims: Sequence[Axis]) -> tuple[tuple[Letter, ...], ...]:
    run = len(dims) - sum(not isinstance(term, Star) for term in terms)
    found: list[tuple[Letter, ...]] = []
    for term in terms:
        if isinstance(term, Star):
            found += [
                (Letter(f"{term.name}{k}", _static(axis), axis),)
                for k, axis in enumerate(matched.axes[term.name][:run])
            ]
        else:
            found.append(tuple(_factors(matched, term)))
    return tuple(found)


def _factors(matched: MatchedNode, term: Term) -> Iterator[Letter]:
    if isinstance(term, Name):
        axis = matched.dim(term)
        yield Letter(term.name, _static(axis), axis)
    elif isinstance(term, Composite) and not term.is_sum:
        for inner in term.terms:
            yield from _factors(matched, inner)
    elif not isinstance(term, Unit):
        raise ValueError(f"the signature of {matched.node.op} has {term} in a contraction")


def _static(axis: Axis) -> int:
    size = size_of(axis)
    return size.coefficient if size.is_static else -1
