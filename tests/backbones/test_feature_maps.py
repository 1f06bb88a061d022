from __future__ import annotations

import pytest
import torch
from support.flat_network import Network

from nas.backbones import find_maps, plain_network
from nas.backbones.feature_maps import Unread, maps_of, read_maps
from nas.base.errors import SpecError


def described(backbone: str, **options: int) -> list[tuple[int, str, int, int]]:
    found = find_maps(backbone, 64, **options).all
    return [(one.stride, one.path, one.channels, one.height) for one in found]


def test_maps_are_what_blocks_give_and_no_expansion_inside_them() -> None:
    assert described("mobilenetv2_100") == [
        (2, "blocks.0.0", 16, 32),
        (4, "blocks.1.1", 24, 16),
        (8, "blocks.2.2", 32, 8),
        (16, "blocks.4.2", 96, 4),
        (32, "blocks.6.0", 320, 2),  # not the 1280 of the 1x1 convolution behind
    ]


@pytest.mark.parametrize(
    ("backbone", "strides", "last", "behind"),
    [
        ("torchvision/mobilenet_v2", (2, 4, 8, 16, 32), "features.17", "features.18"),
        ("torchvision/resnet18", (2, 4, 8, 16, 32), "layer4.1", "avgpool"),
        ("torchvision/mobilenet_v3_small", (2, 4, 8, 16, 32), "features.11", "features.12"),
        ("torchvision/densenet121", (2, 4, 8, 16, 32), "features.denseblock4", "features.norm5"),
        ("mobilenext_100", (2, 4, 8, 16, 32), "stages.7.0", "pool"),
        ("convnext_atto", (4, 8, 16, 32), "stages.3.blocks.1", "norm_pre"),
        ("torchvision/shufflenet_v2_x0_5", (2, 8, 16, 32), "stage4.3", "conv5"),  # 4: a pooling
        ("mobilenetv2_cifar", (1, 2, 4), "blocks.6", "head"),
        ("cspresnet50", (2, 4, 8, 16, 32), "stages.3", "head"),  # joined, not one branch
    ],
)
def test_maps_are_found_in_every_family(
    backbone: str, strides: tuple[int, ...], last: str, behind: str
) -> None:
    maps = find_maps(backbone, 64)
    assert tuple(one.stride for one in maps.all) == strides
    assert maps.all[-1].path == last
    assert maps.runs_behind(behind, maps.all) and not maps.runs_behind(last, maps.all)


def test_strides_are_told_on_images_whose_sides_are_odd() -> None:
    maps = find_maps("mobilenetv2_035", "33x47").all
    assert [(one.stride, one.height, one.width) for one in maps] == [
        (2, 17, 24),
        (4, 9, 12),
        (8, 5, 6),
        (16, 3, 3),
        (32, 2, 2),
    ]


def test_a_flat_network_whose_forward_reshapes_runs_without_what_is_behind() -> None:
    maps = maps_of(lambda: Network(10), 32)
    assert [(one.path, one.stride) for one in maps.all] == [
        ("first.2", 2),
        ("second.2", 4),
        ("third.2", 8),
    ]
    network, images = Network(10).eval(), torch.randn(3, 3, 32, 32)
    expected = network.third(network.second(network.first(images)))
    before = sum(item.numel() for item in network.parameters())
    maps.cut(network, maps.all)
    assert torch.equal(read_maps(network, images, ["third.2"])[0], expected)
    assert isinstance(network.squash, Unread)
    assert sum(item.numel() for item in network.parameters()) < before / 5


def test_reading_leaves_no_hook_behind() -> None:
    network = plain_network("mobilenetv2_035")
    read_maps(network, torch.zeros(1, 3, 32, 32), ["blocks.1.1"])
    assert not network.blocks[1][1]._forward_hooks  # type: ignore[index]


def test_a_network_of_tokens_has_no_maps() -> None:
    with pytest.raises(SpecError, match="gives no maps that a head could read"):
        find_maps("deit_tiny_patch16_224", 224)
