"""Whole models on the torch side: pruned, verified in torch and on ONNX Runtime, trained, saved and exported again."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn
from torch.export import Dim
from torch.nn import functional as F
from torch.utils import _pytree as pytree

import irprune.torch
from irprune.models.architectures import ARCHITECTURES
from irprune.models.export import example_inputs, randomize
from irprune.models.interface import instantiate
from irprune.models.zoo import ZOO
from irprune.torch import Result

FAST = ("resnet18", "shufflenet_v2_x1_0", "unet_transposed", "bert", "llama", "lstm_tagger")
SLOW = [name for name in (*ZOO, *ARCHITECTURES) if name not in FAST]


def model_of(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A small model in evaluation and inputs for it."""
    if name in ARCHITECTURES:
        entry = ARCHITECTURES[name]
        return instantiate(entry).eval(), entry.example(0)
    family = ZOO[name]
    model = family.tiny()
    randomize(model, 0)
    return model.eval(), example_inputs(family.tiny_shape, batch=2)


def floats(outputs: object) -> list[Tensor]:
    """The floating-point tensors among results of any structure."""
    leaves = pytree.tree_leaves(outputs)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def copied(module: fx.GraphModule) -> fx.GraphModule:
    with warnings.catch_warnings(action="ignore"):  # torch copies its own deprecated types
        return copy.deepcopy(module)


def loss_of(module: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """The distance from fixed random targets (the size alone of a normalized output has no gradient)."""
    generator = torch.Generator().manual_seed(0)
    outputs = floats(module(*inputs))
    targets = [torch.randn(output.shape, generator=generator) for output in outputs]
    return torch.stack([F.mse_loss(*pair) for pair in zip(outputs, targets, strict=True)]).sum()


def check(result: Result, inputs: tuple[Tensor, ...]) -> None:
    """Verified twice; a step along the gradient lowers a loss."""
    report = result.report
    assert report is not None and report.ok
    assert report.exported is not None, report.note
    module = copied(result.model)
    before = loss_of(module, inputs)
    before.backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    norm = torch.sqrt(torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum())
    assert norm > 0
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name in gradients:
                parameter -= 1e-4 * before.detach() / norm**2 * gradients[name]
    assert loss_of(module, inputs) < before


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_half_of_a_model(name: str) -> None:
    model, inputs = model_of(name)
    result = irprune.torch.prune(model, inputs, ratio=0.5)
    check(result, inputs)
    assert result.plan.cost_after.params < 0.9 * result.plan.cost_before.params


@pytest.mark.parametrize("name", ["resnet18", "llama", "crnn"])
def test_a_smaller_model_is_saved_and_read_back(name: str, tmp_path: Path) -> None:
    model, inputs = model_of(name)
    result = irprune.torch.prune(model, inputs, ratio=0.5, runtime=False)
    expected = floats(result.model(*inputs))
    result.save(tmp_path / "small.pt2")
    again = irprune.torch.trace(tmp_path / "small.pt2").module
    for left, right in zip(expected, floats(again(*inputs)), strict=True):
        assert torch.equal(left, right)
    torch.save(result.model.state_dict(), tmp_path / "weights.pt")
    other = copied(result.model)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(torch.load(tmp_path / "weights.pt"))
    for left, right in zip(expected, floats(other(*inputs)), strict=True):
        assert torch.equal(left, right)
    names = {n for n, _ in model.named_parameters()}
    assert {n for n, _ in result.model.named_parameters()} <= names


def test_dimensions_that_varied_still_vary(tmp_path: Path) -> None:
    model, inputs = model_of("resnet18")
    result = irprune.torch.prune(model, inputs, ratio=0.5, runtime=False, dynamic_shapes=({0: Dim.DYNAMIC},))
    assert result.report is not None and "3 in place of 2" in result.report.equivalence.cases
    result.save(tmp_path / "small.pt2")
    again = irprune.torch.trace(tmp_path / "small.pt2").module
    assert floats(again(torch.randn(5, *inputs[0].shape[1:])))[0].shape[0] == 5


def test_training_mode_reaches_batch_normalization_and_dropout() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.Conv2d(8, 2, 3)).eval()
    x = torch.randn(4, 3, 8, 8)
    small = irprune.torch.prune(model, (x,), ratio=0.5, runtime=False).model
    settled = small(x)
    small.train()
    assert not torch.equal(small(x), small(x))
    assert not torch.equal(small.get_buffer("1.running_mean"), torch.zeros(4))
    small.eval()
    assert torch.equal(small(x), small(x)) and not torch.equal(small(x), settled)


# -- what Torch-Pruning 1.6 fails on -----------------------------------------------------------------------------------


class C2f(nn.Module):
    """Split in two, refine one part, join all: the block of YOLOv8."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.refine = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.join = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.stem(x).relu().chunk(2, 1))
        for layer in self.refine:
            parts.append(layer(parts[-1]).relu())
        return self.join(torch.cat(parts, 1))  # type: ignore[no-any-return]


class Shuffled(nn.Module):
    """A channel shuffle between grouped convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 24, 1)
        self.second = nn.Conv2d(24, 24, 3, groups=4)
        self.shuffle = nn.ChannelShuffle(4)
        self.third = nn.Conv2d(24, 24, 1, groups=4)
        self.last = nn.Conv2d(24, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.third(self.shuffle(self.second(self.first(x))).relu()).relu())  # type: ignore[no-any-return]


class Tied(nn.Module):
    """One table for the embedding and the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 16)
        self.mix = nn.Linear(16, 16)
        self.head = nn.Linear(16, 30, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        return self.head(F.layer_norm(x + self.mix(x).relu(), (16,)))  # type: ignore[no-any-return]


class MultiAxis(nn.Module):
    """Attention within windows and across them, behind an inverted residual, as in MaxViT."""

    def __init__(self, width: int = 16, heads: int = 2, window: int = 2) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.widen = nn.Sequential(nn.BatchNorm2d(width), nn.Conv2d(width, 4 * width, 1), nn.GELU())
        self.narrow = nn.Sequential(
            nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width), nn.Conv2d(4 * width, width, 1)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.head = nn.Linear(width, 5)

    def attend(self, k: int, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        qkv = self.qkv[k](self.norms[k](x)).reshape(rows, length, 3, self.heads, width // self.heads)
        q, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, key, value).transpose(1, 2).reshape(rows, length, -1)
        return x + self.out[k](mixed)  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = x + self.narrow(self.widen(x))
        n, c, h, w = x.shape
        p = self.window
        block = x.view(n, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1).reshape(-1, p * p, c)
        block = self.attend(0, block).view(n, h // p, w // p, p, p, c).permute(0, 3, 4, 1, 2, 5)
        grid = self.attend(1, block.reshape(n * p * p, (h // p) * (w // p), c))
        return self.head(grid.view(n, -1, c).mean(1))  # type: ignore[no-any-return]


class Filled(nn.Module):
    """Queries that are put together in an empty tensor, part by part."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 16), nn.Linear(6, 16)
        self.last = nn.Linear(16, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = image.flatten(2)[..., :6]
        parts = self.left(x).view(-1, 3, 2, 8), self.right(x).view(-1, 3, 2, 8)
        joined = parts[0].new_empty(x.shape[0], 3, 2, 16)
        joined[..., :8] = parts[0]
        joined[..., 8:] = parts[1]
        scores = joined.transpose(1, 2) @ joined.transpose(1, 2).transpose(2, 3)
        mixed = scores @ parts[1].transpose(1, 2)
        return self.last(mixed.transpose(1, 2).reshape(x.shape[0], 3, 16))  # type: ignore[no-any-return]


@pytest.mark.parametrize("build", [C2f, Shuffled, MultiAxis, Filled])
def test_blocks_that_are_split_shuffled_and_cut_into_windows(build: type[nn.Module]) -> None:
    model = build()
    randomize(model, 0)
    inputs = (torch.randn(2, 3, 8, 8),)
    check(irprune.torch.prune(model.eval(), inputs, ratio=0.5), inputs)


def test_what_is_written_into_a_tensor_is_read() -> None:
    model = Filled()
    plan = irprune.torch.plan(model.eval(), (torch.randn(2, 3, 8, 8),), ratio=0.5)
    assert plan.cost_before.params == sum(parameter.numel() for parameter in model.parameters())
    assert {"left.weight:0", "right.weight:0"} <= {name for group in plan.groups for name in group.members}


def test_tied_weights_stay_tied() -> None:
    model = Tied()
    randomize(model, 0)
    ids = torch.arange(24).reshape(2, 12)
    result = irprune.torch.prune(model.eval(), (ids,), ratio=0.5, only="kind:hidden")
    assert result.report is not None and result.report.ok
    table, head = (result.model.get_parameter(f"{name}.weight") for name in ("embedding", "head"))
    assert table is head and table.shape == (30, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin", "shufflenet_v2_x1_0", "gpt2", "llama", "lstm_tagger"])
def test_every_kind_of_channel_goes(name: str) -> None:
    model, inputs = model_of(name)
    plan = irprune.torch.plan(model, inputs, ratio=0.5)
    assert {group.kind for group in plan.groups} & {"heads", "channels", "recurrent"}
