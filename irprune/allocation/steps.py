"""The widths that a target computes fastest: multiples, by kind of layer.

A width that is not a multiple costs as much as the next one, or leaves the fast kernel altogether. Sources, by target:

``ort-cpu``
    ONNX Runtime's blocked layout (NCHWc): ``onnxruntime/core/optimizer/nchwc_transformer.cc`` and
    ``MlasNchwcGetBlockSize`` (16 with AVX-512 and on 64-bit ARM, else 8). Channels are padded to whole blocks, grouped
    convolutions need them, and a Concat stays in the layout only if each of its parts is whole blocks. ``sgemm``
    computes 16 columns at a time, and so do the kernels of integers; above 64 columns the padding is under a fifth.
``ort-cuda``
    Tensor cores: multiples of 8 in half precision, of 16 in eight bits (NVIDIA, *Deep Learning Performance: Matrix
    Multiplication Background*, "Requirements to use Tensor Cores").
``tensorrt``
    Formats of *TensorRT Developer Guide*, "Data Format Descriptions": kHWC8 in half precision, kCHW32 in eight bits.
``openvino``
    oneDNN pads, and times grow smoothly with the width (measured with OpenVINO 2026.4): no rule for floats. Eight bits
    are computed in dot products of 4, in registers of 16 lanes (AVX-512 VNNI).
``ncnn``
    Elements are packed by 4 (``Convolution``, ``ConvolutionDepthWise``, ``InnerProduct``: ``elempack``), by 8 in eight
    bits; a depthwise width off 4 was measured to cost three times as much.
``ascend``
    The cube unit multiplies 16 x 16 (half precision), 16 x 32 in eight bits; the layout is NC1HWC0 with C0 = 16 or 32.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

LayerKind: TypeAlias = Literal["dense", "grouped", "depthwise", "matrix", "quantized"]
"""Convolutions (``dense``: of one group; ``depthwise``: of one channel a group), other products, and layers of
integers."""

_SIMD_512 = ("AVX512", "X86_V4")


@dataclass(frozen=True)
class Steps:
    """The multiple for each kind of layer, 1 where there is no rule.

    Widths of matrix products above ``wide`` need not be multiples.
    """

    dense: int = 1
    grouped: int = 1
    depthwise: int = 1
    matrix: int = 1
    quantized: int = 1
    wide: int = 64


_TENSOR_CORES = Steps(8, 8, 8, 8, 16, wide=1 << 30)

_TABLE = {
    "ort-cuda": _TENSOR_CORES,
    "tensorrt": Steps(8, 8, 8, 8, 32, wide=1 << 30),
    "openvino": Steps(quantized=16),
    "ncnn": Steps(4, 4, 4, 4, 8),
    "ascend": Steps(16, 16, 16, 16, 32, wide=1 << 30),
    "none": Steps(),
}


def steps_for(target: str) -> Steps:
    """The multiples of a target, as :data:`irprune.request.Target` names them; ``ort-cpu`` is this machine."""
    if target != "ort-cpu":
        return _TABLE[target]
    block = convolution_block()
    return Steps(block, block, block, 16, 16)


@lru_cache(maxsize=1)
def convolution_block() -> int:
    """The channels of a block of ONNX Runtime's convolutions on this machine."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return 16
    import numpy as np

    config: dict[str, dict[str, list[str]]] = np.show_config(mode="dicts")  # type: ignore[assignment]
    extensions = config.get("SIMD Extensions", {})
    known = [*extensions.get("baseline", ()), *extensions.get("found", ())]
    return 16 if any(name.startswith(_SIMD_512) for name in known) else 8
