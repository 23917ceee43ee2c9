"""Files that appear whole or not at all: made in a folder beside their place, and moved there by one rename.

A link is followed, and a device or a pipe is written to: neither is replaced by a file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import InputError


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe or a socket, or an open file by its number (``/dev/stdout``)."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return True
    seen = 0
    while str(path.parent.resolve()).startswith("/proc/") or (path.is_symlink() and seen < _MOST_LINKS):
        if str(path.parent.resolve()).startswith("/proc/"):
            return True
        path, seen = path.parent / path.readlink(), seen + 1
    return False


_MOST_LINKS = 40


def place_of(output: Path) -> Path:
    """The file that a path stands for: what a link leads to."""
    return Path(os.path.realpath(output)) if output.is_symlink() else output


class AnyStage(Protocol):
    """A folder in which the output of a command is made, and its :attr:`path` there."""

    @property
    def folder(self) -> Path: ...

    @property
    def path(self) -> Path: ...

    def commit(self) -> None:
        """Move everything to its place."""


@dataclass
class Stage:
    """A folder in which the files of one output are made, which :meth:`commit` moves to their place.

    ``keep`` are files that the replaced output needed, and that others still need.
    """

    output: Path
    folder: Path
    keep: tuple[Path, ...] = ()

    @property
    def path(self) -> Path:
        return self.folder / self.output.name

    def commit(self) -> None:
        """Move everything to its place. The output itself comes last: with it, and not before, the new files count."""
        try:
            if is_stream(self.output):
                self._pour()
            else:
                self._move()
        except OSError as error:
            raise InputError(f"cannot write {self.output}: {error.strerror}") from error

    def _pour(self) -> None:
        others = [made.name for made in self.folder.iterdir() if made != self.path]
        if others and str(self.output) != os.devnull:
            raise InputError(
                f"cannot write {self.output}: the weights need a file of their own ({others[0]}); name a regular file"
            )
        with self.path.open("rb") as file, self.output.open("wb") as stream:
            shutil.copyfileobj(file, stream)

    def _move(self) -> None:
        target = place_of(self.output)
        before = data_files(target)
        made = [path for path in self.folder.iterdir() if path != self.path]
        for path in made:
            os.replace(path, target.parent / path.name)
        os.replace(self.path, target)
        stays = {path.resolve() for path in (*self.keep, *(target.parent / path.name for path in made))}
        for path in before:
            if path.resolve() not in stays:
                with contextlib.suppress(OSError):
                    path.unlink()


def data_files(model: Path) -> list[Path]:
    """The files that irprune wrote for the weights of a model that it wrote."""
    if not any(model.parent.glob(f"{_escaped(model.name)}.*data")):
        return []
    import onnx

    from ..frontends.external import is_external, tensors_of

    try:
        proto = onnx.load(model, load_external_data=False)
    except Exception:  # whatever it is, it names no data
        return []
    entries = [entry for tensor in tensors_of(proto) if is_external(tensor) for entry in tensor.external_data]
    names = {entry.value for entry in entries if entry.key == "location"}
    named = (model.parent / name for name in sorted(names) if name.startswith(f"{model.name}."))
    return [path for path in named if path.parent == model.parent and path.suffix == ".data" and path.is_file()]


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


@contextmanager
def staged(output: Path, keep: Iterable[Path] = ()) -> Iterator[Stage]:
    """A stage for one output; without a commit nothing is left of it. Raises :class:`InputError`."""
    beside = None if is_stream(output) else place_of(output).parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=beside))
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}") from error
    try:
        yield Stage(output, folder, tuple(keep))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def staged_text(path: Path, text: str) -> Iterator[Stage]:
    """A stage that holds a text file, to be committed. Raises :class:`InputError`."""
    with staged(path) as stage:
        try:
            stage.path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        yield stage


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    with staged_text(path, text) as stage:
        stage.commit()


@dataclass(frozen=True)
class FolderStage:
    """A folder beside ``output`` in which the files of several models are made."""

    output: Path
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder

    def commit(self) -> None:
        """Move the files to their place, models last."""
        try:
            self.output.mkdir(exist_ok=True)
            for path in sorted(self.folder.iterdir(), key=lambda path: path.suffix == ".onnx"):
                path.replace(self.output / path.name)
        except OSError as error:
            raise InputError(f"cannot write into {self.output}: {error.strerror}") from error


@contextmanager
def staged_folder(output: Path, inputs: Iterable[Path]) -> Iterator[FolderStage]:
    """A stage for a folder; without a commit nothing is left of it.

    Raises :class:`InputError` for an output that is not a folder, or that holds the inputs.
    """
    for path in inputs:
        if path.resolve().parent == output.resolve():
            raise InputError(f"{output} holds {path.name}, which is an input; choose another folder for the output")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: expected a folder for several models, found a file")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}") from error
    try:
        yield FolderStage(output, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
