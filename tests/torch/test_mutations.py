"""Faults put into the emitter of fx graphs, one at a time: the verification has to catch each of them.

The plan is right, so that a wrong parameter is already one that is not the slice the plan names; a wrong number in a
call shows in what the module computes, or in that it does not run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, fx, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import irprune.torch as it  # noqa: E402
from irprune.backends import fx as backend  # noqa: E402
from irprune.plans import Slice  # noqa: E402
from irprune.verification import Report  # noqa: E402

Patch = pytest.MonkeyPatch
Emitter = backend._Emitter


def carry_out(model: type[nn.Module], patch: Callable[[Patch], None] | None = None) -> Report:
    """Plan, emit with a fault if one is given, then verify without it."""
    torch.manual_seed(0)
    module = model().eval()
    program = it.trace(module, (torch.randn(module.shape),), dynamic_shapes=getattr(module, "dynamic", None))
    plan = it.plan(program, ratio=0.5)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if patch is not None:
            patch(monkeypatch)
        small = it.apply(program, plan)
    return it.verify(program, small, plan, runtime=False)


# -- models ------------------------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """Two convolutions with a square weight, batch normalization that has been trained, and a classifier."""

    shape = (2, 3, 6, 6)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)
        nn.init.normal_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.norm(self.b(self.a(x).relu())).relu().mean((2, 3)))


class Depthwise(nn.Module):
    shape = (2, 3, 6, 6)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)))


class Heads(nn.Module):
    """Attention whose heads are views with all sizes spelled out."""

    shape = (2, 3, 16)

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).view(2, 3, 4, 4).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(2, 3, 16))


class Divided(nn.Module):
    """Parts of unequal size."""

    shape = (2, 3, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 12, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.a(x).split((4, 8), 1)
        return self.b(left) + self.c(right)


class Sliced(nn.Module):
    """The halves of a vector by their bounds."""

    shape = (2, 4)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 16), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.a(x)
        return self.b(hidden[:, :8]) + self.c(hidden[:, 8:])


class Normalized(nn.Module):
    shape = (2, 4)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(4, 16), nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.norm(self.a(x)))


class Grouped(nn.Module):
    """Group normalization, which loses whole groups."""

    shape = (2, 3, 5)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv1d(3, 16, 1), nn.GroupNorm(4, 16), nn.Conv1d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.norm(self.a(x)))


class Padded(nn.Module):
    """Zero channels before and after, as in a shortcut without parameters."""

    shape = (2, 3, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.a(x)
        return self.c(F.pad(hidden, (0, 0, 0, 0, 2, 6)) + self.b(hidden))


class Tied(nn.Module):
    """One table under two names."""

    shape = (2, 6)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(6, 8, bias=False), nn.Linear(6, 8, bias=False)
        self.again.weight = self.first.weight
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.first(x).relu() * self.again(x.flip(0)))


class Shared(nn.Module):
    """One vector scales two layers, which lose different channels."""

    shape = (2, 4)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x) * self.scale) * self.scale)


class Picked(nn.Module):
    """Channels in another order, by a buffer of positions."""

    shape = (2, 4)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)
        self.register_buffer("order", torch.tensor([7, 2, 0, 5, 6, 1, 4, 3]))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).index_select(1, self.order))


class Flattened(nn.Module):
    """A batch of any size times channels: a number that run time computes."""

    shape = (3, 5, 4)
    dynamic = ({0: torch.export.Dim.AUTO},)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.a(x).transpose(1, 2)
        rows = hidden.reshape(x.shape[0] * 8, 5).relu()
        return self.b(rows.reshape(x.shape[0], 8, 5).transpose(1, 2))


class Repeated(nn.Module):
    """Key heads repeated for the queries, with the size of the result spelled out."""

    shape = (2, 4)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).repeat_interleave(2, 1, output_size=16))


# -- faults ------------------------------------------------------------------------------------------------------------


def taken(name: str, change: Callable[[Tensor, Slice], Tensor]) -> Callable[[Patch], None]:
    """Something else in the place of one parameter; ``change`` gets the original and the right slice."""

    def patch(monkeypatch: Patch) -> None:
        right = Emitter._slice

        def wrong(self: Any, target: str, part: Slice) -> None:
            if target != name:
                right(self, target, part)
                return
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(backend, "take", lambda tensor, part: change(tensor.detach(), part).clone())
                right(self, target, part)

        monkeypatch.setattr(Emitter, "_slice", wrong)

    return patch


def off_by_one(tensor: Tensor, part: Slice) -> Tensor:
    for axis, (size, kept) in part.axes.items():
        tensor = tensor.index_select(axis, torch.tensor([(k + 1) % size for k in kept]))
    return tensor


def from_the_front(tensor: Tensor, part: Slice) -> Tensor:
    for axis, (_, kept) in part.axes.items():
        tensor = tensor.narrow(axis, 0, len(kept))
    return tensor


RIGHT = backend.take


def backwards(tensor: Tensor, part: Slice) -> Tensor:
    return RIGHT(tensor, part).flip(0)


def axes_exchanged(tensor: Tensor, part: Slice) -> Tensor:
    return RIGHT(tensor, part).transpose(0, 1)


def scaled(tensor: Tensor, part: Slice) -> Tensor:
    return RIGHT(tensor, part) * 2


def lowest_bit(tensor: Tensor, part: Slice) -> Tensor:
    kept = RIGHT(tensor, part)
    kept.view(torch.int32).flatten()[0] ^= 1
    return kept


def whole(tensor: Tensor, part: Slice) -> Tensor:
    return tensor


def numbers(op: str, change: Callable[[Any, Any], Any]) -> Callable[[Patch], None]:
    """Something else in the place of numbers of a call; ``change`` gets the old argument and the right new one."""

    def patch(monkeypatch: Patch) -> None:
        right = Emitter._write

        def wrong(self: Any, call: fx.Node, source: Any, value: Any) -> None:
            if call.target._schema.name == f"aten::{op}":
                value = change(self._read(call, source), value)
            right(self, call, source, value)

        monkeypatch.setattr(Emitter, "_write", wrong)

    return patch


def left(old: Any, new: Any) -> Any:
    """Numbers stay as they were."""
    return old


def reversed_order(old: Any, new: Any) -> Any:
    return new[::-1]


def one_more(old: Any, new: Any) -> Any:
    return new + 1


def heads_from_the_dimension(old: Any, new: Any) -> Any:
    """The size of a head shrinks in the place of their number."""
    return [*new[:2], new[3], new[2]] if len(new) == 4 else new


def no_private_copy(monkeypatch: Patch) -> None:
    """Calls read the constant that they read before."""
    monkeypatch.setattr(Emitter, "_redirect", lambda *arguments: None)


def aliases_forgotten(monkeypatch: Patch) -> None:
    """The second name of a tied parameter keeps the whole of it."""
    right = Emitter._set

    def wrong(self: Any, target: str, value: Tensor) -> None:
        if target not in {other for others in self.imported.aliases.values() for other in others}:
            right(self, target, value)

    monkeypatch.setattr(Emitter, "_set", wrong)


def pads_in_the_order_of_onnx(monkeypatch: Patch) -> None:
    monkeypatch.setattr(backend, "_innermost_first", list)


def not_scaled(monkeypatch: Patch) -> None:
    """A number of run time is written as it was."""
    right = Emitter._number

    def wrong(self: Any, call: fx.Node, given: Any, before: Any, after: Any) -> Any:
        return right(self, call, given, before, after) if after.is_static else given

    monkeypatch.setattr(Emitter, "_number", wrong)


# -- what catches them -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """``first`` is the tensor at which the module leaves the reference, ``None`` where it stops before."""

    name: str
    model: type[nn.Module]
    fault: Callable[[Patch], None]
    structure: bool
    equivalence: bool
    first: str | None
    stops: bool = False


def wrong(name: str, tensor: str, change: Callable[[Tensor, Slice], Tensor], first: str) -> Case:
    """A parameter that is not the slice which the plan names."""
    return Case(name, Plain, taken(tensor, change), False, False, first)


def silent(name: str, model: type[nn.Module], fault: Callable[[Patch], None], first: str) -> Case:
    """All sizes fit, and parameters are right: only numbers tell."""
    return Case(name, model, fault, True, False, first)


def stopped(
    name: str, model: type[nn.Module], fault: Callable[[Patch], None], first: str | None = None, *, slices: bool = True
) -> Case:
    """Sizes contradict each other; ``slices`` says whether the parameters are right."""
    return Case(name, model, fault, slices, False, first, True)


CASES = (
    wrong("off-by-one", "b.weight", off_by_one, "conv2d_1"),
    wrong("bias-off-by-one", "a.bias", off_by_one, "conv2d"),
    wrong("from-the-front", "a.weight", from_the_front, "conv2d"),
    wrong("rows-backwards", "c.weight", backwards, "linear"),
    wrong("axes-exchanged", "b.weight", axes_exchanged, "conv2d_1"),
    wrong("scaled", "norm.weight", scaled, "batch_norm"),
    wrong("a-buffer-off-by-one", "norm.running_var", off_by_one, "batch_norm"),
    Case("one-bit", Plain, taken("c.weight", lowest_bit), False, True, None),
    stopped("a-buffer-not-sliced", Plain, taken("norm.running_mean", whole), slices=False),
    stopped("a-weight-not-sliced", Plain, taken("c.weight", whole), slices=False),
    stopped("an-alias-forgotten", Tied, aliases_forgotten, "linear", slices=False),
    silent("heads-for-their-size", Heads, numbers("reshape", heads_from_the_dimension), "view"),
    silent("number-of-groups-left", Grouped, numbers("group_norm", left), "group_norm"),
    silent("no-private-copy", Shared, no_private_copy, "mul"),
    stopped("groups-left", Depthwise, numbers("conv2d", left)),
    stopped("view-left", Heads, numbers("reshape", left)),
    stopped("split-sizes-left", Divided, numbers("split_with_sizes", left)),
    stopped("split-sizes-reversed", Divided, numbers("split_with_sizes", reversed_order), "getitem"),
    stopped("a-bound-left", Sliced, numbers("slice", left), "slice_1"),
    stopped("a-bound-off-by-one", Sliced, numbers("slice", one_more), "slice_1"),
    stopped("normalized-shape-left", Normalized, numbers("layer_norm", left)),
    stopped("pads-left", Padded, numbers("pad", left), "pad"),
    stopped("pads-in-another-order", Padded, pads_in_the_order_of_onnx, "pad"),
    stopped("output-size-left", Repeated, numbers("repeat_interleave", left)),
    stopped("a-number-of-run-time-left", Flattened, not_scaled),
    stopped("positions-not-renumbered", Picked, no_private_copy),
)

MODELS = tuple(dict.fromkeys(case.model for case in CASES))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_without_a_fault_all_is_well(model: type[nn.Module]) -> None:
    report = carry_out(model)
    assert report.ok, report.failures()
    assert report.equivalence.error < 1e-5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_is_caught(case: Case) -> None:
    report = carry_out(case.model, case.fault)
    stopped = any(problem.startswith("the smaller module stops on ") for problem in report.equivalence.problems)
    first = report.equivalence.first
    found = report.structure.ok, report.equivalence.ok, stopped, first.tensor if first is not None else None
    assert found == (case.structure, case.equivalence, case.stops, case.first), report.failures()
    assert not report.ok


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.int64])
def test_a_tensor_that_nobody_knows_holds_indices(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    program = it.trace(Plain().eval(), (torch.randn(Plain.shape),))
    plan = it.plan(program, ratio=0.5)
    small = it.apply(program, plan)
    module = small if isinstance(small, nn.Module) else small.module
    module.register_buffer("extra", torch.zeros(3, dtype=dtype))
    report = it.verify(program, small, plan, runtime=False)
    expected = f"tensor 'extra' of {dtype}: neither the original nor the plan has it"
    assert (expected in report.structure.problems) == (dtype != torch.int64)
