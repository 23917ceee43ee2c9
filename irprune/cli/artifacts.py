"""The kinds of model files: ONNX models and exported programs of PyTorch. Commands ask a file what they need of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..backends.staging import AnyStage, staged
from ..errors import InputError
from .checks import Checks, require_runnable

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..api import OpenedModel
    from ..ir import Graph
    from ..plans import ModelIdentity, Plan
    from ..request import Request
    from ..rewriting import Smaller
    from ..verification import Report

EXPORTED = ".pt2"
"""How the name of an exported program ends."""


class Artifact(Protocol):
    """A model file that was read."""

    @property
    def identity(self) -> ModelIdentity:
        """The identity that a plan for this model holds."""

    @property
    def graph(self) -> Graph: ...

    def files(self) -> list[Path]:
        """The file and those that hold its weights."""

    def require_same(self, plan: Plan) -> None:
        """Raise :class:`InputError` for a plan that was made for another model."""

    def require_runnable(self) -> None:
        """Raise :class:`InputError` for a model that does not run: nothing could be verified with it."""

    def sized(self, analysis: Analysis, request: Request) -> Analysis:
        """The analysis with numbers for open sizes: those of the request, else such that the model runs."""

    def staged(self, output: Path) -> AbstractContextManager[AnyStage]:
        """A stage for the output."""

    def write_smaller(self, smaller: Smaller, analysis: Analysis, target: Path) -> None:
        """Write the model that a plan leaves."""

    def examine(self, pruned: Path, plan: Plan, checks: Checks) -> Report:
        """Verify a smaller model against this one."""


def open_artifact(path: Path) -> Artifact:
    """Read a model file of any kind. Raises :class:`InputError` for any other file."""
    if path.suffix != EXPORTED:
        return OnnxFile.open(path)
    from .exported import ExportedFile

    return ExportedFile.open(path)


def require_readable(path: Path) -> None:
    """Raise :class:`InputError` for a file that is not a model. An ONNX model is read only, and not imported."""
    if path.suffix == EXPORTED:
        open_artifact(path)
        return
    from ..frontends.files import load

    load(path)


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX model."""

    path: Path
    opened: OpenedModel
    graph: Graph

    @staticmethod
    def open(path: Path) -> OnnxFile:
        """Read and import a model."""
        from ..api import graph_of, open_model

        opened = open_model(path)
        return OnnxFile(path, opened, graph_of(opened))

    @property
    def identity(self) -> ModelIdentity:
        return self.opened.identity

    def files(self) -> list[Path]:
        from ..identity import external_files

        return [self.path, *sorted(external_files(self.opened.model).values())]

    def require_same(self, plan: Plan) -> None:
        from ..identity import require_same

        require_same(self.opened.identity, plan)

    def require_runnable(self) -> None:
        require_runnable(self.path)

    def sized(self, analysis: Analysis, request: Request) -> Analysis:
        from ..api import sized

        return sized(self.opened, analysis, request)

    def staged(self, output: Path) -> AbstractContextManager[AnyStage]:
        return staged(output, keep=self.files())

    def write_smaller(self, smaller: Smaller, analysis: Analysis, target: Path) -> None:
        from ..api import emitted, has_external_data
        from ..backends.onnx import save

        if target.suffix == EXPORTED:
            raise InputError(f"{target.name}: an ONNX model cannot become an exported program; name it .onnx")
        small = emitted(self.opened, analysis.graph, smaller.graph, smaller.plan)
        save(small, target, external=has_external_data(self.opened.model))

    def examine(self, pruned: Path, plan: Plan, checks: Checks) -> Report:
        from ..verification.driver import verify_models

        return verify_models(
            self.path,
            pruned,
            plan,
            inputs=checks.inputs,
            labels=checks.labels,
            rtol=checks.rtol,
            seed=checks.seed,
            floors=checks.floors,
            graph=self.graph,
            tuned=checks.tuned,
        )
