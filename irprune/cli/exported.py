"""Exported programs of PyTorch (``.pt2``) on the command line."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..backends.staging import AnyStage, staged
from ..errors import InputError
from ..torch import Program, apply, load, trace, verify
from ..torch.api import emitted
from ..torch.exporting.files import save_module
from .trust import trusted

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..ir import Graph
    from ..plans import ModelIdentity, Plan
    from ..request import Request
    from ..rewriting import Smaller
    from ..verification import Report
    from .checks import Checks


@dataclass(frozen=True)
class ExportedFile:
    """An exported program."""

    path: Path
    program: Program

    @staticmethod
    def open(path: Path) -> ExportedFile:
        """Read a program, with its example inputs: what one command refuses, all do.

        Raises :class:`InputError` for any other file, and for one that is not safe to read.
        """
        program = trace(path, trust=trusted())
        _ = program.args
        return ExportedFile(path, program)

    @cached_property
    def identity(self) -> ModelIdentity:
        return self.program.identity

    @property
    def graph(self) -> Graph:
        return self.program.imported.graph

    def files(self) -> list[Path]:
        return [self.path]

    def require_same(self, plan: Plan) -> None:
        self.program.require_same(plan)

    def require_runnable(self) -> None:
        if not self.program.args and not self.program.kwargs:
            raise InputError(
                f"{self.path}: the program holds no example inputs, so nothing can be verified "
                "(--no-verify prunes it all the same)"
            )

    def sized(self, analysis: Analysis, request: Request) -> Analysis:
        if request.shapes or request.sizes:
            raise InputError("--shape and --size are for ONNX models; an exported program brings its example inputs")
        from ..torch.sizing import at_example

        return at_example(analysis, self.program.captured.graph)

    def staged(self, output: Path) -> AbstractContextManager[AnyStage]:
        return staged(output, keep=self.files())

    def write_smaller(self, smaller: Smaller, analysis: Analysis, target: Path) -> None:
        save_module(emitted(self.program, smaller), self.program, target, smaller.plan.metadata)

    def examine(self, pruned: Path, plan: Plan, checks: Checks) -> Report:
        """Verify the written file: a program is read back; of an ONNX file, the module before export is verified."""
        if checks.tuned:
            raise InputError("--tuned is for ONNX models; weights of an exported program are verified as it holds them")
        is_program = pruned.suffix == self.path.suffix
        small = load(pruned, trust=trusted()) if is_program else apply(self.program, plan)
        return verify(
            self.program,
            small,
            plan,
            rtol=checks.rtol,
            seed=checks.seed,
            inputs=checks.inputs,
            labels=checks.labels,
            floors=checks.floors,
        )
