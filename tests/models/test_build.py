from __future__ import annotations

import copy
from functools import lru_cache

import pytest
import torch
from support import computed_weights
from torch import nn

from nas.backbones import Site, find_sites, sites_by_name
from nas.base.errors import SpecError
from nas.blocks import BLOCKS
from nas.models.build import build, deploy, inserted_modules, uniform
from nas.spec.architecture import EMPTY, Architecture, Insertion


def hand_placed(backbone: str, block: str, position: str = "") -> Architecture:
    """At 112 pixels the last maps are 4x4 and the middle ones 7x7 and 14x14."""
    return uniform(
        backbone,
        block,
        resolution=112,
        position=(position,) if position else (),
        where_it_fits=block in BLOCKS,
    )


def calibrated(network: torch.nn.Module) -> torch.nn.Module:
    """Batch norm that has seen data: freshly initialised ones hide every difference.

    Some of timm's begin at zero, which switches residual branches off.
    """
    network.train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the mean of what it sees
            torch.nn.init.ones_(layer.weight)
    with torch.no_grad():
        for _ in range(2):
            network(images().repeat(4, 1, 1, 1) + torch.randn(8, 3, 112, 112))
    return network.eval()


@lru_cache
def plain_and_output(backbone: str, position: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """The emptied network (in some, slots come filled), and what it gives."""
    torch.manual_seed(0)
    plain = calibrated(build(hand_placed(backbone, EMPTY, position), num_classes=10))
    with torch.no_grad():
        return plain, plain(images())


def images() -> torch.Tensor:
    """Two, of different contrast: averaged over a map, plain noise looks all the same."""
    noise = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    return noise * torch.tensor([1.0, 3.0])[:, None, None, None]


KINDS_OF_BLOCK = ["se", "cbam", "coord", "nl", "simam"]
OTHER_BACKBONES = [
    ("torchvision/mobilenet_v2", ""),
    ("torchvision/shufflenet_v2_x0_5", ""),
    ("mobilenetv3_small_050", ""),
    ("mobilenetv4_conv_small_050", ""),
    ("ghostnet_050", ""),
    ("repvit_m0_9", ""),
    ("mobilenext_035", ""),
    ("mobilenext_035", "after_last_depthwise"),
    ("mobilenetv2_035", "after_projection"),
    ("mobilenetv2_035", "after_residual"),
    ("resnet18", ""),
    ("torchvision/resnet50", ""),
    ("torchvision/resnet50", "after_convolution"),
    ("resnet18", "after_residual"),
    ("cs3darknet_focus_s", ""),
]
LARGE = "torchvision/vgg11_bn"  # 129 million weights: a block with a gate and one without do


@pytest.mark.parametrize(
    ("backbone", "position", "block"),
    [("mobilenetv2_035", "", block) for block in sorted(BLOCKS)]
    + [(*place, block) for place in OTHER_BACKBONES for block in KINDS_OF_BLOCK]
    + [(LARGE, "", "coord"), (LARGE, "", "nl")],
)
def test_identity_start_gives_the_plain_output_and_deploys_as_trained(
    backbone: str, position: str, block: str
) -> None:
    plain, expected = plain_and_output(backbone, position)
    assert (expected[0] - expected[1]).abs().max() > 0.1 * expected.std() > 0
    architecture = hand_placed(backbone, block, position)
    assert architecture.blocks
    network = build(architecture, num_classes=10, start="identity")
    network.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        # Equal but for convolutions that round otherwise behind a map of other strides.
        torch.testing.assert_close(network(images()), expected, atol=1e-5, rtol=2e-5)
        for module in inserted_modules(network, architecture):
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        trained = network(images())
        assert not torch.equal(trained, expected)
        deployed = deploy(copy.deepcopy(network), architecture)
        torch.testing.assert_close(deployed(images()), trained, atol=1e-5, rtol=2e-5)
    folded = [site for site in sites_of(architecture) if site.slot.follower]
    doubled = repr(deployed).count("DoubledGate")
    assert doubled == 0 or len(folded) < len(architecture.blocks)


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_every_block_trains_before_a_sum_in_place(block: str) -> None:
    """torchvision's ResNets add the shortcut to what a block gives, in place."""
    architecture = hand_placed("torchvision/resnet18", block)
    network = build(architecture, num_classes=10, start="paper").train()
    network(images()).square().mean().backward()
    for module in inserted_modules(network, architecture):
        assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("name", computed_weights.NETWORKS)
def test_gates_are_folded_only_where_the_network_stays_the_same(name: str) -> None:
    backbone = f"support.computed_weights:{name}"
    places = ("after_depthwise", "after_residual") if name == "activated" else ()
    architecture = uniform(backbone, "coord", resolution=32, reduction=4, position=places)
    network = build(architecture, num_classes=5, start="identity").train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(5):
            network(3 * torch.randn(8, 3, 32, 32, generator=generator))
        some = 3 * torch.randn(4, 3, 32, 32, generator=generator)
        trained = network.eval()(some)
        assert torch.equal(deploy(network, architecture)(some), trained)
    assert (repr(network).count("DoubledGate") == 0) == (name in computed_weights.FOLDED)


def sites_of(architecture: Architecture) -> list[Site]:
    names = [item.site for item in architecture.blocks]
    found = sites_by_name(architecture.backbone, 112, None, names)
    return list(found.values())


@pytest.mark.parametrize("backbone", ["mobilenetv2_035", "torchvision/mobilenet_v2"])
def test_plain_weights_load_into_a_network_with_blocks(backbone: str) -> None:
    plain = build(hand_placed(backbone, "keep"), num_classes=10)
    network = build(
        hand_placed(backbone, "coord"), num_classes=10, weights=plain.state_dict(), seed=3
    )
    for name, tensor in plain.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def test_weights_of_another_network_are_refused_in_one_line() -> None:
    plain = hand_placed("mobilenetv2_035", "keep")
    weights = build(plain, num_classes=10).state_dict()
    weights["classifier.weight"] = weights["classifier.weight"][:3]
    del weights["conv_stem.weight"]
    with pytest.raises(SpecError, match="weights do not fit the plain network of") as caught:
        build(plain, num_classes=10, weights=weights)
    said = str(caught.value)
    assert "conv_stem.weight" in said and "classifier.weight" in said and "\n" not in said


def test_one_seed_gives_a_block_the_same_weights_in_every_architecture() -> None:
    site = "blocks.5.1/after_depthwise"
    alone = Architecture("mobilenetv2_035", 64, (Insertion.of(site, "coord/r32"),))
    among = hand_placed("mobilenetv2_035", "coord")
    name = "blocks.5.1.se.conv1.weight"
    one, two = (build(item, seed=7).state_dict()[name] for item in (alone, among))
    assert torch.equal(one, two)
    assert not torch.equal(one, build(alone, seed=8).state_dict()[name])


def test_building_does_not_disturb_the_generator() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    build(hand_placed("mobilenetv2_035", "se"))
    assert torch.equal(before, torch.random.get_rng_state())


def test_filled_slots_are_kept_emptied_or_replaced() -> None:
    sizes = {
        block: sum(item.numel() for item in build(uniform("efficientnet_b0", block)).parameters())
        for block in ("keep", "none", "coord")
    }
    assert sizes == {"keep": 5_288_548, "none": 4_652_008, "coord": 5_381_804}
    assert not uniform("mobilenetv2_035", "none").insertions


def test_exclude_leaves_sites_out() -> None:
    architecture = uniform("mobilenetv2_100", "coord", reduction=32, exclude=["blocks.0.*"])
    assert len(architecture.blocks) == 16


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"block": "sea"}, "unknown block"),
        ({"block": "none", "reduction": 4}, "takes no options"),
        ({"block": "se", "reduction": 64}, "does not fit blocks.0.0/after_depthwise"),
        ({"block": "se", "exclude": ["layer*"]}, "matches no site"),
        ({"block": "se", "exclude": ["*"]}, "leaves no site"),
        ({"block": "se", "resolution": 32, "total_stride": 64}, "at most its own"),
    ],
)
def test_wrong_placement_is_said_in_one_line(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        uniform("mobilenetv2_035", **arguments)  # type: ignore[arg-type]


def test_an_unknown_site_lists_the_known_ones() -> None:
    architecture = Architecture("mobilenetv2_035", 64, (Insertion("blocks.9.9/x", "se"),))
    with pytest.raises(SpecError, match=r"no site 'blocks.9.9/x'; it has: blocks.0.0/after"):
        build(architecture)


def test_a_size_is_given_as_it_is_written_or_as_height_and_width() -> None:
    found = uniform("mobilenetv2_035", "fca", resolution=(96, 64), total_stride=16)
    assert found.resolution == "96x64"
    assert found == uniform("mobilenetv2_035", "fca", resolution="96x64", total_stride=16)
    assert uniform("mobilenetv2_035", "se", resolution=(64, 64)).resolution == 64
    with torch.no_grad():
        network = build(found, num_classes=3)
        assert network(torch.randn(2, 3, 96, 64)).shape == (2, 3)
        with pytest.raises(RuntimeError):  # its cosines are of maps that are higher than wide
            network(torch.randn(2, 3, 64, 96))
    with pytest.raises(SpecError, match="size '96x'; allowed: whole pixels"):
        uniform("mobilenetv2_035", "se", resolution="96x")


def trained_network(backbone: str) -> nn.Module:
    """A network whose statistics and filled slots are those of some training."""
    generator = torch.Generator().manual_seed(0)
    network = build(Architecture(backbone, 64), num_classes=7, seed=1).train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for _ in range(5):
            network(torch.randn(16, 3, 64, 64, generator=generator))
    return network.eval()


def refilled(backbone: str, label: str) -> Architecture:
    """A block in every slot that comes filled."""
    sites = [site for site in find_sites(backbone, 64) if site.filled]
    return Architecture(backbone, 64, tuple(Insertion.of(site.name, label) for site in sites))


@pytest.mark.parametrize(
    ("backbone", "label", "taken"),
    [
        # ReLU and sigmoid behind as many hidden channels as ours, or fewer.
        ("semnasnet_050", "se/r4", True),
        ("semnasnet_050", "se/r24", True),
        ("mnasnet_small", "se/r24", True),
        ("mnasnet_small", "eca", False),  # of another kind
        ("mobilenetv3_small_050", "se/r4", False),  # hard sigmoid
        ("mobilenetv3_small_050", "se_hard/r4", True),
        ("lcnet_050", "se_hard/r4", True),
        ("semnasnet_050", "se_hard/r4", False),  # sigmoid
        ("efficientnet_b0", "se/r24", False),  # SiLU
        ("rexnet_100", "se/r12", False),  # a batch norm between
        ("torchvision/mobilenet_v3_small", "se/r4", False),
        ("torchvision/mobilenet_v3_small", "se_hard/r4", True),
    ],
)
def test_a_block_starts_as_the_trained_one_that_it_replaces_where_they_agree(
    backbone: str, label: str, taken: bool
) -> None:
    plain, architecture = trained_network(backbone), refilled(backbone, label)
    some = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = plain(some)
        network = build(architecture, num_classes=7, start="identity", weights=plain.state_dict())
        given = network(some)
        if not taken:
            emptied = build(refilled(backbone, "none"), num_classes=7, weights=plain.state_dict())
            expected = emptied(some)
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))
        # Whoever builds it anew, without the plain weights, loads the same network.
        again = build(architecture, num_classes=7, start="identity")
        again.load_state_dict(network.state_dict())
        assert torch.equal(again(some), given)
        if taken:
            deployed = deploy(again, architecture)
            assert torch.equal(deployed(some), given)
            assert "DoubledGate" not in repr(deployed)
            assert not any("single" in name for name in deployed.state_dict())


def test_weights_of_before_are_read_as_the_doubled_gates_that_they_were() -> None:
    architecture = refilled("mnasnet_small", "se/r24")
    plain = trained_network("mnasnet_small")
    before = build(architecture, num_classes=7, start="identity", seed=3)
    assert not any("single" in name for name in before.state_dict())
    # Built with the plain weights, as a resumed training is, and loaded with what was kept.
    network = build(architecture, num_classes=7, start="identity", weights=plain.state_dict())
    network.load_state_dict(before.state_dict())
    some = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(some), before(some))
