"""Faults put into the rewriter and the emitter, one at a time: the verification has to catch each of them.

The plan is made with the fault in place. A rewriter that takes the wrong indices says so in its plan, so that the
comparison of weights agrees with it and only the numbers can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as oir
import pytest

from irprune import api
from irprune.analysis import Shuffled, kept_mask
from irprune.axes import size_of
from irprune.backends import onnx as backend
from irprune.ir import Constant, Node
from irprune.request import Request
from irprune.rewriting import decide, slicing
from irprune.verification import Report
from irprune.verification.driver import verify_models
from tests.golden.passes_support import model_of, normal, statistics

Patch = pytest.MonkeyPatch
Kept = dict[int, tuple[int, ...]]
Rewriter = slicing._Rewriter
Emitter = backend._Emitter


def carry_out(model: onnx.ModelProto, patch: Callable[[Patch], None] | None = None) -> Report:
    """Plan, rewrite and verify with a fault, if one is given: as in a release that has it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if patch is not None:
            patch(monkeypatch)
        source = api.open_model(model)
        analysis = api.analyze_model(source)
        plan = decide(analysis, Request(ratio=0.5)).of(source.identity).plan
        small = oir.to_proto(api.apply_to(source, plan, analysis))  # reads all constants, while the fault is there
        return verify_models(model, small, plan)


# -- models ------------------------------------------------------------------------------------------------------------


def plain() -> onnx.ModelProto:
    """Two convolutions with a square weight between, batch normalization and a classifier."""
    weights = {
        "w1": normal(8, 3, 3, 3),
        "b1": normal(8),
        "w2": normal(8, 8, 3, 3),
        "w3": normal(5, 8),
        "b3": normal(5),
    }
    return model_of(
        """g (float[N, 3, 6, 6] x) => (float[N, 5] y) {
            a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
            r = Relu(a)
            c = Conv <pads = [1, 1, 1, 1]> (r, w2)
            n = BatchNormalization(c, g, b, m, v)
            s = Relu(n)
            p = GlobalAveragePool(s)
            f = Flatten(p)
            y = Gemm <transB = 1> (f, w3, b3)
        }""",
        {**weights, **statistics(8)},
    )


def depthwise() -> onnx.ModelProto:
    return model_of(
        """g (float[1, 3, 6, 6] x) => (float[1, 4, 4, 4] y) {
            a = Conv(x, w1)
            d = Conv <group = 8, pads = [1, 1, 1, 1]> (a, w2)
            y = Conv(d, w3)
        }""",
        {"w1": normal(8, 3, 3, 3), "w2": normal(8, 1, 3, 3), "w3": normal(4, 8, 1, 1)},
    )


def reshaped(batch: str = "1") -> onnx.ModelProto:
    """Channels and positions flattened by a shape operand."""
    leading = 1 if batch == "1" else -1
    return model_of(
        f"""g (float[{batch}, 3, 3, 3] x) => (float[{batch}, 5] y) {{
            a = Conv(x, w1)
            f = Reshape(a, shape)
            y = MatMul(f, w2)
        }}""",
        {"w1": normal(8, 3, 2, 2), "w2": normal(32, 5), "shape": np.array([leading, 32])},
    )


def reshaped_with_open_batch() -> onnx.ModelProto:
    return reshaped("N")


def divided() -> onnx.ModelProto:
    """A split into parts of unequal size, each read by a convolution of its own."""
    return model_of(
        """g (float[1, 3, 4, 4] x) => (float[1, 4, 4, 4] y) {
            a = Conv(x, w1)
            l, r = Split <axis = 1> (a, sizes)
            u = Conv(l, w2)
            t = Conv(r, w3)
            y = Add(u, t)
        }""",
        {
            "w1": normal(12, 3, 1, 1),
            "w2": normal(4, 4, 1, 1),
            "w3": normal(4, 8, 1, 1),
            "sizes": np.array([4, 8]),
        },
    )


def joined() -> onnx.ModelProto:
    """A concatenation of two convolutions of equal width."""
    return model_of(
        """g (float[1, 3, 4, 4] x) => (float[1, 4, 4, 4] y) {
            a = Conv(x, w1)
            e = Conv(x, w2)
            j = Concat <axis = 1> (a, e)
            y = Conv(j, w3)
        }""",
        {"w1": normal(8, 3, 1, 1, seed=1), "w2": normal(8, 3, 1, 1, seed=2), "w3": normal(4, 16, 1, 1)},
    )


def padded() -> onnx.ModelProto:
    """Zero channels before and after, as in a shortcut without parameters."""
    return model_of(
        """g (float[1, 3, 4, 4] x) => (float[1, 5, 4, 4] y) {
            a = Conv(x, w1)
            z = Pad(a, pads)
            e = Conv(a, w2)
            s = Add(z, e)
            y = Conv(s, w3)
        }""",
        {
            "w1": normal(8, 3, 1, 1),
            "w2": normal(16, 8, 1, 1),
            "w3": normal(5, 16, 1, 1),
            "pads": np.array([0, 4, 0, 0, 0, 4, 0, 0]),
        },
    )


def shared() -> onnx.ModelProto:
    """One vector scales two layers, which lose different channels."""
    return model_of(
        """g (float[N, 4] x) => (float[N, 3] y) {
            a = MatMul(x, w1)
            h = Mul(a, k)
            c = MatMul(h, w2)
            s = Mul(c, k)
            y = MatMul(s, w3)
        }""",
        {"w1": normal(4, 8), "k": normal(8), "w2": normal(8, 8), "w3": normal(8, 3)},
    )


def shuffled() -> onnx.ModelProto:
    """Channels of two groups interleaved by reshape, transpose, reshape."""
    return model_of(
        """g (float[1, 3, 4, 4] x) => (float[1, 5, 4, 4] y) {
            a = Conv(x, w1)
            v = Reshape(a, apart)
            t = Transpose <perm = [0, 2, 1, 3, 4]> (v)
            m = Reshape(t, together)
            d, e = Split <axis = 1> (m, sizes)
            q = Conv(d, w2)
            j = Concat <axis = 1> (q, e)
            y = Conv(j, w3)
        }""",
        {
            "w1": normal(16, 3, 1, 1),
            "w2": normal(8, 8, 1, 1),
            "w3": normal(5, 16, 1, 1),
            "apart": np.array([1, 2, 8, 4, 4]),
            "together": np.array([1, 16, 4, 4]),
            "sizes": np.array([8, 8]),
        },
    )


def picked() -> onnx.ModelProto:
    """Channels chosen, in another order and one of them twice, by a constant Gather."""
    return model_of(
        """g (float[N, 4] x) => (float[N, 3] y) {
            a = MatMul(x, w1)
            p = Gather <axis = 1> (a, indices)
            y = MatMul(p, w2)
        }""",
        {"w1": normal(4, 8), "w2": normal(8, 3), "indices": np.array([7, 2, 0, 5, 5, 1, 4, 3])},
    )


def recurrent() -> onnx.ModelProto:
    weights = {"w": normal(1, 32, 4), "r": normal(1, 32, 8), "b": normal(1, 64), "w2": normal(8, 3)}
    return model_of(
        """g (float[5, N, 4] x) => (float[5, N, 3] y) {
            h, last, cell = LSTM <hidden_size = 8> (x, w, r, b)
            s = Squeeze(h, axes)
            y = MatMul(s, w2)
        }""",
        {**weights, "axes": np.array([1])},
    )


def group_normalized() -> onnx.ModelProto:
    """The shape inference of onnx knows nothing of GroupNormalization, so its result is declared, as exporters do."""
    return model_of(
        """g (float[1, 3, 4, 4] x) => (float[1, 5, 4, 4] y) <float[1, 16, 4, 4] n> {
            a = Conv(x, w1)
            n = GroupNormalization <num_groups = 4> (a, k, b)
            y = Conv(n, w2)
        }""",
        {"w1": normal(16, 3, 1, 1), "k": normal(16, seed=1), "b": normal(16, seed=2), "w2": normal(5, 16, 1, 1)},
        opset=21,
    )


# -- faults ------------------------------------------------------------------------------------------------------------


def choose(tensor: str, change: Callable[[Kept, tuple[int, ...]], Kept]) -> Callable[[Patch], None]:
    """Another choice of indices for one tensor; ``change`` gets the right one and the tensor's shape."""

    def patch(monkeypatch: Patch) -> None:
        right = Rewriter._slice_constant

        def wrong(self: Any, name: str, variants: dict[Any, Any]) -> None:
            if name == tensor:
                shape = self.constants[name].shape
                changed = {tuple(sorted(change(dict(kept), shape).items())): uses for kept, uses in variants.items()}
                assert changed.keys() != variants.keys(), "the fault changes nothing"
                variants = changed
            right(self, name, variants)

        monkeypatch.setattr(Rewriter, "_slice_constant", wrong)

    return patch


def shifted(axis: int) -> Callable[[Kept, tuple[int, ...]], Kept]:
    """Off by one."""
    return lambda kept, shape: {**kept, axis: tuple(sorted((k + 1) % shape[axis] for k in kept[axis]))}


def first_ones(axis: int) -> Callable[[Kept, tuple[int, ...]], Kept]:
    return lambda kept, shape: {**kept, axis: tuple(range(len(kept[axis])))}


def swapped_axes(kept: Kept, shape: tuple[int, ...]) -> Kept:
    return {0: kept[1], 1: kept[0]}


def descending(kept: Kept, shape: tuple[int, ...]) -> Kept:
    return {axis: tuple(reversed(indices)) for axis, indices in kept.items()}


def other_order_of_parts(kept: Kept, shape: tuple[int, ...]) -> Kept:
    """As if the second operand of the concatenation came first: every index is off by the wrong offset."""
    half = shape[1] // 2
    return {**kept, 1: tuple(sorted((k + half) % shape[1] for k in kept[1]))}


def gates_inside(kept: Kept, shape: tuple[int, ...]) -> Kept:
    """The dimension of the gates read as (hidden, gates) where it is (gates, hidden)."""
    hidden = [k for k in kept[1] if k < shape[1] // 4]
    return {**kept, 1: tuple(4 * k + gate for k in hidden for gate in range(4))}


def of_another_group(kept: Kept, shape: tuple[int, ...]) -> Kept:
    """The complement: what a group that loses the other half keeps."""
    return {0: tuple(k for k in range(shape[0]) if k not in kept[0])}


def one_copy_for_all(monkeypatch: Patch) -> None:
    """No private copies: every use of a constant gets the slice of the first."""
    right = Rewriter._slice_constant

    def wrong(self: Any, name: str, variants: dict[Any, list[Any]]) -> None:
        uses = [use for variant in variants.values() for use in variant]
        right(self, name, {next(iter(variants)): uses})

    monkeypatch.setattr(Rewriter, "_slice_constant", wrong)


def copies_mixed_up(monkeypatch: Patch) -> None:
    """Private copies are made, and go to each other's uses."""
    right = Rewriter._slice_constant

    def wrong(self: Any, name: str, variants: dict[Any, list[Any]]) -> None:
        uses = list(variants.values())
        right(self, name, dict(zip(variants, [*uses[1:], uses[0]], strict=True)))

    monkeypatch.setattr(Rewriter, "_slice_constant", wrong)


def stale_operand(op: str) -> Callable[[Patch], None]:
    """An operand that spells sizes out stays as it was."""

    def patch(monkeypatch: Patch) -> None:
        right = Rewriter._fix

        def wrong(self: Any, node: Node, name: str, wanted: list[Any]) -> str:
            return name if node.op == op else right(self, node, name, wanted)

        monkeypatch.setattr(Rewriter, "_fix", wrong)

    return patch


def reversed_sizes(monkeypatch: Patch) -> None:
    right = Rewriter._fix

    def wrong(self: Any, node: Node, name: str, wanted: list[Any]) -> str:
        return right(self, node, name, wanted[::-1] if node.op == "Split" else wanted)

    monkeypatch.setattr(Rewriter, "_fix", wrong)


def stale_attribute(attribute: str) -> Callable[[Patch], None]:
    def patch(monkeypatch: Patch) -> None:
        right = Rewriter._follow_attribute

        def wrong(self: Any, bound: Any, name: str, follower: Any, attributes: Any) -> None:
            if name != attribute:
                right(self, bound, name, follower, attributes)

        monkeypatch.setattr(Rewriter, "_follow_attribute", wrong)

    return patch


def indices_as_they_were(monkeypatch: Patch) -> None:
    """Kept indices still count among the old elements."""

    def wrong(self: Any, source: Any, result: Any, indices: Sequence[int]) -> Any:
        kept = kept_mask(result, self.kept)
        return np.asarray(tuple(indices), dtype=np.int64)[kept]

    monkeypatch.setattr(Rewriter, "_renumbered", wrong)


def indices_in_order(monkeypatch: Patch) -> None:
    """The permutation is lost."""
    right = Rewriter._renumbered

    def wrong(self: Any, source: Any, result: Any, indices: Sequence[int]) -> Any:
        return np.sort(right(self, source, result, indices))

    monkeypatch.setattr(Rewriter, "_renumbered", wrong)


def chains_in_any_order(monkeypatch: Patch) -> None:
    """A chain is kept though the channels stand in another order than it needs."""
    monkeypatch.setattr(Shuffled, "orders", lambda self, kept: {})
    monkeypatch.setattr(
        Rewriter,
        "_resizing",
        lambda self, region, source: next(
            region.resizings(size_of(source).coefficient, self._size(source).coefficient)
        ),
    )


def chain_sizes_as_they_were(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Rewriter, "_resize", lambda self, region, resizing: None)


def take_from_the_front(monkeypatch: Patch) -> None:
    """The plan is right; what is read is not."""
    right = Constant.take

    def wrong(self: Constant, kept: Any) -> Constant:
        return right(self, {axis: np.arange(len(indices)) for axis, indices in kept.items()})

    monkeypatch.setattr(Constant, "take", wrong)


def take_transposed(monkeypatch: Patch) -> None:
    """A square matrix comes out with its axes exchanged."""
    right = Constant.take

    def wrong(self: Constant, kept: Any) -> Constant:
        sliced = right(self, kept)
        if len(kept) < 2 or len(set(sliced.shape[:2])) > 1:
            return sliced
        return replace(sliced, read=lambda: sliced.numpy().swapaxes(0, 1))

    monkeypatch.setattr(Constant, "take", wrong)


def written(tensor: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Patch], None]:
    """The emitter writes something else for one tensor."""

    def patch(monkeypatch: Patch) -> None:
        def wrong(constant: Constant, dtype: oir.DataType, name: str) -> oir.TensorProtocol:
            array = constant.numpy()
            return oir.Tensor(change(array.copy()) if name == tensor else array, dtype=dtype, name=name)

        monkeypatch.setattr(backend, "_tensor", wrong)

    return patch


def lowest_bit(array: np.ndarray) -> np.ndarray:
    array.reshape(-1).view(np.uint32)[0] ^= 1
    return array


def not_written(tensor: str) -> Callable[[Patch], None]:
    """The emitter leaves a tensor as it was."""

    def patch(monkeypatch: Patch) -> None:
        right = Emitter._constant

        def wrong(self: Any, name: str, constant: Constant) -> None:
            if name != tensor:
                right(self, name, constant)

        monkeypatch.setattr(Emitter, "_constant", wrong)

    return patch


def nodes_unchanged(monkeypatch: Patch) -> None:
    """The emitter forgets new operands and attributes."""
    monkeypatch.setattr(Emitter, "_change", lambda *arguments: None)


# -- what catches them -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """``first`` is the tensor at which the pruned model leaves the reference, ``None`` where it does not run."""

    name: str
    model: Callable[[], onnx.ModelProto]
    fault: Callable[[Patch], None]
    structure: bool
    equivalence: bool
    first: str | None = None


def silent(name: str, model: Callable[[], onnx.ModelProto], fault: Callable[[Patch], None], first: str) -> Case:
    """All sizes fit, and weights agree with the plan, since the fault is in both: only numbers tell."""
    return Case(name, model, fault, True, False, first)


def stopped(name: str, model: Callable[[], onnx.ModelProto], fault: Callable[[Patch], None]) -> Case:
    """Sizes contradict each other: ONNX Runtime refuses, and so does the count of what the masks leave."""
    return Case(name, model, fault, False, False)


CASES = (
    silent("off-by-one", plain, choose("w2", shifted(1)), "c"),
    silent("off-by-one-outputs", plain, choose("w1", shifted(0)), "a"),
    silent("axes-exchanged", plain, choose("w2", swapped_axes), "c"),
    silent("first-ones", plain, choose("w2", first_ones(0)), "c"),
    silent("order-reversed", plain, choose("w1", descending), "a"),
    silent("bias-off-by-one", plain, choose("b1", shifted(0)), "a"),
    silent("mean-of-another-group", plain, choose("m", of_another_group), "n"),
    silent("variance-of-another-group", plain, choose("v", of_another_group), "n"),
    silent("classifier-off-by-one", plain, choose("w3", shifted(1)), "y"),
    silent("offset-in-concatenation", joined, choose("w3", other_order_of_parts), "y"),
    silent("no-private-copy", shared, one_copy_for_all, "s"),
    silent("private-copies-mixed-up", shared, copies_mixed_up, "h"),
    silent("shuffle-in-any-order", shuffled, chains_in_any_order, "m"),
    silent("gates-inside-hidden", recurrent, choose("w", gates_inside), "h"),
    Case("gather-in-order", picked, indices_in_order, False, False, "p"),
    Case("number-of-groups", group_normalized, stale_attribute("num_groups"), False, False, "n"),
    Case("one-bit", plain, written("w3", lowest_bit), False, True),
    Case("taken-from-the-front", plain, take_from_the_front, False, False, "a"),
    Case("transposed", plain, take_transposed, False, False, "c"),
    Case("rows-written-backwards", plain, written("w1", lambda array: array[::-1].copy()), False, False, "a"),
    Case("scaled", plain, written("b1", lambda array: 2 * array), False, False, "a"),
    stopped("not-written", plain, not_written("w2")),
    stopped("gather-not-renumbered", picked, indices_as_they_were),
    stopped("shuffle-sizes-as-they-were", shuffled, chain_sizes_as_they_were),
    stopped("groups-of-a-convolution", depthwise, stale_attribute("group")),
    stopped("shape-operand", reshaped, stale_operand("Reshape")),
    stopped("shape-operand-with-open-batch", reshaped_with_open_batch, stale_operand("Reshape")),
    stopped("split-sizes-exchanged", divided, reversed_sizes),
    stopped("split-sizes", divided, stale_operand("Split")),
    stopped("pads", padded, stale_operand("Pad")),
    stopped("hidden-size", recurrent, stale_attribute("hidden_size")),
    stopped("nodes-unchanged", divided, nodes_unchanged),
)

MODELS = tuple(dict.fromkeys(case.model for case in CASES))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_without_a_fault_all_is_well(model: Callable[[], onnx.ModelProto]) -> None:
    report = carry_out(model())
    assert report.ok, report.failures()
    assert report.equivalence.error < 1e-5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_is_caught(case: Case) -> None:
    report = carry_out(case.model(), case.fault)
    assert (report.structure.ok, report.equivalence.ok) == (case.structure, case.equivalence), report.failures()
    assert not report.ok
    if case.first is not None:
        assert report.equivalence.first is not None
        assert report.equivalence.first.tensor == case.first
    elif not report.equivalence.ok:
        assert any("ONNX Runtime stops in the pruned model" in problem for problem in report.equivalence.problems)
