"""Runs of modules on neighboring numbers and in float64, for :mod:`irprune.verification.noise`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..frontends.fx import as_array
from ..runtime.session import RunFailure
from ..verification.noise import MOVES, moved
from .cases import Case, as_tensor

_NARROW = frozenset((torch.float32, torch.float16, torch.bfloat16))
_MOST_ELEMENTS = 1 << 28
"""Larger modules are not copied to float64."""


def nearby_cases(case: Case) -> Iterator[Case]:
    """The inputs, and the same with every float moved to a neighboring number."""
    yield case
    rng = np.random.default_rng(0)
    for _ in range(MOVES):

        def move(leaf: Any) -> Any:
            is_float = isinstance(leaf, Tensor) and leaf.dtype.is_floating_point
            return as_tensor(moved(as_array(leaf), rng), leaf.dtype) if is_float else leaf

        args, kwargs = pytree.tree_map(move, (case.args, dict(case.kwargs)))
        yield Case(case.label, args, kwargs)


def case_in_double(case: Case) -> Case:
    """The inputs with every float in float64."""
    args, kwargs = pytree.tree_map(_widened, (case.args, dict(case.kwargs)))
    return Case(f"{case.label}, float64", args, kwargs)


def _widened(leaf: Any) -> Any:
    return leaf.double() if isinstance(leaf, Tensor) and leaf.dtype in _NARROW else leaf


def module_in_double(module: fx.GraphModule) -> fx.GraphModule:
    """A copy whose weights, and the types that its calls spell out, are float64. Raises :class:`RunFailure`."""
    elements = sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers()))
    if elements > _MOST_ELEMENTS:
        raise RunFailure(f"no float64: {elements} elements are too many")
    try:
        wide = copy.deepcopy(module).double()
        for node in wide.graph.nodes:
            node.args, node.kwargs = (_with_wide_types(part) for part in (node.args, node.kwargs))
        for inner in wide.modules():
            for name, value in vars(inner).items():
                if isinstance(value, Tensor):
                    setattr(inner, name, _widened(value))
        wide.recompile()
    except Exception as error:  # torch raises errors of many kinds
        raise RunFailure(f"no float64: {error}") from error
    return wide


def _with_wide_types(arguments: Any) -> Any:
    return fx.node.map_aggregate(
        arguments, lambda a: torch.float64 if isinstance(a, torch.dtype) and a in _NARROW else a
    )
