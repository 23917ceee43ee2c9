"""Fused operators of ONNX Runtime (com.microsoft)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .call import OperatorCall, Result
from .layers import convolution, gemm, rms_norm


def bias_gelu(call: OperatorCall) -> Result:
    return F.gelu(call.tensor(0) + call.tensor(1))


def fast_gelu(call: OperatorCall) -> Result:
    x = call.tensor(0) + call.tensor(1) if call.has(1) else call.tensor(0)
    return F.gelu(x, approximate="tanh")


def quick_gelu(call: OperatorCall) -> Result:
    x = call.tensor()
    return x * torch.sigmoid(x * call.float_of("alpha", 1.702))


def skip_layer_normalization(call: OperatorCall) -> Result:
    """Input, skip, gamma, beta, bias; the fourth output is the sum."""
    call.require(not call.wants(1) and not call.wants(2), "mean and deviation are not supported")
    total = _with_bias(call, call.tensor(0) + call.tensor(1), 4)
    y = F.layer_norm(total, call.static(2), call.tensor(2), call.optional(3), call.float_of("epsilon", 1e-12))
    return y, None, None, total


def skip_simplified_layer_normalization(call: OperatorCall) -> Result:
    """Input, skip, gamma, bias; the fourth output is the sum."""
    call.require(not call.wants(1) and not call.wants(2), "mean and deviation are not supported")
    total = _with_bias(call, call.tensor(0) + call.tensor(1), 3)
    return rms_norm(total, call.tensor(2), call.float_of("epsilon", 1e-12)), None, None, total


def _with_bias(call: OperatorCall, x: Tensor, position: int) -> Tensor:
    return x + call.tensor(position) if call.has(position) else x


def embed_layer_normalization(call: OperatorCall) -> Result:
    """Words, segments and positions looked up, added and normalized; the mask index counts the tokens."""
    ids = call.tensor(0)
    count = call.size(0, 1)
    positions = call.tensor(8) if call.has(8) else torch.arange(count, device=call.device).unsqueeze(0)
    total = F.embedding(ids, call.tensor(2)) + F.embedding(positions, call.tensor(3))
    if call.has(1) and call.has(4):
        total = total + F.embedding(call.tensor(1), call.tensor(4))
    y = F.layer_norm(total, call.static(5), call.tensor(5), call.tensor(6), call.float_of("epsilon", 1e-12))
    return y, _mask_index(call) if call.wants(1) else None, total


def _mask_index(call: OperatorCall) -> Tensor:
    if call.has(7):
        return torch.sum(call.tensor(7), 1, dtype=torch.int32)
    return call.tensor(0).new_zeros((call.size(0, 0),), dtype=torch.int32)


_ACTIVATIONS: Mapping[str, tuple[int, Callable[..., Tensor]]] = {
    "Relu": (0, F.relu),
    "Sigmoid": (0, torch.sigmoid),
    "Tanh": (0, torch.tanh),
    "LeakyRelu": (1, F.leaky_relu),
    "Clip": (2, torch.clamp),
    "HardSigmoid": (2, lambda y, alpha, beta: torch.clamp(y * alpha + beta, 0.0, 1.0)),
}
"""Per activation the number of its parameters and the function of a tensor and these."""


def _activated(call: OperatorCall, y: Tensor) -> Tensor:
    name, parameters = call.str_of("activation"), call.floats("activation_params") or []
    if not name:
        return y
    call.require(name in _ACTIVATIONS, f"activation {name} is not supported")
    count, function = _ACTIVATIONS[name]
    call.require(count < 2 or len(parameters) == count, f"activation {name} has {len(parameters)} parameters")
    return function(y, *parameters[:count])


def fused_conv(call: OperatorCall) -> Result:
    y = convolution(call, call.tensor(0), call.tensor(1), call.optional(2))
    return _activated(call, y + call.tensor(3) if call.has(3) else y)


def fused_gemm(call: OperatorCall) -> Result:
    return _activated(call, gemm(call))


def fused_matmul(call: OperatorCall) -> Result:
    call.require(
        not call.int_of("transBatchA") and not call.int_of("transBatchB"), "transposed batches are not supported"
    )
    left, right = call.tensor(0), call.tensor(1)
    left = left.transpose(-1, -2) if call.int_of("transA") else left
    right = right.transpose(-1, -2) if call.int_of("transB") else right
    product = torch.matmul(left, right)
    alpha = call.float_of("alpha", 1.0)
    return product if alpha == 1.0 else product * alpha
