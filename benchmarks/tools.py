"""What each tool is asked to do: remove half of the channels, by their L2 norm, each layer for itself.

A function does the job once and says what it cost. Libraries are imported before the clock starts, and only those
that the tool needs: the peak of a process is that of its interpreter and libraries as well.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from .task import RATIO, SEED, THREADS, Sample, Task


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def irprune(task: Task) -> Sample:
    """From the ONNX file to the smaller one, without verification."""
    from irprune.api import analyze_model, open_model, prune

    began = perf_counter()
    prune(task.source, task.output, ratio=RATIO, criterion="l2", scope="local", verify=False)
    file, peak = perf_counter() - began, peak_bytes()

    source = open_model(task.source)
    began = perf_counter()
    _ = analyze_model(source).groups
    return Sample(perf_counter() - began, None, file, None, peak)


def torch_pruning(task: Task) -> Sample:
    """From a module in memory to the smaller one, as the tool's README does it, and on to an ONNX file."""
    import torch
    import torch_pruning as tp

    from irprune.models.export import example_inputs, export, randomize
    from irprune.models.zoo import ZOO

    torch.set_num_threads(THREADS)
    entry = ZOO[task.model]
    module = entry.build().eval()
    randomize(module, SEED)
    inputs = example_inputs(entry.input_shape)
    classifier = [m for m in module.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 1000]

    began = perf_counter()
    pruner = tp.pruner.BasePruner(
        module,
        inputs,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=RATIO,
        ignored_layers=classifier,
    )
    analysis = perf_counter() - began
    pruner.step()
    pruned, pruned_peak = perf_counter() - began, peak_bytes()
    export(module, entry.input_shape, Path(task.output), exporter="torchscript", dynamic_batch=False)
    return Sample(analysis, pruned, perf_counter() - began, pruned_peak, peak_bytes())


def onnxsim(task: Task) -> Sample:
    """From the ONNX file to the smaller one; the tool has no analysis of its own to time."""
    import onnx
    import onnxsim as tool

    began = perf_counter()
    model = tool.apply_structured_pruning(task.source, sparsity=RATIO, importance_norm="l2")
    onnx.save(model, task.output)
    return Sample(None, None, perf_counter() - began, None, peak_bytes())


TOOLS: dict[str, Callable[[Task], Sample]] = {
    "irprune": irprune,
    "torch-pruning": torch_pruning,
    "onnxsim": onnxsim,
}
"""By the name of their distribution."""
