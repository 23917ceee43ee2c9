"""Time and memory of pruning on data at full size: a ResNet-50 and 256 images of 224 x 224.

    python -m benchmarks.recovery [--model resnet50.onnx --data images.npz]

By default the weights are random; batch normalizations have the statistics that the network itself shows on the images,
which are noise of all scales. ``irprune prune`` runs in a process of its own, all of it counted: reading, calibration,
choice, refit, verification and writing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GIB = 1 << 30


def images(count: int, side: int = 224, seed: int = 0) -> NDArray[np.float32]:
    """``[count, 3, side, side]``: noise of scales from one pixel to a quarter of the image, standardized."""
    rng = np.random.default_rng(seed)
    total = np.zeros((count, 3, side, side), np.float32)
    for scale in (1, 4, 14, 56):
        coarse = rng.standard_normal((count, 3, side // scale, side // scale)).astype(np.float32)
        total += coarse.repeat(scale, axis=2).repeat(scale, axis=3)
    deviation = total.std(axis=(2, 3), keepdims=True)
    return np.asarray((total - total.mean(axis=(2, 3), keepdims=True)) / deviation, dtype=np.float32)


def write_resnet50(path: Path, seen: NDArray[np.float32]) -> None:
    """A ResNet-50 whose batch normalizations have the statistics of ``seen``, folded into its convolutions."""
    import torch

    from irprune.models.export import export, randomize
    from irprune.models.resnet import ENTRIES

    entry = next(entry for entry in ENTRIES if entry.name == "resnet50")
    network = entry.build()
    randomize(network, 0)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # averages over all that it sees
            layer.reset_running_stats()
    network.train()
    with torch.no_grad():
        for start in range(0, len(seen), 16):
            network(torch.from_numpy(seen[start : start + 16]))
    export(network, (1, 3, 224, 224), path, exporter="torchscript", dynamic_batch=True)


def measured(model: Path, data: Path, folder: Path, options: list[str]) -> dict[str, Any]:
    """What a process took that prunes, and what it reports."""
    command = [sys.executable, "-m", "irprune", "prune", str(model), "-o", str(folder / "small.onnx")]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, "--data", str(data), "--json", *options], stdout=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = after.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    found = json.loads(done.stdout)
    return {
        "cpu_seconds": round(seconds, 1),
        "wall_seconds": round(time.perf_counter() - start, 1),
        "peak_gib": round(peak / GIB, 2),
        "macs": found["cost"]["macs"],
        "recovery": {name: value for name, value in found["recovery"].items() if name != "changes"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--model", type=Path, help="an ONNX file in the place of the random ResNet-50")
    parser.add_argument("--data", type=Path, help="its inputs (.npz)")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--options", nargs="*", default=["--macs", "0.5"], help="of irprune prune")
    given = parser.parse_args()
    if (given.model is None) != (given.data is None):
        parser.error("give --model and --data, or neither")
    with tempfile.TemporaryDirectory(prefix="irprune-bench-") as name:
        folder = Path(name)
        model, data = given.model, given.data
        if model is None or data is None:
            model, data = folder / "resnet50.onnx", folder / "images.npz"
            seen = images(given.images)
            write_resnet50(model, seen[:64])
            np.savez(data, input=seen)
            del seen
        found = measured(model, data, folder, given.options)
    print(json.dumps({"cores": os.cpu_count(), **found}, indent=1))


if __name__ == "__main__":
    main()
