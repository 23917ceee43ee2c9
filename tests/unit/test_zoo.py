"""The reference architectures: their size against the published one, and their random weights."""

from __future__ import annotations

import pytest
import torch

from irprune.models.export import example_inputs, randomize
from irprune.models.zoo import ZOO

PARAMETERS = {
    "alexnet": 61_100_840,
    "convnext_tiny": 28_589_128,
    "densenet121": 7_978_856,
    "efficientnet_b0": 5_288_548,
    "googlenet": 6_624_904,
    "inception_v3": 23_834_568,
    "maxvit_tiny": 30_919_624,
    "mnasnet1_0": 4_383_312,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "raft": 5_257_536,
    "regnet_y_400mf": 4_344_144,
    "resnet18": 11_689_512,
    "resnet20_option_a": 269_722,
    "resnet50": 25_557_032,
    "resnext50_32x4d": 25_028_904,
    "shufflenet_v1": 1_865_728,
    "shufflenet_v2_x1_0": 2_278_604,
    "squeezenet1_1": 1_235_496,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count(name: str) -> None:
    with torch.device("meta"):
        model = ZOO[name].build()
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", ZOO)
def test_tiny_is_small(name: str) -> None:
    assert sum(parameter.numel() for parameter in ZOO[name].tiny().parameters()) < 500_000


@pytest.mark.parametrize("name", ZOO)
def test_randomise_depends_on_the_seed_alone(name: str) -> None:
    first, same, other = (ZOO[name].tiny() for _ in range(3))
    randomize(first, 7)
    randomize(same, 7)
    randomize(other, 8)
    left, right = first.state_dict(), same.state_dict()
    assert all(torch.equal(left[key], right[key]) for key in left)
    assert all(
        not torch.equal(value, different)
        for value, different in zip(first.parameters(), other.parameters(), strict=True)
    )


def test_randomise_leaves_no_batch_norm_near_the_identity() -> None:
    model = ZOO["resnet18"].tiny()
    randomize(model, 0)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            assert all(values.std() > 0.02 for values in (layer.running_mean, layer.weight, layer.bias))
            assert 0.5 <= layer.running_var.min() < layer.running_var.max() <= 1.5


@pytest.mark.parametrize("name", ZOO)
def test_randomised_model_distinguishes_its_inputs(name: str) -> None:
    model = ZOO[name].tiny().eval()
    randomize(model, 0)
    with torch.no_grad():
        outputs = model(*example_inputs(ZOO[name].tiny_shape, batch=4))
    for output in outputs if isinstance(outputs, tuple) else (outputs,):
        assert output.isfinite().all()
        assert output.abs().max() < 1e4
        assert output.std(0).max() > 1e-2
