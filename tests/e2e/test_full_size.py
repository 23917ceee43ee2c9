"""At published sizes, a ratio of one half leaves what halving every width leaves, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from irprune import api
from irprune.models.shufflenet import shufflenet_v2
from tests.e2e.zoo_support import FAST, write

pytestmark = pytest.mark.slow

REMAINS = {
    "alexnet": 0.267,
    "convnext_tiny": 0.261,
    "densenet121": 0.285,
    "efficientnet_b0": 0.322,
    "googlenet": 0.291,
    "inception_v3": 0.273,
    "mnasnet1_0": 0.337,
    "mobilenet_v2": 0.350,
    "mobilenet_v3_large": 0.315,
    "regnet_y_400mf": 0.280,
    "resnet50": 0.271,
    "resnext50_32x4d": 0.272,
    "shufflenet_v2_x1_0": 0.368,
    "squeezenet1_1": 0.356,
    "vgg16_bn": 0.258,
}
"""The largest share of learned parameters that may remain, to three digits."""

VERIFIED = ("resnet50", "mobilenet_v3_large")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where to put a file of up to 600 MB, which goes with the test."""
    path = tmp_path / "model.onnx"
    yield path
    for left in (path, tmp_path / "small.onnx"):
        left.unlink(missing_ok=True)


@pytest.mark.parametrize("name", REMAINS)
def test_half_the_width_is_the_share_that_remains(name: str, path: Path) -> None:
    write(name, FAST, path, full=True)
    plan = api.plan(path, ratio=0.5, align=1)
    share = plan.cost_after.params / plan.cost_before.params
    assert round(share, 3) <= REMAINS[name]
    assert share >= 0.25


@pytest.mark.parametrize("name", VERIFIED)
def test_a_full_size_model_verifies(name: str, path: Path) -> None:
    write(name, FAST, path, full=True)
    result = api.prune(path, path.with_name("small.onnx"), ratio=0.5, align=1)
    assert result.report is not None
    assert result.report.ok, result.report.failures()
    assert path.with_name("small.onnx").stat().st_size < 0.35 * path.stat().st_size


def test_shufflenet_is_as_small_as_the_same_network_built_at_half_the_width(path: Path) -> None:
    """Its stem, stages and last convolution at half of their width; the file has batch normalization folded, so the
    count leaves that out on both sides.
    """
    write("shufflenet_v2_x1_0", FAST, path, full=True)
    plan = api.plan(path, ratio=0.5, align=1)
    half = folded_parameters(widths=(58, 116, 232), stem=12, last=512)
    full = folded_parameters(widths=(116, 232, 464), stem=24, last=1024)
    assert plan.cost_before.params == full
    assert abs(plan.cost_after.params / full - half / full) < 0.002


def folded_parameters(*, widths: tuple[int, ...], stem: int, last: int) -> int:
    """Learned parameters of ShuffleNet v2 once each batch normalization is a bias of the convolution before it."""
    from torch import nn

    model = shufflenet_v2(widths=widths, stem=stem, last=last)
    norms = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    return sum(parameter.numel() for parameter in model.parameters()) - norms
