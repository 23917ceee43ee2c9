"""Sessions of ONNX Runtime on its CPU provider, opened here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from ..ir.core import Array
from ..ir.domains import plain_domain

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Read when the library is loaded. Without it ONNX Runtime (seen in 1.31) reports on the models that it runs, and leaves
# a file called .ses in the folder for temporary files.

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

Outputs: TypeAlias = dict[str, Array]
Session: TypeAlias = ort.InferenceSession

CPU = "CPUExecutionProvider"
_THREADS = 2
_FOLDER_OPTION = "session.model_external_initializers_file_folder_path"
_SINGLE_PRECISION = ("session.qdq_matmulnbits_accuracy_level", "1")
"""MatMul by a dequantized weight is fused into a kernel that by default rounds the activations to eight bits."""

_NO_SPINNING = ("session.intra_op.allow_spinning", "0")
"""Threads sleep while there is nothing to do."""

_STOPS_SPINNING = "session.force_spinning_stop", "1"
"""Threads sleep when a run ends: those of another session are not disturbed."""

_NO_PACKING = ("session.disable_prepacking", "1")
"""Weights are used where they are, not packed into a copy."""

_ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    error for error in vars(ort_state).values() if isinstance(error, type) and issubclass(error, Exception)
)

_FAILURES: tuple[type[Exception], ...] = (*_ORT_ERRORS, RuntimeError, ValueError)


@lru_cache(maxsize=1)
def _kernels() -> frozenset[tuple[str, str]]:
    found = ((kernel.domain, kernel.op_name) for kernel in ort_state.get_all_opkernel_def())
    return frozenset({*found, ("", "Constant")})


def has_kernel(domain: str, op: str) -> bool:
    """Whether ONNX Runtime has code for an operator. Some without it run nevertheless, being made of others."""
    return (plain_domain(domain), op) in _kernels()


class RunFailure(Exception):
    """ONNX Runtime refused a model or stopped in it; the message is its first line."""


def _failure(error: Exception) -> RunFailure:
    return RunFailure(" ".join(str(error).split())[:400])


def open_session(
    model: bytes | Path,
    *,
    optimize: bool = False,
    threads: int = _THREADS,
    folder: Path | None = None,
    thrifty: bool = True,
    provider: str = CPU,
    written: Path | None = None,
    profile: Path | None = None,
) -> Session:
    """A session for a file, or for the bytes of a model whose external tensors (if any) lie in ``folder``.

    A thrifty one holds no more memory than a run needs, and is slower; its weights are packed into a copy with
    optimizations alone. Without it the defaults of ONNX Runtime apply, as for a measurement of speed. ``written`` is
    where to write the optimized graph, ``profile`` how the file begins that :func:`profiled` names.

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
    if thrifty:
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.add_session_config_entry(*_NO_SPINNING)
        if not optimize:
            options.add_session_config_entry(*_NO_PACKING)
    else:
        options.add_session_config_entry(*_STOPS_SPINNING)
    if written is not None:
        options.optimized_model_filepath = str(written)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    source = str(model) if isinstance(model, Path) else model
    try:
        return ort.InferenceSession(source, options, providers=[provider])
    except _FAILURES as error:
        raise _failure(error) from error


def available_providers() -> list[str]:
    """The execution providers of this installation of ONNX Runtime, the preferred one first."""
    return list(ort.get_available_providers())


def profiled(session: Session) -> Path:
    """End the profile of a session; the file that it was written to."""
    return Path(session.end_profiling())


def run_session(session: Session, feeds: Mapping[str, Array], names: Sequence[str] | None = None) -> Outputs:
    """The outputs of these names, by default all; with names, only what leads to them is computed.

    Raises :class:`RunFailure` where ONNX Runtime stops.
    """
    options = ort.RunOptions()
    options.log_severity_level = 4
    options.only_execute_path_to_fetches = names is not None
    names = names or [output.name for output in session.get_outputs()]
    try:
        results = session.run(list(names), dict(feeds), options)
    except _FAILURES as error:
        raise _failure(error) from error
    return dict(zip(names, results, strict=True))
