"""Several models on the command line: they are read as one, and written into a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..backends.staging import FolderStage, staged_folder
from ..errors import InputError
from .artifacts import EXPORTED
from .checks import Checks, require_runnable

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..api import OpenedModel
    from ..ir import Graph
    from ..plans import ModelIdentity, Plan
    from ..request import Request
    from ..rewriting import Smaller
    from ..several import Together
    from ..verification import Report


@dataclass(frozen=True)
class OnnxFiles:
    """ONNX models that share axes; an :class:`.artifacts.Artifact` whose output is a folder."""

    together: Together

    @staticmethod
    def open(paths: Sequence[Path]) -> OnnxFiles:
        """Read models. Raises :class:`InputError` for files that are not ONNX models."""
        from ..several import Together

        for path in paths:
            if path.suffix == EXPORTED:
                raise InputError(f"{path}: several models are pruned together as ONNX files, not as exported programs")
        return OnnxFiles(Together.of(paths))

    @property
    def name(self) -> Path:
        """What summaries call the models."""
        return Path("+".join(self.together.parts))

    @property
    def opened(self) -> OpenedModel:
        return self.together.opened

    @property
    def identity(self) -> ModelIdentity:
        return self.opened.identity

    @property
    def graph(self) -> Graph:
        return self.together.graph

    def files(self) -> list[Path]:
        return self.together.files()

    def require_same(self, plan: Plan) -> None:
        from ..identity import require_same

        require_same(self.identity, plan)

    def require_runnable(self) -> None:
        for path in self.together.paths.values():
            require_runnable(path)

    def sized(self, analysis: Analysis, request: Request) -> Analysis:
        from ..api import sized

        return sized(self.opened, analysis, request)

    def staged(self, output: Path) -> AbstractContextManager[FolderStage]:
        return staged_folder(output, self.files())

    def write_smaller(self, smaller: Smaller, analysis: Analysis, target: Path) -> None:
        self.together.write(analysis, smaller, target)

    def examine(self, pruned: Path, plan: Plan, checks: Checks) -> Report:
        return self.examine_files(self.together.inside(pruned), plan, checks)

    def examine_files(self, pruned: Mapping[str, Path], plan: Plan, checks: Checks) -> Report:
        """Verify smaller models, by the names of the originals."""
        if checks.labels is not None:
            raise InputError("--labels is for a single model: it does not say which of several decides")
        return self.together.examine(
            pruned,
            plan,
            inputs=checks.inputs,
            rtol=checks.rtol,
            seed=checks.seed,
            floors=checks.floors,
            tuned=checks.tuned,
        )


def pairs(given: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The models before, and those after in the same order, of the arguments of ``verify``.

    ``A B SMALL_A SMALL_B``, or ``A B FOLDER`` with the smaller models under the same names. Raises :class:`InputError`
    for other numbers of files.
    """
    if len(given) > 2 and given[-1].is_dir():
        before = list(given[:-1])
        return before, [given[-1] / path.name for path in before]
    if len(given) < 2 or len(given) % 2:
        raise InputError(
            f"expected ORIGINAL PRUNED, or as many smaller models as originals (or their folder), got {len(given)} "
            f"{'file' if len(given) == 1 else 'files'}"
        )
    half = len(given) // 2
    return list(given[:half]), list(given[half:])
