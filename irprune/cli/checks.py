"""The options of the verification, and the checks before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..verification.floors import NO_FLOORS, Floors

if TYPE_CHECKING:
    from ..ir.core import Array
    from ..runtime.feeds import DataSource


@dataclass(frozen=True)
class Checks:
    """How to verify: not at all, on whose inputs, how strictly, and from which fidelity on."""

    verify: bool = True
    inputs: DataSource | None = None
    labels: Array | None = None
    rtol: float | None = None
    seed: int = 0
    floors: Floors = NO_FLOORS
    tuned: bool = False


def checks_from(
    floors: Floors = NO_FLOORS,
    *,
    no_verify: bool = False,
    inputs: Path | DataSource | None = None,
    labels: Path | None = None,
    rtol: float | None = None,
    seed: int = 0,
    tuned: bool = False,
) -> Checks:
    """The checks that the options ask for. Raises :class:`InputError` for options that contradict each other."""
    strict = {"--inputs": inputs, "--labels": labels, "--rtol": rtol}
    asked = [*(name for name, value in strict.items() if value is not None), *floors.asked]
    if no_verify and asked:
        raise InputError(f"{asked[0]} asks for a verification, --no-verify for none")
    if rtol is not None and not 0 < rtol < 1:
        raise InputError(f"--rtol must lie between 0 and 1 (both excluded), got {rtol}")
    floors.require_evidence(has_inputs=inputs is not None, has_labels=labels is not None)
    source = None if inputs is None else _source(inputs)
    return Checks(not no_verify, source, None if labels is None else _labels(labels), rtol, seed, floors, tuned)


def _labels(path: Path) -> Array:
    from ..runtime.labels import as_labels

    return as_labels(path)


def _source(inputs: Path | DataSource) -> DataSource:
    from ..runtime.data import open_source

    return open_source(inputs)


def data_of(option: str, texts: Sequence[str] | None, models: Sequence[Path]) -> DataSource | None:
    """The data that an option names: of one model DATA, of several MODEL=DATA for each.

    Several models may have one file as well, whose arrays are named ``MODEL:INPUT``. Raises :class:`InputError` for
    data of no model, and for a model without data.
    """
    if not texts:
        return None
    if len(models) == 1:
        if len(texts) > 1:
            raise InputError(f"{option} is given {len(texts)} times; one model takes one file, or a folder of them")
        return _source(Path(texts[0]))
    names = [path.stem for path in models]
    named = dict(text.split("=", 1) for text in texts if text.split("=", 1)[0] in names and "=" in text)
    if len(texts) == 1 and not named:
        return _source(Path(texts[0]))
    from ..backends.merging import SEPARATOR
    from ..runtime.data import merged_source

    if len(named) != len(texts) or set(named) != set(names):
        raise InputError(f"{option}: expected MODEL=DATA once for each of {', '.join(names)}, got {', '.join(texts)}")
    sources = {name: _source(Path(named[name])) for name in sorted(names)}
    return merged_source(sources, SEPARATOR, ", ".join(named[name] for name in sorted(names)))


def require_runnable(path: Path) -> None:
    """Raise :class:`InputError` for a model that ONNX Runtime cannot run: nothing could be verified with it."""
    from ..runtime.executable import Executable
    from ..runtime.session import RunFailure
    from ..verification.cutting import runnable_part

    try:
        runnable_part(Executable(path))[0].require_runnable()
    except RunFailure as error:
        raise InputError(
            f"{path}: ONNX Runtime cannot run this model, so nothing can be verified "
            f"(--no-verify prunes it all the same): {error}"
        ) from error
