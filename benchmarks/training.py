"""Data and trained networks of the benchmarks of accuracy, made once and kept in a cache.

    python -m benchmarks.training DATA --cache FOLDER [NAME ...]

``DATA`` is a folder with ``fashion_mnist/train.npz`` and ``test.npz`` (``X`` uint8 ``[n, 28, 28]``, ``y``). A
network is a state dictionary and an ONNX file with an open batch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from irprune.models.export import write_onnx

from .networks import EPOCHS, IMAGE_NETWORKS, RATES, bert
from .texts import LENGTH, texts

Arrays = NDArray[Any]
BATCH, SEED = 128, 0
MEAN, DEVIATION = 0.286, 0.353
"""Of the images in Fashion-MNIST, as shares of white."""

FULL_PRECISION = ("mobilenet",)
"""Networks that train faster in float32: depthwise convolutions in bfloat16 are slow on the CPU."""


@dataclass(frozen=True)
class Task:
    """Inputs and labels: ``fit`` to train on (and, without the labels, to prune with), ``judge`` to score."""

    input: str
    fit: tuple[Arrays, Arrays]
    judge: tuple[Arrays, Arrays]

    @property
    def classes(self) -> int:
        return int(self.fit[1].max()) + 1


def image_task(data: Path) -> Task:
    """Fashion-MNIST, normalized."""
    parts = []
    for name in ("train", "test"):
        with np.load(data / "fashion_mnist" / f"{name}.npz") as stored:
            images = (stored["X"].astype(np.float32) / 255 - MEAN) / DEVIATION
            parts.append((images[:, None], stored["y"].astype(np.int64)))
    return Task("input", *parts)


def text_task(cache: Path) -> Task:
    """Which library a passage of documentation belongs to; reading the libraries takes a minute, so it is done once."""
    file = cache / "texts.npz"
    if not file.exists():
        found = texts()
        parts = (found.tokens[0], found.labels[0], found.tokens[1], found.labels[1])
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, *parts)
    with np.load(file) as stored:
        parts = tuple(stored[name] for name in ("arr_0", "arr_1", "arr_2", "arr_3"))
    return Task("tokens", parts[:2], parts[2:])


def task_of(name: str, data: Path, cache: Path) -> Task:
    """The task that a network solves."""
    return text_task(cache) if name == "bert" else image_task(data)


def build(name: str, task: Task) -> nn.Module:
    """A network that is not trained yet."""
    torch.manual_seed(SEED)
    if name == "bert":
        return bert(task.classes, int(task.fit[0].max()) + 1, LENGTH)
    return IMAGE_NETWORKS[name]()


def trained(name: str, task: Task, cache: Path) -> tuple[nn.Module, Path]:
    """The network and its ONNX file; trains it if the cache does not have it."""
    cache.mkdir(parents=True, exist_ok=True)
    module, weights, file = build(name, task), cache / f"{name}.pt", cache / f"{name}.onnx"
    if weights.exists():
        module.load_state_dict(torch.load(weights, weights_only=True))
    else:
        fit(module, task, name)
        torch.save(module.state_dict(), weights)
    if not file.exists():
        example = torch.from_numpy(task.fit[0][:2])
        write_onnx(
            module, (example,), file, exporter="torchscript", names=[task.input], outputs=["logits"],
            dynamic=[{0: "batch"}, {0: "batch"}],
        )  # fmt: skip
    return module.eval(), file


def fit(module: nn.Module, task: Task, name: str) -> None:
    """AdamW with a one-cycle schedule and mirrored images."""
    inputs, labels = (torch.from_numpy(part) for part in task.fit)
    optimizer = torch.optim.AdamW(module.parameters(), RATES[name], weight_decay=0.02)
    steps = EPOCHS[name] * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATES[name], total_steps=steps, pct_start=0.2)
    module.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    began = time.process_time()
    for step, chosen in enumerate(_batches(len(labels), steps)):
        x = _mirrored(inputs[chosen]) if inputs.ndim == 4 else inputs[chosen]
        with torch.autocast("cpu", torch.bfloat16, enabled=name not in FULL_PRECISION):
            logits = module(x)
        loss = nn.functional.cross_entropy(logits.float(), labels[chosen], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            seconds = time.process_time() - began
            print(f"{name}: step {step} of {steps}, loss {loss.item():.3f}, {seconds:.0f} CPU s", flush=True)
    module.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _batches(count: int, steps: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    done = 0
    while True:
        order = torch.randperm(count, generator=generator)
        for first in range(0, count - BATCH + 1, BATCH):
            if done == steps:
                return
            yield order[first : first + BATCH]
            done += 1


def _mirrored(images: Tensor) -> Tensor:
    flip = torch.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(flip, images.flip(3), images).contiguous(memory_format=torch.channels_last)


def score(module: nn.Module, task: Task) -> float:
    """The share of samples that are labeled correctly."""
    inputs, labels = task.judge
    with torch.no_grad():
        found = [
            module(torch.from_numpy(inputs[k : k + 500])).argmax(dim=-1).numpy() for k in range(0, len(labels), 500)
        ]
    return float((np.concatenate(found) == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=[*IMAGE_NETWORKS, "bert"])
    parser.add_argument("--cache", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.names:
        task = task_of(name, given.data, given.cache)
        module, file = trained(name, task, given.cache)
        print(f"{name}: {score(module, task):.2%} of {len(task.judge[1])} test samples, {file}", flush=True)


if __name__ == "__main__":
    main()
