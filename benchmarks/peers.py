"""Other pruners at a given share of the multiply-accumulates: the strength that meets it is found by bisection.

Torch-Pruning 1.6.1 prunes the module and is exported; its data criteria get the gradients of a loss toward the
original's own decisions, on the same unlabeled samples that irprune gets. onnxsim 0.8.1 prunes the ONNX file.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irprune.api import analyze_model, open_model
from irprune.errors import TargetError
from irprune.models.export import write_onnx

_STEPS = 8
_NEAR = 0.01
_BATCH = 32


def macs_of(path: Path) -> int:
    """The multiply-accumulates of an ONNX file for one sample, as irprune counts them."""
    return int(analyze_model(open_model(path)).cost_model({}).macs)


@dataclass(frozen=True)
class Subject:
    """What is pruned; ``module`` is ``None`` for a model that only exists as a file."""

    file: Path
    module: Any
    input: str
    samples: NDArray[Any]


def met(make: Callable[[float], object], output: Path, goal: float) -> float:
    """Call ``make`` with strengths between 0 and 1 until the file ``output`` costs ``goal`` MACs, or just less.

    Returns its cost. Raises :class:`TargetError` where no strong one does.
    """
    low, high = 0.0, _strong_enough(make, output, goal)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        make(middle)
        cost = macs_of(output)
        if abs(cost / goal - 1) <= _NEAR:
            return cost
        low, high = (low, middle) if cost < goal else (middle, high)
    make(high)
    return macs_of(output)


def _strong_enough(make: Callable[[float], object], output: Path, goal: float) -> float:
    """A strength that meets the goal. The largest need not: tools leave a layer whole rather than empty."""
    for strength in (0.9, 0.75, 0.6, 0.97):
        make(strength)
        if macs_of(output) <= goal * (1 + _NEAR):
            return strength
    raise TargetError("out of reach")


def torch_pruning(subject: Subject, output: Path, share: float, criterion: str) -> float:
    """Prune by ``l2``, ``taylor`` or ``hessian``; returns the CPU seconds without the search for the strength."""
    import torch
    import torch_pruning as tp

    kinds = {
        "l2": lambda: tp.importance.GroupMagnitudeImportance(p=2),
        "taylor": tp.importance.GroupTaylorImportance,
        "hessian": tp.importance.GroupHessianImportance,
    }
    inputs = torch.from_numpy(subject.samples)
    began = time.process_time()
    measured = copy.deepcopy(subject.module).eval()
    found = kinds[criterion]()
    if criterion != "l2":
        _gradients(measured, inputs, found, criterion)
    measuring, times = time.process_time() - began, []

    def make(strength: float) -> None:
        began = time.process_time()
        # In one copy, since gradients are looked up by parameter; a copied parameter has none of its own.
        module, importance = copy.deepcopy((measured, found))
        for own, other in zip(module.parameters(), measured.parameters(), strict=True):
            own.grad = None if other.grad is None else other.grad.clone()
        last = [part for part in module.modules() if isinstance(part, torch.nn.Linear)][-1:]
        attentions = [part for part in module.modules() if hasattr(part, "per_head")]
        heads = {
            linear: part.q.out_features // part.per_head for part in attentions for linear in (part.q, part.k, part.v)
        }
        pruner = tp.pruner.BasePruner(
            module, inputs[:2], importance, pruning_ratio=strength, ignored_layers=last,
            num_heads=heads, prune_num_heads=bool(heads), prune_head_dims=not heads, head_pruning_ratio=strength,
        )  # fmt: skip
        pruner.step()
        module.zero_grad()
        times.append(time.process_time() - began)
        write_onnx(module, (inputs[:2],), output, exporter="torchscript", names=[subject.input],
                   dynamic=[{0: "batch"}])  # fmt: skip

    met(make, output, share * macs_of(subject.file))
    return measuring + float(np.median(times))


def _gradients(module: Any, inputs: Any, importance: Any, criterion: str) -> None:
    import torch

    with torch.no_grad():
        wanted = module(inputs).argmax(dim=-1)
    if criterion == "hessian":
        importance.zero_grad()
    for first in range(0, len(inputs), _BATCH):
        logits = module(inputs[first : first + _BATCH])
        losses = torch.nn.functional.cross_entropy(logits, wanted[first : first + _BATCH], reduction="none")
        if criterion == "taylor":
            losses.sum().backward()
            continue
        for loss in losses:
            module.zero_grad()
            loss.backward(retain_graph=True)
            importance.accumulate_grad(module)


def onnxsim(subject: Subject, output: Path, share: float, refits: bool) -> float:
    """Prune by Wanda, with the tool's two fine-tunings if ``refits``; returns the CPU seconds without the search."""
    import onnx
    import onnxsim as tool

    batches = [{subject.input: subject.samples[k : k + 32]} for k in range(0, len(subject.samples), 32)]
    times = []

    def make(strength: float) -> None:
        began = time.process_time()
        model = tool.apply_structured_wanda_pruning(str(subject.file), batches, sparsity=strength)
        if subject.samples.ndim == 3 or subject.input == "tokens":
            model = tool.apply_attention_head_wanda_pruning(model, batches, sparsity=strength)
        times.append(time.process_time() - began)
        onnx.save(model, output)

    met(make, output, share * macs_of(subject.file))
    began = time.process_time()
    if refits:
        model = tool.apply_pruning_finetune(str(subject.file), str(output), batches)
        model, _ = tool.apply_block_finetune_all_blocks(str(subject.file), model, calibration_data=batches)
        onnx.save(model, output)
    return float(np.median(times)) + time.process_time() - began
