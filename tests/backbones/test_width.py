"""Backbones with more channels (`NAME@1.25`): which have a width, and what it changes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import timm
import torch
from torch import nn

from nas.backbones import (
    check_backbone,
    find_sites,
    known_backbones,
    own_networks,
    plain_network,
    shapes,
    timm_networks,
    widened,
    widths,
)
from nas.base.errors import SpecError
from nas.models.build import build, uniform
from nas.models.cost import cost
from nas.spec.architecture import Architecture

WITH_WIDTH = [
    "mobilenetv2_100",
    pytest.param("ghostnetv3_100", marks=pytest.mark.slow),
    "mobilenetv4_conv_small",
    "torchvision/mobilenet_v2",
    "torchvision/mobilenet_v3_small",
    "torchvision/mnasnet0_5",
    "mobilenext_100",
    "hbonet_050",
    "hbonet_100",
    "snet_49",
    "snet_146",
    "mobilenetv2_cifar",
]


@pytest.mark.parametrize("name", WITH_WIDTH)
def test_a_wider_network_costs_more_and_has_the_same_sites(name: str) -> None:
    names = [name, *(widened(name, factor) for factor in (1.1, 1.3, 2.0))]
    costs = [cost(Architecture(str(each), 64)) for each in names]
    assert all(one.macs < two.macs and one.params < two.params for one, two in pairwise(costs))
    assert len({tuple(site.name for site in find_sites(str(each), 64)) for each in names}) == 1


@pytest.mark.parametrize(
    "name", [name for name in timm.list_models() if timm_networks.has_width(name)]
)
def test_timms_own_makers_make_its_networks(name: str) -> None:
    maker = timm_networks._maker(name)
    assert maker is not None
    with torch.device("meta"):
        ours, theirs = maker(1.0, 10), timm.create_model(name, num_classes=10)
    assert [(key, item.shape) for key, item in ours.state_dict().items()] == [
        (key, item.shape) for key, item in theirs.state_dict().items()
    ]


@pytest.mark.parametrize("name", own_networks.names())
def test_every_network_of_our_own_has_a_width(name: str) -> None:
    network = plain_network(f"{name}@1.15", num_classes=10)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_widths_that_make_one_network_are_told_by_their_shapes() -> None:
    factors = widths("mobilenetv2_cifar")
    assert factors[0] == 1.01 and factors[-1] == 4.0 and len(factors) == 300
    same = [
        factor
        for factor in factors[:40]
        if shapes(f"mobilenetv2_cifar@{factor:g}") == shapes("mobilenetv2_cifar@1.1")
    ]
    assert 1.1 in same and 1.3 not in same and len(same) > 1
    assert widths("mobilenetv2_cifar@5")[-1] == 2.0  # ten times is the most that a name may say
    # Of a network that is wider already, by what makes hundredths of its own.
    assert widened("mobilenetv2_cifar@1.25", widths("mobilenetv2_cifar@1.25")[0]) == (
        "mobilenetv2_cifar@1.26"
    )


@pytest.mark.parametrize("name", ["efficientnet_b1", "torchvision/shufflenet_v2_x1_0"])
def test_a_backbone_without_a_width_says_so_in_one_line(name: str) -> None:
    assert widened(name, 1.2) is None and widths(name) == ()
    with pytest.raises(SpecError, match=rf"{name} has no width here; take it as it comes"):
        check_backbone(f"{name}@1.2")
    with pytest.raises(SpecError, match="has no width here"):
        plain_network(f"{name}@1.2")


def test_wrong_names_are_refused() -> None:
    with pytest.raises(SpecError, match="unknown backbone 'mobilenetv2_1000'"):
        check_backbone("mobilenetv2_1000@1.2")
    with pytest.raises(SpecError, match="width 'wide'; allowed: a number"):
        check_backbone("mobilenetv2_100@wide")
    with pytest.raises(SpecError, match="those of mobilenetv2_100 are of its own width"):
        plain_network("mobilenetv2_100@1.2", pretrained=True)
    assert known_backbones("mobilenetv2_100@1.2") == ["mobilenetv2_100@1.2"]


def plain(num_classes: int) -> nn.Module:
    return nn.Linear(3, num_classes)


def wide(num_classes: int, width_mult: float = 0.5) -> nn.Module:
    return nn.Sequential(nn.Linear(3, int(100 * width_mult)), nn.Linear(3, num_classes))


def unsaid(num_classes: int, width: float | None = None) -> nn.Module:
    return nn.Linear(3, num_classes)


@pytest.mark.parametrize("function", [plain, unsaid])
def test_a_users_function_without_a_width_has_none(function: Callable[..., nn.Module]) -> None:
    assert widened(f"{__name__}:{function.__name__}", 1.2) is None


def test_a_users_function_is_called_with_so_many_times_its_own_width() -> None:
    name = widened(f"{__name__}:wide", 1.2)
    assert name is not None
    network = plain_network(name, num_classes=10)
    assert network[0].out_features == 60 and network[1].out_features == 10


def test_blocks_go_into_a_widened_network() -> None:
    architecture = uniform("mobilenetv2_cifar@1.25", "coord", resolution=16)
    assert build(architecture, num_classes=10)(torch.zeros(1, 3, 16, 16)).shape == (1, 10)
