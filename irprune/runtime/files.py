"""Files of feeds: ``.npz``, ``.npy``, a folder of them, and ``FILE.py:FUNCTION``."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import InputError
from ..ir.core import Array
from .feeds import DataSource, Inputs, Piece, as_piece, numbered, only_input

_PROGRAM = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)")
_ENDINGS = (".npz", ".npy")
_SKIPPED = 1 << 24
"""Bytes that are read at once where rows of an archive are passed over."""


def open_file(given: str | os.PathLike[str]) -> DataSource:
    """The feeds of a file, a folder, or a function of a Python file.

    Raises :class:`InputError` for anything else. Arrays are read in part, where only a part is asked for.
    """
    program = _PROGRAM.fullmatch(os.fspath(given))
    if program is not None:
        return _from_program(Path(program["file"]), program["function"])
    path = Path(given)
    if path.is_dir():
        return _from_folder(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".py":
        raise InputError(f"{path}: name the function that yields feeds, as in {path.name}:feeds")
    arrays = read_arrays(path)
    return DataSource(str(path), lambda inputs: [(str(path), _piece(path, arrays, inputs))])


def _piece(path: Path, arrays: dict[str, Member] | Array, inputs: Inputs) -> Piece:
    return arrays if isinstance(arrays, dict) else {only_input(inputs, str(path)): arrays}


def _from_folder(folder: Path) -> DataSource:
    """One piece a file, in the order of the names; files that are named like the inputs make one piece together."""
    try:
        files = sorted((path for path in folder.iterdir() if path.suffix in _ENDINGS), key=_in_order)
    except OSError as error:
        raise InputError(f"{folder}: cannot read it: {error.strerror}") from error
    if not files:
        raise InputError(f"{folder}: the folder holds no .npz and no .npy files")

    def pieces(inputs: Inputs) -> Iterator[tuple[str, Piece]]:
        if {path.name for path in files} == {f"{spec.name}.npy" for spec in inputs}:
            yield str(folder), {path.stem: read_array(path) for path in files}
            return
        for path in files:
            yield str(path), _piece(path, read_arrays(path), inputs)

    return DataSource(str(folder), pieces)


def _in_order(path: Path) -> list[tuple[int, int, str]]:
    """Sort key by the numbers in a name, so that 10 comes after 9."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


# -- arrays ------------------------------------------------------------------------------------------------------------


def read_arrays(path: Path) -> dict[str, Member] | Array:
    """What an ``.npz`` file holds by name, or the array of an ``.npy`` file; both are read in part when asked.

    Raises :class:`InputError` for a file that is neither, is damaged, or holds pickled objects.
    """
    try:
        with path.open("rb") as file:
            start = file.read(6)
        if start[:2] == b"PK":
            return _members(path)
        if start != b"\x93NUMPY":
            raise InputError(f"{path}: expected an .npz or .npy file, or FILE.py:FUNCTION; this is neither")
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not an .npz file, or truncated: {error}") from error
    except (OSError, EOFError, RuntimeError) as error:
        raise InputError(f"{path}: cannot read it: {getattr(error, 'strerror', None) or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: not an array of numbers: {_short(error)}") from error


def read_array(path: Path) -> Array:
    """The array of an ``.npy`` file. Raises :class:`InputError` for any other."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    found = read_arrays(path)
    if isinstance(found, dict):
        raise InputError(f"{path}: expected one array, got an archive of {len(found)}")
    return found


def _members(path: Path) -> dict[str, Member]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        if not names:
            raise InputError(f"{path}: an archive without arrays")
        return {name[: -len(".npy")]: Member.open(path, archive, name) for name in names}


@dataclass(frozen=True)
class Member:
    """An array inside an ``.npz`` archive. Rows are read without the rest where they lie in order."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    @staticmethod
    def open(path: Path, archive: zipfile.ZipFile, name: str) -> Member:
        """Read the header. Raises :class:`InputError` for an array of Python objects."""
        with archive.open(name) as stream:
            shape, is_fortran, dtype = _header(stream, f"{path}: {name}")
        if dtype.hasobject:
            raise InputError(f"{path}: {name[:-4]} is not an array of numbers: it holds pickled Python objects")
        return Member(path, name, shape, dtype, is_fortran)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self._whole() if dtype is None else self._whole().astype(dtype)

    def __getitem__(self, rows: slice) -> Array:
        start, stop, step = rows.indices(self.shape[0])
        if self.is_fortran or step != 1 or not self.shape or (start, stop) == (0, self.shape[0]):
            return np.asarray(self._whole()[rows])
        row = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        count = max(stop - start, 0)

        def read(stream: IO[bytes]) -> Array:
            _skip(stream, start * row)
            data = stream.read(count * row)
            return np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])

        return self._with_stream(read)

    def _whole(self) -> Array:
        def read(stream: IO[bytes]) -> Array:
            size = int(np.prod(self.shape, dtype=np.int64))
            flat = np.frombuffer(stream.read(size * self.dtype.itemsize), self.dtype)
            return flat.reshape(self.shape, order="F" if self.is_fortran else "C")

        return self._with_stream(read)

    def _with_stream(self, read: Callable[[IO[bytes]], Array]) -> Array:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.name) as stream:
                _header(stream, str(self.path))
                return read(stream)
        except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{self.path}: {self.name[:-4]} is damaged: {_short(error)}") from error


def _header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype of an array, as numpy.lib.format describes them."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"{where}: arrays of format {version} are unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(stream)
    return tuple(shape), bool(is_fortran), dtype


def _skip(stream: IO[bytes], size: int) -> None:
    while size > 0 and (data := stream.read(min(size, _SKIPPED))):
        size -= len(data)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


# -- functions ---------------------------------------------------------------------------------------------------------


def _from_program(path: Path, function: str) -> DataSource:
    where = f"{path}:{function}"
    call = _load(path, function)
    return DataSource(where, lambda inputs: _called(call, path, where, inputs), sized=False)


def _load(path: Path, function: str) -> Callable[[], Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(f"irprune_data_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.append(folder)  # modules beside a script are importable, as when Python runs it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's own code
        raise InputError(_stopped(path, error)) from error
    found = getattr(module, function, None)
    if not callable(found):
        raise InputError(f"{path}: has no function '{function}'")
    return found  # type: ignore[no-any-return]


def _called(call: Callable[[], Any], path: Path, where: str, inputs: Inputs) -> Iterator[tuple[str, Piece]]:
    try:
        made = call()
    except (Exception, SystemExit) as error:  # the user's own code
        raise InputError(_stopped(path, error)) from error
    if isinstance(made, Mapping) or hasattr(made, "__array__"):
        yield where, as_piece(made, inputs, where)
        return
    if not isinstance(made, Iterable):
        raise InputError(f"{where}: expected an iterable of feeds, got {type(made).__name__}")
    yield from numbered(_watched(made, path), inputs, where)


def _watched(made: Iterable[Any], path: Path) -> Iterator[Any]:
    try:
        yield from made
    except (Exception, SystemExit) as error:  # the user's own code
        raise InputError(_stopped(path, error)) from error


def _stopped(path: Path, error: BaseException) -> str:
    """The error in the user's file, with its line."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f"{path}{'' if line is None else f', line {line}'}: {type(error).__name__}: {_short(error)}"
