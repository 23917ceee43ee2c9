"""Models and files that irprune.torch cannot take: one line that says what, where and what to try."""

from __future__ import annotations

import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


class DataLoop(Pair):
    def forward(self, x: Tensor) -> Tensor:
        hidden = self.a(x)
        while hidden.norm() > 1:
            hidden = hidden / 2
        return self.b(hidden)


class LeavesTorch(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.from_numpy(self.a(x).detach().numpy()))


class ChangesData(Pair):
    def forward(self, x: Tensor) -> Tensor:
        self.a.weight.data.mul_(0.5)
        return self.b(self.a(x))


class AssignsData(Pair):
    def forward(self, x: Tensor) -> Tensor:
        self.b.bias.data = self.b.bias.data + 1
        return self.b(self.a(x))


class ReturnsNothing(Pair):
    def forward(self, x: Tensor) -> None:
        self.b(self.a(x))


class ChangesWeight(Pair):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.a.weight.mul_(0.5)
        return self.b(self.a(x))


class CopiesToTensor(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.copied = self.a.weight.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        return self.b(x @ self.copied.T + self.a.bias)


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


@pytest.mark.parametrize(
    ("kind", "line"),
    [(DataBranch, "if x.sum() > 0"), (DataIndex, "int(x.argmax())"), (DataLoop, "while hidden.norm() > 1:")],
)
def test_a_way_that_depends_on_values_is_shown_with_a_way_on(kind: type[Pair], line: str) -> None:
    text = said(lambda: it.prune(kind(), INPUTS, ratio=0.5))
    start = f"torch.export cannot capture {kind.__name__}: forward takes a way that depends on the values of a tensor"
    assert text.startswith(f"{start} at {__file__}:")
    assert line in text
    assert text.endswith("; write it with torch.where or torch.cond; torch.export.draft_export tells more")


def test_what_else_torch_export_refuses_is_shown_where_it_stands() -> None:
    text = said(lambda: it.prune(LeavesTorch(), INPUTS, ratio=0.5))
    assert text.startswith("torch.export cannot capture LeavesTorch: RuntimeError: .numpy() is not supported")
    assert f" at {__file__}:" in text and "torch.from_numpy(" in text


def test_a_parameter_changed_behind_the_back_of_export_is_named() -> None:
    text = said(lambda: it.prune(AssignsData(), INPUTS, ratio=0.5))
    assert text == (
        "torch.export cannot capture AssignsData: forward changes 'b.bias' where export does not see it "
        "(through .data, or an attribute of its own); make it a buffer that is changed in place, or return the new "
        "value"
    )


@pytest.mark.parametrize("kind", [ChangesWeight, ChangesData])
def test_a_parameter_changed_in_place_is_refused_by_name(kind: type[Pair]) -> None:
    text = said(lambda: it.prune(kind(), INPUTS, ratio=0.5))
    assert text == "forward changes parameter 'a.weight' in place; make it a buffer, or return the new value"


@pytest.mark.parametrize(("kind", "name"), [(CopiesToTensor, "copied"), (CopiesToNumpy, ""), (CopiesToList, "")])
def test_a_copy_made_in_python_is_a_constant_that_shrinks_along(kind: type[Pair], name: str) -> None:
    result = it.prune(kind(), INPUTS, ratio=0.5, runtime=False)
    assert result.report is not None and result.report.ok
    assert result.model.get_buffer(name or "lifted_tensor_0").shape[0] == 4


def test_missing_inputs_and_wrong_types() -> None:
    assert said(lambda: it.prune(Pair(), ratio=0.5)).startswith("example inputs are missing: ")
    assert said(lambda: it.prune(Pair().state_dict(), INPUTS, ratio=0.5)).endswith("got OrderedDict")
    assert "must be Tensor, not str" in said(lambda: it.prune(Pair(), ("a",), ratio=0.5))
    assert "same reduction dim" in said(lambda: it.prune(Pair(), (torch.zeros(3, 5),), ratio=0.5))


def test_inputs_that_only_export_takes() -> None:
    text = said(lambda: it.prune(Pair(), (torch.ones(3, 4, dtype=torch.long),), ratio=0.5))
    assert text.startswith(
        "the model does not run on the example inputs: RuntimeError: mat1 and mat2 must have the same"
    )


def test_models_without_a_graph() -> None:
    script = torch.jit.trace(Pair(), INPUTS)
    text = said(lambda: it.prune(script, INPUTS, ratio=0.5))
    assert text == "torch.export takes no TorchScript module: pass the torch.nn.Module that it was made of"
    text = said(lambda: it.prune(ReturnsNothing(), INPUTS, ratio=0.5))
    assert text == "ReturnsNothing returns no tensor: there is nothing to compare"


def test_a_file_whose_weights_are_damaged(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole.pt2", tmp_path / "torn.pt2"
    it.prune(Pair(), INPUTS, ratio=0.5, runtime=False).save(whole)
    with zipfile.ZipFile(whole) as archive:
        name = next(name for name in archive.namelist() if name.endswith("weights/weight_1"))
        weights = archive.read(name)
    raw = whole.read_bytes()
    torn.write_bytes(raw.replace(weights, bytes(len(weights))))
    text = said(lambda: it.prune(torn, ratio=0.5))
    assert text == f"{torn}: it is damaged: the checksum of '{name}' does not match"


def test_other_files_that_torch_writes(tmp_path: Path) -> None:
    state, script = tmp_path / "state.pt2", tmp_path / "script.pt2"
    torch.save(Pair().state_dict(), state)
    torch.jit.save(torch.jit.trace(Pair(), INPUTS), script)
    wanted = "expected what torch.export.save writes"
    assert said(lambda: it.prune(state, ratio=0.5)) == f"{state}: it holds no exported program, {wanted}"
    assert said(lambda: it.prune(script, ratio=0.5)) == f"{script}: it holds TorchScript, {wanted}"
    assert "Is a directory" in said(lambda: it.prune(tmp_path, ratio=0.5))


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


class Cache:
    """As language models of transformers return it, beside the logits."""


class WithCache(nn.Module):
    def __init__(self, use_cache: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.config = types.SimpleNamespace(use_cache=use_cache)

    def forward(self, x: torch.Tensor) -> Any:
        return {"logits": self.linear(x), "past_key_values": Cache()}


@pytest.mark.parametrize(
    ("use_cache", "cure"),
    [(True, "set model.config.use_cache=False"), (False, "return tensors, or lists and dicts of them")],
)
def test_a_result_that_is_a_cache_is_named_with_the_cure(use_cache: bool, cure: str) -> None:
    text = said(lambda: it.trace(WithCache(use_cache), (torch.ones(1, 4),)))
    assert text == f"torch.export cannot capture WithCache: forward returns a Cache; {cure}"
