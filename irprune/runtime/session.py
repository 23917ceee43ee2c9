"""Sessions of ONNX Runtime on its CPU provider, opened here and nowhere else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import onnx

from ..ir.core import Array
from .feeds import Feeds as Feeds

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Read when the library is loaded. Without it ONNX Runtime (seen in 1.31) reports on the models that it runs, and leaves
# a file called .ses in the folder for temporary files.

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

Outputs: TypeAlias = dict[str, Array]

_THREADS = 2
_LARGEST_PROTO = 1_900_000_000
_SINGLE_PRECISION = ("session.qdq_matmulnbits_accuracy_level", "1")
"""MatMul by a dequantized weight is fused into a kernel that by default rounds the activations to eight bits."""

_FOLDER_OPTION = "session.model_external_initializers_file_folder_path"
_ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    error for error in vars(ort_state).values() if isinstance(error, type) and issubclass(error, Exception)
)

_FAILURES: tuple[type[Exception], ...] = (*_ORT_ERRORS, RuntimeError, ValueError)


class RunFailure(Exception):
    """ONNX Runtime refused a model or stopped in it; the message is its first line."""


def _failure(error: Exception) -> RunFailure:
    return RunFailure(" ".join(str(error).split())[:400])


def open_session(
    model: bytes | str | Path, *, optimize: bool = False, threads: int = _THREADS, folder: Path | None = None
) -> ort.InferenceSession:
    """A session for a file, or for the bytes of a model whose external tensors (if any) lie in ``folder``.

    Raises :class:`RunFailure` where ONNX Runtime refuses the model.
    """
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = min(threads, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(*_SINGLE_PRECISION)
    if folder is not None:
        options.add_session_config_entry(_FOLDER_OPTION, str(folder.resolve()))
    source = str(model) if isinstance(model, Path) else model
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except _FAILURES as error:
        raise _failure(error) from error


def run_session(
    session: ort.InferenceSession, feeds: Mapping[str, Array], names: Sequence[str] | None = None
) -> Outputs:
    """The outputs of these names, by default all. Raises :class:`RunFailure` where ONNX Runtime stops."""
    names = names or [output.name for output in session.get_outputs()]
    try:
        results = session.run(list(names), dict(feeds))
    except _FAILURES as error:
        raise _failure(error) from error
    return dict(zip(names, results, strict=True))


@dataclass
class Executable:
    """A model on ONNX Runtime's CPU provider; a session is made once per optimization level.

    ``model`` is a path, or a proto whose external tensors (if any) lie in ``folder``.
    """

    model: onnx.ModelProto | Path
    folder: Path | None = None
    _sessions: dict[bool, ort.InferenceSession] = field(default_factory=dict)
    _spill: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list)

    @cached_property
    def proto(self) -> onnx.ModelProto:
        """The model without its external data."""
        if isinstance(self.model, Path):
            return onnx.load(self.model, load_external_data=False)
        return self.model

    @property
    def data_folder(self) -> Path | None:
        return self.model.parent if isinstance(self.model, Path) else self.folder

    def run(self, feeds: Mapping[str, Array], *, optimize: bool = False) -> Outputs:
        """The graph's outputs. Raises :class:`RunFailure`."""
        if optimize not in self._sessions:
            self._sessions[optimize] = self._open(self.model, optimize)
        return run_session(self._sessions[optimize], feeds)

    def probe(self, feeds: Mapping[str, Array], names: Sequence[str], chunk: int = 64) -> Iterable[Outputs]:
        """Values inside the graph, in chunks of ``chunk``: all are made outputs, optimizations are off."""
        session = self._open(with_outputs(self.proto, names), False)
        for start in range(0, len(names), chunk):
            yield run_session(session, feeds, names[start : start + chunk])

    def _open(self, model: onnx.ModelProto | Path, optimize: bool) -> ort.InferenceSession:
        if isinstance(model, Path):
            return open_session(model, optimize=optimize)
        return open_session(self._serialize(model), optimize=optimize, folder=self.data_folder)

    def _serialize(self, proto: onnx.ModelProto) -> bytes | str:
        """The bytes of a model, or the path of a temporary file where they are too many for one message."""
        if proto.ByteSize() < _LARGEST_PROTO:
            return bytes(proto.SerializeToString())
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        if self.data_folder is not None:
            onnx.load_external_data_for_model(copy, str(self.data_folder))
        self._spill.append(tempfile.TemporaryDirectory(prefix="irprune-"))
        path = Path(self._spill[-1].name) / "model.onnx"
        onnx.save_model(copy, path, save_as_external_data=True, location="model.data")
        return str(path)


def with_outputs(proto: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """A copy in which these values are graph outputs too; ONNX Runtime infers their types."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    present = {output.name for output in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return copy
