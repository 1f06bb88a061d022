from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.backbones import find_sites, own_networks
from nas.backbones.hbonet import HarmoniousBottleneck, HBONet
from nas.backbones.mobilenext import MobileNeXt, Sandglass
from nas.backbones.snet import ShuffleUnit
from nas.backbones.stride import layers_to_unstride, unstride
from nas.base.errors import SpecError
from nas.models.cost import cost_of_module

# Those of the authors' code (benchmarks/backbones/fidelity.py), whose weights fit; the last
# network has no authors but this project's.
PARAMETERS = {
    "mobilenext_035": 1_913_976,
    "mobilenext_050": 2_152_304,
    "mobilenext_075": 2_766_168,
    "mobilenext_100": 3_535_416,
    "mobilenext_140": 6_126_168,
    "hbonet_010": 1_706_960,
    "hbonet_025": 1_935_559,
    "hbonet_035": 2_149_828,
    "hbonet_050": 2_538_349,
    "hbonet_080": 3_612_408,
    "hbonet_100": 4_562_116,
    "snet_49": 874_584,
    "snet_146": 1_573_512,
    "snet_535": 4_539_920,
    "mobilevig_ti": 4_758_074,
    "mobilevig_s": 6_763_538,
    "emov2_1m": 1_460_844,
    "emov2_2m": 2_384_312,
    "tiny_moat_0": 3_355_348,
    "tiny_moat_1": 5_122_895,
    "mobilenetv2_cifar": 264_952,
}


def depthwise(module: nn.Module) -> list[nn.Conv2d]:
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
    ]


def test_every_network_is_counted_here() -> None:
    assert own_networks.names() == list(PARAMETERS)
    assert own_networks.exists("mobilenext_100") and not own_networks.exists("mobilenext_110")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_last_map(name: str) -> None:
    maps: list[torch.Size] = []
    # At images of 224 pixels; that of small images has a total stride of 4.
    body, side = ("blocks", 56) if name == "mobilenetv2_cifar" else ("stages", 7)
    with torch.device("meta"):
        network = own_networks.create(name, 1000, pretrained=False).eval()
        network.get_submodule(body).register_forward_hook(
            lambda _module, _inputs, output: maps.append(output.shape[-2:])
        )
        logits = network(torch.zeros(1, 3, 224, 224))
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]
    assert logits.shape == (1, 1000)
    assert maps == [(side, side)]


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("mobilenext_035", 75.1),
        ("mobilenext_100", 311.3),
        ("hbonet_025", 36.5),
        ("hbonet_100", 305.6),
        ("snet_49", 51.2),
        ("snet_146", 162.5),
        ("mobilevig_ti", 661.6),
        ("emov2_1m", 279.9),
        ("tiny_moat_0", 775.1),
    ],
)
def test_multiply_adds(name: str, millions: float) -> None:
    network = own_networks.create(name, 1000, pretrained=False)
    found = cost_of_module(network, torch.zeros(1, 3, 224, 224))
    assert found.unsupported == ()
    assert found.macs / 1e6 == pytest.approx(millions, abs=0.7)


@pytest.mark.parametrize(
    "name",
    ["mobilenext_035", "hbonet_010", "snet_49"],
)
def test_trains_a_step_on_images_of_32_pixels(name: str) -> None:
    torch.manual_seed(0)
    network = own_networks.create(name, 10, pretrained=False).train()
    images, labels = torch.randn(4, 3, 32, 32), torch.arange(4)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()
    pairs = zip(before, network.parameters(), strict=True)
    assert all(not torch.equal(old, new) for old, new in pairs)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["mobilevig_ti", "emov2_1m", "tiny_moat_0"])
def test_networks_with_attention_learn_from_images_of_any_size(name: str) -> None:
    torch.manual_seed(0)
    network = own_networks.create(name, 4, pretrained=False).train()
    labels = torch.arange(4)
    for side in (64, 96):
        loss = nn.functional.cross_entropy(network(torch.randn(4, 3, side, side)), labels)
        loss.backward()
    assert loss.isfinite()
    moved = [item.grad is not None and bool(item.grad.abs().sum() > 0)
             for item in network.parameters()]  # fmt: skip
    # A bias before a norm has no effect, and so no gradient but rounding's.
    assert sum(moved) > 0.8 * len(moved)


@pytest.mark.parametrize(
    ("name", "filled", "empty"),
    [
        ("mobilevig_ti", 0, 10),
        ("emov2_1m", 0, 16),
        ("tiny_moat_0", 5, 9),  # the first two stages have squeeze-and-excitation of their own
    ],
)
def test_their_depthwise_convolutions_are_sites(name: str, filled: int, empty: int) -> None:
    sites = find_sites(name, 96)
    assert [site.filled for site in sites].count(True) == filled
    assert [site.filled for site in sites].count(False) == empty


def test_pretrained_weights_are_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="mobilenext_100.*use weights: train") as raised:
        own_networks.create("mobilenext_100", 1000, pretrained=True)
    assert "\n" not in str(raised.value)
    with pytest.raises(SpecError, match="nobody has published any"):
        own_networks.create("mobilenetv2_cifar", 1000, pretrained=True)
    with pytest.raises(SpecError, match="TensorFlow's checkpoints"):
        own_networks.create("tiny_moat_0", 1000, pretrained=True)


def test_sandglass_adds_its_shortcut_at_the_wide_end() -> None:
    block = Sandglass(96, 96).eval()
    assert [layer.in_channels for layer in depthwise(block)] == [96, 96]
    assert block.reduce[0].out_channels == block.expand[0].in_channels == 16
    nn.init.zeros_(block.last_depthwise.get_submodule("1").get_parameter("weight"))
    wide = torch.randn(1, 96, 7, 7)
    assert torch.equal(block(wide), wide)


def test_sandglass_is_linear_at_the_waist_and_behind_the_last_depthwise() -> None:
    block = Sandglass(96, 96)
    active = [isinstance(part[-1], nn.ReLU6) for part in block.children()]
    assert active == [True, False, True, False]


def test_sandglasses_lose_depthwise_convolutions_where_a_stage_begins() -> None:
    stages = MobileNeXt().stages
    counts = [[len(depthwise(block)) for block in stage] for stage in stages]
    assert counts == [[2], [2], [1, 2, 2], [1, 2, 2], [0, 2, 2, 2], [1, 2, 2, 2], [0, 2, 2], [2]]
    strides = [layer.stride[0] for layer in depthwise(stages[0])]
    assert strides == [1, 2]


def test_mobilenext_keeps_the_last_stage_wide() -> None:
    assert MobileNeXt(0.35).classifier[-1].in_features == 1280
    assert MobileNeXt(1.4).classifier[-1].in_features == 1792


def test_harmonious_bottleneck_keeps_half_of_its_input() -> None:
    block = HarmoniousBottleneck(36, 36).eval()
    x = torch.randn(1, 36, 8, 8)
    assert torch.equal(block(x)[:, :18], x[:, 18:])
    # The first convolution reads wide space and few channels, the second the reverse.
    assert [(layer.in_channels, layer.stride[0]) for layer in depthwise(block)] == [
        (36, 2),
        (72, 1),
        (18, 1),
    ]


def test_harmonious_bottleneck_pools_what_it_keeps_when_it_has_a_stride() -> None:
    block = HarmoniousBottleneck(36, 72, stride=2).eval()
    x = torch.randn(1, 36, 8, 8)
    assert torch.equal(block(x)[:, :36], nn.functional.avg_pool2d(x, 2))


def test_hbonet_reads_multiples_of_32_pixels() -> None:
    network = HBONet(0.1, num_classes=10).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 32)).shape == (1, 10)
        with pytest.raises(RuntimeError, match="size of tensor"):
            network(torch.zeros(1, 3, 48, 48))


def test_hbonet_without_its_first_strides_has_a_larger_map() -> None:
    network = HBONet(0.1, num_classes=10).eval()
    unstride(network, layers_to_unstride(network, 8, "hbonet_010"))
    with torch.inference_mode():
        assert network.stages(network.stem(torch.zeros(1, 3, 32, 32))).shape[-2:] == (4, 4)


def test_shuffle_unit_passes_every_other_channel() -> None:
    unit = ShuffleUnit(8, 8).eval()
    x = torch.randn(1, 8, 6, 6)
    assert torch.equal(unit(x)[:, :4], x[:, ::2])


def test_snet_has_depthwise_convolutions_of_5x5() -> None:
    network = own_networks.create("snet_49", 10, pretrained=False)
    assert {layer.kernel_size for layer in depthwise(network)} == {(5, 5)}
    assert len(depthwise(network)) == 4 + 8 + 4 + 3  # one a unit, and those of the shortcuts
