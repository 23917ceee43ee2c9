"""Models with named inputs and outputs, some of whose dimensions vary from run to run, and their export."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from .export import Exporter, randomize, write_onnx

Dim = int | str


@dataclass(frozen=True)
class Input:
    """A graph input. A dimension given by name takes its size from the architecture's ``sizes``.

    A mask is one except at the end of each row, where every second row has a zero.
    """

    name: str
    dims: tuple[Dim, ...]
    kind: Literal["float", "ids", "mask"] = "float"
    vocabulary: int = 99


@dataclass(frozen=True)
class Architecture:
    """A small model whose ``forward`` takes the tensors of ``inputs`` and returns those of ``outputs``.

    ``outputs`` maps each name to the output's named dimensions. ``sizes`` gives the size at which each named
    dimension is exported. ``fixed`` names those over which an exporter unrolls a loop: they cannot vary.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: tuple[Input, ...]
    outputs: Mapping[str, Mapping[int, str]]
    sizes: Mapping[str, int] = field(default_factory=lambda: {"batch": 2, "sequence": 7})
    fixed: Mapping[Exporter, tuple[str, ...]] = field(default_factory=dict)

    def dynamic(self, exporter: Exporter) -> tuple[str, ...]:
        """Names of the input dimensions that vary in a dynamic export."""
        fixed = self.fixed.get(exporter, ())
        return tuple(dim for dim in self.sizes if dim not in fixed)

    def example(self, seed: int = 0, **sizes: int) -> tuple[Tensor, ...]:
        """Random inputs; ``sizes`` replaces the sizes of the dimensions it names."""
        generator = torch.Generator().manual_seed(seed)
        resolved = {**self.sizes, **sizes}
        tensors = []
        for each in self.inputs:
            shape = [resolved[dim] if isinstance(dim, str) else dim for dim in each.dims]
            if each.kind == "float":
                tensors.append(torch.randn(shape, generator=generator))
            elif each.kind == "ids":
                tensors.append(torch.randint(each.vocabulary, shape, generator=generator))
            else:
                mask = torch.ones(shape, dtype=torch.int64)
                mask[1::2, ..., -1] = 0
                tensors.append(mask)
        return tuple(tensors)


def instantiate(entry: Architecture, seed: int = 0) -> nn.Module:
    """The model in evaluation, with weights fit for numeric comparison, the same for the same seed."""
    module = entry.build()
    randomize(module, seed)
    return module.eval()


def export_architecture(
    entry: Architecture, path: Path, exporter: Exporter, dynamic: bool, opset: int | None = None
) -> nn.Module:
    """Write the model and return it; with ``dynamic``, every dimension that can vary does."""
    module = instantiate(entry)
    fixed = entry.fixed.get(exporter, ())
    axes = [
        {axis: dim for axis, dim in dims if isinstance(dim, str) and dim not in fixed}
        for dims in (
            *(enumerate(each.dims) for each in entry.inputs),
            *(named.items() for named in entry.outputs.values()),
        )
    ]
    write_onnx(
        module,
        entry.example(),
        path,
        exporter=exporter,
        names=[each.name for each in entry.inputs],
        outputs=list(entry.outputs),
        dynamic=axes if dynamic else None,
        opset=opset,
    )
    return module
