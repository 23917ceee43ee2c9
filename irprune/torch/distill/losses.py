"""How far the values of a smaller model are from the original's, in units of what there is to know about them.

A squared error is a share of the variance; a divergence is a share of the divergence between the answers and their
average. One means "no better than the average answer", whatever the kind and the scale of a value, so that the losses
of several outputs can be added up.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .ends import End

TEMPERATURE = 4.0
"""Distributions are compared at this temperature (Hinton, Vinyals, Dean 2015, arXiv 1503.02531)."""

_SMALLEST = 1e-12

_CONSTANT = 1e-6
"""Values that vary by less than this share of their square, or answers by less than this divergence, are constant."""


def loss_of(end: End, ours: Tensor, theirs: Tensor) -> Tensor:
    """The error of one batch, without its scale. Positions where the original is infinite or NaN are left out."""
    ours = torch.where(torch.isfinite(theirs), ours.float(), 0.0)
    theirs = torch.where(torch.isfinite(theirs), theirs.float(), 0.0)
    if end.comparison == "squared":
        return (ours - theirs).square().mean()
    if end.comparison == "independent":
        return F.binary_cross_entropy_with_logits(ours, theirs.sigmoid()) - _entropy(theirs.sigmoid()).mean()
    ours, theirs = (_log_shares(end, part) for part in (ours, theirs))
    return (theirs.exp() * (theirs - ours)).sum(dim=-1).mean()


def scale_of(end: End, theirs: Sequence[Tensor]) -> float:
    """The error of the best answer that does not depend on the input; of a single answer there is, that of any."""
    if end.comparison == "categorical":
        rows = [_log_shares(end, torch.where(torch.isfinite(part), part.float(), 0.0)) for part in theirs]
        logs = torch.cat([row.reshape(-1, row.shape[-1]) for row in rows if row.shape[-1] == rows[0].shape[-1]])
        average = logs.exp().mean(dim=0) if len(logs) > 1 else torch.full_like(logs[0], 1 / logs.shape[-1])
        average = average.clamp_min(_SMALLEST).log()
        return max(float((logs.exp() * (logs - average)).sum(dim=-1).mean()), _CONSTANT)
    first = theirs[0].float()
    parts = [part.float() for part in theirs if part.shape[1:] == first.shape[1:]] if first.ndim else list(theirs)
    values = torch.cat(parts) if first.ndim else torch.stack(parts)
    values = torch.where(torch.isfinite(values), values, 0.0)
    if end.comparison == "squared":
        return max(float(values.var(correction=0)), _CONSTANT * float(values.square().mean()), _SMALLEST)
    shares = values.sigmoid()
    average = shares.mean(dim=0) if len(shares) > 1 else shares.mean()
    return max(float((_entropy(average) - _entropy(shares)).mean()), _CONSTANT)


def decisions(end: End, values: Tensor) -> Tensor:
    """The decisions that a value stands for: the largest element, or the side of zero; empty where there are none."""
    if end.comparison == "independent":
        return values > 0
    if values.ndim < 2 or values.shape[end.axis] < 2:
        return torch.empty(0)
    return values.argmax(dim=end.axis)


def _log_shares(end: End, values: Tensor) -> Tensor:
    values = values.flatten(start_dim=end.axis) if end.joint else values.movedim(end.axis, -1)
    return (values / TEMPERATURE).log_softmax(dim=-1)


def _entropy(shares: Tensor) -> Tensor:
    return F.binary_cross_entropy(shares, shares, reduction="none")
