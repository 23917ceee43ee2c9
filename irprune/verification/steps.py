"""Compare several steps in which each model reads its own state.

Each side gets its own outputs back, the reference in the original's shapes and the pruned model in its own. If a state
input and its output kept different channels, the second step would differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

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
    specs = input_specs(comparison.original.proto, comparison.ranges)
    worst = {output.name: output for output in found.outputs}
    labels: list[str] = []
    notes: list[str] = []
    for case in cases.items[:_CHAINS]:
        try:
            chain = _chain(comparison, case, states, specs)
        except RunFailure as error:
            comparison.close()
            return replace(found, problems=(f"the pruned model does not run on its own state ({case.label}): {error}",))
        comparison.close()
        if chain.steps > 1:
            labels.append(f"{case.label}, {chain.steps} steps with the state fed back")
        if chain.stopped:
            notes.append(f"only {chain.steps} of {STEPS} steps ({case.label}): {chain.stopped}")
        for output in chain.errors:
            if (not output.ok, output.error) > (not worst[output.name].ok, worst[output.name].error):
                worst[output.name] = output
    return replace(found, outputs=tuple(worst.values()), cases=(*found.cases, *labels), notes=(*found.notes, *notes))


@dataclass(frozen=True)
class _Chain:
    """The errors of all steps from one case on, how many there were, and why there were no more."""

    errors: list[OutputError]
    steps: int
    stopped: str = ""


def _chain(comparison: Comparison, case: Case, states: Sequence[State], specs: Sequence[InputSpec]) -> _Chain:
    """The steps that the original takes on its own state.

    Raises :class:`RunFailure` where only the pruned model stops.
    """
    choices: Iterable[Feeds] = [case.feeds]
    own: Feeds = {}
    found: list[OutputError] = []
    for step in range(1, STEPS + 1):
        label = f"{case.label}, step {step} with the state fed back"
        taken, stopped = _first_that_runs(comparison, label, choices)
        if taken is None:
            return _Chain(found, step - 1, stopped)
        here, expected = taken
        pruned, _ = comparison.sides(here)
        got = pruned.run({**comparison.pruned_feeds(here), **own})
        errors, _ = comparison.without_noise(here, comparison.errors_of(here, expected, got))
        found += errors
        if any(not error.ok for error in errors):
            return _Chain(found, step)
        choices = _next_feeds(specs, states, here.feeds, expected, step)
        own = {before: got[after] for before, after in states}
    return _Chain(found, STEPS)


def _first_that_runs(
    comparison: Comparison, label: str, choices: Iterable[Feeds]
) -> tuple[tuple[Case, Outputs] | None, str]:
    """The first feeds that the reference runs on, with its outputs; else why it does not."""
    stopped = "an input has a size that the state does not tell"
    for feeds in choices:
        here = Case(label, feeds, {})
        try:
            _, reference = comparison.sides(here)
            return (here, reference.run(feeds)), ""
        except RunFailure as error:
            stopped = f"the original does not run on its own state: {error}"
    return None, stopped


def _next_feeds(
    specs: Sequence[InputSpec], states: Sequence[State], feeds: Feeds, outputs: Outputs, step: int
) -> Iterator[Feeds]:
    """The returned state and new random values for all other inputs; sizes follow a state that grows.

    What else grows with it, as a mask does that covers the past, is not declared: first nothing does, then one size.
    """
    returned = {before: outputs[after] for before, after in states}
    symbols = _symbols(specs, feeds) | _symbols(specs, returned)
    for grown in _growths(specs, feeds, returned):
        sizes = {symbol: size + grown.get(symbol, 0) for symbol, size in symbols.items()}
        try:
            yield {**random_feeds(specs, sizes, step), **returned}
        except KeyError:
            return


def _growths(specs: Sequence[InputSpec], feeds: Feeds, returned: Feeds) -> Iterator[dict[str, int]]:
    """Sizes of inputs that hold no state, with what the state grew by: none of them, each alone, all of them."""
    yield {}
    grew = {
        after - before
        for name, array in returned.items()
        if array.ndim == feeds[name].ndim
        for before, after in zip(feeds[name].shape, array.shape, strict=True)
    }
    growth = max(grew, default=0)
    if growth <= 0:
        return
    followed = {symbol for spec in specs if spec.name in returned for symbol in spec.symbols}
    others = [symbol for spec in specs if spec.name not in returned for symbol in spec.symbols]
    free = [symbol for symbol in dict.fromkeys(others) if symbol not in followed]
    yield from ({symbol: growth} for symbol in free)
    if len(free) > 1:
        yield dict.fromkeys(free, growth)


def _symbols(specs: Sequence[InputSpec], feeds: Feeds) -> dict[str, int]:
    """The values of open sizes, read from the dimensions of some inputs."""
    return {
        dim: size
        for spec in specs
        if spec.name in feeds
        for dim, size in zip(spec.dims, feeds[spec.name].shape, strict=True)
        if isinstance(dim, str) and symbols_of_dim(dim) == [dim]
    }
