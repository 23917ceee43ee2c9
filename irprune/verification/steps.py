"""Compare several steps in which each model reads its own state.

Each side gets its own outputs back, the reference in the original's shapes and the pruned model in its own. If a state
input and its output kept different channels, the second step would differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..analysis.states import State
from ..runtime.feeds import Feeds
from ..runtime.session import Outputs, RunFailure
from .cases import Case, Cases, InputSpec, input_specs, random_feeds, symbols_of_dim
from .equivalence import Comparison
from .report import Equivalence, OutputError

STEPS = 3
_CHAINS = 2
"""Number of cases that start a sequence of steps."""


def with_steps(comparison: Comparison, cases: Cases, found: Equivalence) -> Equivalence:
    """Add the errors of further steps; returned unchanged for a model without states, or one that failed already."""
    states = comparison.analysis.coupling.states
    if not states or not found.ok:
        return found
    specs = input_specs(comparison.original.proto)
    worst = {output.name: output for output in found.outputs}
    labels: list[str] = []
    for case in cases.items[:_CHAINS]:
        try:
            errors = _chain(comparison, case, states, specs)
        except RunFailure as error:
            comparison.close()
            return replace(found, problems=(f"the pruned model does not run on its own state ({case.label}): {error}",))
        comparison.close()
        labels += [f"{case.label}, {STEPS} steps with the state fed back"] if errors else []
        for output in errors:
            if (not output.ok, output.error) > (not worst[output.name].ok, worst[output.name].error):
                worst[output.name] = output
    return replace(found, outputs=tuple(worst.values()), cases=(*found.cases, *labels))


def _chain(
    comparison: Comparison, case: Case, states: Sequence[State], specs: Sequence[InputSpec]
) -> list[OutputError]:
    """The errors of all steps from one case on; empty if the original does not run on its own state.

    Raises :class:`RunFailure` where only the pruned model stops.
    """
    feeds, own = case.feeds, comparison.pruned_feeds(case)
    found: list[OutputError] = []
    for step in range(1, STEPS + 1):
        here = Case(f"{case.label}, step {step} with the state fed back", feeds, {})
        try:
            pruned, reference = comparison.sides(here)
            expected = reference.run(feeds)
        except RunFailure:
            return []
        got = pruned.run(own)
        errors, _ = comparison.without_noise(here, comparison.errors_of(here, expected, got))
        found += errors
        if any(not error.ok for error in errors) or step == STEPS:
            return found
        after = _next_feeds(specs, states, feeds, expected, step)
        if after is None:
            return []
        feeds = after
        own = {**comparison.pruned_feeds(replace(here, feeds=feeds)), **{one: got[other] for one, other in states}}
    return found


def _next_feeds(
    specs: Sequence[InputSpec], states: Sequence[State], feeds: Feeds, outputs: Outputs, step: int
) -> Feeds | None:
    """The returned state and new random values for all other inputs; sizes follow a state that grows."""
    returned = {before: outputs[after] for before, after in states}
    symbols = _symbols(specs, feeds) | _symbols(specs, returned)
    try:
        return {**random_feeds(specs, symbols, step), **returned}
    except KeyError:
        return None


def _symbols(specs: Sequence[InputSpec], feeds: Feeds) -> dict[str, int]:
    """The values of open sizes, read from the dimensions of some inputs."""
    return {
        dim: size
        for spec in specs
        if spec.name in feeds
        for dim, size in zip(spec.dims, feeds[spec.name].shape, strict=True)
        if isinstance(dim, str) and symbols_of_dim(dim) == [dim]
    }
