"""``irprune.sparsify``: zeros inside of weights, verified like a smaller model."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .analysis import Analysis
from .api import (
    AnyModel,
    OpenedModel,
    analyze_model,
    emitted,
    has_external_data,
    like_given,
    open_model,
    open_samples,
    verify_opened,
)
from .backends.onnx import emit, save, to_whole_proto
from .errors import VerificationError
from .plans import ModelIdentity, Plan
from .plans.digests import digest_of_values
from .plans.document import costs
from .repair.effect import agreement, outputs, samples_in, squared_error
from .repair.recover import Recovery
from .request import Request
from .rewriting import Smaller
from .runtime.feeds import AnyData
from .runtime.labels import AnyLabels
from .sparsity.sparsify import Sparse, sparsify_weights
from .verification.floors import NO_FLOORS, Floors
from .versions import installed
from .zeros import Sparsity, SparsityOptions

if TYPE_CHECKING:
    import onnx_ir as oir
    from typing_extensions import Unpack

    from .calibration.calibrate import Samples
    from .verification import Report


@dataclass(frozen=True)
class Sparsified:
    """What :func:`sparsify` made: the model, its plan, the weights with their zeros, and what was found.

    ``model`` is as in :class:`irprune.Result`. ``recovery`` compares, on samples held out, the zeros alone with the
    adjusted weights; ``None`` without data.
    """

    model: AnyModel
    plan: Plan
    sparse: Sparse
    report: Report | None
    recovery: Recovery | None
    _written: oir.Model = field(repr=False)
    _external: bool = field(repr=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model; weights go to a file of their own where the original's did."""
        save(self._written, path, external=self._external)

    def __repr__(self) -> str:
        verified = "not verified" if self.report is None else "verified"
        return f"Sparsified({self.sparse.share:.1%} zeros in {len(self.sparse.weights)} weights, {verified})"


def sparsify(
    model: AnyModel,
    output: str | os.PathLike[str] | None = None,
    *,
    data: AnyData | None = None,
    verify: bool = True,
    inputs: AnyData | None = None,
    rtol: float | None = None,
    labels: AnyLabels | None = None,
    floors: Floors = NO_FLOORS,
    **options: Unpack[SparsityOptions],
) -> Sparsified:
    """Make weights of convolutions, products and recurrent cells sparse; biases and shapes stay.

    ``ratio`` is the share of zeros, ``pattern`` is ``N:M`` or a block such as ``4x1``. With ``data`` (unlabeled inputs)
    zeros are chosen by what they do to each result, and the weights that stay are adjusted (SparseGPT); ``method``
    names another way. The model becomes smaller once it is compressed, and faster only where a runtime has kernels for
    the pattern; ONNX Runtime has none. Other arguments are those of :func:`irprune.prune`.

    Raises :class:`InputError` for options or data that make no sense, :class:`TargetError` where no weight has room for
    the pattern, and :class:`VerificationError` for a result that is not equivalent, or below a floor.
    """
    wanted = Sparsity.given(options).with_data(data is not None)
    opened = open_model(model)
    analysis = analyze_model(opened, Request(seed=wanted.seed))
    smaller, sparse, recovery, samples = sparsified(opened, analysis, wanted, data)
    for text in recovery.cautions() if recovery else ():
        warnings.warn(text, stacklevel=2)
    smaller = smaller.of(opened.identity)
    made, plan, report = emitted(opened, analysis.graph, smaller.graph, smaller.plan), smaller.plan, None
    if verify:
        inputs = samples.held_out if inputs is None and samples else inputs
        checks = {"inputs": inputs, "rtol": rtol, "seed": wanted.seed, "labels": labels, "floors": floors}
        report = verify_opened(model, made, plan, graph=analysis.graph, **checks)
        if not report.ok:
            raise VerificationError(report.refusal())
        plan = plan.with_verification(report.as_json())
    like = made if opened.is_path and output is None else like_given(opened, model, made, output, suffix="sparse")
    return Sparsified(like, plan, sparse, report, recovery, made, has_external_data(opened.model))


def sparsified(
    opened: OpenedModel, analysis: Analysis, options: Sparsity, data: AnyData | None
) -> tuple[Smaller, Sparse, Recovery | None, Samples | None]:
    """The graph with zeros and its plan, the zeros by weight, and on data their effect.

    Adjusted weights are kept where they lower the error of the outputs on the samples held out.
    """
    samples, proto = None, None
    if data is not None:
        samples, proto = open_samples(opened, data), to_whole_proto(opened.model)
    sparse = sparsify_weights(analysis, options, proto, samples.fitted if samples else ())
    recovery = None
    if samples is not None:
        recovery = _effect(opened, analysis, sparse, samples)
        if recovery.error >= recovery.error_sliced:
            sparse = replace(sparse, values=sparse.masked)
            recovery = replace(recovery, error=recovery.error_sliced, agreement=recovery.agreement_sliced)
    graph = analysis.graph.with_values(sparse.values)
    cost = analysis.cost_model({})
    plan = Plan(
        model=ModelIdentity(opset=analysis.graph.opsets.get("", 0)),
        versions=installed(),
        request=Request(seed=options.seed),
        groups=(),
        updated={name: digest_of_values(array) for name, array in sorted(sparse.values.items())},
        cost=costs(cost, cost),
        at=dict(analysis.at),
        rewritten=(),
        sparsity=options,
    )
    return Smaller(plan, graph, {}), sparse, recovery, samples


def _effect(opened: OpenedModel, analysis: Analysis, sparse: Sparse, samples: Samples) -> Recovery:
    """The outputs with the zeros alone, and with the adjusted weights, against the original's."""
    wanted = outputs(to_whole_proto(opened.model), samples.held_out)
    masked, adjusted = (
        outputs(
            to_whole_proto(emit(opened.model, analysis.graph, analysis.graph.with_values(values))), samples.held_out
        )
        for values in (sparse.masked, sparse.values)
    )
    return Recovery(
        samples_in(samples.fitted),
        samples_in(samples.held_out),
        squared_error(wanted, masked),
        squared_error(wanted, adjusted),
        agreement(wanted, masked),
        agreement(wanted, adjusted),
        (),
    )
