"""What rules say of an operator's result is what PyTorch's own tensors without data say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

from irprune.torch.capture.meta_rules import known_operators, meta_rule_of  # noqa: E402
from irprune.torch.capture.meta_tensors import called, meta_tensor  # noqa: E402

ATEN = torch.ops.aten


def floats(*shape: int) -> Tensor:
    return torch.ones(shape)


def halves(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.float16)


def integers(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.int64)


def swapped(*shape: int) -> Tensor:
    return torch.ones(shape).transpose(1, 2)


def last(*shape: int) -> Tensor:
    return torch.ones(shape).to(memory_format=torch.channels_last)


def recurrent(func: Any, states: int, gates: int, layers: int, both_ways: bool, batch_first: bool) -> Any:
    """A call of a recurrent layer from 4 features to 5."""
    ways = 2 if both_ways else 1
    batch = 2 if batch_first else 3
    widths = [4] + [5 * ways] * (layers - 1)
    sizes = [(width, way) for width in widths for way in range(ways)]
    weights = [
        floats(*size) for width, _ in sizes for size in ((gates * 5, width), (gates * 5, 5), (gates * 5,), (gates * 5,))
    ]
    begun = [floats(layers * ways, batch, 5)] * states
    return func, (
        floats(2, 3, 4),
        begun if states > 1 else begun[0],
        weights,
        True,
        layers,
        0.0,
        False,
        both_ways,
        batch_first,
    )


MAP = floats(2, 6, 9, 8)

CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "batch_norm": (ATEN.batch_norm.default, (MAP, *[floats(6)] * 4, False, 0.1, 1e-5, False)),
    "layer_norm": (ATEN.layer_norm.default, (MAP, [8], floats(8), floats(8))),
    "layer_norm of half": (ATEN.layer_norm.default, (halves(2, 8), [8], halves(8), halves(8))),
    "instance_norm": (ATEN.instance_norm.default, (MAP, *[None] * 4, True, 0.1, 1e-5, False)),
    "group_norm": (ATEN.group_norm.default, (MAP, 3, floats(6), floats(6))),
    "rms_norm": (ATEN.rms_norm.default, (MAP, [8], floats(8))),
    "prelu": (ATEN.prelu.default, (MAP, floats(6))),
    "matmul": (ATEN.matmul.default, (floats(2, 3, 4, 5), floats(2, 3, 5, 6))),
    "matmul broadcast": (ATEN.matmul.default, (floats(2, 3, 4, 5), floats(5, 6))),
    "mm": (ATEN.mm.default, (floats(4, 5), floats(5, 6))),
    "bmm": (ATEN.bmm.default, (floats(3, 4, 5), floats(3, 5, 6))),
    "addmm": (ATEN.addmm.default, (floats(6), floats(4, 5), floats(5, 6))),
    "linear": (ATEN.linear.default, (floats(2, 3, 5), floats(4, 5), floats(4))),
    "linear of a vector": (ATEN.linear.default, (floats(5), floats(4, 5))),
    "conv1d": (ATEN.conv1d.default, (floats(2, 6, 9), floats(4, 6, 3), floats(4), [2], [1])),
    "conv1d same": (ATEN.conv1d.padding, (floats(2, 6, 9), floats(4, 6, 3), None, [1], "same")),
    "conv2d": (ATEN.conv2d.default, (MAP, floats(4, 6, 3, 3), None, [2, 1], [1, 0], [1, 2])),
    "conv2d grouped": (ATEN.conv2d.default, (MAP, floats(12, 2, 3, 3), floats(12), [1], [1], [1], 3)),
    "conv2d valid": (ATEN.conv2d.padding, (MAP, floats(4, 6, 3, 3), None, [2, 2], "valid")),
    "conv2d same": (ATEN.conv2d.padding, (MAP, floats(4, 6, 4, 3), None, [1, 1], "same", [2, 1])),
    "conv2d of one": (ATEN.conv2d.default, (floats(6, 9, 8), floats(4, 6, 3, 3))),
    "conv2d of channels last": (ATEN.conv2d.default, (last(2, 6, 9, 8), floats(4, 6, 3, 3), floats(4))),
    "conv2d all of channels last": (ATEN.conv2d.default, (last(1, 6, 9, 8), last(4, 6, 3, 3))),
    "conv2d by channels last": (ATEN.conv2d.default, (MAP, last(4, 6, 3, 3))),
    "depthwise of channels last": (
        ATEN.conv2d.default,
        (last(1, 6, 9, 8), floats(6, 1, 3, 3), floats(6), [1], [1], [1], 6),
    ),
    "batch_norm of channels last": (
        ATEN.batch_norm.default,
        (last(2, 6, 9, 8), *[floats(6)] * 4, False, 0.1, 1e-5, False),
    ),
    "max_pool2d of channels last": (ATEN.max_pool2d.default, (last(2, 6, 9, 8), [2])),
    "adaptive_avg_pool2d of channels last": (ATEN.adaptive_avg_pool2d.default, (last(2, 6, 9, 8), [3, 2])),
    "adaptive_avg_pool2d of channels last to one": (ATEN.adaptive_avg_pool2d.default, (last(1, 6, 9, 8), [1, 1])),
    "conv3d": (ATEN.conv3d.default, (floats(1, 6, 5, 9, 8), floats(4, 6, 3, 3, 3))),
    "conv3d same": (ATEN.conv3d.padding, (floats(1, 6, 5, 9, 8), floats(4, 6, 3, 3, 3), None, [1], "same")),
    "conv_transpose1d": (ATEN.conv_transpose1d.default, (floats(2, 6, 9), floats(6, 4, 3), None, [2])),
    "conv_transpose2d": (
        ATEN.conv_transpose2d.input,
        (MAP, floats(6, 2, 3, 3), floats(4), [2, 3], [1, 0], [1, 0], 2, [1, 2]),
    ),
    "lstm": recurrent(ATEN.lstm.input, 2, 4, 1, False, False),
    "lstm of two layers": recurrent(ATEN.lstm.input, 2, 4, 2, True, True),
    "gru": recurrent(ATEN.gru.input, 1, 3, 2, True, False),
    "rnn": recurrent(ATEN.rnn_tanh.input, 1, 1, 1, False, True),
    "rnn of relu": recurrent(ATEN.rnn_relu.input, 1, 1, 1, True, False),
    "max_pool2d": (ATEN.max_pool2d.default, (MAP, [3, 3], [2, 2], [1, 1])),
    "max_pool2d by itself": (ATEN.max_pool2d.default, (MAP, [2])),
    "max_pool2d up": (ATEN.max_pool2d.default, (MAP, [3], [2], [1], [1], True)),
    "max_pool2d of one": (ATEN.max_pool2d.default, (floats(6, 9, 8), [2])),
    "avg_pool2d": (ATEN.avg_pool2d.default, (MAP, [2, 3], [2, 1], [1, 1], True, False)),
    "adaptive_avg_pool1d": (ATEN.adaptive_avg_pool1d.default, (floats(2, 6, 9), [4])),
    "adaptive_avg_pool2d": (ATEN.adaptive_avg_pool2d.default, (MAP, [1, 1])),
    "adaptive_avg_pool2d of one": (ATEN.adaptive_avg_pool2d.default, (floats(6, 9, 8), [3, 2])),
    "mean": (ATEN.mean.dim, (MAP, [-1, 1], True)),
    "mean of all": (ATEN.mean.dim, (MAP, None)),
    "sum": (ATEN.sum.dim_IntList, (MAP, [0])),
    "sum of integers": (ATEN.sum.dim_IntList, (integers(2, 3), [0])),
    "amax": (ATEN.amax.default, (MAP, [2])),
    "amax of all": (ATEN.amax.default, (MAP,)),
    "embedding": (ATEN.embedding.default, (floats(9, 5), integers(2, 3))),
    "nearest by factors": (ATEN.upsample_nearest2d.vec, (MAP, None, [1.5, 2.3])),
    "nearest to a size": (ATEN.upsample_nearest2d.vec, (MAP, [5, 20], None)),
    "bilinear": (ATEN.upsample_bilinear2d.vec, (MAP, None, False, [2.0, 0.5])),
    "pixel_shuffle": (ATEN.pixel_shuffle.default, (floats(2, 8, 3, 4), 2)),
    "cat": (ATEN.cat.default, ([MAP, floats(2, 3, 9, 8)], 1)),
    "cat of types": (ATEN.cat.default, ([MAP, integers(2, 3, 9, 8)], 1)),
    "cat with nothing": (ATEN.cat.default, ([floats(0), floats(2, 3)], 1)),
    "arange": (ATEN.arange.default, (5,)),
    "arange from": (ATEN.arange.start, (2, 5.5)),
    "arange by": (ATEN.arange.start_step, (2, 9, 3)),
    "linspace": (ATEN.linspace.default, (0.0, 1.0, 5)),
    "attention": (ATEN.scaled_dot_product_attention.default, (floats(2, 3, 5, 8), *[floats(2, 3, 7, 8)] * 2)),
    "attention of swapped": (ATEN.scaled_dot_product_attention.default, (*[swapped(2, 5, 3, 8)] * 3,)),
    "attention of others": (
        ATEN.scaled_dot_product_attention.default,
        (floats(2, 3, 5, 8), floats(2, 3, 5, 8), floats(2, 3, 5, 4)),
    ),
    "add": (ATEN.add.Tensor, (MAP, floats(6, 1, 1))),
    "add of types": (ATEN.add.Tensor, (integers(2, 3), halves(3))),
    "add of a number": (ATEN.add.Tensor, (integers(2, 3), 1.5)),
    "add of a single one": (ATEN.mul.Tensor, (halves(2, 3), torch.ones(()))),
    "divide integers": (ATEN.div.Tensor, (integers(2, 3), integers(3))),
    "compare": (ATEN.lt.Scalar, (MAP, 0.5)),
    "where": (ATEN.where.ScalarOther, (torch.ones(2, 3) > 0, floats(), -1.0)),
    "and": (ATEN.__and__.Tensor, (torch.ones(2, 3) > 0, torch.ones(3) > 0)),
    "hardswish": (ATEN.hardswish.default, (MAP,)),
    "gelu": (ATEN.gelu.default, (MAP,)),
    "of swapped": (ATEN.gelu.default, (swapped(2, 3, 4),)),
    "add of swapped": (ATEN.add.Tensor, (swapped(2, 3, 4), swapped(2, 3, 4))),
    "add to swapped": (ATEN.mul.Tensor, (floats(4, 1), swapped(2, 3, 4))),
    "add of both orders": (ATEN.add.Tensor, (swapped(2, 3, 4), floats(2, 4, 3))),
    "add of both orders for one": (ATEN.add.Tensor, (floats(1, 3, 4, 5).permute(0, 2, 3, 1), floats(1, 4, 5, 3))),
    "add of both orders and one": (ATEN.add.Tensor, (floats(1, 4, 5, 3), floats(1, 3, 4, 5).permute(0, 2, 3, 1))),
    "add of a single one to swapped": (ATEN.add.Tensor, (floats(), swapped(2, 3, 4))),
    "add of a matrix to swapped": (ATEN.add.Tensor, (floats(4, 3), swapped(2, 3, 4))),
    "add of every other": (ATEN.add.Tensor, (floats(2, 8)[:, ::2], 1)),
    "layer_norm of swapped": (ATEN.layer_norm.default, (swapped(2, 8, 4), [8], floats(8))),
    "linear of swapped": (ATEN.linear.default, (swapped(2, 8, 4), floats(3, 8), floats(3))),
    "linear of swapped, no bias": (ATEN.linear.default, (swapped(2, 8, 4), floats(3, 8))),
    "linear of one row": (ATEN.linear.default, (floats(2, 5, 8)[:, 0], floats(3, 8), floats(3))),
    "linear of columns": (ATEN.linear.default, (floats(8, 5).T, floats(3, 8))),
    "linear of swapped planes": (ATEN.linear.default, (floats(2, 3, 5, 8).permute(0, 2, 1, 3), floats(3, 8))),
    "matmul of swapped": (ATEN.matmul.default, (swapped(2, 8, 4), swapped(2, 3, 8))),
    "matmul of swapped planes": (
        ATEN.matmul.default,
        (floats(2, 5, 3, 8).transpose(1, 2), floats(2, 7, 3, 8).permute(0, 2, 3, 1)),
    ),
}

BEYOND = {
    "mean of all",
    "amax of all",
    "matmul broadcast",
    "conv2d of one",
    "max_pool2d of one",
} | {
    "sum of integers",
    "cat of types",
    "cat with nothing",
    "attention of others",
    "add of a matrix to swapped",
    "add of every other",
}
"""Cases that no rule covers."""


def told(func: Any, args: Any) -> Any:
    with torch.inference_mode():
        return called(func, pytree.tree_map_only(Tensor, meta_tensor, args), {})


def known(func: Any, args: Any) -> Any:
    mode = FakeTensorMode()
    with torch.inference_mode(), mode:
        return func(*pytree.tree_map_only(Tensor, mode.from_tensor, args))


def described(tensor: Any) -> Any:
    if not isinstance(tensor, Tensor):
        return [described(part) for part in tensor]
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


@pytest.mark.parametrize("name", CASES)
def test_a_rule_says_what_pytorch_says(name: str) -> None:
    func, args = CASES[name]
    assert described(told(func, args)) == described(known(func, args))


@pytest.mark.parametrize("name", CASES)
def test_the_rules_cover_what_they_should(name: str) -> None:
    func, args = CASES[name]
    plain = pytree.tree_map_only(Tensor, lambda tensor: meta_tensor(tensor).plain, args)
    assert (meta_rule_of(func, plain, {}) is None) == (name in BEYOND)


def test_every_rule_has_a_case() -> None:
    assert known_operators() <= {func for func, _ in CASES.values()}


WRONG: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "channels": (ATEN.conv2d.default, (MAP, floats(4, 5, 3, 3))),
    "a map that is too small": (ATEN.conv2d.default, (MAP, floats(4, 6, 11, 3))),
    "features": (ATEN.linear.default, (floats(2, 5), floats(4, 6))),
    "factors": (ATEN.matmul.default, (floats(2, 5), floats(4, 6))),
    "parts": (ATEN.cat.default, ([MAP, floats(2, 3, 9, 7)], 1)),
    "sizes": (ATEN.add.Tensor, (MAP, floats(5, 1, 1))),
    "pools": (ATEN.max_pool2d.default, (MAP, [11])),
}


@pytest.mark.parametrize("name", WRONG)
def test_operands_that_do_not_go_together_raise_what_pytorch_raises(name: str) -> None:
    func, args = WRONG[name]
    with pytest.raises(RuntimeError):
        told(func, args)


small = st.integers(1, 4)


@settings(deadline=None, max_examples=150)
@given(st.data(), st.integers(1, 3))
def test_sizes_of_convolutions(data: st.DataObject, axes: int) -> None:
    def each(numbers: st.SearchStrategy[int]) -> list[int]:
        return data.draw(st.lists(numbers, min_size=axes, max_size=axes))

    groups, ins, outs = data.draw(small), data.draw(small), data.draw(small)
    image, weight = floats(1, groups * ins, *each(st.integers(5, 12))), floats(groups * outs, ins, *each(small))
    settings = each(small), each(st.integers(0, 3)), each(st.integers(1, 2)), groups
    func = (ATEN.conv1d.default, ATEN.conv2d.default, ATEN.conv3d.default)[axes - 1]
    try:
        expected = known(func, (image, weight, None, *settings))
    except RuntimeError:
        assume(False)
    assert described(told(func, (image, weight, None, *settings))) == described(expected)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_sizes_of_pools(data: st.DataObject) -> None:
    def each(numbers: st.SearchStrategy[int]) -> list[int]:
        return data.draw(st.lists(numbers, min_size=2, max_size=2))

    kernel, stride, ceil = each(small), each(small), data.draw(st.booleans())
    padding = [data.draw(st.integers(0, size // 2)) for size in kernel]
    args = floats(1, 2, *each(st.integers(5, 12))), kernel, stride, padding
    for func, rest in ((ATEN.max_pool2d.default, ([1, 1], ceil)), (ATEN.avg_pool2d.default, (ceil,))):
        try:
            expected = known(func, (*args, *rest))
        except RuntimeError:
            assume(False)
        assert described(told(func, (*args, *rest))) == described(expected)
