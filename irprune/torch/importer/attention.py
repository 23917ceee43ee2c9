"""Attention and rotary embeddings, of ai.onnx and of com.microsoft."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .call import Int, OperatorCall, Result

_NEVER = -math.inf


def _heads(x: Tensor, heads: int, batch: Int, length: Int) -> Tensor:
    """Batch, sequence, hidden to batch, heads, sequence, head."""
    return x.reshape((batch, length, heads, -1)).transpose(1, 2)


def _merged(y: Tensor, batch: Int, length: Int) -> Tensor:
    return y.transpose(1, 2).reshape((batch, length, -1))


def _causal(call: OperatorCall, queries: Int, keys: Int, offset: Int) -> Tensor:
    """True for keys at or before the position of the query; ``offset`` keys precede the first query."""
    rows = torch.arange(queries, device=call.device).unsqueeze(1) + offset
    found: Tensor = torch.arange(keys, device=call.device).unsqueeze(0) <= rows
    return found


def attention(call: OperatorCall) -> Result:
    """https://onnx.ai/onnx/operators/onnx__Attention.html, less its qk_matmul_output."""
    call.require(not call.wants(3), "its fourth output is not supported")
    call.require(not call.has(6), "nonpad_kv_seqlen is not supported")
    q, k, v = (call.tensor(position) for position in range(3))
    is_flat = call.rank(0) == 3
    batch, queries = call.size(0, 0), call.size(0, 1 if is_flat else 2)
    keys: Int = call.size(1, 1 if is_flat else 2)
    if is_flat:
        q_heads, kv_heads = call.int_of("q_num_heads"), call.int_of("kv_num_heads")
        q = _heads(q, q_heads, batch, queries)
        k, v = (_heads(x, kv_heads, batch, keys) for x in (k, v))
    else:
        q_heads, kv_heads = call.static_size(0, 1), call.static_size(1, 1)
    past: Int = 0
    if call.has(4):
        past = call.size(4, 2)
        k, v = torch.cat([call.tensor(4), k], 2), torch.cat([call.tensor(5), v], 2)
        keys = keys + past
    present = (k, v)
    if q_heads != kv_heads:
        k, v = (x.repeat_interleave(q_heads // kv_heads, 1) for x in (k, v))
    y = _attended(call, q, k, v, _mask(call, queries, keys, past))
    return [_merged(y, batch, queries) if is_flat else y, *present]


def _mask(call: OperatorCall, queries: Int, keys: Int, past: Int) -> Tensor | None:
    given = call.optional(3)
    if not call.int_of("is_causal"):
        return given
    causal = _causal(call, queries, keys, past)
    if given is None:
        return causal
    return given & causal if call.dtype(3) == torch.bool else torch.where(causal, given, _NEVER)


def _attended(call: OperatorCall, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scale = call.float_of("scale", 0.0) or None
    softcap = call.float_of("softcap", 0.0)
    if not softcap:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    if scale is None:
        scale = call.float_of("scale", 1.0 / math.sqrt(call.static(0)[-1] // (call.int_of("q_num_heads") or 1)))
    scores = torch.tanh(torch.matmul(q, k.transpose(-1, -2)) * scale / softcap) * softcap
    if mask is not None:
        is_bool = not call.has(3) or call.dtype(3) == torch.bool
        scores = torch.where(mask, scores, _NEVER) if is_bool else scores + mask
    return torch.matmul(torch.softmax(scores, -1), v)


def rotary_onnx(call: OperatorCall) -> Result:
    """https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html"""
    x, cos, sin = (call.tensor(position) for position in range(3))
    if call.has(3):
        cos, sin = (F.embedding(call.tensor(3), table) for table in (cos, sin))
    is_flat = call.rank(0) == 3
    batch, length = call.size(0, 0), call.size(0, 1 if is_flat else 2)
    if is_flat:
        x = x.reshape((batch, length, call.int_of("num_heads"), -1))
        cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    else:
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    y = rotated(
        x, cos, sin, call.static_size(1, -1) * 2, bool(call.int_of("interleaved")), call.int_of("rotary_embedding_dim")
    )
    return y.reshape((batch, length, -1)) if is_flat else y


def rotated(x: Tensor, cos: Tensor, sin: Tensor, width: int, is_interleaved: bool, partial: int) -> Tensor:
    """Rotate the first ``width`` elements in pairs: of the two halves, or of neighbors."""
    turned = x[..., :width] if partial else x
    left = turned[..., 0::2] if is_interleaved else turned[..., : width // 2]
    right = turned[..., 1::2] if is_interleaved else turned[..., width // 2 :]
    real, imaginary = left * cos - right * sin, left * sin + right * cos
    neighbors = torch.stack([real, imaginary], -1).flatten(-2) if is_interleaved else None
    y = torch.cat([real, imaginary], -1) if neighbors is None else neighbors
    return torch.cat([y, x[..., width:]], -1) if partial else y


# -- com.microsoft -----------------------------------------------------------------------------------------------------


def packed_attention(call: OperatorCall) -> Result:
    """com.microsoft::Attention: one matrix makes queries, keys and values."""
    call.require(not call.has(4) and not call.wants(1), "a past is not supported")
    call.require(not call.int_of("do_rotary"), "do_rotary is not supported")
    heads, batch, length = call.int_of("num_heads"), call.size(0, 0), call.size(0, 1)
    width = call.static_size(1, 1)
    sizes = call.plain_ints("qkv_hidden_sizes") or [width // 3] * 3
    projected = torch.matmul(call.tensor(0), call.tensor(1))
    if call.has(2):
        projected = projected + call.tensor(2)
    parts = torch.split(projected, sizes, -1)
    q, k, v = (_heads(parts[j], heads, batch, length) for j in range(3))
    mask = _padding_mask(call, 3, length)
    if call.int_of("unidirectional"):
        causal = _causal(call, length, length, 0)
        mask = causal if mask is None else mask & causal
    y = _scored(call, q, k, v, mask, call.optional(5))
    return _merged(y, batch, length)


def multi_head_attention(call: OperatorCall) -> Result:
    """com.microsoft::MultiHeadAttention with queries, keys and values of three dimensions each."""
    call.require(not call.has(6) and not call.has(7) and not call.wants(1), "a past is not supported")
    call.require(call.has(1) and call.has(2) and call.rank(1) == 3, "packed keys and values are not supported")
    heads, batch = call.int_of("num_heads"), call.size(0, 0)
    queries, keys = call.size(0, 1), call.size(1, 1)
    q, k, v = (call.tensor(position) for position in range(3))
    if call.has(3):
        hidden = [call.static_size(position, 2) for position in range(3)]
        biases = torch.split(call.tensor(3), hidden)
        q, k, v = q + biases[0], k + biases[1], v + biases[2]
    mask = _padding_mask(call, 4, keys)
    if call.int_of("unidirectional"):
        causal = _causal(call, queries, keys, 0)
        mask = causal if mask is None else mask & causal
    q, k, v = _heads(q, heads, batch, queries), _heads(k, heads, batch, keys), _heads(v, heads, batch, keys)
    return _merged(_scored(call, q, k, v, mask, call.optional(5)), batch, queries)


def _padding_mask(call: OperatorCall, position: int, keys: Int) -> Tensor | None:
    """True for keys that count. A mask of one dimension has the lengths of the sequences."""
    if not call.has(position):
        return None
    given, rank = call.tensor(position), call.rank(position)
    if rank == 1:
        positions = torch.arange(keys, device=call.device).unsqueeze(0)
        return (positions < given.unsqueeze(1)).unsqueeze(1).unsqueeze(1)
    call.require(rank in (2, 3), f"a mask of {rank} dimensions is not supported")
    mask = given > 0
    return mask.unsqueeze(1).unsqueeze(1) if rank == 2 else mask.unsqueeze(1)


def _scored(call: OperatorCall, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
    scale = call.float_of("scale", 0.0) or None
    if mask is not None and bias is not None:
        mask = torch.where(mask, bias, call.float_of("mask_filter_value", -10000.0))
    elif mask is not None:
        zero = torch.zeros_like(mask, dtype=call.dtype(0))
        mask = zero.masked_fill(~mask, call.float_of("mask_filter_value", -10000.0))
    else:
        mask = bias
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def rotary_microsoft(call: OperatorCall) -> Result:
    """com.microsoft::RotaryEmbedding: positions come before the tables; one position is where all sequences start."""
    x, positions, cos, sin = (call.tensor(position) for position in range(4))
    is_flat = call.rank(0) == 3
    batch, length = call.size(0, 0), call.size(0, 1 if is_flat else 2)
    if call.rank(1) == 1:
        positions = positions.unsqueeze(1) + torch.arange(length, device=call.device).unsqueeze(0)
    cos, sin = (F.embedding(positions, table) for table in (cos, sin))
    width = call.static_size(2, 1) * 2
    if is_flat:
        heads = call.int_of("num_heads")
        call.require(heads > 0 or not call.int_of("rotary_embedding_dim"), "it has no num_heads")
        x = x.reshape((batch, length, heads, -1) if heads else (batch, length, -1, width))
    axis = 2 if is_flat else 1
    cos, sin = cos.unsqueeze(axis), sin.unsqueeze(axis)
    y = rotated(x, cos, sin, width, bool(call.int_of("interleaved")), call.int_of("rotary_embedding_dim"))
    return y.reshape((batch, length, -1)) if is_flat else y
