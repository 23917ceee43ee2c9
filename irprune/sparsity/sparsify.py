"""Make weights sparse: choose the zeros, and with data adjust the weights that stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..analysis import Analysis
from ..calibration.measured import Measured
from ..calibration.moments import Moments, collect, damping, moments_of, values_of
from ..calibration.points import Point
from ..calibration.stepwise import MEMORY, Stepwise
from ..errors import TargetError
from ..ir import Graph
from ..ir.core import Array
from ..runtime.feeds import Feeds
from ..zeros import Pattern, Sparsity
from .layers import Layer, Matrix, Skipped, find_layers
from .patterns import Zeros, lowest, zeros
from .surgeon import sparse_least_squares

if TYPE_CHECKING:
    import onnx


DAMPING = 1e-2
"""Share of the mean diagonal that is added to the diagonal, as in SparseGPT."""


@dataclass(frozen=True)
class SparseWeight:
    """One weight that was made sparse: its elements, how many of them are zero now, and how many were before."""

    tensor: str
    node: str
    size: int
    zeros: int
    zeros_before: int
    method: str


@dataclass(frozen=True)
class Sparse:
    """New values by tensor, and for comparison the old values with the same zeros."""

    values: Mapping[str, Array]
    masked: Mapping[str, Array]
    weights: tuple[SparseWeight, ...]
    skipped: tuple[Skipped, ...]

    @property
    def share(self) -> float:
        """The share of zeros in the weights that may be sparse."""
        return sum(weight.zeros for weight in self.weights) / sum(weight.size for weight in self.weights)


def sparsify_weights(
    analysis: Analysis,
    options: Sparsity,
    proto: onnx.ModelProto | None = None,
    batches: Sequence[Feeds] = (),
    *,
    memory: int = MEMORY,
) -> Sparse:
    """Choose the zeros of every weight.

    ``proto`` and ``batches`` are the model and data for the methods that need them. Raises :class:`TargetError` where
    no weight has room for the pattern.
    """
    layers, skipped = chosen_layers(analysis, options)
    if proto is None or options.method == "magnitude":
        return _result(analysis.graph, layers, skipped, _by_score(layers, analysis.graph, options), {}, {})
    shares = {layer.tensor: options.ratio or 0.0 for layer in layers}
    if options.scope == "global":
        measured = _measured(analysis, layers, Stepwise(proto, batches, [], memory), options.seed)
        ranked = _by_score(layers, analysis.graph, options, measured)
        shares = {name: float(gone.mean()) for name, gone in ranked.items()}
    models = (Stepwise(proto, batches, [], memory // 2), Stepwise(proto, batches, [], memory // 2))
    return _in_order(analysis, layers, skipped, options, shares, *models)


def chosen_layers(analysis: Analysis, options: Sparsity) -> tuple[list[Layer], list[Skipped]]:
    """The weights that the options name and the pattern fits, and those that stay.

    Raises :class:`TargetError` where there are none of the former.
    """
    layers, skipped = find_layers(analysis)
    found: list[Layer] = []
    for layer in layers:
        if layer.matches(options.keep) or (options.only and not layer.matches(options.only)):
            continue
        misfit = options.shape.misfit(layer.shape)
        if misfit is None:
            found.append(layer)
        else:
            skipped.append(Skipped(layer.tensor, misfit))
    if not found:
        why = "; ".join(f"'{item.tensor}': {item.why}" for item in skipped[:3])
        what = f"pattern {options.pattern}" if options.pattern else "sparsity"
        raise TargetError(f"no weight has room for {what}: {why or 'no weight of a contraction or a cell is left'}")
    return found, skipped


# -- choosing ------------------------------------------------------------------------------------------------------


def _measured(analysis: Analysis, layers: Sequence[Layer], model: Stepwise, seed: int) -> Measured:
    """What the data say of the weights; nothing of what no sample reaches."""
    points = [layer.point for layer in layers if layer.point is not None and model.reached(values_of(layer.point))]
    model.watch(name for point in points for name in values_of(point))
    return Measured(analysis, tuple(points), collect(points, model, analysis.graph, seed))


def _by_score(
    layers: Sequence[Layer], graph: Graph, options: Sparsity, measured: Measured | None = None
) -> dict[str, Zeros]:
    """By tensor the zeros: of least magnitude, or of least part in what is computed (Wanda).

    In one ranking of all weights, those that the data say nothing about are ranked among themselves.
    """
    pattern, share = options.shape, options.ratio or 0.0
    scores = {layer.tensor: _scores(layer, graph, measured) for layer in layers}
    if options.scope == "local":
        return {name: zeros(pattern, own, share) for name, own in scores.items()}
    found: dict[str, Zeros] = {}
    for known in (True, False):
        names = [layer.tensor for layer in layers if _is_known(layer, measured) is known]
        if names:
            found |= zip(names, lowest(pattern, [scores[name] for name in names], share), strict=True)
    return found


def _is_known(layer: Layer, measured: Measured | None) -> bool:
    return measured is not None and layer.point is not None and layer.point.name in measured.moments


def _scores(layer: Layer, graph: Graph, measured: Measured | None) -> Matrix:
    """``W^2``, or ``W^2 E[u^2]`` as a share of the variance of the result (Wanda, Sun et al., ICLR 2024).

    Where a bias can make up for the mean, only the variance of u counts (as in FLAP, An et al., AAAI 2024).
    """
    if measured is None or layer.point is None or not _is_known(layer, measured):
        return layer.matrix(graph.constants) ** 2
    point, mean = layer.point, measured.moments[layer.point.name].mean
    power = np.einsum("gcc->gc", mean)[:, None, :-1]
    if point.bias is not None:
        power = np.maximum(power - mean[:, None, :-1, -1] ** 2, 0.0)
    found: Matrix = (measured.weight(point) ** 2 * power * measured.scale(point)).reshape(layer.shape)
    return found


def _without(layer: Layer, point: Point, graph: Graph, moments: Moments, gone: Zeros) -> dict[str, Array]:
    """The weight with zeros, and the bias, if there is one, that keeps the mean of the result."""
    g, o, c = point.shape
    weight, lost = point.matrix(graph), gone.reshape(g, o, c)
    bias = point.bias_rows(graph)
    if bias is not None:
        bias = bias + (weight * lost * moments.mean[:, None, :-1, -1]).sum(axis=2)
    return point.write(np.where(lost, 0.0, weight), bias, graph)


# -- adjusting ------------------------------------------------------------------------------------------------------


def _in_order(
    analysis: Analysis,
    layers: Sequence[Layer],
    skipped: Sequence[Skipped],
    options: Sparsity,
    shares: Mapping[str, float],
    teacher: Stepwise,
    student: Stepwise,
) -> Sparse:
    """Zeros in the order of the graph.

    SparseGPT sees what the sparse model computes in front of each weight, and corrects it; Wanda has nothing to correct
    it with, and keeps more if it sees what the original computes.
    """
    graph = analysis.graph
    rng = np.random.default_rng(options.seed)
    adjusts = options.method == "sparsegpt"
    watched = [_watched(layer.point, adjusts) for layer in layers if layer.point is not None]
    teacher.watch(name for names, _ in watched for name in names)
    student.watch(name for _, names in watched for name in names)
    chosen: dict[str, Zeros] = {}
    values: dict[str, Array] = {}
    methods: dict[str, str] = {}
    for k, layer in enumerate(layers):
        point, share = layer.point, shares[layer.tensor]
        if point is None or not student.reached(values_of(point)):
            gone = zeros(options.shape, layer.matrix(graph.constants) ** 2, share)
            new = _masked(layer, graph, gone)
        else:
            moments = moments_of(point, teacher, graph, rng, student=student if adjusts else None)
            if adjusts:
                new, gone = _adjusted(layer, point, graph, moments, options.shape, share)
            else:
                measured = Measured(analysis, (point,), {point.name: moments})
                gone = zeros(options.shape, _scores(layer, graph, measured), share)
                new = _without(layer, point, graph, moments, gone)
            methods[layer.tensor] = str(options.method)
        chosen[layer.tensor] = gone
        values |= new
        for name, array in new.items():
            student.update(name, array)
        later = [_watched(other.point, adjusts) for other in layers[k + 1 :] if other.point is not None]
        teacher.release({name for names, _ in later for name in names})
        student.release({name for _, names in later for name in names})
    return _result(graph, layers, skipped, chosen, values, methods)


def _watched(point: Point, adjusts: bool) -> tuple[Sequence[str], Sequence[str]]:
    """The values of the original, and of the sparse model, that the moments of a point rest on."""
    return (point.targets, point.operands) if adjusts else (values_of(point), point.operands)


def _adjusted(
    layer: Layer, point: Point, graph: Graph, moments: Moments, pattern: Pattern, share: float
) -> tuple[dict[str, Array], Zeros]:
    """New values of a weight and of the bias behind it, and the zeros."""
    g, o, c = point.shape
    _, _, summed, window = layer.shape
    mean = moments.mean
    index = np.arange(mean.shape[1])
    mean[:, index, index] += damping(mean, DAMPING)
    scale = np.broadcast_to(point.affine(graph)[0], g * o).reshape(g, o, 1)
    bias = point.bias_rows(graph)
    if bias is None:
        mean, columns = mean[:, :-1, :-1], point.matrix(graph)
    else:
        columns = np.concatenate([point.matrix(graph), bias[:, :, None]], axis=2)
    found, gone = sparse_least_squares(columns, mean, pattern, share, summed, window, scale)
    moved = None if bias is None else found[:, :, c]
    return point.write(found[:, :, :c], moved, graph), gone[:, :, :c].reshape(layer.shape)


# -- results --------------------------------------------------------------------------------------------------------


def _masked(layer: Layer, graph: Graph, gone: Zeros) -> dict[str, Array]:
    return layer.tensors(np.where(gone, 0.0, layer.matrix(graph.constants)), graph.constants)


def _result(
    graph: Graph,
    layers: Sequence[Layer],
    skipped: Sequence[Skipped],
    chosen: Mapping[str, Zeros],
    values: Mapping[str, Array],
    methods: Mapping[str, str],
) -> Sparse:
    masked: dict[str, Array] = {}
    for layer in layers:
        masked |= _masked(layer, graph, chosen[layer.tensor])
    made = {**masked, **values}
    sparse = graph.with_values(made)
    weights = tuple(
        SparseWeight(
            layer.tensor,
            layer.node.name,
            chosen[layer.tensor].size,
            _count_zeros(layer, sparse),
            _count_zeros(layer, graph),
            methods.get(layer.tensor, "magnitude"),
        )
        for layer in layers
    )
    return Sparse(made, masked, weights, tuple(skipped))


def _count_zeros(layer: Layer, graph: Graph) -> int:
    return int((layer.matrix(graph.constants) == 0).sum())
