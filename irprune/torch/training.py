"""Pruning while training: importance from gradients, soft gates, group sparsity, and a schedule of small steps.

All of it works on the atoms of an analysis, so the result is a plan like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from ..analysis import Analysis
from ..axes import Axis
from ..errors import InputError, TargetError
from ..frontends.captured import attribute_of
from ..plans import Plan, removed_atoms
from ..scoring import Scores, per_atom
from .api import apply, plan, trace
from .capture.module import AnyModule
from .program import Program

Loss: TypeAlias = Callable[[nn.Module, Any], Tensor]
"""A loss: maps the module and a batch to a scalar."""

_PENALTY_FLOOR = 1e-12
"""Keeps the gradient of a norm finite at zero."""


@dataclass(frozen=True)
class _Dimension:
    """A dimension of a parameter with, per leaf, the atom of every element (-1: none)."""

    tensor: str
    axis: int
    atoms: tuple[Tensor, ...]


def _dimensions(program: Program, analysis: Analysis) -> Iterator[_Dimension]:
    """The dimensions of trainable parameters that some atom belongs to, each once."""
    parameters = {name for name, _ in program.module.named_parameters(remove_duplicate=False)}
    seen: set[tuple[str, int]] = set()
    for parameter in analysis.parameters:
        if parameter.tensor not in parameters or not parameter.trainable:
            continue
        for axis, dim in enumerate(parameter.dims):
            atoms = [own for own in analysis.atoms.along(dim) if own.max(initial=-1) >= 0]
            if atoms and (parameter.tensor, axis) not in seen:
                seen.add((parameter.tensor, axis))
                yield _Dimension(parameter.tensor, axis, tuple(map(torch.from_numpy, atoms)))


# -- importance -------------------------------------------------------------------------------------------------------


def importance(
    program: Program,
    loss: Loss,
    batches: Iterable[Any],
    criterion: Literal["taylor", "obd"] = "taylor",
    allow_io: Sequence[str] = (),
) -> Scores:
    """How much the loss would change without each atom, estimated over batches; for ``plan(..., scores=...)``.

    ``taylor`` is the squared first-order change, ``(sum of gradient * weight)^2`` over all weights of the atom
    (Molchanov et al., Importance Estimation for Neural Network Pruning, 2019); ``obd`` the second-order change with
    the Fisher information as Hessian, ``sum of gradient^2 * weight^2 / 2`` (LeCun et al., Optimal Brain Damage, 1990;
    Liu et al., Group Fisher Pruning, 2021). Both are means over batches. ``loss(module, batch)`` returns a scalar; the
    module is left in the mode it has, with its gradients cleared.

    Raises :class:`InputError` for an unknown criterion, or where there are no batches or no gradients.
    """
    if criterion not in ("taylor", "obd"):
        raise InputError(f"unknown criterion '{criterion}'; known: taylor, obd")
    analysis = program.analysis(allow_io)
    parameters = dict(program.module.named_parameters(remove_duplicate=False))
    totals, count = np.zeros(analysis.atoms.count), 0
    for batch in batches:
        program.module.zero_grad(set_to_none=True)
        torch.autograd.backward(loss(program.module, batch))
        totals += _contributions(analysis, parameters, criterion)
        count += 1
    program.module.zero_grad(set_to_none=True)
    if count == 0:
        raise InputError("importance needs at least one batch, got none")
    if not totals.any():
        raise InputError("the loss has no gradient with respect to any parameter that could go")
    return totals / count


def _contributions(analysis: Analysis, parameters: dict[str, nn.Parameter], criterion: str) -> Scores:
    """The terms of one batch, summed over the weights of each atom."""
    found: list[tuple[Axis, Scores]] = []
    for parameter in analysis.parameters:
        weight = parameters.get(parameter.tensor)
        if weight is None or weight.grad is None:
            continue
        term = (weight.detach() * weight.grad).double()
        term = term if criterion == "taylor" else term.square() / 2
        for axis, dim in enumerate(parameter.dims):
            others = [k for k in range(term.dim()) if k != axis]
            found.append((dim, (term.sum(others) if others else term).cpu().numpy()))
    totals = per_atom(analysis, found)
    return totals**2 if criterion == "taylor" else totals


# -- group sparsity ---------------------------------------------------------------------------------------------------


class GroupLasso:
    """The sum over atoms of the norm of all their weights (Yuan and Lin, 2006; Wen et al., 2016), to add to a loss.

    Weights of an atom that are small together are driven to zero together. ``penalty()`` is a scalar that carries
    gradients to the parameters of the program's module.
    """

    def __init__(self, program: Program, allow_io: Sequence[str] = ()) -> None:
        self.module = program.module
        analysis = program.analysis(allow_io)
        self.count = analysis.atoms.count
        self.dimensions = list(_dimensions(program, analysis))

    def penalty(self) -> Tensor:
        """The penalty of the weights as they are."""
        squares: Tensor | None = None
        for dim in self.dimensions:
            weight = attribute_of(self.module, dim.tensor)
            others = [k for k in range(weight.dim()) if k != dim.axis]
            along = weight.square().sum(others) if others else weight.square()
            squares = along.new_zeros(self.count) if squares is None else squares
            for atoms in dim.atoms:
                free = atoms >= 0
                squares = squares.index_add(0, atoms[free].to(along.device), along[free.to(along.device)])
        if squares is None:
            raise InputError("no parameter of the module could go: there is nothing to penalize")
        return (squares + _PENALTY_FLOOR).sqrt().sum()


# -- soft gates -------------------------------------------------------------------------------------------------------


class _Gated(nn.Module):
    """A parameter scaled along its dimensions by the gates of their atoms."""

    def __init__(self, gates: Gates, dimensions: Sequence[_Dimension]) -> None:
        super().__init__()
        self.gates = [gates]  # in a list, so that it does not become a submodule of every parameter
        self.dimensions = dimensions

    def forward(self, weight: Tensor) -> Tensor:
        values = self.gates[0].values
        padded = torch.cat([values, values.new_ones(1)])  # index -1 is a constant one, for elements without an atom
        for dim in self.dimensions:
            shape = [-1 if k == dim.axis else 1 for k in range(weight.dim())]
            for atoms in dim.atoms:
                weight = weight * padded[atoms.to(values.device)].reshape(shape)
        return weight


class Gates(nn.Module):
    """One number per atom that scales all of its weights: 1 keeps them, 0 is equivalent to removing the atom.

    For groups without a normalized axis (``exact``) a gate of zero gives what removal gives; statistics of other groups
    are still taken over the closed channels. ``values`` (float, one an atom) may be set, scheduled or, with
    ``learnable``, trained. The gates sit on the program's module until :meth:`remove`; until then its ``state_dict``
    has the names of :mod:`torch.nn.utils.parametrize`.
    """

    values: Tensor

    def __init__(self, program: Program, *, learnable: bool = False, allow_io: Sequence[str] = ()) -> None:
        super().__init__()
        self.analysis = program.analysis(allow_io)
        ones = torch.ones(self.analysis.atoms.count)
        if learnable:
            self.values = nn.Parameter(ones)
        else:
            self.register_buffer("values", ones)
        self._module = [program.module]
        self._gated: list[tuple[nn.Module, str]] = []
        by_tensor: dict[str, list[_Dimension]] = {}
        for dim in _dimensions(program, self.analysis):
            by_tensor.setdefault(dim.tensor, []).append(dim)
        for tensor, dimensions in by_tensor.items():
            path, _, last = tensor.rpartition(".")
            owner = program.module.get_submodule(path)
            parametrize.register_parametrization(owner, last, _Gated(self, dimensions), unsafe=True)
            self._gated.append((owner, last))

    def close(self, decided: Plan, value: float = 0.0) -> None:
        """Set the gates of the atoms that a plan removes."""
        removed = torch.from_numpy(removed_atoms(decided, self.analysis))
        with torch.no_grad():
            self.values[removed.to(self.values.device)] = value

    def remove(self, *, bake: bool = False) -> None:
        """Remove the gates; with ``bake`` the weights stay scaled."""
        for owner, name in self._gated:
            parametrize.remove_parametrizations(owner, name, leave_parametrized=bake)
        self._gated.clear()


# -- a schedule -------------------------------------------------------------------------------------------------------

_SHARE_DONE: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "cubic": lambda t: 1 - (1 - t) ** 3,  # Zhu and Gupta, To Prune, or Not to Prune, 2017
}


@dataclass
class IterativePruning:
    """Prune a little, train, and again: an iterable of ever smaller modules, each to be trained by its receiver.

    ::

        pruning = IterativePruning(model, (images,), macs=0.25, steps=5)
        for module in pruning:
            fit(module)  # in plain PyTorch or Lightning, with an optimizer of its own: its parameters are new
        pruning.model, pruning.plans

    Exactly one of ``macs`` and ``params`` is the share of the ORIGINAL's cost that is left in the end. ``schedule``
    (``cubic`` or ``linear``) says how fast it falls over the ``steps``. ``importance`` gives the scores of a program
    (such as ``lambda p: importance(p, loss, batches)``), else ``options`` name a criterion; they are those of
    :class:`irprune.Request` and :func:`irprune.torch.trace`. ``plans`` holds a plan for each step, made for the
    module of that step. The modules are captured in evaluation and handed out in training mode.
    """

    model: AnyModule
    example_inputs: Any
    macs: float | None = None
    params: float | None = None
    steps: int = 5
    schedule: Literal["cubic", "linear"] = "cubic"
    importance: Callable[[Program], Scores] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)

    def __post_init__(self) -> None:
        if (self.macs is None) == (self.params is None):
            raise InputError("give exactly one of macs and params, the share of the original's cost that is left")
        if not 0 < (self.macs or self.params or 0) < 1:
            raise InputError(f"the share must lie between 0 and 1 (both excluded), got {self.macs or self.params}")
        if self.steps < 1:
            raise InputError(f"steps must be at least 1, got {self.steps}")
        if self.schedule not in _SHARE_DONE:
            raise InputError(f"unknown schedule '{self.schedule}'; known: {', '.join(_SHARE_DONE)}")

    def __iter__(self) -> Iterator[fx.GraphModule]:
        target, kind = (self.macs, "macs") if self.macs is not None else (self.params, "params")
        assert target is not None
        original: int | None = None
        for step in range(1, self.steps + 1):
            if isinstance(self.model, nn.Module):
                self.model.eval()
            program = trace(self.model, self.example_inputs, **self._tracing())
            now = getattr(program.analysis().cost_model({}), kind)
            original = original or now
            share = 1 - (1 - target) * _SHARE_DONE[self.schedule](step / self.steps)
            if share * original < now:
                self.model = self._smaller(program, {kind: share * original / now})
            assert isinstance(self.model, fx.GraphModule)
            yield self.model.train()
        if isinstance(self.model, nn.Module):
            self.model.eval()

    def _tracing(self) -> dict[str, Any]:
        return {name: value for name, value in self.options.items() if name in ("example_kwargs", "dynamic_shapes")}

    def _smaller(self, program: Program, target: dict[str, float]) -> fx.GraphModule:
        """The module after one step; unchanged if nothing is left to remove."""
        scores = None if self.importance is None else self.importance(program)
        wanted = {name: value for name, value in self.options.items() if name not in self._tracing()}
        try:
            decided = plan(program, scores=scores, **{**wanted, **target})
        except TargetError:
            if not self.plans:
                raise
            return program.module
        self.plans.append(decided)
        return apply(program, decided)
