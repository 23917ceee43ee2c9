"""The kinds of model files: ONNX models and exported programs of PyTorch. Commands ask a file what they need of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import InputError
from .checks import Checks, require_runnable
from .sources import data_files

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..api import Source
    from ..ir import Graph
    from ..plans import Plan
    from ..verification import Report

EXPORTED = ".pt2"
"""How the name of an exported program ends."""


class Artifact(Protocol):
    """A model file that was read."""

    @property
    def sha256(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes of the file that the plan names."""

    @property
    def graph(self) -> Graph: ...

    def files(self) -> list[Path]:
        """The file and those that hold its weights."""

    def require_same(self, plan: Plan) -> None:
        """Raise :class:`InputError` for a plan that was made for another model."""

    def require_runnable(self) -> None:
        """Raise :class:`InputError` for a model that does not run: nothing could be verified with it."""

    def write_smaller(self, plan: Plan, analysis: Analysis, target: Path) -> None:
        """Carry out a plan and write the result to ``target``."""

    def examine(self, pruned: Path, plan: Plan, checks: Checks) -> Report:
        """Verify a smaller model against this one."""


def open_artifact(path: Path) -> Artifact:
    """Read a model file of any kind. Raises :class:`InputError` for what is none."""
    if path.suffix != EXPORTED:
        return OnnxFile.open(path)
    from .exported import ExportedFile

    return ExportedFile.open(path)


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX model."""

    path: Path
    source: Source
    graph: Graph

    @staticmethod
    def open(path: Path) -> OnnxFile:
        """Read and import a model."""
        from ..api import graph_of, open_model

        source = open_model(path)
        return OnnxFile(path, source, graph_of(source))

    @property
    def sha256(self) -> str:
        return self.source.sha256

    @property
    def size(self) -> int:
        return self.source.size

    def files(self) -> list[Path]:
        return [self.path, *data_files(self.source.model)]

    def require_same(self, plan: Plan) -> None:
        from ..api import require_same

        require_same(self.source, plan)

    def require_runnable(self) -> None:
        require_runnable(self.path)

    def write_smaller(self, plan: Plan, analysis: Analysis, target: Path) -> None:
        from ..api import apply_to, has_external_data
        from ..backends.onnx import save

        if target.suffix == EXPORTED:
            raise InputError(f"{target.name}: an ONNX model cannot become an exported program; name it .onnx")
        small = apply_to(self.source, plan, analysis)
        save(small, target, external=has_external_data(self.source.model))

    def examine(self, pruned: Path, plan: Plan, checks: Checks) -> Report:
        from ..verification.driver import verify_models

        return verify_models(
            self.path, pruned, plan, inputs=checks.inputs, rtol=checks.rtol, seed=checks.seed, graph=self.graph
        )
