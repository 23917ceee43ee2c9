"""Points at which a contraction is compared with the original: behind its bias, and behind a residual sum.

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
from ..signatures import traits_of
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
    bias, norm, target = _bias(graph, item)
    skip, target = _residual(graph, target)
    if bias is not None and len(graph.consumers[bias]) > 1:
        bias = None  # shared with other nodes
    readers = [traits_of(reader.qualified_op) for reader, _ in graph.consumers.get(target, ())]
    rectified = bool(readers) and target not in graph.outputs and all(traits.rectifies for traits in readers)
    return Point(item, bias, norm, target, skip, rectified)


def _bias(graph: Graph, item: Contraction) -> tuple[str | None, Node | None, str]:
    """The vector added to the product, the batch normalization it belongs to, and the value after both."""
    operands = item.node.inputs
    following = _only_reader(graph, item.output)
    if len(operands) > 2 and operands[2] in graph.constants:
        return operands[2], None, item.output
    if following is None or (len(operands) > 2 and operands[2]):
        return None, None, item.output
    reader, position = following
    if _sums(reader) and _is_vector(graph, reader.inputs[1 - position]):
        return reader.inputs[1 - position], None, reader.outputs[0]
    statistics = traits_of(reader.qualified_op).running_statistics
    if statistics and position == 0 and all(name in graph.constants for name in reader.inputs[1:]):
        return reader.inputs[statistics[0]], reader, reader.outputs[0]
    return None, None, item.output


def _residual(graph: Graph, target: str) -> tuple[str | None, str]:
    """If the value is an operand of a residual addition: the other operand and the sum."""
    following = _only_reader(graph, target)
    if following is None or not _sums(following[0]):
        return None, target
    reader, position = following
    other = reader.inputs[1 - position]
    if other in graph.constants or other == target or graph.shape(other) is None:
        return None, target
    return other, reader.outputs[0]


def _sums(node: Node) -> bool:
    return traits_of(node.qualified_op).sums


def _only_reader(graph: Graph, name: str) -> tuple[Node, int] | None:
    readers = graph.consumers.get(name, ())
    return readers[0] if len(readers) == 1 and name not in graph.outputs else None


def _is_vector(graph: Graph, name: str) -> bool:
    constant = graph.constants.get(name)
    return constant is not None and not constant.computed and sum(size > 1 for size in constant.shape) == 1


def affine(graph: Graph, point: Point) -> tuple[Floats, Floats]:
    """Scale and shift per channel of the batch normalization behind the contraction; 1 and 0 without one."""
    if point.norm is None:
        return np.ones(1), np.zeros(1)
    gamma, beta, _, variance = (graph.constants[name].numpy().astype(np.float64) for name in point.norm.inputs[1:5])
    epsilon = float(point.norm.attributes.get("epsilon", 1e-5))  # type: ignore[arg-type]
    return gamma / np.sqrt(variance + epsilon), beta
