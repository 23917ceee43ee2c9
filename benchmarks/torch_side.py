"""irprune.torch beside Torch-Pruning on modules: ``python -m benchmarks.torch_side [--models M,...]``.

Every tool does every model in a process of its own. Torch-Pruning gets no settings for single models; layers that
make the model's results are left alone.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from .task import RATIO, SEED, THREADS

MODELS = (
    *("resnet50", "vgg16_bn", "densenet121", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny"),
    *("shufflenet_v1", "shufflenet_v2_x1_0", "yolov8", "maxvit_tiny", "raft"),
    *("bert", "gpt2", "llama", "vit", "swin", "t5", "mamba", "lstm_tagger"),
)
RUNS = 5
TIMEOUT = 90
Found = dict[str, Any]


def build(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The model in evaluation and inputs for it: those of the zoo in their full size, transformers in a tiny one."""
    from irprune.models.architectures import ARCHITECTURES, instantiate
    from irprune.models.export import example_inputs, randomize
    from irprune.models.zoo import ZOO

    if name not in ZOO:
        return instantiate(ARCHITECTURES[name], SEED), ARCHITECTURES[name].example(SEED)
    entry = ZOO[name]
    model = entry.build()
    randomize(model, SEED)
    return model.eval(), example_inputs(entry.input_shape, batch=1)


def size(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def floats(model: Any, inputs: tuple[Any, ...]) -> list[Any]:
    import torch
    from torch.utils import _pytree as pytree

    with torch.no_grad():
        leaves = pytree.tree_leaves(model(*inputs))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]


def irprune(name: str) -> Found:
    """Seconds without verification; then the tool's own verification, in torch alone."""
    import irprune.torch as tool

    seconds = []
    for _ in range(RUNS):
        model, inputs = build(name)
        began = perf_counter()
        result = tool.prune(model, inputs, ratio=RATIO, verify=False)
        seconds.append(perf_counter() - began)
    report = tool.verify(result.program, result.model, result.plan, runtime=False)
    left = size(result.model) / size(model)
    return {"seconds": min(seconds), "left": left, "correct": "equal" if report.ok else "differs"}


def torch_pruning(name: str) -> Found:
    """Seconds without a reference; one more run records what goes."""
    import torch_pruning as tp

    seconds = []
    for _ in range(RUNS):
        model, inputs = build(name)
        ignored = makers_of_results(model, inputs)
        began = perf_counter()
        importance = tp.importance.GroupMagnitudeImportance(p=2)
        tp.pruner.BasePruner(model, inputs, importance, pruning_ratio=RATIO, ignored_layers=ignored).step()
        seconds.append(perf_counter() - began)
    left = size(model) / size(build(name)[0])
    try:
        floats(model, inputs)
        correct = compare(name)
    except Exception as error:
        correct = f"does not run: {brief(error)}"
    return {"seconds": min(seconds), "left": left, "correct": correct}


def makers_of_results(model: Any, inputs: tuple[Any, ...]) -> list[Any]:
    """The layers whose output is a result of the model."""
    made: list[tuple[Any, Any]] = []
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda layer, _, output: made.append((layer, output)))
    results = {id(leaf) for leaf in floats(model, inputs)}
    for module in model.modules():
        module._forward_hooks.clear()
    return [layer for layer, output in made if id(output) in results]


def compare(name: str) -> str:
    """The pruned module against the original in which the channels that went are zero, and absent from statistics."""
    import torch
    import torch_pruning as tp

    model, inputs = build(name)
    reference = copy.deepcopy(model)
    twins = dict(zip(model.modules(), reference.modules(), strict=True))
    pruner = tp.pruner.BasePruner(
        model,
        inputs,
        tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=RATIO,
        ignored_layers=makers_of_results(model, inputs),
    )
    alive: dict[tuple[Any, bool], list[int]] = {}
    for group in pruner.step(interactive=True):
        for dep, positions in group:
            layer, outward = dep.target.module, pruner.DG.is_out_channel_pruning_fn(dep.handler)
            if layer in twins and positions and not mask(layer, twins[layer], outward, positions, alive):
                return f"not compared ({type(layer).__name__})"
        group.prune()
    expected, found = floats(reference, inputs), floats(model, inputs)
    if [left.shape for left in expected] != [right.shape for right in found]:
        return "results of another shape"
    same = all(torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max())) for a, b in zip(expected, found))  # noqa: B905
    return "equal" if same else "differs"


def mask(layer: Any, twin: Any, outward: bool, positions: list[int], alive: dict[tuple[Any, bool], list[int]]) -> bool:
    """Take channels of a layer away from its twin; whether there is a way to.

    ``positions`` count among the channels that are ``alive``. What batch normalization or a depthwise convolution makes
    of a channel is nothing to the layers behind, which do not read it.
    """
    from torch import nn

    depthwise = isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
    if depthwise or isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return True
    known = isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding | nn.LayerNorm)
    if not known or (isinstance(layer, nn.Conv2d) and layer.groups > 1):
        return False
    outward = outward and isinstance(layer, nn.Conv2d | nn.Linear)
    weight = twin.weight.data
    axis = 0 if outward or isinstance(layer, nn.LayerNorm) else 1
    numbers = alive.setdefault((layer, outward), list(range(weight.shape[axis])))
    gone = [numbers[position] for position in positions]
    kept = alive[layer, outward] = [number for number in numbers if number not in set(gone)]
    if isinstance(layer, nn.LayerNorm):
        twin.forward = partial(norm_of_kept, twin, kept)
    elif outward:
        weight[gone] = 0
        if twin.bias is not None:
            twin.bias.data[gone] = 0
    else:
        weight[:, gone] = 0
    return True


def norm_of_kept(norm: Any, kept: list[int], x: Any) -> Any:
    """Layer normalization of the channels that stay; the others are zero."""
    import torch

    weight, bias = (None if w is None else w[kept] for w in (norm.weight, norm.bias))
    y = torch.zeros_like(x)
    y[..., kept] = torch.nn.functional.layer_norm(x[..., kept], (len(kept),), weight, bias, norm.eps)
    return y


TOOLS: dict[str, Callable[[str], Found]] = {"irprune": irprune, "torch-pruning": torch_pruning}


def brief(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:90].replace("|", "\\|")


def perform(tool: str, name: str) -> Found:
    """Do one model with one tool in another process."""
    command = [sys.executable, "-m", "benchmarks.torch_side", "--one", tool, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        found: Found = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {TIMEOUT} seconds"}
    except (IndexError, ValueError):
        return {"error": "the process died"}
    return found


def line(name: str, tool: str, found: Found) -> str:
    if "error" in found:
        return f"| {name} | {tool} | {found['error']} | – | – | – |"
    outcome = "pruned" if found["left"] < 1 else "removes nothing"
    return f"| {name} | {tool} | {outcome} | {found['correct']} | {found['seconds']:.2f} | {found['left']:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torch_side", description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--one", nargs=2, metavar=("TOOL", "MODEL"), help="do one model here and print JSON")
    options = parser.parse_args()
    if options.one:
        import torch

        torch.set_num_threads(THREADS)
        try:
            found = TOOLS[options.one[0]](options.one[1])
        except Exception as error:  # whatever a tool raises is the finding
            found = {"error": brief(error)}
        print(f"\n{json.dumps(found)}")
        return
    print("| model | tool | outcome | against the masked original | seconds | parameters left |")
    print("|---|---|---|---|---:|---:|")
    for name in options.models.split(","):
        for tool in TOOLS:
            print(line(name, tool, perform(tool, name)), flush=True)


if __name__ == "__main__":
    main()
