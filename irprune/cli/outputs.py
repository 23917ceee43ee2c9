"""Files that the command line writes: checked before the work, whole or not at all, gone when it is interrupted."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ..backends.staging import is_stream, place_of, staged_text, write_text
from ..errors import InputError

__all__ = ["require_apart", "require_distinct", "require_writable", "staged_text", "write_text"]


def require_writable(path: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Raise :class:`InputError` where a file cannot be written, or is one that the command reads.

    Where it is standard output, what the command says goes to standard error from here on.
    """
    require_apart([path], inputs)
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if is_stream(path):
        if not os.access(path, os.W_OK):
            raise InputError(f"cannot write {path}: it is read-only")
        if _is_standard_output(path):
            sys.stdout = sys.stderr  # until the command ends: a report would follow the model, and spoil it
        return
    folder = place_of(path).parent
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}")
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError(f"cannot write {path}: it is read-only")


def _is_standard_output(path: Path) -> bool:
    """Whether a path leads to the file or pipe that standard output goes to."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return not stat.S_ISCHR(found.st_mode) and os.path.samestat(found, os.fstat(1))
    return False


def require_apart(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise :class:`InputError` where an output would overwrite an input."""
    inputs = list(inputs)
    for path in outputs:
        if any(_same(path, other) for other in inputs):
            raise InputError(f"{path} is an input as well; choose another name for the output")


def _same(left: Path, right: Path) -> bool:
    if left.exists() and right.exists() and os.path.samefile(left, right):
        return True
    return left.resolve() == right.resolve()


def require_distinct(*paths: Path | None) -> None:
    """Raise :class:`InputError` where two outputs are one file."""
    given = [path for path in paths if path is not None and not is_stream(path)]
    for k, path in enumerate(given):
        if any(_same(path, other) for other in given[:k]):
            raise InputError(f"{path} is given for two outputs")
