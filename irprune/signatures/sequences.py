"""Rules of sequences: the elements of one have the same axes, which are taken for the axes of the sequence."""

from __future__ import annotations

from .compute import letters, operand_list
from .grammar import Signature, signature
from .registry import RuleContext


def construct(ctx: RuleContext) -> Signature:
    """``*v, *v, ... -> *v``: a sequence has the axes of its elements."""
    return signature(f"{', '.join(['*v'] * len(ctx.inputs))} -> *v")


def element(ctx: RuleContext) -> Signature:
    """``*v, _ -> *v``: an element is picked, or one is taken out."""
    return signature(f"{operand_list(ctx, '*v', '_')} -> *v")


def insert(ctx: RuleContext) -> Signature:
    """``*v, *v, _ -> *v``."""
    return signature(f"{operand_list(ctx, '*v', '*v', '_')} -> *v")


def length(ctx: RuleContext) -> Signature:
    """How many elements there are, which no removal changes."""
    return signature("*v -> _")


def has_element(ctx: RuleContext) -> Signature:
    """Whether there is a value at all, which no removal changes."""
    return signature(f"{operand_list(ctx, '*v')} -> _")


def split_to_sequence(ctx: RuleContext) -> Signature:
    """``n a s, _ -> n part s``: the parts are elements of one sequence, so the axis stays whole."""
    names = letters(ctx.rank())
    axis = ctx.axis()
    single = not ctx.has(1) and not ctx.node.int("keepdims", 1)
    part = [] if single else ["part"]
    result = " ".join([*names[:axis], *part, *names[axis + 1 :]])
    return signature(
        f"{operand_list(ctx, ' '.join(names), '_')} -> {result}",
        opaque=[names[axis], *part],
        reason="it is split into the elements of a sequence",
    )


def concat_from_sequence(ctx: RuleContext) -> Signature:
    """``n a s -> n whole s``, or a new axis that counts the elements."""
    names = letters(ctx.rank())
    new = ctx.node.int("new_axis")
    axis = ctx.axis(rank=len(names) + new)
    result = " ".join([*names[:axis], "whole", *names[axis + (not new) :]])
    return signature(
        f"{' '.join(names)} -> {result}",
        opaque=["whole", *([] if new else [names[axis]])],
        reason="the elements of a sequence are laid end to end along it",
    )
