"""The loop: Adam on a one-cycle schedule, the best weights by samples held out, a checkpoint to go on from."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ...errors import InputError
from .ends import End
from .losses import decisions, loss_of, scale_of
from .samples import Batch, Examples, order_of
from .student import Student

RATE, BLOCK_RATE = 2e-3, 5e-4
"""The largest learning rate of Adam for the whole network (see :func:`rate_for`), and that of blocks. Blocks learn
slower: the inputs of the later ones change with the earlier ones."""

STEP = 0.02
"""The largest step for a model that knows nothing, as a share of its weights."""

WARM_UP = 0.15
"""The share of the steps in which the rate rises."""

CLIP = 5.0
"""The largest norm of the gradient."""

LOOKS = 10
"""How often in a stage the samples held out are looked at."""

_LOOKED_AT_ONCE = 128
_DIVERGED = 10.0
_SMALLEST_ROOT = 0.05
_MOST_RESTARTS = 4
_SMALLEST_BATCH = 16


@dataclass(frozen=True)
class Fidelity:
    """How near the smaller model is to the original: equal decisions (``None``: it makes none), and the error, where
    one is that of the average answer."""

    agreement: float | None
    error: float


@dataclass(frozen=True)
class Progress:
    """What a callback is told behind each step; ``fidelity`` is that of the last look."""

    stage: str
    step: int
    steps: int
    loss: float
    fidelity: Fidelity


OnStep: TypeAlias = Callable[[Progress], object]


@dataclass(frozen=True)
class Stage:
    """A number of steps by one loss: the sum of those of ``ends`` over ``examples``.

    ``batch`` is the number of samples of a step, ``seed`` what their order follows from. A rate that ``adapts`` is
    smaller the nearer the model already is to the original.
    """

    name: str
    student: Student
    ends: tuple[End, ...]
    examples: Examples
    steps: int
    batch: int
    seed: int
    rate: float = RATE
    adapts: bool = True
    scales: tuple[float, ...] = ()

    def prepared(self) -> Stage:
        """The stage with the scale of each end."""
        runs = self.examples.runs
        return replace(self, scales=tuple(scale_of(end, [run[end.value] for run in runs]) for end in self.ends))

    def backward(self, step: int) -> float:
        """Add the gradients of a step; the loss."""
        order = order_of(self.examples.count, self.batch, step, self.seed)
        parts = 1 if self.examples.stacked else len(order)
        total = 0.0
        for batch in self.examples.picked(order):
            loss = self._loss(batch) / parts
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def _loss(self, batch: Batch) -> Tensor:
        device = next(iter(self.student.parameters())).device
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            ours = self.student(batch)
        losses = [
            loss_of(end, ours[end.value], batch[end.value]) / scale
            for end, scale in zip(self.ends, self.scales, strict=True)
        ]
        return torch.stack(losses).sum()


@dataclass
class Trainer:
    """Trains one module in stages. ``held_out`` are examples of the ends, which are never trained on."""

    module: nn.Module
    ends: tuple[End, ...]
    scales: tuple[float, ...]
    judge: Student
    held_out: Examples
    checkpoint: Path | None = None
    key: str = ""
    on_step: OnStep | None = None
    counts: list[int] = field(default_factory=list)
    best: Fidelity = field(init=False)
    before: Fidelity = field(init=False)
    weights: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.best, self.weights = self.look(), self._state()
        self.before = self.best

    def run(self, stages: Sequence[Stage], saved: Mapping[str, Any] | None = None) -> None:
        """Run all stages, each from the best weights so far, which the module has in the end."""
        begin = 0
        if saved is not None:
            begin = saved["stage"]
            self.best, self.weights = Fidelity(*saved["best"]), saved["weights"]
        for number, stage in enumerate(stages[begin:], begin):
            self._load(self.weights)
            self._stage(number, stage.prepared(), saved if number == begin else None)
        self._load(self.weights)

    @torch.no_grad()
    def look(self) -> Fidelity:
        """The fidelity of the module on the samples held out."""
        same = total = 0
        errors = [0.0] * len(self.ends)
        for batch in self.held_out.in_order(_LOOKED_AT_ONCE):
            device = next(iter(self.judge.parameters())).device
            ours = self.judge({name: tensor.to(device) for name, tensor in batch.items()})
            share = (len(next(iter(batch.values()))) if self.held_out.stacked else 1) / self.held_out.count
            for k, end in enumerate(self.ends):
                theirs = batch[end.value].to(device)
                errors[k] += share * float(loss_of(end, ours[end.value], theirs)) / self.scales[k]
                equal = decisions(end, ours[end.value]) == decisions(end, theirs)
                same, total = same + int(equal.sum()), total + equal.numel()
        error = sum(errors) / len(errors)
        return Fidelity(same / total if total else None, error if math.isfinite(error) else math.inf)

    def _size(self) -> float:
        """The root mean square of weights, in the middle of all matrices."""
        parameters = [p.detach() for p in self.module.parameters() if p.requires_grad]
        matrices = [p for p in parameters if p.ndim > 1] or parameters
        return statistics.median(float(p.square().mean().sqrt()) for p in matrices)

    def _stage(self, number: int, stage: Stage, saved: Mapping[str, Any] | None) -> None:
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        start = self._state()
        rate = rate_for(self.best.error, self._size(), stage.rate) if stage.adapts else stage.rate
        if saved is not None:
            start, rate = saved["start"], saved["rate"]
        for _ in range(_MOST_RESTARTS):
            optimizer = torch.optim.Adam(parameters, lr=rate, foreach=False)
            if self._steps(number, stage, optimizer, parameters, start, rate, saved):
                return
            saved, rate = None, rate / 2
            self._load(start)
        raise InputError(
            f"training diverges at {_MOST_RESTARTS} learning rates, the smallest {2 * rate:g}: the weights stay"
        )

    def _steps(
        self,
        number: int,
        stage: Stage,
        optimizer: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
        start: dict[str, Tensor],
        rate: float,
        saved: Mapping[str, Any] | None,
    ) -> bool:
        """All steps of a stage from the first, or from a checkpoint; whether they got through."""
        begin, first = 0, math.inf
        if saved is not None:
            begin, first = saved["step"], saved["first"]
            self._load(saved["state"])
            optimizer.load_state_dict(saved["optimizer"])
        every = max(1, math.ceil(stage.steps / LOOKS))
        fidelity = self.best
        for step in range(begin, stage.steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * one_cycle((step + 0.5) / stage.steps)
            optimizer.zero_grad()
            loss = stage.backward(step)
            first = loss if step == 0 else first
            if not loss <= _DIVERGED * max(first, 1.0):
                return False
            nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            if (step + 1) % every == 0 or step + 1 == stage.steps:
                fidelity = self.look()
                if fidelity.error < self.best.error:  # decisions of few samples are noise
                    self.best, self.weights = fidelity, self._state()
                self._save(number, step + 1, first, rate, start, optimizer)
            if self.on_step is not None:
                self.on_step(Progress(stage.name, step + 1, stage.steps, loss, fidelity))
        return True

    def _state(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.module.named_parameters()}

    @torch.no_grad()
    def _load(self, state: Mapping[str, Tensor]) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.copy_(state[name])

    def _save(
        self,
        number: int,
        step: int,
        first: float,
        rate: float,
        start: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        if self.checkpoint is None:
            return
        content = {
            "key": self.key,
            "counts": self.counts,
            "before": (self.before.agreement, self.before.error),
            "stage": number,
            "step": step,
            "first": first,
            "rate": rate,
            "best": (self.best.agreement, self.best.error),
            "weights": self.weights,
            "start": start,
            "state": self._state(),
            "optimizer": optimizer.state_dict(),
        }
        beside = self.checkpoint.with_name(f"{self.checkpoint.name}.part")
        torch.save(content, beside)
        os.replace(beside, self.checkpoint)


def one_cycle(share: float) -> float:
    """The factor of the largest rate after a share of the steps: a cosine up, then down (Smith 2018, arXiv 1803.09820,
    as in PyTorch's OneCycleLR)."""
    if share < WARM_UP:
        return 0.5 - 0.5 * math.cos(math.pi * share / WARM_UP)
    return 0.5 + 0.5 * math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))


def rate_for(error: float, size: float, most: float = RATE) -> float:
    """The learning rate for a model with this error and weights of this size.

    A step of Adam moves each weight by the rate, whatever the gradient. Relative to the weights, this disturbs the
    outputs by the square. A rate in proportion to the weights and to the root of the error therefore disturbs a model
    by a fixed share of the error that it has, where a fixed rate would first undo what a good start knows.
    """
    return min(most, STEP * size * min(1.0, max(_SMALLEST_ROOT, math.sqrt(error))))


def batch_for(count: int, most: int) -> int:
    """The samples of a step: a twentieth of all, within bounds."""
    return max(1, min(count, most, max(_SMALLEST_BATCH, count // 20)))


def saved_state(path: Path | None, key: str) -> dict[str, Any] | None:
    """The checkpoint of a run, ``None`` where there is none. Raises :class:`InputError` for one of another run."""
    if path is None or not path.exists():
        return None
    try:
        found: dict[str, Any] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        raise InputError(f"{path} is no checkpoint of training, or damaged: delete it to start anew") from error
    if found.get("key") != key:
        raise InputError(
            f"{path} is the checkpoint of a run with other models, data or options: repeat that command to go on with "
            "it, or delete the file to start anew"
        )
    return found
