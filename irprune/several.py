"""Several models that share axes, pruned as one: a decoder and its twin with past, an encoder and a decoder.

The models are merged into one, in which every name is prefixed by its model's name (``decoder:past_0``). Tied inputs
and outputs share axes, and so do matrices that several files hold alike. One plan is made and verified for the merged
model, which is then split again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import onnx_ir as oir

from .analysis import Analysis
from .api import OpenedModel, decided_by, emitted, graph_of, has_external_data, open_model, sized
from .backends.merging import SEPARATOR, merge, split, twins
from .backends.onnx import save
from .backends.staging import staged_folder
from .errors import InputError, VerificationError
from .frontends.files import load
from .identity import external_files, in_background, require_same
from .ir import Graph
from .plans import ModelIdentity, Plan
from .plans.cautions import cautions
from .request import Request, RequestOptions, lists_options
from .rewriting import Smaller, analyzed, replay
from .runtime.data import merged_source, open_source
from .runtime.feeds import AnyData, DataSource
from .verification.floors import NO_FLOORS, Floors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .calibration.calibrate import Samples
    from .repair.recover import Recovery
    from .verification import Report

Paths: TypeAlias = Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class Together:
    """Models by their names, and the merged model, which is analyzed like a single one."""

    paths: Mapping[str, Path]
    parts: Mapping[str, oir.Model]
    opened: OpenedModel

    @staticmethod
    def of(paths: Paths) -> Together:
        """Read files; the name of each model is its file name without folder and ending.

        The order of the files does not matter. Raises :class:`InputError` for fewer than two, for two of one name, and
        for opsets that differ.
        """
        files = _by_name(paths)
        sources = {name: open_model(path) for name, path in files.items()}
        parts = {name: opened.model for name, opened in sources.items()}
        merged = merge(parts)
        size = sum(opened.size for opened in sources.values())

        def identify() -> ModelIdentity:
            """The identity of all files: the digest of their names and digests."""
            each = {name: opened.identity for name, opened in sources.items()}
            models = {name: identity.sha256 for name, identity in each.items()}
            listed = "".join(f"{digest}  {name}\n" for name, digest in models.items())
            return ModelIdentity(
                sha256=hashlib.sha256(listed.encode()).hexdigest(),
                bytes=size,
                opset=next(iter(each.values())).opset,
                models=models,
                data={
                    f"{name}{SEPARATOR}{file}": digest
                    for name, identity in each.items()
                    for file, digest in identity.data.items()
                },
            )

        return Together(files, parts, OpenedModel(merged, merged, size, in_background(identify)))

    @cached_property
    def graph(self) -> Graph:
        """The graph of the merged model, which knows the weights that several files hold."""
        graph = graph_of(self.opened)
        return replace(graph, twins=twins(graph))

    def files(self) -> list[Path]:
        """The files of the models, and those that hold their weights."""
        data = (path for part in self.parts.values() for path in sorted(external_files(part).values()))
        return [*self.paths.values(), *data]

    def analyzed(self, request: Request) -> Analysis:
        """The analysis of the merged model, as a request says."""
        return sized(self.opened, analyzed(self.graph, request), request)

    def data(self, given: AnyData, origin: str = "the inputs") -> DataSource:
        """Data of all models: by the name of a model those of each, or with the names of the merged inputs.

        Raises :class:`InputError` where a model has none.
        """
        if not (isinstance(given, Mapping) and given and set(given) <= set(self.parts)):
            return open_source(given, origin)
        missing = [name for name in self.parts if name not in given]
        if missing:
            raise InputError(f"{origin}: there are none for model '{missing[0]}'; give some for each of the models")
        sources = {name: open_source(given[name], f"{origin} of '{name}'") for name in self.parts}
        return merged_source(sources, SEPARATOR, origin)

    def write(self, analysis: Analysis, smaller: Smaller, folder: Path) -> dict[str, Path]:
        """Write the smaller models into a folder, each under the name of its file; external data stays external."""
        merged = emitted(self.opened, analysis.graph, smaller.graph, smaller.plan)
        written = self.inside(folder)
        for name, model in split(merged, self.parts).items():
            save(model, written[name], external=has_external_data(self.parts[name]))
        return written

    def inside(self, folder: Path) -> dict[str, Path]:
        """The files of the models in another folder."""
        return {name: folder / path.name for name, path in self.paths.items()}

    def examine(
        self,
        written: Mapping[str, Path],
        plan: Plan,
        *,
        inputs: AnyData | None = None,
        rtol: float | None = None,
        seed: int = 0,
        floors: Floors = NO_FLOORS,
        tuned: bool = False,
    ) -> Report:
        """Verify written models, each and together: all of their outputs, and steps over tied states."""
        from .verification.driver import verify_models

        external = any(map(has_external_data, self.parts.values()))
        with tempfile.TemporaryDirectory(prefix="irprune-") as scratch:
            before, after = Path(scratch) / "before.onnx", Path(scratch) / "after.onnx"
            save(self.opened.model, before, external=external)
            save(merge({name: load(written[name]) for name in self.paths}), after, external=external)
            return verify_models(
                before,
                after,
                plan,
                inputs=inputs,
                rtol=rtol,
                seed=seed,
                floors=floors,
                graph=self.graph,
                tuned=tuned,
            )


def _by_name(paths: Paths) -> dict[str, Path]:
    names = [Path(path).stem for path in paths]
    if len(names) < 2:
        raise InputError(f"expected several models to prune together, got {len(names)}")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two models are called '{name}': rename one, so that --tie can tell them apart")
        if SEPARATOR in name:
            raise InputError(f"'{name}': the name of a model may not hold '{SEPARATOR}', which --tie puts behind it")
    return dict(sorted((name, Path(path)) for name, path in zip(names, paths, strict=True)))


@dataclass(frozen=True)
class Results:
    """The result for several models: their files by model name, their common plan, and the verification report.

    ``report`` is ``None`` where verification was turned off, ``recovery`` where no weights were refitted; ``bytes`` is
    the size of all files.
    """

    files: Mapping[str, Path]
    plan: Plan
    report: Report | None
    bytes: int = 0
    recovery: Recovery | None = None

    @property
    def ok(self) -> bool:
        """Whether the files were written."""
        return self.report is None or self.report.ok


@lists_options
def plan_together(models: Paths, *, data: AnyData | None = None, **options: Unpack[RequestOptions]) -> Plan:
    """Decide what to remove from models that share axes; see :func:`prune_together`."""
    wanted = Request.given(options).require_target().with_data(data is not None, repairs=False)
    together = Together.of(models)
    return _decided(together, together.analyzed(wanted), wanted, data)[0].plan


@lists_options
def prune_together(
    models: Paths,
    output: str | os.PathLike[str],
    *,
    verify: bool = True,
    inputs: AnyData | None = None,
    rtol: float | None = None,
    floors: Floors = NO_FLOORS,
    data: AnyData | None = None,
    **options: Unpack[RequestOptions],
) -> Results:
    """Prune models that share axes as one, and write them into the folder ``output`` under the names of their files.

    ``ties`` names the inputs and outputs that they share: ``first:present_*=second:past_*``. Matrices that several
    files hold alike lose the same channels and are refitted alike. ``data`` and ``inputs`` are those of
    :func:`irprune.prune`, by the name of each model (``{"first": ..., "second": ...}``). The options are those of
    :class:`irprune.Request`. Raises :class:`VerificationError`, and writes nothing, where a result is not equivalent.
    """
    wanted = Request.given(options).require_target().with_data(data is not None)
    together = Together.of(models)
    analysis = together.analyzed(wanted)
    smaller, recovery, samples = _decided(together, analysis, wanted, data)
    inputs = samples.held_out if inputs is None and samples else inputs
    found = _carried_out(
        together,
        analysis,
        smaller,
        Path(output),
        verify=verify,
        inputs=inputs,
        rtol=rtol,
        seed=wanted.seed,
        floors=floors,
    )
    return replace(found, recovery=recovery)


def apply_together(models: Paths, plan: Plan, output: str | os.PathLike[str]) -> dict[str, Path]:
    """Carry out a plan of several models, and write these into the folder ``output``; their files by model name.

    Raises :class:`InputError` for a plan that was made for other models.
    """
    together = Together.of(models)
    require_same(together.opened.identity, plan)
    analysis = together.analyzed(plan.request)
    return dict(_carried_out(together, analysis, replay(analysis, plan), Path(output), verify=False, inputs=None).files)


def verify_together(
    models: Paths,
    small: Paths,
    plan: Plan,
    *,
    inputs: AnyData | None = None,
    rtol: float | None = None,
    seed: int = 0,
    floors: Floors = NO_FLOORS,
    tuned: bool = False,
) -> Report:
    """Check ``small``, which ``plan`` made of ``models``, in the same order; see :func:`irprune.verify`."""
    if len(models) != len(small):
        raise InputError(f"expected a smaller model for each of {len(models)}, got {len(small)}")
    together = Together.of(models)
    require_same(together.opened.identity, plan)
    written = {Path(model).stem: Path(path) for model, path in zip(models, small, strict=True)}
    given = None if inputs is None else together.data(inputs)
    return together.examine(written, plan, inputs=given, rtol=rtol, seed=seed, floors=floors, tuned=tuned)


def _decided(
    together: Together, analysis: Analysis, request: Request, data: AnyData | None
) -> tuple[Smaller, Recovery | None, Samples | None]:
    source = None if data is None else together.data(data, "the data")
    found, recovery, samples = decided_by(together.opened, analysis, request, None, source)
    smaller = found.of(together.opened.identity)
    more = recovery.cautions() if recovery else []
    for text in (*more, *cautions(analysis, smaller.plan)):
        warnings.warn(text, stacklevel=3)
    return smaller, recovery, samples


def _carried_out(
    together: Together,
    analysis: Analysis,
    smaller: Smaller,
    output: Path,
    *,
    verify: bool,
    inputs: AnyData | None,
    rtol: float | None = None,
    seed: int = 0,
    floors: Floors = NO_FLOORS,
) -> Results:
    """Write smaller models, verify these very files, and put them into the folder ``output`` if they passed."""
    plan, report = smaller.plan, None
    with staged_folder(output, together.files()) as stage:
        written = together.write(analysis, smaller, stage.folder)
        size = sum(made.stat().st_size for made in stage.folder.iterdir())
        if verify:
            given = None if inputs is None else together.data(inputs)
            report = together.examine(written, plan, inputs=given, rtol=rtol, seed=seed, floors=floors)
            if not report.ok:
                raise VerificationError(report.refusal())
            plan = plan.with_verification(report.as_json())
        stage.commit()
    return Results(together.inside(output), plan, report, size)
