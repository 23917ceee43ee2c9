"""Models and files that irprune.torch cannot take: one line that says what, where and what to try."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import irprune.torch as it  # noqa: E402
from irprune.errors import InputError  # noqa: E402

INPUTS = (torch.linspace(-1, 1, 12).reshape(3, 4),)


class Pair(nn.Module):
    """Two linear layers, which the cases below call in their own ways."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


class DataBranch(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x)) if x.sum() > 0 else self.b(-self.a(x))


class DataIndex(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x)) * [1, 2, 3][int(x.argmax()) % 3]


class ChangesData(Pair):
    def forward(self, x: Tensor) -> Tensor:
        self.a.weight.data.mul_(0.5)
        return self.b(self.a(x))


class ChangesWeight(Pair):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.a.weight.mul_(0.5)
        return self.b(self.a(x))


class CopiesToNumpy(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.copied = self.a.weight.data.numpy()

    def forward(self, x: Tensor) -> Tensor:
        return self.b(x @ torch.from_numpy(self.copied).T + self.a.bias)


class CopiesToList(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.copied = self.a.bias.tolist()

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x) - torch.tensor(self.copied))


def said(act: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        act()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("kind", [DataBranch, DataIndex, ChangesData])
def test_what_torch_export_refuses_is_named_with_a_way_on(kind: type[Pair]) -> None:
    text = said(lambda: it.prune(kind(), INPUTS, ratio=0.5))
    assert f"torch.export cannot capture {kind.__name__}: " in text
    assert text.endswith("torch.export.draft_export tells where")


def test_a_parameter_changed_in_place_is_refused_by_name() -> None:
    text = said(lambda: it.prune(ChangesWeight(), INPUTS, ratio=0.5))
    assert text == "forward changes parameter 'a.weight' in place; make it a buffer, or return the new value"


@pytest.mark.parametrize("kind", [CopiesToNumpy, CopiesToList])
def test_a_copy_made_in_python_is_a_constant_that_shrinks_along(kind: type[Pair]) -> None:
    result = it.prune(kind(), INPUTS, ratio=0.5, runtime=False)
    assert result.report is not None and result.report.ok
    assert result.model.get_buffer("lifted_tensor_0").shape[0] == 4


def test_missing_inputs_and_wrong_types() -> None:
    assert said(lambda: it.prune(Pair(), ratio=0.5)).startswith("example inputs are missing: ")
    assert said(lambda: it.prune(Pair().state_dict(), INPUTS, ratio=0.5)).endswith("got OrderedDict")
    assert "must be Tensor, not str" in said(lambda: it.prune(Pair(), ("a",), ratio=0.5))
    assert "same reduction dim" in said(lambda: it.prune(Pair(), (torch.zeros(3, 5),), ratio=0.5))


def test_files_that_are_missing_or_cut_short(tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.pt2", tmp_path / "half.pt2"
    it.prune(Pair(), INPUTS, ratio=0.5, runtime=False).save(whole)
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert said(lambda: it.prune(half, ratio=0.5)).startswith(f"{half}: torch.export.load cannot read it: ")
    assert said(lambda: it.prune(tmp_path / "none.pt2", ratio=0.5)) == f"{tmp_path / 'none.pt2'}: no such file"


def test_a_plan_for_other_weights() -> None:
    plan = it.plan(Pair(), INPUTS, ratio=0.5)
    text = said(lambda: it.apply(Pair(), plan, INPUTS))
    assert text == "the plan was made for another model, or for other weights of this one"
