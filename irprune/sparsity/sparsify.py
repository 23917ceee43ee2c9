"""Make weights sparse: choose the zeros, and with data adjust the weights that stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..analysis import Analysis
from ..calibration.measured import Measured
from ..calibration.moments import Moments, damping, moments_of
from ..calibration.points import Point, affine
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
        return _result(analysis.graph, layers, skipped, _by_score(layers, analysis.graph, options, {}), {}, {})
    shares = {layer.tensor: options.ratio or 0.0 for layer in layers}
    if options.scope == "global":
        points = [layer.point for layer in layers if layer.point is not None]
        measured = _measured(analysis, points, Stepwise(proto, batches, [], memory), options.seed)
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


def _measured(analysis: Analysis, points: Sequence[Point], model: Stepwise, seed: int) -> dict[str, Measured]:
    """By tensor, what the data say of it; nothing of what no sample reaches."""
    rng = np.random.default_rng(seed)
    model.watch(name for point in points for name in (point.contraction.data, point.target))
    found = {}
    for k, point in enumerate(points):
        item = point.contraction
        if model.reached([item.data, point.target]):
            found[item.constant] = Measured(
                analysis, (point,), {item.node.name: moments_of(point, model, analysis.graph, rng)}
            )
        model.release({name for p in points[k + 1 :] for name in (p.contraction.data, p.target)})
    return found


def _by_score(
    layers: Sequence[Layer], graph: Graph, options: Sparsity, measured: Mapping[str, Measured]
) -> dict[str, Zeros]:
    """By tensor the zeros: of least magnitude, or of least part in what is computed (Wanda)."""
    pattern, share = options.shape, options.ratio or 0.0
    scores = [_scores(layer, graph, measured.get(layer.tensor)) for layer in layers]
    if options.scope == "global":
        return dict(
            zip((layer.tensor for layer in layers), _ranked(layers, scores, pattern, share, measured), strict=True)
        )
    return {layer.tensor: zeros(pattern, own, share) for layer, own in zip(layers, scores, strict=True)}


def _ranked(
    layers: Sequence[Layer],
    scores: Sequence[Matrix],
    pattern: Pattern,
    share: float,
    measured: Mapping[str, Measured],
) -> list[Zeros]:
    """All weights in one ranking; with data, those that it says nothing about among themselves."""
    found: dict[int, Zeros] = {}
    for known in (True, False):
        own = [k for k, layer in enumerate(layers) if (layer.tensor in measured) is known]
        if own:
            found |= zip(own, lowest(pattern, [scores[k] for k in own], share), strict=True)
    return [found[k] for k in range(len(layers))]


def _scores(layer: Layer, graph: Graph, measured: Measured | None) -> Matrix:
    """``W^2``, or ``W^2 E[u^2]`` as a share of the variance of the result (Wanda, Sun et al., ICLR 2024).

    Where a bias can make up for the mean, only the variance of u counts (as in FLAP, An et al., AAAI 2024).
    """
    if measured is None or layer.point is None:
        return layer.matrix(graph.constants) ** 2
    point, mean = layer.point, measured.moments[layer.node.name].mean
    power = np.einsum("gcc->gc", mean)[:, None, :-1]
    if point.bias is not None:
        power = np.maximum(power - mean[:, None, :-1, -1] ** 2, 0.0)
    found: Matrix = (measured.weight(point) ** 2 * power * measured.scale(point)).reshape(layer.shape)
    return found


def _shifted_bias(layer: Layer, graph: Graph, measured: Measured, gone: Zeros) -> dict[str, Array]:
    """The bias that keeps the mean of the result, if there is one."""
    point = layer.point
    if point is None or point.bias is None:
        return {}
    g, _, summed, window = layer.shape
    means = measured.moments[layer.node.name].mean[:, :-1, -1].reshape(g, 1, summed, window)
    lost = (layer.matrix(graph.constants) * gone * means).sum(axis=(2, 3))
    bias = point.read_bias(graph.constants)
    sign = -1.0 if point.norm is not None else 1.0
    moved = bias.astype(np.float64) + sign * lost.reshape(bias.shape)
    return point.write_bias(moved.astype(bias.dtype), graph.constants)


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
    points = [layer.point for layer in layers if layer.point is not None]
    adjusts = options.method == "sparsegpt"
    teacher.watch(name for point in points for name in (point.target, *(() if adjusts else (point.contraction.data,))))
    student.watch(point.contraction.data for point in points)
    chosen: dict[str, Zeros] = {}
    values: dict[str, Array] = {}
    methods: dict[str, str] = {}
    for k, layer in enumerate(layers):
        point, share = layer.point, shares[layer.tensor]
        if point is None or not student.reached([point.contraction.data, point.target]):
            chosen[layer.tensor] = zeros(options.shape, layer.matrix(graph.constants) ** 2, share)
            values |= _masked(layer, graph, chosen[layer.tensor])
            continue
        moments = moments_of(point, teacher, graph, rng, student=student if adjusts else None)
        if adjusts:
            new, gone = _adjusted(layer, point, graph, moments, options.shape, share)
        else:
            measured = Measured(analysis, (point,), {layer.node.name: moments})
            gone = zeros(options.shape, _scores(layer, graph, measured), share)
            new = {**_masked(layer, graph, gone), **_shifted_bias(layer, graph, measured, gone)}
        chosen[layer.tensor] = gone
        methods[layer.tensor] = str(options.method)
        values |= new
        for name, array in new.items():
            student.update(name, array)
        later = [other.point for other in layers[k + 1 :] if other.point is not None]
        teacher.release({name for p in later for name in (p.target, *(() if adjusts else (p.contraction.data,)))})
        student.release({p.contraction.data for p in later})
    return _result(graph, layers, skipped, chosen, values, methods)


def _adjusted(
    layer: Layer, point: Point, graph: Graph, moments: Moments, pattern: Pattern, share: float
) -> tuple[dict[str, Array], Zeros]:
    """New values of a weight and of the bias behind it, and the zeros."""
    g, o, summed, window = layer.shape
    weight = layer.matrix(graph.constants).reshape(g, o, summed * window)
    mean = moments.mean
    index = np.arange(mean.shape[1])
    mean[:, index, index] += damping(mean, DAMPING)
    sign = -1.0 if point.norm is not None else 1.0
    scale = np.broadcast_to(affine(graph, point)[0], g * o).reshape(g, o, 1)
    bias = None if point.bias is None else point.read_bias(graph.constants)
    if bias is None:
        found, gone = sparse_least_squares(weight, mean[:, :-1, :-1], pattern, share, summed, window, scale)
        return layer.tensors(found.reshape(layer.shape), graph.constants), gone.reshape(layer.shape)
    full = np.concatenate([weight, sign * bias.astype(np.float64).reshape(g, o, 1)], axis=2)
    found, gone = sparse_least_squares(full, mean, pattern, share, summed, window, scale)
    new = layer.tensors(found[:, :, :-1].reshape(layer.shape), graph.constants)
    moved = (sign * found[:, :, -1]).reshape(bias.shape).astype(bias.dtype)
    return {**new, **point.write_bias(moved, graph.constants)}, gone[:, :, :-1].reshape(layer.shape)


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
    weights = []
    for layer in layers:
        gone = chosen[layer.tensor]
        masked |= _masked(layer, graph, gone)
        weights.append(
            SparseWeight(
                layer.tensor,
                layer.node.name,
                gone.size,
                _count_zeros(layer, graph.with_values({**masked, **values})),
                _count_zeros(layer, graph),
                methods.get(layer.tensor, "magnitude"),
            )
        )
    return Sparse({**masked, **values}, masked, tuple(weights), tuple(skipped))


def _count_zeros(layer: Layer, graph: Graph) -> int:
    return int((layer.matrix(graph.constants) == 0).sum())
