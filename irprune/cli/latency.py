"""``irprune prune --latency``: the share of multiply-accumulates that meets it, by measuring candidates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .artifacts import OnnxFile
from .progress import step

if TYPE_CHECKING:
    from ..bench.search import Reached
    from ..request import Request
    from ..runtime.feeds import DataSource
    from .work import Read


def at_latency(given: Read, request: Request, data: DataSource | None) -> tuple[Request, Reached]:
    """The request for multiply-accumulates that meets the latency of a request, and what was measured.

    Raises :class:`InputError` for anything but a single ONNX model.
    """
    if not isinstance(given.artifact, OnnxFile):
        raise InputError(f"{given.path}: --latency is for a single ONNX model, which is measured on ONNX Runtime")
    from ..api import smaller_at
    from ..bench.search import meet_latency

    artifact, latency = given.artifact, request.latency
    assert latency is not None

    def write(share: float, path: Path) -> None:
        smaller = smaller_at(artifact.opened, given.analysis, request.at_macs(share), data)
        artifact.write_smaller(smaller, given.analysis, path)

    with step("measuring candidates"):
        reached = meet_latency(given.path, write, latency, threads=request.threads or 1, at=given.analysis.at)
    return request.at_macs(reached.macs), reached
