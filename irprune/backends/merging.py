"""Several models as one, and one as several: every name is prefixed by its model's name (``decoder:past_0``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as oir

from ..errors import InputError, IRError
from ..frontends.scopes import node_keys, sorted_nodes
from ..ir import Graph
from ..plans.digests import digest_of_values

SEPARATOR = ":"
"""Between the name of a model and a name in it."""


def merge(parts: Mapping[str, oir.Model]) -> oir.Model:
    """One model that computes the outputs of all; each name is prefixed by its model's name.

    Raises :class:`InputError` where models need different versions of one operator set.
    """
    opsets: dict[str, int] = {}
    for name, model in parts.items():
        for domain, version in model.graph.opset_imports.items():
            if opsets.setdefault(domain, version) != version:
                raise InputError(
                    f"'{name}' needs version {version} of operator set '{domain or 'ai.onnx'}', another model "
                    f"{opsets[domain]}: convert one with onnx.version_converter"
                )
    clones = {name: model.clone() for name, model in parts.items()}
    pieces = [_prefixed(model.graph, f"{name}{SEPARATOR}") for name, model in clones.items()]
    graph = oir.Graph(
        [value for piece in pieces for value in piece.inputs],
        [value for piece in pieces for value in piece.outputs],
        nodes=[node for piece in pieces for node in piece.nodes],
        initializers=[value for piece in pieces for value in piece.initializers],
        opset_imports=opsets,
        name="+".join(parts),
    )
    version = max(model.ir_version or 0 for model in parts.values())
    return oir.Model(graph, ir_version=version, producer_name="irprune")


@dataclass(frozen=True)
class _Pieces:
    """The parts of a graph."""

    inputs: list[oir.Value]
    outputs: list[oir.Value]
    nodes: list[oir.Node]
    initializers: list[oir.Value]

    @staticmethod
    def of(graph: oir.Graph) -> _Pieces:
        """Move all parts out of a graph, which is empty afterwards."""
        nodes = sorted_nodes(graph)
        pieces = _Pieces(list(graph.inputs), list(graph.outputs), nodes, list(graph.initializers.values()))
        graph.remove(nodes)
        graph.inputs.clear()
        graph.outputs.clear()
        graph.initializers.clear()
        return pieces

    @property
    def values(self) -> list[oir.Value]:
        """All values of the outermost scope, once each."""
        results = (value for node in self.nodes for value in node.outputs)
        every = [*self.inputs, *self.initializers, *self.outputs, *results]
        return list({id(value): value for value in every if value.name}.values())


def _prefixed(graph: oir.Graph, prefix: str) -> _Pieces:
    pieces = _Pieces.of(graph)
    for key, node in zip(node_keys(pieces.nodes), pieces.nodes, strict=True):
        node.name = prefix + key
    for value in pieces.values:
        value.name = f"{prefix}{value.name}"
    return pieces


def split(merged: oir.Model, parts: Mapping[str, oir.Model]) -> dict[str, oir.Model]:
    """The models that were merged, each with its own names and metadata.

    Raises :class:`IRError` for a node or a value that belongs to none of them.
    """
    pieces = _Pieces.of(merged.clone().graph)
    _require_owners(pieces, [f"{name}{SEPARATOR}" for name in parts])
    found: dict[str, oir.Model] = {}
    for name, original in parts.items():
        own = _own(pieces, f"{name}{SEPARATOR}")
        _restore_names(own, original, f"{name}{SEPARATOR}")
        graph = oir.Graph(
            own.inputs,
            own.outputs,
            nodes=own.nodes,
            initializers=own.initializers,
            opset_imports=original.graph.opset_imports,
            name=original.graph.name,
            doc_string=original.graph.doc_string,
        )
        graph.metadata_props.update(original.graph.metadata_props)
        found[name] = oir.Model(
            graph,
            ir_version=original.ir_version,
            producer_name=original.producer_name,
            producer_version=original.producer_version,
            domain=original.domain,
            model_version=original.model_version,
            doc_string=original.doc_string,
        )
        found[name].metadata_props.update({**original.metadata_props, **merged.metadata_props})
    return found


def _require_owners(pieces: _Pieces, prefixes: Sequence[str]) -> None:
    """Every piece has the name of a model in front: what nobody owns would be lost."""
    values = (*pieces.inputs, *pieces.outputs, *pieces.initializers)
    for name in (*(value.name or "" for value in values), *(node.name or "" for node in pieces.nodes)):
        if not name.startswith(tuple(prefixes)):
            raise IRError(f"'{name}' belongs to none of the models {', '.join(p[:-1] for p in prefixes)}")


def _own(pieces: _Pieces, prefix: str) -> _Pieces:
    """The pieces under names with a prefix."""

    def mine(values: list[oir.Value]) -> list[oir.Value]:
        return [value for value in values if (value.name or "").startswith(prefix)]

    nodes = [node for node in pieces.nodes if (node.name or "").startswith(prefix)]
    return _Pieces(mine(pieces.inputs), mine(pieces.outputs), nodes, mine(pieces.initializers))


def _restore_names(pieces: _Pieces, original: oir.Model, prefix: str) -> None:
    """Restore the names of the file: without the prefix, and empty for nodes that had no name."""
    old = sorted_nodes(original.graph)
    names = {prefix + key: node.name for key, node in zip(node_keys(old), old, strict=True)}
    for node in pieces.nodes:
        node.name = names.get(node.name or "", (node.name or "").removeprefix(prefix))
    for value in pieces.values:
        value.name = (value.name or "").removeprefix(prefix)


# -- equal weights -----------------------------------------------------------------------------------------------------


def twins(graph: Graph) -> tuple[tuple[str, str], ...]:
    """Pairs of matrices of different models that hold the same bytes: exporters store what models share once in each.

    Matrices of one name are paired, and so are those whose content occurs once in each of two models, since exporters
    number what they name themselves (``onnx::MatMul_123``). Elements that are all equal say nothing.
    """
    alike: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for name, constant in graph.constants.items():
        if len(constant.shape) > 1 and constant.size > 1 and not constant.computed and constant.read is not None:
            alike[constant.dtype, constant.shape].append(name)
    found: list[tuple[str, str]] = []
    for names in alike.values():
        if len({_model_of(name) for name in names}) > 1:
            found += _paired(graph, names)
    return tuple(sorted(found))


def _paired(graph: Graph, names: list[str]) -> Iterator[tuple[str, str]]:
    """Each matrix with the first one of equal content in another model."""
    by_content: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_content[digest_of_values(graph.constants[name].numpy())].append(name)
    for equal in by_content.values():
        models = [_model_of(name) for name in equal]
        if len(set(models)) == len(models):
            array = graph.constants[equal[0]].numpy()
            if len({_own_name(name) for name in equal}) == 1 or not (array == array.flat[0]).all():
                yield from ((equal[0], other) for other in equal[1:])
            continue
        first: dict[str, str] = {}
        for name in equal:
            if (leader := first.setdefault(_own_name(name), name)) != name:
                yield leader, name


def _model_of(name: str) -> str:
    return name.partition(SEPARATOR)[0]


def _own_name(name: str) -> str:
    return name.partition(SEPARATOR)[2]
