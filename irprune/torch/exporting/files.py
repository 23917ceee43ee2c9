"""Modules as files: exported programs (``.pt2``) and ONNX models (``.onnx``)."""

from __future__ import annotations

import inspect
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

from ...errors import InputError
from ..capture.module import quiet
from ..cases import Case
from ..verification import export_onnx

if TYPE_CHECKING:
    from ..program import Program


def load_program(path: str | os.PathLike[str]) -> ExportedProgram:
    """Read a ``.pt2`` file. Raises :class:`InputError` for anything that is none, or that is damaged."""
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            problem = _problem_of(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: torch.export.load cannot read it: {error}") from error
    if problem:
        raise InputError(f"{path}: {problem}")
    try:
        with quiet():
            return torch.export.load(os.fspath(path))
    except Exception as error:  # zipfile, pickle, json and torch each have their own
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"{path}: torch.export.load cannot read it: {lines[0][:200]}") from error


def _problem_of(archive: zipfile.ZipFile) -> str:
    """What else an archive of torch is, or the entry of it that is damaged: torch reads it without looking."""
    names = {name.rpartition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in names:
        return "it holds TorchScript, expected what torch.export.save writes"
    if "archive_format" not in names and "serialized_exported_program.json" not in names:
        return "it holds no exported program, expected what torch.export.save writes"
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        if path.suffix == ".onnx":
            from onnx import StringStringEntryProto

            case = Case("", program.args, program.kwargs)
            proto = export_onnx(module, case, dynamic_shapes(program))
            proto.metadata_props.extend(StringStringEntryProto(key=k, value=v) for k, v in (metadata or {}).items())
            temporary.write_bytes(proto.SerializeToString())
        else:
            with quiet():
                torch.export.save(re_export(module, program), os.fspath(temporary), extra_files=dict(metadata or {}))
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


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
