"""Modules as files: exported programs (``.pt2``) and ONNX models (``.onnx``)."""

from __future__ import annotations

import inspect
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

from ...backends.staging import staged
from ...errors import InputError
from ..capture.module import quiet
from ..cases import Case, Inputs
from ..verification import export_onnx
from .vetting import Untrusted, copy_without_inputs, require_harmless

if TYPE_CHECKING:
    from ..program import Program


@dataclass(frozen=True)
class ProgramFile:
    """The content of a ``.pt2`` file. ``example_inputs`` reads the inputs of the export (empty if none)."""

    program: ExportedProgram
    example_inputs: Callable[[], Inputs]


def load_program(path: str | os.PathLike[str], *, trust: bool = False) -> ProgramFile:
    """Read a ``.pt2`` file. Raises :class:`InputError` for another kind of file, and for one damaged or unsafe to read.

    Its example inputs stay unread until they are asked for. With ``trust`` the file is read as ``torch.export.load``
    reads it, which runs code that it may hold.
    """
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            problem = _kind_of(archive)
            if not (problem or trust):
                require_harmless(archive)
            problem = problem or _damage_of(archive)
            if problem:
                raise InputError(f"{path}: {problem}")
            if not trust:
                return _vetted(path, archive)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: torch.export.load cannot read it: {error}") from error
    except Untrusted as error:
        raise InputError(f"{path}: it is not read: {error} ({_TRUST})") from error
    with _one_line(path, "torch.export.load cannot read it"), quiet():
        program = torch.export.load(os.fspath(path))
    inputs = program.example_inputs
    return ProgramFile(program, lambda: ((), {}) if inputs is None else inputs)


def _vetted(path: str | os.PathLike[str], archive: zipfile.ZipFile) -> ProgramFile:
    """Read an archive that is safe to read, but for its example inputs."""
    with tempfile.TemporaryDirectory(prefix="irprune-") as folder:
        copy = os.path.join(folder, "program.pt2")
        stored = copy_without_inputs(archive, copy)
        with _one_line(path, "torch.export.load cannot read it", _ONLY_TENSORS), quiet(), _weights_only():
            program = torch.export.load(copy)
    if hasattr(program, "_guards_code"):
        program._guards_code = []  # Python text, which making a module of the program would evaluate
    return ProgramFile(program, lambda: _unpickled(path, stored, len(program.graph_signature.user_inputs)))


def _unpickled(path: str | os.PathLike[str], stored: bytes, expected: int) -> Inputs:
    """The example inputs of a file that is not trusted: tensors and plain containers alone."""
    if not stored:
        return (), {}
    with _one_line(path, "its example inputs cannot be read", _ONLY_TENSORS), _weights_only():
        found = torch.load(io.BytesIO(stored), weights_only=True)
    if found is None:
        return (), {}
    if not (isinstance(found, tuple) and [type(part) for part in found] == [tuple, dict]):
        raise InputError(f"{path}: its example inputs are not a tuple of arguments and a dictionary of named ones")
    if len(pytree.tree_leaves(found)) != expected:
        raise InputError(
            f"{path}: it holds {len(pytree.tree_leaves(found))} example inputs, its program takes {expected}"
        )
    return found


@contextmanager
def _one_line(path: str | os.PathLike[str], what: str, more: str = "") -> Iterator[None]:
    """Turn whatever error torch raises into one line."""
    try:
        yield
    except Exception as error:  # zipfile, pickle, json and torch each have their own
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"{path}: {what}: {lines[0][:200]}{more}") from error


_TRUST = "'irprune --trust COMMAND' reads a file that you trust, as trust=True does in Python"
_ONLY_TENSORS = f" (only tensors are unpickled; {_TRUST})"


@contextmanager
def _weights_only() -> Iterator[None]:
    """Let ``torch.load`` take tensors and plain containers alone, also where its caller says otherwise."""
    names = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ[names[0]] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _kind_of(archive: zipfile.ZipFile) -> str:
    """The kind of an archive that holds no exported program; empty for one that does."""
    names = {name.rpartition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in names:
        return "it holds TorchScript, expected what torch.export.save writes"
    if "archive_format" not in names and "serialized_exported_program.json" not in names:
        return "it holds no exported program, expected what torch.export.save writes"
    return ""


def _damage_of(archive: zipfile.ZipFile) -> str:
    """A damaged entry, if any: torch does not verify checksums."""
    damaged = archive.testzip()
    return "" if damaged is None else f"it is damaged: the checksum of '{damaged}' does not match"


def save_module(
    module: fx.GraphModule, program: Program, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a module as ``.pt2`` or ``.onnx``; raises :class:`InputError` for any other ending.

    ``metadata`` are metadata properties of an ONNX model, and extra files of a program.
    """
    path = Path(path)
    if path.suffix not in (".pt2", ".onnx"):
        raise InputError(f"{path}: expected a name that ends in .pt2 or .onnx")
    with staged(path) as stage:
        try:
            if path.suffix == ".onnx":
                from onnx import StringStringEntryProto

                case = Case("", program.args, program.kwargs)
                proto = export_onnx(module, case, dynamic_shapes(program))
                proto.metadata_props.extend(StringStringEntryProto(key=k, value=v) for k, v in (metadata or {}).items())
                stage.path.write_bytes(proto.SerializeToString())
            else:
                with quiet():
                    smaller = re_export(module, program)
                    torch.export.save(smaller, os.fspath(stage.path), extra_files=dict(metadata or {}))
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
        stage.commit()


def re_export(module: fx.GraphModule, program: Program) -> ExportedProgram:
    """The module as an exported program, with the dimensions that varied in the original."""
    with quiet():
        shapes = dynamic_shapes(program)
        return torch.export.export(module, program.args, dict(program.kwargs), dynamic_shapes=shapes)


def dynamic_shapes(program: Program) -> dict[str, Any] | None:
    """The dimensions that vary, as ``torch.export`` takes them; ``None`` where all are fixed."""
    placeholders = [n.name for n in program.module.graph.nodes if n.op == "placeholder"]
    leaves, spec = pytree.tree_flatten((program.args, dict(program.kwargs)))
    varying = []
    for name, leaf in zip(placeholders, leaves, strict=True):
        shape = program.imported.graph.shape(name) if isinstance(leaf, Tensor) else None
        varying.append({k: Dim.AUTO for k, dim in enumerate(shape or ()) if isinstance(dim, str)} or None)
    if not any(varying):
        return None
    args, kwargs = pytree.tree_unflatten(varying, spec)
    return {**dict(zip(_argument_names(program.module), args, strict=False)), **kwargs}


def _argument_names(module: fx.GraphModule) -> tuple[str, ...]:
    return tuple(inspect.signature(module.forward).parameters)
