"""What the walk finds in networks written for the purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.backbones.sites.slot import Site
from nas.backbones.sites.walk import outputs, walk


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


def full(channels: int, out: int = 0, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out or channels, 3, stride, 1, bias=False)


class Basic(nn.Module):
    """A ResNet's block as torchvision writes it: one activation for both, the sum in place."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two, self.last_norm = (
            *(full(8), nn.BatchNorm2d(8)),
            *(full(8), nn.BatchNorm2d(8)),
        )
        self.act = nn.ReLU(inplace=True)
        self.side = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.last_norm(self.two(self.act(self.norm(self.one(x)))))
        y += self.side(x)
        return self.act(y)


class Bottleneck(nn.Module):
    """The activations are functions; the shortcut is made first."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Conv2d(8, 8, 1)
        self.reduce, self.filter, self.expand = nn.Conv2d(8, 4, 1), full(4), nn.Conv2d(4, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        side = self.side(x)
        return self.expand(F.relu(self.filter(F.relu(self.reduce(x))))) + side


class SideBySide(nn.Module):
    """RepVGG's block."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = full(8), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.wide(x) + self.narrow(x) + x)


class CrossStage(nn.Module):
    """C2f: blocks with shortcuts, on a list that grows, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.begin, self.end = nn.Conv2d(8, 16, 1), nn.Conv2d(32, 8, 1)
        self.inner = nn.ModuleList([Basic(), Basic()])

    def forward(self, x: Tensor) -> Tensor:
        maps = list(self.begin(x).chunk(2, 1))
        maps.extend(block(maps[-1]) for block in self.inner)
        return self.end(torch.cat(maps, 1))


class OfMappings(nn.Module):
    """Its inner blocks take a list, a mapping and a named argument."""

    class OfList(Basic):
        def forward(self, x: list[Tensor]) -> Tensor:  # type: ignore[override]
            return super().forward(x[0])

    class OfMapping(Basic):
        def forward(self, x: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
            return super().forward(x["x"])

    class Named(Basic):
        def forward(self, *, x: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = self.OfList(), self.OfMapping(), self.Named()

    def forward(self, x: Tensor) -> Tensor:
        return self.third(x=self.second({"x": self.first([x])}))


class Outside(nn.Module):
    """The shortcuts are added by the network, not by its blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8), full(8), nn.ReLU(), full(8)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = x + part(x)
        return x


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


class Split(nn.Module):
    """A block of Res2Net: its convolutions see a part of the channels each, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce, self.merge = nn.Conv2d(8, 12, 1), nn.Conv2d(12, 8, 1)
        self.parts = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.reduce(x).chunk(3, dim=1)
        seen, last = [first], first
        for convolution, norm, part in zip(self.parts, self.norms, others, strict=True):
            last = norm(convolution(last + part)).relu()
            seen.append(last)
        return (x + self.merge(torch.cat(seen, dim=1))).relu()


def test_convolutions_of_split_channels_are_one_place_where_they_are_put_together() -> None:
    site = found(Network(Split(), Split()))["blocks.0/after_convolution"]
    assert site.channels == 12
    assert (site.slot.module, site.slot.way) == ("blocks.0.merge", "before")
    assert site.slot.follower == "blocks.0.merge"
    network = timm.create_model("res2net50_14w_8s", num_classes=2)
    assert {name: site.channels for name, site in found(network).items() if "layer2" in name}[
        "layer2.3/after_convolution"
    ] == 8 * 28


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


FULL = {
    Basic: {"": ["after_projection", "after_residual"]},
    Bottleneck: {"": ["after_convolution", "after_projection", "after_residual"]},
    SideBySide: {"": ["after_residual"]},
    CrossStage: {f".inner.{at}": ["after_projection", "after_residual"] for at in (0, 1)},
    OfMappings: {
        f".{name}": ["after_projection", "after_residual"] for name in ("first", "second", "third")
    },
    Outside: {
        ".parts.0": ["after_projection"],
        ".parts.1": ["after_projection"],
        "": ["after_residual"],
    },
}


@pytest.mark.parametrize("kind", FULL)
def test_blocks_of_full_convolutions_are_found_by_their_sums(kind: type[nn.Module]) -> None:
    names = [name for name in found(Network(kind(), nn.Identity())) if name.startswith("blocks")]
    assert names == [
        f"blocks.0{host}/{place}" for host, places in FULL[kind].items() for place in places
    ]


def test_behind_the_last_convolution_is_before_the_sum() -> None:
    sites = found(Network(Basic(), Bottleneck()))
    assert sites["blocks.0/after_projection"].slot.module == "blocks.0.last_norm"
    assert sites["blocks.1/after_projection"].slot.module == "blocks.1.expand"
    assert sites["blocks.1/after_convolution"].slot.module == "blocks.1.expand"
    assert sites["blocks.1/after_convolution"].slot.way == "before"
    assert sites["blocks.1/after_convolution"].channels == 4


def test_depthwise_blocks_stay_as_they_are_beside_others() -> None:
    alone = found(Network(Inverted(), nn.Identity()))
    beside = found(Network(Inverted(), Basic()))
    assert {name: beside[name] for name in alone} == {
        name: replace(site, slot=replace(site.slot, follower=beside[name].slot.follower))
        for name, site in alone.items()
    }
    assert set(beside) - set(alone) == {"blocks.1/after_projection", "blocks.1/after_residual"}


def test_plain_convolutions_are_sites_where_there_is_no_block() -> None:
    layers = [full(8), nn.BatchNorm2d(8), nn.ReLU(), full(8), nn.ReLU(), nn.Conv2d(8, 8, 1)]
    sites = found(Network(nn.Sequential(*layers), nn.Identity()))
    assert list(sites) == [
        f"{host}/after_convolution" for host in ("stem", "blocks.0.0", "blocks.0.3")
    ]
    assert sites["blocks.0.0/after_convolution"].slot.module == "blocks.0.2"
    assert sites["blocks.0.0/after_convolution"].slot.follower == "blocks.0.3"


class AtScales(nn.Module):
    """One block at two scales, and at the second twice."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.shared = block

    def forward(self, x: Tensor) -> Tensor:
        small = self.shared(self.shared(F.avg_pool2d(x, 2)))
        return torch.maximum(F.interpolate(small, scale_factor=2.0), self.shared(x))


@pytest.mark.parametrize("kind", [Inverted, Basic])
def test_a_block_that_runs_at_several_scales_is_one_site_with_all_its_maps(
    kind: type[nn.Module],
) -> None:
    once = found(Network(kind(), nn.Identity()))
    sites = found(Network(AtScales(kind()), nn.Identity()))
    assert [name.replace(".shared", "") for name in sites] == list(once)
    for name, site in sites.items():
        assert (site.height, site.width) == (8, 8)
        assert name.startswith("stem") or site.maps == ((4, 4), (4, 4), (8, 8))
    assert all(site.maps == () for site in once.values())


def test_what_is_shared_by_maps_of_other_channels_is_no_site() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.wide, self.narrow = nn.Identity(), full(8, 16), full(16, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.narrow(self.norm(self.wide(x))))

    assert outputs(Network(Shared(), nn.Identity()), 16, "blocks.0.norm") == ()


def test_patches_that_are_cut_are_no_site() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(), nn.Linear(128, 5))
    assert walk(network, 16) == ()


def test_patterns_make_sites_anywhere() -> None:
    sites = outputs(Network(Inverted(), Inverted()), 16, "blocks.*.expand")
    assert [site.name for site in sites] == ["blocks.0.expand/output", "blocks.1.expand/output"]
    assert outputs(Network(Inverted(), Inverted()), 16, "head") == ()


@pytest.mark.parametrize(
    "kind", [Inverted, Bare, Straight, Squeezed, WithShortcut, Sandglass, *FULL]
)
def test_a_block_is_applied_to_the_map_that_its_site_tells(kind: type[nn.Module]) -> None:
    for name, site in found(Network(kind(), Inverted())).items():
        network = Network(kind(), Inverted()).eval()
        probe = Seeing()
        site.slot.fill(network, probe)
        assert site.slot.block(network) is probe
        network(torch.zeros(2, 3, 16, 16))
        assert probe.seen == [(2, site.channels, site.height, site.width)], name
