"""One task of a sweep: prune to one target, and write the model, its plan, and what was found."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.staging import staged, write_text
from ..errors import InputError, TargetError, VerificationError
from ..request import Request
from .folder import TASK_FORMAT, Folder, digest_of

if TYPE_CHECKING:
    from ..api import Result
    from ..ir.core import Array
    from ..runtime.feeds import Data


@dataclass(frozen=True)
class Task:
    """What a worker needs to know, as plain values: paths are absolute, on a disk that it shares.

    ``labels`` belong to ``inputs``, or where there are none to ``data``. ``options`` are those of the request but for
    its target. With ``minutes`` the smaller model is trained that long towards the original.
    """

    model: str
    folder: str
    by: str
    target: float
    options: Mapping[str, Any]
    data: str | None = None
    inputs: str | None = None
    labels: str | None = None
    minutes: float | None = None

    @property
    def name(self) -> str:
        """``macs-0.5``."""
        trained = "" if self.minutes is None else f"-{self.minutes:g}min"
        return f"{self.by}-{self.target:g}{trained}"


def run_task(task: Task) -> dict[str, Any]:
    """Do a task, and return what its file holds. One that was done before is left as it is.

    A target that is out of reach, and a result that fails verification, are findings as well. Raises
    :class:`InputError` for a model or data that do not fit.
    """
    folder = Folder(Path(task.folder))
    done = folder.finished(task.name)
    if done is not None:
        return done
    folder.clear(task.name)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = _made(task, folder)
        except (TargetError, VerificationError) as error:
            found = {"ok": False, "error": str(error)}
    own = dict.fromkeys(str(item.message) for item in said if item.category is UserWarning)
    body = {"format": TASK_FORMAT, "by": task.by, "target": task.target, **found, "warnings": list(own)}
    write_text(folder.task(task.name), json.dumps(body, indent=1) + "\n")
    return body


def _made(task: Task, folder: Folder) -> dict[str, Any]:
    from ..api import prune

    options = Request.given({**task.options, task.by: task.target})
    inputs, labels = _judged_on(task)
    with staged(folder.model(task.name), keep=[Path(task.model)]) as stage:
        result = prune(
            Path(task.model),
            stage.path,
            data=task.data,
            inputs=inputs,
            labels=labels,
            **options.model_dump(exclude_unset=True),
        )
        if task.minutes is not None:
            result = _trained(task, result, stage.path, inputs, labels)
        found = _found(result, stage.path)
        stage.commit()
    write_text(folder.plan(task.name), result.plan.dumps())
    return found


def _trained(task: Task, result: Result, model: Path, inputs: Any, labels: Array | None) -> Result:
    """The result after training on the data; the file of the model is replaced.

    Both hold the same samples out. Raises :class:`VerificationError` for a result that is not equivalent.
    """
    from ..api import verify
    from ..torch import finetune

    original, seed = Path(task.model), int(task.options.get("seed", 0))
    tuned = finetune(original, model, task.data, plan=result.plan, minutes=task.minutes, seed=seed)
    assert tuned.plan is not None
    tuned.save(model)
    judged_on = list(tuned.samples.held_out) if inputs is None else inputs
    report = verify(original, model, tuned.plan, inputs=judged_on, labels=labels, seed=seed)
    if not report.ok:
        raise VerificationError(report.refusal())
    return replace(result, plan=tuned.plan.with_verification(report.as_json()), report=report)


def _judged_on(task: Task) -> tuple[Any, Array | None]:
    """The inputs that the fidelity is measured on, if others than those that pruning holds out, and their labels."""
    from ..runtime.labels import as_labels

    if task.labels is None:
        return task.inputs, None
    labels = as_labels(task.labels)
    if task.inputs is not None:
        return task.inputs, labels
    if task.data is None:
        raise InputError("labels need the inputs that they belong to: give --data or --inputs")
    from ..calibration.calibrate import held_out_positions

    positions, count = held_out_positions(_opened(task.model, task.data))
    if len(labels) != count:
        raise InputError(f"{task.labels}: there are {len(labels)} labels for {count} samples of {task.data}")
    return None, labels[positions]


def _opened(model: str, data: str) -> Data:
    from ..api import as_proto
    from ..runtime.data import open_data
    from ..runtime.feeds import input_types

    return open_data(data, input_types(as_proto(model)), "the data")


def _found(result: Result, model: Path) -> dict[str, Any]:
    """What is known of a result. Times are there only where they were asked for: all else is the same each time."""
    assert result.report is not None
    fidelity = result.report.as_json()["fidelity"]
    outputs = result.report.fidelity.outputs
    agreements = [output.agreement for output in outputs if output.agreement is not None]
    ratios = [output.snr_db for output in outputs if output.is_float and not output.note]
    accuracy = result.report.fidelity.accuracy
    return {
        "ok": True,
        "cost": {name: list(both) for name, both in result.plan.cost.items()},
        "file_bytes": sum(part.stat().st_size for part in model.parent.iterdir()),
        "sha256": digest_of(model),
        "agreement": min(agreements, default=None),
        "snr_db": min((ratio for ratio in ratios if abs(ratio) < float("inf")), default=None),
        "accuracy": None if accuracy is None else list(accuracy),
        "error": None,
        "latency": None if result.latency is None else result.latency.as_json(),
        "fidelity": fidelity,
    }
