"""Where the result of a contraction can be compared with the original's: behind its bias, and behind a residual sum.

    t = scale * (W u + b) + shift + skip        then perhaps a ReLU

``b`` is an operand of the node, a vector that is added to its result, or the mean of a batch normalization behind it
(``b = -mean``, ``scale = gamma / deviation``, ``shift = beta``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..analysis import Analysis
from ..ir import Graph, Node
from .contractions import Contraction, contractions

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """A contraction and what follows it.

    ``bias`` names the vector that is added (``negated``: subtracted), ``norm`` the batch normalization, ``target`` the
    value that is compared, ``skip`` the other summand of a residual addition, ``rectified`` whether a ReLU follows.
    """

    contraction: Contraction
    bias: str | None
    norm: Node | None
    target: str
    skip: str | None
    rectified: bool

    @property
    def reads(self) -> tuple[str, ...]:
        """The values of the smaller model that a refit needs."""
        return (self.contraction.data, *((self.skip,) if self.skip else ()))


def find_points(analysis: Analysis) -> tuple[Point, ...]:
    """The points of a graph, in its order."""
    return tuple(_point(analysis.graph, item) for item in contractions(analysis).values())


def _point(graph: Graph, item: Contraction) -> Point:
    node = item.node
    bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] in graph.constants else None
    target, norm, skip = item.output, None, None
    following = _only_reader(graph, target)
    if bias is None and following is not None:
        reader, position = following
        if reader.op == "Add" and _is_vector(graph, reader.inputs[1 - position]):
            bias, target = reader.inputs[1 - position], reader.outputs[0]
        elif (
            reader.op == "BatchNormalization" and position == 0 and all(n in graph.constants for n in reader.inputs[1:])
        ):
            bias, norm, target = reader.inputs[3], reader, reader.outputs[0]
        following = _only_reader(graph, target)
    if following is not None and following[0].op == "Add":
        reader, position = following
        other = reader.inputs[1 - position]
        if other not in graph.constants and graph.shape(other) is not None and other != target:
            skip, target = other, reader.outputs[0]
            following = _only_reader(graph, target)
    if bias is not None and len(graph.consumers[bias]) > 1:
        bias = None  # shared with other nodes
    readers = [reader for reader, _ in graph.consumers.get(target, ())]
    rectified = bool(readers) and target not in graph.outputs and all(reader.op == "Relu" for reader in readers)
    return Point(item, bias, norm, target, skip, rectified)


def _only_reader(graph: Graph, name: str) -> tuple[Node, int] | None:
    readers = graph.consumers.get(name, ())
    return readers[0] if len(readers) == 1 and name not in graph.outputs else None


def _is_vector(graph: Graph, name: str) -> bool:
    constant = graph.constants.get(name)
    return constant is not None and not constant.computed and sum(size > 1 for size in constant.shape) == 1


def affine(graph: Graph, point: Point) -> tuple[Floats, Floats]:
    """Scale and shift of a batch normalization behind the contraction, one a channel; 1 and 0 without one."""
    if point.norm is None:
        return np.ones(1), np.zeros(1)
    gamma, beta, _, variance = (graph.constants[name].numpy().astype(np.float64) for name in point.norm.inputs[1:5])
    epsilon = float(point.norm.attributes.get("epsilon", 1e-5))  # type: ignore[arg-type]
    return gamma / np.sqrt(variance + epsilon), beta
