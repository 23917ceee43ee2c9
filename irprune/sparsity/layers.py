"""The weights that may be sparse, as matrices: those of contractions and of recurrent cells, never biases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis
from ..calibration.points import Point, find_points
from ..ir import Constant, Node
from ..ir.core import Array
from ..ir.dtypes import is_native_float
from ..signatures import traits_of

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """One weight: ``[g, o, i, w]`` of a contraction (see :mod:`irprune.calibration.contractions`), or of a cell.

    ``point`` is ``None`` for the weights of a recurrent cell, whose last dimension is summed over.
    """

    node: Node
    tensor: str
    shape: tuple[int, int, int, int]
    point: Point | None = None

    def matrix(self, constants: Mapping[str, Constant]) -> Matrix:
        """The weight as it is multiplied, dequantized."""
        if self.point is None:
            return constants[self.tensor].numpy().astype(np.float64).reshape(self.shape)
        item = self.point.contraction
        return item.matrix(item.read(constants)).reshape(self.shape)

    def tensors(self, matrix: Matrix, constants: Mapping[str, Constant]) -> dict[str, Array]:
        """The tensors that the model stores, for other values."""
        if self.point is None:
            old = constants[self.tensor].numpy()
            return {self.tensor: matrix.reshape(old.shape).astype(old.dtype)}
        item = self.point.contraction
        old = item.read(constants)
        return item.write(item.tensor(matrix.reshape(item.shape), old), constants)

    @property
    def stored(self) -> frozenset[str]:
        """The tensors that hold the elements."""
        weight = None if self.point is None else self.point.contraction.stored
        return frozenset((self.tensor,) if weight is None else weight.tensors)

    def matches(self, patterns: Sequence[str]) -> bool:
        """Whether the name of the node or of the weight matches one of these."""
        return any(fnmatchcase(name, pattern) for pattern in patterns for name in (self.node.name, self.tensor))


@dataclass(frozen=True)
class Skipped:
    """A weight that stays as it is, and why."""

    tensor: str
    why: str


def find_layers(analysis: Analysis) -> tuple[list[Layer], list[Skipped]]:
    """The weights of a graph in its order, and those that several nodes read: these stay as they are."""
    found: list[Layer] = []
    skipped: dict[str, Skipped] = {}
    for layer in (*_contracted(analysis), *_recurrent(analysis)):
        if _is_alone(analysis, layer):
            found.append(layer)
        else:
            skipped[layer.tensor] = Skipped(layer.tensor, "several nodes read it")
    place = {node.name: k for k, node in enumerate(analysis.graph.nodes)}
    return sorted(found, key=lambda layer: (place[layer.node.name], layer.tensor)), list(skipped.values())


def _is_alone(analysis: Analysis, layer: Layer) -> bool:
    graph = analysis.graph
    if layer.point is not None:
        return layer.point.contraction.is_alone(graph)
    return len(graph.consumers[layer.tensor]) == 1


def _contracted(analysis: Analysis) -> Iterator[Layer]:
    for point in find_points(analysis):
        if not isinstance(point, Point):  # a cell has several weights; they are layers of their own
            continue
        item = point.contraction
        g, o, c = item.shape
        if c > 1 and not item.is_integer:
            yield Layer(item.node, item.constant, (g, o, item.summed, c // item.summed), point)


def _recurrent(analysis: Analysis) -> Iterator[Layer]:
    constants = analysis.graph.constants
    for node in analysis.graph.nodes:
        traits = traits_of(node.qualified_op)
        if not traits.cell:
            continue
        for position in traits.weights:
            constant = constants.get(node.inputs[position]) if position < len(node.inputs) else None
            if constant is None or constant.computed or not is_native_float(constant.dtype):
                continue
            *rows, columns = constant.shape
            if len(rows) > 1 and columns > 1:  # a bias has no dimension that is summed over
                yield Layer(node, node.inputs[position], (1, math.prod(rows), columns, 1))
