"""Several models that share axes, pruned as one: a decoder and its twin with past, an encoder and a decoder.

The models are merged into one, in which every name is prefixed by its model's name (``decoder:past_0``) and tied
inputs and outputs share axes. One plan is made and verified for the merged model, which is then split again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as oir

from .analysis import Analysis
from .api import OpenedModel, analyze_model, emitted, has_external_data, open_model
from .backends.onnx import save
from .errors import InputError, VerificationError
from .frontends.files import load
from .frontends.scopes import node_keys, sorted_nodes
from .identity import in_background
from .plans import ModelIdentity
from .request import Request, RequestOptions, lists_options
from .rewriting import Smaller, decide
from .verification.floors import NO_FLOORS, Floors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .ir import Graph
    from .plans import Plan
    from .verification import Report

SEPARATOR = ":"
"""Between the name of a model and a name in it."""


@dataclass(frozen=True)
class Together:
    """Models by their names, and the merged model, which is analyzed like a single one."""

    paths: Mapping[str, Path]
    parts: Mapping[str, oir.Model]
    source: OpenedModel

    @staticmethod
    def of(paths: Sequence[str | os.PathLike[str]]) -> Together:
        """Read files; the name of each model is its file name without folder and ending.

        Raises :class:`InputError` for fewer than two, for two of one name, and for opsets that differ.
        """
        names = [Path(path).stem for path in paths]
        if len(names) < 2:
            raise InputError(f"expected several models to prune together, got {len(names)}")
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two models are called '{name}': rename one, so that --tie can tell them apart")
        sources = [open_model(path) for path in paths]
        parts = {name: source.model for name, source in zip(names, sources, strict=True)}
        merged = merge(parts)

        def identify() -> ModelIdentity:
            """The identity of all files: the digest of their digests."""
            each = [source.identity for source in sources]
            digest = hashlib.sha256("".join(identity.sha256 for identity in each).encode()).hexdigest()
            data = {name: digest for identity in each for name, digest in identity.data.items()}
            return ModelIdentity(sha256=digest, bytes=size, opset=each[0].opset, data=data)

        size = sum(source.size for source in sources)
        files = {name: Path(path) for name, path in zip(names, paths, strict=True)}
        return Together(files, parts, OpenedModel(merged, merged, size, in_background(identify)))

    def write(self, analysis: Analysis, smaller: Smaller, folder: Path) -> dict[str, Path]:
        """Write the smaller models into a folder, each under the name of its file; external data stays external."""
        merged = emitted(self.source, analysis.graph, smaller.graph, smaller.plan)
        written: dict[str, Path] = {}
        for name, model in split(merged, self.parts).items():
            written[name] = folder / self.paths[name].name
            save(model, written[name], external=has_external_data(self.parts[name]))
        return written

    def examine(
        self,
        written: Mapping[str, Path],
        plan: Plan,
        *,
        graph: Graph | None = None,
        rtol: float | None = None,
        seed: int = 0,
        floors: Floors = NO_FLOORS,
    ) -> Report:
        """Verify written models, each and together: all of their outputs, and steps over tied states.

        ``graph`` is the imported merged graph, if it exists already.
        """
        from .verification.driver import verify_models

        with tempfile.TemporaryDirectory(prefix="irprune-") as scratch:
            before, after = Path(scratch) / "before.onnx", Path(scratch) / "after.onnx"
            external = any(map(has_external_data, self.parts.values()))
            save(self.source.model, before, external=external)
            save(merge({name: load(path) for name, path in written.items()}), after, external=external)
            return verify_models(before, after, plan, rtol=rtol, seed=seed, floors=floors, graph=graph)


@dataclass(frozen=True)
class Results:
    """The result for several models: their files by model name, their common plan, and the verification report.

    The plan is a record: ``apply`` and ``verify`` take plans of single models only. ``report`` is ``None`` where
    verification was turned off; ``bytes`` is the size of all files.
    """

    files: Mapping[str, Path]
    plan: Plan
    report: Report | None
    bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether the files were written."""
        return self.report is None or self.report.ok


@lists_options
def prune_together(
    models: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    verify: bool = True,
    rtol: float | None = None,
    floors: Floors = NO_FLOORS,
    **options: Unpack[RequestOptions],
) -> Results:
    """Prune models that share axes as one, and write them into the folder ``output`` under the names of their files.

    ``ties`` names the inputs and outputs that they share: ``first:present_*=second:past_*``. The options are those of
    :class:`irprune.Request`. Raises :class:`VerificationError`, and writes nothing, where a result is not equivalent.
    """
    wanted = Request.given(options).require_target()
    together = Together.of(models)
    analysis = analyze_model(together.source, wanted)
    smaller = decide(analysis, wanted).of(together.source.identity)
    found = carry_out(
        together, analysis, smaller, Path(output), verify=verify, rtol=rtol, seed=wanted.seed, floors=floors
    )
    if found.report is not None and not found.ok:
        raise VerificationError(found.report.refusal())
    return found


def carry_out(
    together: Together,
    analysis: Analysis,
    smaller: Smaller,
    output: Path,
    *,
    verify: bool = True,
    rtol: float | None = None,
    seed: int = 0,
    floors: Floors = NO_FLOORS,
    step: Callable[[str], AbstractContextManager[Any]] = nullcontext,
) -> Results:
    """Write smaller models, verify these very files, and put them into the folder ``output`` if they passed.

    Each part of the work runs in a ``step`` with its title.
    """
    plan, report = smaller.plan, None
    with _staged_folder(output, together.paths.values()) as stage:
        with step("writing the models"):
            written = together.write(analysis, smaller, stage.folder)
        size = sum(made.stat().st_size for made in stage.folder.iterdir())
        if verify:
            with step("verifying them"):
                report = together.examine(written, plan, graph=analysis.graph, rtol=rtol, seed=seed, floors=floors)
            plan = plan.with_verification(report.as_json())
        found = Results({name: output / path.name for name, path in written.items()}, plan, report, size)
        if found.ok:
            stage.commit()
    return found


@dataclass(frozen=True)
class _StagedFolder:
    """A folder beside ``output`` in which files are made."""

    output: Path
    folder: Path

    def commit(self) -> None:
        """Move the files to their place, models last."""
        try:
            self.output.mkdir(exist_ok=True)
            for path in sorted(self.folder.iterdir(), key=lambda path: path.suffix == ".onnx"):
                path.replace(self.output / path.name)
        except OSError as error:
            raise InputError(f"cannot write into {self.output}: {error.strerror}") from error


@contextmanager
def _staged_folder(output: Path, inputs: Iterable[Path]) -> Iterator[_StagedFolder]:
    """A stage for a folder; without a commit nothing is left of it.

    Raises :class:`InputError` for an output that is not a folder, or that holds the inputs.
    """
    for path in inputs:
        if path.resolve().parent == output.resolve():
            raise InputError(f"{output} holds {path.name}, which is an input; choose another folder for the output")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: expected a folder for several models, found a file")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as folder:
        yield _StagedFolder(output, Path(folder))


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
    """The models that were merged, each with its own names and metadata."""
    pieces = _Pieces.of(merged.clone().graph)
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
