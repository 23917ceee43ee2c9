"""Train what is left of a pruned model towards the original, without labels (Hinton, Vinyals, Dean 2015)."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import onnx_ir as oir
import torch
from torch import fx

from ...api import AnyModel, has_external_data, open_model
from ...backends.onnx import save, to_whole_proto
from ...calibration.calibrate import Samples
from ...errors import InputError
from ...frontends.onnx import import_model
from ...identity import require_same
from ...ir import Graph
from ...plans import Plan
from ...runtime.data import open_data
from ...runtime.executable import Executable
from ...runtime.feeds import AnyData, Feeds, input_types
from ...runtime.session import RunFailure
from ...tuning import STEPS, Tuning, TuningOptions
from ..importer.module import from_onnx
from ..importer.writer import write_back
from .cuts import cuts
from .ends import End, ends, last_features
from .kept import Kept
from .losses import loss_of, scale_of
from .samples import Examples, alone, answered
from .student import Student, has_value
from .training import BLOCK_RATE, LOOKS, Fidelity, OnStep, Stage, Trainer, batch_for, saved_state
from .views import View, flipped, has_images, mirrored, mixed, shifted

if TYPE_CHECKING:
    from typing_extensions import Unpack

AnyPath: TypeAlias = "str | os.PathLike[str]"

BATCH, BLOCK_BATCH = 50, 32
"""The most samples of a step."""

MEMORY = 1 << 29
"""Bytes of values at the ends of blocks that are kept: this bounds the number of samples that blocks are trained on."""

_PROBED = 3
"""Steps that are timed to find out how many fit some minutes."""

_MEETINGS = 4
"""How often each view of an input is trained on, about: more views take the original more time to answer."""

_ALIKE = 0.5
"""Views are used where the original's answers differ by less than this; 1 is as far as the average answer."""

_MOST_VIEWS = 16
_FLOAT_BYTES = 4

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
    seed: int = 0,
    checkpoint: AnyPath | None = None,
    on_step: OnStep | None = None,
    **options: Unpack[TuningOptions],
) -> Tuned:
    """Train ``pruned`` towards ``original`` on unlabeled inputs (see :mod:`irprune.runtime.data`).

    First all blocks between residual sums (or layers) are trained at once, ``block_steps`` steps, each towards the
    original's value at its end and on the smaller model's own input; then the whole network for ``steps`` steps. With
    ``minutes`` the number of steps is what fits, by a few timed ones. A fifth of the samples is held out, and the
    weights are the best ones on these: the result is never worse there than ``pruned``.

    ``plan``, by which ``pruned`` was made, says which channels of the original to compare with; without it only values
    of the same shape are compared. Images are trained on mirrored and shifted as well where the original answers these
    views as it does the images; ``flip`` says yes or no to mirrored ones. ``mixup`` adds means of two inputs. With a
    ``checkpoint`` file a run that was killed goes on where it was: the same steps give the same bytes.

    Raises :class:`InputError` for options that make no sense, a model that :func:`irprune.torch.from_onnx` does not
    take, naming the node, data that do not fit, a checkpoint of another run, and training that diverges at every rate.
    """
    began = time.monotonic()
    wanted = Tuning.given(options)
    torch.manual_seed(seed)
    run = _Run.opened(original, pruned, data, plan, seed)
    trainer = run.trainer(checkpoint, on_step, (wanted, seed))
    saved = saved_state(trainer.checkpoint, trainer.key)
    blocks = run.blocks(wanted.block_steps)
    ways = run.ways(wanted.flip)
    plain = run.whole(run.samples.fitted, 1)
    if saved is not None:
        steps = saved["counts"][-1]
    elif wanted.minutes is not None:
        steps = _fitting(run, trainer, [*blocks, plain], began + 60 * wanted.minutes, ways)
    else:
        steps = wanted.steps or STEPS
    feeds = run.seen(ways, run.views(plain, steps, ways), mixup=wanted.mixup)
    stages = [*blocks, replace(plain if len(feeds) == len(run.samples.fitted) else run.whole(feeds, 1), steps=steps)]
    trainer.counts = [stage.steps for stage in stages]
    before = trainer.best if saved is None else Fidelity(*saved["before"])
    trainer.before = before
    trainer.run(stages, saved)
    run.module.to("cpu")
    block_steps = sum(trainer.counts[:-1])
    model, found = run.written(block_steps, steps)
    if trainer.checkpoint is not None:
        trainer.checkpoint.unlink(missing_ok=True)
    external = has_external_data(run.small)
    return Tuned(model, found, block_steps, steps, before, trainer.best, run.samples, external)


def require_trainable(model: AnyModel) -> fx.GraphModule:
    """The module of a model that can be trained.

    Raises :class:`InputError` for one that :func:`irprune.torch.from_onnx` does not take, naming the node, and for one
    without weights of at least 32 bits.
    """
    module = from_onnx(model)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise InputError("the model has no weights that could be trained")
    _require_wide(module)
    return module


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
    kept: Kept
    seed: int
    key: str

    @staticmethod
    def opened(original: AnyModel, pruned: AnyModel, data: AnyData, plan: Plan | None, seed: int) -> _Run:
        small = open_model(pruned)
        module = require_trainable(small.model)
        large = open_model(original)
        if plan is not None:
            require_same(large.identity, plan)
        proto = to_whole_proto(large.model)
        kept = Kept.of(large, plan)
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

    def blocks(self, steps: int) -> list[Stage]:
        """All blocks at once, if there are any."""
        present = [end.value for end in self.ends]
        inner = self._comparable(cuts(self.graph, present))
        if not inner or not steps:
            return []
        values = (*inner, *present)
        some = self._affordable(self.samples.fitted, values)
        return [replace(self._stage("blocks", values, inner, some, BLOCK_BATCH, steps), rate=BLOCK_RATE, adapts=False)]

    def whole(self, feeds: Sequence[Feeds], steps: int) -> Stage:
        """The whole network, compared at its ends and before its last layers."""
        present = [end.value for end in self.ends]
        hints = self._comparable(last_features(self.graph, present))
        return self._stage("whole network", (*present, *hints), (), feeds, BATCH, steps)

    def ways(self, flip: bool | None) -> list[View]:
        """The ways to see images otherwise."""
        feed = self.samples.fitted[0]
        if not has_images(feed):
            return [mirrored] if flip and flipped([feed]) else []
        if flip is None:
            flip = self._is_alike(mirrored)
        return [*([mirrored] if flip else []), *([shifted] if self._is_alike(shifted) else [])]

    def _is_alike(self, way: View) -> bool:
        """Whether the original answers images that are seen otherwise as it does the images."""
        values = [end.value for end in self.ends]
        feed = self.samples.fitted[0]
        plain, other = (self.examples([each], values).runs[0] for each in (feed, way(feed, self.seed)))
        if any(plain[value].shape != other[value].shape for value in values):
            return False
        errors = [
            float(loss_of(end, other[end.value], plain[end.value])) / scale_of(end, [plain[end.value]])
            for end in self.ends
        ]
        return sum(errors) / len(errors) < _ALIKE

    def views(self, plain: Stage, steps: int, ways: Sequence[View]) -> int:
        """How many views of each input to train on, that itself included."""
        if not ways:
            return 1
        (least, most) = (2, 2) if list(ways) == [mirrored] else (1 + (mirrored in ways), _MOST_VIEWS)
        size = sum(tensor.nbytes for run in plain.examples.runs for tensor in run.values())
        passes = steps * plain.batch
        return max(least, min(most, passes // (_MEETINGS * plain.examples.count), MEMORY // max(size, 1)))

    def seen(self, ways: Sequence[View], views: int, *, mixup: bool) -> list[Feeds]:
        """The inputs in some views: as they are, mirrored, shifted, both, and so on with other shifts."""
        feeds = list(self.samples.fitted)
        mirrors = mirrored in ways
        for view in range(1, views):
            for number, feed in enumerate(self.samples.fitted):
                turned = mirrored(feed, 0) if mirrors and view % 2 else feed
                moves = shifted in ways and view > mirrors
                feeds.append(shifted(turned, self.seed + view * len(self.samples.fitted) + number) if moves else turned)
        return feeds + (mixed(feeds, self.seed) if mixup else [])

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


def _require_wide(module: fx.GraphModule) -> None:
    """Raise :class:`InputError` for weights in half precision: the small steps of training round to nothing there."""
    for name, parameter in module.named_parameters():
        if parameter.dtype.itemsize < _FLOAT_BYTES:
            raise InputError(
                f"weight '{name}' is {str(parameter.dtype).removeprefix('torch.')}, training needs float32: "
                "fine-tune before the model is converted to half precision"
            )


def _fitting(run: _Run, trainer: Trainer, stages: Sequence[Stage], end: float, ways: Sequence[View]) -> int:
    """The steps of the last stage that fit until some time together with all else, by a few that are timed."""
    seconds = [_seconds_of(trainer, stage) for stage in stages]
    began = time.monotonic()
    trainer.look()
    looks = LOOKS * len(stages) * (time.monotonic() - began)
    began = time.monotonic()
    some = run.samples.fitted[:_PROBED]
    run.examples(some, [end.value for end in run.ends])
    answer = (time.monotonic() - began) * len(run.samples.fitted) / len(some)
    rest = end - time.monotonic() - looks
    rest -= sum(stage.steps * each for stage, each in zip(stages[:-1], seconds, strict=False))
    most = max(1, int(rest / seconds[-1]))
    answers = (run.views(stages[-1], most, ways) - 1) * answer
    return max(1, int((rest - answers) / seconds[-1]))


def _seconds_of(trainer: Trainer, stage: Stage) -> float:
    """The time of one step; the weights stay."""
    stage = stage.prepared()
    stage.backward(0)
    began = time.monotonic()
    for step in range(_PROBED):
        stage.backward(step)
    trainer.module.zero_grad()
    return (time.monotonic() - began) / _PROBED
