"""Rules of the recurrent operators: LSTM, GRU, RNN."""

from __future__ import annotations

from collections.abc import Callable

from .causes import RECURRENT
from .compute import operand_list
from .grammar import Signature, signature
from .registry import NoSignature, RuleContext


def recurrent(gates: int) -> Callable[[RuleContext], Signature]:
    """``t b i, d (q h) i, d (q h) h, d (2q h), b, d b h, ... -> t d b h, d b h``; the hidden size is h.

    Both directions of a bidirectional cell have one hidden size: their h is one axis. ``layout=1`` puts the batch
    first (https://onnx.ai/onnx/operators/onnx__LSTM.html).
    """

    def rule(ctx: RuleContext) -> Signature:
        batch_first = ctx.node.int("layout") == 1
        steps, state = ("b t i", "b d h") if batch_first else ("t b i", "d b h")
        result = "b t d h" if batch_first else "t d b h"
        operands = operand_list(ctx, steps, "d (q h) i", "d (q h) h", "d (u h)", "b", state, state, "d (p h)")
        results = ", ".join((result, state, state)[: len(ctx.node.outputs)])
        return signature(
            f"{operands} -> {results}",
            opaque="t d q u p",
            macs="t b d q h i + t b d q h h",
            sizes={"q": gates, "u": 2 * gates, "p": 3},
            attributes={"hidden_size": "h"},
            kinds={"h": "recurrent"},
            reason=RECURRENT,
        )

    return rule


def dynamic_quantize_lstm(ctx: RuleContext) -> Signature:
    """com.microsoft DynamicQuantizeLSTM: LSTM with weights ``d i (q h), d h (q h)``, each with scale and zero point.

    Input and state are quantized on the fly: the input over the whole of i, the state over h, where what is removed
    is zero and so within the range.
    """
    state = "d b h"
    scales = (_gate_scale(ctx, k) for k in (8, 9, 10, 11))
    operands = operand_list(ctx, "t b i", "d i (q h)", "d h (q h)", "d (u h)", "b", state, state, "d (p h)", *scales)
    results = ", ".join(("t d b h", state, state)[: len(ctx.node.outputs)])
    return signature(
        f"{operands} -> {results}",
        normalized="i",
        opaque="t d q u p",
        macs="t b d q h i + t b d q h h",
        sizes={"q": 4, "u": 8, "p": 3},
        attributes={"hidden_size": "h"},
        kinds={"h": "recurrent"},
        reason=RECURRENT,
    )


def _gate_scale(ctx: RuleContext, position: int) -> str:
    """One scale per direction, or one per gate and hidden unit."""
    rank = ctx.rank(position)
    if rank not in (1, 2):
        raise NoSignature(f"operand {position}: scales of rank {rank}")
    return "d" if rank == 1 else "d (q h)"
