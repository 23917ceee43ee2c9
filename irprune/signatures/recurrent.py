"""Rules of the recurrent operators: LSTM, GRU, RNN."""

from __future__ import annotations

from collections.abc import Callable

from .compute import operand_list
from .grammar import Signature, signature
from .registry import Site


def recurrent(gates: int) -> Callable[[Site], Signature]:
    """``t b i, d (q h) i, d (q h) h, d (2q h), b, d b h, ... -> t d b h, d b h``; the hidden size is h.

    Both directions of a bidirectional cell have one hidden size: their h is one axis. ``layout=1`` puts the batch
    first (https://onnx.ai/onnx/operators/onnx__LSTM.html).
    """

    def rule(site: Site) -> Signature:
        batch_first = site.node.int("layout") == 1
        steps, state = ("b t i", "b d h") if batch_first else ("t b i", "d b h")
        result = "b t d h" if batch_first else "t d b h"
        operands = operand_list(site, steps, "d (q h) i", "d (q h) h", "d (u h)", "b", state, state, "d (p h)")
        results = ", ".join((result, state, state)[: len(site.node.outputs)])
        return signature(
            f"{operands} -> {results} ; opaque t d q u p ; macs t b d q h i + t b d q h h",
            sizes={"q": gates, "u": 2 * gates, "p": 3},
            attributes={"hidden_size": "h"},
            reason="it counts steps, directions or gates of a recurrent cell",
        )

    return rule
