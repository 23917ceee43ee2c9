"""How much each rule of ``meta_rules.py`` saves: ``python -m benchmarks.meta_rules [--models M,...]``.

Every call that a capture makes is timed twice: as irprune answers it, by a rule where one speaks, and as PyTorch's
FakeTensor does. A rule pays where it saves a noticeable share of the capture of some model.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from .torch_side import MODELS, build

PAYS = 0.01
"""The share of a model's capture time from which on a rule is worth its lines."""


@dataclass
class Saving:
    """The calls that one rule answered, with the seconds of both ways, in all and in the model where most is saved."""

    calls: int = 0
    by_rule: float = 0.0
    by_torch: float = 0.0
    per_model: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, model: str, by_rule: float, by_torch: float) -> None:
        self.calls += 1
        self.by_rule += by_rule
        self.by_torch += by_torch
        self.per_model[model] += by_torch - by_rule


def rule_name(func: Any) -> str:
    """The rule that answers for an operator."""
    from irprune.torch.capture import meta_rules as rules

    rule = rules._RULES.get(func) or rules._WHOLE_RULES.get(func) or rules._elementwise
    return getattr(rule, "func", rule).__name__


def measure(model: str, savings: dict[str, Saving]) -> float:
    """Time the calls of one model's capture; returns the seconds of a capture by PyTorch's tensors alone."""
    import irprune.torch as tool
    from irprune.torch.capture import meta_tensors

    watched: Any = meta_tensors
    plain_called, rule_of = watched.called, watched.meta_rule_of
    answered: list[bool] = []
    total = 0.0

    def noted(func: Any, args: Any, kwargs: Any) -> Any:
        result = rule_of(func, args, kwargs)
        answered.append(result is not None)
        return result

    def timed(func: Any, args: Any, kwargs: Any) -> Any:
        nonlocal total
        start = perf_counter()
        result = plain_called(func, args, kwargs)
        by_rule = perf_counter() - start
        if answered and answered.pop():
            start = perf_counter()
            meta_tensors._faked(func, args, kwargs)
            by_torch = perf_counter() - start
            savings[rule_name(func)].add(model, by_rule, by_torch)
            total += by_torch - by_rule
        return result

    module, inputs = build(model)
    tool.trace(module, inputs)  # imports and caches
    seconds = min(_seconds(lambda: tool.trace(module, inputs)) for _ in range(2))
    watched.called, watched.meta_rule_of = timed, noted
    try:
        tool.trace(module, inputs)
    finally:
        watched.called, watched.meta_rule_of = plain_called, rule_of
    return seconds + total


def _seconds(work: Any) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.meta_rules", description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS), help="default: those of benchmarks.torch_side")
    models = parser.parse_args().models.split(",")
    savings: dict[str, Saving] = defaultdict(Saving)
    seconds = {model: measure(model, savings) for model in models}
    print("| rule | calls | ms by rule | ms by FakeTensor | most saved of a capture | pays |")
    print("|---|---:|---:|---:|---|---|")
    ranked = sorted(savings.items(), key=lambda item: item[1].by_rule - item[1].by_torch)
    for name, saving in ranked:
        model = max(saving.per_model, key=lambda name: saving.per_model[name] / seconds[name])
        share = saving.per_model[model] / seconds[model]
        pays = "yes" if share >= PAYS else "no"
        spent = f"{1e3 * saving.by_rule:.1f} | {1e3 * saving.by_torch:.1f}"
        print(f"| {name.strip('_')} | {saving.calls} | {spent} | {share:.1%} ({model}) | {pays} |")
    print("\nCapture by FakeTensor alone, in ms: " + ", ".join(f"{m} {1e3 * s:.0f}" for m, s in seconds.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
