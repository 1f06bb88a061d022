from __future__ import annotations

import pytest
import torch

from nas.backbones import check_backbone, find_sites, plain_network
from nas.errors import SpecError
from nas.networks import build, uniform


def test_mobilenetv2_has_the_sites_of_the_paper() -> None:
    sites = find_sites("mobilenetv2_100")
    assert len(sites) == 17
    first, second, last = sites[0], sites[1], sites[-1]
    assert (first.name, first.channels, first.height) == ("blocks.0.0/after_depthwise", 32, 112)
    assert (second.name, second.channels, second.height) == ("blocks.1.0/after_depthwise", 96, 56)
    assert (last.name, last.channels, last.height) == ("blocks.6.0/after_depthwise", 960, 7)
    assert [site.stage for site in sites[:3]] == ["blocks.0", "blocks.1", "blocks.1"]
    assert not any(site.filled for site in sites)


def test_torchvision_mobilenetv2_has_the_same_maps() -> None:
    ours = [(site.channels, site.height, site.width) for site in find_sites("mobilenetv2_100")]
    theirs = find_sites("torchvision/mobilenet_v2")
    assert [(site.channels, site.height, site.width) for site in theirs] == ours


def test_filled_slots_are_seen() -> None:
    assert all(site.filled for site in find_sites("efficientnet_b0"))


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv1_100",
        "mobilenetv3_small_050",
        "mobilenetv4_conv_small_050",
        "mnasnet_small",
        "mixnet_s",
        "ghostnet_050",
        "rexnet_100",
        "efficientnet_lite0",
    ],
)
def test_other_families_take_blocks(name: str) -> None:
    architecture = uniform(name, "eca", resolution=64)
    assert len(architecture.blocks) >= 5
    network = build(architecture, num_classes=7)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize(("stride", "side"), [(32, 1), (16, 2), (8, 4), (4, 8)])
def test_total_stride_keeps_a_map(stride: int, side: int) -> None:
    last = find_sites("mobilenetv2_035", 32, stride)[-1]
    assert (last.height, last.width) == (side, side)


def test_total_stride_unstrides_the_stem_first() -> None:
    network = plain_network("mobilenetv2_035", total_stride=16)
    assert network.get_submodule("conv_stem").stride == (1, 1)
    assert network.get_submodule("blocks.1.0.conv_dw").stride == (2, 2)


def test_equal_seeds_give_equal_weights_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (plain_network("mobilenetv2_035", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    stem = "conv_stem.weight"
    assert torch.equal(one.state_dict()[stem], two.state_dict()[stem])
    assert not torch.equal(one.state_dict()[stem], other.state_dict()[stem])


@pytest.mark.parametrize("name", ["mobilenetv2_1000", "", "torchvision/resnet", " mobilenetv2_100"])
def test_unknown_backbone_names_near_ones(name: str) -> None:
    with pytest.raises(SpecError, match="unknown backbone"):
        check_backbone(name)


def test_near_names_are_offered() -> None:
    with pytest.raises(SpecError, match="mobilenetv2_100"):
        check_backbone("mobilenet_v2_100")


def test_a_network_without_slots_is_refused() -> None:
    with pytest.raises(SpecError, match="has no site"):
        find_sites("resnet18")


def test_a_total_stride_above_its_own_is_refused() -> None:
    from nas.backbones.stride import layers_to_unstride

    with pytest.raises(SpecError, match="at most its own, 32"):
        layers_to_unstride(plain_network("mobilenetv2_035"), 64, "mobilenetv2_035")


def test_pretrained_weights_out_of_reach_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nas.backbones import timm_networks

    def unreachable(*_arguments: object, **_options: object) -> None:
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(timm_networks.timm, "create_model", unreachable)
    with pytest.raises(SpecError, match="no pretrained weights.*weights=train") as caught:
        plain_network("mobilenetv2_035", pretrained=True)
    assert "\n" not in str(caught.value)
