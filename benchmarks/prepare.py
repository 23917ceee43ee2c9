"""What comes before and after a tool: the model as an ONNX file, and a look at the file that the tool wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .task import SEED, THREADS, Task


def export(task: Task) -> dict[str, Any]:
    """Write a model of the zoo with weights of a trained network's kind."""
    import torch

    from irprune.models.export import export as write
    from irprune.models.export import randomize
    from irprune.models.zoo import ZOO

    torch.set_num_threads(THREADS)
    entry = ZOO[task.model]
    module = entry.build()
    randomize(module, SEED)
    write(module, entry.input_shape, Path(task.output), exporter="torchscript", dynamic_batch=False)
    return {}


def check(task: Task) -> dict[str, Any]:
    """Count the numbers in a model's weights and run it on ONNX Runtime.

    Raises what ONNX Runtime raises, and :class:`ValueError` for results that are not finite.
    """
    import numpy as np
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(task.source, options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(SEED)
    feeds = {i.name: generator.standard_normal(i.shape, dtype=np.float32) for i in session.get_inputs()}
    for result in session.run(None, feeds):
        if not np.isfinite(result).all():
            raise ValueError("the output is not finite")
    return {"parameters": parameters(onnx.load(task.source))}


def parameters(model: Any) -> int:
    """How many floating-point numbers an ONNX model stores, statistics of normalization included."""
    import math

    import onnx

    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    return sum(math.prod(t.dims) for t in model.graph.initializer if t.data_type in floats)
