"""Every architecture as an ONNX file, and the variants of some, made when first asked for."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from torch import nn

from .architectures import ARCHITECTURES, export_architecture
from .export import Exporter
from .interface import Architecture, Input
from .variants import Array, Quantization, channels_last, fuse, half, quantize
from .zoo import ZOO

Form = Literal["fused", "opset 23", "quantized", "half precision", "channels last"]
Feeds = dict[str, Array]

_RESNET = Architecture(
    "resnet18",
    ZOO["resnet18"].tiny,
    (Input("input", ("batch", 3, 32, 32)),),
    {"output": {0: "batch"}},
    {"batch": 2},
)
_KERAS = Architecture(
    "keras_nhwc",
    nn.Identity,  # made without PyTorch; only the inputs are used
    (Input("image", ("batch", 16, 16, 3)),),
    {"probabilities:0": {0: "batch"}},
    {"batch": 2},
)
MODELS: dict[str, Architecture] = {**ARCHITECTURES, "resnet18": _RESNET, "keras_nhwc": _KERAS}
"""Models that have variants: every architecture, and two convolutional networks."""


@dataclass(frozen=True)
class Variant:
    """Another form of a model, made from files of the library; ``sizes`` are the dimensions that vary."""

    name: str
    form: Form
    model: str
    make: Callable[["Library", Path], None]
    sizes: tuple[str, ...]


class Library:
    """A folder of models. Each file appears whole, so that several processes may fill it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def architecture(self, name: str, exporter: Exporter, dynamic: bool) -> Path:
        """The export of a model; dynamic ones vary in every dimension that can."""
        path = self.folder / f"{name}-{exporter}{'-dynamic' if dynamic else ''}.onnx"
        return _once(path, lambda target: export_architecture(MODELS[name], target, exporter, dynamic))

    def variant(self, name: str) -> Path:
        """A variant by its name."""
        return _once(self.folder / f"{name}.onnx", lambda target: VARIANTS[name].make(self, target))


def feeds(model: str, seed: int = 0, **sizes: int) -> Feeds:
    """Random inputs by name; ``sizes`` replaces the sizes of the dimensions it names."""
    entry = MODELS[model]
    tensors = entry.example(seed, **sizes)
    return {each.name: tensor.numpy() for each, tensor in zip(entry.inputs, tensors, strict=True)}


def size_sets(model: str, dims: tuple[str, ...]) -> list[dict[str, int]]:
    """The sizes of the export, then each dimension larger by itself, then all of them."""
    larger = {dim: MODELS[model].sizes[dim] + (200 if dim == "samples" else 2) for dim in dims}
    single = [{dim: size} for dim, size in larger.items()]
    return [{}, *single, *([larger] if len(single) > 1 else [])]


def run(path: Path, inputs: Mapping[str, Array]) -> Feeds:
    """Outputs by name, on one thread of ONNX Runtime. Inputs that the exporter dropped are left out."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = {each.name: each.type for each in session.get_inputs()}
    given = {name: value for name, value in inputs.items() if name in kinds}
    halves = {name: value.astype(np.float16) for name, value in given.items() if kinds[name] == "tensor(float16)"}
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {**given, **halves}), strict=True))


def _once(path: Path, write: Callable[[Path], object]) -> Path:
    if not path.exists():
        own = path.with_name(f".{os.getpid()}-{path.name}")
        try:
            write(own)
            os.replace(own, path)
        finally:
            own.unlink(missing_ok=True)
    return path


def _fused(name: str, model: str, exporter: Exporter, kind: str, dynamic: bool = True) -> Variant:
    def make(library: Library, target: Path) -> None:
        fuse(library.architecture(model, exporter, dynamic), target, kind, heads=4, hidden=32)

    return Variant(f"{name}-fused", "fused", model, make, MODELS[model].dynamic(exporter) if dynamic else ())


def _opset(model: str, dynamic: bool) -> Variant:
    def make(_library: Library, target: Path) -> None:
        export_architecture(MODELS[model], target, "dynamo", dynamic, opset=23)

    name = f"{model}-dynamo{'-dynamic' if dynamic else ''}-opset23"
    return Variant(name, "opset 23", model, make, MODELS[model].dynamic("dynamo") if dynamic else ())


def _quantized(model: str, kind: Quantization) -> Variant:
    # The mask of a transformer has no useful range, so the operators to calibrate are named.
    operators = ["MatMul", "Gemm", "Gather"] if model == "bert" and kind != "dynamic" else None

    def make(library: Library, target: Path) -> None:
        samples = [feeds(model, seed) for seed in range(8)]
        quantize(library.architecture(model, "torchscript", True), target, kind, samples, operators)

    return Variant(f"{model}-{kind}", "quantized", model, make, MODELS[model].dynamic("torchscript"))


def _half(model: str) -> Variant:
    def make(library: Library, target: Path) -> None:
        half(library.architecture(model, "torchscript", True), target)

    return Variant(f"{model}-fp16", "half precision", model, make, MODELS[model].dynamic("torchscript"))


def _keras(_library: Library, target: Path) -> None:
    onnx.save(channels_last(), target)


_ALL = (
    _fused("bert", "bert_eager", "torchscript", "bert"),
    _fused("bert-sdpa", "bert", "dynamo", "bert"),
    _fused("distilbert", "distilbert", "dynamo", "bert"),
    _fused("gpt2", "gpt2", "torchscript", "gpt2"),
    _fused("gpt2-dynamo", "gpt2", "dynamo", "gpt2"),
    _fused("llama", "llama", "torchscript", "gpt2"),
    _fused("llama-dynamo", "llama", "dynamo", "gpt2"),
    _fused("vit", "vit_eager", "torchscript", "vit"),
    _fused("vit-dynamo", "vit_eager", "dynamo", "vit", dynamic=False),
    _fused("bart", "bart", "dynamo", "bart"),
    _fused("clip_text", "clip_text", "torchscript", "clip"),
    _fused("t5", "t5", "dynamo", "t5"),
    _fused("swin", "swin", "torchscript", "swin"),
    *(_opset(model, True) for model in ("bert", "gpt2", "gpt2_kv", "t5", "whisper")),
    *(_opset(model, False) for model in ("llama", "llama_kv", "gemma", "mixtral", "vit")),
    *(_quantized(model, kind) for model in ("resnet18", "bert") for kind in ("dynamic", "qdq", "qop")),
    *(_half(model) for model in ("resnet18", "bert", "gpt2", "llama", "vit", "swin")),
    Variant("keras_nhwc", "channels last", "keras_nhwc", _keras, ("batch",)),
)
VARIANTS: dict[str, Variant] = {variant.name: variant for variant in _ALL}
"""Every variant by its name."""
