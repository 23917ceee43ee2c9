"""Measure models side by side: latency, peak memory, size, and where the time goes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..runtime.executable import Executable
from ..runtime.feeds import Feeds
from ..runtime.session import RunFailure
from ..verification.cases import input_specs, random_feeds
from ..verification.sizing import Shapes, run_sizes
from .memory import peak_memory
from .profile import Profile
from .runners import Run, Runner, runner_of
from .timing import Latency, Milliseconds, Ratio, measure, ratio

FORMAT = "irprune.bench/1"

Step = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Settings:
    """How to measure. With ``seconds`` fewer than ``runs`` are made where they would take longer."""

    runtime: str = "onnxruntime"
    provider: str = "cpu"
    threads: int = 1
    runs: int = 50
    warm_up: int = 5
    seconds: float | None = None
    seed: int = 0
    memory: bool = True
    profile: bool = False

    def require_valid(self) -> Settings:
        """These settings. Raises :class:`InputError` for numbers that make no sense."""
        for name, least in (("runs", 1), ("threads", 1), ("warm_up", 0)):
            if getattr(self, name) < least:
                flag = "--" + name.replace("_", "-")
                raise InputError(f"{flag} must be at least {least}, got {getattr(self, name)}")
        return self


@dataclass(frozen=True)
class Measured:
    """One model. ``times`` are milliseconds, ``first`` those of the first model in the same rounds; sizes in bytes."""

    path: Path
    bytes: int
    times: Milliseconds
    first: Milliseconds | None
    peak: int | None
    profile: Profile | None

    @property
    def latency(self) -> Latency:
        return Latency.of(self.times)

    @cached_property
    def ratio(self) -> Ratio | None:
        """The comparison with the first model, which has none."""
        return None if self.first is None else ratio(self.first, self.times)

    def as_json(self, before: Measured) -> dict[str, Any]:
        """As plain JSON values; ``before`` is the first model."""
        found: dict[str, Any] = {"path": str(self.path), "bytes": self.bytes, "ms": asdict(self.latency)}
        found["times_as_fast"] = None if self.ratio is None else asdict(self.ratio)
        found["peak_bytes"] = self.peak
        if self.profile is not None:
            lost = self.profile.lost(before.profile) if before.profile and self is not before else []
            found["profile"] = {**self.profile.as_json(), "lost_blocked_layout": lost}
        return found


@dataclass(frozen=True)
class Bench:
    """All of them, in the order in which they were given."""

    settings: Settings
    described: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    models: tuple[Measured, ...]

    def as_json(self) -> dict[str, Any]:
        head = {"format": FORMAT, **self.described, "threads": self.settings.threads, "runs": self.settings.runs}
        first = self.models[0]
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        return {**head, "shapes": shapes, "models": [model.as_json(first) for model in self.models]}


def bench(
    paths: Sequence[Path],
    settings: Settings | None = None,
    *,
    shapes: Shapes | None = None,
    sizes: Mapping[str, int] | None = None,
    step: Step = lambda text: nullcontext(),
) -> Bench:
    """Measure models on the same random inputs, in turns. Open sizes have those of the first model.

    Raises :class:`InputError` for a provider that is not there, a shape that a model refuses, and a model that does
    not run.
    """
    settings = (settings or Settings()).require_valid()
    runner = runner_of(settings.runtime, settings.threads, settings.provider)
    with step("finding sizes to run at"):
        given = _feeds(paths, shapes or {}, sizes or {}, settings.seed)
    with step("measuring"):
        runs = [_opened(runner, path, feeds) for path, feeds in zip(paths, given, strict=True)]
        times = measure(runs, settings.runs, settings.warm_up, settings.seconds)
        del runs
    found = []
    with tempfile.TemporaryDirectory(prefix="irprune-") as folder, step("measuring memory"):
        for number, (path, feeds) in enumerate(zip(paths, given, strict=True)):
            asked = settings.runtime, settings.threads, settings.provider
            peak = peak_memory(path, feeds, asked, Path(folder)) if settings.memory else None
            profile = _profiled(runner, path, feeds, settings.runs, Path(folder)) if settings.profile else None
            first = times[0] if number else None
            found.append(Measured(path, size_of(path), times[number], first, peak, profile))
    return Bench(settings, runner.describe(), {name: a.shape for name, a in given[0].items()}, tuple(found))


def _feeds(paths: Sequence[Path], shapes: Shapes, sizes: Mapping[str, int], seed: int) -> list[Feeds]:
    known: dict[str, int] | None = None
    found = []
    for path in paths:
        model = Executable(path)
        specs = input_specs(model.proto)
        own = {symbol for spec in specs for symbol in spec.symbols}
        if known is None or not own <= known.keys():
            known = run_sizes(model, shapes, sizes)
        found.append(random_feeds(specs, known, seed))
        model.close()
    return found


def _opened(runner: Runner, path: Path, feeds: Feeds) -> Run:
    try:
        return runner.open(path, feeds)
    except RunFailure as error:
        shapes = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in feeds.items())
        raise InputError(f"{path} does not run at {shapes or 'no input'}: {error}") from error


def _profiled(runner: Runner, path: Path, feeds: Feeds, runs: int, folder: Path) -> Profile:
    runs = min(runs, _PROFILED)
    return Profile.of(runner.profile(path, feeds, runs, folder), runs)


_PROFILED = 20
"""Runs that a profile is made of at most."""


def size_of(path: Path) -> int:
    """The bytes of a model and of the files of its weights."""
    from ..frontends.files import load
    from ..identity import external_files

    return sum(part.stat().st_size for part in (path, *external_files(load(path)).values()))
