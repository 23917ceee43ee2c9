"""Tokens to keep: files of ids, and the tokenizer.json of the tokenizers library, counted and cut."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError


def read_ids(path: Path) -> list[int]:
    """Token ids, one a line. Raises :class:`InputError` for anything else."""
    lines = _text(path).split()
    wrong = [line for line in lines if not line.isascii() or not line.isdecimal()]
    if wrong or not lines:
        raise InputError(f"{path}: expected token ids, one a line, got {wrong[0]!r}" if wrong else f"{path}: no ids")
    return sorted({int(line) for line in lines})


def require_range(ids: Sequence[int], size: int, where: str) -> None:
    """Raise :class:`InputError` for ids that the model has no row for."""
    outside = [number for number in ids if number >= size]
    if outside:
        raise InputError(f"{where}: token {outside[0]} is out of range: the model has tokens 0 to {size - 1}")


def read_tokenizer(path: Path) -> dict[str, Any]:
    """A tokenizer.json. Raises :class:`InputError` for a file that is none, or of a model that cannot be cut."""
    try:
        body = json.loads(_text(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    kind = body.get("model", {}).get("type") if isinstance(body, dict) else None
    if kind not in ("BPE", "WordPiece", "WordLevel", "Unigram"):
        raise InputError(f"{path}: expected a tokenizer.json of BPE, WordPiece, WordLevel or Unigram, got {kind!r}")
    return dict(body)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: it cannot be read as text: {error}") from error


def is_tokenizer(path: Path) -> bool:
    return path.suffix == ".json"


def counted(tokenizer: Path, corpus: Path) -> list[int]:
    """The ids that a tokenizer gives to the lines of a text.

    Raises :class:`InputError` where the library is missing, or refuses the tokenizer.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise InputError("--corpus needs the library tokenizers: pip install tokenizers") from error
    try:
        loaded = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # the library raises nothing more specific
        raise InputError(f"{tokenizer}: tokenizers cannot load it: {error}") from error
    loaded.no_padding()
    loaded.no_truncation()
    lines = [line for line in _text(corpus).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{corpus}: the text is empty")
    return sorted({number for encoded in loaded.encode_batch(lines) for number in encoded.ids})


def pieces(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """The id of each token, added ones included."""
    vocabulary = tokenizer["model"]["vocab"]
    found = (
        {piece: number for number, (piece, _) in enumerate(vocabulary)}
        if isinstance(vocabulary, list)
        else dict(vocabulary)
    )
    return found | {added["content"]: added["id"] for added in tokenizer.get("added_tokens", ())}


def special(tokenizer: Mapping[str, Any]) -> list[int]:
    """Tokens that have to stay: added ones, the unknown one, single characters of a BPE, and bytes to fall back to."""
    model, ids = tokenizer["model"], pieces(tokenizer)
    found = {added["id"] for added in tokenizer.get("added_tokens", ())}
    if isinstance(model.get("unk_token"), str):
        found.add(ids.get(model["unk_token"], -1))
    if isinstance(model.get("unk_id"), int):
        found.add(model["unk_id"])
    if model["type"] == "BPE":
        found |= {number for piece, number in ids.items() if len(piece) == 1}
    if model.get("byte_fallback"):
        found |= {ids.get(f"<0x{byte:02X}>", -1) for byte in range(256)}
    return sorted(found - {-1})


def closed(tokenizer: Mapping[str, Any], kept: Iterable[int]) -> list[int]:
    """The tokens with those that a BPE merges on the way to them: without them it would never reach these."""
    found = set(kept)
    if tokenizer["model"]["type"] != "BPE":
        return sorted(found)
    ids = pieces(tokenizer)
    parts: dict[int, list[int]] = {}
    for left, right in _merges(tokenizer):
        if left + right in ids:
            parts.setdefault(ids[left + right], []).extend(ids[part] for part in (left, right) if part in ids)
    waiting = list(found)
    while waiting:
        fresh = set(parts.get(waiting.pop(), ())) - found
        found |= fresh
        waiting += fresh
    return sorted(found)


def _merges(tokenizer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The merges of a BPE; older files write each as one string."""
    given = tokenizer["model"].get("merges", ())
    return [(m.split(" ", 1)[0], m.split(" ", 1)[1]) if isinstance(m, str) else (m[0], m[1]) for m in given]


def cut_tokenizer(tokenizer: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """The tokenizer of these tokens, whose ids are their positions in ``kept``."""
    new = {old: place for place, old in enumerate(kept)}
    body: dict[str, Any] = json.loads(json.dumps(tokenizer))
    model = body["model"]
    if isinstance(model["vocab"], list):
        model["vocab"] = [line for number, line in enumerate(model["vocab"]) if number in new]
        if isinstance(model.get("unk_id"), int):
            model["unk_id"] = new[model["unk_id"]]
    else:
        model["vocab"] = {piece: new[number] for piece, number in model["vocab"].items() if number in new}
    if "merges" in model:
        words = model["vocab"]
        pairs = zip(model["merges"], _merges(tokenizer), strict=True)
        model["merges"] = [m for m, (a, b) in pairs if a in words and b in words and a + b in words]
    body["added_tokens"] = [{**added, "id": new[added["id"]]} for added in body.get("added_tokens", ())]
    _renumber(body.get("post_processor"), new)
    if isinstance(body.get("padding"), dict):
        body["padding"]["pad_id"] = new.get(body["padding"].get("pad_id"), 0)
    return body


def _renumber(processor: Any, new: Mapping[int, int]) -> None:
    """Give the special tokens of a post-processor their new ids, in place."""
    if not isinstance(processor, dict):
        return
    for part in processor.get("processors", ()):
        _renumber(part, new)
    for entry in (
        (processor.get("special_tokens") or {}).values() if processor.get("type") == "TemplateProcessing" else ()
    ):
        entry["ids"] = [new[number] for number in entry["ids"]]
    for name in ("sep", "cls"):
        if isinstance(processor.get(name), list):
            processor[name][1] = new[processor[name][1]]
