"""The coupled groups of known architectures are the ones that a person would write down.

Models keep their batch normalization here, since weights then have the names that they have in PyTorch. A dimension is
written ``<module>:<axis>``; vectors (biases, batch normalization) follow the weights and are left out.
"""

from __future__ import annotations

import re

import pytest

from irprune import api
from irprune.analysis import Analysis, Group
from tests.e2e.zoo_support import Exports, Variant

UNFOLDED = Variant(folded=False)
_MATRIX = 2

Dims = frozenset[str]


def analyzed(exports: Exports, name: str) -> Analysis:
    return api.analyze_model(api.open_model(exports(name, UNFOLDED)))


def dims(analysis: Analysis, group: Group) -> Dims:
    """The dimensions of weights in a group, ``.weight`` and the index inside ConvBNAct left out."""
    return frozenset(
        f"{short(member.tensor)}:{member.axis}"
        for member in group.members
        if len(analysis.graph.constants[member.tensor].shape) >= _MATRIX
    )


def short(tensor: str) -> str:
    return tensor.removesuffix(".weight")


def free(analysis: Analysis) -> set[Dims]:
    return {dims(analysis, group) for group in analysis.groups if not group.frozen}


def reasons(analysis: Analysis, dim: str) -> str:
    found = [group for group in analysis.groups if group.frozen and dim in dims(analysis, group)]
    assert found, f"{dim} is not frozen"
    return "; ".join(str(reason) for group in found for reason in group.reasons)


def group_of(analysis: Analysis, dim: str) -> Group:
    found = [group for group in analysis.groups if not group.frozen and dim in dims(analysis, group)]
    assert len(found) == 1, f"{dim} is in {len(found)} free groups"
    return found[0]


def of(*names: str) -> Dims:
    return frozenset(names)


def test_resnet_has_a_group_for_each_stream_and_one_inside_each_block(exports: Exports) -> None:
    inside = {of(f"{k}.body.0.0:0", f"{k}.body.1.0:1") for k in range(2, 8)}
    streams = {
        of("0.0:0", "2.body.0.0:1", "2.body.1.0:0", "3.body.0.0:1", "3.body.1.0:0", "4.body.0.0:1", "4.shortcut.0:1"),
        of("4.shortcut.0:0", "4.body.1.0:0", "5.body.0.0:1", "5.body.1.0:0", "6.body.0.0:1", "6.shortcut.0:1"),
        of("6.shortcut.0:0", "6.body.1.0:0", "7.body.0.0:1", "7.body.1.0:0", "8.3:1"),
    }
    assert free(analyzed(exports, "resnet18")) == inside | streams


def test_resnet_freezes_its_ends_and_its_windows(exports: Exports) -> None:
    analysis = analyzed(exports, "resnet18")
    assert reasons(analysis, "0.0:1") == "graph input 'input'"
    assert re.fullmatch(r"graph output '\w+'", reasons(analysis, "8.3:0"))
    for axis in (2, 3):
        assert "the window of a convolution slides over it" in reasons(analysis, f"0.0:{axis}")
    shapes = {name: constant.shape for name, constant in analysis.graph.constants.items()}
    windows = {f"{short(name)}:{k}" for name, shape in shapes.items() for k in range(2, len(shape)) if shape[k] > 1}
    frozen = {dim for group in analysis.groups if group.frozen for dim in dims(analysis, group)}
    assert frozen == windows | {"0.0:1", "8.3:0"}


def test_every_parameter_of_batch_normalization_follows_its_channels(exports: Exports) -> None:
    analysis = analyzed(exports, "resnet18")
    members = {f"{member.tensor}:{member.axis}" for member in group_of(analysis, "2.body.0.0:0").members}
    assert members == {
        "2.body.0.0.weight:0",
        "2.body.1.0.weight:1",
        *(f"2.body.0.1.{name}:0" for name in ("weight", "bias", "running_mean", "running_var")),
    }


def test_zero_padded_shortcuts_split_a_stream_into_where_it_came_from(exports: Exports) -> None:
    """Option A: 8 channels stand in the middle of 16, which stand in the middle of 32."""
    analysis = analyzed(exports, "resnet20_option_a")
    sizes = sorted(g.size for g in analysis.groups if not g.frozen and "7.3:1" in dims(analysis, g))
    assert sizes == [4, 4, 8, 8, 8]
    assert group_of(analysis, "0.0:0").size == 8


def test_expansion_and_depthwise_convolution_are_one_group(exports: Exports) -> None:
    expansions = {of("0.0:0", "1.0.0:0", "1.1.0:1")}
    for block in ("2", "3.body", "4", "5.body", "6.body", "7", "8.body"):
        expansions.add(of(f"{block}.0.0:0", f"{block}.1.0:0", f"{block}.2.0:1"))
    streams = {
        of("1.1.0:0", "2.0.0:1"),
        of("2.2.0:0", "3.body.0.0:1", "3.body.2.0:0", "4.0.0:1"),
        of("4.2.0:0", "5.body.0.0:1", "5.body.2.0:0", "6.body.0.0:1", "6.body.2.0:0", "7.0.0:1"),
        of("7.2.0:0", "8.body.0.0:1", "8.body.2.0:0", "9.0:1"),
        of("9.0:0", "10.3:1"),
    }
    assert free(analyzed(exports, "mobilenet_v2")) == expansions | streams


def test_a_squeeze_is_its_own_group_and_the_gate_belongs_to_its_channels(exports: Exports) -> None:
    found = free(analyzed(exports, "mobilenet_v3_small"))
    for block in ("5.body", "6.body", "7.body"):
        squeeze, gate = f"{block}.2.scale.1", f"{block}.2.scale.3"
        assert of(f"{squeeze}:0", f"{gate}:1") in found
        assert of(f"{block}.0.0:0", f"{block}.1.0:0", f"{squeeze}:1", f"{gate}:0", f"{block}.3.0:1") in found


def test_linear_squeeze_and_excite_joins_the_residual_stream(exports: Exports) -> None:
    found = free(analyzed(exports, "attention_se"))
    assert of("1.body.2.gate.0:0", "1.body.2.gate.2:1") in found
    stream = next(group for group in found if "0.0:0" in group)
    assert {"1.body.2.gate.0:1", "1.body.2.gate.2:0", "2.body.2.gate.0:1", "2.body.2.gate.2:0"} <= stream


def test_channels_under_a_one_dimensional_convolution_are_frozen(exports: Exports) -> None:
    analysis = analyzed(exports, "attention_eca")
    assert free(analysis) == {of(f"{k}.body.0.0:0", f"{k}.body.1.0:1") for k in range(1, 5)}
    assert "the window of a convolution slides over it" in reasons(analysis, "0.0:0")
    assert "the window of a convolution slides over it" in reasons(analysis, "3.body.1.0:0")


def test_a_layer_of_densenet_feeds_all_later_ones(exports: Exports) -> None:
    found = free(analyzed(exports, "densenet121"))
    assert of("0.0:0", "2.layers.0.2.0:1", "2.layers.1.2.0:1", "5:1") in found
    assert of("2.layers.0.3:0", "2.layers.1.2.0:1", "5:1") in found
    assert of("2.layers.1.3:0", "5:1") in found
    assert of("7.layers.0.3:0", "7.layers.1.2.0:1", "7.layers.2.2.0:1", "10:1") in found
    assert of("7.layers.0.2.0:0", "7.layers.0.3:1") in found
    assert of("12.layers.1.3:0", "15.3:1") in found


def test_branches_of_googlenet_are_separate_and_meet_in_the_readers(exports: Exports) -> None:
    found = free(analyzed(exports, "googlenet"))
    readers = {f"6.branches.{branch}:1" for branch in ("0.0", "1.0.0", "2.0.0", "3.1.0")}
    for branch in ("0.0", "1.1.0", "2.1.0", "3.1.0"):
        assert readers | {f"5.branches.{branch}:0"} in found


def test_shuffled_halves_of_a_stage_are_one_group(exports: Exports) -> None:
    analysis = analyzed(exports, "shufflenet_v2_x1_0")
    stage = group_of(analysis, "6.branch.2.0:0")
    assert dims(analysis, stage) == of(
        *("5.0.branches.0.1.0:0", "5.0.branches.1.2.0:0"),
        *("6.branch.0.0:1", "6.branch.2.0:0", "7.branch.0.0:1", "7.branch.2.0:0", "8.0:1"),
    )
    assert of("6.branch.0.0:0", "6.branch.1.0:0", "6.branch.2.0:1") in free(analysis)


def test_both_halves_of_c2f_are_groups_of_their_own(exports: Exports) -> None:
    analysis = analyzed(exports, "yolov8")
    found = free(analysis)
    # The backbone adds a bottleneck's result to the half that it read; the neck does not.
    assert of("p3.2.enter.0:0", "p3.2.leave.0:1") in found
    assert of("p3.2.enter.0:0", "p3.2.steps.0.body.0.0:1", "p3.2.steps.0.body.1.0:0", "p3.2.leave.0:1") in found
    assert of("up4.enter.0:0", "up4.leave.0:1") in found
    assert of("up4.enter.0:0", "up4.steps.0.0.0:1", "up4.leave.0:1") in found
    assert of("up4.steps.0.1.0:0", "up4.leave.0:1") in found
    # The pyramid: one map goes to the head, to the next scale and back.
    assert of("up3.leave.0:0", "down3.0:1", "detect.box.0.0.0:1", "detect.cls.0.0.0:1") in found
    assert "softmax" in reasons(analysis, "detect.box.0.2:0")
    assert "graph output" in reasons(analysis, "detect.cls.0.2:0")


def test_unet_skips_couple_an_encoder_with_its_decoder(exports: Exports) -> None:
    found = free(analyzed(exports, "unet_transposed"))
    assert of("down.0.1.0:0", "down.1.0.0:1", "fuse.1.0.0:1") in found
    assert of("down.1.1.0:0", "down.2.0.0:1", "fuse.0.0.0:1") in found
    assert of("up.0:1", "fuse.0.0.0:1") in found
    assert of("down.2.1.0:0", "up.0:0") in found


@pytest.mark.parametrize(("name", "block"), [("resnext50_32x4d", "3.body"), ("regnet_y_400mf", "2.body")])
def test_grouped_convolutions_offer_groups_and_channels_on_both_sides(exports: Exports, name: str, block: str) -> None:
    analysis = analyzed(exports, name)
    by_kind = {
        (group.kind, f"{block}.0.0:0" in dims(analysis, group), f"{block}.1.0:0" in dims(analysis, group)): group
        for group in analysis.groups
        if not group.frozen and any(dim.startswith(f"{block}.1.0:") for dim in dims(analysis, group))
    }
    assert by_kind.keys() == {("groups", True, True), ("channels", True, False), ("channels", False, True)}


def test_statistics_over_channels_are_told(exports: Exports) -> None:
    for name in ("convnext_tiny", "mlp_residual", "attention_cbam"):
        analysis = analyzed(exports, name)
        assert any(not group.exact for group in analysis.groups if not group.frozen)
        assert any(group.exact for group in analysis.groups if not group.frozen)
    assert all(group.exact for group in analyzed(exports, "resnet50").groups)


def test_what_becomes_space_is_frozen_and_what_stays_a_channel_is_not(exports: Exports) -> None:
    """DepthToSpace takes factors of a dimension apart: the blocks are positions, the rest are channels."""
    espcn = analyzed(exports, "espcn")
    assert free(espcn) == {of("0:0", "2:1"), of("2:0", "4:1")}
    assert "it becomes space" in reasons(espcn, "4:0")
    edsr = analyzed(exports, "edsr")
    assert of("tail.0.0:0", "tail.1.0:1") in free(edsr)
    assert "it becomes space" in reasons(edsr, "tail.0.0:0")


def test_towers_with_shared_weights_stay_tied(exports: Exports) -> None:
    analysis = analyzed(exports, "siamese")
    assert of("tower.0.0:0", "tower.1.0:1") in free(analysis)
    assert reasons(analysis, "tower.0.0:1") == "graph input 'input_0'; graph input 'input_1'"
    embedding = group_of(analysis, "tower.5:0")
    assert embedding.size == 12
    assert dims(analysis, embedding) == of("tower.5:0", "head.0:1")


def test_layers_between_flattened_images_are_pruned_by_channel(exports: Exports) -> None:
    """A channel of the last map is a block of columns of the first linear layer."""
    analysis = analyzed(exports, "alexnet")
    group = group_of(analysis, "10:0")
    assert dims(analysis, group) == of("10:0", "16:1")
    assert group.size == analysis.graph.constants["10.weight"].shape[0]
    assert analysis.graph.constants["16.weight"].shape[1] > group.size
