"""Every model of the zoo, of both exporters, loses half of its channels and is still what it should be.

irprune's own verification has to pass, and so has a second one that shares no code with it (``scatter``).
"""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from irprune import api
from irprune.models.zoo import ZOO
from tests.e2e import scatter
from tests.e2e.zoo_support import FAST, NOT_IN_OPSET, OLD_OPSETS, VARIANTS, Exports, Variant

REMAINS = {
    "alexnet": 0.33,
    "attention_cbam": 0.32,
    "attention_eca": 0.55,  # its residual streams are the positions of a 1-D convolution, and stay
    "attention_se": 0.28,
    "autoencoder": 0.28,
    "autoencoder_grouped": 0.28,
    "conv1d": 0.40,
    "convnext_tiny": 0.36,
    "deeplab": 0.28,
    "densenet121": 0.32,
    "edsr": 0.29,
    "efficientnet_b0": 0.32,
    "espcn": 0.45,
    "googlenet": 0.28,
    "inception_v3": 0.27,
    "maxvit_tiny": 0.28,
    "mlp": 0.48,
    "mlp_bn": 0.48,
    "mlp_residual": 0.35,
    "mnasnet1_0": 0.34,
    "mobilenet_v1": 0.33,
    "mobilenet_v2": 0.32,
    "mobilenet_v3_large": 0.28,
    "mobilenet_v3_small": 0.32,
    "raft": 0.33,
    "regnet_y_400mf": 0.29,
    "resnet18": 0.28,
    "resnet20_option_a": 0.27,
    "resnet3d": 0.28,
    "resnet50": 0.28,
    "resnext50_32x4d": 0.28,
    "shufflenet_v1": 0.60,  # three groups against shuffles by three: only the residual stream factors alike
    "shufflenet_v2_x1_0": 0.36,
    "siamese": 0.29,
    "squeezenet1_1": 0.31,
    "unet_bilinear": 0.28,
    "unet_nearest": 0.28,
    "unet_transposed": 0.28,
    "vgg16": 0.28,
    "vgg16_bn": 0.28,
    "yolov8": 0.28,
}
"""The share of learned parameters that may remain: a quarter, and what cannot shrink (inputs, outputs, biases)."""

STATISTICS = {"attention_cbam", "convnext_tiny", "maxvit_tiny", "mlp_residual"}
"""They take means or maxima over channels, so zeros in the removed places are not the same as fewer places."""

TOLERANCE = 1e-5
"""Of the output's scale. Measured: at most 7e-7, and exactly 0 in most models."""


def test_the_table_is_complete() -> None:
    assert REMAINS.keys() == ZOO.keys()


def cases() -> list[object]:
    return [
        pytest.param(name, variant, id=f"{name}-{variant}", marks=() if variant == FAST else pytest.mark.slow)
        for variant in (*VARIANTS, *OLD_OPSETS)
        for name in ZOO
        if name not in NOT_IN_OPSET.get(variant.opset or 0, ())
    ]


@pytest.mark.parametrize(("name", "variant"), cases())
def test_half_of_the_channels_go(name: str, variant: Variant, exports: Exports, tmp_path: Path) -> None:
    source, out = exports(name, variant), tmp_path / "small.onnx"
    result = api.prune(source, out, ratio=0.5, align=1, scope="local")

    assert result.report is not None
    assert result.report.structure.ok
    assert result.report.structure.problems == ()
    assert result.report.equivalence.ok
    assert result.report.equivalence.error < TOLERANCE
    batches = {case.split("batch=")[1].split(",")[0] for case in result.report.equivalence.cases if "batch=" in case}
    assert (len(batches) > 1) == variant.dynamic

    original, pruned = onnx.load(source), onnx.load(out)
    plan = result.plan
    before, after = plan.cost_before, plan.cost_after
    assert scatter.stored_numbers(original) == before.params + before.tables
    assert scatter.stored_numbers(pruned) == after.params + after.tables
    remains = REMAINS[name]
    assert remains - 0.05 < plan.cost_after.params / plan.cost_before.params <= remains
    assert plan.cost_after.macs < plan.cost_before.macs

    slices = scatter.slices_of(plan.dumps())
    assert scatter.differing_tensors(original, pruned, slices) == []
    check_that_no_dimension_loses_more_than_half(slices)
    check_against_zeros(name, original, pruned, slices, exact=all(group.exact for group in plan.groups))


def check_that_no_dimension_loses_more_than_half(slices: dict[str, dict[str, object]]) -> None:
    for tensor, part in slices.items():
        for axis, entry in part.items():
            if isinstance(entry, dict):
                assert 2 * len(entry["kept"]) >= entry["size"], f"{tensor}, axis {axis}"


def check_against_zeros(
    name: str,
    original: onnx.ModelProto,
    pruned: onnx.ModelProto,
    slices: dict[str, dict[str, object]],
    *,
    exact: bool,
) -> None:
    """The original with zeros in the removed places computes the same, unless statistics see the zeros."""
    feeds = scatter.random_feeds(original)
    got = scatter.run(pruned, feeds)
    zeroed = scatter.error(scatter.run(scatter.masked(original, pruned, slices), feeds), got)
    untouched = scatter.error(scatter.run(original, feeds), got)
    assert untouched > 100 * TOLERANCE, "the removed channels had no say, so nothing was compared"
    assert exact == (name not in STATISTICS)
    if exact:
        assert zeroed < TOLERANCE
    else:
        assert zeroed > 100 * TOLERANCE
