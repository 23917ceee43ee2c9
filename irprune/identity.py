"""The identity of an ONNX model: digests of its file and of the files that hold its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import onnx_ir as oir

from .errors import InputError
from .plans import ModelIdentity, Plan

T = TypeVar("T")
_BLOCK = 1 << 22
"""Bytes that are read at a time."""


def in_background(compute: Callable[[], T]) -> Future[T]:
    """A value that a thread computes in the background."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(compute)
    finally:
        pool.shutdown(wait=False)


def identify(model: oir.Model, data: bytes) -> Future[ModelIdentity]:
    """The identity of a model that was read from ``data``; its files of external data are read in the background."""
    files = external_files(model)
    opset = model.opset_imports.get("", 0)

    def compute() -> ModelIdentity:
        digests = {name: digest_of(path) for name, path in sorted(files.items())}
        return ModelIdentity(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), opset=opset, data=digests)

    return in_background(compute)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as ``sha256sum`` prints it."""
    found = hashlib.sha256()
    buffer = memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            found.update(buffer[:count])
    return found.hexdigest()


def external_files(model: oir.Model) -> dict[str, Path]:
    """The files in which a model keeps weights outside itself, by their name in the model."""
    return {str(tensor.location): Path(tensor.path) for tensor in _external_tensors(model)}


def _external_tensors(model: oir.Model) -> Iterator[oir.ExternalTensor]:
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, oir.ExternalTensor):
                yield value.const_value
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.type == oir.AttributeType.TENSOR and isinstance(attribute.value, oir.ExternalTensor):
                    yield attribute.value


def require_same(model: ModelIdentity, plan: Plan) -> None:
    """Raise :class:`InputError` unless the plan was made for this model: for its file and for its external data."""
    wanted = plan.model
    if not wanted.sha256:
        raise InputError("the plan does not say which model it is for: its sha256 is empty")
    _require_models(wanted, model)
    if wanted.sha256 != model.sha256:
        raise InputError(
            "the plan was made for another model: "
            f"it names sha256 {wanted.sha256[:12]}..., this one has {model.sha256[:12]}..."
        )
    for name in sorted(wanted.data.keys() | model.data.keys()):
        planned, found = wanted.data.get(name, "nothing"), model.data.get(name, "nothing")
        if planned != found:
            raise InputError(
                f"the plan was made for other weights: of '{name}' it names sha256 {planned[:12]}, found {found[:12]}"
            )


def _require_models(wanted: ModelIdentity, given: ModelIdentity) -> None:
    """Raise :class:`InputError` where a plan is for several models, and these are others."""
    if not (wanted.models or given.models):
        return
    if wanted.models.keys() != given.models.keys():
        named, found = (_listed(identity.models) for identity in (wanted, given))
        raise InputError(f"the plan was made for {named}, given {'are' if given.models else 'is'} {found}")
    for name, digest in wanted.models.items():
        if digest != given.models[name]:
            raise InputError(
                f"the plan was made for another model '{name}': "
                f"it names sha256 {digest[:12]}..., this one has {given.models[name][:12]}..."
            )


def _listed(models: Mapping[str, str]) -> str:
    return f"several models ({', '.join(models)})" if models else "a single model"
