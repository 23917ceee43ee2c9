"""Writes trained weights back into the ONNX model of a module."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias, TypeVar, overload

import numpy as np
from torch import Tensor, nn

from ...api import like_given, open_model
from ...backends.onnx import emit
from ...errors import InputError
from ...frontends.onnx import import_model
from ...ir import Constant, Graph
from ...plans import Plan
from ...plans.digests import digest_of_values
from .module import INITIALIZERS
from .tensors import attached, to_array

M = TypeVar("M")
AnyPath: TypeAlias = "str | os.PathLike[str]"


@overload
def write_back(module: nn.Module, model: M, output: AnyPath | None = None) -> M: ...


@overload
def write_back(module: nn.Module, model: M, output: AnyPath | None = None, *, plan: Plan) -> tuple[M, Plan]: ...


def write_back(
    module: nn.Module, model: M, output: AnyPath | None = None, *, plan: Plan | None = None
) -> M | tuple[M, Plan]:
    """``model`` with the weights of ``module``, which :func:`from_onnx` made of it.

    The result is of the kind that was given; for a path it is the path of the file that was written, ``output`` or
    ``<name>-trained.onnx``. All else of the model stays as it is, and so does a tensor that was not trained, bit for
    bit. With the ``plan`` that made the model, the result comes with the plan that lists the trained tensors under
    ``updated``: ``verify(..., tuned=True)`` takes these values, and no others.

    Raises :class:`InputError` for a module that was made otherwise, or of a model with other weights.
    """
    opened = open_model(model)
    before = import_model(opened.model)
    changed = _changed(module, before)
    written = emit(opened.model, before, replace(before, constants={**before.constants, **changed}))
    if plan is None:
        return like_given(opened, model, written, output, suffix="trained")
    plan = plan.with_updated({name: digest_of_values(constant.numpy()) for name, constant in changed.items()})
    written.metadata_props.update(plan.metadata)
    return like_given(opened, model, written, output, suffix="trained"), plan


def _changed(module: nn.Module, before: Graph) -> dict[str, Constant]:
    """The constants of the model that were trained."""
    changed = {}
    for name, path in _paths(module).items():
        constant = before.constants.get(name)
        if constant is None:
            raise InputError(f"the model has no initializer '{name}': the module was made of another one")
        trained = _trained(name, attached(module, path), constant)
        if trained is not None:
            changed[name] = trained
    return changed


def _paths(module: nn.Module) -> Mapping[str, str]:
    meta = getattr(module, "meta", {})
    if not isinstance(meta, Mapping) or INITIALIZERS not in meta:
        raise InputError("the module was not made by irprune.torch.from_onnx: it names no initializers")
    found: Mapping[str, str] = meta[INITIALIZERS]
    return found


def _trained(name: str, tensor: Tensor, constant: Constant) -> Constant | None:
    """The tensor as a constant of the model, ``None`` where it is the same."""
    if tuple(tensor.shape) != constant.shape:
        raise InputError(f"initializer '{name}' has shape {list(constant.shape)}, the module's {list(tensor.shape)}")
    before = np.asarray(constant.numpy())
    after = to_array(tensor, before)
    if before.tobytes() == after.tobytes():
        return None
    return replace(Constant.from_array(after, constant.dtype), origin=constant.origin)
