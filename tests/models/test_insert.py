"""Blocks in anybody's network, in memory."""

from __future__ import annotations

import pytest
import timm
import torch
from support import odd_networks
from torch import Tensor, nn

import nas
from nas.base.errors import SpecError

SIZE = 64


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = timm.create_model("resnet18", num_classes=7)
    return network.eval()


def scores(network: nn.Module) -> Tensor:
    with torch.no_grad():
        given: Tensor = network.eval()(torch.ones(1, 3, SIZE, SIZE))
    return given


def test_a_network_with_identity_blocks_gives_what_it_gave(resnet: nn.Module) -> None:
    before, keys = scores(resnet), list(resnet.state_dict())
    grown = nas.insert(resnet, {"layer3.1": "coord/r32", "layer4": "se", "layer1.0": "cbam"}, SIZE)
    assert scores(grown) == pytest.approx(before, abs=1e-5)
    # The network itself stays as it is.
    assert list(resnet.state_dict()) == keys and torch.equal(scores(resnet), before)
    missing, unexpected = grown.load_state_dict(resnet.state_dict(), strict=False)
    assert not unexpected and set(keys) <= set(grown.state_dict())
    assert {name.partition(".attention_after.")[0] for name in missing} == {
        "layer3.1", "layer4", "layer1.0",
    }  # fmt: skip


def test_blocks_as_their_papers_start_them_change_it(resnet: nn.Module) -> None:
    grown = nas.insert(resnet, {"layer3.1": "se"}, SIZE, start="paper")
    assert not torch.allclose(scores(grown), scores(resnet))
    again = nas.insert(resnet, {"layer3.1": "se"}, SIZE, start="paper")
    assert torch.equal(scores(grown), scores(again))


def test_blocks_learn_where_they_are_put(resnet: nn.Module) -> None:
    grown = nas.insert(resnet.train(), {"layer3.1": "coord/r8"}, SIZE)
    assert grown.training
    grown(torch.randn(4, 3, SIZE, SIZE)).square().sum().backward()
    own = [value for name, value in grown.named_parameters() if "attention_after" in name]
    assert own and any(value.grad is not None and value.grad.abs().sum() > 0 for value in own)


def test_sites_are_found_and_take_blocks_by_their_names() -> None:
    network = timm.create_model("mobilenetv2_035", num_classes=7)
    found = {site.name: site for site in nas.sites(network, SIZE)}
    site = found["blocks.2.1/after_depthwise"]
    assert (site.channels, site.height, site.width) == (96, 8, 8)
    assert {name.rpartition("/")[2] for name in found} >= {"after_depthwise", "after_projection"}
    grown = nas.insert(network, {"blocks.2.1/after_depthwise": "eca"}, SIZE)
    assert scores(grown) == pytest.approx(scores(network), abs=1e-5)
    assert type(next(network.parameters()).device) is torch.device


@pytest.mark.parametrize(
    ("blocks", "fault"),
    [
        ({"layer3.9": "se"}, r"has no 'layer3\.9'; it has: layer3"),
        ({"fc": "se"}, r"fc: gives no feature map"),
        ({"layer3": "nothing"}, "unknown block 'nothing'"),
        ({"layer3": "se/r0"}, r"se\.reduction: found 0"),
        ({"layer3": "se/r5000"}, r"does not fit layer3: reduction 5000"),
        ({"layer3": "se", "layer3/output": "eca"}, "layer3/output holds a block already"),
    ],
)
def test_what_does_not_fit_is_one_line(
    resnet: nn.Module, blocks: dict[str, str], fault: str
) -> None:
    with pytest.raises(SpecError, match=fault):
        nas.insert(resnet, blocks, SIZE)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if x.shape[-1] < 16:
            raise RuntimeError("too small\nfor this")
        return {"maps": self.layer(x)}


def test_outputs_of_any_form_are_compared_and_a_wrong_size_is_one_line() -> None:
    grown = nas.insert(Odd(), {"layer": "se"}, 32)
    assert "layer.attention_after.fc1.weight" in grown.state_dict()
    with pytest.raises(SpecError, match=r"Odd cannot read \(1, 3, 8, 8\): too small$"):
        nas.insert(Odd(), {"layer": "se"}, 8)


class Random(Odd):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"maps": self.layer(x) + torch.randn(())}


def test_a_network_that_cannot_be_compared_is_refused() -> None:
    with pytest.raises(SpecError, match="random in evaluation mode"):
        nas.insert(Random(), {"layer": "se"}, 32)


def test_images_need_not_be_square(resnet: nn.Module) -> None:
    depthwise = timm.create_model("mobilenetv2_035", num_classes=7)
    found = {site.name: site for site in nas.sites(depthwise, size=(64, 96))}
    last = found["blocks.5.2/after_depthwise"]
    assert (last.height, last.width) == (2, 3)
    # Of its cosines, those along the height are of another length than those along the width.
    grown = nas.insert(resnet.eval(), {"layer2.1": "fca", "layer3": "coord/r8"}, size=(64, 96))
    with torch.no_grad():
        images = torch.randn(2, 3, 64, 96)
        wanted = resnet(images)
        assert (grown(images) - wanted).abs().max() <= 1e-4 * wanted.abs().max()
        with pytest.raises(RuntimeError):
            grown(images.transpose(2, 3))
    assert nas.sites(depthwise, size="64x96") == nas.sites(depthwise, size=(64, 96))


@pytest.mark.parametrize("size", ["64x", (64,), (64, 0), [64, 96], 64.0])
def test_what_is_no_size_is_told_in_one_line(resnet: nn.Module, size: object) -> None:
    for call in (nas.sites, lambda network, size: nas.insert(network, {"layer3": "se"}, size)):
        with pytest.raises(SpecError) as caught:
            call(resnet, size)  # type: ignore[operator]
        assert str(caught.value).startswith(f"size {size!r}; allowed: whole pixels, or height x")


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_blocks_are_of_the_type_of_the_network(kind: torch.dtype) -> None:
    """It ended with "Input type (torch.FloatTensor) and weight type ... should be the same"."""
    network = timm.create_model("resnet10t", num_classes=10).to(kind).eval()
    grown = nas.insert(network, {"layer2.0": "coord/r8"}, size=64)
    assert {weight.dtype for weight in grown.parameters()} == {kind}


def test_what_has_no_shape_or_asks_for_values_is_told_as_in_a_search() -> None:
    with pytest.raises(SpecError, match="weight has no shape yet, as it is of a lazy module"):
        nas.sites(nn.LazyConv2d(8, 3), 32)
    with pytest.raises(SpecError, match="scripted or traced module of torch.jit"):
        nas.insert(odd_networks.scripted(10), {"1": "se"}, size=32)
    with pytest.raises(SpecError, match="sites are found without values"):
        nas.sites(odd_networks.asserting(10), 32)
