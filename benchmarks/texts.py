"""A real text task without a download: which library does a passage of documentation belong to?

The passages are the docstrings of libraries that the development extra installs, in runs of words; names of the
libraries themselves are left out. Passages of one docstring are all on one side of the split.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARIES = ("torch", "scipy", "sklearn", "sympy", "networkx", "transformers", "numpy", "onnx")
LENGTH, WORDS, MOST = 32, 4000, 4000
"""Words of a passage, words of the vocabulary, passages of one library."""

_HELD_OUT = 5
"""Every fifth docstring is scored."""

_WORD = re.compile(r"[a-z]{2,}|[.,:()=\[\]`*]")


@dataclass(frozen=True)
class Texts:
    """Token numbers ``[n, LENGTH]`` and labels ``[n]``, to train on and to score; 0 is padding, 1 an unknown word,
    2 stands at the beginning."""

    tokens: tuple[NDArray[np.int64], NDArray[np.int64]]
    labels: tuple[NDArray[np.int64], NDArray[np.int64]]


def texts() -> Texts:
    """The passages of all libraries, in a fixed order."""
    found: list[tuple[list[str], int, bool]] = []
    for label, library in enumerate(LIBRARIES):
        own = [(words, label, held) for words, held in _passages(library)]
        keep = np.random.default_rng(label).permutation(len(own))[:MOST]
        found += [own[k] for k in keep]
    order = np.random.default_rng(0).permutation(len(found))
    found = [found[k] for k in order]
    counts = Counter(word for words, _, held in found if not held for word in words)
    numbers = {word: k + 3 for k, (word, _) in enumerate(counts.most_common(WORDS - 3))}
    parts: list[Any] = []
    for held in (False, True):
        own = [entry for entry in found if entry[2] == held]
        parts.append((_tokens([entry[0] for entry in own], numbers), np.array([entry[1] for entry in own], np.int64)))
    return Texts((parts[0][0], parts[1][0]), (parts[0][1], parts[1][1]))


def _tokens(passages: list[list[str]], numbers: dict[str, int]) -> NDArray[np.int64]:
    rows = [[2, *(numbers.get(word, 1) for word in words)] for words in passages]
    return np.array([row + [0] * (LENGTH - len(row)) for row in rows], dtype=np.int64)


def _passages(library: str) -> Iterator[tuple[list[str], bool]]:
    banned = {*LIBRARIES, "np", "nx", "scikit", "learn", "pytorch", "huggingface", "sp", "plt"}
    seen = set()
    for text in _docstrings(library):
        mark = zlib.crc32(text.encode())
        if mark in seen:
            continue
        seen.add(mark)
        words = [word for word in _WORD.findall(text.lower()) if word not in banned]
        for first in range(0, len(words), LENGTH - 1):
            passage = words[first : first + LENGTH - 1]
            if len(passage) >= LENGTH // 2:
                yield passage, mark % _HELD_OUT == 0


def _docstrings(library: str) -> Iterator[str]:
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the text task reads the docstrings of {library}; install the development extra")
    for path in sorted(Path(spec.origin).parent.rglob("*.py")):
        if "test" in str(path):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node)
                if text and len(text) > 100:
                    yield text
