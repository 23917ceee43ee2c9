"""The table of QONNX: quantizers that brevitas, QKeras and FINN write, none of which ONNX Runtime has.

Scale, zero point and bit width broadcast with the tensor: one of each, or one per channel.
https://github.com/fastmachinelearning/qonnx/tree/main/docs/qonnx-custom-ops is the source for each.
"""

from __future__ import annotations

from . import compute
from .registry import Operator, register

_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas")
_QUANTIZERS = ("Quant", "BipolarQuant", "Trunc")

_QUANTIZER = Operator(
    compute.elementwise, passes_through=True, keeps_shape=True, keeps_type=True, quantization=True, hides="decision"
)

register({f"{domain}::{name}": _QUANTIZER for domain in _DOMAINS for name in _QUANTIZERS})
