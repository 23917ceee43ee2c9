"""The folder of a sweep: what it was made for, and the tasks that are done. It may lie on any disk that workers share.

Every file appears by a rename, a task's own after its model's, so that a sweep that was ended at any time goes on where
it was.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backends.staging import write_text
from ..errors import InputError

FORMAT = "irprune.sweep/1"
TASK_FORMAT = "irprune.sweep.task/1"

_CHUNK = 1 << 20
_PROGRAM = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)")


@dataclass(frozen=True)
class Folder:
    """A folder of results."""

    path: Path

    def claim(self, made_for: Mapping[str, Any]) -> None:
        """Make the folder, and note what it is for.

        Raises :class:`InputError` where it cannot be written, or holds a sweep that was made for something else.
        """
        place = self.path / "sweep.json"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write into {self.path}: {error.strerror}") from error
        wanted = {"format": FORMAT, **made_for}
        if place.exists():
            found = _read(place)
            other = next((name for name in (*wanted, *found) if found.get(name) != wanted.get(name)), None)
            if other is not None:
                raise InputError(
                    f"{self.path} holds a sweep of another {other}: {_brief(found.get(other))}, "
                    f"not {_brief(wanted.get(other))}; choose another folder"
                )
            return
        write_text(place, json.dumps(wanted, indent=1) + "\n")

    def model(self, name: str) -> Path:
        return self.path / f"{name}.onnx"

    def plan(self, name: str) -> Path:
        return self.path / f"{name}.plan.json"

    def task(self, name: str) -> Path:
        return self.path / f"{name}.task.json"

    def finished(self, name: str) -> dict[str, Any] | None:
        """What a task found; ``None`` where it is still to be done, or its model is not what it wrote."""
        place = self.task(name)
        if not place.exists():
            return None
        found = _read(place)
        if found.get("format") != TASK_FORMAT:
            raise InputError(f"{place}: not a task of a sweep; choose another folder")
        model, digest = self.model(name), found.get("sha256")
        if digest is not None and not (model.exists() and digest_of(model) == digest):
            return None
        return found

    def clear(self, name: str) -> None:
        """Remove what is left of a task that was ended while it wrote."""
        for made in (self.model(name), self.plan(name), self.task(name)):
            for left in self.path.glob(f".{made.name}.*"):
                shutil.rmtree(left, ignore_errors=True)


def _read(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{place}: it cannot be read: {error}; remove it, or choose another folder") from error
    if not isinstance(found, dict):
        raise InputError(f"{place}: expected an object; remove it, or choose another folder")
    return found


def _brief(value: object) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of the files in a folder."""
    found = hashlib.sha256()
    for part in sorted(path.iterdir()) if path.is_dir() else [path]:
        if part.is_dir():
            continue
        if path.is_dir():
            found.update(f"{part.name}\0".encode())
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
    return found.hexdigest()


def digest_of_data(given: str) -> str:
    """:func:`digest_of` of data as the command line names them; of ``FILE.py:FUNCTION``, that of the program alone."""
    program = _PROGRAM.fullmatch(given)
    try:
        if program is None:
            return digest_of(Path(given))
        return f"{digest_of(Path(program['file']))}:{program['function']}"
    except OSError as error:
        raise InputError(f"{given}: it cannot be read: {error.strerror}") from error
