"""Train what is left of a pruned model towards the original, without labels (Hinton, Vinyals, Dean 2015)."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import onnx_ir as oir
import torch
from torch import fx

from ...analysis import Mask
from ...api import AnyModel, analyze_model, has_external_data, open_model
from ...backends.onnx import save, to_proto
from ...calibration.calibrate import Samples
from ...errors import InputError
from ...frontends.onnx import import_model
from ...identity import require_same
from ...ir import Graph
from ...plans import Plan, removed_atoms
from ...repair.refit import kept_part
from ...runtime.data import open_data
from ...runtime.executable import Executable
from ...runtime.feeds import AnyData, Feeds, input_types
from ...runtime.session import RunFailure
from ..importer.module import from_onnx
from ..importer.writer import write_back
from .cuts import cuts
from .ends import End, ends, last_features
from .losses import scale_of
from .samples import Batch, Examples, alone, answered, flipped, mixed
from .student import Student, has_value
from .training import BLOCK_RATE, Fidelity, OnStep, Stage, Trainer, batch_for, saved_state

AnyPath: TypeAlias = "str | os.PathLike[str]"

STEPS, BLOCK_STEPS = 1000, 600
"""Steps of the whole network, and before it of all blocks at once."""

BATCH, BLOCK_BATCH = 100, 32
"""The most samples of a step."""

MEMORY = 1 << 29
"""Bytes of values at the ends of blocks that are kept: this bounds the number of samples that blocks are trained on."""

_PROBED = 3
"""Steps that are timed to find out how many fit some minutes."""

STEPS_KEY = "irprune.finetune_steps"
"""The metadata of a trained file: steps of blocks and of the whole network."""


@dataclass(frozen=True)
class Tuned:
    """The trained model, of onnx_ir, and its plan (``None`` where none was given).

    ``before`` and ``after`` are measured on samples that were not trained on.
    """

    model: oir.Model = field(repr=False)
    plan: Plan | None
    block_steps: int
    steps: int
    before: Fidelity
    after: Fidelity
    samples: Samples = field(repr=False)
    external: bool = field(repr=False, default=False)

    def save(self, path: AnyPath) -> None:
        """Write the model; weights go to a file of their own where the pruned model's did."""
        save(self.model, path, external=self.external)


def finetune(
    original: AnyModel,
    pruned: AnyModel,
    data: AnyData,
    *,
    plan: Plan | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    block_steps: int = BLOCK_STEPS,
    flip: bool = False,
    mixup: bool = False,
    seed: int = 0,
    checkpoint: AnyPath | None = None,
    on_step: OnStep | None = None,
) -> Tuned:
    """Train ``pruned`` towards ``original`` on unlabeled inputs (see :mod:`irprune.runtime.data`).

    First all blocks between residual sums (or layers) are trained at once, ``block_steps`` steps, each towards the
    original's value at its end and on the smaller model's own input; then the whole network for ``steps`` steps. With
    ``minutes`` the number of steps is what fits, by a few timed ones. A fifth of the samples is held out, and the
    weights are the best ones on these: the result is never worse there than ``pruned``.

    ``plan``, by which ``pruned`` was made, says which channels of the original to compare with; without it only values
    of the same shape are compared. ``flip`` trains on mirrored images as well, ``mixup`` on means of two inputs. With a
    ``checkpoint`` file a run that was killed goes on where it was: the same steps give the same bytes.

    Raises :class:`InputError` for a model that :func:`irprune.torch.from_onnx` does not take, naming the node, for data
    that do not fit, and for training that diverges at every rate.
    """
    if steps is not None and minutes is not None:
        raise InputError("give steps or minutes, not both: minutes only choose a number of steps")
    for name, number in (("steps", steps), ("minutes", minutes)):
        if number is not None and not number > 0:
            raise InputError(f"{name} must be more than 0, got {number}")
    if block_steps < 0:
        raise InputError(f"block_steps must be 0 or more, got {block_steps}")
    torch.manual_seed(seed)
    run = _Run.opened(original, pruned, data, plan, seed)
    trainer = run.trainer(checkpoint, on_step, (steps, minutes, block_steps, flip, mixup, seed))
    saved = saved_state(trainer.checkpoint, trainer.key)
    stages = run.stages(block_steps, flip, mixup)
    counts = [stage.steps for stage in stages]
    if saved is not None:
        counts = saved["counts"]
    else:
        counts[-1] = _fitting(trainer, stages, minutes) if minutes is not None else steps or STEPS
    stages = [replace(stage, steps=count) for stage, count in zip(stages, counts, strict=True)]
    trainer.counts = counts
    before = trainer.best if saved is None else Fidelity(*saved["before"])
    trainer.before = before
    trainer.run(stages, saved)
    run.module.to("cpu")
    model, found = run.written(sum(counts[:-1]), counts[-1])
    if trainer.checkpoint is not None:
        trainer.checkpoint.unlink(missing_ok=True)
    external = has_external_data(run.small)
    return Tuned(model, found, sum(counts[:-1]), counts[-1], before, trainer.best, run.samples, external)


@dataclass(frozen=True)
class _Run:
    """Both models and the data, ready to train on."""

    teacher: Executable
    small: oir.Model
    graph: Graph
    module: fx.GraphModule
    samples: Samples
    ends: tuple[End, ...]
    plan: Plan | None
    kept: _Kept
    seed: int
    key: str

    @staticmethod
    def opened(original: AnyModel, pruned: AnyModel, data: AnyData, plan: Plan | None, seed: int) -> _Run:
        small = open_model(pruned)
        module = from_onnx(small.model)
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise InputError("the pruned model has no weights that could be trained")
        _require_wide(module)
        large = open_model(original)
        if plan is not None:
            require_same(large.identity, plan)
        proto = to_proto(large.model)
        kept = _Kept.of(large, plan)
        graph = import_model(small.model)
        found = tuple(end for end in ends(graph) if has_value(module, end.value) and end.value in kept.graph.producers)
        if not found:
            raise InputError("the models share no value that their outputs are computed from: nothing to train towards")
        samples = Samples.of(open_data(data, input_types(proto), "--data"))
        key = hashlib.sha256(f"{large.identity.sha256} {small.identity.sha256} ".encode())
        for feed in (*samples.fitted, *samples.held_out):
            for name, array in feed.items():
                key.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
        return _Run(Executable(proto), small.model, graph, module, samples, found, plan, kept, seed, key.hexdigest())

    def trainer(self, checkpoint: AnyPath | None, on_step: OnStep | None, options: Sequence[object]) -> Trainer:
        """Measures the model on samples held out; training begins from there."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module.to(device)
        held_out = self.examples(self.samples.held_out, [end.value for end in self.ends])
        scales = tuple(scale_of(end, [run[end.value] for run in held_out.runs]) for end in self.ends)
        judge = Student(self.module, [end.value for end in self.ends])
        path = None if checkpoint is None else Path(checkpoint)
        return Trainer(self.module, self.ends, scales, judge, held_out, path, f"{self.key} {options}", on_step)

    def stages(self, block_steps: int, flip: bool, mixup: bool) -> list[Stage]:
        """The blocks, if there are any, and the whole network."""
        feeds = list(self.samples.fitted)
        feeds += flipped(feeds) if flip else []
        feeds += mixed(feeds, self.seed) if mixup else []
        present = [end.value for end in self.ends]
        inner = self._comparable(cuts(self.graph, present))
        hints = self._comparable(last_features(self.graph, present))
        found = []
        if inner and block_steps:
            values = (*inner, *(end.value for end in self.ends))
            some = self._affordable(feeds, values)
            stage = self._stage("blocks", values, inner, some, BLOCK_BATCH, block_steps)
            found.append(replace(stage, rate=BLOCK_RATE))
        values = (*present, *(hint for hint in hints if hint not in present))
        found.append(self._stage("whole network", values, (), feeds, BATCH, STEPS))
        return found

    def _stage(
        self,
        name: str,
        values: Sequence[str],
        blocks: Sequence[str],
        feeds: Sequence[Feeds],
        batch: int,
        steps: int,
    ) -> Stage:
        values = tuple(dict.fromkeys(values))
        own = {end.value: end for end in self.ends}
        compared = tuple(own.get(value, End(value, "squared")) for value in values)
        examples = self.examples(feeds, values)
        most = batch_for(examples.count, batch)
        return Stage(name, Student(self.module, values, blocks), compared, examples, steps, most, self.seed)

    def examples(self, feeds: Sequence[Feeds], values: Sequence[str]) -> Examples:
        """The smaller model's feeds, and the original's values in the places that it keeps."""
        try:
            runs = [self.kept.part(run) for run in answered(self.teacher, feeds, values)]
        except RunFailure as error:
            raise InputError(f"ONNX Runtime cannot run the original on the given data: {error}") from error
        return Examples.of(runs, self.samples.inputs, alone(self.teacher, feeds[0], values))

    def _comparable(self, values: Sequence[str]) -> list[str]:
        """Values that both models have, in the same shape after the removal."""
        known = [v for v in values if has_value(self.module, v) and v in self.kept.graph.producers]
        if not known:
            return []
        feed = self.samples.fitted[0]
        (theirs,) = self.examples([feed], known).runs
        device = next(self.module.parameters()).device
        with torch.no_grad():
            ours = Student(self.module, known)({name: tensor.to(device) for name, tensor in theirs.items()})
        return [value for value in known if ours[value].shape == theirs[value].shape]

    def _affordable(self, feeds: Sequence[Feeds], values: Sequence[str]) -> list[Feeds]:
        """As many feeds as the memory for values allows, one at least."""
        (run,) = self.examples(feeds[:1], values).runs
        each = sum(run[value].nbytes for value in set(values))
        return list(feeds[: max(1, MEMORY // max(each, 1))])

    def written(self, block_steps: int, steps: int) -> tuple[oir.Model, Plan | None]:
        """The pruned model with the weights of the module."""
        if self.plan is None:
            model, plan = write_back(self.module, self.small), None
        else:
            model, plan = write_back(self.module, self.small, plan=self.plan)
        model.metadata_props[STEPS_KEY] = f"{block_steps}+{steps}"
        return model, plan


@dataclass(frozen=True)
class _Kept:
    """The original's graph, and the places of its values that the smaller model keeps."""

    graph: Graph
    analysis: Any = None
    masks: Mapping[int, Mask] = field(default_factory=dict)

    @staticmethod
    def of(source: Any, plan: Plan | None) -> _Kept:
        if plan is None:
            return _Kept(import_model(source.model))
        analysis = analyze_model(source, plan.request)
        return _Kept(analysis.graph, analysis, analysis.kept(removed_atoms(plan, analysis)))

    def part(self, run: Batch) -> Batch:
        if self.analysis is None:
            return run
        dims = self.analysis.coupling.dims
        return {
            name: torch.from_numpy(kept_part(tensor.numpy(), dims[name], self.masks)) for name, tensor in run.items()
        }


def _require_wide(module: fx.GraphModule) -> None:
    """Raise :class:`InputError` for weights in half precision: the small steps of training round to nothing there."""
    for name, parameter in module.named_parameters():
        if parameter.dtype.itemsize < _FLOAT_BYTES:
            raise InputError(
                f"weight '{name}' is {str(parameter.dtype).removeprefix('torch.')}, training needs float32: "
                "fine-tune before the model is converted to half precision"
            )


_FLOAT_BYTES = 4


def _fitting(trainer: Trainer, stages: Sequence[Stage], minutes: float) -> int:
    """The steps of the last stage that fit some minutes together with all others, by a few that are timed."""
    seconds = [_seconds_of(trainer, stage) for stage in stages]
    rest = 60 * minutes - sum(stage.steps * each for stage, each in zip(stages[:-1], seconds, strict=False))
    return max(1, int(rest / seconds[-1]))


def _seconds_of(trainer: Trainer, stage: Stage) -> float:
    """The time of one step; the weights stay."""
    stage = stage.prepared()
    stage.backward(0)
    began = time.monotonic()
    for step in range(_PROBED):
        stage.backward(step)
    trainer.module.zero_grad()
    return (time.monotonic() - began) / _PROBED
