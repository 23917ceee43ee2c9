"""The zoo as ONNX files, exported once for all workers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from irprune.models.export import Exporter
from irprune.models.zoo import ZOO

SEED = 0


@dataclass(frozen=True)
class Variant:
    """One way to export a model."""

    exporter: Exporter = "torchscript"
    dynamic: bool = False
    folded: bool = True
    opset: int | None = None

    def __str__(self) -> str:
        opset = f"-opset{self.opset}" if self.opset else ""
        return f"{self.exporter}-{'dynamic' if self.dynamic else 'fixed'}-{'folded' if self.folded else 'bn'}{opset}"


FAST = Variant()
"""What the fast tests run on: a tenth of a second a model."""

VARIANTS = (
    FAST,
    Variant(dynamic=True),
    Variant(folded=False),
    Variant("dynamo"),
    Variant("dynamo", dynamic=True),
    Variant("dynamo", folded=False),
)

OLD_OPSETS = (Variant(opset=7), Variant(dynamic=True, opset=9), Variant(folded=False, opset=11))
NOT_IN_OPSET = {
    7: {
        *("attention_cbam", "autoencoder", "autoencoder_grouped", "convnext_tiny", "deeplab", "maxvit_tiny"),
        *("mlp_residual", "raft", "resnet20_option_a", "unet_bilinear", "unet_nearest", "yolov8"),
    },
    9: {"autoencoder", "autoencoder_grouped", "raft", "resnet20_option_a"},
    11: {"autoencoder", "autoencoder_grouped", "raft"},
}
"""What the exporter refuses, or writes operators of later opsets for."""


class Exports:
    """A folder of exported models at test size; several processes may fill it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, variant: Variant = FAST) -> Path:
        path = self.folder / f"{name}-{variant}.onnx"
        if not path.exists():
            write(name, variant, path)
        return path


def write(name: str, variant: Variant, path: Path, *, full: bool = False) -> None:
    """Export a model of the zoo with random weights. The file appears whole, whoever else writes it."""
    from irprune.models.export import export, randomize

    entry = ZOO[name]
    module = entry.build() if full else entry.tiny()
    randomize(module, SEED)
    own = path.with_name(f"{path.name}.{os.getpid()}")
    with one_torch_thread():
        export(
            module,
            entry.input_shape if full else entry.tiny_shape,
            own,
            exporter=variant.exporter,
            dynamic_batch=variant.dynamic,
            fold_bn=variant.folded,
            opset=variant.opset,
        )
    os.replace(own, path)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Small tensors on several threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that is the same in every xdist worker of a run."""
    base = factory.getbasetemp()
    folder = (base.parent if re.fullmatch(r"popen-gw\d+", base.name) else base) / name
    folder.mkdir(exist_ok=True)
    return folder
