"""What the walk finds in networks written for the purpose."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.backbones.slot import Site
from nas.backbones.walk import outputs, walk


def depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)


class Inverted(nn.Module):
    """An inverted residual as people write it."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 16, 1)
        self.filter = depthwise(16)
        self.norm = nn.BatchNorm2d(16)
        self.act = nn.ReLU6(inplace=True)
        self.project = nn.Conv2d(16, channels, 1)
        self.last_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.filter(self.expand(x))))
        return self.last_norm(self.project(y)) + x


class Bare(Inverted):
    """Activations as functions, the sum in place."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.norm(self.filter(F.relu6(self.expand(x)))))
        y = self.last_norm(self.project(y))
        y += x
        return y


class Straight(Inverted):
    """No shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last_norm(self.project(self.act(self.norm(self.filter(self.expand(x))))))


class TwiceRead(Inverted):
    """The map behind the depthwise convolution is read by a shortcut as well."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.filter(self.expand(x))))
        return self.last_norm(self.project(y)).repeat(1, 2, 1, 1) + y


class Squeeze(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.one, self.two = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.two(F.relu(self.one(self.pool(x)))))


class Squeezed(Inverted):
    """Attention of its own, under a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.focus = Squeeze(16)

    def forward(self, x: Tensor) -> Tensor:
        y = self.focus(self.act(self.norm(self.filter(self.expand(x)))))
        return self.last_norm(self.project(y)) + x


class WithShortcut(nn.Module):
    """Its shortcut has a depthwise convolution too."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Sequential(depthwise(8, 2), nn.Conv2d(8, 8, 1))
        self.main = nn.Sequential(nn.Conv2d(8, 16, 1), depthwise(16, 2), nn.Conv2d(16, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.side(x) + self.main(x)


class Sandglass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = depthwise(8), depthwise(8)
        self.reduce, self.expand = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(self.expand(self.reduce(self.first(x))))


class Seeing(nn.Identity):
    """Notes the maps that pass."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Size] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.shape)
        return x


class Network(nn.Module):
    """A stem, two blocks of a kind, a head."""

    def __init__(self, first: nn.Module, second: nn.Module, out: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.ModuleList([first, second])
        self.head = nn.Linear(out, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def found(network: nn.Module) -> dict[str, Site]:
    return {site.name: site for site in walk(network, 16)}


def test_an_inverted_residual_has_its_three_places() -> None:
    sites = found(Network(Inverted(), Inverted()))
    assert list(sites)[:3] == [
        "blocks.0/after_depthwise",
        "blocks.0/after_projection",
        "blocks.0/after_residual",
    ]
    first = sites["blocks.0/after_depthwise"]
    assert (first.channels, first.height, first.width, first.stage) == (16, 8, 8, "8x8")
    assert (first.slot.module, first.slot.way) == ("blocks.0.project", "before")
    assert sites["blocks.0/after_projection"].slot.module == "blocks.0.last_norm"
    assert sites["blocks.0/after_residual"].slot.module == "blocks.0"
    assert not any(site.filled for site in sites.values())


def test_functions_and_sums_in_place_are_seen() -> None:
    assert list(found(Network(Bare(), Bare()))) == list(found(Network(Inverted(), Inverted())))


def test_without_a_shortcut_behind_the_block_is_behind_its_projection() -> None:
    assert [name.rpartition("/")[2] for name in found(Network(Straight(), Straight()))] == [
        "after_depthwise",
        "after_projection",
    ] * 2


def test_what_is_built_in_inference_mode_has_the_same_sites() -> None:
    with torch.inference_mode():
        inside = found(Network(Inverted(), Straight()))
    assert inside == found(Network(Inverted(), Straight()))


def test_factors_are_folded_only_into_what_alone_reads_the_map() -> None:
    sites = found(Network(Straight(), Inverted()))
    assert sites["blocks.0/after_depthwise"].slot.follower == "blocks.0.project"
    # Read by the next block's expansion and by its shortcut.
    assert sites["blocks.0/after_projection"].slot.follower is None
    assert found(Network(Inverted(), Straight()))["blocks.0/after_residual"].slot.follower == (
        "blocks.1.expand"
    )
    twice = found(Network(Inverted(), TwiceRead(), out=16))["blocks.1/after_depthwise"].slot
    assert (twice.module, twice.way, twice.follower) == ("blocks.1.act", "after", None)


def test_attention_that_a_network_brings_is_a_filled_slot() -> None:
    site = found(Network(Squeezed(), Inverted()))["blocks.0/after_depthwise"]
    assert site.filled
    assert (site.slot.module, site.slot.way) == ("blocks.0.focus", "in")
    assert site.slot.follower == "blocks.0.project"


def test_shortcuts_with_weights_are_left_alone() -> None:
    sites = found(Network(WithShortcut(), Inverted()))
    assert [name for name in sites if name.startswith("blocks.0")] == [
        "blocks.0/after_depthwise",
        "blocks.0/after_projection",
        "blocks.0/after_residual",
    ]
    assert sites["blocks.0/after_depthwise"].slot.module == "blocks.0.main.2"


def test_a_sandglass_has_a_first_and_a_last() -> None:
    assert list(found(Network(Sandglass(), Inverted())))[:3] == [
        "blocks.0/after_first_depthwise",
        "blocks.0/after_last_depthwise",
        "blocks.0/after_residual",
    ]


def test_a_flat_network_has_a_site_for_each_depthwise_convolution() -> None:
    layers = [layer for _ in range(4) for layer in (depthwise(8), nn.ReLU(), nn.Conv2d(8, 8, 1))]
    network = Network(nn.Sequential(*layers), nn.Identity())
    sites = found(network)
    assert list(sites) == [f"blocks.0.{at}/after_depthwise" for at in (0, 3, 6, 9)]
    assert sites["blocks.0.0/after_depthwise"].slot.module == "blocks.0.2"


def test_patterns_make_sites_anywhere() -> None:
    sites = outputs(Network(Inverted(), Inverted()), 16, "blocks.*.expand")
    assert [site.name for site in sites] == ["blocks.0.expand/output", "blocks.1.expand/output"]
    assert outputs(Network(Inverted(), Inverted()), 16, "head") == ()


@pytest.mark.parametrize("kind", [Inverted, Bare, Straight, Squeezed, WithShortcut, Sandglass])
def test_a_block_is_applied_to_the_map_that_its_site_tells(kind: type[nn.Module]) -> None:
    for name, site in found(Network(kind(), Inverted())).items():
        network = Network(kind(), Inverted()).eval()
        probe = Seeing()
        site.slot.fill(network, probe)
        assert site.slot.block(network) is probe
        network(torch.zeros(2, 3, 16, 16))
        assert probe.seen == [(2, site.channels, site.height, site.width)], name
