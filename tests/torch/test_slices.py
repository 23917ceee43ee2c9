"""Slices of tensors, of every size of element and in every layout."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from irprune.backends import fx as backend  # noqa: E402
from irprune.plans import Slice  # noqa: E402
from irprune.torch import prune  # noqa: E402

TYPES = ("float64", "float32", "float16", "bfloat16", "bool", "int8", "int64", "complex64", "complex128")
AXES: tuple[dict[int, tuple[int, ...]], ...] = (
    {},
    {0: (1, 5, 7)},
    {1: (0, 8)},
    {2: (2, 0)},
    {0: (3, 2), 1: (5, 6, 1), 2: (2, 0)},
    {0: ()},
)


def expected(tensor: Tensor, axes: dict[int, tuple[int, ...]]) -> Tensor:
    for axis, kept in axes.items():
        tensor = tensor.index_select(axis, torch.tensor(kept, dtype=torch.long))
    return tensor


@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_a_slice_is_the_kept_elements_in_memory_of_its_own(
    dtype: str, axes: dict[int, tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_BLOCK", 40)  # so that there is more than one block
    whole = (torch.randn(9, 10, 3) * 10).to(getattr(torch, dtype))
    for tensor in (whole, whole.transpose(0, 1), whole[1:, ::1]):
        part = Slice({axis: (tensor.shape[axis], kept) for axis, kept in axes.items()})
        found = backend.take(tensor, part)
        assert found.dtype == tensor.dtype and torch.equal(found, expected(tensor, axes))
        assert found.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr()


def test_a_position_that_is_not_there_is_an_error() -> None:
    with pytest.raises(IndexError):
        backend.take(torch.zeros(3, 4), Slice({0: (3, (1, 3)), 1: (4, (0,))}))


def test_a_number_has_nothing_to_slice() -> None:
    assert backend.take(torch.tensor(3.0), Slice({})) == 3


class Halves(nn.Module):
    """ShuffleNet as FastestDet has it: even channels are handed on, odd ones go through a layer."""

    def __init__(self, half: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(half, half, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.size()
        x = x.reshape(b * c // 2, 2, h * w).permute(1, 0, 2).reshape(2, -1, c // 2, h, w)
        return torch.cat((x[0], self.layer(x[1]).relu()), 1)


def test_a_shuffle_that_no_order_suits_becomes_slices_of_a_module() -> None:
    """24 of 48 channels need one that is handed on five times, and there is none."""
    torch.manual_seed(0)
    halves = [Halves(48) for _ in range(7)]
    model = nn.Sequential(nn.Conv2d(3, 96, 1), *halves, nn.Conv2d(96, 4, 1)).eval()
    result = prune(model, (torch.randn(1, 3, 4, 4),), ratio=0.5, runtime=False)
    assert result.report is not None and result.report.ok
    called = [str(node.target) for node in result.model.graph.nodes]
    assert "aten.slice.Tensor" in called
    assert not any("index" in name for name in called)
