"""The versions that a plan records."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

IRPRUNE = "0.1.0"

_PACKAGES = {
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
}
"""By the name of a module, the distributions that it may come from."""


@cache
def installed() -> dict[str, str]:
    """The version of irprune, and of what it reads and runs models with, by name. Nothing is imported for it."""
    found = {name: next(filter(None, map(_version, names)), "") for name, names in _PACKAGES.items()}
    return {"irprune": IRPRUNE, **{name: number for name, number in found.items() if number}}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
