"""Rules of control flow: values that enter a body, and values that leave it, keep their axes.

The frontends lay the nodes of bodies out in one list with all others. A node ``enter`` stands before a body that has
inputs of its own and hands values in; the control operator itself, after the body, reads its own operands and then
what the bodies yield.
"""

from __future__ import annotations

from .compute import letters
from .grammar import Signature, signature
from .registry import NoSignature, RuleContext

_PER_VALUE = 26


def _spell(ctx: RuleContext, position: int, name: str) -> str:
    rank = ctx.rank(position)
    if rank > _PER_VALUE:
        raise NoSignature(f"operand {position} has rank {rank}")
    return " ".join(letters(rank, f"{name}_"))


def enter_loop(ctx: RuleContext) -> Signature:
    """``trip count, condition, state... -> iteration, condition, state...``."""
    state = [_spell(ctx, k, f"v{k}") for k in range(2, len(ctx.node.inputs))]
    before = ", ".join(["_", "_", *state])
    return signature(f"{before} -> {before}", stateful=True)


def loop(ctx: RuleContext) -> Signature:
    """State keeps its axes over iterations; collected results get a leading axis of iterations."""
    own = len(ctx.node.inputs) - ctx.node.yields
    state = [_spell(ctx, k, f"v{k}") for k in range(2, own)]
    collected = [_spell(ctx, k, f"s{k}") for k in range(own + 1 + len(state), len(ctx.node.inputs))]
    operands = ["_", "_", *state, "_", *state, *collected]
    results = [*state, *(f"trips{k} {text}" for k, text in enumerate(collected))]
    return signature(
        f"{', '.join(operands)} -> {', '.join(results)}",
        opaque=[f"trips{k}" for k in range(len(collected))],
        reason="it counts iterations",
        stateful=True,
    )


def if_(ctx: RuleContext) -> Signature:
    """Both branches yield values of the same axes."""
    count = len(ctx.node.outputs)
    own = len(ctx.node.inputs) - ctx.node.yields
    values = [_spell(ctx, own + k, f"v{k}") for k in range(count)]
    return signature(f"{', '.join(['_', *values, *values])} -> {', '.join(values)}")


def _scan_parts(ctx: RuleContext, own: int) -> tuple[int, list[str], list[str], list[str], list[str]]:
    """Number of states, their axes, scanned operands with and without the scanned axis, and the scanned axes."""
    scanned = ctx.node.int("num_scan_inputs")
    states = own - scanned
    axes = ctx.node.ints("scan_input_axes", [0] * scanned) or ()
    whole: list[str] = []
    element: list[str] = []
    steps: list[str] = []
    for k in range(scanned):
        names = letters(ctx.rank(states + k), f"x{k}_")
        axis = axes[k] % len(names)
        whole.append(" ".join(names))
        element.append(" ".join(name for j, name in enumerate(names) if j != axis))
        steps.append(names[axis])
    return states, [_spell(ctx, k, f"v{k}") for k in range(states)], whole, element, steps


def enter_scan(ctx: RuleContext) -> Signature:
    """``state..., sequences... -> state..., elements...``."""
    _, state, whole, element, steps = _scan_parts(ctx, len(ctx.node.inputs))
    text = f"{', '.join([*state, *whole])} -> {', '.join([*state, *element])}"
    return signature(text, opaque=steps, reason="it is scanned", stateful=True)


def scan(ctx: RuleContext) -> Signature:
    """State keeps its axes; collected results get the scanned axis."""
    if ctx.version < 9:
        raise NoSignature("Scan with sequence lengths (opset 8)")
    own = len(ctx.node.inputs) - ctx.node.yields
    states, state, whole, _, steps = _scan_parts(ctx, own)
    first = own + states
    axes = ctx.node.ints("scan_output_axes", [0] * (len(ctx.node.inputs) - first)) or ()
    yielded: list[str] = []
    collected: list[str] = []
    for k, axis in enumerate(axes):
        names = letters(ctx.rank(first + k), f"y{k}_")
        position = axis % (len(names) + 1)
        yielded.append(" ".join(names))
        collected.append(" ".join([*names[:position], f"out{k}", *names[position:]]))
    opaque = [*steps, *(f"out{k}" for k in range(len(axes)))]
    text = f"{', '.join([*state, *whole, *state, *yielded])} -> {', '.join([*state, *collected])}"
    return signature(text, opaque=opaque, reason="it is scanned", stateful=True)
