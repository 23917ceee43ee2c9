"""``irprune.drop``: a model without some of its residual branches."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from .analysis import Analysis
from .analysis.residuals import Residual
from .api import (
    AnyModel,
    OpenedModel,
    Result,
    analyze_model,
    emitted,
    has_external_data,
    like_given,
    open_model,
    open_samples,
    verify_opened,
)
from .backends.onnx import emit, to_whole_proto
from .dropping.drop import drop_blocks, norm_scores, without_branches
from .dropping.options import Depth
from .errors import InputError, VerificationError
from .repair.effect import outputs, squared_error
from .repair.recover import Recovery, repaired
from .request import Request
from .rewriting import Smaller
from .runtime.feeds import AnyData, Feeds
from .runtime.session import RunFailure

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .calibration.calibrate import Samples
    from .dropping.drop import Judge

_MOST_SAMPLES = 128
"""Samples on which candidates are compared."""


class DepthOptions(TypedDict, total=False):
    """The options of :class:`~irprune.dropping.options.Depth` as keyword arguments."""

    blocks: int | None
    branches: int | None
    depth: float | None


def drop(
    model: AnyModel,
    output: str | os.PathLike[str] | None = None,
    *,
    data: AnyData | None = None,
    verify: bool = True,
    inputs: AnyData | None = None,
    rtol: float | None = None,
    seed: int = 0,
    **options: Unpack[DepthOptions],
) -> Result:
    """Drop residual branches: ``y = x + F(x)`` becomes ``y = x``.

    ``blocks`` is how many blocks go, ``branches`` how many single branches, ``depth`` the share of blocks that stays.
    With ``data`` (unlabeled inputs) the branch goes whose removal changes the outputs least, one after the other, and
    the weights that stay are refitted; else the one with the smallest weights. Verified against the original with these
    branches multiplied by zero. Other arguments are those of :func:`irprune.prune`.

    Raises :class:`InputError` for a model without residual branches, :class:`TargetError` for more blocks than there
    are, and :class:`VerificationError` for a result that is not equivalent.
    """
    wanted = Depth.given(options).require_one()
    opened = open_model(model)
    request = Request(seed=seed)
    analysis = analyze_model(opened, request)
    smaller, recovery, samples = dropped(opened, analysis, wanted, request, data)
    for text in recovery.cautions() if recovery else ():
        warnings.warn(text, stacklevel=2)
    smaller = smaller.of(opened.identity)
    made, plan, report = emitted(opened, analysis.graph, smaller.graph, smaller.plan), smaller.plan, None
    if verify:
        inputs = samples.held_out if inputs is None and samples else inputs
        report = verify_opened(model, made, plan, graph=analysis.graph, inputs=inputs, rtol=rtol, seed=seed)
        if not report.ok:
            raise VerificationError(report.refusal())
        plan = plan.with_verification(report.as_json())
    like = made if opened.is_path and output is None else like_given(opened, model, made, output, suffix="shallow")
    return Result(like, plan, report, recovery, made, has_external_data(opened.model))


def dropped(
    opened: OpenedModel, analysis: Analysis, options: Depth, request: Request, data: AnyData | None
) -> tuple[Smaller, Recovery | None, Samples | None]:
    """The graph without branches and its plan; with data, refitted, with the effect on samples held out."""
    if data is None:
        return drop_blocks(analysis, options, norm_scores(analysis), request), None, None
    samples, proto = open_samples(opened, data), to_whole_proto(opened.model)
    try:
        smaller = drop_blocks(analysis, options, _by_outputs(opened, analysis, samples.fitted), request)
        done, recovery = repaired(opened.model, proto, analysis, request, samples, smaller)
    except RunFailure as error:
        raise InputError(f"ONNX Runtime cannot run the model on the given data: {error}") from error
    return done, recovery, samples


def _by_outputs(opened: OpenedModel, analysis: Analysis, feeds: Sequence[Feeds]) -> Judge:
    """Chooses the block whose removal, beside those that are gone already, changes the outputs least."""
    few, count = [], 0
    for feed in feeds:
        few.append(feed)
        first = next(iter(feed.values()))
        count += len(first) if first.ndim else 1
        if count >= _MOST_SAMPLES:
            break
    wanted = outputs(to_whole_proto(opened.model), few)
    gone: list[Residual] = []

    def error(block: tuple[Residual, ...]) -> float:
        graph = without_branches(analysis.graph, [*gone, *block])
        return squared_error(wanted, outputs(to_whole_proto(emit(opened.model, analysis.graph, graph)), few))

    def judge(blocks: Sequence[tuple[Residual, ...]]) -> int:
        chosen = int(np.argmin([error(block) for block in blocks]))
        gone.extend(blocks[chosen])
        return chosen

    return judge
