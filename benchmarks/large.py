"""A model of 3 GB with external data: plan and apply against onnx_ir's plain load, slice and save.

``python -m benchmarks.large`` writes a synthetic model (1,000 MatMul-Relu pairs of 900 x 900 float32, 2,001 nodes) and
runs each job in a process of its own; peak memory includes the interpreter, the libraries and mapped files. With
``--analyze`` it also analyzes the graph of a Llama of 7 billion parameters whose weights are one sparse file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

LAYERS, WIDTH = 1000, 900
_SETTLING_SECONDS = 4


def _external(name: str, dims: tuple[int, ...], kind: int, file: str, offset: int, length: int) -> TensorProto:
    tensor = TensorProto(name=name, dims=dims, data_type=kind, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", file), ("offset", str(offset)), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def write_chain(folder: Path) -> Path:
    """The synthetic model of 3.24 GB."""
    generator = np.random.default_rng(0)
    path = folder / "chain.onnx"
    size = WIDTH * WIDTH * 4
    nodes, weights = [], []
    with (folder / "chain.data").open("wb") as file:
        for k in range(LAYERS):
            file.write((generator.standard_normal((WIDTH, WIDTH), dtype=np.float32) * (2 / WIDTH) ** 0.5).tobytes())
            weights.append(_external(f"w{k}", (WIDTH, WIDTH), TensorProto.FLOAT, "chain.data", k * size, size))
            source = f"r{k - 1}" if k else "x"
            nodes.append(helper.make_node("MatMul", [source, f"w{k}"], [f"m{k}"], name=f"matmul{k}"))
            nodes.append(helper.make_node("Relu", [f"m{k}"], [f"r{k}"], name=f"relu{k}"))
    nodes.append(helper.make_node("Identity", [f"r{LAYERS - 1}"], ["y"], name="result"))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", WIDTH]) for name in "xy")
    graph = helper.make_graph(nodes, "chain", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


class _Llama:
    """Writes the decomposed graph of a decoder with grouped-query attention; the weights file has holes only."""

    def __init__(self, layers: int, hidden: int, heads: int, kv: int, inner: int, vocabulary: int) -> None:
        self.layers, self.hidden, self.heads, self.kv, self.inner = layers, hidden, heads, kv, inner
        self.vocabulary = vocabulary
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self.bytes = 0

    def weight(self, name: str, *dims: int) -> str:
        length = 2 * int(np.prod(dims, dtype=np.int64))
        self.weights.append(_external(name, dims, TensorProto.FLOAT16, "llama.data", self.bytes, length))
        self.bytes += length
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{output}_node", **attributes))
        return output

    def ints(self, name: str, *values: int) -> None:
        self.weights.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))

    def split_heads(self, source: str, name: str, shape: str) -> str:
        return self.node("Transpose", [self.node("Reshape", [source, shape], f"{name}_4")], name, perm=[0, 2, 1, 3])

    def repeat(self, source: str, name: str) -> str:
        tiled = self.node("Tile", [self.node("Unsqueeze", [source, "two"], f"{name}_u"), "repeats"], f"{name}_t")
        return self.node("Reshape", [tiled, "repeated"], name)

    def block(self, x: str, p: str) -> str:
        size = self.hidden // self.heads
        normed = self.node("LayerNormalization", [x, self.weight(f"{p}n1", self.hidden)], f"{p}a", axis=-1)
        parts = {}
        for name, heads in (("q", self.heads), ("k", self.kv), ("v", self.kv)):
            projected = self.node("MatMul", [normed, self.weight(f"{p}w{name}", self.hidden, heads * size)], p + name)
            parts[name] = self.split_heads(projected, f"{p}{name}h", "query" if name == "q" else "key")
        key, value = self.repeat(parts["k"], f"{p}kr"), self.repeat(parts["v"], f"{p}vr")
        turned = self.node("Transpose", [key], f"{p}kT", perm=[0, 1, 3, 2])
        scores = self.node("Softmax", [self.node("MatMul", [parts["q"], turned], f"{p}s")], f"{p}p", axis=-1)
        mixed = self.node("Transpose", [self.node("MatMul", [scores, value], f"{p}o")], f"{p}oT", perm=[0, 2, 1, 3])
        flat = self.node("Reshape", [mixed, "flat"], f"{p}of")
        out = self.node("MatMul", [flat, self.weight(f"{p}wo", self.heads * size, self.hidden)], f"{p}ow")
        x = self.node("Add", [x, out], f"{p}x1")
        normed = self.node("LayerNormalization", [x, self.weight(f"{p}n2", self.hidden)], f"{p}b", axis=-1)
        gate, up = (
            self.node("MatMul", [normed, self.weight(f"{p}w{name}", self.hidden, self.inner)], p + name)
            for name in ("g", "u")
        )
        silu = self.node("Mul", [gate, self.node("Sigmoid", [gate], f"{p}sg")], f"{p}si")
        product = self.node("Mul", [silu, up], f"{p}gu")
        down = self.node("MatMul", [product, self.weight(f"{p}wd", self.inner, self.hidden)], f"{p}d")
        return self.node("Add", [x, down], f"{p}x2")

    def write(self, folder: Path) -> Path:
        size, ratio = self.hidden // self.heads, self.heads // self.kv
        self.ints("query", 0, 0, self.heads, size)
        self.ints("key", 0, 0, self.kv, size)
        self.ints("repeats", 1, 1, ratio, 1, 1)
        self.ints("repeated", 0, self.heads, -1, size)
        self.ints("flat", 0, 0, self.hidden)
        self.ints("two", 2)
        x = self.node("Gather", [self.weight("embedding", self.vocabulary, self.hidden), "ids"], "x0")
        for k in range(self.layers):
            x = self.block(x, f"layer{k}.")
        self.node("MatMul", [x, self.weight("head", self.hidden, self.vocabulary)], "logits")
        ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", "S"])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT16, ["B", "S", self.vocabulary])
        graph = helper.make_graph(self.nodes, "llama", [ids], [logits], self.weights)
        with (folder / "llama.data").open("wb") as file:
            file.truncate(self.bytes)
        path = folder / "llama.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path


def plain(path: Path, output: Path) -> None:
    """The yardstick: load, keep half of the channels of every axis, save.

    Which channels does not matter to the time, but that they lie apart does: a prefix is one block of memory.
    """
    import onnx_ir as ir

    model = ir.load(path)
    kept = np.sort(np.random.default_rng(0).permutation(WIDTH)[: WIDTH // 2])
    half = len(kept)
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        assert tensor is not None

        def read(tensor: ir.TensorProtocol = tensor, name: str = name) -> ir.TensorProtocol:
            return ir.Tensor(tensor.numpy().take(kept, 0).take(kept, 1), name=name)

        value.const_value = ir.LazyTensor(read, ir.DataType.FLOAT, ir.Shape([half, half]), name=name)
        value.shape = ir.Shape([half, half])
    ir.save(model, output, external_data=f"{output.name}.data")


def pruned(path: Path, output: Path) -> None:
    """irprune's plan and apply, without verification."""
    import irprune

    irprune.prune(path, output, ratio=0.5, verify=False)


def analyzed(path: Path, output: Path) -> None:
    """irprune's analysis alone, with groups."""
    from irprune import api

    groups = api.analyze_model(api.open_model(path)).groups
    output.write_text(f"{sum(not group.frozen for group in groups)} groups\n")


_JOBS = {"plain": plain, "pruned": pruned, "analyzed": analyzed}


def _measure(job: str, path: Path) -> dict[str, float]:
    """A process that writes new files, on a disk that is done with the old ones: both take up to half a second.

    A virtual machine's disk goes on for a while behind its back, and takes the time from the processors.
    """
    for old in path.parent.glob(f"{job}.onnx*"):
        old.unlink()
    os.sync()
    time.sleep(_SETTLING_SECONDS)
    command = [sys.executable, "-m", "benchmarks.large", "--job", job, str(path)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="processes of each kind; medians are printed")
    parser.add_argument("--analyze", action="store_true", help="analyze a Llama of 7 billion parameters too")
    parser.add_argument("--job", choices=_JOBS, help=argparse.SUPPRESS)
    parser.add_argument("path", type=Path, nargs="?", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        start = time.perf_counter()
        _JOBS[options.job](options.path, options.path.with_name(f"{options.job}.onnx"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": time.perf_counter() - start, "mib": peak}))
        return
    with tempfile.TemporaryDirectory() as name:
        jobs = [("plain", write_chain(Path(name))), ("pruned", Path(name) / "chain.onnx")]
        if options.analyze:
            jobs.append(("analyzed", _Llama(32, 4096, 32, 8, 14336, 32000).write(Path(name))))
        rounds = [[_measure(job, path) for job, path in jobs] for _ in range(options.runs)]  # load changes: in turns
        print("| job | seconds | peak MiB |\n|---|---|---|")
        for (job, path), found in zip(jobs, zip(*rounds, strict=True), strict=True):
            seconds, peak = (statistics.median(run[key] for run in found) for key in ("seconds", "mib"))
            print(f"| {job} ({path.name}) | {seconds:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
