"""How many changed files verification lets through.

``python -m benchmarks.tampering`` exports models of the zoo at test size, prunes each by half, and changes the result
in one place a file: an operator, an attribute, the opset, the order or the source of operands, a weight, a constant, a
size that is spelled out, a node that is dropped or added, two tensors that are exchanged. Each file is verified as
``irprune verify`` does it, with one random input. The table has the files of each kind and those that pass, which are
listed; the exit code is 1 where there are any. The choice follows from ``--seed``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from onnx import numpy_helper

from irprune import api
from irprune.errors import IrpruneError
from irprune.frontends.scopes import proto_scopes
from irprune.plans import Plan

MODELS = (
    *("mlp_bn", "resnet20_option_a", "mobilenet_v2", "shufflenet_v2_x1_0", "densenet121", "attention_se"),
    *("convnext_tiny", "yolov8", "autoencoder_grouped", "conv1d", "siamese", "maxvit_tiny"),
)

_OTHERS = {
    **{"Relu": "Tanh", "Sigmoid": "HardSigmoid", "Tanh": "Sigmoid", "Softmax": "LogSoftmax", "Erf": "Tanh"},
    **{"Add": "Sub", "Sub": "Add", "Mul": "Add", "Div": "Mul", "MaxPool": "AveragePool", "Clip": "Max"},
    **{"GlobalAveragePool": "GlobalMaxPool", "ReduceMean": "ReduceMax", "ArgMax": "ArgMin", "HardSwish": "Relu"},
}

T = TypeVar("T")
Change = Callable[[onnx.ModelProto, np.random.Generator], str]


class NothingToChange(Exception):
    """The model has no place for a change of this kind."""


def _nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for _, graph in proto_scopes(model.graph) for node in graph.node]


def _one_of(items: list[T], random: np.random.Generator) -> T:
    if not items:
        raise NothingToChange
    return items[int(random.integers(len(items)))]


def operator(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """Another operator with the same operands."""
    node = _one_of([node for node in _nodes(model) if node.op_type in _OTHERS], random)
    before, node.op_type = node.op_type, _OTHERS[node.op_type]
    return f"{node.output[0]}: {before} -> {node.op_type}"


def attribute(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """Another number in an attribute."""
    kinds = onnx.AttributeProto
    places = [
        (node, found)
        for node in _nodes(model)
        for found in node.attribute
        if found.type in (kinds.INT, kinds.FLOAT) or (found.type == kinds.INTS and len(found.ints))
    ]
    node, found = _one_of(places, random)
    if found.type == kinds.INT:
        found.i += 1
    elif found.type == kinds.FLOAT:
        found.f = found.f * 1.5 + 0.1
    else:
        found.ints[int(random.integers(len(found.ints)))] += 1
    return f"{node.output[0]}: {found.name} of {node.op_type}"


def attribute_removed(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """An attribute with a default is left out."""
    node = _one_of([node for node in _nodes(model) if node.attribute and node.op_type != "Constant"], random)
    position = int(random.integers(len(node.attribute)))
    name = node.attribute[position].name
    del node.attribute[position]
    return f"{node.output[0]}: {name} of {node.op_type}"


def opset(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """Another version of the standard operators."""
    entry = next(entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    before = entry.version
    entry.version = int(random.choice([v for v in range(7, 26) if v != before]))
    return f"{before} -> {entry.version}"


def operands_swapped(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """The first two operands change places."""
    places = [n for n in _nodes(model) if len(n.input) > 1 and n.input[0] != n.input[1]]
    node = _one_of(places, random)
    node.input[0], node.input[1] = node.input[1], node.input[0]
    return f"{node.output[0]}: {node.op_type}"


def operand(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """A node reads another value of the graph."""
    made = [name for node in model.graph.node for name in node.output]
    node = _one_of([node for node in _nodes(model) if node.input], random)
    source = _one_of([name for name in made if name and name != node.input[0] and name not in node.output], random)
    node.input[0] = source
    return f"{node.output[0]}: reads {source}"


def _initializers(model: onnx.ModelProto, kinds: str) -> list[tuple[onnx.TensorProto, np.ndarray]]:
    tensors = [(tensor, numpy_helper.to_array(tensor)) for tensor in model.graph.initializer]
    tensors += [
        (found.t, numpy_helper.to_array(found.t))
        for node in _nodes(model)
        for found in node.attribute
        if node.op_type == "Constant" and found.name == "value"
    ]
    return [(tensor, array) for tensor, array in tensors if array.size and array.dtype.kind in kinds]


def _write(tensor: onnx.TensorProto, array: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def weight(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """One element of a float tensor by a thousandth."""
    tensor, array = _one_of(_initializers(model, "f"), random)
    changed = array.copy()
    changed.reshape(-1)[int(random.integers(array.size))] *= 1.001
    if np.array_equal(changed, array):
        raise NothingToChange
    _write(tensor, changed)
    return tensor.name


def integer(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """One entry of a shape, of bounds or of indices."""
    tensor, array = _one_of(_initializers(model, "iu"), random)
    changed = array.copy()
    changed.reshape(-1)[int(random.integers(array.size))] += 1
    _write(tensor, changed)
    return tensor.name


def exchanged(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """Two tensors of one shape have each other's values."""
    tensors = _initializers(model, "f")
    first, array = _one_of(tensors, random)
    others = [(t, a) for t, a in tensors if a.shape == array.shape and not np.array_equal(a, array)]
    second, other = _one_of(others, random)
    _write(first, other)
    _write(second, array)
    return f"{first.name} and {second.name}"


def dropped(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """A node is gone, and its readers read its operand."""
    outputs = {output.name for output in model.graph.output}
    nodes = [n for n in model.graph.node if n.input and n.input[0] and n.output[0] not in outputs]
    node = _one_of(nodes, random)
    for reader in model.graph.node:
        for position, name in enumerate(reader.input):
            if name == node.output[0]:
                reader.input[position] = node.input[0]
    model.graph.node.remove(node)
    return f"{node.output[0]}: {node.op_type}"


def added(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """A Relu between two nodes."""
    position = int(random.integers(len(model.graph.node)))
    node = model.graph.node[position]
    if not node.output[0] or node.op_type == "Constant":
        raise NothingToChange
    name, node.output[0] = node.output[0], f"{node.output[0]}_before"
    model.graph.node.insert(position + 1, onnx.helper.make_node("Relu", [node.output[0]], [name]))
    return name


CHANGES: tuple[Change, ...] = (
    *(operator, attribute, attribute_removed, opset, operands_swapped, operand),
    *(weight, integer, exchanged, dropped, added),
)


def _is_taken(original: onnx.ModelProto, changed: onnx.ModelProto, plan: Plan) -> bool:
    try:
        return api.verify(original, changed, plan, runs=1).ok
    except IrpruneError:
        return False


def _exported(name: str, folder: Path) -> onnx.ModelProto:
    from irprune.models.export import export, randomize
    from irprune.models.zoo import ZOO

    entry = ZOO[name]
    path = folder / f"{name}.onnx"
    module = entry.tiny()
    randomize(module, 0)
    export(module, entry.tiny_shape, path, exporter="torchscript", dynamic_batch=False, fold_bn=False)
    return onnx.load(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100, help="changed files per model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", nargs="*", default=MODELS, help="names of the zoo")
    options = parser.parse_args()
    tried, passed = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(options.models):
            random = np.random.default_rng([options.seed, number])
            original = _exported(name, Path(folder))
            result = api.prune(original, ratio=0.5, verify=False)
            if not _is_taken(original, result.model, result.plan):
                raise SystemExit(f"{name}: the file is refused as it was made")
            for k in range(options.files):
                change = CHANGES[k % len(CHANGES)]
                changed = onnx.ModelProto()
                changed.CopyFrom(result.model)
                try:
                    what = change(changed, random)
                except NothingToChange:
                    continue
                tried[change.__name__] += 1
                if _is_taken(original, changed, result.plan):
                    passed[change.__name__] += 1
                    print(f"passes: {name}: {change.__name__}: {what}", flush=True)
    for kind, count in tried.items():
        print(f"{kind:20} {count:6} files {passed[kind]:6} pass")
    print(f"{'all':20} {tried.total():6} files {passed.total():6} pass")
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main())
