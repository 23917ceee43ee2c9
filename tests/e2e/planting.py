"""Plants channels that make no difference in exported models: whoever produces them gives zeros, or one number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from irprune.analysis import Analysis
from irprune.api import analyze_model, open_model
from irprune.axes import leaves_of
from irprune.calibration.contractions import contractions

Planted = dict[str, tuple[int, ...]]
"""Positions by the names of groups."""


def plant(path: Path, out: Path, *, share: float = 0.3, value: float = 0.0, seed: int = 0) -> Planted:
    """Write a model in which a share of every group is ``value`` from its producers on.

    Rows of weights become zero; scales, shifts and biases become ``value``. Groups over which statistics are taken are
    left as they are, and so are recurrent ones (see :func:`plant_idle_units`).
    """
    analysis = analyze_model(open_model(path))
    rng = np.random.default_rng(seed)
    chosen = np.zeros(analysis.atoms.count + 1, dtype=bool)
    for group in analysis.groups:
        if not group.frozen and group.exact and group.kind != "recurrent":
            chosen[rng.choice(group.atoms, int(share * group.size), replace=False)] = True
    chosen[-1] = False  # frozen elements have the atom -1
    rows = _rows(analysis)
    proto = onnx.load(path)
    stored = _stored(proto)
    for parameter in analysis.parameters:
        if parameter.tensor not in stored:
            continue
        array = numpy_helper.to_array(stored[parameter.tensor]).copy()
        is_vector = sum(size > 1 for size in array.shape) == 1
        for k, axis in enumerate(parameter.dims):
            if is_vector or {leaf.number for leaf in leaves_of(axis)} & rows.get(parameter.tensor, set()):
                goes = np.logical_or.reduce([chosen[row] for row in analysis.atoms.along(axis)] or [np.zeros(1, bool)])
                array[(*(slice(None),) * k, goes)] = value if is_vector else 0
        stored[parameter.tensor].CopyFrom(numpy_helper.from_array(array, parameter.tensor))
    onnx.save(proto, out)
    picked = {group.name: np.flatnonzero(chosen[group.atoms]) for group in analysis.groups}
    return {name: tuple(found.tolist()) for name, found in picked.items() if len(found)}


def _rows(analysis: Analysis) -> dict[str, set[int]]:
    """The leaves along which a weight has an element of the result."""
    return {
        item.constant: {leaf.number for letter in (*item.groups, *item.rows) for leaf in leaves_of(letter.axis)}
        for item in contractions(analysis).values()
    }


def _stored(proto: onnx.ModelProto) -> Mapping[str, onnx.TensorProto]:
    found = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                found[node.output[0]] = attribute.t
    return found


def plant_idle_units(path: Path, out: Path, units: tuple[int, ...]) -> int:
    """Write a model whose recurrent cells have no candidate for some hidden units; the number of cells."""
    candidates = {"LSTM": 3, "GRU": 2}
    proto = onnx.load(path)
    stored = _stored(proto)
    cells = [node for node in proto.graph.node if node.op_type in candidates]
    for node in cells:
        size = next(a.i for a in node.attribute if a.name == "hidden_size")
        gates = {"LSTM": 4, "GRU": 3}[node.op_type]
        own = [candidates[node.op_type] * size + unit for unit in units]
        for name in node.input[1:4]:
            array = numpy_helper.to_array(stored[name]).copy()
            array[:, own] = 0
            if array.ndim == 2:
                array[:, [gates * size + row for row in own]] = 0
            stored[name].CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(proto, out)
    return len(cells)
