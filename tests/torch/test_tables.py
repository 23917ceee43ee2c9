"""Tables that a program computes from numbers alone are read as constants, and go on being computed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

import irprune.torch
from irprune.torch import Result
from tests.torch.test_models import check, copied, floats


class Waves(nn.Module):
    """Sines of positions, whose frequencies are counted out, added to what a layer makes."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.first, self.last = nn.Linear(6, width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.ones(x.shape[:2]).cumsum(1).unsqueeze(-1)
        channel = torch.arange(self.width, dtype=torch.float32)
        waves = torch.sin(places / 100 ** (2 * torch.div(channel, 2, rounding_mode="floor") / self.width))
        return self.last((self.first(x) + waves).relu())  # type: ignore[no-any-return]


class Divided(Waves):
    """Counts are divided by as many numbers as there are channels."""

    def forward(self, x: Tensor) -> Tensor:
        counts = (x.abs() * 100).long()[..., :1] // (torch.arange(self.width) + 1)
        return self.last((self.first(x) + counts.to(x.dtype)).relu())  # type: ignore[no-any-return]


class Buckets(nn.Module):
    """A bias by the distance of two positions, in buckets; short sequences need only a few."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(32, 4)
        self.last = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        place = torch.arange(x.shape[1])
        distance = place[None] - place[:, None]
        bucket = (distance > 0).to(torch.long) * 16
        bucket += torch.where(distance.abs() < 4, distance.abs(), distance.abs().float().log2().long() + 2)
        return x @ self.last(self.table(bucket).relu()).mean(-1)  # type: ignore[no-any-return]


def pruned(model: nn.Module, x: Tensor, **options: object) -> Result:
    return irprune.torch.prune(model.eval(), (x,), **{"ratio": 0.5, **options})


@pytest.mark.parametrize("build", [Waves, Divided])
def test_channels_that_are_counted_out_can_go(build: type[Waves]) -> None:
    model, x = build(), torch.randn(2, 7, 6)
    result = pruned(model, x)
    check(result, (x,))
    assert result.model.get_parameter("first.weight").shape == (8, 6)
    assert result.plan.slices.keys() == {"first.weight", "first.bias", "last.weight"}
    assert result.plan.cost_before.params == sum(parameter.numel() for parameter in model.parameters())


def test_rows_that_no_position_needs_can_go() -> None:
    model, x = Buckets(), torch.randn(2, 7)
    result = pruned(model, x, only="kind:unread", ratio=0.99)
    check(result, (x,))
    assert result.model.get_parameter("table.weight").shape[0] < 20
    assert torch.equal(result.model(x), model(x))


@pytest.mark.parametrize("build", [Waves, Buckets])
def test_what_is_saved_is_what_the_model_has(build: type[nn.Module], tmp_path: Path) -> None:
    model, x = build(), torch.randn(2, 7, 6)[..., : 6 if build is Waves else 0]
    x = x if build is Waves else torch.randn(2, 7)
    result = pruned(model, x)
    small = result.model
    assert small.state_dict().keys() == copied(small).state_dict().keys() == model.state_dict().keys()
    expected = small(x)
    result.save(tmp_path / "small.pt2")
    assert torch.equal(irprune.torch.trace(tmp_path / "small.pt2").module(x), expected)
    other = copied(small)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(small.state_dict())
    assert torch.equal(other(x), expected)


def test_a_table_has_the_type_that_it_was_computed_in() -> None:
    """Half of the weights' precision is none of the table's business."""
    model, x = Waves(), torch.randn(2, 7, 6)
    small = pruned(model, x).model
    assert [buffer.dtype for buffer in small.buffers()] == [torch.int64]
    half = copy.deepcopy(small).double()
    assert floats([half(x.double())])[0].dtype == torch.float64
    assert torch.allclose(half(x.double()).float(), small(x), atol=1e-5)


def test_a_smaller_module_is_pruned_again() -> None:
    x = torch.randn(2, 7, 6)
    once = pruned(Waves(), x).model
    twice = irprune.torch.prune(once, (x,), ratio=0.5)
    check(twice, (x,))
    assert twice.model.get_parameter("first.weight").shape == (4, 6)


def test_dimensions_that_varied_still_vary() -> None:
    x = torch.randn(2, 7, 6)
    result = pruned(Waves(), x, dynamic_shapes=({1: Dim.DYNAMIC},))
    assert result.report is not None and result.report.ok
    assert result.model.get_parameter("first.weight").shape == (8, 6)
    assert result.model(torch.randn(2, 9, 6)).shape == (2, 9, 5)


class Twice(nn.Module):
    """Two layers look up rows of their own tables at the same positions, which several steps compute."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.randn(12, 4)) for _ in range(2))
        self.last = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(6).unsqueeze(0).unsqueeze(0).unsqueeze(0).unsqueeze(0)
        rows = F.embedding(places, self.first) * x.mean() + F.embedding(places, self.second)
        return self.last(rows.unsqueeze(-1).squeeze(-1).relu())  # type: ignore[no-any-return]


def test_numbers_that_are_written_anew_have_names_of_their_own() -> None:
    model, x = Twice(), torch.randn(2, 7)
    result = pruned(model, x, only="kind:unread", ratio=0.99)
    check(result, (x,))
    assert torch.equal(result.model(x), model(x))


class Shared(Waves):
    """Channels are counted by adding up ones, which shrink where they are added themselves."""

    def forward(self, x: Tensor) -> Tensor:
        ones = torch.ones(self.width)
        return self.last(((self.first(x) + ones) * ones.cumsum(0)).relu())  # type: ignore[no-any-return]


def test_what_a_table_is_computed_from_stays_whole() -> None:
    x = torch.randn(2, 7, 6)
    assert not irprune.torch.trace(Shared().eval(), (x,)).imported.tables
    assert {"cumsum", "arange", "sin"} <= irprune.torch.trace(Waves().eval(), (x,)).imported.tables


class Read(nn.Module):
    """Rows of a table that are chosen by a function of a parameter."""

    def __init__(self, choose: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.choose = choose
        self.table = nn.Parameter(torch.randn(12, 4))
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return F.embedding(self.choose(x + self.shift), self.table) + x.mean()


def _written_to(x: Tensor) -> Tensor:
    places = torch.arange(4) * 2
    places[:2].add_(1)
    return places


def _unread_after(x: Tensor) -> Tensor:
    places = torch.arange(4) * 2
    doubled = places * 1
    places.add_(1)
    return doubled


@pytest.mark.parametrize(
    ("choose", "rows"),
    [
        (lambda x: torch.arange(4) * 2, 4),
        (lambda x: (torch.arange(4) / 2).long(), 2),
        (lambda x: torch.stack(torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")).sum(0), 4),
        (lambda x: torch.arange(4).mul_(2).add_(1), 4),
        (_unread_after, 4),
        (_written_to, None),
        (lambda x: torch.randperm(4), None),
        (lambda x: torch.arange(4) + x.long().sum(), None),
    ],
)
def test_rows_at_positions_that_are_known_ahead_of_a_run(choose: Callable[[Tensor], Tensor], rows: int | None) -> None:
    """``rows`` of the table are read; ``None``: there is no saying."""
    program = irprune.torch.trace(Read(choose).eval(), (torch.randn(2, 4),))
    unread = [group for group in program.analysis().groups if group.kind == "unread" and not group.frozen]
    assert [12 - group.size for group in unread] == ([] if rows is None else [rows])


def test_a_result_stays_as_it_is() -> None:
    class Both(Waves):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
            return torch.arange(16).flip(0), super().forward(x + torch.arange(6).flip(0))

    x = torch.randn(2, 7, 6)
    small = pruned(Both(), x).model
    assert torch.equal(small(x)[0], torch.arange(16).flip(0))
