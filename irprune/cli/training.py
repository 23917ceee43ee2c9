"""Training on the command line: a step of ``irprune prune --minutes``, and how it is shown."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..tuning import NO_TUNING, Tuning
from .progress import step

if TYPE_CHECKING:
    from rich.console import Console

    from ..plans import Plan
    from ..rewriting import Smaller
    from ..runtime.feeds import DataSource
    from ..torch.distill import Progress, Tuned
    from ..torch.distill.training import OnStep
    from .work import Read


@dataclass
class Training:
    """Training of a smaller model; ``found`` is what it did."""

    data: DataSource
    options: Tuning
    seed: int
    found: Tuned | None = field(default=None, init=False)

    def require_possible(self, given: Read) -> None:
        """Raise :class:`InputError` for a model that cannot be trained, before any time is spent."""
        from .artifacts import OnnxFile

        if not isinstance(given.artifact, OnnxFile):
            raise InputError(f"{given.path}: training is for a single ONNX model (--steps, --minutes)")
        with step("making sure that it can be trained"):
            from ..torch import require_trainable

            require_trainable(given.artifact.opened.model)

    def write(self, given: Read, smaller: Smaller, target: Path, output: Path) -> Plan:
        """Train a smaller model, as ``irprune finetune`` would with its file, and write it."""
        from ..torch import finetune

        with tempfile.TemporaryDirectory(prefix="irprune-") as folder, shown_steps() as on_step:
            small = Path(folder) / output.name
            given.artifact.write_smaller(smaller, given.analysis, small)
            self.found = finetune(
                given.path,
                small,
                self.data,
                plan=smaller.plan,
                seed=self.seed,
                checkpoint=checkpoint_of(output),
                on_step=on_step,
                **self.options.as_options(),
            )
            self.found.save(target)
        assert self.found.plan is not None
        return self.found.plan


def training_of(options: Tuning, data: DataSource | None, seed: int) -> Training | None:
    """The training that options ask for. Raises :class:`InputError` for a contradiction."""
    if not options.asked:
        if options != NO_TUNING:
            said = next(name for name, value in options if value != getattr(NO_TUNING, name))
            raise InputError(f"--{said.replace('_', '-')} is about training: ask for it with --minutes or --steps")
        return None
    if data is None:
        raise InputError(f"--{'steps' if options.steps else 'minutes'} trains on inputs of the model: give --data")
    return Training(data, options, seed)


def in_numbers(found: Tuned) -> dict[str, Any]:
    """The steps of training and its effect, as plain JSON values."""
    return {
        "block_steps": found.block_steps,
        "steps": found.steps,
        "before": asdict(found.before),
        "after": asdict(found.after),
    }


def checkpoint_of(output: Path) -> Path:
    """Where training that is interrupted goes on from."""
    return output.with_name(f"{output.name}.checkpoint")


def show_effect(out: Console, found: Tuned) -> None:
    """Print the fidelity before and after, and the number of steps, by which the training can be repeated."""
    from . import report as tables

    rows = []
    if found.before.agreement is not None and found.after.agreement is not None:
        rows.append(("equal decisions", f"{found.before.agreement:.1%}", f"{found.after.agreement:.1%}"))
    rows.append(("error (1: the average answer)", f"{found.before.error:.4f}", f"{found.after.error:.4f}"))
    title = "On samples that were not trained on"
    out.print(tables.table(title, ("", "before", "after training"), rows, right=(1, 2)))
    out.print(f"{found.block_steps} steps of blocks, {found.steps} of the whole network (--steps {found.steps})")


@contextmanager
def shown_steps() -> Iterator[OnStep | None]:
    """A line on stderr with loss, fidelity and the time that is left, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("preparing", total=None)

        def on_step(now: Progress) -> None:
            equal = "" if now.fidelity.agreement is None else f", {now.fidelity.agreement:.1%} equal decisions"
            text = f"{now.stage}: loss {now.loss:.4f}, error {now.fidelity.error:.4f}{equal}"
            bar.update(line, description=text, completed=now.step, total=now.steps)

        yield on_step
