"""Weights fit for numeric comparison, and export to ONNX through either of PyTorch's exporters."""

import math
from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from ..torch.capture.module import quiet
from .entry import Shape

Exporter = Literal["dynamo", "torchscript"]


def _fan_in(module: nn.Module, weight: Tensor) -> float:
    """Number of terms in the sum that makes one element of the layer's output."""
    if isinstance(module, _ConvTransposeNd):
        return module.in_channels / module.groups * math.prod(module.kernel_size) / math.prod(module.stride)
    if isinstance(module, _ConvNd | nn.Linear):
        return weight.numel() / weight.shape[0]
    return weight.shape[-1]


@torch.no_grad()
def randomize(module: nn.Module, seed: int) -> None:
    """Give parameters and batch statistics values of a trained network's kind, the same for the same seed.

    Fresh batch normalization is the identity and fresh layer scale is nearly zero: with either, a model in
    which the wrong channels were removed may compute the right result.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            if "bias" in name:
                parameter.normal_(0, 0.1, generator=generator)
            elif isinstance(layer, nn.PReLU):
                parameter.uniform_(0.1, 0.4, generator=generator)
            elif isinstance(layer, _ConvNd | nn.Linear) or parameter.numel() > max(parameter.shape, default=1):
                parameter.normal_(0, math.sqrt(2 / _fan_in(layer, parameter)), generator=generator)
            else:
                parameter.uniform_(0.75, 1.25, generator=generator)
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)


def example_inputs(shape: Shape | tuple[Shape, ...], batch: int | None = None, seed: int = 0) -> tuple[Tensor, ...]:
    """Standard normal inputs of the shapes given, or of these with another batch size."""
    generator = torch.Generator().manual_seed(seed)
    shapes = shape if isinstance(shape[0], tuple) else (shape,)
    return tuple(torch.randn(batch or dims[0], *dims[1:], generator=generator) for dims in shapes)


def export(
    module: nn.Module,
    shape: Shape | tuple[Shape, ...],
    path: Path,
    *,
    exporter: Exporter,
    dynamic_batch: bool,
    fold_bn: bool = True,
    opset: int | None = None,
) -> None:
    """Write the module as it acts in evaluation, all weights within the one file.

    ``shape`` includes the batch, which a dynamic one overrides. Without ``fold_bn`` every batch normalization
    is a node of its own. With it the exporter folds what it can: neither folds one after a concatenation,
    torchscript none after a linear layer or a transposed convolution, dynamo none after weights used twice.
    """
    # torch.export takes a dimension of 1 for a constant, so a dynamic batch is traced at another size.
    inputs = example_inputs(shape, 2 if dynamic_batch else None)
    names = ["input"] if len(inputs) == 1 else [f"input_{index}" for index in range(len(inputs))]
    dynamic = tuple({0: "batch"} for _ in names) if dynamic_batch else None
    write_onnx(
        module,
        inputs,
        path,
        exporter=exporter,
        names=names,
        dynamic=dynamic,
        fold_bn=fold_bn,
        opset=opset,
    )


def write_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    *,
    exporter: Exporter,
    names: Sequence[str],
    outputs: Sequence[str] | None = None,
    dynamic: Sequence[Mapping[int, str]] | None = None,
    fold_bn: bool = True,
    opset: int | None = None,
) -> None:
    """Write the module as it acts in evaluation on these inputs, all weights within the one file.

    ``names`` and ``outputs`` name the graph's inputs and outputs; ``dynamic`` names the dimensions that vary,
    for each input in turn and for each output after them where it goes that far.
    """
    training = module.training
    module.eval()
    try:
        with quiet(), torch.no_grad():
            if exporter == "dynamo":
                _export_dynamo(module, inputs, path, names, outputs, dynamic, fold_bn, opset)
            else:
                _export_torchscript(module, inputs, path, names, outputs, dynamic, fold_bn, opset)
    finally:
        module.train(training)


def _export_torchscript(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    names: Sequence[str],
    outputs: Sequence[str] | None,
    dynamic: Sequence[Mapping[int, str]] | None,
    fold_bn: bool,
    opset: int | None,
) -> None:
    axes = zip((*names, *(outputs or ())), dynamic or (), strict=False)
    torch.onnx.export(
        module,
        inputs,
        path,
        dynamo=False,
        input_names=names,
        output_names=outputs,
        dynamic_axes={name: dict(dims) for name, dims in axes} if dynamic else None,
        training=torch.onnx.TrainingMode.EVAL if fold_bn else torch.onnx.TrainingMode.PRESERVE,
        opset_version=opset,
    )


def _export_dynamo(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    names: Sequence[str],
    outputs: Sequence[str] | None,
    dynamic: Sequence[Mapping[int, str]] | None,
    fold_bn: bool,
    opset: int | None,
) -> None:
    shapes: tuple[Any, ...] | None = None
    if dynamic is not None:
        shapes = tuple(dict(dims) for dims in dynamic[: len(inputs)])
        kinds = [parameter.kind for parameter in signature(module.forward).parameters.values()]
        if Parameter.VAR_POSITIONAL in kinds:
            shapes = (shapes,)
    program = torch.onnx.export(
        module,
        inputs,
        dynamo=True,
        input_names=names,
        output_names=outputs,
        dynamic_shapes=shapes,
        optimize=fold_bn,
        opset_version=opset,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    if not fold_bn:
        # The exporter's own optimization folds batch normalization too; this is the part that does not.
        from onnxscript import optimizer

        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
    program.save(path, external_data=False)
