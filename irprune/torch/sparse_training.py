"""Zeros that grow while a module trains, and stay zero in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..frontends.captured import attribute_of
from ..ir.core import Array
from ..sparsity.patterns import Zeros, lowest, zeros
from ..sparsity.sparsify import chosen_layers
from ..zeros import Pattern, Sparsity, SparsityOptions
from .program import Program

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SparseTraining:
    """Gradual magnitude pruning (Zhu and Gupta, *To Prune, or Not to Prune*, 2017); :meth:`step` follows the optimizer.

    ::

        zeros = SparseTraining(trace(model, (images,)), steps=1000, ratio=0.8)  # or pattern="2:4"
        for batch in batches:
            optimizer.zero_grad()
            loss_of(zeros.module, batch).backward()
            optimizer.step()
            zeros.step()

    The share of zeros grows over ``steps`` as ``1 - (1 - t)^3``; every ``every`` steps the smallest weights join them,
    and all of them are set to zero again after each step. ``module`` holds the parameters of the program's model. The
    options are those of :class:`irprune.Sparsity`; zeros are chosen by magnitude. With
    :class:`irprune.torch.IterativePruning`, make one for each module that it yields.

    Raises :class:`InputError` for options that make no sense, and :class:`TargetError` where no parameter has room.
    """

    def __init__(self, program: Program, *, steps: int, every: int = 50, **options: Unpack[SparsityOptions]) -> None:
        if steps < 1 or every < 1:
            raise InputError(f"steps and every must be at least 1, got {steps} and {every}")
        self.module = program.module
        self.steps, self.every, self.taken = steps, every, 0
        self.options = Sparsity.given(options).with_data(False)
        self._graph = program.analysis().graph
        parameters = {name for name, _ in program.module.named_parameters(remove_duplicate=False)}
        found, _ = chosen_layers(program.analysis(), self.options)
        self._layers = [layer for layer in found if layer.stored <= parameters]
        if not self._layers:
            raise InputError("no parameter of the module may become sparse: weights are computed, shared or frozen")
        self.masks: dict[str, Tensor] = {}

    @property
    def share(self) -> float:
        """The share of zeros that the weights have by now."""
        kept = sum(float(mask.sum()) for mask in self.masks.values())
        return 1 - kept / sum(mask.numel() for mask in self.masks.values()) if self.masks else 0.0

    @torch.no_grad()
    def step(self) -> None:
        """Let the zeros grow if it is time, and set all of them to zero."""
        self.taken += 1
        if self.taken <= self.steps and (self.taken % self.every == 0 or self.taken == self.steps):
            self._grow(1 - (1 - self.taken / self.steps) ** 3)
        for name, mask in self.masks.items():
            weight = attribute_of(self.module, name)
            weight.mul_(mask.to(weight.device, weight.dtype))

    def _grow(self, done: float) -> None:
        """Choose the zeros again: those of before have the least magnitude."""
        names = sorted({name for layer in self._layers for name in layer.stored})
        values = {name: attribute_of(self.module, name).detach().cpu().double().numpy() for name in names}
        constants = self._graph.with_values(values).constants
        scores = [layer.matrix(constants) ** 2 for layer in self._layers]
        ones = {name: np.ones_like(array) for name, array in values.items()}
        for layer, gone in zip(self._layers, self._zeros(scores, done), strict=True):
            marks: Mapping[str, Array] = layer.tensors(
                np.where(gone, 0.0, 1.0), self._graph.with_values(ones).constants
            )
            ones |= marks
        self.masks = {name: torch.from_numpy(np.asarray(array) != 0) for name, array in ones.items()}

    def _zeros(self, scores: list[np.ndarray], done: float) -> list[Zeros]:
        pattern, share = self.options.shape, (self.options.ratio or 0.0) * done
        if self.options.scope == "global":
            return lowest(pattern, scores, share)
        partly = _partly(pattern, done)
        return [zeros(partly, own, share) for own in scores]


def _partly(pattern: Pattern, done: float) -> Pattern:
    """``N:M`` on the way: fewer zeros of every M."""
    if not pattern.keep:
        return pattern
    return replace(pattern, keep=pattern.of - round((pattern.of - pattern.keep) * done))
