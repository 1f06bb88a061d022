"""A dilated end (`output_stride`), against the same in timm and torchvision."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from nas.backbones import find_maps, find_sites, plain_network
from nas.base.errors import SpecError


def reference(backbone: str, output_stride: int) -> nn.Module:
    """The same by its own library."""
    if backbone.startswith("torchvision/"):
        return torchvision.models.resnet50(
            replace_stride_with_dilation=[False, output_stride == 8, True], num_classes=10
        )
    return timm.create_model(backbone, output_stride=output_stride, num_classes=10)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(
    "backbone",
    ["mobilenetv2_100", "tf_efficientnet_lite0", "resnet18", "torchvision/resnet50"],
)
def test_a_dilated_end_is_that_of_the_library(backbone: str, output_stride: int) -> None:
    ours = plain_network(backbone, num_classes=10, output_stride=output_stride)
    theirs = reference(backbone, output_stride).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


def test_maps_and_sites_are_those_of_the_dilated_network() -> None:
    maps = find_maps("mobilenetv2_100", 64, None, 16).all
    assert [(one.stride, one.path) for one in maps][-2:] == [(8, "blocks.2.2"), (16, "blocks.6.0")]
    usual = find_sites("mobilenetv2_100", 64)
    dilated = find_sites("mobilenetv2_100", 64, output_stride=16)
    assert [site.name for site in dilated] == [site.name for site in usual]
    assert (usual[-1].height, dilated[-1].height) == (2, 4)


def test_it_is_taken_from_the_end_and_the_total_stride_from_the_start() -> None:
    maps = find_maps("mobilenetv2_035", 64, 16, 8).all
    assert [(one.stride, one.path) for one in maps] == [
        (1, "blocks.0.0"),
        (2, "blocks.1.1"),
        (4, "blocks.2.2"),
        (8, "blocks.6.0"),
    ]


def test_a_larger_stride_than_the_network_has_is_refused() -> None:
    with pytest.raises(SpecError, match="output_stride 32; at most 16"):
        plain_network("mobilenetv2_035", total_stride=16, output_stride=32)
    with pytest.raises(SpecError, match="output_stride 16; at most 4"):
        plain_network("torchvision/densenet121", output_stride=16)


@pytest.mark.parametrize("backbone", ["resnet50d", "convnext_atto"])
def test_what_cannot_be_dilated_is_refused(backbone: str) -> None:
    with pytest.raises(SpecError, match="a pooling, or a convolution of even size"):
        find_maps(backbone, 64, None, 16)
