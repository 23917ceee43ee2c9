"""Checks of ``.pt2`` files from untrusted sources.

``torch.export.load`` trusts what it reads: it unpickles, evaluates size expressions as Python (``sympify``), calls
whatever function a node names, imports modules for enumerations in tree specifications, loads compiled libraries, and
writes names into the source of the module that it makes. So an archive is checked before torch reads it, and
refused if it holds anything that a program of tensor operators does not need. (Seen in torch 2.9 to 2.13,
``torch/_export/serde/serialize.py`` and ``torch/export/pt2_archive/_package.py``.)
"""

from __future__ import annotations

import json
import math
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload

from .expressions import is_arithmetic

_LARGEST = 1 << 28
"""Bytes that any archive may unpack to, whatever its own size."""

_RATIO = 4
"""A larger archive may unpack to this multiple of its own size: torch stores weights uncompressed."""

_FREE = 1 << 26
"""Elements that a tensor may have even if fewer are stored (an expanded view)."""

_ZIP64 = 1 << 31
"""Bytes of an entry from which its sizes need 64 bits."""

_BLOCK = 1 << 22
"""Bytes copied at a time."""

_INPUTS = re.compile(r"data/sample_inputs/.*")

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PATH = re.compile(r"[\w.\-/:+@#$ ]*")
"""Names of parameters: torch writes them into source code unchanged."""

_OPERATOR = re.compile(r"torch\.ops(\.\w+){2,3}", re.ASCII)
_SYMBOLIC = re.compile(r"torch\.(_sym|sym)_\w+|torch\._check\w*|math\.\w+", re.ASCII)
_PLAIN = re.compile(
    r"_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|xor|not_|"
    r"lshift|rshift|matmul|index|inv|invert)"
)
_HIGHER_ORDER = {"cond", "while_loop", "scan", "map_impl", "wrap_with_set_grad_enabled", "wrap_with_autocast"}
"""Operators whose operands are subgraphs of the program."""


class Untrusted(Exception):
    """An archive that is not safe to read; the message names the unsafe entry."""


def require_harmless(archive: zipfile.ZipFile) -> None:
    """Raise :class:`Untrusted` for an archive that is not safe to read. Sizes are checked before entries are read."""
    _require_sizes(archive)
    for info in archive.infolist():
        name = info.filename.partition("/")[2] or info.filename
        if name.startswith("data/aotinductor/"):
            raise Untrusted(f"it holds compiled code ('{info.filename}')")
        if re.match(r"data/(weights|constants)/.*\.json$", name):
            _require_tensors(archive, info)
        elif re.match(r"models/.*\.json$", name) or name == "serialized_exported_program.json":
            _vet(_document(archive, info), "")


def copy_without_inputs(archive: zipfile.ZipFile, target: str) -> bytes:
    """Write a copy of an archive in which the entries of example inputs are empty; returns these inputs, pickled.

    ``torch.export.load`` unpickles them whenever they are there, and nothing needs them before the program is run.
    """
    inputs = b""
    with zipfile.ZipFile(target, "w") as copy:
        for info in archive.infolist():
            name = info.filename
            is_input = _INPUTS.fullmatch(name.partition("/")[2]) or name == "serialized_example_inputs.pt"
            if is_input:
                inputs = archive.read(info)
                copy.writestr(name, b"")
                continue
            large = info.file_size >= _ZIP64
            with archive.open(info) as source, copy.open(zipfile.ZipInfo(name), "w", force_zip64=large) as written:
                shutil.copyfileobj(source, written, _BLOCK)
    return inputs


def _require_sizes(archive: zipfile.ZipFile) -> None:
    """Limit the unpacked size: uncompressed entries have their stored size, compressed ones may be far larger."""
    entries = archive.infolist()
    total = sum(info.file_size for info in entries)
    packed = sum(info.compress_size for info in entries)
    if total > max(_LARGEST, _RATIO * packed):
        raise Untrusted(f"it unpacks from {packed:,} to {total:,} bytes")
    if len({info.filename for info in entries}) < len(entries):
        raise Untrusted("two of its entries have the same name")
    if packed > archive.start_dir:
        raise Untrusted("its entries overlap")


def _document(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    try:
        return json.loads(archive.read(info))
    except (ValueError, RecursionError) as error:
        raise Untrusted(f"'{info.filename}' is not JSON") from error


def _require_tensors(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Weights and constants have to be tensors, not objects, and no larger than their stored data."""
    folder = info.filename.rpartition("/")[0]
    stored = {entry.filename: entry.file_size for entry in archive.infolist()}
    for name, entry in _document(archive, info).get("config", {}).items():
        path = str(entry.get("path_name", ""))
        if path.startswith(("custom_obj", "opaque_obj")):
            raise Untrusted(f"'{name}' is an object, expected a tensor")
        meta = entry.get("tensor_meta")
        if entry.get("use_pickle") or not isinstance(meta, dict):
            continue  # read by torch.load, weights-only
        sizes = [size.get("as_int", 0) for size in meta.get("sizes", ())]
        if not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise Untrusted(f"'{name}' has sizes {sizes}")
        elements = math.prod(sizes)
        if elements > max(_FREE, stored.get(f"{folder}/{path}", 0)):
            raise Untrusted(f"'{name}' has {elements:,} elements, more than the archive holds of it")


# -- the program -------------------------------------------------------------------------------------------------------


def _vet(item: Any, key: str) -> None:
    """Check all strings of a document that torch evaluates, calls, or writes into source code."""
    waiting = [(key, item)]
    while waiting:
        key, item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.items()
        elif isinstance(item, list):
            waiting += ((key, inner) for inner in item)
        elif isinstance(item, str) and key in _RULES:
            _RULES[key](item)


def _expression(text: str) -> None:
    if not is_arithmetic(text):
        raise Untrusted(f"the size {text[:80]!r} is not arithmetic")


def _identifier(text: str) -> None:
    if text and not _IDENTIFIER.fullmatch(text):
        raise Untrusted(f"the name {text[:80]!r} is not an identifier")


def _path(text: str) -> None:
    if not _PATH.fullmatch(text):
        raise Untrusted(f"the name {text[:80]!r} is not a parameter's name")


def _function(text: str) -> None:
    if _PLAIN.fullmatch(text) or not text:
        return
    if _OPERATOR.fullmatch(text) or _SYMBOLIC.fullmatch(text):
        found: Any = math if text.startswith("math.") else torch
        for part in text.split(".")[1:]:
            found = getattr(found, part, None)
        if isinstance(found, HigherOrderOperator) and text.rpartition(".")[2] in _HIGHER_ORDER:
            return
        if isinstance(found, OpOverload) or (callable(found) and _SYMBOLIC.fullmatch(text)):
            return
    raise Untrusted(f"it calls {text[:80]!r}, which is not an operator on tensors that irprune knows")


def _tree(text: str) -> None:
    """A tree specification: torch imports the modules of enumerations by name."""
    try:
        spec = json.loads(text)
    except ValueError:
        return  # torch refuses it
    for inner in _strings_and_keys(spec):
        if inner == "__enum__":
            raise Untrusted("a tree specification imports a module")


def _arguments(text: str) -> None:
    """The specification of inputs: a tuple, and a dictionary whose keys become argument names."""
    _tree(text)
    try:
        keywords = json.loads(text)[1]["children_spec"][1]
        names = json.loads(keywords["context"])
    except (ValueError, LookupError, TypeError):
        return  # not the arguments of a function
    for name in names if isinstance(names, list) else ():
        _identifier(str(name))


def _strings_and_keys(item: Any) -> Iterator[str]:
    waiting = [item]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str):
            yield item
            if item[:1] in ("[", "{", '"'):
                try:
                    waiting.append(json.loads(item))
                except ValueError:
                    continue


_RULES: dict[str, Callable[[str], None]] = {
    "expr_str": _expression,
    "target": _function,
    "as_operator": _function,
    "name": _identifier,
    "as_name": _identifier,
    "forward_arg_names": _identifier,
    "parameter_name": _path,
    "buffer_name": _path,
    "tensor_constant_name": _path,
    "buffer_to_mutate": _path,
    "in_spec": _arguments,
    "out_spec": _tree,
}
