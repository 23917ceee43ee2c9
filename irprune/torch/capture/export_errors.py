"""Turns errors of ``torch.export`` into one line: what is wrong, where, and what to try."""

from __future__ import annotations

import copy
import os
import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

_TORCH = os.path.dirname(torch.__file__)
_UNKNOWN_RESULT = re.compile(r"Found <class '(?:\w+\.)*(?P<type>[\w.<>]+)'> in output, which is not a known type")
"""The message of torch.export for a result of unknown type, such as the cache of a language model."""

_HERE = os.path.dirname(os.path.dirname(__file__))


def why_not_exported(error: Exception, model: nn.Module, inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The line of an error that ``torch.export`` raised."""
    name, text = type(model).__name__, str(error)
    where = _place(error)
    if "data-dependent" in text:
        return (
            f"torch.export cannot capture {name}: forward takes a way that depends on the values of a tensor{where}; "
            "write it with torch.where or torch.cond; torch.export.draft_export tells more"
        )
    if "fake tensor in the exported program constant" in text:
        changed = _changed(model, inputs, kwargs)
        what = f"'{changed[0]}'" if changed else "a tensor"
        return (
            f"torch.export cannot capture {name}: forward changes {what} where export does not see it (through .data, "
            "or an attribute of its own); make it a buffer that is changed in place, or return the new value"
        )
    unknown = _UNKNOWN_RESULT.search(text)
    if unknown is not None:
        keeps_cache = getattr(getattr(model, "config", None), "use_cache", False)
        cure = "set model.config.use_cache=False" if keeps_cache else "return tensors, or lists and dicts of them"
        return f"torch.export cannot capture {name}: forward returns a {unknown['type']}; {cure}"
    lines = [line.strip(" -") for line in text.splitlines() if line.strip()]
    said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1]) or "no message"
    return (
        f"torch.export cannot capture {name}: {type(error).__name__}: {said}{where}; "
        "torch.export.draft_export tells more"
    )


def _place(error: Exception) -> str:
    """The innermost line outside of torch and irprune."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith((_TORCH, _HERE, "<")) and f.name == "forward"]
    return f" at {own[-1].filename}:{own[-1].lineno} ({own[-1].line})" if own else ""


def _changed(model: nn.Module, inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """The parameters and buffers that a forward run changes (in a copy of the model)."""
    try:
        copied = copy.deepcopy(model)
        with torch.no_grad():
            copied(*copy.deepcopy(inputs), **copy.deepcopy(dict(kwargs)))
    except Exception:  # the model does not run: nothing to say about its state
        return []
    after = copied.state_dict()
    return [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, after[name])]
